"""How many different things a guest asked for that were not answered: what port scans and host scans have in common."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from suimon.detection.choices import Choice, Hash
from suimon.detection.distinct import Distinct
from suimon.detection.seen import ANSWERED, FLAGGED, PROBE, TCP, Bools, Floats, Integers, Seen
from suimon.detection.table import Table

_LEAST_BARE: Final = 6
_LEAST_OTHER: Final = 12
"""So many must really have been seen, beyond three times what was answered. Of connections, the packets after the
handshake outnumber it; of datagrams sampling shows some questions without their answers, so more is asked for."""
_PATIENCE_S: Final = 1.0
"""For so long it must go on, where flags don't tell questions from the rest: answers are told of after them."""


class Found(NamedTuple):
    """Rows above the threshold; arrays of one length."""

    rows: Integers
    seen: Floats
    """Different things that were really seen to be asked for and not answered."""
    estimated: Floats
    """The same times the sampling: each packet seen stands for so many to as many other things."""


class Unanswered:
    """For each key the things asked for by a probe, and those that took part in return."""

    def __init__(self, rows: int, tried: int, key: Hash, thing: Hash) -> None:
        """Of records of the classes `tried`."""
        self._asked, self._answered = Distinct(rows), Distinct(rows)
        self._above = _Above(rows)
        self.table = Table(rows, self._asked, self._answered, self._above, twice=True)
        self._asking = self.table.fold(Choice(tried | PROBE), key, (self._asked, thing))
        self._answering = self.table.fold(Choice(tried | ANSWERED), key, (self._answered, thing), known=True)

    def step(self, seen: Seen, window_s: int, threshold: float) -> Found:
        """Take in records; what of the keys that asked is above the threshold within the window."""
        rows = self.table.take(seen, self._asking)
        self.table.take(seen, self._answering)
        near = self._asked.reach(rows.own, threshold / self.table.scale[rows.own])
        self._above.forget(rows.own[~near])
        where = np.flatnonzero(near)
        if not len(where):
            return Found(where, np.empty(0), np.empty(0))
        where = where[np.argsort(rows.own[where])]
        bare = (seen.taken.kinds[rows.chosen[rows.first[where]]] & FLAGGED) != 0
        return self._judge(rows.own[where], bare, window_s, threshold)

    def _judge(self, rows: Integers, bare: Bools, window_s: int, threshold: float) -> Found:
        since, scale = self.table.since(rows, window_s), self.table.scale[rows]
        asked, answered = self._asked.count(rows, since), self._answered.count(rows, since)
        least = np.where(bare, _LEAST_BARE, _LEAST_OTHER)
        left = asked - answered
        above = (left * scale >= threshold) & (asked >= 3.0 * answered + least)
        lasted_s = self._above.note(rows, above, self.table.ended_s[rows])
        above &= bare | (lasted_s >= _PATIENCE_S)
        return Found(rows[above], left[above], (left * scale)[above])


class _Above:
    """Since when each row has been above the threshold whenever it was looked at."""

    def __init__(self, rows: int) -> None:
        self._since_s = np.full(rows, np.inf)

    def forget(self, rows: Integers) -> None:
        self._since_s[rows] = np.inf

    def note(self, rows: Integers, above: Bools, at_s: Floats) -> Floats:
        """For how long, up to now."""
        self._since_s[rows] = np.where(above, np.minimum(self._since_s[rows], at_s), np.inf)
        found: Floats = at_s - self._since_s[rows]
        return found


def protocol_text(protocol: int) -> str:
    """As filters have it."""
    return "tcp" if protocol == TCP else {17: "udp", 1: "icmp", 58: "icmpv6"}.get(protocol, str(protocol))
