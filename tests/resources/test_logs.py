"""Logging resources: kept and checked."""

from typing import Any

import pytest

from suimon.model.actor import Actor
from tests.resources.world import ADMIN, ALICE, NOBODY, World, refused

LOGS = "log/logs"
MARY = Actor("mary", "red", frozenset({"manager"}), "req-mary")
BEN = Actor("ben", "blue", frozenset({"manager"}), "req-ben")


@pytest.fixture
def group(world: World) -> str:
    return str(world.create("security-groups", name="g")["id"])


@pytest.fixture
def port(world: World, group: str) -> str:
    return str(world.port(world.network(), security_groups=[group])["id"])


def log(world: World, by: Actor = MARY, **body: Any) -> dict[str, Any]:
    return world.create(LOGS, {"resource_type": "security_group", **body}, by)


def test_they_are_kept(world: World, group: str, port: str) -> None:
    made = log(world, name="l", description="d", resource_id=group, target_id=port, event="DROP")
    assert made == {
        **{name: made[name] for name in ("id", "created_at", "updated_at")},
        **{"project_id": "red", "tenant_id": "red", "name": "l", "description": "d", "revision_number": 0},
        **{"resource_type": "security_group", "resource_id": group, "target_id": port, "event": "DROP"},
        "enabled": True,
    }
    assert world.get(LOGS, made["id"], MARY) == made
    assert log(world)["event"] == "ALL"
    changed = world.update(LOGS, made["id"], {"enabled": False, "name": "m"}, MARY, expected=0)
    assert (changed["enabled"], changed["name"], changed["revision_number"]) == (False, "m", 1)
    assert [one["id"] for one in world.list(LOGS, "enabled=False", MARY)] == [made["id"]]
    assert world.update(LOGS, made["id"], {}, MARY)["revision_number"] == 1
    with refused("HTTPBadRequest", "Cannot update read-only attribute event"):
        world.update(LOGS, made["id"], {"event": "ALL"}, MARY)
    for refuse in (lambda: world.update(LOGS, made["id"], {"name": "x"}, MARY, expected=0),
                   lambda: world.delete(LOGS, made["id"], MARY, expected=0)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()
    world.delete(LOGS, made["id"], MARY)
    with refused("LogResourceNotFound", f"Log resource {made['id']} could not be found."):
        world.get(LOGS, made["id"], MARY)


def test_they_go_with_what_they_are_about(world: World, group: str, port: str) -> None:
    about_group, about_port = log(world, resource_id=group)["id"], log(world, target_id=port)["id"]
    other = log(world)["id"]
    world.delete("ports", port)
    assert {one["id"] for one in world.list(LOGS, by=MARY)} == {about_group, other}
    world.delete("security-groups", group)
    assert {one["id"] for one in world.list(LOGS, by=MARY)} == {other}
    assert about_port != other


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"resource_type": "fake"}, "InvalidLogResourceType", "Invalid log resource_type: fake."),
        ({"event": "SOME"}, "HTTPBadRequest", "SOME is not in valid_values"),
        ({"resource_id": NOBODY}, "ResourceNotFound", f"Resource {NOBODY} could not be found."),
        ({"resource_id": "BENS"}, "ResourceNotFound", ""),
        ({"target_id": NOBODY}, "TargetResourceNotFound", f"Target resource {NOBODY} could not be found."),
        ({"resource_id": "OTHER", "target_id": "PORT"}, "InvalidResourceConstraint", "(security_group "),
        ({"target_id": "DIRECT"}, "LoggingTypeNotSupported", "Logging type security_group is not supported on port "),
    ],
)
def test_impossible(world: World, group: str, port: str, given: dict[str, Any], kind: str, words: str) -> None:
    direct = world.port(world.network(), **{"binding:vnic_type": "direct"})["id"]
    ids = {
        "PORT": port,
        "DIRECT": direct,
        "OTHER": world.create("security-groups", name="other")["id"],
        "BENS": world.create("security-groups", name="ben", by=ADMIN, project_id="blue")["id"],
    }
    with refused(kind, words):
        log(world, **{name: ids.get(value, value) for name, value in given.items()})
    assert world.list(LOGS, by=ADMIN) == []


def test_they_are_for_those_who_manage_the_project(world: World, group: str) -> None:
    made = log(world, resource_id=group)["id"]
    log(world, ADMIN, resource_id=group)
    assert world.list(LOGS) == []
    assert len(world.list(LOGS, by=ADMIN)) == 2
    for by in (ALICE, BEN):
        for act in (lambda by: world.get(LOGS, made, by),
                    lambda by: world.update(LOGS, made, {"name": "x"}, by),
                    lambda by: world.delete(LOGS, made, by)):  # fmt: skip
            with refused("LogResourceNotFound"):
                act(by)
    with refused("PolicyNotAuthorized", "rule:create_log is disallowed by policy"):
        log(world, ALICE)


def test_what_can_be_logged(world: World) -> None:
    kinds = "log/loggable-resources"
    assert world.list(kinds, by=MARY) == world.list(kinds, by=ADMIN) == [{"type": "security_group"}]
    assert world.list(kinds, by=ALICE) == world.list(kinds, "type=snat", ADMIN) == []
