"""Amounts by second, for the last `slots` seconds: what a record reports is laid evenly over its duration."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from suimon.detection.seen import Floats, Integers, Seen
from suimon.model.loops import lay

_LOOK_BACK_S: Final = 3
"""What a port's records tell may be that much behind its last record: so many windows are looked at."""


class Peak(NamedTuple):
    """Of a row's last windows the one with the most of one metric; arrays with an element for each row asked for."""

    amounts: Floats
    """Of each metric, within that window: (metrics, rows)."""
    elapsed_s: Floats
    """How much of the window lies between the row's first and last record; at least a second."""
    since_s: Floats
    until_s: Floats


class Rates:
    """For each row `metrics` amounts a second. Records from before the ring are cut at its end, their rate is kept."""

    def __init__(self, rows: int, metrics: int, slots: int = 64) -> None:
        self._ring = np.zeros((rows, metrics, slots), np.float32)
        self._slots, self._clock = slots, -1
        self._high = 0
        """One more than the highest row ever used: only those need to be cleared."""

    def forget(self, rows: Integers) -> None:
        self._ring[rows] = 0

    def advance(self, clock_s: float) -> None:
        """Let go of the seconds that are out of the ring at this time. It never goes back."""
        clock = int(clock_s) + 1
        passed = min(clock - self._clock, self._slots)
        if passed > 0:
            columns = np.arange(clock - passed + 1, clock + 1) % self._slots
            self._ring[: self._high, :, columns] = 0
            self._clock = clock

    def add(self, rows: Integers, seen: Seen, chosen: Integers, *amounts: tuple[Integers | int, Floats]) -> None:
        """Add the chosen records' amounts, each with the metric that it is of; a row of -1 is left out."""
        if not len(rows):
            return
        self._high = max(self._high, int(rows.max()) + 1)
        spans = seen.spans(chosen)
        rings = self._ring.reshape(-1, self._slots)
        for metric, amount in amounts:
            lines = np.where(rows >= 0, rows * self._ring.shape[1] + metric, -1)
            lay(rings, self._clock - self._slots + 1, lines, spans, amount)

    def peak(self, rows: Integers, metric: int, window_s: int, times_s: tuple[Floats, Floats]) -> Peak:
        """For each row the `window_s` seconds that have the most of `metric`, of those just over.

        `times_s` are those of the rows' first and last records. The window has at most four seconds less than the ring.
        """
        begun, ended = times_s
        latest = np.ceil(np.maximum(ended, self._clock - self._slots + window_s + _LOOK_BACK_S)) - 1
        slots = latest.astype(np.int64)[:, None] + np.arange(-_LOOK_BACK_S - window_s + 1, 1)
        ring = np.take_along_axis(self._ring[rows], (slots % self._slots)[:, None, :], axis=2)
        sums = np.cumsum(ring, axis=2, dtype=np.float64)
        sums[:, :, window_s:] -= sums[:, :, :-window_s].copy()
        best = window_s - 1 + np.argmax(sums[:, metric, window_s - 1 :], axis=1)
        amounts = np.take_along_axis(sums, best[:, None, None], axis=2)[:, :, 0].T
        last = np.take_along_axis(slots, best[:, None], axis=1)[:, 0]
        until, since = np.minimum(ended, last + 1.0), np.maximum(begun, last + 1.0 - window_s)
        return Peak(amounts, np.clip(until - since, 1.0, window_s), since, until)

    def busy(self, rows: Integers, metric: int, amount: float) -> Integers:
        """Those of the rows that have at least so much in the whole ring."""
        found: Integers = rows[self._ring[rows, metric].sum(axis=1) >= amount]
        return found
