"""Amounts by second, for the last `slots` seconds: what a record reports is laid evenly over its duration."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from suimon.detection import folds
from suimon.detection.seen import Floats, Integers

_LOOK_BACK_S: Final = 3
"""What a port's records tell may be that much behind its last record: so many windows are looked at."""


class Peak(NamedTuple):
    """Of a row's last windows the one with the most of one metric; arrays with an element for each row asked for."""

    amounts: Floats
    """Of each metric, within that window: (metrics, rows)."""
    last: Integers
    """The last second of that window."""


class Rates:
    """For each row `metrics` amounts a second. Records from before the ring are cut at its end, their rate is kept."""

    def __init__(self, rows: int, metrics: int, slots: int = 64) -> None:
        self.rings = folds.Rings(rows, slots, metrics)
        """What folds add to."""
        self._slots, self._clock = slots, -1

    def forget(self, rows: Integers) -> None:
        self.rings.clear(rows)

    def advance(self, clock_s: float) -> None:
        """Let go of the seconds that are out of the ring at this time. It never goes back."""
        clock = int(clock_s) + 1
        passed = min(clock - self._clock, self._slots)
        if passed > 0:
            # One after the other, which numpy does faster than several at once.
            for second in range(clock - passed + 1, clock + 1):
                self.rings.amounts[: self.rings.high, second % self._slots] = 0
            self._clock, self.rings.oldest = clock, clock - self._slots + 1

    def peak(self, rows: Integers, metric: int, window_s: int, ended_s: Floats) -> Peak:
        """For each row the `window_s` seconds that have the most of `metric`, of those just over.

        `ended_s` are the times of the rows' last records, and `window_s` is the same each time and of all metrics that
        are asked for by `near`: at most four seconds less than the ring.
        """
        latest = np.ceil(np.maximum(ended_s, self._clock - self._slots + window_s + _LOOK_BACK_S)) - 1
        slots = latest.astype(np.int64)[:, None] + np.arange(-_LOOK_BACK_S - window_s + 1, 1)
        sums = np.cumsum(self.rings.amounts[rows[:, None], slots % self._slots], axis=1, dtype=np.float64)
        sums[:, window_s:] -= sums[:, :-window_s].copy()
        best = window_s - 1 + np.argmax(sums[:, window_s - 1 :, metric], axis=1)
        amounts = sums[np.arange(len(rows)), best].T
        # Windows only ever move on: what is within one later is within one of these, or will have been added since.
        self.rings.most[rows, metric] = amounts[metric]
        last = np.take_along_axis(slots, best[:, None], axis=1)[:, 0]
        return Peak(amounts, last)

    def near(self, table: folds.Keyed, rows: Integers, wanted: folds.Wanted) -> folds.Peaks:
        """The peaks of those rows of the table that may have so much, in order of rows."""
        if (found := self.rings.near(table, rows, wanted, self._clock)) is not None:
            return found
        busy = (table.sides[rows] & wanted.side != 0) & (self.rings.most[rows, wanted.metric] >= wanted.least)
        rows = np.sort(rows[busy])
        amounts, last = self.peak(rows, wanted.metric, wanted.window_s, table.ended_s[rows])
        return folds.Peaks(rows, last, amounts.T)
