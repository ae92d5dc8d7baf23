"""What the hosts reported last to this controller, in memory; the store is told now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final

import msgspec

from suimon.model.view import Report

MOST_DRIFTS: Final = 50
"""The newest ones that are kept of a host."""


class NotedDrift(msgspec.Struct, frozen=True):
    """What a host's agent found in its switch other than it had left it, and whether it repaired that (view.Drift)."""

    found_at: datetime
    owner: str
    missing: int
    changed: int
    extra: int
    example: str
    repaired: bool
    reason: str


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """How a host is. `revision` is what its switch is known to have, `lag_revisions` how far that is behind."""

    host: str
    up: bool = False
    linked: bool = False
    reported_at: datetime | None = None
    revision: int | None = None
    lag_revisions: int = 0
    held: str = ""
    """Why it doesn't apply a snapshot: what `accept_host` is for."""
    failures: dict[str, str] = {}
    """By owner, what its switch refused."""
    refused_reports: int = 0
    """Reports about ports that aren't bound to it."""
    drifts: tuple[NotedDrift, ...] = ()
    foreign: str = ""
    """Flows, groups, meters and ports on its bridges that bear no mark of ours, in words."""
    orphans: tuple[str, ...] = ()
    """What bears our mark there and is nobody's."""
    clock_offset_s: float | None = None
    """How far its clock was ahead of ours when it reported; None: it didn't say."""

    def with_trail(self, other: HostState | None) -> HostState:
        """With what another note of the same host knows of its past, too."""
        both = {*self.drifts, *(other.drifts if other else ())}
        newest = sorted(both, key=lambda drift: drift.found_at)[-MOST_DRIFTS:]
        return msgspec.structs.replace(self, drifts=tuple(newest))


class _Note(msgspec.Struct, frozen=True):
    """What another controller wrote of a host: when by its clock, and by ours, and when we looked last."""

    reported_at: datetime
    heard_at_s: float
    looked_at_s: float


class Presence:
    """The last report of each host.

    How long ago something was is counted in time that passes (`clock`, seconds): the one on the wall may jump.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard_at_s: dict[str, float] = {}
        self._notes: dict[str, _Note] = {}
        self._states: dict[str, HostState] = {}
        self._heard: set[str] = set()
        self._leading: set[str] = set()

    def get(self, host: str) -> HostState:
        return self._states.get(host) or HostState(host=host)

    def age_s(self, host: str) -> float:
        """Since it was heard of here."""
        return self._clock() - self._heard_at_s.get(host, -math.inf)

    def note_age_s(self, note: HostState, now: datetime) -> float:
        """Since the controller that wrote the note had heard of the host.

        By the wall clock (`now`), when it is new to us, but not longer ago than we looked last; then in time that
        passes. To be looked at now and then.
        """
        if note.reported_at is None:
            return math.inf
        passed_s, before = self._clock(), self._notes.get(note.host)
        heard_at_s = before.heard_at_s if before else 0.0
        if before is None or before.reported_at != note.reported_at:
            longest_s = passed_s - before.looked_at_s if before else math.inf
            heard_at_s = passed_s - min(max((now - note.reported_at).total_seconds(), 0.0), longest_s)
        self._notes[note.host] = _Note(note.reported_at, heard_at_s, passed_s)
        return passed_s - heard_at_s

    def note(self, host: str, report: Report, now: datetime) -> bool:
        """Whether an operator would want to know at once: what it holds back or its switch refuses is another."""
        before = self.get(host)
        self._states[host] = msgspec.structs.replace(
            before,
            reported_at=now,
            revision=report.position.revision,
            held=report.held,
            failures=report.failures,
            drifts=(*before.drifts, *_dated(report, now))[-MOST_DRIFTS:],
            foreign=report.foreign,
            orphans=report.orphans,
            clock_offset_s=round(report.clock_s - now.timestamp(), 3) if report.clock_s else None,
        )
        self._heard.add(host)
        self._heard_at_s[host] = self._clock()
        (self._leading.add if report.leads_out else self._leading.discard)(host)
        known = before.held, before.failures, before.orphans
        return bool(report.drifts) or known != (report.held, report.failures, report.orphans)

    def begin(self, host: str) -> None:
        """A stream of it begins, on which it tells all again: it may have died since it told it last."""
        self._leading.discard(host)

    def leading(self, hosts: Collection[str]) -> set[str]:
        """Of these, who would lead routers out, as it said last."""
        return self._leading.intersection(hosts)

    def left(self, host: str, now: datetime) -> None:
        """Its stream ended: it had nothing to report, and was there until now."""
        state = self.get(host)
        if state.reported_at is not None:
            self._states[host] = msgspec.structs.replace(state, reported_at=now)
            self._heard_at_s[host] = self._clock()

    def heard(self) -> set[str]:
        """Who reported since this was asked last."""
        heard, self._heard = self._heard, set()
        return heard

    def refuse(self, host: str, count: int) -> None:
        state = self.get(host)
        self._states[host] = msgspec.structs.replace(state, refused_reports=state.refused_reports + count)


def _dated(report: Report, now: datetime) -> tuple[NotedDrift, ...]:
    """By our clock: a host's may be wrong."""
    return tuple(
        NotedDrift(
            now - timedelta(seconds=drift.age_s),
            *(drift.owner, drift.missing, drift.changed, drift.extra),
            *(drift.example, drift.repaired, drift.reason),
        )
        for drift in report.drifts
        if drift.kind == "drift"
    )
