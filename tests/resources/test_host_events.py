"""The trail of hosts: each thing once, found by host, kind and time, bounded, and longer there than the host."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from suimon.model.errors import Forbidden, NotFound
from suimon.model.host_events import KINDS, HostEvent
from suimon.model.view import Drift
from suimon.resources import host_events
from suimon.resources.host_events import Asked, forget, list_events, note_events
from suimon.resources.hosts import delete_host
from tests.resources.world import ADMIN, ALICE, World

ALL = Asked(None, None, KINDS, 1000)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def note(world: World, host: str, *drifts: Drift) -> None:
    world.write(lambda tx: note_events(tx, host, drifts))


def trail(world: World, host: str = "hv1", asked: Asked = ALL) -> list[HostEvent]:
    return world.read(lambda tx: list_events(tx, ADMIN, host, asked))


def ids(found: list[HostEvent]) -> list[str]:
    return [each.id for each in found]


def test_what_is_told_twice_is_there_once_as_it_was_told_first(world: World) -> None:
    note(world, "hv1", Drift("port/p", missing=2, example="flow", id="a", age_s=10))
    note(world, "hv1", Drift("port/p", missing=2, example="flow", id="a", age_s=20), Drift("", id="b", by="root"))
    later, first = trail(world)
    assert (first.id, first.author, first.kind, first.missing, first.repaired) == ("a", "agent", "drift", 2, True)
    assert (later.id, later.author) == ("b", "root")
    ago = datetime.now(UTC) - first.at
    assert timedelta(seconds=10) <= ago < timedelta(minutes=5)
    note(world, "hv2", Drift("port/q", id="a"))
    assert [each.owner for each in trail(world, "hv2")] == ["port/q"], "ids are a host's own"
    assert ids(trail(world)) == ["b", "a"]


def test_one_without_an_id_is_new(world: World) -> None:
    for _ in range(2):
        note(world, "hv1", Drift("port/p"), Drift("port/q"))
    assert len(set(ids(trail(world)))) == 4


def test_it_is_found_by_time_and_kind_the_newest_first(world: World) -> None:
    note(world, "hv1", *(Drift("", id=f"e{age}", age_s=age * 3600.0) for age in range(5)))
    note(world, "hv1", Drift("bridge/b", id="gone", kind="removal", age_s=1800.0))
    now = datetime.now(UTC)
    since, until = now - timedelta(hours=3.5), now - timedelta(hours=0.75)
    assert ids(trail(world, asked=Asked(since, until, KINDS, 9))) == ["e1", "e2", "e3"]
    assert ids(trail(world, asked=Asked(since, None, KINDS, 2))) == ["e0", "gone"]
    assert ids(trail(world, asked=Asked(None, None, ("removal",), 9))) == ["gone"]
    at = trail(world, asked=Asked(None, None, ("removal",), 9))[0].at
    assert ids(trail(world, asked=Asked(at, at + timedelta(seconds=1), KINDS, 9))) == ["gone"], "from then on"
    assert trail(world, asked=Asked(None, at, ("removal",), 9)) == [], "and before then"


def test_only_operators_see_it_and_of_no_host_there_is_none(world: World) -> None:
    world.host("hv1")
    assert trail(world) == []
    note(world, "hv1", Drift("port/p", id="a"))
    with pytest.raises(Forbidden):
        world.read(lambda tx: list_events(tx, ALICE, "hv1", ALL))
    with pytest.raises(NotFound):
        trail(world, "hv9")
    world.write(lambda tx: delete_host(tx, ADMIN, "hv1"))
    assert ids(trail(world)) == ["a"], "what happened there did happen"
    assert trail(world, asked=Asked(None, datetime(2020, 1, 1, tzinfo=UTC), KINDS, 9)) == []


def test_a_host_that_tells_without_end_has_the_newest_and_others_all_of_theirs(world: World, monkeypatch) -> None:
    monkeypatch.setattr(host_events, "MOST_KEPT", 3)
    note(world, "hv2", *(Drift("", id=f"o{number}", age_s=9e4) for number in range(3)))
    for number in range(5):
        note(world, "hv1", Drift("", id=f"a{number}", age_s=60.0 - number))
    assert ids(trail(world)) == ["a4", "a3", "a2"]
    assert len(trail(world, "hv2")) == 3


def test_what_is_too_old_is_forgotten(world: World) -> None:
    note(world, "hv1", *(Drift("", id=f"e{days}", age_s=days * 86400.0) for days in (1, 3)))
    world.write(lambda tx: forget(tx, tx.now - timedelta(days=2)))
    assert ids(trail(world)) == ["e1"]


def test_nobody_is_woken_by_it(world: World) -> None:
    before = world.read(lambda tx: tx.position())
    note(world, "hv1", Drift("port/p", id="a"))
    assert world.read(lambda tx: tx.position()) == before
