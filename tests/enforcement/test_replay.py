"""A draft over the recorded past finds what the same policy found when it was there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from suimon.enforcement.history import AWAY
from suimon.enforcement.replay import (
    OF_CLOUD,
    Drafted,
    Replayed,
    ReplayLimits,
    asked_tables,
    drafted,
    outside,
    recorded,
    replay,
)
from suimon.model.actor import SYSTEM
from suimon.model.fact_tables import FactSource, Reading
from suimon.model.policies import CLOUD, Clause, Policy
from suimon.resources import fact_tables
from tests.enforcement.policed import OPEN
from tests.enforcement.test_history import Kept
from tests.enforcement.test_world import RULE, opened
from tests.resources.world import ADMIN, ALICE, refused


class Replayable(Kept):
    """Whose replays begin when it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.network(name="first")
        self.note()
        self.since = self.now()

    def now(self) -> datetime:
        """And later is later."""
        self.clock_ahead(timedelta(hours=1))
        return datetime.now(UTC) + self._ahead - timedelta(minutes=30)

    def drafted(self, *clauses: str, name: str = "draft", project: str = CLOUD) -> Drafted:
        policies = self.read(lambda tx: tx.select(Policy, {"project_id": project}))
        written = self.read(lambda tx: tx.select(Clause)) if policies else []
        return drafted(policies, written, name, clauses or None)

    def replay(
        self,
        draft: Drafted,
        project: str = CLOUD,
        limits: ReplayLimits = OF_CLOUD,
        since: datetime | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Replayed:
        self.note()
        sources = self.read(lambda tx: self.engines.sources(tx, project))
        tables = asked_tables(draft, sources)
        span = (since or self.since, self.now() + timedelta(days=1))
        past = self.engines.past(tables, project, sources)
        told = self.read(lambda tx: recorded(tx, past, span, outside(tx, tables, project), limits))
        return list(replay(draft, sources, told, limits, clock))[-1]


@pytest.fixture
def past() -> Iterator[Replayable]:
    made = Replayable()
    yield made
    made.close()


def test_it_finds_what_came_and_went_with_its_change(past: Replayable) -> None:
    opened(past)
    past.note()
    past.since = past.now()
    rule = opened(past)
    came = past.note()
    past.delete("security-group-rules", rule)
    went = past.note()
    found = past.replay(past.drafted(OPEN))
    assert (found.wrong_before, found.appeared, found.vanished, found.denied) == (1, 1, 1, 1)
    assert [(one.what, one.row, one.revision, one.request_id, one.denied) for one in found.found] == [
        ("appeared", f'error("{rule}")', came, ALICE.request_id, True),
        ("vanished", f'error("{rule}")', went, ALICE.request_id, False),
    ]


def test_it_agrees_with_a_policy_that_was_there(past: Replayable) -> None:
    clauses = (
        "same(x, y) :- neutronv2:ports(id=x, network_id=n), neutronv2:ports(id=y, network_id=n), not equal(x, y)",
        "error(x) :- same(x, _)",
    )
    past.policy("live", *clauses)
    past.read(past.engines.listen)
    network = past.network()
    past.subnet(network)
    live = []
    for number in range(6):
        made = past.port(network)["id"]
        past.note()
        live += past.news()
        if number % 3 == 2:
            past.delete("ports", made)
            past.note()
            live += past.news()
    found = past.replay(past.drafted(*clauses))
    assert sorted((one.revision, one.row, one.what == "appeared") for one in found.found) == sorted(
        (one.revision, f'error("{one.row[0]}")', one.appeared) for one in live
    )
    assert len(live) > 6
    assert past.replay(past.drafted(name="live")).found == found.found


def test_calls_other_policies_and_tables_from_elsewhere(past: Replayable) -> None:
    made = FactSource(name="lab", driver="push", made_at=datetime(2026, 1, 1, tzinfo=UTC), author="root")
    past.write(lambda tx: fact_tables.create_source(tx, ADMIN, made))
    reading = Reading(source="lab", name="bad", columns=("name",), rows=[("b",)])
    past.write(lambda tx: fact_tables.push_rows(tx, ADMIN, "lab", [reading]))
    past.policy("lists", "bad(x) :- lab:bad(name=x)")
    past.policy("unasked", "error(x) :- neutronv2:networks(id=x)")
    id_ = past.network(name="b")
    past.network(name="a")
    draft = past.drafted("execute[suimon:alarm(x)] :- neutronv2:networks(id=x, name=n), lists:bad(n)")
    assert draft.clauses.keys() == {"draft", "lists"}
    found = past.replay(draft)
    assert [(one.what, one.row) for one in found.found] == [("called", f'suimon:alarm("{id_}")')]
    assert (found.called, found.as_now, found.missing) == (1, [], [])


def test_what_suimon_did_and_what_nobody_saw_is_not_denied(past: Replayable) -> None:
    group = past.create("security-groups", name="web")["id"]
    past.create("security-group-rules", security_group_id=group, remote_ip_prefix="0.0.0.0/0", by=SYSTEM, **RULE)
    past.note()
    opened(past)
    past.restart()
    found = past.replay(past.drafted(OPEN))
    assert (found.appeared, found.denied) == (2, 0)
    assert [one.gap for one in found.gaps] == [AWAY]


def test_a_projects_draft_has_its_own_past(past: Replayable) -> None:
    mine = past.network(name="mine")
    past.network(ADMIN, name="theirs")
    draft = past.drafted("error(x) :- neutronv2:networks(id=x)", project="red")
    found = past.replay(draft, "red")
    assert [one.row for one in found.found] == [f'error("{mine}")']
    hidden = "error(x) :- neutronv2:networks(id=x, provider_segmentation_id=1)"
    with refused("PolicyError", "provider_segmentation_id"):
        past.replay(past.drafted(hidden, project="red"), "red")


def test_it_is_bounded(past: Replayable) -> None:
    draft = past.drafted("error(x, y) :- neutronv2:networks(id=x), neutronv2:networks(id=y)")
    for _ in range(4):
        past.network()
        past.note()
    whole = past.replay(draft)
    assert (whole.appeared, len(whole.found), whole.ended_early) == (24, 24, "")
    listed = past.replay(draft, limits=ReplayLimits(most_found=3))
    assert (listed.appeared, len(listed.found)) == (24, 3)
    stopped = past.replay(draft, limits=ReplayLimits(max_rows=6))
    assert "more than 6 rows" in stopped.ended_early and 0 < stopped.changes < whole.changes
    looks = count()
    past.replay(draft, limits=ReplayLimits(max_s=1e9), clock=map(float, looks).__next__)
    most_s = float(next(looks) * 3 // 4)
    slow = past.replay(draft, limits=ReplayLimits(max_s=most_s), clock=map(float, count()).__next__)
    assert f"longer than {most_s} s" in slow.ended_early and 0 < slow.changes < whole.changes
    with refused("HTTPBadRequest", "too much at once"):
        past.replay(draft, limits=ReplayLimits(most_versions=2))
    with refused("HTTPBadRequest", "history begins at"):
        past.replay(draft, since=past.since - timedelta(days=1))
    with refused("HTTPBadRequest", "before its end"):
        past.replay(draft, since=past.now() + timedelta(days=9))
