"""Findings as they are told: what is nobody's to say, and what an id stands for."""

import msgspec
import pytest

from suimon.model.actor import SYSTEM
from suimon.model.errors import BadRequest
from suimon.model.findings import Finding, Subject
from suimon.model.incidents import NotedFinding
from suimon.resources.findings import finding_of, note_findings, note_used
from tests.resources.world import World

with_ = msgspec.structs.replace
FOUND = Finding(
    id="f", detector="mass_mail", subject=Subject("port", "p1"), role="source", since_s=1.0, seen_s=2.0, confidence=1.0,
    numbers={}, words="", evidence=(),
)  # fmt: skip
USED = with_(FOUND, id="usage:1", detector="usage:heavy")


def tell(world: World, *found: Finding) -> None:
    world.write(lambda tx: note_findings(tx, SYSTEM, found))


def noted(world: World) -> list[Finding]:
    return [finding_of(one) for one in world.read(lambda tx: tx.select(NotedFinding, order=("id",)))]


@pytest.mark.parametrize("forged", [with_(USED, id="f"), with_(USED, detector="mass_mail"), with_(USED, ended=True)])
def test_what_was_used_is_the_controllers_own_to_say(world: World, forged: Finding) -> None:
    for _ in range(2):
        with pytest.raises(BadRequest, match="usage:"):
            tell(world, FOUND, forged)
        world.write(lambda tx: note_used(tx, USED))
    assert noted(world) == [USED]


@pytest.mark.parametrize("field", [{"detector": "udp_flood"}, {"subject": Subject("port", "p2")}])
def test_an_id_stands_for_one_thing_that_one_detector_found(world: World, field: dict[str, object]) -> None:
    tell(world, FOUND)
    with pytest.raises(BadRequest, match="about another"):
        tell(world, with_(FOUND, seen_s=3.0, **field))
    tell(world, again := with_(FOUND, seen_s=3.0, words="more"))
    assert noted(world) == [again]
