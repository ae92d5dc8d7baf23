"""Routers: interfaces, gateway, routes."""

from typing import Any

import pytest

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
        ({"subnet_id": "x"}, "HTTPBadRequest", "Invalid input for subnet_id. Reason: 'x' is not a valid UUID."),
        ({"subnet_id": NOBODY}, "SubnetNotFound", f"Subnet {NOBODY} could not be found."),
        ({"port_id": NOBODY}, "PortNotFound", ""),
        ({"subnet_id": "SUBNET"}, "BadRequest", "Bad router request: Router already has a port on subnet SUBNET."),
        ({"subnet_id": "OVERLAP"}, "BadRequest", "overlaps with cidr 10.0.0.0/24 of subnet SUBNET"),
        ({"subnet_id": "OUTSIDE"}, "BadRequest", "Router already has a port on subnet OUTSIDE."),
        ({"subnet_id": "NO_GATEWAY"}, "BadRequest", "Subnet for router interface must have a gateway IP."),
        ({"subnet_id": "SHARED"}, "PolicyNotAuthorized", ""),
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
        world.act(router, ADD, filled)
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
    port = world.port(outside)
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
        ([route(f"10.66.{n}.0/24", "10.0.0.9") for n in range(31)], "RoutesExhausted", "exceeds the maximum 30."),
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
