"""What time it is to a controller, whose machine's clock may be set by mistake while it runs.

A clock that was set is not followed while at least as many hosts' clocks go on from before as agree with it. Hosts keep
a controller from following its clock, they never lead it: whoever took hosts over, sets no clock but theirs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Final

import structlog

log = structlog.get_logger()

NEAR_S: Final = 30.0
"""Clocks that differ by no more agree; one that was set by no more is followed."""
_HEARD_S: Final = 600.0
"""What a host said of its clock counts for so long."""
_DOUBT_S: Final = 3600.0
"""A clock that was set within that time may be set back yet."""
_SILENT_S: Final = 60.0
"""By then hosts have said what time it is to who began."""


class Clock:
    """Of one process; `wall` gives seconds since 1970, `passing` those of a clock that nobody sets. For any thread."""

    def __init__(self, wall: Callable[[], float] = time.time, passing: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._passing = wall, passing
        self._ahead_s = self._seen_s()
        """By how much time is ahead of `passing`, as we have it."""
        self._hosts: dict[str, tuple[float, float]] = {}
        """The same as each host has it, and when it said so."""
        self._moving = threading.Lock()
        self._refused_s: float | None = None
        self._doubted_until_s = passing() + _SILENT_S

    def hear(self, host: str, clock_s: float) -> None:
        """What time a host said just now that it is."""
        now_s = self._passing()
        self._hosts[host] = clock_s - now_s, now_s

    def now_s(self) -> float:
        """Seconds since 1970."""
        seen_s = self._seen_s()
        if abs(seen_s - self._ahead_s) <= NEAR_S:
            self._ahead_s, self._refused_s = seen_s, None
        else:
            with self._moving:
                self._judge(seen_s)
        return self._passing() + self._ahead_s

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s(), UTC)

    def off_s(self) -> float:
        """How far the clock on the wall is ahead of the time that we go by, because it was set; 0.0 if it wasn't, or is
        followed.
        """
        now_s = self.now_s()
        return 0.0 if self._refused_s is None else self._wall() - now_s

    def differs_s(self) -> float:
        """By how much most hosts' clocks are ahead of the time that we go by; 0.0 if most agree with it."""
        now_s = self.now_s() - self._passing()
        ahead_s = [each - now_s for each in self._said()]
        middle_s = median(ahead_s) if ahead_s else 0.0
        alike = sum(abs(each - middle_s) <= NEAR_S for each in ahead_s)
        # Our own is one of them all.
        return middle_s if abs(middle_s) > NEAR_S and 2 * alike > len(ahead_s) + 1 else 0.0

    def doubted(self) -> bool:
        """Whether nothing should be done now that can't be undone, as it isn't known well enough what time it is."""
        return bool(self.off_s() or self.differs_s()) or self._passing() < self._doubted_until_s

    def _judge(self, seen_s: float) -> None:
        said = self._said()
        before, after = (sum(abs(each - ahead_s) <= NEAR_S for each in said) for ahead_s in (self._ahead_s, seen_s))
        told = {"set_by_s": round(seen_s - self._ahead_s, 1), "hosts_for": after, "hosts_against": before}
        if before and before >= after:
            if self._refused_s is None or abs(seen_s - self._refused_s) > NEAR_S:
                log.error("clock_not_followed", **told, mend="set this machine's clock")
            self._refused_s = seen_s
        else:
            log.warning("clock_followed", **told)
            self._ahead_s, self._refused_s = seen_s, None
            self._doubted_until_s = self._passing() + _DOUBT_S

    def _said(self) -> Sequence[float]:
        """By how much hosts are ahead of `passing`, that were heard lately."""
        since_s = self._passing() - _HEARD_S
        return [ahead_s for ahead_s, at_s in tuple(self._hosts.values()) if at_s >= since_s]

    def _seen_s(self) -> float:
        """Read again when the process was stopped between the two."""
        before_s, wall_s = self._passing(), self._wall()
        while self._passing() - before_s >= 1.0:
            before_s, wall_s = self._passing(), self._wall()
        return wall_s - before_s
