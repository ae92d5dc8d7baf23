"""NDP proxies, and routers that proxy."""

from typing import Any, NamedTuple

import pytest

from tests.resources.world import ADMIN, ALICE, ANN, BOB, NOBODY, World, refused

PATH = "ndp_proxies"


class Scene(NamedTuple):
    world: World
    scope: str
    outside: str
    network: str
    subnet: str
    router: str
    port: dict[str, Any]

    def create(self, **more: Any) -> dict[str, Any]:
        return self.world.create(PATH, {"router_id": self.router, "port_id": self.port["id"], **more})


def pool(world: World, scope: str | None, prefix: str) -> str:
    body = {"name": "p", "prefixes": [prefix], "default_prefixlen": 64, "address_scope_id": scope, "shared": True}
    return str(world.create("subnetpools", body, by=ADMIN)["id"])


def new_scope(world: World) -> str:
    return str(world.create("address-scopes", name="s", ip_version=6, shared=True, by=ADMIN)["id"])


def pooled(world: World, network: str, pool_id: str, by: Any = ADMIN) -> str:
    return str(world.create("subnets", by=by, network_id=network, ip_version=6, subnetpool_id=pool_id)["id"])


@pytest.fixture
def scene(world: World) -> Scene:
    scope = new_scope(world)
    prefixes = pool(world, scope, "2001:db8::/48")
    outside = world.network(ADMIN, **{"router:external": True})
    pooled(world, outside, prefixes)
    network = world.network()
    subnet = pooled(world, network, prefixes, by=ALICE)
    gateway = {"network_id": outside}
    router = str(world.create("routers", external_gateway_info=gateway, enable_ndp_proxy=True)["id"])
    world.act(router, "add_router_interface", {"subnet_id": subnet})
    return Scene(world, scope, outside, network, subnet, router, world.port(network))


def test_it_comes_changes_and_goes(scene: Scene) -> None:
    made = scene.create(name="n")
    assert made["ip_address"] == scene.port["fixed_ips"][0]["ip_address"]
    assert (made["router_id"], made["port_id"], made["project_id"]) == (scene.router, scene.port["id"], "red")
    assert scene.world.get(PATH, made["id"]) == made
    assert scene.world.update(PATH, made["id"], {"name": "m"})["name"] == "m"
    assert scene.world.update(PATH, made["id"], {})["revision_number"] == 1
    assert [one["id"] for one in scene.world.list(PATH, f"router_id={scene.router}")] == [made["id"]]
    scene.world.delete(PATH, made["id"])
    with refused("NDPProxyNotFound", f"Ndp proxy {made['id']} could not be found."):
        scene.world.get(PATH, made["id"])
    assert scene.create(ip_address=made["ip_address"])["ip_address"] == made["ip_address"]


def test_impossible_addresses(scene: Scene) -> None:
    world = scene.world
    with refused("InvalidAddress", f"reason: This address not belong to the port {scene.port['id']}."):
        scene.create(ip_address="2001:db8::77")
    other = pooled(world, scene.network, pool(world, scene.scope, "2001:db9::/48"))
    lone = world.port(scene.network, fixed_ips=[{"subnet_id": other}])
    with refused("InvalidAddress", f"This address cannot reach the router {scene.router}."):
        scene.create(port_id=lone["id"], ip_address=lone["fixed_ips"][0]["ip_address"])
    with refused("PortUnreachableRouter", f"The port {lone['id']} cannot reach the router {scene.router} by IPv6"):
        scene.create(port_id=lone["id"])
    four = world.port(scene.network, fixed_ips=[{"subnet_id": world.subnet(scene.network)}])["id"]
    with refused("BadRequest", f"Requested port {four} must allocate one IPv6 address at least."):
        scene.create(port_id=four)


def test_impossible_routers(scene: Scene) -> None:
    world = scene.world
    with refused("RouterNotFound"):
        scene.create(router_id=NOBODY)
    with refused("PortNotFound"):
        scene.create(port_id=NOBODY)
    with refused("PortUnreachableRouter"):
        scene.create(router_id=world.router())
    world.update("routers", scene.router, {"enable_ndp_proxy": False})
    with refused("RouterNDPProxyNotEnable", f"The enable_ndp_proxy parameter of router {scene.router} must be set"):
        scene.create()


def test_scopes_are_the_same_on_both_sides(scene: Scene) -> None:
    world, network = scene.world, scene.world.network()
    other = new_scope(world)
    subnet = pooled(world, network, pool(world, other, "2001:dba::/48"), by=ALICE)
    world.act(scene.router, "add_router_interface", {"subnet_id": subnet})
    port = world.port(network)["id"]
    with refused("AddressScopeConflict", f"The IPv6 address scope {scene.scope} of external network conflict"):
        scene.create(port_id=port)


def test_what_it_needs_stays(scene: Scene) -> None:
    world = scene.world
    scene.create()
    with refused("RouterInterfaceInUseByNDPProxy", f"Unable to remove subnet {scene.subnet} from router"):
        world.act(scene.router, "remove_router_interface", {"subnet_id": scene.subnet})
    with refused("RouterGatewayInUseByNDPProxy", f"Unable to unset external gateway of router {scene.router},"):
        world.update("routers", scene.router, {"external_gateway_info": None})
    world.delete("ports", scene.port["id"])
    assert world.list(PATH) == []


def test_a_router_proxies_outside_only(scene: Scene) -> None:
    world = scene.world
    alone = world.router()
    plain = world.network(ADMIN, **{"router:external": True})
    world.subnet(plain, "2001:dbb::/64", ADMIN)
    info = {"external_gateway_info": {"network_id": plain}}
    for refuse in (
        lambda: world.create("routers", enable_ndp_proxy=True),
        lambda: world.create("routers", {"enable_ndp_proxy": True, **info}),
        lambda: world.update("routers", alone, {"enable_ndp_proxy": True}),
        lambda: world.update("routers", alone, {"enable_ndp_proxy": True, **info}),
        lambda: world.update("routers", scene.router, {"enable_ndp_proxy": True, "external_gateway_info": {}}),
    ):
        with refused("RouterGatewayNotValid", "Can not enable ndp proxy on router"):
            refuse()
    assert world.update("routers", scene.router, {"external_gateway_info": {}})["enable_ndp_proxy"] is False
    assert world.create("routers", enable_ndp_proxy=None)["enable_ndp_proxy"] is False


def test_the_gateway_keeps_its_ipv6(scene: Scene) -> None:
    four = scene.world.subnet(scene.outside, "192.0.2.0/24", ADMIN)
    gateway = {"network_id": scene.outside, "external_fixed_ips": [{"subnet_id": four}]}
    with refused("RouterIPv6GatewayInUse", f"from external gateway of router {scene.router},"):
        scene.world.update("routers", scene.router, {"external_gateway_info": gateway}, ADMIN)
    scene.world.update("routers", scene.router, {"enable_ndp_proxy": False})
    assert scene.world.update("routers", scene.router, {"external_gateway_info": gateway}, ADMIN)


def test_revisions_and_strangers(scene: Scene) -> None:
    made = scene.create()["id"]
    with refused("RevisionNumberConstraintFailed"):
        scene.world.update(PATH, made, {"name": "x"}, expected=7)
    with refused("RevisionNumberConstraintFailed"):
        scene.world.delete(PATH, made, expected=7)
    with refused("NDPProxyNotFound"):
        scene.world.get(PATH, made, BOB)


def test_readers_only_read(scene: Scene) -> None:
    world, made = scene.world, scene.create()["id"]
    body = {"router_id": scene.router, "port_id": scene.port["id"]}
    assert world.get(PATH, made, ANN)
    for rule, act in (
        ("create_ndp_proxy", lambda: world.create(PATH, body, by=ANN)),
        ("update_ndp_proxy", lambda: world.update(PATH, made, {"name": "x"}, ANN)),
        ("delete_ndp_proxy", lambda: world.delete(PATH, made, ANN)),
    ):
        with refused("PolicyNotAuthorized", f"rule:{rule} is disallowed by policy"):
            act()
