"""A bounded table of what is watched: a row for each key, the longest unused given to another when all are taken."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np

from suimon.detection.seen import Floats, Hashes, Integers, Seen, peer_text
from suimon.model.records import FROM_GUEST, RECORD

_NEW_SHARE: Final = 4
"""At most a quarter of the rows goes to new keys at once: what floods a table with keys can't empty it in one step,
and what is seen in each step stays."""
_INDEX_BITS: Final = 17
"""Keys are hashes cut to the other 47 bits, so that a key and a record's place sort as one number."""
_PRESENT_BITS: Final = 18
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
        self._keys: Hashes = np.empty(0, np.uint64)
        self._rows: Integers = np.empty(0, np.int64)
        self._present = np.zeros(1 << _PRESENT_BITS, np.bool_)
        self._once_s = np.full(1 << _PRESENT_BITS, -np.inf) if twice else None
        self._used_s = np.full(most, -np.inf)
        self._of_port = np.zeros(most, np.uint64)
        self._first = np.zeros(most, RECORD)
        self.scale = np.ones(most)
        """The sampling that a row is counted by."""
        self.begun_s = np.zeros(most)
        self.ended_s = np.zeros(most)
        """Of the row's first and last record: its own clock, which may be behind ours by what exporters take."""

    def __len__(self) -> int:
        return len(self._keys)

    def rows(self, seen: Seen, chosen: Integers, keys: Hashes) -> Integers:
        """The row of each chosen record, -1 for none. New keys get rows, those of most records first."""
        if not len(chosen):
            return np.empty(0, np.int64)
        order, starts = _grouped(keys)
        first = order[starts]
        unique = _cut(keys[first])
        counts = np.diff(starts, append=len(order))
        found = self._find(unique)
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
        ended = np.maximum.reduceat(seen.ended[chosen[order]], starts)
        self.ended_s[taken] = np.maximum(self.ended_s[taken], ended[held])
        rows = np.empty(len(keys), np.int64)
        rows[order] = np.repeat(found, counts)
        return rows

    def known(self, keys: Hashes) -> Integers:
        """As `rows`, of many keys that mostly have none: a bit for each part of a key spares the search."""
        rows = np.full(len(keys), -1, np.int64)
        maybe = np.flatnonzero(self._present[_part(keys)])
        rows[maybe] = self._find(_cut(keys[maybe]))
        return rows

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

    def _find(self, keys: Hashes) -> Integers:
        if not len(self._keys):
            return np.full(len(keys), -1, np.int64)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._rows[at], -1)

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
        added = np.concatenate((self._keys, keys[missing]))
        order = np.argsort(added, kind="stable")
        self._keys, self._rows = added[order], np.concatenate((self._rows, rows))[order]
        self._present[:] = False
        self._present[_part(self._keys)] = True
        # Of a step that floods the table even rows of its own may have been taken back.
        found[np.isin(found, rows)] = -1
        found[missing] = rows

    def _vacate(self, count: int) -> Integers:
        """So many rows: those never used yet, then those longest unused."""
        rows = np.argsort(self._used_s, kind="stable")[:count].astype(np.int64)
        kept = ~np.isin(self._rows, rows)
        self._keys, self._rows = self._keys[kept], self._rows[kept]
        return rows


def touched(rows: Integers) -> Integers:
    """The different rows, in their order, without -1. They are few numbers, so that counting finds them soonest."""
    return np.flatnonzero(np.bincount(rows + 1)[1:])


def _grouped(keys: Hashes) -> tuple[Integers, Integers]:
    """An order that puts equal keys together, those of one key as they came, and where in it each key begins.

    One sort of plain numbers costs a tenth of what `np.unique` with its indexes does.
    """
    assert len(keys) <= 1 << _INDEX_BITS, "more records than a place has bits for"
    both = _cut(keys) | np.arange(len(keys), dtype=np.uint64)
    both.sort()
    order = (both & np.uint64((1 << _INDEX_BITS) - 1)).astype(np.int64)
    cut = _cut(both)
    return order, np.flatnonzero(np.concatenate(([True], cut[1:] != cut[:-1])))


def _cut(keys: Hashes) -> Hashes:
    return keys & ~np.uint64((1 << _INDEX_BITS) - 1)


def _part(keys: Hashes) -> Integers:
    return (keys >> np.uint64(64 - _PRESENT_BITS)).astype(np.int64)
