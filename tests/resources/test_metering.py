"""Metering labels and their rules."""

from typing import Any

import pytest

from tests.resources.world import ADMIN, BOB, NOBODY, World, refused

LABELS, RULES = "metering/metering-labels", "metering/metering-label-rules"


@pytest.fixture
def label(world: World) -> str:
    return str(world.create(LABELS, by=ADMIN, name="out", project_id="red")["id"])


def rule(world: World, label: str, **body: Any) -> dict[str, Any]:
    given = {"direction": "egress", "remote_ip_prefix": "10.0.0.0/24", **body}
    return world.create(RULES, by=ADMIN, metering_label_id=label, **given)


def test_a_label_and_its_rules_live_and_go(world: World, label: str) -> None:
    made = rule(world, label, remote_ip_prefix="192.0.2.7/24", excluded="true")
    assert (made["remote_ip_prefix"], made["excluded"], made["source_ip_prefix"]) == ("192.0.2.0/24", True, None)
    assert (
        rule(world, label, remote_ip_prefix=None, source_ip_prefix="2001:db8::1")["source_ip_prefix"]
        == "2001:db8::1/128"
    )
    assert [one["id"] for one in world.list(RULES, f"metering_label_id={label}&excluded=true", ADMIN)] == [made["id"]]
    world.delete(RULES, made["id"], ADMIN)
    with refused("MeteringLabelRuleNotFound"):
        world.get(RULES, made["id"], ADMIN)
    world.delete(LABELS, label, ADMIN)
    assert world.list(RULES, by=ADMIN) == [] == world.list(LABELS, by=ADMIN)


def test_others_see_a_label_only_when_it_is_shared(world: World, label: str) -> None:
    shared = world.create(LABELS, by=ADMIN, name="all", shared=True)["id"]
    assert [one["id"] for one in world.list(LABELS, by=BOB)] == [shared]
    with refused("MeteringLabelNotFound"):
        world.get(LABELS, label, BOB)


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"remote_ip_prefix": "x"}, "Invalid", "remote_ip_prefix: x is invalid"),
        ({"source_ip_prefix": "10.1.0.0/16"}, "Invalid", "in conjunction"),
        ({"remote_ip_prefix": None}, "Invalid", "at least one"),
        ({"remote_ip_prefix": "10.0.0.128/25"}, "MeteringLabelRuleOverlaps", "10.0.0.128/25"),
    ],
)
def test_impossible_rules(world: World, label: str, body: dict[str, Any], kind: str, words: str) -> None:
    rule(world, label)
    with refused(kind, words):
        rule(world, label, **body)


def test_apart_are_rules_of_another_direction_version_or_label(world: World, label: str) -> None:
    other = world.create(LABELS, by=ADMIN)["id"]
    rule(world, label)
    rule(world, label, direction="ingress")
    rule(world, label, excluded=True)
    rule(world, label, remote_ip_prefix="::/0")
    rule(world, other)
    assert len(world.list(RULES, by=ADMIN)) == 5


def test_a_rule_needs_its_label(world: World) -> None:
    with refused("MeteringLabelNotFound"):
        rule(world, NOBODY)
