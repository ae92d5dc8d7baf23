"""What time it is: what the controller said last, and what has passed since. Until it has spoken, by this host."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """`wall` gives seconds since 1970, and may be set; `passing` those of a clock that nobody sets."""

    def __init__(self, wall: Callable[[], float] = time.time, passing: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._passing = wall, passing
        self._ahead_s: float | None = None

    def hear(self, clock_s: float) -> float:
        """What the controller said just now; by how much that is later than it was by this clock."""
        later_s = clock_s - self.now_s()
        self._ahead_s = clock_s - self._passing()
        return later_s

    def now_s(self) -> float:
        return self._wall() if self._ahead_s is None else self._passing() + self._ahead_s
