"""The unmodified `openstack` client against a real `suimon serve`: what users of any OpenStack cloud type, works."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.api.controller import PATIENCE_S, Controller, started
from tests.clients.command_line import OPENSTACK, Client


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    with started(tmp_path_factory.mktemp("cloud") / "state", "--physnets", "public", "--log-level", "debug") as made:
        yield made
        assert not re.search("request_failed|Traceback", made.log()), made.log()


@pytest.fixture(scope="module")
def admin(controller: Controller) -> Client:
    return Client(controller)


def test_identity(controller: Controller, admin: Client) -> None:
    issued = admin.read("token issue")
    assert issued["project_id"] and issued["expires"]
    assert {service["Type"] for service in admin.read("catalog list")} == {"identity", "network", "policy"}
    versions = admin.read("versions show")
    assert {(version["Service Type"], version["Status"]) for version in versions} >= {("network", "CURRENT")}
    admin.run("project create team")
    admin.run("user create mona --password secret --project team")
    admin.run("role add --user mona --project team member")
    assignments = admin.read("role assignment list --names --user mona")
    assert [(one["Role"], one["User"], one["Project"]) for one in assignments] == [
        ("member", "mona@Default", "team@Default")
    ]
    mona = Client(controller, OS_USERNAME="mona", OS_PASSWORD="secret", OS_PROJECT_NAME="team")
    mona.run("network create monas")
    assert [one["Name"] for one in mona.read("network list")] == ["monas"]
    assert "403" in mona.refusal("network create wild --share")
    assert "not authorized" in mona.refusal("user list")
    admin.run("user set mona --password other")
    assert "401" in mona.refusal("network list")
    admin.run("role remove --user mona --project team member")
    assert len(admin.read("endpoint list")) == 9 and len(admin.read("service list")) == 3
    assert [one["Region"] for one in admin.read("region list")] == ["RegionOne"]
    assert {one["Name"] for one in admin.read("project list")} == {"admin", "team"}
    admin.run("network delete monas")
    admin.run("user delete mona")
    admin.run("project delete team")
    assert "No User found for mona" in admin.refusal("user show mona")


def test_with_the_openrc(controller: Controller, admin: Client) -> None:
    script = f". {controller.state}/openrc; unset OS_CLOUD OS_CLIENT_CONFIG_FILE; exec {OPENSTACK} token issue -f json"
    command = ["/bin/sh", "-c", script]
    done = subprocess.run(
        command, env=admin.environment, capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert json.loads(done.stdout)["project_id"] == admin.read("token issue")["project_id"]


def test_networks_subnets_and_ports(admin: Client) -> None:
    network = admin.read("network create net1 --provider-network-type vxlan --provider-segment 100 --mtu 1400")
    assert (network["provider:segmentation_id"], network["mtu"]) == (100, 1400)
    subnet = admin.read(
        "subnet create sub1 --network net1 --subnet-range 10.9.0.0/24 --dns-nameserver 8.8.8.8"
        " --host-route destination=10.1.0.0/24,gateway=10.9.0.7 --allocation-pool start=10.9.0.10,end=10.9.0.99"
    )
    assert subnet["gateway_ip"] == "10.9.0.1"
    port = admin.read("port create port1 --network net1 --fixed-ip subnet=sub1,ip-address=10.9.0.20")
    assert port["fixed_ips"][0]["ip_address"] == "10.9.0.20" and port["status"] == "DOWN"
    admin.run("port create port2 --network net1 --no-security-group --disable-port-security")
    admin.run("port set port1 --name portx --allowed-address ip-address=10.9.9.9")
    assert [one["Name"] for one in admin.read("port list --network net1 --sort-column Name")] == ["port2", "portx"]
    assert [one["Name"] for one in admin.read("port list --fixed-ip ip-address=10.9.0.20")] == ["portx"]
    admin.run("network set net1 --description words --name netx")
    admin.run("subnet set sub1 --dns-nameserver 8.8.4.4")
    assert admin.read("network show netx")["description"] == "words"
    assert sorted(admin.read("subnet show sub1")["dns_nameservers"]) == ["8.8.4.4", "8.8.8.8"]
    assert "in use" in admin.refusal("network delete netx")
    assert "No Network found for nosuch" in admin.refusal("network show nosuch")
    assert "overlaps" in admin.refusal("subnet create more --network netx --subnet-range 10.9.0.0/25")
    admin.run("port delete portx port2")
    admin.run("subnet delete sub1")
    admin.run("network delete netx")
    assert admin.read("network list") == []


def test_security_groups(admin: Client) -> None:
    admin.run("security group create group1")
    rule = admin.read("security group rule create group1 --protocol tcp --dst-port 22 --remote-ip 0.0.0.0/0")
    assert (rule["port_range_min"], rule["remote_ip_prefix"]) == (22, "0.0.0.0/0")
    admin.run("security group rule create group1 --protocol icmp --remote-group group1")
    assert len(admin.read("security group rule list group1")) == 4
    assert "default" in {one["Name"] for one in admin.read("security group list")}
    admin.run("security group set group1 --description words")
    assert admin.read("security group show group1")["description"] == "words"
    admin.run("security group rule delete", rule["id"])
    admin.run("security group delete group1")


def test_routers_and_floating_ips(admin: Client) -> None:
    admin.run("network create public --external --provider-network-type flat --provider-physical-network public")
    admin.run("subnet create publics --network public --subnet-range 192.0.2.0/24 --no-dhcp")
    admin.run("network create inside")
    admin.run("subnet create insides --network inside --subnet-range 10.5.0.0/24")
    admin.run("port create guest --network inside")
    router = admin.read("router create router1 --external-gateway public")
    assert router["external_gateway_info"]["external_fixed_ips"]
    admin.run("router add subnet router1 insides")
    admin.run("router add route router1 --route destination=10.77.0.0/24,gateway=10.5.0.50")
    shown = admin.read("router show router1")
    assert shown["routes"] == [{"destination": "10.77.0.0/24", "nexthop": "10.5.0.50"}]
    assert len(shown["interfaces_info"]) == 1
    floating = admin.read("floating ip create public --port guest")
    address = floating["floating_ip_address"]
    assert [one["Floating IP Address"] for one in admin.read("floating ip list --router router1")] == [address]
    assert admin.read("floating ip show", address)["fixed_ip_address"] == floating["fixed_ip_address"]
    assert "required by one or more" in admin.refusal("router remove subnet router1 insides")
    admin.run("floating ip unset --port", address)
    admin.run("floating ip delete", address)
    admin.run("router remove route router1 --route destination=10.77.0.0/24,gateway=10.5.0.50")
    admin.run("router remove subnet router1 insides")
    admin.run("router unset router1 --external-gateway")
    for command in ("router delete router1", "port delete guest", "network delete inside public"):
        admin.run(command)


def test_qos(admin: Client) -> None:
    admin.run("network qos policy create policy1")
    rule = admin.read("network qos rule create policy1 --type bandwidth-limit --max-kbps 1000 --egress")
    admin.run("network qos rule set policy1", rule["id"], "--max-kbps", "2000")
    (listed,) = admin.read("network qos rule list policy1")
    assert listed["Max Kbps"] == 2000
    admin.run("network create limited --qos-policy policy1")
    assert "used by" in admin.refusal("network qos policy delete policy1")
    admin.run("network set limited --no-qos-policy")
    admin.run("network qos rule delete policy1", rule["id"])
    admin.run("network qos policy delete policy1")
    admin.run("network delete limited")


def test_extensions_that_are_promised_and_one_that_is_not(admin: Client) -> None:
    aliases = {one["Alias"] for one in admin.read("extension list --network")}
    assert {"router", "security-group", "qos", "provider", "suimon-port-block"} <= aliases
    assert admin.read("extension show router")["name"] == "Neutron L3 Router"
    assert "nosuch" in admin.refusal("extension show nosuch")
