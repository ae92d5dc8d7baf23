"""How many different things a guest asked for that were not answered: what port scans and host scans have in common."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from suimon.detection.choices import Choice, Hash
from suimon.detection.distinct import Distinct, Tallies
from suimon.detection.seen import ANSWERED, FLAGGED, PROBE, TCP, Floats, Integers, Seen
from suimon.detection.table import Table

_ROWS: Final = 8192
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

    def __init__(self, tried: int, key: Hash, thing: Hash, window_s: int, threshold: float) -> None:
        """Of records of the classes `tried`."""
        asked, answered = Distinct(_ROWS), Distinct(_ROWS)
        self._threshold, self._above = threshold, _Above(_ROWS)
        self.table = Table(_ROWS, asked, answered, self._above, twice=True)
        parts = (asked, threshold), (answered, math.inf)
        self._tallies = Tallies(self.table.keyed, window_s, *parts, scaled=True, least_seen=_LEAST_BARE)
        self._asking = self.table.fold(Choice(tried | PROBE), key, (asked, thing))
        self._answering = self.table.fold(Choice(tried | ANSWERED), key, (answered, thing), known=True)

    def step(self, seen: Seen) -> Found:
        """Take in records; what of the keys that asked is above the threshold within the window."""
        rows = self.table.take(seen, self._asking)
        self.table.take(seen, self._answering)
        near, which, (asked, answered) = self._tallies.near(rows.own)
        many = np.flatnonzero((asked - answered) * self.table.scale[near] >= self._threshold)
        near, asked, answered = near[many], asked[many], answered[many]
        since_s = self._above.since_s[near]
        self._above.forget(rows.own)
        if not len(near):
            return Found(near, asked, answered)
        bare = (seen.taken.kinds[rows.chosen[rows.first[which[many]]]] & FLAGGED) != 0
        above = asked >= 3.0 * answered + np.where(bare, _LEAST_BARE, _LEAST_OTHER)
        lasted_s = self._above.note(near[above], since_s[above], self.table.ended_s[near[above]])
        above[above] = bare[above] | (lasted_s >= _PATIENCE_S)
        near, left = near[above], (asked - answered)[above]
        return Found(near, left, left * self.table.scale[near])


class _Above:
    """Since when each row has been above the threshold whenever it was looked at."""

    def __init__(self, rows: int) -> None:
        self.since_s = np.full(rows, np.inf)
        self._any = False

    def forget(self, rows: Integers) -> None:
        if self._any:
            self.since_s[rows] = np.inf
            self._any = bool((self.since_s < np.inf).any())

    def note(self, rows: Integers, since_s: Floats, at_s: Floats) -> Floats:
        """These are above now, and were since then: for how long, up to now."""
        self.since_s[rows] = np.minimum(since_s, at_s)
        self._any |= len(rows) > 0
        found: Floats = at_s - self.since_s[rows]
        return found


def protocol_text(protocol: int) -> str:
    """As filters have it."""
    return "tcp" if protocol == TCP else {17: "udp", 1: "icmp", 58: "icmpv6"}.get(protocol, str(protocol))
