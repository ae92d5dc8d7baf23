"""What floods have in common: the peak of a port's rates, and whom a port exchanges most with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from suimon.detection.choices import Rows
from suimon.detection.rates import Rates
from suimon.detection.seen import Bools, Floats, Integers, Seen
from suimon.detection.table import Table
from suimon.model.loops import groups


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
        self._rows, self._window_s = rows, window_s

    def above(self, rows: Rows, side: Bools, metric: int, threshold: float) -> list[Above]:
        """Of the rows of records on this side those that reach `threshold` of the metric a second, over their window.

        The rates that are told are of the part of the window that has records, so that they are right while it fills.
        """
        busy = self.rates.near(rows.own, metric, threshold * self._window_s)
        if not len(busy):
            return []
        on_side = np.zeros(self._rows + 1, np.bool_)
        on_side[rows.of[side]] = True
        busy = busy[on_side[busy]]
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
    peers = seen.columns.peer[chosen]
    first, which = groups(peers)
    sums = np.bincount(which, amounts)
    # Of those with as much it is the same one, however the records are ordered.
    most = np.flatnonzero(sums == sums.max())
    best = most[np.argmin(peers[first[most]])]
    return seen.peer_text(int(chosen[first[best]])), float(sums[best] / max(1.0, float(amounts.sum())))
