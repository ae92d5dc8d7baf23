"""Port forwardings: some L4 ports of a floating IP."""

from typing import Any, NamedTuple

import pytest

from tests.resources.below import Below
from tests.resources.world import ADMIN, BOB, NOBODY, World, refused

FIPS = "floatingips"


class Scene(NamedTuple):
    world: World
    outside: str
    network: str
    subnet: str
    router: str
    port: str
    fip: str
    forwardings: Below

    def body(self, **more: Any) -> dict[str, Any]:
        said = {"protocol": "tcp", "internal_port_id": self.port, "internal_ip_address": "10.0.0.2"}
        return {**said, "internal_port": 80, "external_port": 8080, **more}


@pytest.fixture
def scene(world: World) -> Scene:
    outside, network = world.outside(), world.network()
    subnet = world.subnet(network)
    router = world.router(external_gateway_info={"network_id": outside})
    world.act(router, "add_router_interface", {"subnet_id": subnet})
    port = world.port(network)["id"]
    fip = world.create(FIPS, floating_network_id=outside)["id"]
    return Scene(world, outside, network, subnet, router, port, fip, Below(world, FIPS, "port_forwardings", fip))


def test_one_port(scene: Scene) -> None:
    made = scene.forwardings.create(**scene.body(description="web"))
    assert made == {
        "id": made["id"],
        "protocol": "tcp",
        "external_port": 8080,
        "external_port_range": "8080:8080",
        "internal_port_id": scene.port,
        "internal_ip_address": "10.0.0.2",
        "internal_port": 80,
        "internal_port_range": "80:80",
        "description": "web",
    }
    assert scene.forwardings.get(made["id"]) == made
    assert scene.forwardings.list() == [made]
    assert (scene.forwardings.list(external_port="8080"), scene.forwardings.list(external_port="1")) == ([made], [])
    fip = scene.world.get(FIPS, scene.fip)
    assert (fip["router_id"], fip["port_id"], fip["status"], fip["revision_number"]) == (scene.router, None, "DOWN", 1)
    brief = ("id", "protocol", "external_port", "internal_port", "internal_port_id", "internal_ip_address")
    assert fip["port_forwardings"] == [{name: made[name] for name in brief}]
    scene.forwardings.delete(made["id"])
    fip = scene.world.get(FIPS, scene.fip)
    assert (fip["router_id"], fip["port_forwardings"]) == (None, [])


def test_ranges(scene: Scene) -> None:
    pairs = {"internal_port_range": "100:109", "external_port_range": "200:209"}
    wide = scene.forwardings.create(**scene.body(internal_port=None, external_port=None, **pairs))
    assert {name: wide[name] for name in pairs} == pairs
    assert (wide["internal_port"], wide["external_port"]) == (None, None)
    assert "external_port" not in scene.world.get(FIPS, scene.fip)["port_forwardings"][0]
    many = scene.forwardings.create(**scene.body(external_port_range="300:309", protocol="UDP"))
    assert (many["internal_port"], many["external_port_range"], many["protocol"]) == (80, "300:309", "udp")
    with refused("BadRequest", "must be N-N or 1-N."):
        scene.forwardings.create(**scene.body(internal_port_range="1:3", external_port_range="5:6"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"internal_port": 81}, "external_port_range. The following ranges collide: 8080:8080 and 8080:8080."),
        ({"internal_port": 81, "external_port_range": "8079:8081"}, "ranges collide: 8080:8080 and 8079:8081."),
        ({"external_port": 1}, "internal_port_range. The following ranges collide: 80:80 and 80:80."),
        ({"internal_port": None}, "Either internal_port or internal_port_range must be specified."),
        ({"external_port": None}, "Either external_port or external_port_range must be specified."),
        ({"internal_ip_address": "10.0.0.77", "external_port": 1}, "10.0.0.77 is not suitable"),
        ({"internal_port_id": "NONE", "external_port": 1}, "must allocate an IPv4 address at least."),
        ({"internal_port_id": "FAR", "internal_ip_address": "10.9.0.2", "external_port": 1}, "is not reachable from"),
        ({"internal_port_id": "OTHER", "internal_ip_address": "10.1.0.2", "external_port": 1}, "can not reach it."),
    ],
)
def test_impossible(scene: Scene, body: dict[str, Any], words: str) -> None:
    world = scene.world
    scene.forwardings.create(**scene.body())
    far, other = world.network(), world.network()
    world.subnet(far, "10.9.0.0/24")
    second = world.router(external_gateway_info={"network_id": scene.outside})
    world.act(second, "add_router_interface", {"subnet_id": world.subnet(other, "10.1.0.0/24")})
    names = {
        "NONE": world.port(scene.network, fixed_ips=[])["id"],
        "FAR": world.port(far)["id"],
        "OTHER": world.port(other)["id"],
    }
    filled = {name: names.get(value, value) for name, value in body.items()}
    with refused("BadRequest", words):
        scene.forwardings.create(**scene.body(**filled))
    assert len(scene.forwardings.list()) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"external_port": 333333}, "external_port. Reason: '333333' is too large - must be no larger than '65535'."),
        ({"internal_port": 0}, "internal_port. Reason: '0' is too small - must be at least '1'."),
        ({"external_port_range": "1:2:3"}, "Port range must be two integers separated by a colon."),
        ({"external_port_range": "5:1"}, "First port in a port range must be lower than the second port."),
        ({"external_port_range": "1:70000"}, "Invalid port: 70000, the port must be in the range [1, 65535]."),
        ({"protocol": "gre"}, "protocol. Reason: gre is not in valid_values."),
    ],
)
def test_values_that_are_none(scene: Scene, body: dict[str, Any], reason: str) -> None:
    with refused("HTTPBadRequest", reason):
        scene.forwardings.create(**scene.body(**body))


def test_changes(scene: Scene) -> None:
    made = scene.forwardings.create(**scene.body())["id"]
    assert scene.forwardings.update(made)["internal_port"] == 80
    changed = scene.forwardings.update(made, internal_port=81, description="d")
    assert (changed["internal_port_range"], changed["external_port"], changed["description"]) == ("81:81", 8080, "d")
    other = scene.world.port(scene.network)
    moved = scene.forwardings.update(made, internal_port_id=other["id"])
    assert (moved["internal_port_id"], moved["internal_ip_address"]) == (other["id"], "10.0.0.3")
    second = scene.forwardings.create(**scene.body(external_port=1))["id"]
    with refused("BadRequest", "port collision with the external_port_range"):
        scene.forwardings.update(second, external_port=8080)
    with refused("BadRequest", "is not suitable for internal neutron port"):
        scene.forwardings.update(second, internal_ip_address="10.0.0.99")
    assert scene.world.get(FIPS, scene.fip)["revision_number"] == 4


def test_one_way_or_the_other(scene: Scene) -> None:
    world = scene.world
    scene.forwardings.create(**scene.body())
    with refused("FipInUseByPortForwarding", f"Floating IP {scene.fip} in use by Port Forwarding resources."):
        world.delete(FIPS, scene.fip)
    free = world.port(scene.network)["id"]
    with refused("FipInUseByPortForwarding"):
        world.update(FIPS, scene.fip, {"port_id": free})
    assert world.update(FIPS, scene.fip, {})["router_id"] == scene.router
    assert world.update(FIPS, scene.fip, {"port_id": None})["router_id"] == scene.router
    bound = world.create(FIPS, floating_network_id=scene.outside, port_id=free)
    with refused("PortHasBindingFloatingIP", f"to floating IP {bound['floating_ip_address']} ({bound['id']})"):
        scene.forwardings.create(**scene.body(internal_port_id=free, internal_ip_address="10.0.0.3", external_port=1))
    with refused("FloatingIPPortAlreadyAssociated", f"Cannot associate floating IP {bound['floating_ip_address']}"):
        Below(world, FIPS, "port_forwardings", bound["id"]).create(**scene.body(internal_port=1))


def test_a_port_of_a_distributed_router_has_either(scene: Scene) -> None:
    world = scene.world
    scene.forwardings.create(**scene.body())
    second = world.create(FIPS, floating_network_id=scene.outside)["id"]
    assert world.update(FIPS, second, {"port_id": scene.port})["port_id"] == scene.port
    world.update(FIPS, second, {"port_id": None})
    world.update("routers", scene.router, {"admin_state_up": False}, ADMIN)
    world.update("routers", scene.router, {"distributed": True}, ADMIN)
    with refused("PortHasPortForwarding", f"to port {scene.port} because it already has a Port Forwarding binding."):
        world.update(FIPS, second, {"port_id": scene.port})


def test_what_it_needs_stays(scene: Scene) -> None:
    scene.forwardings.create(**scene.body())
    with refused("RouterInterfaceInUseByFloatingIP"):
        scene.world.act(scene.router, "remove_router_interface", {"subnet_id": scene.subnet})
    with refused("RouterExternalGatewayInUseByFloatingIp"):
        scene.world.update("routers", scene.router, {"external_gateway_info": None})


def test_a_port_takes_them_along(scene: Scene) -> None:
    world = scene.world
    port = world.port(scene.network, fixed_ips=[{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}])["id"]
    for n in (50, 51):
        at = scene.body(internal_port_id=port, internal_ip_address=f"10.0.0.{n}", external_port=n)
        scene.forwardings.create(**at)
    world.update("ports", port, {"fixed_ips": [{"ip_address": "10.0.0.50"}]})
    assert [one["external_port"] for one in scene.forwardings.list()] == [50]
    assert world.get(FIPS, scene.fip)["router_id"] == scene.router
    world.delete("ports", port)
    fip = world.get(FIPS, scene.fip)
    assert (fip["router_id"], fip["port_forwardings"], scene.forwardings.list()) == (None, [], [])


def test_of_nothing(scene: Scene) -> None:
    with refused("PortForwardingNotFound", f"Port Forwarding {NOBODY} could not be found."):
        scene.forwardings.get(NOBODY)
    made = scene.forwardings.create(**scene.body())["id"]
    other = Below(
        scene.world, FIPS, "port_forwardings", scene.world.create(FIPS, floating_network_id=scene.outside)["id"]
    )
    for act in (other.get, other.update, other.delete):
        with refused("PortForwardingNotFound"):
            act(made)
    for act in (scene.forwardings.get, scene.forwardings.update, scene.forwardings.delete):
        with refused("FloatingIPNotFound"):
            act(made, BOB)
    with refused("FloatingIPNotFound"):
        scene.forwardings.list(BOB)
    with refused("PortNotFound"):
        scene.forwardings.create(**scene.body(internal_port_id=NOBODY, external_port=1))
