"""What floods have in common: the peak of a port's rates, and whom a port exchanges most with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from suimon.detection.rates import Rates
from suimon.detection.seen import Floats, Integers, Seen, peer_text
from suimon.detection.table import Table, touched


class Above(NamedTuple):
    """A row whose window has too much of a metric."""

    row: int
    rates: tuple[float, ...]
    """Of each metric, a second."""
    seen: tuple[float, ...]
    """How many of each were really seen within the window, if one is a packet."""
    since_s: float
    until_s: float


class Watched:
    """A table of rows, and the rates of `metrics` for each of them."""

    def __init__(self, rows: int, metrics: int, window_s: int) -> None:
        self.rates = Rates(rows, metrics)
        self.table = Table(rows, self.rates)
        self._window_s = window_s

    def above(self, rows: Integers, metric: int, threshold: float) -> list[Above]:
        """Of the rows those that reach `threshold` of the metric a second, over the whole window.

        The rates that are told are of the part of the window that has records, so that they are right while it fills.
        """
        busy = self.rates.busy(touched(rows), metric, threshold * self._window_s)
        if not len(busy):
            return []
        peak = self.rates.peak(busy, metric, self._window_s, (self.table.begun_s[busy], self.table.ended_s[busy]))
        scale = self.table.scale[busy]
        return [
            Above(
                int(busy[i]),
                tuple((peak.amounts[:, i] / peak.elapsed_s[i]).tolist()),
                tuple((peak.amounts[:, i] / scale[i]).tolist()),
                float(peak.since_s[i]),
                float(peak.until_s[i]),
            )
            for i in np.flatnonzero(peak.amounts[metric] >= threshold * self._window_s)
        ]


def most_exchanged(seen: Seen, chosen: Integers, amounts: Floats) -> tuple[str, float]:
    """The other side that has most of the chosen records' amounts, and its share."""
    _, first, inverse = np.unique(seen.peer[chosen], return_index=True, return_inverse=True)
    sums = np.bincount(inverse, amounts)
    best = int(np.argmax(sums))
    return peer_text(seen.whole(chosen[first[best : best + 1]])[0]), float(sums[best] / max(1.0, float(sums.sum())))
