"""What the hosts reported last to this controller, in memory; the store is told now and then."""

from __future__ import annotations

from datetime import datetime

import msgspec

from suimon.model.view import Counters, Report


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


class Presence:
    """The last report of each host, and the counters of its ports."""

    def __init__(self) -> None:
        self._states: dict[str, HostState] = {}
        self._counters: dict[str, dict[str, Counters]] = {}
        self._heard: set[str] = set()

    def get(self, host: str) -> HostState:
        return self._states.get(host) or HostState(host=host)

    def note(self, host: str, report: Report, counters: dict[str, Counters], now: datetime) -> bool:
        """Whether an operator would want to know at once: what it holds back or its switch refuses is another."""
        before = self.get(host)
        self._states[host] = msgspec.structs.replace(
            before,
            reported_at=now,
            revision=report.position.revision,
            held=report.held,
            failures=report.failures,
        )
        self._heard.add(host)
        if report.counters:
            self._counters[host] = counters
        return (before.held, before.failures) != (report.held, report.failures)

    def heard(self) -> set[str]:
        """Who reported since this was asked last."""
        heard, self._heard = self._heard, set()
        return heard

    def refuse(self, host: str, count: int) -> None:
        state = self.get(host)
        self._states[host] = msgspec.structs.replace(state, refused_reports=state.refused_reports + count)

    def counters(self, host: str) -> dict[str, Counters]:
        """By port, as told last."""
        return self._counters.get(host, {})
