"""The auto-allocated topology: what it is made of, and of what it can't be."""

from typing import Any

import pytest

from suimon.model.actor import Actor
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Asked
from tests.resources.world import ADMIN, ALICE, ANN, BOB, World, refused

PATH = "auto-allocated-topology"


@pytest.fixture
def ready(world: World) -> World:
    outside = world.network(ADMIN, is_default=True, **{"router:external": True})
    world.subnet(outside, "192.0.2.0/24", ADMIN)
    four = {"name": "four", "prefixes": ["10.8.0.0/16"], "default_prefixlen": 24}
    six = {"name": "six", "prefixes": ["2001:db8::/48"]}
    for body in (four, six):
        world.create("subnetpools", {**body, "is_default": True, "shared": True}, by=ADMIN)
    return world


def ask(world: World, method: str, id_: str = "None", by: Actor = ALICE, *fields: str) -> Any:
    act = RESOURCES[PATH].views[f"{method} {{}}"].act
    asked = Asked(ids=(id_,), query=tuple(("fields", field) for field in fields))
    told = world.write(lambda tx: act(tx, by, asked), by)
    return told and told["auto_allocated_topology"]


def counts(world: World) -> list[int]:
    return [len(world.list(path, "", ALICE)) for path in ("routers", "ports")] + [
        len([one for one in world.list(path) if one["project_id"] == "red"]) for path in ("networks", "subnets")
    ]


def test_it_is_made_once_and_taken_away(ready: World) -> None:
    told = ask(ready, "GET")
    assert told == {"id": told["id"], "project_id": "red", "tenant_id": "red"}
    assert ask(ready, "GET", "red", ANN) == ask(ready, "GET", "red", ADMIN) == told
    network = ready.get("networks", told["id"])
    assert (network["name"], network["admin_state_up"], network["project_id"]) == (
        "auto_allocated_network",
        True,
        "red",
    )
    subnets = sorted(ready.get("subnets", id_)["name"] for id_ in network["subnets"])
    assert subnets == ["auto_allocated_subnet_v4", "auto_allocated_subnet_v6"]
    (router,) = ready.list("routers")
    assert router["name"] == "auto_allocated_router" and router["external_gateway_info"]
    assert counts(ready) == [1, 2, 1, 2]
    assert ask(ready, "GET", "blue", BOB)["id"] != told["id"]
    assert ask(ready, "DELETE") is None
    assert counts(ready) == [0, 0, 0, 0]
    assert ask(ready, "DELETE") is None
    assert ask(ready, "GET")["id"] != told["id"]


def test_a_topology_in_use_stays(ready: World) -> None:
    network = ask(ready, "GET")["id"]
    port = ready.port(network)["id"]
    with refused("NetworkInUse"):
        ask(ready, "DELETE")
    assert counts(ready) == [1, 3, 1, 2]
    ready.delete("ports", port)
    ask(ready, "DELETE")


def test_what_it_needs(world: World) -> None:
    def both(words: str, making: str) -> None:
        for fields, said in ((("dry-run",), words), ((), making)):
            with refused("AutoAllocationFailure", f"Deployment error: {said}."):
                ask(world, "GET", "None", ALICE, *fields)

    both("No default router:external network", "No default router:external network")
    outside = world.network(ADMIN, is_default=True, **{"router:external": True})
    world.subnet(outside, "192.0.2.0/24", ADMIN)
    both("No default subnetpools defined", "Unable to provide project private network")
    world.create("subnetpools", name="p", prefixes=["10.8.0.0/16"], default_prefixlen=24, is_default=True, by=ADMIN)
    told = ask(world, "GET", "None", ALICE, "dry-run")
    assert told == {"id": "dry-run=pass", "project_id": "red", "tenant_id": "red"}
    assert counts(world) == [0, 0, 0, 0]
    with refused("BadRequest", "Unrecognized field"):
        ask(world, "GET", "None", ALICE, "name")


def test_whose_it_is(ready: World) -> None:
    for method, act in (("GET", "get"), ("DELETE", "delete")):
        with refused("PolicyNotAuthorized", f"rule:{act}_auto_allocated_topology"):
            ask(ready, method, "blue")
    with refused("PolicyNotAuthorized", "rule:delete_auto_allocated_topology"):
        ask(ready, "DELETE", "red", ANN)


def test_it_is_forgotten_with_its_network(ready: World) -> None:
    first = ask(ready, "GET")["id"]
    (router,) = ready.list("routers")
    for subnet in ready.get("networks", first)["subnets"]:
        ready.act(router["id"], "remove_router_interface", {"subnet_id": subnet})
    ready.delete("networks", first)
    assert ask(ready, "GET")["id"] != first
