"""What floods have in common: the peak of a port's rates, and whom a port exchanges most with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from suimon.detection.choices import Rows
from suimon.detection.folds import Wanted, exchanged
from suimon.detection.rates import Rates
from suimon.detection.seen import Seen, address_text
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


class Peer(NamedTuple):
    """Another side's address, and its share of what is exchanged."""

    ip_version: int
    high: int
    low: int
    share: float

    @property
    def text(self) -> str:
        return address_text(self.ip_version, self.high, self.low)


class Watched:
    """A table of rows, and the rates of `metrics` for each of them."""

    def __init__(self, rows: int, metrics: int, window_s: int, known: bool = False) -> None:
        self.rates = Rates(rows, metrics, window_s, known)
        self.table = Table(rows, self.rates)
        self._window_s = window_s

    def above(self, rows: Rows, out: bool, metric: int, threshold: float) -> list[Above]:
        """Of the rows of records on this side those that reach `threshold` of the metric a second, over their window.

        The rates that are told are of the part of the window that has records, so that they are right while it fills.
        """
        if not len(rows.own):
            return []
        wanted = Wanted(2 if out else 1, metric, threshold * self._window_s, self._window_s)
        found = self.rates.near(self.table.keyed, rows.own, wanted)
        if not len(found.rows):
            return []
        above = found.amounts[:, metric] >= threshold * self._window_s
        return [self._told(*each) for each in zip(*(part[above].tolist() for part in found), strict=True)]

    def _told(self, row: int, last_s: int, amounts: list[float]) -> Above:
        begun_s, ended_s, scale = (
            float(each[row]) for each in (self.table.begun_s, self.table.ended_s, self.table.scale)
        )
        until_s, since_s = min(ended_s, last_s + 1.0), max(begun_s, last_s + 1.0 - self._window_s)
        elapsed_s = min(max(until_s - since_s, 1.0), float(self._window_s))
        rates, seen = (tuple(each / by for each in amounts) for by in (elapsed_s, scale))
        return Above(row, rates, seen, since_s, until_s)


def most_exchanged(seen: Seen, rows: Rows, row: int, out: bool, octets: bool) -> Peer:
    """With whom a row exchanges most, in packets or octets, of its records on that side that were just found."""
    if found := exchanged(seen.looked, row, out, octets):
        return Peer(found.ip_version, found.high, found.low, found.most / max(1.0, found.all))
    records = rows.chosen[(rows.of == row) & (seen.taken.out[rows.chosen] == out)]
    peers, amounts = seen.taken.peer[records], (seen.taken.bytes if octets else seen.taken.packets)[records]
    first, which = groups(peers)
    sums = np.bincount(which, amounts)
    # Of those with as much it is the same one, however the records are ordered.
    most = np.flatnonzero(sums == sums.max())
    best = most[np.argmin(peers[first[most]])]
    parts = seen.taken.ip_version, seen.taken.peer_high, seen.taken.peer_low
    ip_version, high, low = (int(each[records[first[best]]]) for each in parts)
    return Peer(ip_version, high, low, float(sums[best] / max(1.0, float(amounts.sum()))))
