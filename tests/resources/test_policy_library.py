"""The library: what comes with Suimon, what operators put there, and making policies of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from suimon.model.policies import LibraryPolicy
from suimon.policy.document import take_apart
from suimon.policy.syntax import read
from suimon.resources import policy_library
from suimon.resources.policies import Wanted, WantedClause, list_changes
from suimon.resources.policy_library import (
    as_wanted,
    find_in_library,
    list_library,
    put_into_library,
    replace_in_library,
    take_out_of_library,
)
from tests.resources.world import ADMIN, ALICE, World, refused

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path.read_text() for path in (ROOT / "src/suimon/policy/library").iterdir()}


def wanted(name: str = "mine", *texts: str) -> Wanted:
    return Wanted(name=name, clauses=tuple(WantedClause(text=text) for text in texts or ("error(1)",)))


def put(world: World, what: Wanted) -> LibraryPolicy:
    return world.write(lambda tx: put_into_library(tx, ADMIN, what))


def test_what_comes_with_suimon_has_a_page_and_says_what_it_is_for(world: World) -> None:
    found = world.read(list_library)
    assert {one.name for one in found} == FILES.keys()
    guide = set(re.findall(r"^## `(\w+)`$", (ROOT / "docs/guide/policy-library.md").read_text(), re.MULTILINE))
    assert guide == FILES.keys()
    for one in found:
        assert one.ready and one.description == take_apart(FILES[one.name]).description != "", one.name
        settings = [rule for rule in one.rules if rule.comment.startswith("Set this")]
        assert all(read(rule.rule)[0].body is None for rule in settings), one.name


def test_operators_put_their_own_there(world: World) -> None:
    made = put(world, wanted("mine", "allowed(1)", "error(x) :- p(x), not allowed(x)"))
    assert (
        world.read(lambda tx: find_in_library(tx, made.id))
        == made
        == world.read(lambda tx: find_in_library(tx, "mine"))
    )
    assert (made.abbreviation, made.kind, made.ready) == ("mine", "nonrecursive", False)
    after = world.write(lambda tx: replace_in_library(tx, ADMIN, "mine", wanted("ours")))
    assert (after.id, after.name, [rule.rule for rule in after.rules]) == (made.id, "ours", ["error(1)"])
    assert world.write(lambda tx: take_out_of_library(tx, ADMIN, "ours")) == after
    assert {one.name for one in world.read(list_library)} == FILES.keys()
    words = [one.words for one in world.read(lambda tx: list_changes(tx, ADMIN))]
    assert sorted(words) == ["put into the library", "replaced in the library", "taken out of the library"]
    assert world.read(lambda tx: list_changes(tx, ALICE)) == []


@pytest.mark.parametrize("what, kind, words", [
    (wanted("open_ports"), "HTTPConflict", "already exists"),
    (wanted("mine"), "HTTPConflict", "already exists"),
    (wanted("a:b"), "HTTPBadRequest", "can't be a policy's name"),
    (wanted("other", "p("), "PolicyError", "line 1"),
    (wanted("other", "p(1) p(2)"), "HTTPBadRequest", "one rule at a time"),
    (Wanted(name="other"), "HTTPBadRequest", "from 1 to"),
])  # fmt: skip
def test_what_cannot_be_there(world: World, what: Wanted, kind: str, words: str) -> None:
    put(world, wanted("mine"))
    put(world, wanted("yours"))
    with refused(kind, words):
        put(world, what)
    if what.name != "mine":
        with refused(kind, words):
            world.write(lambda tx: replace_in_library(tx, ADMIN, "mine", what))


def test_there_is_an_end_of_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_library, "MOST_LIBRARY", 1)
    put(world, wanted("mine"))
    with refused("HTTPConflict", "At most 1 policies"):
        put(world, wanted("yours"))


def test_what_comes_with_suimon_stays(world: World) -> None:
    with refused("HTTPConflict", "comes with Suimon"):
        world.write(lambda tx: replace_in_library(tx, ADMIN, "naming", wanted("naming")))
    with refused("HTTPConflict", "comes with Suimon"):
        world.write(lambda tx: take_out_of_library(tx, ADMIN, "naming"))
    with refused("HTTPNotFound"):
        world.write(lambda tx: take_out_of_library(tx, ADMIN, "nothing"))


def test_only_operators_write_it(world: World) -> None:
    put(world, wanted("mine"))
    for act in (
        lambda tx: put_into_library(tx, ALICE, wanted("other")),
        lambda tx: replace_in_library(tx, ALICE, "mine", wanted("mine")),
        lambda tx: take_out_of_library(tx, ALICE, "mine"),
    ):
        with refused("PolicyNotAuthorized"):
            world.write(act, ALICE)


def test_given_facts_come_in_the_place_of_its_own(world: World) -> None:
    made = put(world, wanted("mine", "a(1)", "a(2)", "b(1)", "error(x) :- a(x), not b(x)"))
    assert [one.text for one in as_wanted(made).clauses] == [rule.rule for rule in made.rules]
    given = [one.text for one in as_wanted(made, ["a(7)", " a(8) "]).clauses]
    assert given == ["a(7)", "a(8)", "b(1)", "error(x) :- a(x), not b(x)"]
    for fact, words in (
        ("c(1)", "takes facts of a, b: these are of 'c'"),
        ("error(2)", "a, b"),
        ("a(x) :- b(x)", "''"),
    ):
        with refused("HTTPBadRequest", words):
            as_wanted(made, [fact])
    with refused("PolicyError"):
        as_wanted(made, ["a("])
