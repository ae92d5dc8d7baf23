"""Bindings of one port to several hosts, and the way from one to the other."""

from typing import Any

import pytest

from suimon.model import view
from suimon.model.actor import Actor
from suimon.model.query import Query
from suimon.resources.hosts import drain_host, set_port_status
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Asked
from tests.resources.world import ADMIN, ALICE, NOBODY, World, refused

NOVA = Actor("nova", "services", frozenset({"service"}), "req-nova")
CHILD = RESOURCES["ports"].children["bindings"]
SPEC = CHILD.spec
OVS = {"vif_type": "ovs", "vnic_type": "normal", "profile": {}}


@pytest.fixture
def port(world: World) -> str:
    for host in ("h1", "h2"):
        world.host(host)
    network = world.network()
    world.subnet(network)
    return str(world.port(network, ADMIN, device_owner="compute:nova", **{"binding:host_id": "h1"})["id"])


def create(world: World, port: str, by: Actor = NOVA, **body: Any) -> dict[str, Any]:
    return SPEC.render(world.write(lambda tx: CHILD.create(tx, by, port, SPEC.for_create(body, by)), by), by)  # type: ignore[misc]


def update(world: World, port: str, at: str, by: Actor = NOVA, **body: Any) -> dict[str, Any]:
    wanted = SPEC.for_update(body, by)
    return SPEC.render(world.write(lambda tx: CHILD.update(tx, by, port, at, wanted, None), by), by)  # type: ignore[misc]


def delete(world: World, port: str, host: str, by: Actor = NOVA) -> None:
    world.write(lambda tx: CHILD.delete(tx, by, port, host, None), by)  # type: ignore[misc]


def activate(world: World, port: str, host: str, by: Actor = NOVA) -> Any:
    return world.write(lambda tx: CHILD.views["PUT {}/activate"].act(tx, by, Asked(ids=(port, host))), by)


def listed(world: World, port: str, by: Actor = NOVA, **filters: list[str]) -> list[tuple[Any, Any]]:
    found = world.read(lambda tx: CHILD.list(tx, by, port, Query(filters=filters)))  # type: ignore[misc]
    return [(one["host"], one["status"]) for one in (SPEC.render(shown, by) for shown in found)]


def test_a_second_binding_waits(world: World, port: str) -> None:
    before = world.read(lambda tx: tx.position()[2])
    made = create(world, port, host="h2", profile={"migrating_to": "h2"})
    assert (made["host"], made["status"], made["vif_type"]) == ("h2", "INACTIVE", "ovs")
    assert made["vif_details"]["bridge_name"] == "br-int"
    assert made["profile"] == {"migrating_to": "h2"}
    assert listed(world, port) == [("h1", "ACTIVE"), ("h2", "INACTIVE")]
    assert listed(world, port, ADMIN, status=["INACTIVE"]) == [("h2", "INACTIVE")]
    assert SPEC.render(world.read(lambda tx: CHILD.get(tx, NOVA, port, "h2")), NOVA) == made  # type: ignore[misc]
    active = SPEC.render(world.read(lambda tx: CHILD.get(tx, NOVA, port, "h1")), NOVA)  # type: ignore[misc]
    assert {key: active[key] for key in OVS} == OVS
    assert world.get("ports", port, ADMIN)["binding:host_id"] == "h1"
    changes = world.read(lambda tx: tx.changes_after(before)) or []
    told = {(change.kind, change.id, change.scope) for change in changes if change.scope}
    assert told == {("port", port, "host:h1"), ("port", port, "host:h2")}, "no other host is"
    world.update("ports", port, {"trusted": True}, ADMIN)
    assert listed(world, port) == [("h1", "ACTIVE"), ("h2", "INACTIVE")]
    assert update(world, port, "h2")["profile"] == {"migrating_to": "h2", "trusted": True}


def test_activation_is_one_change_of_the_host(world: World, port: str) -> None:
    create(world, port, host="h2", profile={"a": 1})
    world.write(lambda tx: set_port_status(tx, "h1", [view.PortReport(port, "ACTIVE")]))
    before = world.read(lambda tx: tx.position()[2])
    active = activate(world, port, "h2")
    assert (active["host"], active["status"], active["profile"]) == ("h2", "ACTIVE", {"a": 1})
    assert listed(world, port) == [("h2", "ACTIVE"), ("h1", "INACTIVE")]
    shown = world.get("ports", port, ADMIN)
    assert (shown["binding:host_id"], shown["status"], shown["binding:profile"]) == ("h2", "DOWN", {"a": 1})
    changes = world.read(lambda tx: tx.changes_after(before)) or []
    assert {change.revision for change in changes} == {before + 1}
    assert {(change.kind, change.scope) for change in changes} >= {
        ("port", "host:h1"), ("port", "host:h2"), ("peer", f"peers:{shown['network_id']}"),
    }  # fmt: skip
    with refused("PortBindingAlreadyActive", f"Binding for port {port} on host h2 is already active."):
        activate(world, port, "h2")
    activate(world, port, "h1")
    assert listed(world, port) == [("h1", "ACTIVE"), ("h2", "INACTIVE")]


def test_the_old_way_to_move_uses_the_binding_up(world: World, port: str) -> None:
    create(world, port, host="h2")
    world.update("ports", port, {"binding:host_id": "h2"}, ADMIN)
    assert listed(world, port) == [("h2", "ACTIVE")]
    create(world, port, host="h1")
    world.delete("ports", port, ADMIN)
    with refused("PortNotFound"):
        listed(world, port)


def test_changes(world: World, port: str) -> None:
    create(world, port, host="h2")
    assert update(world, port, "h2", profile={"b": 2})["profile"] == {"b": 2}
    assert update(world, port, "h1", profile={"c": 3})["status"] == "ACTIVE"
    assert world.get("ports", port, ADMIN)["binding:profile"] == {"c": 3}
    revision = world.get("ports", port, ADMIN)["revision_number"]
    assert update(world, port, "h1", profile={"c": 3})["profile"] == {"c": 3}
    assert world.get("ports", port, ADMIN)["revision_number"] == revision
    delete(world, port, "h2")
    assert listed(world, port) == [("h1", "ACTIVE")]
    delete(world, port, "h1")
    assert world.get("ports", port, ADMIN)["binding:vif_type"] == "unbound"
    assert create(world, port, host="h2")["status"] == "ACTIVE"
    assert world.get("ports", port, ADMIN)["binding:host_id"] == "h2"


def test_what_cannot_be(world: World, port: str) -> None:
    create(world, port, host="h2")
    for host in ("h1", "h2"):
        with refused("PortBindingAlreadyExists", f"Binding for port {port} on host {host} already exists."):
            create(world, port, host=host)
    with refused("PortBindingAlreadyExists"):
        update(world, port, "h2", host="h1")
    with refused("PortBindingError", f"Binding for port {port} on host nosuch could not be created or updated."):
        create(world, port, host="nosuch")
    with refused("PortBindingError"):
        update(world, port, "h2", vnic_type="direct")
    world.host("h4")
    world.write(lambda tx: drain_host(tx, ADMIN, "h4", drained=True))
    with refused("PortBindingError"):
        create(world, port, host="h4")
    world.update("ports", port, {"binding:host_id": "h4"}, ADMIN)
    assert world.get("ports", port, ADMIN)["binding:vif_type"] == "ovs", "where Nova starts it, it has its network"
    world.update("ports", port, {"binding:host_id": "h1"}, ADMIN)
    for act in (activate, delete, update):
        with refused("PortBindingNotFound", f"Binding for port {port} for host h3 could not be found."):
            act(world, port, "h3")
    with refused("PortBindingNotFound"):
        world.read(lambda tx: CHILD.get(tx, NOVA, port, "h3"))  # type: ignore[misc]
    with refused("HTTPBadRequest", "Required attribute 'host' not specified"):
        create(world, port)
    with refused("HTTPBadRequest", "Blank strings are not permitted"):
        create(world, port, host="")
    with refused("PortNotFound"):
        create(world, NOBODY, host="h2")
    other = world.port(world.get("ports", port, ADMIN)["network_id"])["id"]
    with refused("BadRequest", f"Invalid port {other}. Operation only valid on compute and shared filesystem ports"):
        create(world, other, host="h2")


def test_bindings_are_novas(world: World, port: str) -> None:
    create(world, port, host="h2")
    world.update("ports", port, {"device_owner": "compute:az"}, ADMIN)
    alices = world.port(world.get("ports", port, ADMIN)["network_id"], device_owner="compute:nova")["id"]
    acts = {
        "get_port_binding": lambda: listed(world, alices, ALICE),
        "create_port_binding": lambda: create(world, alices, ALICE, host="h2"),
        "update_port_binding": lambda: update(world, alices, "h2", ALICE),
        "delete_port_binding": lambda: delete(world, alices, "h2", ALICE),
        "activate": lambda: activate(world, alices, "h2", ALICE),
    }
    for rule, act in acts.items():
        with refused("PolicyNotAuthorized", f"rule:{rule} is disallowed by policy"):
            act()
