"""Trunks: parents, subports, and all that can't be one."""

from typing import Any

import pytest

from suimon.model.view import PortReport
from suimon.resources.hosts import set_port_status
from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused

PATH = "trunks"


@pytest.fixture
def network(world: World) -> str:
    return world.network()


def put(world: World, trunk: str, act: str, subports: Any, by: Any = ALICE) -> dict[str, Any]:
    return world.write(lambda tx: RESOURCES[PATH].actions[act](tx, by, trunk, {"sub_ports": subports}), by)


def vlan(port: str, number: Any = 2) -> dict[str, Any]:
    return {"port_id": port, "segmentation_type": "vlan", "segmentation_id": number}


def test_a_trunk_and_its_subports(world: World, network: str) -> None:
    parent, first, second = (world.port(network) for _ in range(3))
    trunk = world.create(PATH, port_id=parent["id"], sub_ports=[vlan(first["id"])])
    assert (trunk["status"], trunk["admin_state_up"], trunk["sub_ports"]) == ("DOWN", True, [vlan(first["id"])])
    bare = put(world, trunk["id"], "add_subports", [vlan(second["id"], "3")])
    assert bare["id"] == trunk["id"]
    assert sorted(bare["sub_ports"], key=str) == sorted([vlan(first["id"]), vlan(second["id"], 3)], key=str)
    assert bare["revision_number"] == 1
    assert world.view(PATH, "GET {}/get_subports", trunk["id"], by=ALICE) == {"sub_ports": bare["sub_ports"]}
    details = {"trunk_id": trunk["id"], "sub_ports": []}
    for subport in bare["sub_ports"]:
        mac = {first["id"]: first, second["id"]: second}[subport["port_id"]]["mac_address"]
        details["sub_ports"].append({**subport, "mac_address": mac})
    assert world.get("ports", parent["id"])["trunk_details"] == details
    assert world.update("ports", parent["id"], {"name": "p"})["trunk_details"] == details
    assert world.get("ports", first["id"])["trunk_details"] is None
    assert put(world, trunk["id"], "remove_subports", [{"port_id": first["id"]}])["sub_ports"] == [
        vlan(second["id"], 3)
    ]
    world.delete("ports", first["id"])
    assert world.update(PATH, trunk["id"], {"name": "t"})["sub_ports"] == [vlan(second["id"], 3)]
    world.delete(PATH, trunk["id"])
    world.delete("ports", second["id"])
    world.delete("ports", parent["id"])


def test_ports_of_a_trunk_stay(world: World, network: str) -> None:
    parent, child = world.port(network)["id"], world.port(network)["id"]
    trunk = world.create(PATH, port_id=parent, sub_ports=[vlan(child)])["id"]
    with refused("PortInUseAsTrunkParent", f"Port {parent} is currently a parent port for trunk {trunk}."):
        world.delete("ports", parent)
    with refused("PortInUseAsSubPort", f"Port {child} is currently a subport for trunk {trunk}."):
        world.delete("ports", child)


def test_a_trunks_port_stays_also_when_a_router_gives_it_up(world: World, network: str) -> None:
    world.subnet(network)
    parent, router = world.port(network)["id"], world.router()
    trunk = world.create(PATH, port_id=parent)["id"]
    world.act(router, "add_router_interface", {"port_id": parent})
    with refused("PortInUse", f"Port {parent} is still in use."):
        world.act(router, "remove_router_interface", {"port_id": parent})
    assert world.get(PATH, trunk)["port_id"] == parent


def test_one_trunk_for_each_port(world: World, network: str) -> None:
    parent, child, other, free = (world.port(network)["id"] for _ in range(4))
    world.create(PATH, port_id=parent, sub_ports=[vlan(child)])
    second = world.create(PATH, port_id=other)["id"]
    eligible = "is currently in use and is not eligible for use as a parent port."
    with refused("ParentPortInUse", f"Port {parent} {eligible}"):
        world.create(PATH, port_id=parent)
    with refused("TrunkPortInUse", f"Port {child} is in use by another trunk."):
        world.create(PATH, port_id=child)
    with refused("TrunkPortInUse", f"Port {child} is in use by another trunk."):
        put(world, second, "add_subports", [vlan(child)])
    with refused("ParentPortInUse", f"Port {parent} {eligible}"):
        put(world, second, "add_subports", [vlan(parent)])
    with refused("ParentPortInUse", f"Port {other} {eligible}"):
        put(world, second, "add_subports", [vlan(other)])
    used = world.port(network, device_id="vm")["id"]
    words = f"on port {used} for network {network}. Port already has an attached device vm."
    with refused("PortInUse", words):
        put(world, second, "add_subports", [vlan(used)])
    assert put(world, second, "add_subports", [vlan(free)])["sub_ports"] == [vlan(free)]
    again = world.port(network)["id"]
    words = f"segmentation_type vlan and segmentation_id 2 already in use on trunk {second}."
    with refused("DuplicateSubPort", words):
        put(world, second, "add_subports", [vlan(again)])


def test_a_bound_port_is_no_parent(world: World, network: str) -> None:
    world.host("h1")
    bound = world.port(network, ADMIN, **{"binding:host_id": "h1"})["id"]
    with refused("ParentPortInUse"):
        world.create(PATH, by=ADMIN, port_id=bound)
    parent = world.port(network)["id"]
    trunk = world.create(PATH, port_id=parent)["id"]
    world.update("ports", parent, {"binding:host_id": "h1"}, ADMIN)
    with refused("TrunkInUse", f"Trunk {trunk} is currently in use."):
        world.delete(PATH, trunk)
    (gateway,) = [world.port(network, device_owner="network:router_interface", device_id="x")["id"]]
    with refused("ParentPortInUse"):
        world.create(PATH, port_id=gateway)


def test_a_disabled_trunk_stays_as_it_is(world: World, network: str) -> None:
    child = world.port(network)["id"]
    trunk = world.create(PATH, port_id=world.port(network)["id"], admin_state_up=False)["id"]
    words = f"Trunk {trunk} is currently disabled."
    for act in ("add_subports", "remove_subports"):
        with refused("TrunkDisabled", words):
            put(world, trunk, act, [vlan(child)])
    with refused("TrunkDisabled", words):
        world.delete(PATH, trunk)
    world.update(PATH, trunk, {"admin_state_up": True})
    world.delete(PATH, trunk, expected=1)


def test_the_networks_vlan_is_inherited(world: World, network: str) -> None:
    provider = {"provider:network_type": "vlan", "provider:physical_network": "physnet1", "project_id": "red"}
    child = world.port(world.create("networks", {**provider, "mtu": 1400}, ADMIN)["id"])["id"]
    trunk = world.create(PATH, port_id=world.port(network)["id"])["id"]
    inherit = {"port_id": child, "segmentation_type": "inherit"}
    assert put(world, trunk, "add_subports", [inherit])["sub_ports"] == [vlan(child, 10)]
    with refused("InvalidInput", "Unknown segmentation_type 'vxlan'"):
        put(world, trunk, "add_subports", [{**inherit, "port_id": world.port(network)["id"]}])
    with refused("PortNotFound"):
        put(world, trunk, "add_subports", [{**inherit, "port_id": NOBODY}])


def test_a_subport_needs_no_larger_frames(world: World) -> None:
    small, large = (world.port(world.network(mtu=mtu))["id"] for mtu in (1400, 1450))
    words = f"MTU 1450 of subport {large} cannot be greater than MTU 1400 of trunk {small}."
    with refused("SubPortMtuGreaterThanTrunkPortMtu", words):
        world.create(PATH, port_id=small, sub_ports=[vlan(large)])
    assert world.create(PATH, port_id=large, sub_ports=[vlan(small)])["sub_ports"] == [vlan(small)]


@pytest.mark.parametrize(
    ("subports", "words"),
    [
        ({"port_id": "PORT"}, "Invalid data format for subports: '"),
        (["x"], "Invalid data format for subport: 'x' is not a dict"),
        ([{"segmentation_type": "vlan"}], "A valid port UUID must be specified"),
        ([{"port_id": "x"}], "Invalid UUID for subport: 'x'"),
        ([vlan("PORT"), vlan("PORT", 3)], "Non unique UUID for subport: '"),
        ([vlan("PORT"), vlan(NOBODY)], f"Segmentation ID '2' for '{NOBODY}' is not unique"),
        ([{"port_id": "PORT", "segmentation_type": "vlan"}], "missing segmentation information"),
        ([{"port_id": "PORT", "segmentation_id": 2}], "missing segmentation information"),
        ([{"port_id": "PORT"}], "missing segmentation information"),
        ([{**vlan("PORT"), "segmentation_type": "vxlan"}], "Unknown segmentation_type 'vxlan'"),
        ([vlan("PORT", "two")], "Invalid subport details: segmentation_id 'two' is not an integer"),
        ([vlan("PORT", 0)], "Segmentation ID '0' is not in range"),
        ([vlan("PORT", 4095)], "Segmentation ID '4095' is not in range"),
        ([vlan(NOBODY, number) for number in range(4095)], "A trunk has 4094 subports at most"),
    ],
)
def test_subports_that_are_none(world: World, network: str, subports: Any, words: str) -> None:
    parent, child = world.port(network)["id"], world.port(network)["id"]
    trunk = world.create(PATH, port_id=world.port(network)["id"])["id"]
    filled = eval(repr(subports).replace("PORT", child))
    with refused("InvalidInput", words):
        put(world, trunk, "add_subports", filled)
    with pytest.raises(Exception, match="Invalid input for"):
        world.create(PATH, port_id=parent, sub_ports=filled)
    assert len(world.list(PATH)) == 1


def test_what_is_not_there(world: World, network: str) -> None:
    trunk, child = world.create(PATH, port_id=world.port(network)["id"])["id"], world.port(network)["id"]
    for act in ("add_subports", "remove_subports"):
        with refused("TrunkNotFound", f"Trunk {NOBODY} could not be found."):
            put(world, NOBODY, act, [])
        with refused("HTTPBadRequest", "Unable to find 'sub_ports' in request body"):
            world.write(lambda tx, act=act: RESOURCES[PATH].actions[act](tx, ALICE, trunk, {}))
    with refused("PortNotFound"):
        world.create(PATH, port_id=NOBODY)
    with refused("PortNotFound"):
        put(world, trunk, "add_subports", [vlan(NOBODY)])
    with refused("PortNotFound"):
        put(world, trunk, "add_subports", [vlan(world.port(world.network(BOB), BOB)["id"])])
    with refused("SubPortNotFound", f"SubPort {child} on trunk {trunk} could not be found."):
        put(world, trunk, "remove_subports", [{"port_id": child}])
    assert world.list(PATH, by=BOB) == []
    for refuse in (lambda: world.update(PATH, trunk, {"name": "x"}, expected=5),
                   lambda: world.delete(PATH, trunk, expected=5)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()


def test_subports_are_where_their_parent_is(world: World, network: str) -> None:
    parent, first, second = (world.port(network)["id"] for _ in range(3))
    trunk = world.create(PATH, port_id=parent, sub_ports=[vlan(first)])["id"]
    hosts = {"h1": [first, second], "h2": [first, second], "": [second]}
    for host, subports in hosts.items():
        world.update("ports", parent, {"binding:host_id": host}, ADMIN)
        if host == "h1":
            put(world, trunk, "add_subports", [vlan(second, 3)])
        if not host:
            put(world, trunk, "remove_subports", [{"port_id": first}])
        seen = {port["id"]: port for port in world.list("ports", "", ADMIN)}
        owner = "trunk:subport" if host else ""
        assert {(seen[name]["binding:host_id"], seen[name]["device_owner"]) for name in subports} == {(host, owner)}
    assert seen[first]["binding:host_id"] == ""


def test_a_trunk_is_active_when_all_of_it_is(world: World, network: str) -> None:
    parent, first, second = (world.port(network)["id"] for _ in range(3))
    world.update("ports", parent, {"binding:host_id": "h1"}, ADMIN)
    with refused("ParentPortInUse"):
        world.create(PATH, port_id=parent)
    world.update("ports", parent, {"binding:host_id": ""}, ADMIN)
    trunk = world.create(PATH, port_id=parent, sub_ports=[vlan(first)])["id"]
    world.update("ports", parent, {"binding:host_id": "h1"}, ADMIN)

    def told(**status: Any) -> str:
        ports = {"parent": parent, "first": first, "second": second}
        reports = [PortReport(ports[name], said) for name, said in status.items()]
        world.write(lambda tx: set_port_status(tx, "h1", reports))
        return str(world.get(PATH, trunk)["status"])

    assert world.get(PATH, trunk)["status"] == "DOWN"
    assert told(first="ACTIVE") == "DOWN"
    assert told(parent="ACTIVE") == "ACTIVE"
    assert put(world, trunk, "add_subports", [vlan(second, 3)])["status"] == "DOWN"
    assert world.get(PATH, trunk)["status"] == "BUILD"
    assert told(second="ACTIVE") == "ACTIVE"
    assert told(first="DOWN") == "BUILD"
    put(world, trunk, "remove_subports", [{"port_id": first}])
    assert world.get(PATH, trunk)["status"] == "ACTIVE"
    world.update("ports", parent, {"binding:host_id": "h2"}, ADMIN)
    assert world.get(PATH, trunk)["status"] == "DOWN"
