"""Ports: addresses, MACs, groups, binding."""

from typing import Any

import msgspec
import pytest

from suimon.resources import ports
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, SETTINGS, World, refused

MAC = "02:00:00:00:00:01"


def ips(port: dict[str, Any]) -> list[str]:
    return [fixed["ip_address"] for fixed in port["fixed_ips"]]


@pytest.fixture
def network(world: World) -> str:
    network = world.network()
    world.subnet(network, name="first")
    return network


@pytest.fixture
def subnet(world: World, network: str) -> str:
    return str(world.list("subnets", f"network_id={network}")[0]["id"])


def test_a_plain_port(world: World, network: str, subnet: str) -> None:
    port = world.port(network)
    (default,) = world.list("security-groups")
    assert port["fixed_ips"] == [{"subnet_id": subnet, "ip_address": "10.0.0.2"}]
    assert (port["status"], port["security_groups"], port["port_security_enabled"]) == ("DOWN", [default["id"]], True)
    assert port["mac_address"].startswith("fa:16:3e:")
    assert world.get("ports", port["id"]) == port
    assert ips(world.port(network)) == ["10.0.0.3"]
    assert len(world.list("security-groups")) == 1


def test_an_address_is_given_or_of_a_subnet(world: World, network: str, subnet: str) -> None:
    other = world.subnet(network, "10.0.1.0/24")
    assert ips(world.port(network, fixed_ips=[{"ip_address": "10.0.1.77"}])) == ["10.0.1.77"]
    assert ips(world.port(network, fixed_ips=[{"subnet_id": other}, {"subnet_id": subnet}])) == ["10.0.1.2", "10.0.0.2"]
    assert ips(world.port(network, fixed_ips=[{"subnet_id": subnet, "ip_address": "10.0.0.1"}])) == ["10.0.0.1"]
    assert ips(world.port(network, fixed_ips=[])) == []


def test_the_next_subnet_helps_out(world: World) -> None:
    network = world.network()
    world.subnet(network, "10.0.0.0/30")
    world.subnet(network, "10.0.1.0/30")
    made = world.create_many("ports", [{"network_id": network}, {"network_id": network}])
    assert [ips(port) for port in made] == [["10.0.0.2"], ["10.0.1.2"]]
    with refused("IpAddressGenerationFailure"):
        world.port(network)


def test_one_address_of_each_version(world: World, network: str) -> None:
    world.subnet(network, "fd00::/64")
    assert ips(world.port(network)) == ["10.0.0.2", "fd00::1"]


def test_a_network_without_subnets_gives_no_address(world: World) -> None:
    assert world.port(world.network())["fixed_ips"] == []


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"fixed_ips": [{"ip_address": "192.0.2.1"}]}, "InvalidIpForNetwork", "any of the subnets on the specified"),
        ({"fixed_ips": [{"ip_address": "10.0.0.255"}]}, "InvalidIpForNetwork", ""),
        (
            {"fixed_ips": [{"subnet_id": "SUBNET", "ip_address": "10.0.0.255"}]},
            "InvalidIpForSubnet",
            "10.0.0.255 is not",
        ),
        ({"fixed_ips": [{"subnet_id": "SUBNET", "ip_address": "10.9.0.1"}]}, "InvalidIpForSubnet", ""),
        ({"fixed_ips": [{"subnet_id": NOBODY}]}, "SubnetNotFound", f"Subnet {NOBODY} could not be found."),
        ({"fixed_ips": [{"subnet_id": "ELSEWHERE"}]}, "InvalidInput", "included invalid subnet"),
        ({"fixed_ips": [{"ip_address": "10.0.0.50"}]}, "IpAddressAlreadyAllocated", "IP address 10.0.0.50 already"),
        ({"mac_address": MAC}, "MacAddressInUse", f"The mac address {MAC} is in use."),
        ({"security_groups": [NOBODY]}, "SecurityGroupNotFound", f"Security group {NOBODY} does not exist"),
        ({"security_groups": ["BOBS"]}, "SecurityGroupNotFound", ""),
        ({"network_id": NOBODY}, "NetworkNotFound", f"Network {NOBODY} could not be found."),
        ({"qos_policy_id": NOBODY}, "QosPolicyNotFound", ""),
        (
            {"port_security_enabled": False, "security_groups": ["GROUP"]},
            "PortSecurityAndIPRequiredForSecurityGroups",
            "",
        ),
        (
            {"port_security_enabled": False, "allowed_address_pairs": [{"ip_address": "1.1.1.1"}]},
            "AddressPairAndPortSecurityRequired",
            "Port Security must be enabled",
        ),
        ({"device_owner": "network:router_interface", "device_id": "ROUTER"}, "DeviceIDNotOwnedByTenant", "ROUTER"),
        ({"device_owner": "network:router_gateway", "device_id": "ROUTER"}, "DeviceIDNotOwnedByTenant", ""),
    ],
)
def test_impossible_ports(world: World, network: str, subnet: str, body: dict[str, Any], kind: str, words: str) -> None:
    world.port(network, fixed_ips=[{"ip_address": "10.0.0.50"}], mac_address=MAC)
    names = {
        "SUBNET": subnet,
        "ELSEWHERE": world.subnet(world.network()),
        "GROUP": world.create("security-groups", name="g")["id"],
        "BOBS": world.create("security-groups", name="g", by=BOB)["id"],
        "ROUTER": world.router(),
    }

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(item) for item in value]
        return {k: filled(v) for k, v in value.items()} if isinstance(value, dict) else names.get(value, value)

    with refused(kind, filled(words)):
        world.create("ports", {"network_id": network, **filled(body)})
    assert len(world.list("ports")) == 1
    assert ips(world.port(network)) == ["10.0.0.2"]


def test_a_bulk_is_all_or_nothing_and_minds_itself(world: World, network: str, subnet: str) -> None:
    one = {"network_id": network}
    for kind, bodies in {
        "MacAddressInUse": [{**one, "mac_address": MAC}, {**one, "mac_address": MAC}],
        "IpAddressAlreadyAllocated": [{**one, "fixed_ips": [{"ip_address": "10.0.0.2"}]}] * 2,
        "NetworkNotFound": [one, {"network_id": NOBODY}],
    }.items():
        with refused(kind):
            world.create_many("ports", bodies)
    assert world.list("ports") == []
    made = world.create_many("ports", [one, {**one, "fixed_ips": [{"ip_address": "10.0.0.2"}]}, one])
    assert [ips(port) for port in made] == [["10.0.0.3"], ["10.0.0.2"], ["10.0.0.4"]]
    elsewhere = world.network()
    world.subnet(elsewhere, "10.5.0.0/24")
    made = world.create_many("ports", [one, {"network_id": elsewhere}, one])
    assert [ips(port) for port in made] == [["10.0.0.5"], ["10.5.0.2"], ["10.0.0.6"]]


def test_a_random_mac_that_is_taken_is_tried_again(world: World, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    macs = iter([MAC, MAC, "02:00:00:00:00:02"])
    monkeypatch.setattr(ports, "new_mac", lambda prefix: next(macs))
    assert [world.port(network)["mac_address"] for _ in range(2)] == [MAC, "02:00:00:00:00:02"]


def test_a_bulk_finds_macs_that_nobody_has() -> None:
    world = World(msgspec.structs.replace(SETTINGS, mac_prefix="fa:16:3e:00:00"))
    network = world.network()
    made = [port for _ in range(2) for port in world.create_many("ports", [{"network_id": network}] * 60)]
    assert len({port["mac_address"] for port in made}) == 120
    with refused("MacAddressGenerationFailure", "Unable to generate unique mac"):
        world.create_many("ports", [{"network_id": network}] * 200)
    world.close()


def test_guests_form_addresses_from_their_mac(world: World, network: str) -> None:
    slaac = world.subnet(network, "fd00::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    formed = "fd00::ff:fe00:1"
    given = {"fixed_ips": [{"subnet_id": slaac, "ip_address": formed}, {"ip_address": "10.0.0.9"}]}
    assert ips(world.port(network, mac_address=MAC, **given)) == ["10.0.0.9", formed]
    with refused("AllocationOnAutoAddressSubnet"):
        world.port(network, fixed_ips=[{"subnet_id": slaac, "ip_address": "fd00::5"}])


def test_formed_addresses_stay_when_others_move(world: World, network: str) -> None:
    slaac = world.subnet(network, "fd00::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    port = world.port(network, mac_address=MAC)["id"]
    for wanted in ([{"ip_address": "10.0.0.9"}], [{"ip_address": "10.0.0.9"}, {"subnet_id": slaac}]):
        assert sorted(ips(world.update("ports", port, {"fixed_ips": wanted}))) == ["10.0.0.9", "fd00::ff:fe00:1"]


def test_moving_to_other_addresses(world: World, network: str, subnet: str) -> None:
    port = world.port(network)["id"]
    keep = {"subnet_id": subnet, "ip_address": "10.0.0.2"}
    changed = world.update("ports", port, {"fixed_ips": [keep, {"ip_address": "10.0.0.9"}]})
    assert ips(changed) == ["10.0.0.2", "10.0.0.9"]
    assert ips(world.update("ports", port, {"fixed_ips": [{"ip_address": "10.0.0.9"}]})) == ["10.0.0.9"]
    assert ips(world.port(network)) == ["10.0.0.2"]
    with refused("IpAddressAlreadyAllocated"):
        world.update("ports", port, {"fixed_ips": [{"ip_address": "10.0.0.2"}]})
    assert ips(world.update("ports", port, {"fixed_ips": [{"subnet_id": subnet}]})) == ["10.0.0.9"]
    with refused("InvalidIpForSubnet"):
        world.update("ports", port, {"fixed_ips": [{"subnet_id": subnet, "ip_address": "10.0.0.255"}]})
    assert world.update("ports", port, {"fixed_ips": []})["fixed_ips"] == []
    assert ips(world.port(network)) == ["10.0.0.3"]


def test_groups_and_port_security(world: World, network: str) -> None:
    group = world.create("security-groups", name="g")["id"]
    port = world.port(network, security_groups=[group])["id"]
    with refused("PortSecurityPortHasSecurityGroup"):
        world.update("ports", port, {"port_security_enabled": False})
    with refused("SecurityGroupNotFound"):
        world.update("ports", port, {"security_groups": [NOBODY]})
    off = world.update("ports", port, {"port_security_enabled": False, "security_groups": []})
    assert (off["security_groups"], off["port_security_enabled"]) == ([], False)
    world.delete("security-groups", group)
    with refused("AddressPairAndPortSecurityRequired"):
        world.update("ports", port, {"allowed_address_pairs": [{"ip_address": "1.1.1.1"}]})
    on = world.update("ports", port, {"port_security_enabled": True})
    assert (on["port_security_enabled"], on["security_groups"]) == (True, [])


def test_address_pairs_have_the_ports_mac_unless_they_say_so(world: World, network: str) -> None:
    pairs = [{"ip_address": "1.1.1.1"}, {"ip_address": "10.0.0.0/28", "mac_address": "02:00:00:00:00:09"}]
    port = world.port(network, mac_address=MAC, allowed_address_pairs=pairs)
    assert port["allowed_address_pairs"] == [{"ip_address": "1.1.1.1", "mac_address": MAC}, pairs[1]]
    assert world.update("ports", port["id"], {"allowed_address_pairs": []})["allowed_address_pairs"] == []


def test_binding(world: World, network: str) -> None:
    world.host("h1")
    port = world.port(network, ADMIN, project_id="red")
    assert port["binding:vif_type"] == "unbound"

    def bound(host: str) -> Any:
        shown = world.update("ports", port["id"], {"binding:host_id": host}, ADMIN)
        assert world.get("ports", port["id"], ADMIN) == shown
        return shown["binding:vif_type"]

    assert [bound("nosuch"), bound("h1"), bound("")] == ["binding_failed", "ovs", "unbound"]
    bound("h1")
    hardware = world.update("ports", port["id"], {"binding:vnic_type": "direct"}, ADMIN)
    assert hardware["binding:vif_type"] == "binding_failed"
    assert world.update("ports", port["id"], {"mac_address": MAC}, ADMIN)["mac_address"] == MAC
    world.update("ports", port["id"], {"binding:vnic_type": "normal"}, ADMIN)
    words = f"port is already bound, port type: ovs, old_mac {MAC}, new_mac 02:00:00:00:00:0a."
    with refused("PortBound", words):
        world.update("ports", port["id"], {"mac_address": "02:00:00:00:00:0a"}, ADMIN)
    assert not [name for name in world.get("ports", port["id"]) if name.startswith("binding:h")]


def test_null_unbinds(world: World, network: str) -> None:
    port = world.port(network, ADMIN, **{"binding:host_id": "h"})
    unbound = world.update("ports", port["id"], {"binding:host_id": None}, ADMIN)
    assert (unbound["binding:host_id"], unbound["binding:vif_type"]) == ("", "unbound")


def test_a_new_mac(world: World, network: str) -> None:
    world.port(network, mac_address=MAC)
    port = world.port(network)["id"]
    with refused("MacAddressInUse"):
        world.update("ports", port, {"mac_address": MAC}, ADMIN)
    changed = world.update("ports", port, {"mac_address": "02-00-00-00-00-0A"}, ADMIN)
    assert changed["mac_address"] == "02:00:00:00:00:0a"


def test_a_routers_port_is_the_routers(world: World, network: str, subnet: str) -> None:
    router = world.router()
    leg = world.act(router, "add_router_interface", {"subnet_id": subnet})["port_id"]
    owner = "Port " + leg + " cannot be deleted directly via the port API: has device owner network:router_interface."
    with refused("ServicePortInUse", owner):
        world.delete("ports", leg)
    for body in ({"device_id": "x"}, {"device_owner": ""}):
        with refused("ServicePortInUse"):
            world.update("ports", leg, body)
    with refused("IPAddressChangeNotAllowed", f"IP updates for port {leg} are not allowed"):
        world.update("ports", leg, {"fixed_ips": []})
    assert world.update("ports", leg, {"name": "leg"})["name"] == "leg"
    port = world.port(network, device_owner="compute:nova", device_id=router)["id"]
    with refused("DeviceIDNotOwnedByTenant"):
        world.update("ports", port, {"device_owner": "network:router_interface"})


def test_a_port_that_only_says_it_is_a_routers_can_go(world: World, network: str) -> None:
    world.delete("ports", world.port(network, device_owner="network:router_interface", device_id="x")["id"])


def test_a_floating_ips_port_is_the_floating_ips(world: World) -> None:
    outside = world.outside()
    world.create("floatingips", floating_network_id=outside)
    (port,) = world.list("ports", f"network_id={outside}", ADMIN)
    with refused("ServicePortInUse"):
        world.delete("ports", port["id"], ADMIN)


def test_revisions_and_strangers(world: World, network: str) -> None:
    port = world.port(network)["id"]
    assert world.update("ports", port, {"name": ""})["revision_number"] == 0
    assert world.update("ports", port, {"name": "x"})["revision_number"] == 1
    for refuse in (lambda: world.update("ports", port, {"name": "y"}, expected=0),
                   lambda: world.delete("ports", port, expected=0)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()
    for read in (world.get, world.delete, lambda path, id_, by: world.update(path, id_, {"name": "x"}, by)):
        with refused("PortNotFound", f"Port {port} could not be found."):
            read("ports", port, BOB)


def test_the_networks_owner_sees_and_removes_what_others_put_there(world: World) -> None:
    network = world.network(ADMIN, project_id="red", shared=True)
    port = world.port(network, BOB)["id"]
    assert [one["id"] for one in world.list("ports", by=ALICE)] == [port]
    world.delete("ports", port, ALICE)


def test_a_new_project_gets_its_own_default_group(world: World) -> None:
    network = world.network(ADMIN, shared=True)
    made = world.create_many("ports", [{"network_id": network, "project_id": p} for p in ("red", "blue", "red")], ADMIN)
    groups = [port["security_groups"] for port in made]
    assert groups[0] == groups[2] != groups[1]
