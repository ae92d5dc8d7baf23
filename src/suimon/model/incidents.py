"""What became of findings: incidents, their timelines, the breaker, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec

from suimon.model.settings import RUNBOOKS

EntryKind = Literal[
    "finding", "evidence", "decision", "warning", "restriction", "action", "verification", "alarm", "cleared",
    "prolonged", "release", "mark", "answer", "breaker",
]  # fmt: skip
PRIVATE: frozenset[str] = frozenset({"decision", "evidence", "alarm", "cleared", "breaker"})
"""Kinds of entries that tenants don't see: how we decide, and records that name others."""
BREAKER_OPEN: Final = "breaker-open"
DOES_NOT_BITE: Final = "restriction-does-not-bite"
CLOCK_OFF: Final = "host-clock-off"
OWN_CLOCK_OFF: Final = "controller-clock-off"
OUTSIDE_BECAME_OURS: Final = "outside-address-became-ours"
DETECTOR_FAILED: Final = "detector-failed"
COLLECTOR_SILENT: Final = "collector-silent"
USAGE_LATE: Final = "usage-late"
ALARMS: Final = (
    *(BREAKER_OPEN, DOES_NOT_BITE, CLOCK_OFF, OWN_CLOCK_OFF, OUTSIDE_BECAME_OURS),
    *(DETECTOR_FAILED, COLLECTOR_SILENT, USAGE_LATE),
)
"""What somebody has to look at now."""
State = Literal["noted", "waiting", "restricted", "acted", "alarm", "closed"]
"""`restricted` until its end; `acted`: done, and to be looked at; `alarm`: of what goes on, until it is cleared."""


def runbook(what: str, page: str = RUNBOOKS) -> str:
    """Where it is written what to do about a finding of this detector, or this alarm."""
    return f"{page}#{what.partition(':')[0]}"


def linked(details: Mapping[str, object], page: str) -> dict[str, object]:
    """An entry's details as they are told, by who has the runbooks there; they are kept without."""
    link = {"runbook": runbook(str(details["runbook"]).partition("#")[2], page)} if "runbook" in details else {}
    return {**details, **link}


class NotedFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as it is kept; `body` is the JSON of `Finding`, the other columns are what is asked for."""

    id: str
    detector: str
    subject_kind: str
    subject_id: str
    project_id: str | None
    since: datetime
    seen_at: datetime
    ended: bool
    noted_at: datetime
    """When we heard of it first."""
    body: str


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One rule and one finding, or one call of a policy: what was decided, what was done and what came of it.

    `weight` is how many ports it binds. `acted_at` is set when a rule or policy, and no person, acted: those are
    counted. `wanted` is the restriction, or the action with its arguments, for whoever approves it. `undo` is how what
    was done is undone (`resources.actions`), until `undone_at`; restrictions are released.
    """

    id: str
    rule: str
    rulebook_version: int
    finding_id: str
    subject_kind: str
    subject_id: str
    project_id: str | None
    state: State
    mode: str
    opened_at: datetime
    weight: int
    wanted: dict[str, object]
    answer_by: datetime | None = None
    acted_at: datetime | None = None
    restricted_at: datetime | None = None
    ends_at: datetime | None = None
    restriction_id: str | None = None
    bites: bool | None = None
    """Measured: whether what goes on became less. None: not measured yet, or there was nothing to measure."""
    verify_at: datetime | None = None
    host: str = ""
    """Where the port was that is restricted, when it was last seen to: each host has to be looked at."""
    closed_at: datetime | None = None
    """Of a dry run: when it would have been, as far as that is known then."""
    false_positive: bool | None = None
    done_at: datetime | None = None
    undo: dict[str, object] | None = None
    undone_at: datetime | None = None
    would: str | None = None
    """In dry run: `act`; or which of `ask` and `refuse`, and why."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an incident's timeline. Never changed, so that what is counted of a month stays so."""

    incident_id: str
    number: int
    at: datetime
    kind: EntryKind
    author: str
    words: str
    details: dict[str, object] = {}
    project_id: str | None = None
    """Whose half it is in; None when it is for operators only."""


class KeptReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a month came to (2026-10) whose incidents are forgotten: never changed, nor forgotten."""

    month: str
    figures: dict[str, object]
    rules: dict[str, object]


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """While it is open nothing happens by itself. One row, which a person closes."""

    one: int = 1
    is_open: bool = False
    changed_at: datetime
    author: str
    why: str


class RulebookVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A rulebook as it was written, by whom, and how it differs from the one before (unified diff)."""

    version: int
    author: str
    made_at: datetime
    why: str
    text: str
    diff: str


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of incidents by a signed request, or as an operator by syslog. Without a project: of all of them."""

    id: str
    project_id: str | None
    url: str
    secret: str
    made_at: datetime
    made_by: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a subscriber has not been told yet."""

    id: str
    subscriber_id: str
    made_at: datetime
    next_at: datetime
    tries: int = 0
    body: str
