"""What the hosts reported last to this controller, in memory; the store is told now and then.

A host's stream and its reports may be of two controllers: each tells of what it hears, and notes it together with what
the other noted of the rest.
"""

from __future__ import annotations

import math
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


class Stream(msgspec.Struct, frozen=True):
    """A host's stream, as the controller at its other end knows it."""

    seen_at: datetime
    """When it was there last."""
    told: int
    """The revision of the last frame with news …"""
    followed: int
    """… and the one up to which the log holds no more of them."""
    open: bool = True


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """How a host is. `revision` is what its switch is known to have, `lag_revisions` how far that is behind."""

    host: str
    up: bool = False
    linked: bool = False
    reported_at: datetime | None = None
    revision: int | None = None
    lag_revisions: int = 0
    lag_as_of: int = 0
    """Whether later revisions than this one concern the host isn't known here."""
    stream: Stream | None = None
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

    @property
    def heard_at(self) -> datetime | None:
        """When it reported, or its stream was there: the later one."""
        heard = (self.reported_at, self.stream.seen_at if self.stream else None)
        return max((at for at in heard if at), default=None)

    def has(self, revision: int) -> bool:
        """Whether what happened up to then, as far as it concerns the host, is in force there; False if not known."""
        if self.revision is None:
            return False
        return self.revision >= revision or (self.lag_revisions == 0 and self.lag_as_of >= revision)


class _Seen(msgspec.Struct, frozen=True):
    """A time that another controller wrote down, what it is by the clock here, and when we looked last."""

    at: datetime
    at_s: float
    looked_at_s: float


class _Ages:
    """How long ago is what others wrote down with a time of theirs."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, ...], _Seen] = {}

    def age_s(self, what: tuple[str, ...], at: datetime, now: datetime) -> float:
        """By the wall clock (`now`), when the time is new to us, but not longer ago than we looked last; then in time
        that passes. To be looked at now and then.
        """
        passed_s, before = self._clock(), self._seen.get(what)
        at_s = before.at_s if before else 0.0
        if before is None or before.at != at:
            longest_s = passed_s - before.looked_at_s if before else math.inf
            at_s = passed_s - min(max((now - at).total_seconds(), 0.0), longest_s)
        self._seen[what] = _Seen(at, at_s, passed_s)
        return passed_s - at_s


class Presence:
    """The last report and stream of each host: how long ago is counted in time that passes (`clock`, seconds), as the
    clock on the wall may jump.

    A host is up so long after it was heard of here (`patience_s`), and longer after another controller heard of it,
    which doesn't note it at once (`noted_patience_s`).
    """

    def __init__(self, patience_s: float, noted_patience_s: float, clock: Callable[[], float]) -> None:
        self._patience_s, self._noted_patience_s = patience_s, noted_patience_s
        self._clock = clock
        self._ages = _Ages(clock)
        self._said_at_s: dict[str, float] = {}
        self._left: dict[str, tuple[float, Stream]] = {}
        self._states: dict[str, HostState] = {}
        self._heard: set[str] = set()
        self._leading: set[str] = set()

    def get(self, host: str) -> HostState:
        """What it reported here."""
        return self._states.get(host) or HostState(host=host)

    def known(self, host: str, stream: Stream | None, noted: HostState | None, now: datetime) -> HostState:
        """What is newest of what it reported, and of its stream, here (`stream`, if one is open) or as noted by
        whichever controller. How far it lags is left as it was.
        """
        passed_s, own = self._clock(), self.get(host)
        left_at_s, left = self._left.get(host, (-math.inf, None))
        said = [(passed_s - self._said_at_s.get(host, -math.inf), self._patience_s, own)]
        streams = [(0.0, self._patience_s, stream) if stream else (passed_s - left_at_s, self._patience_s, left)]
        if noted and noted.reported_at:
            age_s = self._ages.age_s((host, "said"), noted.reported_at, now)
            said.append((age_s, self._noted_patience_s, noted))
        if noted and noted.stream:
            age_s = self._ages.age_s((host, "stream"), noted.stream.seen_at, now)
            streams.append((age_s, self._noted_patience_s, noted.stream))
        said_age_s, said_patience_s, state = min(said, key=_age)
        stream_age_s, stream_patience_s, stream = min(streams, key=_age)
        lives = stream_age_s < stream_patience_s
        linked = stream is not None and stream.open and lives
        # Who says nothing on a stream had nothing to report, if it ever did.
        recent = state.reported_at is not None and (lives or said_age_s < said_patience_s)
        drifts = sorted({*own.drifts, *(noted.drifts if noted else ())}, key=lambda drift: drift.found_at)
        return msgspec.structs.replace(
            state,
            up=linked or recent,
            linked=linked,
            stream=stream,
            drifts=tuple(drifts[-MOST_DRIFTS:]),
        )

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
        self._said_at_s[host] = self._clock()
        (self._leading.add if report.leads_out else self._leading.discard)(host)
        known = before.held, before.failures, before.orphans
        return bool(report.drifts) or known != (report.held, report.failures, report.orphans)

    def begin(self, host: str) -> None:
        """A stream of it begins, on which it tells all again: it may have died since it told it last."""
        self._leading.discard(host)

    def leading(self, hosts: Collection[str]) -> set[str]:
        """Of these, who would lead routers out, as it said last."""
        return self._leading.intersection(hosts)

    def left(self, host: str, stream: Stream) -> None:
        """It ended: the host was there until now."""
        self._left[host] = self._clock(), msgspec.structs.replace(stream, open=False)

    def heard(self) -> set[str]:
        """Who reported since this was asked last."""
        heard, self._heard = self._heard, set()
        return heard

    def refuse(self, host: str, count: int) -> None:
        state = self.get(host)
        self._states[host] = msgspec.structs.replace(state, refused_reports=state.refused_reports + count)


def _age(known: tuple[float, float, object]) -> float:
    return known[0]


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
