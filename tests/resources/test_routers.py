"""Routers: interfaces, gateway, routes."""

from typing import Any

import pytest

from suimon.model.actor import Actor
from suimon.model.errors import CallerError
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused

ADD, REMOVE = "add_router_interface", "remove_router_interface"


@pytest.fixture
def router(world: World) -> str:
    return world.router()


@pytest.fixture
def subnet(world: World) -> str:
    return world.subnet(world.network())


def gateway(network: str, **more: Any) -> dict[str, Any]:
    return {"external_gateway_info": {"network_id": network, **more}}


def test_an_interface_has_the_gateways_address(world: World, router: str, subnet: str) -> None:
    made = world.act(router, ADD, {"subnet_id": subnet})
    assert (made["id"], made["subnet_id"], made["subnet_ids"], made["project_id"]) == (router, subnet, [subnet], "red")
    port = world.get("ports", made["port_id"])
    assert port["fixed_ips"] == [{"subnet_id": subnet, "ip_address": "10.0.0.1"}]
    assert (port["device_owner"], port["device_id"]) == ("network:router_interface", router)
    assert (port["security_groups"], port["port_security_enabled"]) == ([], False)
    assert world.act(router, REMOVE, {"subnet_id": subnet}) == made
    with refused("PortNotFound"):
        world.get("ports", made["port_id"])
    assert world.get("routers", router)["revision_number"] == 2


def test_a_port_can_be_taken_as_interface(world: World, router: str, subnet: str) -> None:
    port = world.port(world.get("subnets", subnet)["network_id"])["id"]
    assert world.act(router, ADD, {"port_id": port})["port_id"] == port
    taken = world.get("ports", port)
    assert (taken["security_groups"], taken["device_id"]) == ([], router)
    with refused("PortInUse", "Port already has an attached device"):
        world.act(world.router(), ADD, {"port_id": port})
    world.act(router, REMOVE, {"port_id": port, "subnet_id": subnet})


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (None, "BadRequest", "Bad router request: Either subnet_id or port_id must be specified."),
        ({"subnet_id": "SUBNET", "port_id": "PORT"}, "BadRequest", "Cannot specify both subnet-id and port-id."),
        ({"subnet_id": "x"}, "BadRequest", "Bad router request: 'x' is not a valid UUID."),
        ({"subnet_id": NOBODY}, "SubnetNotFound", f"Subnet {NOBODY} could not be found."),
        ({"port_id": NOBODY}, "PortNotFound", ""),
        ({"subnet_id": "SUBNET"}, "BadRequest", "Bad router request: Router already has a port on subnet SUBNET."),
        ({"subnet_id": "OVERLAP"}, "BadRequest", "overlaps with cidr 10.0.0.0/24 of subnet SUBNET"),
        ({"subnet_id": "OUTSIDE"}, "BadRequest", "Router already has a port on subnet OUTSIDE."),
        ({"subnet_id": "NO_GATEWAY"}, "BadRequest", "Subnet for router interface must have a gateway IP."),
        ({"subnet_id": "SHARED"}, "BadRequest", "is not owned by project making the request."),
        ({"subnet_id": "TAKEN"}, "IpAddressAlreadyAllocated", "10.3.0.1"),
        ({"port_id": "NO_ADDRESS"}, "BadRequest", "Router port must have at least one fixed IP."),
        ({"port_id": "TWO"}, "BadRequest", "Cannot have multiple IPv4 subnets on router port."),
    ],
)
def test_impossible_interfaces(world: World, router: str, subnet: str, body: Any, kind: str, words: str) -> None:
    world.act(router, ADD, {"subnet_id": subnet})
    two = world.network()
    several = [{"subnet_id": world.subnet(two, cidr)} for cidr in ("10.1.0.0/24", "10.2.0.0/24")]
    taken = world.network()
    names = {
        "SUBNET": subnet,
        "PORT": world.port(two)["id"],
        "OVERLAP": world.subnet(world.network(), "10.0.0.128/25"),
        "NO_GATEWAY": world.subnet(world.network(), "10.4.0.0/24", gateway_ip=None),
        "TAKEN": world.subnet(taken, "10.3.0.0/24"),
        "NO_ADDRESS": world.port(two, fixed_ips=[])["id"],
        "TWO": world.port(two, fixed_ips=several)["id"],
    }
    if "SHARED" in str(body):
        names["SHARED"] = world.subnet(world.network(ADMIN, shared=True), "10.5.0.0/24", ADMIN)
    if "OUTSIDE" in str(body):
        outside = world.outside("10.6.0.0/24", project_id="red")
        names["OUTSIDE"] = world.list("subnets", f"network_id={outside}", ADMIN)[0]["id"]
        world.update("subnets", names["OUTSIDE"], {"name": "x"}, ADMIN)
        world.update("routers", router, gateway(outside))
    world.port(taken, fixed_ips=[{"ip_address": "10.3.0.1"}])
    filled = {name: names.get(value, value) for name, value in body.items()} if body else body
    with refused(kind, words.replace("SUBNET", subnet).replace("OUTSIDE", names.get("OUTSIDE", ""))):
        world.act(router, ADD, filled, ADMIN if "OUTSIDE" in names else ALICE)
    assert len(world.list("ports", f"device_id={router}", ADMIN)) == (2 if "OUTSIDE" in names else 1)


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (None, "BadRequest", "Either subnet_id or port_id must be specified."),
        ({"subnet_id": NOBODY}, "SubnetNotFound", ""),
        ({"subnet_id": "OTHER"}, "RouterInterfaceNotFoundForSubnet", "has no interface on subnet OTHER"),
        ({"port_id": NOBODY}, "RouterInterfaceNotFound", f"does not have an interface with id {NOBODY}"),
        ({"port_id": "LEG", "subnet_id": "OTHER"}, "SubnetMismatchForPort", "does not match the requested subnet"),
    ],
)
def test_impossible_removals(world: World, router: str, subnet: str, body: Any, kind: str, words: str) -> None:
    leg = world.act(router, ADD, {"subnet_id": subnet})["port_id"]
    names = {"OTHER": world.subnet(world.network(), "10.1.0.0/24"), "LEG": leg}
    filled = {name: names.get(value, value) for name, value in body.items()} if body else body
    with refused(kind, words.replace("OTHER", names["OTHER"])):
        world.act(router, REMOVE, filled)


def test_the_way_outside_is_the_gateway(world: World, router: str) -> None:
    outside = world.outside()
    port = world.port(outside, ADMIN, project_id="red")
    with refused("PolicyNotAuthorized", "update_port:device_owner:network"):
        world.act(router, ADD, {"port_id": port["id"]})
    assert world.act(router, ADD, {"port_id": port["id"]}, ADMIN)["port_id"] == port["id"]


def test_a_port_in_use_does_not_tell_members_its_host(world: World, router: str, subnet: str) -> None:
    network = world.get("subnets", subnet)["network_id"]
    port = world.port(network, ADMIN, project_id="red", **{"binding:host_id": "secret-host"})
    with pytest.raises(CallerError) as caught:
        world.act(router, "add_router_interface", {"port_id": port["id"]})
    assert caught.value.kind == "PortInUse" and "secret-host" not in caught.value.message


def test_a_router_with_interfaces_stays(world: World, router: str, subnet: str) -> None:
    leg = world.act(router, ADD, {"subnet_id": subnet})["port_id"]
    with refused("RouterInUse", f"Router {router} has ports still attached: {leg}"):
        world.delete("routers", router)
    world.act(router, REMOVE, {"subnet_id": subnet})
    world.delete("routers", router)


def test_the_gateway_comes_and_goes(world: World, router: str) -> None:
    outside = world.outside()
    shown = world.update("routers", router, gateway(outside))["external_gateway_info"]
    assert shown["enable_snat"] is True
    assert [fixed["ip_address"] for fixed in shown["external_fixed_ips"]] == ["192.0.2.2"]
    (port,) = world.list("ports", f"network_id={outside}", ADMIN)
    assert (port["device_owner"], port["device_id"], port["project_id"]) == ("network:router_gateway", router, "")
    assert world.update("routers", router, gateway(outside))["external_gateway_info"] == shown
    for nothing in (None, {}):
        cleared = world.update("routers", router, {"external_gateway_info": nothing})
        assert cleared["external_gateway_info"] is None
    assert world.list("ports", by=ADMIN) == []
    made = world.create("routers", gateway(outside))
    assert made["external_gateway_info"] == shown
    assert world.get("routers", made["id"]) == made
    world.delete("routers", made["id"])
    assert world.list("ports", by=ADMIN) == []


def test_another_gateway(world: World, router: str) -> None:
    one, two = world.outside(), world.outside("198.51.100.0/24")
    world.update("routers", router, gateway(one))
    body = gateway(two, enable_snat=False, external_fixed_ips=[{"ip_address": "198.51.100.9"}])
    shown = world.update("routers", router, body, ADMIN)["external_gateway_info"]
    assert (shown["network_id"], shown["enable_snat"]) == (two, False)
    assert shown["external_fixed_ips"][0]["ip_address"] == "198.51.100.9"
    moved = gateway(two, external_fixed_ips=[{"ip_address": "198.51.100.10"}])
    shown = world.update("routers", router, moved, ADMIN)["external_gateway_info"]
    assert [fixed["ip_address"] for fixed in shown["external_fixed_ips"]] == ["198.51.100.10"]
    assert len(world.list("ports", by=ADMIN)) == 1


def test_impossible_gateways(world: World, router: str, subnet: str) -> None:
    inside, outside = world.get("subnets", subnet)["network_id"], world.outside("10.0.0.0/16")
    with refused("BadRequest", f"Bad router request: Network {inside} is not an external network."):
        world.create("routers", gateway(inside))
    with refused("NetworkNotFound"):
        world.update("routers", router, gateway(NOBODY))
    world.act(router, ADD, {"subnet_id": subnet})
    with refused("BadRequest", "overlaps with cidr"):
        world.update("routers", router, gateway(outside))
    for more in ({"enable_snat": False}, {"external_fixed_ips": [{"ip_address": "10.0.0.9"}]}):
        for refuse in (lambda body: world.create("routers", body), lambda body: world.update("routers", router, body)):
            with refused("PolicyNotAuthorized"):
                refuse(gateway(outside, **more))
    assert len(world.list("routers")) == 1


def test_members_change_no_address_of_a_gateway(world: World, router: str) -> None:
    outside = world.outside()
    world.update("routers", router, gateway(outside))
    for more in ({"enable_snat": False}, {"external_fixed_ips": [{"ip_address": "192.0.2.9"}]}):
        with refused("PolicyNotAuthorized", "rule:update_router:external_gateway_info"):
            world.update("routers", router, gateway(outside, **more))


def route(destination: str, nexthop: str) -> dict[str, str]:
    return {"destination": destination, "nexthop": nexthop}


def test_routes(world: World, router: str, subnet: str) -> None:
    world.act(router, ADD, {"subnet_id": subnet})
    one, two = route("10.66.0.0/24", "10.0.0.9"), route("10.67.0.0/24", "10.0.0.9")
    assert world.update("routers", router, {"routes": [one]})["routes"] == [one]
    added = world.act(router, "add_extraroutes", {"router": {"routes": [one, two]}})
    assert added["router"]["routes"] == [one, two]
    removed = world.act(router, "remove_extraroutes", {"router": {"routes": [one, route("10.1.0.0/24", "10.0.0.9")]}})
    assert removed["router"]["routes"] == [two]
    with refused("RouterInterfaceInUseByRoute", "required by one or more routes."):
        world.act(router, REMOVE, {"subnet_id": subnet})
    world.act(router, "remove_extraroutes", {"router": {"routes": [two]}})
    world.act(router, REMOVE, {"subnet_id": subnet})


def test_routes_through_the_gateway(world: World, router: str) -> None:
    body = {**gateway(world.outside()), "routes": [route("10.66.0.0/24", "192.0.2.9")]}
    assert world.update("routers", router, body)["routes"] == body["routes"]


@pytest.mark.parametrize(
    ("routes", "kind", "words"),
    [
        (
            [route("10.66.0.0/24", "10.99.0.1")],
            "InvalidRoutes",
            "Invalid format for routes: [{'destination': '10.66.0.0/24', 'nexthop': '10.99.0.1'}], the nexthop is not "
            "connected with router",
        ),
        ([route("10.66.0.0/24", "10.0.0.1")], "InvalidRoutes", "the nexthop is used by router"),
        ([route("fd00::/8", "10.0.0.9")], "InvalidRoutes", "of different IP versions"),
        (
            [route(f"10.66.{n}.0/24", "10.0.0.9") for n in range(31)],
            "OverQuota",
            "Quota exceeded for resources: ['router_route'].",
        ),
    ],
)
def test_impossible_routes(world: World, router: str, subnet: str, routes: Any, kind: str, words: str) -> None:
    world.act(router, ADD, {"subnet_id": subnet})
    with refused(kind, words):
        world.update("routers", router, {"routes": routes})
    with refused(kind, words):
        world.act(router, "add_extraroutes", {"router": {"routes": routes}})
    with refused("InvalidInput", "Only 'routes'"):
        world.act(router, "add_extraroutes", {"router": {"routes": [], "name": "x"}})
    with refused("InvalidInput", "Only 'routes'"):
        world.act(router, "add_extraroutes", {"routers": [{"routes": []}, {"routes": []}]})


def test_revisions_and_strangers(world: World, router: str) -> None:
    assert world.update("routers", router, {})["revision_number"] == 0
    for refuse in (lambda: world.update("routers", router, {"name": "x"}, expected=7),
                   lambda: world.delete("routers", router, expected=7)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()
    for action in (ADD, REMOVE, "add_extraroutes", "remove_extraroutes"):
        with refused("RouterNotFound", f"Router {router} could not be found"):
            world.act(router, action, {}, BOB)
    for read in (world.get, world.delete):
        with refused("RouterNotFound"):
            read("routers", router, BOB)
    assert [one["id"] for one in world.list("routers", by=ALICE)] == [router]


def ports_of(world: World, router: str) -> list[dict[str, Any]]:
    return world.list("ports", f"device_id={router}", ADMIN)


def test_ipv6_subnets_of_a_network_share_a_port(world: World, router: str) -> None:
    network = world.network()
    four, one, two = (world.subnet(network, cidr) for cidr in ("10.0.0.0/24", "fd00:1::/64", "fd00:2::/64"))
    made = [world.act(router, ADD, {"subnet_id": subnet}) for subnet in (four, one, two)]
    assert made[1]["port_id"] == made[2]["port_id"] != made[0]["port_id"]
    assert (made[2]["subnet_id"], made[2]["subnet_ids"]) == (two, [two])
    legs = {port["id"]: {fixed["subnet_id"] for fixed in port["fixed_ips"]} for port in ports_of(world, router)}
    assert legs == {made[0]["port_id"]: {four}, made[1]["port_id"]: {one, two}}
    port = world.port(network, fixed_ips=[{"subnet_id": world.subnet(network, "fd00:3::/64")}])["id"]
    with refused("BadRequest", f"Router already contains IPv6 port {made[1]['port_id']} belonging to network id"):
        world.act(router, ADD, {"port_id": port})
    assert world.act(router, REMOVE, {"subnet_id": one})["subnet_ids"] == [one]
    assert [fixed["subnet_id"] for fixed in world.get("ports", made[1]["port_id"])["fixed_ips"]] == [two]
    gone = world.act(router, REMOVE, {"port_id": made[1]["port_id"]})
    assert (gone["subnet_id"], len(ports_of(world, router))) == (two, 1)


def test_a_port_with_several_subnets_is_one_interface(world: World, router: str) -> None:
    network = world.network()
    subnets = [world.subnet(network, cidr) for cidr in ("10.0.0.0/24", "fd00:1::/64")]
    port = world.port(network, fixed_ips=[{"subnet_id": subnet} for subnet in subnets])["id"]
    made = world.act(router, ADD, {"port_id": port})
    assert (set(made["subnet_ids"]), made["subnet_id"]) == (set(subnets), made["subnet_ids"][-1])
    assert world.act(router, REMOVE, {"port_id": port})["subnet_ids"] == made["subnet_ids"]


def test_who_hears_routers_needs_no_other(world: World, router: str) -> None:
    network = world.network()
    modes = {"ipv6_address_mode": "slaac", "ipv6_ra_mode": None}
    subnet = world.subnet(network, "fd00::/64", **modes)
    words = f"IPv6 subnet {subnet} configured to receive RAs from an external router cannot be added"
    with refused("BadRequest", words):
        world.act(router, ADD, {"subnet_id": subnet})
    port = world.port(network)["id"]
    with refused("BadRequest", words):
        world.act(router, ADD, {"port_id": port})


def test_a_network_shared_with_the_project_can_be_joined(world: World) -> None:
    carol = Actor("carol", NOBODY, frozenset({"member"}))
    network = world.network(ADMIN)
    subnet = world.subnet(network, by=ADMIN)
    entry = {"object_type": "network", "object_id": network, "action": "access_as_shared", "target_tenant": NOBODY}
    world.create("rbac-policies", entry, by=ADMIN)
    assert world.act(world.router(carol), ADD, {"subnet_id": subnet}, carol)["project_id"] == NOBODY


def test_a_stranger_in_a_subnet_joins_by_a_pooled_address_only(world: World, router: str) -> None:
    network = world.network(ADMIN, shared=True)
    world.subnet(network, by=ADMIN, allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.20"}])
    good, bad = (
        world.port(network, ADMIN, project_id="red", fixed_ips=[{"ip_address": f"10.0.0.{n}"}])["id"] for n in (10, 30)
    )
    with refused("BadRequest", f"specified port {bad} has an IP address out of the allocation pool of subnet"):
        world.act(router, ADD, {"port_id": bad})
    assert world.act(router, ADD, {"port_id": good})
    assert world.act(world.router(), ADD, {"port_id": bad}, ADMIN)


def test_ports_are_up_when_their_router_is(world: World, subnet: str) -> None:
    router = world.router(**gateway(world.outside()), admin_state_up=False)
    world.act(router, ADD, {"subnet_id": subnet})
    network = world.network()
    world.subnet(network, "10.1.0.0/24")
    world.act(router, ADD, {"port_id": world.port(network)["id"]})
    assert [port["status"] for port in ports_of(world, router)] == ["DOWN"] * 3
    before = {port["id"]: port["revision_number"] for port in ports_of(world, router)}
    world.update("routers", router, {"admin_state_up": True})
    assert [port["status"] for port in ports_of(world, router)] == ["ACTIVE"] * 3
    assert {port["id"]: port["revision_number"] - 1 for port in ports_of(world, router)} == before
    other = world.act(world.router(), ADD, {"port_id": world.port(network)["id"]})["port_id"]
    assert world.get("ports", other)["status"] == "ACTIVE"


def test_flags_are_the_operators(world: World) -> None:
    made = world.create("routers", ha=True, distributed=True, by=ADMIN, project_id="red")
    assert (made["ha"], made["distributed"]) == (True, True)
    assert not {"ha", "distributed"} & set(world.get("routers", made["id"]))
    assert world.create("routers", ha=None, distributed=None, by=ADMIN)["ha"] is False


@pytest.mark.parametrize(
    ("flag", "words"),
    [("distributed", "Cannot change the 'distributed' attribute of active"), ("ha", "Cannot change HA attribute of")],
)
def test_a_router_is_down_to_become_another(world: World, flag: str, words: str) -> None:
    router = world.router(ADMIN)
    assert world.update("routers", router, {flag: False}, ADMIN)[flag] is False
    for body in ({flag: True}, {flag: True, "admin_state_up": True}):
        with refused("BadRequest", words):
            world.update("routers", router, body, ADMIN)
    at_once = {flag: True, "admin_state_up": False}
    if flag == "distributed":
        with refused("BadRequest", words):
            world.update("routers", router, at_once, ADMIN)
        world.update("routers", router, {"admin_state_up": False}, ADMIN)
        with refused("BadRequest", words):
            world.update("routers", router, {flag: True, "admin_state_up": True}, ADMIN)
    assert world.update("routers", router, at_once, ADMIN)[flag] is True
    assert world.update("routers", router, {flag: None}, ADMIN)[flag] is True


def test_a_project_has_a_network_for_its_ha_routers(world: World) -> None:
    def networks() -> list[str]:
        return [one["name"] for one in world.list("networks", by=ADMIN)]

    first, second = (world.create("routers", ha=True, by=ADMIN, project_id="red")["id"] for _ in range(2))
    assert networks() == ["HA network project red"]
    world.delete("routers", first, ADMIN)
    assert networks() == ["HA network project red"]
    world.update("routers", second, {"ha": False, "admin_state_up": False}, ADMIN)
    assert networks() == []
    world.update("routers", second, {"ha": True}, ADMIN)
    assert networks() == ["HA network project red"]
    world.delete("routers", second, ADMIN)
    assert networks() == []


def test_zones(world: World) -> None:
    assert world.create("routers", availability_zone_hints=["nova"])["availability_zone_hints"] == ["nova"]
    with refused("AvailabilityZoneNotFound", "AvailabilityZone mars could not be found."):
        world.create("routers", availability_zone_hints=["mars"])


def test_source_nat_is_on_unless_switched_off(world: World, router: str) -> None:
    outside = world.outside()
    off = world.update("routers", router, gateway(outside, enable_snat=False), ADMIN)["external_gateway_info"]
    assert off["enable_snat"] is False
    assert world.update("routers", router, {"name": "n"})["external_gateway_info"]["enable_snat"] is False
    assert world.update("routers", router, gateway(outside))["external_gateway_info"]["enable_snat"] is True


def test_the_gateways_own_address_is_not_ours(world: World, router: str) -> None:
    outside = world.outside()
    taken = gateway(outside, external_fixed_ips=[{"ip_address": "192.0.2.1"}])
    words = "External IP 192.0.2.1 is the same as the gateway IP."
    with refused("BadRequest", words):
        world.create("routers", taken, by=ADMIN)
    with refused("BadRequest", words):
        world.update("routers", router, taken, ADMIN)
    world.update("routers", router, gateway(outside))
    with refused("BadRequest", words):
        world.update("routers", router, taken, ADMIN)


def test_a_gateway_with_several_addresses(world: World) -> None:
    outside = world.outside()
    six = world.subnet(outside, "2001:db8::/64", ADMIN)
    ips = [{"ip_address": "192.0.2.7"}, {"ip_address": "192.0.2.8"}, {"subnet_id": six}]
    made = world.create("routers", gateway(outside, external_fixed_ips=ips), by=ADMIN)["external_gateway_info"]
    assert [fixed["ip_address"] for fixed in made["external_fixed_ips"]][:2] == ["192.0.2.7", "192.0.2.8"]
    assert len(made["external_fixed_ips"]) == 3


def test_a_policy_on_the_gateway(world: World, router: str) -> None:
    policy = str(world.create("qos/policies", by=ADMIN, project_id="red")["id"])
    first, second = world.outside(), world.outside("198.51.100.0/24")
    with refused("QosPolicyNotFound"):
        world.create("routers", gateway(first, qos_policy_id=NOBODY))
    made = world.create("routers", gateway(first, qos_policy_id=policy))
    assert made["external_gateway_info"]["qos_policy_id"] == policy
    with refused("QosPolicyInUse"):
        world.delete("qos/policies", policy, ADMIN)
    moved = world.update("routers", made["id"], gateway(second))["external_gateway_info"]
    assert (moved["network_id"], moved["qos_policy_id"]) == (second, policy)
    with refused("QosPolicyNotFound"):
        world.update("routers", router, gateway(first, qos_policy_id=NOBODY))
    freed = world.update("routers", made["id"], gateway(second, qos_policy_id=None))["external_gateway_info"]
    assert "qos_policy_id" not in freed
    world.update("routers", made["id"], gateway(second, qos_policy_id=policy))
    world.update("routers", made["id"], {"external_gateway_info": None})
    world.delete("qos/policies", policy, ADMIN)


def test_routes_outside_need_the_gateway(world: World, router: str) -> None:
    first, second = world.outside(), world.outside("198.51.100.0/24")
    world.update("routers", router, {**gateway(first), "routes": [route("10.66.0.0/24", "192.0.2.9")]})
    for body in ({"external_gateway_info": None}, gateway(second)):
        with refused("InvalidRoutes", "the nexthop is not connected with router"):
            world.update("routers", router, body)
    assert world.update("routers", router, {**gateway(second), "routes": []})["routes"] == []


def test_many_at_once(world: World) -> None:
    outside = world.outside()
    made = world.create_many("routers", [gateway(outside, qos_policy_id=None), {"name": "n"}, gateway(outside)])
    ips = [
        one["external_gateway_info"] and one["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
        for one in made
    ]
    assert ips == ["192.0.2.2", None, "192.0.2.3"]
    assert world.get("routers", made[2]["id"]) == made[2]


def test_an_interface_keeps_its_address(world: World, router: str, subnet: str) -> None:
    leg = world.act(router, ADD, {"subnet_id": subnet})["port_id"]
    same = world.update("ports", leg, {"fixed_ips": [{"subnet_id": subnet}]})["fixed_ips"]
    assert same == [{"subnet_id": subnet, "ip_address": "10.0.0.1"}]
    with refused("IPAddressChangeNotAllowed"):
        world.update("ports", leg, {"fixed_ips": [{"ip_address": "10.0.0.9"}]})
