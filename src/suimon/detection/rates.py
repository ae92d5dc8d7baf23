"""Amounts by second, for the last `slots` seconds: what a record reports is laid evenly over its duration."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from suimon.detection import folds
from suimon.detection.seen import Floats, Integers

_HISTORY_S: Final = 64
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

    def __init__(self, rows: int, metrics: int, window_s: int, known: bool = False) -> None:
        """Of windows up to that long. With `known` folds of known records add to them, too: these may be later than the
        last record that a row is judged by, so that more seconds are kept than a window has.
        """
        needed = 1 << (window_s + _LOOK_BACK_S).bit_length()
        self.rings = folds.Rings(rows, _HISTORY_S if known else needed, metrics)
        """What folds add to."""

    def forget(self, rows: Integers) -> None:
        self.rings.clear(rows)

    def advance(self, clock_s: float) -> None:
        """Let go of the seconds that are long over at this time. It never goes back."""
        self.rings.advance(max(self.rings.oldest, int(clock_s) + 2 - _HISTORY_S))

    def peak(self, rows: Integers, metric: int, window_s: int, ended_s: Floats) -> Peak:
        """For each row the `window_s` seconds that have the most of `metric`, of those just over.

        `ended_s` are the times of the rows' last records, and `window_s` is the same each time and of all metrics that
        are asked for by `near`.
        """
        seconds = np.ceil(ended_s).astype(np.int64)[:, None] + np.arange(-_LOOK_BACK_S - window_s, 0)
        self.rings.turn(rows, seconds[:, -1] + 1)
        amounts = self.rings.amounts[rows[:, None], seconds % self.rings.slots]
        amounts[seconds < self.rings.oldest] = 0
        sums = np.cumsum(amounts, axis=1, dtype=np.float64)
        sums[:, window_s:] -= sums[:, :-window_s].copy()
        best = window_s - 1 + np.argmax(sums[:, window_s - 1 :, metric], axis=1)
        amounts = sums[np.arange(len(rows)), best].T
        # Windows only ever move on: what is within one later is within one of these, or will have been added since.
        self.rings.most[rows, metric] = amounts[metric]
        last = np.take_along_axis(seconds, best[:, None], axis=1)[:, 0]
        return Peak(amounts, last)

    def near(self, table: folds.Keyed, rows: Integers, wanted: folds.Wanted) -> folds.Peaks:
        """The peaks of those rows of the table that may have so much, in order of rows."""
        if (found := self.rings.near(table, rows, wanted)) is not None:
            return found
        busy = (table.sides[rows] & wanted.side != 0) & (self.rings.most[rows, wanted.metric] >= wanted.least)
        rows = np.sort(rows[busy])
        amounts, last = self.peak(rows, wanted.metric, wanted.window_s, table.ended_s[rows])
        return folds.Peaks(rows, last, amounts.T)
