"""Subnets: addresses that fit together, and what may change later."""

from typing import Any

import pytest

from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused

POOLS = "allocation_pools"


def pool(start: str, end: str) -> dict[str, Any]:
    return {POOLS: [{"start": start, "end": end}]}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"cidr": "10.2.0.5/24"}, {"cidr": "10.2.0.0/24", "gateway_ip": "10.2.0.1", **pool("10.2.0.2", "10.2.0.254")}),
        ({"cidr": "10.2.0.0/24", "gateway_ip": None}, {"gateway_ip": None, **pool("10.2.0.1", "10.2.0.254")}),
        (
            {"cidr": "10.2.0.0/24", "gateway_ip": "10.3.0.1"},
            {"gateway_ip": "10.3.0.1", **pool("10.2.0.1", "10.2.0.254")},
        ),
        ({"cidr": "10.2.0.0/24", "gateway_ip": "10.2.0.254"}, pool("10.2.0.1", "10.2.0.253")),
        (
            {"cidr": "10.2.0.0/29", "gateway_ip": "10.2.0.3"},
            {POOLS: [{"start": "10.2.0.1", "end": "10.2.0.2"}, {"start": "10.2.0.4", "end": "10.2.0.6"}]},
        ),
        ({"cidr": "10.2.0.0/31", "gateway_ip": None, "enable_dhcp": False}, pool("10.2.0.0", "10.2.0.1")),
        ({"cidr": "10.2.0.7/32", "enable_dhcp": False}, {"gateway_ip": None, **pool("10.2.0.7", "10.2.0.7")}),
        ({"cidr": "fd00:5::/64"}, {"gateway_ip": "fd00:5::", **pool("fd00:5::1", "fd00:5::ffff:ffff:ffff:ffff")}),
        (
            {"cidr": "fd00:5::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"},
            {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"},
        ),
        ({"cidr": "10.2.0.0/24", POOLS: []}, {POOLS: []}),
        ({"cidr": "10.2.0.0/24", "dns_nameservers": ["10.9.9.9"]}, {"dns_nameservers": ["10.9.9.9"]}),
    ],
)
def test_defaults(world: World, given: dict[str, Any], shown: dict[str, Any]) -> None:
    version = 6 if ":" in given["cidr"] else 4
    made = world.create("subnets", {"network_id": world.network(), "ip_version": version, **given})
    assert {name: made[name] for name in shown} == shown
    assert world.get("subnets", made["id"]) == made


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"cidr": "10.1.0.0/25"}, "InvalidInput", "overlaps with another subnet."),
        ({}, "BadRequest", "Bad subnets request: a subnetpool must be specified in the absence of a cidr."),
        ({"cidr": "fd00::/64"}, "InvalidInput", "cidr 'fd00::/64' does not match the ip_version '4'."),
        ({"cidr": "10.0.0.0/0"}, "InvalidInput", "prefix length"),
        ({"cidr": "127.0.0.0/24"}, "InvalidInput", "loopback"),
        ({"cidr": "224.1.0.0/24"}, "InvalidInput", "multicast"),
        ({"cidr": "192.0.0.0/2"}, "InvalidInput", "multicast"),
        ({"cidr": "0.0.0.0/1"}, "InvalidInput", "unspecified"),
        ({"gateway_ip": "224.0.0.1"}, "InvalidInput", "Gateway is not valid on subnet."),
        ({"gateway_ip": "0.0.0.0"}, "InvalidInput", "Gateway is not valid on subnet."),
        ({"gateway_ip": "10.2.0.255"}, "InvalidInput", "Gateway is not valid on subnet."),
        ({"gateway_ip": "10.2.0.0"}, "InvalidInput", "Gateway is not valid on subnet."),
        ({"gateway_ip": "fd00::1"}, "InvalidInput", "does not match the ip_version '4'."),
        (
            pool("10.2.0.9", "10.2.0.2"),
            "InvalidAllocationPool",
            "{'start': '10.2.0.9', 'end': '10.2.0.2'} is not valid.",
        ),
        (pool("10.2.4.9", "10.2.4.22"), "OutOfBoundsAllocationPool", "10.2.4.9-10.2.4.22 spans beyond the subnet cidr"),
        (pool("10.2.0.9", "10.2.0.255"), "OutOfBoundsAllocationPool", ""),
        (pool("10.2.0.9", "fd00::1"), "InvalidInput", "does not match the ip_version '4'."),
        (
            {POOLS: [*pool("10.2.0.9", "10.2.0.20")[POOLS], *pool("10.2.0.15", "10.2.0.22")[POOLS]]},
            "OverlappingAllocationPools",
            "10.2.0.9-10.2.0.20 10.2.0.15-10.2.0.22 for subnet 10.2.0.0/24.",
        ),
        (
            {"gateway_ip": "10.2.0.10", **pool("10.2.0.9", "10.2.0.20")},
            "GatewayConflictWithAllocationPools",
            "Gateway ip 10.2.0.10 conflicts with allocation pool 10.2.0.9-10.2.0.20.",
        ),
        ({"dns_nameservers": [f"10.9.9.{n}" for n in range(6)]}, "DNSNameServersExhausted", "limit 5."),
        (
            {"host_routes": [{"destination": f"10.9.{n}.0/24", "nexthop": "10.2.0.2"} for n in range(21)]},
            "HostRoutesExhausted",
            "limit 20.",
        ),
        ({"host_routes": [{"destination": "fd00::/64", "nexthop": "10.2.0.2"}]}, "InvalidInput", "ip_version"),
        ({"ipv6_ra_mode": "slaac"}, "InvalidInput", "ipv6_ra_mode is not valid when ip_version is 4."),
        ({"subnetpool_id": NOBODY}, "SubnetPoolNotFound", NOBODY),
        ({"network_id": NOBODY}, "NetworkNotFound", f"Network {NOBODY} could not be found."),
        (
            {"cidr": "fd00::/64", "ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"},
            "InvalidInput",
            "If both attributes are set, they must be the same value.",
        ),
        (
            {"cidr": "fd00::/72", "ip_version": 6, "ipv6_address_mode": "slaac"},
            "InvalidInput",
            "requires the prefix to be /64.",
        ),
    ],
)
def test_impossible_subnets(world: World, given: dict[str, Any], kind: str, words: str) -> None:
    network = world.network()
    world.subnet(network, "10.1.0.0/24")
    body = {"network_id": network, "ip_version": 4, **({"cidr": "10.2.0.0/24"} if given else {}), **given}
    with refused(kind, words):
        world.create("subnets", body)
    assert len(world.list("subnets")) == 1


def test_update(world: World) -> None:
    network = world.network()
    subnet = world.subnet(network)
    with refused("GatewayConflictWithAllocationPools"):
        world.update("subnets", subnet, {"gateway_ip": "10.0.0.9"})
    assert world.update("subnets", subnet, {POOLS: None})["revision_number"] == 0
    changed = world.update(
        "subnets", subnet, {**pool("10.0.0.10", "10.0.0.11"), "gateway_ip": None, "enable_dhcp": False}
    )
    assert (changed["gateway_ip"], changed["enable_dhcp"]) == (None, False)
    got = [world.port(network)["fixed_ips"][0]["ip_address"] for _ in range(2)]
    assert got == ["10.0.0.10", "10.0.0.11"]
    with refused("IpAddressGenerationFailure", f"No more IP addresses available on network {network}."):
        world.port(network)
    world.update("subnets", subnet, pool("10.0.0.10", "10.0.0.12"))
    assert world.port(network)["fixed_ips"][0]["ip_address"] == "10.0.0.12"
    for refuse in (lambda: world.update("subnets", subnet, {"name": "x"}, expected=0),
                   lambda: world.delete("subnets", subnet, expected=0)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()


def test_the_gateway_of_a_router_stays(world: World) -> None:
    network, router = world.network(), world.router()
    subnet = world.subnet(network, **pool("10.0.0.100", "10.0.0.200"))
    world.act(router, "add_router_interface", {"subnet_id": subnet})
    with refused("GatewayIpInUse"):
        world.update("subnets", subnet, {"gateway_ip": "10.0.0.2"})
    world.act(router, "remove_router_interface", {"subnet_id": subnet})
    assert world.update("subnets", subnet, {"gateway_ip": "10.0.0.2"})["gateway_ip"] == "10.0.0.2"


def test_a_subnet_in_use_stays(world: World) -> None:
    network = world.network()
    subnet = world.subnet(network)
    port = world.port(network)["id"]
    with refused("SubnetInUse", f"subnet {subnet}: One or more ports have an IP allocation from this subnet."):
        world.delete("subnets", subnet)
    world.delete("ports", port)
    world.delete("subnets", subnet)
    assert world.get("networks", network)["subnets"] == []


def test_addresses_that_guests_form_go_with_their_subnet(world: World) -> None:
    network = world.network()
    world.subnet(network)
    slaac = world.subnet(network, "fd00::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    port = world.port(network, mac_address="02:00:00:00:00:01")
    assert [fixed["ip_address"] for fixed in port["fixed_ips"]] == ["10.0.0.2", "fd00::ff:fe00:1"]
    world.delete("subnets", slaac)
    assert [fixed["ip_address"] for fixed in world.get("ports", port["id"])["fixed_ips"]] == ["10.0.0.2"]


def test_who_sees_what(world: World) -> None:
    private = world.subnet(world.network())
    shared = world.subnet(world.network(ADMIN, shared=True), by=ADMIN)
    assert [one["id"] for one in world.list("subnets", by=BOB)] == [shared]
    for read in (world.get, world.delete, lambda path, id_, by: world.update(path, id_, {"name": "x"}, by)):
        with refused("SubnetNotFound", f"Subnet {private} could not be found."):
            read("subnets", private, BOB)
    with refused("PolicyNotAuthorized"):
        world.subnet(world.network(ADMIN, shared=True), "10.7.0.0/24", ALICE)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cidr": "10.2.0.0/31"}, "Subnet has a prefix length that is incompatible with DHCP service enabled."),
        ({"cidr": "fd00::/127", "ip_version": 6}, "incompatible with DHCP"),
        ({"cidr": "::/64", "ip_version": 6}, "IPv6 subnet '::' is not supported."),
        (
            {"cidr": "fd00::/64", "ip_version": 6, "ipv6_ra_mode": "slaac", "enable_dhcp": False},
            "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False.",
        ),
        ({"cidr": "fd00::/72", "ip_version": 6, "ipv6_ra_mode": "dhcpv6-stateless"}, "prefix to be /64."),
    ],
)
def test_dhcp_needs_room(world: World, given: dict[str, Any], words: str) -> None:
    with refused("InvalidInput", words):
        world.create("subnets", {"network_id": world.network(), "ip_version": 4, **given})


def test_dhcp_stays_where_the_modes_need_it(world: World) -> None:
    network = world.network()
    automatic = world.subnet(network, "fd00::/64", ipv6_ra_mode="slaac")
    with refused("InvalidInput", "Cannot disable enable_dhcp with ipv6 attributes set."):
        world.update("subnets", automatic, {"enable_dhcp": False})
    small = world.subnet(network, "10.2.0.0/31", enable_dhcp=False, gateway_ip=None)
    with refused("InvalidInput", "incompatible with DHCP service enabled."):
        world.update("subnets", small, {"enable_dhcp": True})


def test_guests_form_addresses_of_a_new_subnet(world: World) -> None:
    network = world.network()
    port = world.port(network, mac_address="02:00:00:00:00:01")["id"]
    subnet = world.subnet(network, "fd00::/64", ipv6_ra_mode="dhcpv6-stateless")
    assert world.get("ports", port)["fixed_ips"] == [{"subnet_id": subnet, "ip_address": "fd00::ff:fe00:1"}]
    other = world.port(network, mac_address="02:00:00:00:00:02")["fixed_ips"]
    assert [one["ip_address"] for one in other] == ["fd00::ff:fe00:2"]
    with refused("IpAddressAlreadyAllocated"):
        world.port(network, device_owner="network:router_interface", fixed_ips=[{"ip_address": "fd00::ff:fe00:1"}])


@pytest.mark.parametrize(
    ("types", "kind", "words"),
    [
        ("compute:x", "HTTPBadRequest", "Subnet service types must be a list."),
        ([7], "InvalidInputSubnetServiceType", "Subnet service type 7 is not a string."),
        (["x:y"], "InvalidSubnetServiceType", "Subnet service type x:y does not correspond to a valid device owner."),
    ],
)
def test_service_types(world: World, types: object, kind: str, words: str) -> None:
    network = world.network()
    with refused(kind, words):
        world.subnet(network, by=ADMIN, service_types=types)
    made = world.get("subnets", world.subnet(network, by=ADMIN, service_types=["network:dhcp", "compute:x"]))
    assert made["service_types"] == ["network:dhcp", "compute:x"]
    assert world.update("subnets", made["id"], {"service_types": None}, ADMIN)["service_types"] == []


def test_all_subnets_of_a_network_are_on_its_segment_or_none_is(world: World) -> None:
    network, other = world.network(), world.network()
    segments = {one["network_id"]: one["id"] for one in world.list("segments", by=ADMIN)}
    subnet = world.subnet(network, by=ADMIN, segment_id=segments[network])
    assert world.get("subnets", subnet, ADMIN)["segment_id"] == segments[network]
    assert world.get("networks", network)["l2_adjacency"] is False
    with refused("SubnetsNotAllAssociatedWithSegments", f"All of the subnets on network '{network}' must either all"):
        world.subnet(network, "10.9.0.0/24")
    world.subnet(network, "10.9.0.0/24", ADMIN, service_types=["network:routed"])
    with refused("NetworkIdsDontMatch", f"doesn't match the network_id of segment '{segments[network]}'."):
        world.subnet(other, by=ADMIN, segment_id=segments[network])
    with refused("SegmentNotFound"):
        world.subnet(other, by=ADMIN, segment_id=NOBODY)
    with refused("SubnetSegmentAssociationChangeNotAllowed"):
        world.update("subnets", subnet, {"segment_id": None}, ADMIN)
    plain = world.subnet(other)
    assert world.update("subnets", plain, {"segment_id": segments[other]}, ADMIN)["segment_id"] == segments[other]


def test_the_addresses_of_ports_that_only_serve_go_with_their_subnet(world: World) -> None:
    network = world.network()
    subnet = world.subnet(network)
    port = world.port(network, device_owner="network:dhcp")["id"]
    world.delete("subnets", subnet)
    assert world.get("ports", port)["fixed_ips"] == []


def test_subnets_of_external_networks_are_seen(world: World) -> None:
    outside, own = world.outside(), world.subnet(world.network())
    (subnet,) = world.get("networks", outside, BOB)["subnets"]
    assert world.get("subnets", subnet, BOB)["router:external"] is True
    assert [one["id"] for one in world.list("subnets", "router:external=true")] == [subnet]
    assert [one["id"] for one in world.list("subnets", "router:external=false")] == [own]


def test_a_name_of_the_dns_is_kept(world: World) -> None:
    subnet = world.subnet(world.network())
    assert world.get("subnets", subnet)["dns_publish_fixed_ip"] is False
    assert world.update("subnets", subnet, {"dns_publish_fixed_ip": True})["dns_publish_fixed_ip"] is True
    assert [one["id"] for one in world.list("subnets", "dns_publish_fixed_ip=true")] == [subnet]
