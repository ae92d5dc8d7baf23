"""Whether our own clock was set: it should go on as fast as one that nobody sets."""

from __future__ import annotations


class ClockWatch:
    """A fold over pairs of the two clocks, in seconds."""

    def __init__(self) -> None:
        self._ahead_s: float | None = None

    def jumped_s(self, wall_s: float, monotonic_s: float) -> float:
        """By how much the clock on the wall was set since the last time; 0.0 the first time."""
        ahead_s = wall_s - monotonic_s
        before, self._ahead_s = self._ahead_s, ahead_s
        return 0.0 if before is None else ahead_s - before
