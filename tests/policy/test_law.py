"""Whatever comes and goes, in whatever order: what is derived is what the clauses say of the facts."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from suimon.policy.changes import Event, FactChange
from suimon.policy.engine import Engine
from suimon.policy.errors import PolicyError
from tests.policy.programs import SOURCES, apply, by_clingo, changes, engine, held, shown_rows


def again(made: Engine) -> Engine:
    """Another engine that is told at once what this one knows."""
    other = engine()
    other.facts([FactChange("net", table, put=tuple(made.rows("net", table))) for table in SOURCES["net"]])
    other.change([Event("main", " ".join(made.clauses("main")))])
    return other


@settings(max_examples=100, deadline=None)
@given(st.lists(changes(), min_size=8, max_size=20))
def test_change_by_change_is_from_scratch(history: list[list[Any]]) -> None:
    made = engine()
    for change in history:
        before = shown_rows(made)
        copy = {name: [*rows] for name, rows in before.items()}
        try:
            said = made.change(change) if isinstance(change[0], Event) else made.facts(change)
        except PolicyError:
            assert shown_rows(made) == before
            continue
        for name, rows in copy.items():
            came, went = said.appeared.get(("main", name), []), said.vanished.get(("main", name), [])
            left = [row for row in map(repr, rows) if row not in list(map(repr, went))]
            assert sorted(left + list(map(repr, came))) == sorted(map(repr, made.rows("main", name)))
    assert held(made).split("\n")[1:] == held(again(made)).split("\n")[1:]


@settings(max_examples=60, deadline=None)
@given(st.lists(changes(("count",)), min_size=8, max_size=16))
def test_clingo_says_the_same(history: list[list[Any]]) -> None:
    made = engine()
    for change in history:
        apply(made, change)
    found, expected = shown_rows(made), by_clingo(made)
    assert {n: sorted(map(repr, rows)) for n, rows in found.items()} == {
        n: sorted(map(repr, rows)) for n, rows in expected.items()
    }


@settings(max_examples=100, deadline=None)
@given(st.lists(changes(), min_size=6, max_size=14), changes(), st.integers(0, 30))
def test_what_is_undone_was_never_there(history: list[list[Any]], last: list[Any], limit: int) -> None:
    made = engine()
    for change in history:
        apply(made, change)
    before = held(made)
    if isinstance(last[0], FactChange):
        with made.trial(last) as difference:
            assert bool(difference) or not difference.calls
        assert held(made) == before
    made.limits(max_rows=limit, max_s=60)
    try:
        made.change(last) if isinstance(last[0], Event) else made.facts(last)
    except Exception:
        assert held(made) == before
    else:
        made.limits(max_rows=20_000, max_s=60)
        assert held(made).split("\n")[1:] == held(again(made)).split("\n")[1:]
