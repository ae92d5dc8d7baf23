"""A bounded table of what is watched: a row for each key, the longest unused given to another when all are taken."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np

from suimon.detection.seen import Floats, Hashes, Integers, Seen, peer_text
from suimon.model.loops import Index, distinct
from suimon.model.records import FROM_GUEST, RECORD

_NEW_SHARE: Final = 4
"""At most a quarter of the rows goes to new keys at once: what floods a table with keys can't empty it in one step,
and what is seen in each step stays."""
_ONCE_BITS: Final = 18
_ONCE_S: Final = 10.0


class Part(Protocol):
    """Numbers kept for each row."""

    def forget(self, rows: Integers) -> None: ...


class Label(NamedTuple):
    """Who a row is about: its port, and the other side of the record that brought it in."""

    port_id: str
    project_id: str | None
    peer: str
    protocol: int
    own_l4: int
    peer_l4: int
    out: bool


class Table:
    """Keys to rows of `parts`. With `twice` a key gets a row when it is seen again within ten seconds, not at once:
    what comes with a new key every time, as from forged addresses, needs none.
    """

    def __init__(self, most: int, *parts: Part, twice: bool = False) -> None:
        self._most, self._parts = most, parts
        self._keys: Hashes = np.zeros(most, np.uint64)
        self._rows: Integers = np.empty(0, np.int64)
        """Those that have a key, and where among them it is."""
        self._index = Index(self._keys[self._rows])
        self._once_s = np.full(1 << _ONCE_BITS, -np.inf) if twice else None
        self._used_s = np.full(most, -np.inf)
        self._fresh = 0
        """The first of those never used yet."""
        self._of_port = np.zeros(most, np.uint64)
        self._first = np.zeros(most, RECORD)
        self.scale = np.ones(most)
        """The sampling that a row is counted by."""
        self.begun_s = np.zeros(most)
        self.ended_s = np.zeros(most)
        """Of the row's first and last record: its own clock, which may be behind ours by what exporters take."""

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, seen: Seen, chosen: Integers, keys: Hashes) -> Integers:
        """The row of each chosen record, -1 for none. New keys get rows, those of most records first."""
        if not len(chosen):
            return np.empty(0, np.int64)
        groups = distinct(keys, len(keys))
        assert groups is not None, "there are no more different keys than keys"
        first, which = groups
        unique, counts = keys[first], np.bincount(which)
        found = self.known(unique)
        missing = np.flatnonzero(found < 0)
        if self._once_s is not None:
            missing = missing[self._seen_before(unique[missing], counts[missing], seen.clock_s)]
        if len(missing):
            busiest = missing[np.argsort(-counts[missing], kind="stable")]
            self._claim(seen, unique, found, busiest, chosen[first])
        held = found >= 0
        taken = found[held]
        self._used_s[taken] = seen.clock_s
        self.scale[taken] = np.maximum(self.scale[taken], seen.sampling[chosen[first[held]]])
        ended = np.full(len(first), -np.inf)
        np.maximum.at(ended, which, seen.ended[chosen])
        self.ended_s[taken] = np.maximum(self.ended_s[taken], ended[held])
        rows: Integers = found[which]
        return rows

    def known(self, keys: Hashes) -> Integers:
        """As `rows`, of keys that may have none and get none."""
        if not len(self._rows):
            return np.full(len(keys), -1, np.int64)
        at = self._index.find(keys)
        return np.where(at >= 0, self._rows[at], -1)

    def since(self, rows: Integers, window_s: float) -> Floats:
        """When the window of each row begins."""
        found: Floats = self.ended_s[rows] - window_s
        return found

    def label(self, row: int, seen: Seen) -> Label:
        """Of a row that a record of these was just counted in."""
        record = self._first[row]
        out = record["direction"] == FROM_GUEST
        source, destination = int(record["source_port"]), int(record["destination_port"])
        tag = seen.tag_of(int(self._of_port[row]))
        own, peer = (source, destination) if out else (destination, source)
        return Label(tag.id, tag.project_id, peer_text(record), int(record["protocol"]), own, peer, bool(out))

    def _seen_before(self, keys: Hashes, counts: Integers, clock_s: float) -> Integers:
        assert self._once_s is not None
        part = _part(keys)
        again = (counts > 1) | (self._once_s[part] >= clock_s - _ONCE_S)
        self._once_s[part] = clock_s
        return np.flatnonzero(again)

    def _claim(self, seen: Seen, keys: Hashes, found: Integers, missing: Integers, first: Integers) -> None:
        missing = missing[: max(1, self._most // _NEW_SHARE)]
        rows = self._vacate(len(missing))
        for part in self._parts:
            part.forget(rows)
        records = first[missing]
        self.scale[rows], self.begun_s[rows], self.ended_s[rows] = 1.0, seen.begun[records], 0.0
        self._first[rows] = seen.whole(records)
        self._of_port[rows] = seen.keys[seen.port[records]]
        self._keys[rows] = keys[missing]
        self._index = Index(self._keys[self._rows])
        # Of a step that floods the table even rows of its own may have been taken back.
        taken = np.zeros(self._most, np.bool_)
        taken[rows] = True
        found[(found >= 0) & taken[found]] = -1
        found[missing] = rows

    def _vacate(self, count: int) -> Integers:
        """So many rows: those never used yet, then those longest unused."""
        rows = np.arange(self._fresh, min(self._fresh + count, self._most))
        self._fresh += len(rows)
        if more := count - len(rows):
            rows = np.concatenate((rows, np.argpartition(self._used_s[: -len(rows) or None], more - 1)[:more]))
        holds = np.zeros(self._most, np.bool_)
        holds[self._rows], holds[rows] = True, True
        self._rows = np.flatnonzero(holds)
        return rows


def touched(rows: Integers) -> Integers:
    """The different rows, in their order, without -1. They are few numbers, so that counting finds them soonest."""
    return np.flatnonzero(np.bincount(rows + 1)[1:])


def first_of(rows: Integers) -> tuple[Integers, Integers]:
    """The different rows, and where each is first."""
    own, place = touched(rows), np.empty(rows.max(initial=-1) + 2, np.int64)
    place[rows[::-1] + 1] = np.arange(len(rows))[::-1]
    return own, place[own + 1]


def _part(keys: Hashes) -> Integers:
    return (keys >> np.uint64(64 - _ONCE_BITS)).astype(np.int64)
