"""What a detector suggests is what an operator may do: restrictions take it as it is."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from suimon.model.findings import Suggestion
from suimon.resources.restrictions import SPEC, create_restrictions
from tests.detection.attacks import ATTACKS
from tests.detection.test_attacks import GUESTS, found
from tests.resources.world import ADMIN, World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def suggested(name: str) -> list[Suggestion]:
    told = [each for _, each in found(1, True) if each.subject.id == f"port-{GUESTS[name]}"]
    return [each.suggestion for each in told if each.suggestion is not None]


@pytest.mark.parametrize("name", ATTACKS)
def test_restrictions_take_it(world: World, name: str) -> None:
    port = str(world.port(world.network())["id"])
    made = suggested(name)
    assert made or ATTACKS[name].role == "victim", "only against floods from everywhere nothing here helps"
    for suggestion in {msgspec.structs.replace(each, target=_target(each, port)) for each in made}:
        body = {key: value for key, value in msgspec.to_builtins(suggestion).items() if value is not None}
        wanted = SPEC.for_create({**body, "reason": name}, ADMIN)
        (restriction,) = world.write(lambda tx, one=wanted: create_restrictions(tx, ADMIN, [one]))
        assert (restriction.kind, restriction.target) == (suggestion.kind, suggestion.target)


def _target(suggestion: Suggestion, port: str) -> str:
    return port if suggestion.target_kind == "port" else suggestion.target
