"""Instance data made from the view, and how Nova is told whose it is to give."""

import hashlib
import hmac
import json

import pytest

from suimon.agent.services.askers import Asker, Askers, Shares
from suimon.agent.services.instance import Facts, document
from suimon.agent.services.metadata import _PATH
from suimon.agent.services.nova import NovaConfigError, read_config, signed
from suimon.model.view import FixedIp, Network, Port, Route, Subnet
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.services import asker_address
from suimon.pipeline.world import World

NET = Network("n", "vxlan", 1, None, 1450, dns_domain="example.")
SUBNETS = {
    "dhcp": Subnet("dhcp", "n", "10.0.0.0/24", "10.0.0.1", True, ("9.9.9.9",)),
    "still": Subnet("still", "n", "10.1.0.0/16", "10.1.0.1", False, ("8.8.8.8",), (Route("10.9.0.0/24", "10.1.0.9"),)),
    "six": Subnet("six", "n", "2001:db8::/64", "2001:db8::1", False),
}
PORT = Port(
    "a" * 36,
    "h1",
    "n",
    "02:00:00:00:00:01",
    (FixedIp("dhcp", "10.0.0.5"), FixedIp("still", "10.1.0.5"), FixedIp("six", "2001:db8::5")),
    dns_name="web",
    device_id="instance",
    project_id="project",
)
FACTS = Facts((PORT,), {"n": NET}, SUBNETS, ("203.0.113.9",))


def test_network_data_tells_every_address_and_leaves_dhcp_to_dhcp():
    told = json.loads(document(FACTS, "/openstack/latest/network_data.json"))
    assert [(link["ethernet_mac_address"], link["mtu"]) for link in told["links"]] == [(PORT.mac, 1450)]
    by_dhcp, still, six = told["networks"]
    assert (by_dhcp["type"], "ip_address" in by_dhcp) == ("ipv4_dhcp", False)
    assert (still["type"], still["ip_address"], still["netmask"]) == ("ipv4", "10.1.0.5", "255.255.0.0")
    assert still["routes"] == [
        {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.1.0.1"},
        {"network": "10.9.0.0", "netmask": "255.255.255.0", "gateway": "10.1.0.9"},
    ]
    assert (six["type"], six["ip_address"], six["routes"][0]["gateway"]) == ("ipv6", "2001:db8::5", "2001:db8::1")
    assert told["services"] == [{"type": "dns", "address": ip} for ip in ("9.9.9.9", "8.8.8.8")]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/latest/meta-data/instance-id", "instance"),
        ("/latest/meta-data/hostname", "web"),
        ("/2009-04-04/meta-data/local-ipv4", "10.0.0.5"),
        ("/latest/meta-data/public-ipv4", "203.0.113.9"),
        ("/latest", "meta-data/"),
        ("/latest/user-data", None),
        ("/openstack/latest/user_data", None),
        ("/latest/meta-data/mac/further", None),
        ("/openstack/2018-08-27/vendor_data.json", "{}"),
    ],
)
def test_documents(path, text):
    found = document(FACTS, path)
    assert (None if found is None else found.decode()) == text


def test_meta_data_and_the_folders_that_cloud_init_looks_into():
    told = json.loads(document(FACTS, "/openstack/latest/meta_data.json"))
    assert (told["uuid"], told["hostname"], told["project_id"]) == ("instance", "web.example", "project")
    assert "latest" in document(FACTS, "/openstack").decode().replace("/", "").splitlines()
    assert "openstack/" in document(FACTS, "/").decode().splitlines()
    bare = Facts((Port("b" * 36, "h1", "n", "02:00:00:00:00:02", ()),), {}, {})
    assert json.loads(document(bare, "/openstack/latest/meta_data.json"))["uuid"] == "b" * 36


@pytest.mark.parametrize(
    "path", ["/", "/latest", "/latest/meta-data/", "/2009-04-04/user-data", "/openstack/latest/a_b.json"]
)
def test_paths_that_are_served(path):
    assert _PATH.fullmatch(path)


@pytest.mark.parametrize(
    "path", ["", "/x", "/latest/%2e", "/latest?x", "/latest/a b", "/latest/a\r\nX: y", "http://x/", "/latest\n"]
)
def test_paths_that_are_not(path):
    assert not _PATH.fullmatch(path)


def test_nova_is_told_by_signature():
    headers = signed(Asker(PORT, "10.0.0.5"), b"secret")
    assert headers == {
        "X-Forwarded-For": "10.0.0.5",
        "X-Instance-ID": "instance",
        "X-Tenant-ID": "project",
        "X-Instance-ID-Signature": hmac.new(b"secret", b"instance", hashlib.sha256).hexdigest(),
    }


def test_a_configuration_that_can_not_work_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(" \n")
    for url in ("nova:8775", "ftp://nova", "http://nova/?x=1", "http://nova"):
        with pytest.raises(NovaConfigError):
            read_config(url, secret)
    with pytest.raises(NovaConfigError):
        read_config("http://nova", tmp_path / "missing")
    secret.write_text("s3cret\n")
    assert read_config("http://nova:8775/", secret).secret == b"s3cret"


def test_an_address_names_one_port_and_of_an_instance_only_its_own_project():
    world = World("h1", Numbers())
    others = [
        Port("p2", "h1", "n", "02:00:00:00:00:02", (), device_id="instance", project_id="project"),
        Port("p3", "h1", "n", "02:00:00:00:00:03", (), device_id="instance", project_id="thief"),
    ]
    for each in (PORT, *others):
        world.set(each)
    numbers = {each.id: world.number("port", each.id) for each in (PORT, *others)}
    askers = Askers(world)
    for index, fixed in enumerate(PORT.fixed_ips):
        assert askers.find(asker_address(numbers[PORT.id], index, fixed.ip)) == Asker(PORT, fixed.ip)
    assert askers.find(asker_address(numbers[PORT.id], 9, "10.0.0.5")) is None
    assert askers.find(asker_address(99, 0, "10.0.0.5")) is None
    assert askers.ports_of_instance(PORT) == [PORT, others[0]]
    world.delete(("port", PORT.id))
    assert askers.find(asker_address(numbers[PORT.id], 0, "10.0.0.5")) is None


def test_shares_are_bounded_for_each_and_for_all():
    shares = Shares(most_each=2, most=3)
    with shares.taken("a") as one, shares.taken("a") as two, shares.taken("a") as three:
        assert (one, two, three) == (True, True, False)
        with shares.taken("b") as four, shares.taken("c") as five:
            assert (four, five) == (True, False)
    with shares.taken("a") as again:
        assert again
