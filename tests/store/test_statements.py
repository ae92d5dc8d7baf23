"""What the hot paths cost in SQL, counted by the driver's trace, BEGIN and COMMIT included.

Checking the caller's token costs one statement more.
"""

from collections.abc import Callable, Iterator
from unittest.mock import patch

import pytest
from sqlalchemy import Connection

from suimon.model.things import Port
from suimon.resources.registry import RESOURCES
from tests.databases import but_the_lock
from tests.resources.world import ADMIN, ALICE, Body, World

Count = Callable[[Callable[[], object]], int]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


@pytest.fixture
def count(world: World) -> Count:
    def counted(act: Callable[[], object]) -> int:
        heard: list[str] = []
        world.store.trace(heard.append)
        act()
        world.store.trace(None)
        return len(but_the_lock(heard))

    return counted


@pytest.fixture
def network(world: World) -> str:
    network = world.network()
    world.subnet(network, "10.0.0.0/20")
    world.port(network)
    return network


def test_one_port(world: World, network: str, count: Count) -> None:
    heard: list[str] = []
    world.store.trace(heard.append)
    world.port(network)
    assert heard[0].startswith("BEGIN I") and heard[-1] == "COMMIT", "IMMEDIATE, or ISOLATION LEVEL"
    assert len(but_the_lock(heard)) <= 9, "\n".join(heard)


def test_a_port_like_one_before_is_the_drivers_alone(world: World, network: str) -> None:
    """Nothing that SQLAlchemy would work out anew (`store.prepared`)."""
    bodies = [{"name": f"n{n}", "binding:host_id": "h1"} for n in range(3)]
    for body in bodies[:2]:
        world.port(network, ADMIN, **body)
    with patch.object(Connection, "execute", side_effect=AssertionError("SQLAlchemy was asked")):
        world.port(network, ADMIN, **bodies[2])


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({"fixed_ips": [{"ip_address": "10.0.9.9"}]}, 10),
        ({"mac_address": "02:00:00:00:00:01"}, 10),
        ({"name": "n", "binding:host_id": "h1"}, 10),
        ({"security_groups": []}, 8),
    ],
)
def test_a_port_with_wishes(world: World, network: str, count: Count, body: Body, most: int) -> None:
    assert count(lambda: world.port(network, ADMIN, project_id="red", **body)) <= most


@pytest.mark.parametrize("number", [2, 100])
def test_ports_in_bulk(world: World, network: str, count: Count, number: int) -> None:
    assert count(lambda: world.create_many("ports", [{"network_id": network}] * number)) <= 10


def test_named_addresses_in_bulk(world: World, network: str, count: Count) -> None:
    bodies = [{"network_id": network, "fixed_ips": [{"ip_address": f"10.0.5.{2 * n}"}]} for n in range(1, 101)]
    assert count(lambda: world.create_many("ports", bodies)) <= 14


@pytest.mark.parametrize("path", ["networks", "subnets", "ports"])
def test_getting_one(world: World, network: str, count: Count, path: str) -> None:
    id_ = world.list(path)[0]["id"]
    resource = RESOURCES[path]

    def get() -> object:
        act = world.store.read(lambda tx: resource.get(tx, ALICE, id_), one_statement=True)
        return world.loop.run_until_complete(act)

    assert count(get) == 1


def test_deleting_a_port(world: World, network: str, count: Count) -> None:
    port = world.port(network)["id"]
    assert count(lambda: world.delete("ports", port)) <= 9


@pytest.mark.parametrize("number", [3, 5, 40])
def test_lists_of_similar_lengths_are_the_drivers_alone(world: World, network: str, number: int) -> None:
    """A text does for as many ids as the next power of two, and the answer is of those that were asked for."""
    ids = [world.port(network)["id"] for _ in range(number)]
    full = 1 << (number - 1).bit_length()

    def found(wanted: list[str]) -> list[str]:
        return [port.id for port in world.read(lambda tx: tx.select(Port, {"id": wanted}))]

    for _ in range(2):
        found([*ids, *(f"none{n}" for n in range(full - number))])
    with patch.object(Connection, "execute", side_effect=AssertionError("SQLAlchemy was asked")):
        assert sorted(found(ids)) == sorted(ids)
