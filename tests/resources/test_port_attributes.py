"""What else a port has: DHCP options, names, hints, and what is derived from its policy."""

from typing import Any

import pytest

from suimon.model import view
from suimon.model.actor import Actor
from suimon.model.settings import Settings
from suimon.model.view import DhcpOption
from suimon.resources.hosts import set_port_status
from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, SETTINGS, World, refused

MAC = "02:00:00:00:00:01"
NOVA = Actor("nova", "services", frozenset({"service"}), "req-nova")


@pytest.fixture
def network(world: World) -> str:
    network = world.network()
    world.subnet(network)
    return network


def options(port: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(o["opt_name"], o["opt_value"], o["ip_version"]) for o in port["extra_dhcp_opts"]]


def test_dhcp_options_are_merged(world: World, network: str) -> None:
    given = [
        {"opt_name": "bootfile-name", "opt_value": "a"},
        {"opt_name": "bootfile-name", "opt_value": "b", "ip_version": "6"},
        {"opt_name": "router", "opt_value": ""},
        {"opt_name": "mtu", "opt_value": None},
    ]
    port = world.port(network, extra_dhcp_opts=given)
    assert options(port) == [("bootfile-name", "a", 4), ("bootfile-name", "b", 6), ("router", "", 4)]
    change = [{"opt_name": "bootfile-name", "opt_value": "c"}, {"opt_name": "router", "opt_value": None}]
    changed = world.update("ports", port["id"], {"extra_dhcp_opts": change})
    assert options(changed) == [("bootfile-name", "c", 4), ("bootfile-name", "b", 6)]
    assert changed["revision_number"] == 1
    for nothing in (change, [], None):
        assert world.update("ports", port["id"], {"extra_dhcp_opts": nothing})["revision_number"] == 1
    assert world.get("ports", port["id"])["extra_dhcp_opts"] == changed["extra_dhcp_opts"]


@pytest.mark.parametrize(
    "item",
    [
        {"opt_name": "bootfile-name"}, {"opt_value": "x"}, {"opt_name": "", "opt_value": "x"}, "x", None, {"a": 1},
        {"opt_name": "a", "opt_value": ""}, {"opt_name": "a", "opt_value": "x\ny"}, {"opt_name": 7, "opt_value": "x"},
        {"opt_name": "a", "opt_value": "x" * 256}, {"opt_name": "a" * 65, "opt_value": "x"},
        {"opt_name": "router", "opt_value": "x" * 256}, {"opt_name": "a", "opt_value": "x", "ip_version": 5},
        {"opt_name": "a", "opt_value": "x", "ip_version": "six"}, {"opt_name": "a", "opt_value": "x", "more": 1},
    ],
)  # fmt: skip
def test_dhcp_options_that_are_none(world: World, network: str, item: Any) -> None:
    with refused("InvalidInput", f"Invalid input for operation: No valid key specs matched for: {item}."):
        world.port(network, extra_dhcp_opts=[item])


def test_lists_of_dhcp_options_that_are_none(world: World, network: str) -> None:
    one = {"opt_name": "a", "opt_value": "x"}
    with refused("InvalidInput", "'x' is not a list"):
        world.port(network, extra_dhcp_opts="x")
    with refused("InvalidInput", "Duplicate items in the list"):
        world.port(network, extra_dhcp_opts=[one, one])
    with refused("InvalidInput", "50 extra DHCP options at most"):
        world.port(network, extra_dhcp_opts=[{**one, "opt_name": str(n)} for n in range(51)])


def test_a_null_mac_is_a_new_one(world: World, network: str) -> None:
    port = world.port(network, mac_address=None)
    assert port["mac_address"].startswith("fa:16:3e:")
    changed = world.update("ports", port["id"], {"mac_address": None}, ADMIN)
    assert changed["mac_address"].startswith("fa:16:3e:")
    assert changed["mac_address"] != port["mac_address"]


def test_formed_addresses_follow_the_mac(world: World, network: str) -> None:
    world.subnet(network, "fd00::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    port = world.port(network, mac_address=MAC)
    assert [fixed["ip_address"] for fixed in port["fixed_ips"]] == ["10.0.0.2", "fd00::ff:fe00:1"]
    changed = world.update("ports", port["id"], {"mac_address": "02:00:00:00:00:02"}, ADMIN)
    assert [fixed["ip_address"] for fixed in changed["fixed_ips"]] == ["10.0.0.2", "fd00::ff:fe00:2"]
    slaac = changed["fixed_ips"][1]["subnet_id"]
    with refused("AllocationOnAutoAddressSubnet", "IPv6 address fd00::9 cannot be directly assigned"):
        world.update("ports", port["id"], {"fixed_ips": [{"subnet_id": slaac, "ip_address": "fd00::9"}]})


def test_an_address_more_on_the_same_subnet(world: World, network: str) -> None:
    port = world.port(network)
    wanted = [*port["fixed_ips"], {"subnet_id": port["fixed_ips"][0]["subnet_id"]}]
    changed = world.update("ports", port["id"], {"fixed_ips": wanted})
    assert [fixed["ip_address"] for fixed in changed["fixed_ips"]] == ["10.0.0.2", "10.0.0.3"]


def test_subnets_for_some_owners(world: World) -> None:
    network = world.network(ADMIN, project_id="red")
    served = world.subnet(network, "10.1.0.0/24", ADMIN, service_types=["compute:nova"])
    assert world.port(network, device_owner="compute:nova")["fixed_ips"][0]["subnet_id"] == served
    assert world.port(network, ADMIN, device_owner="network:dhcp")["fixed_ips"][0]["subnet_id"] == served
    words = f"No valid service subnet for the given device owner, network {network}, service type manila:share."
    with refused("IpAddressGenerationFailureNoMatchingSubnet", words):
        world.port(network, device_owner="manila:share")
    with refused("InvalidInput", f"included invalid subnet {served}"):
        world.port(network, fixed_ips=[{"subnet_id": served}])
    with refused("InvalidIpForNetwork"):
        world.port(network, fixed_ips=[{"ip_address": "10.1.0.9"}])
    assert world.port(network, fixed_ips=[])["fixed_ips"] == []
    plain = world.subnet(network, "10.2.0.0/24")
    assert world.port(network)["fixed_ips"][0]["subnet_id"] == plain


def test_how_addresses_were_chosen(world: World, network: str) -> None:
    assert world.port(network)["ip_allocation"] == "immediate"
    assert world.port(network, fixed_ips=[])["ip_allocation"] == "none"
    assert len(world.list("ports", "ip_allocation=none")) == 1


def test_names(world: World, network: str) -> None:
    port = world.port(network)
    said = {"ip_address": "10.0.0.2", "hostname": "host-10-0-0-2", "fqdn": "host-10-0-0-2.openstacklocal."}
    assert (port["dns_name"], port["dns_domain"], port["dns_assignment"]) == ("", "", [said])
    named = world.update("ports", port["id"], {"dns_name": "WEB"})
    assert named["dns_name"] == "web"
    assert named["dns_assignment"] == [{**said, "hostname": "web", "fqdn": "web.openstacklocal."}]
    assert world.get("ports", port["id"]) == named
    world.update("networks", network, {"dns_domain": "net.example."})
    assert world.list("ports")[0]["dns_assignment"][0]["fqdn"] == "web.net.example."
    both = world.update("ports", port["id"], {"dns_domain": "own.example."})
    assert both["dns_assignment"][0]["fqdn"] == "web.own.example."
    full = world.update("ports", port["id"], {"dns_name": "a.openstacklocal."})
    assert full["dns_assignment"][0]["fqdn"] == "a.openstacklocal."
    assert world.update("ports", port["id"], {"dns_name": None})["dns_name"] == ""


def test_names_of_ports_on_several_networks(world: World, network: str) -> None:
    other = world.network(dns_domain="other.example.")
    world.subnet(other)
    world.port(network, dns_name="a")
    world.port(other, dns_name="b")
    shown = sorted(port["dns_assignment"][0]["fqdn"] for port in world.list("ports"))
    assert shown == ["a.openstacklocal.", "b.other.example."]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"dns_name": "bad_name!"}, "'bad_name!' not a valid PQDN or FQDN. Reason: Name 'bad_name!' must be 1-63"),
        ({"dns_name": "a.example."}, "The dns_name passed is a FQDN. Its higher level labels must be equal"),
        ({"dns_name": ".".join(["a" * 60] * 4)}, "The dns_name passed is a PQDN and its size is '243'"),
        ({"dns_domain": "example"}, "'example' is not a FQDN"),
        ({"dns_name": 7}, "'7' is not a valid string"),
    ],
)
def test_names_that_are_none(world: World, network: str, body: dict[str, Any], words: str) -> None:
    with refused("HTTPBadRequest", words):
        world.port(network, **body)
    port = world.port(network)["id"]
    with refused("HTTPBadRequest", words):
        world.update("ports", port, body)


def test_the_installations_domain() -> None:
    world = World(Settings(vnis=SETTINGS.vnis, dns_domain="cloud.example."))
    network = world.network()
    world.subnet(network)
    assert world.port(network, dns_name="a")["dns_assignment"][0]["fqdn"] == "a.cloud.example."
    assert world.port(network, dns_name="b.cloud.example.")["dns_name"] == "b.cloud.example."
    world.close()


def test_trusted_and_offloaded(world: World, network: str) -> None:
    plain = world.port(network, ADMIN)
    assert (plain["trusted"], plain["binding:profile"]) == (None, {})
    port = world.update("ports", plain["id"], {"trusted": True}, ADMIN)
    assert (port["trusted"], port["binding:profile"]) == (True, {"trusted": True})
    assert world.port(network, ADMIN, trusted=False)["binding:profile"] == {"trusted": False}
    offloaded = world.port(network, NOVA, hardware_offload_type="switchdev", project_id="red")
    assert world.get("ports", offloaded["id"], ADMIN)["binding:profile"] == {"capabilities": ["switchdev"]}
    mixed = {"binding:profile": {"capabilities": ["switchdev", "x"]}, "hardware_offload_type": "switchdev"}
    port = world.port(network, NOVA, project_id="red", **mixed)
    assert port["binding:profile"] == {"capabilities": ["switchdev", "x"]}


def test_hints(world: World, network: str) -> None:
    hints = {"openvswitch": {"other_config": {"tx-steering": "hash"}}}
    assert world.port(network, ADMIN, hints=hints)["hints"] == hints
    for wrong, words in (
        ("x", "'x' is not a dictionary"),
        ({"other": {}}, "Unexpected keys supplied: other"),
        ({"openvswitch": {"other_config": {"tx-steering": "maybe"}}}, "maybe is not in valid_values"),
        ({"openvswitch": {"other_config": 7}}, "'7' is not a dictionary"),
    ):
        with refused("HTTPBadRequest", f"Invalid input for hints. Reason: {words}"):
            world.port(network, ADMIN, hints=wrong)


def test_numa_policy(world: World, network: str) -> None:
    world.host("h1")
    port = world.port(network, ADMIN, numa_affinity_policy="socket")
    assert port["numa_affinity_policy"] == "socket"
    world.update("ports", port["id"], {"binding:host_id": "h1", "numa_affinity_policy": None}, ADMIN)
    words = "port is already bound to host h1, numa_affinity_policy value given legacy."
    with refused("PortBoundNUMAAffinityPolicy", words):
        world.update("ports", port["id"], {"numa_affinity_policy": "legacy"}, ADMIN)
    with refused("HTTPBadRequest", "never is not in valid_values"):
        world.port(network, numa_affinity_policy="never")


def test_plain_attributes(world: World, network: str) -> None:
    port = world.port(network, device_profile="gpu", propagate_uplink_status=False)
    assert (port["device_profile"], port["propagate_uplink_status"]) == ("gpu", False)
    assert world.update("ports", port["id"], {"propagate_uplink_status": True})["propagate_uplink_status"]
    assert world.port(network)["propagate_uplink_status"]
    with refused("HTTPBadRequest", "Attribute 'data_plane_status' not allowed in POST"):
        world.port(network, ADMIN, data_plane_status="DOWN")
    watcher = Actor("w", "red", frozenset({"member", "data_plane_integrator"}))
    assert world.update("ports", port["id"], {"data_plane_status": "DOWN"}, watcher)["data_plane_status"] == "DOWN"


def test_address_pairs_of_groups(world: World, network: str) -> None:
    for ip in ("224.0.0.5", "ff02::/16"):
        with refused("HTTPBadRequest", f"IP {ip} is a multicast address, which is not supported."):
            world.port(network, allowed_address_pairs=[{"ip_address": ip}])


def minimum(world: World, policy: str, kind: str, **body: Any) -> str:
    child = RESOURCES["qos/policies"].children[kind]
    assert child.create
    return world.write(lambda tx: child.create(tx, ADMIN, policy, child.spec.for_create(body, ADMIN))).id  # type: ignore[misc]


def test_what_placement_is_asked_for(world: World, network: str) -> None:
    policy = world.create("qos/policies", by=ADMIN, project_id="red")["id"]
    provider = world.create(
        "networks",
        {"provider:network_type": "vlan", "provider:physical_network": "physnet1", "project_id": "red"},
        ADMIN,
    )["id"]
    port = world.port(provider, ADMIN, qos_policy_id=policy)
    assert port["resource_request"] is None
    for direction, rate in (("egress", 1000), ("ingress", 2000)):
        minimum(world, policy, "minimum_bandwidth_rules", direction=direction, min_kbps=rate)
    minimum(world, policy, "minimum_packet_rate_rules", direction="any", min_kpps=500)
    shown = world.get("ports", port["id"], ADMIN)["resource_request"]
    bandwidth, packets = shown["request_groups"]
    assert shown["same_subtree"] == [bandwidth["id"], packets["id"]]
    assert bandwidth["required"] == ["CUSTOM_PHYSNET_PHYSNET1", "CUSTOM_VNIC_TYPE_NORMAL"]
    assert bandwidth["resources"] == {"NET_BW_EGR_KILOBIT_PER_SEC": 1000, "NET_BW_IGR_KILOBIT_PER_SEC": 2000}
    assert packets["required"] == ["CUSTOM_VNIC_TYPE_NORMAL"]
    assert packets["resources"] == {"NET_PACKET_RATE_KILOPACKET_PER_SEC": 500}
    assert world.update("ports", port["id"], {"name": "x"}, ADMIN)["resource_request"] == shown
    made = world.port(provider, ADMIN, qos_policy_id=policy, **{"binding:vnic_type": "direct-physical"})
    assert "CUSTOM_VNIC_TYPE_DIRECT_PHYSICAL" in made["resource_request"]["request_groups"][0]["required"]
    world.update("networks", network, {"qos_policy_id": policy}, ADMIN)
    inherited = world.port(network, ADMIN)["resource_request"]
    assert [group["resources"] for group in inherited["request_groups"]] == [packets["resources"]]
    assert world.update("ports", port["id"], {"qos_policy_id": None}, ADMIN)["resource_request"] is None


def test_a_port_that_moves_takes_its_floating_ip_down(world: World, network: str) -> None:
    world.host("h1")
    port = world.port(network, ADMIN, **{"binding:host_id": "h1"})["id"]
    outside, subnet = world.outside(), world.get("networks", network)["subnets"][0]
    router = world.router(external_gateway_info={"network_id": outside})
    world.act(router, "add_router_interface", {"subnet_id": subnet})
    floating = world.create("floatingips", floating_network_id=outside, port_id=port, by=ADMIN)["id"]
    world.write(lambda tx: set_port_status(tx, "h1", [view.PortReport(port, "ACTIVE")]))
    assert world.get("floatingips", floating, ADMIN)["status"] == "ACTIVE"
    world.update("ports", port, {"binding:host_id": "h2"}, ADMIN)
    assert world.get("ports", port)["status"] == "DOWN"
    assert world.get("floatingips", floating, ADMIN)["status"] == "DOWN"


def test_hosts_are_told_of_dhcp_options(world: World, network: str) -> None:
    from suimon.distribution.objects import read

    world.host("h1")
    given = [{"opt_name": "mtu", "opt_value": "1400"}, {"opt_name": "mtu", "opt_value": "1300", "ip_version": 6}]
    port = world.port(network, ADMIN, extra_dhcp_opts=given, **{"binding:host_id": "h1"})["id"]
    (told,) = world.read(lambda tx: read(tx, ["host:h1"], []))
    assert isinstance(told, view.Port)
    assert told.dhcp_options == (DhcpOption("mtu", "1400"),)
    assert told.dhcp6_options == (DhcpOption("mtu", "1300", 6),)
    before = world.read(lambda tx: tx.position()[2])
    world.update("ports", port, {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": None}]}, ADMIN)
    changes = world.read(lambda tx: tx.changes_after(before)) or []
    assert ("port", port, "host:h1") in {(change.kind, change.id, change.scope) for change in changes}


def test_hosts_are_told_of_names_and_ipv6_modes(world: World) -> None:
    from suimon.distribution.objects import read

    world.host("h1")
    network = world.network(dns_domain="cloud.example.")
    subnet = world.subnet(network, "fd00::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    port = world.port(network, ADMIN, dns_name="web", **{"binding:host_id": "h1"})["id"]
    told = {view.key(each): each for each in world.read(lambda tx: read(tx, ["host:h1", f"network:{network}"], []))}
    of_network, of_subnet, of_port = (told[key] for key in (("network", network), ("subnet", subnet), ("port", port)))
    assert isinstance(of_network, view.Network) and of_network.dns_domain == "cloud.example."
    assert isinstance(of_subnet, view.Subnet) and of_subnet.ra_mode == of_subnet.address_mode == "slaac"
    assert isinstance(of_port, view.Port) and of_port.dns_name == "web"
    before = world.read(lambda tx: tx.position()[2])
    world.update("networks", network, {"dns_domain": "other.example."}, ADMIN)
    world.update("ports", port, {"dns_name": "www"}, ADMIN)
    changes = world.read(lambda tx: tx.changes_after(before)) or []
    touched = {(change.kind, change.scope) for change in changes}
    assert {("network", f"network:{network}"), ("port", "host:h1")} <= touched
