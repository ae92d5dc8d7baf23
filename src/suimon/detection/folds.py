"""What detectors do with each record: compiled (folds.c) where there was a compiler, else by numpy with equal results.

A place here is an index into the records of a `Seen`; rows are a table's, -1 for none.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.detection.choices import (
    COUNTED,
    LETTERS,
    OF,
    READ,
    Amount,
    Choice,
    Columns,
    Floats,
    Hash,
    Hashes,
    Integers,
    Look,
    Marks,
    Rows,
    chosen_of,
    first_of,
    hashes_of,
    looked_of,
    seconds_of,
    shares_of,
    values_of,
)
from suimon.model.compiled import AT, NUMBER, Function, library, place
from suimon.model.loops import Index
from suimon.model.records import RECORD

_READ_KINDS: Final = tuple(RECORD[name] for name in READ)
_SEEN: Final = np.dtype(
    [
        *((name, "f8") for name in ("begun", "ended", "packets", "bytes")),
        *(("key", "u8"), ("peer", "u8"), ("sampling", "u4"), ("service", "u2")),
        *(("protocol", "u1"), ("flags", "u1"), ("ip_version", "u1"), ("out", "?"), ("none", "V6")),
    ]
)
"""Most of what C has of a record, in a line of the cache; besides, there are columns."""
_BESIDES: Final = {"kinds": "u4", "own_l4": "u2", "peer_l4": "u2", "who": "u2", "peer_high": "u8", "peer_low": "u8"}
_LEAST_ROOM: Final = 4096
_APART_BYTES: Final = 5 * 64


class Room:
    """Where records are looked at, step after step: memory that is asked for anew each time costs more than to use it.

    It grows with what is seen at once, and who looks there ends what was seen there before.
    """

    def __init__(self, salt: int = 0) -> None:
        """Who doesn't know the salt can't choose addresses of one hash."""
        self.at, self.size, self.salt = 0, 0, salt
        self.make(_LEAST_ROOM)

    def make(self, count: int) -> None:
        """For so many records."""
        if count <= self.size:
            return
        self.size = 1 << (count - 1).bit_length()
        self._seen = np.empty(self.size, _SEEN)
        self._others = dict(zip(_BESIDES, _apart(tuple(_BESIDES.values()), self.size), strict=True))
        self._parts = np.array([place(each) for each in (self._seen, *self._others.values())], np.int64)
        self.at = place(self._parts)
        self.lanes = Lane(self.size), Lane(self.size)

    def columns(self, count: int) -> Columns:
        """The first so many that are there."""
        found = {name: self._seen[name] for name in _SEEN.names or ()} | self._others
        return Columns(**{name: found[name][:count] for name in Columns._fields})


def _apart(kinds: Sequence[str], size: int) -> list[NDArray[Any]]:
    """So many of each kind. What lies a power of two apart would be in each other's way in the cache."""
    widths = np.array([np.dtype(kind).itemsize for kind in kinds])
    ends = np.cumsum(widths * size + _APART_BYTES) // _APART_BYTES * _APART_BYTES
    block = np.empty(int(ends[-1]), np.uint8)
    begins = [0, *ends[:-1].tolist()]
    return [np.frombuffer(block, kind, size, at) for kind, at in zip(kinds, begins, strict=True)]


class Lane:
    """Where one fold after the other finds what it finds: in the nearest cache, as the one before it did."""

    def __init__(self, size: int) -> None:
        *self._made, self._keys = _apart((*["i8"] * 5, "u8"), size + 1)
        self.counts = np.zeros(4, np.int64)
        self._so = _Found(*map(place, (*self._made, self._keys, self.counts)))
        self.at = ctypes.addressof(self._so)

    def found(self) -> tuple[Rows, Integers, Hashes]:
        """As `Fold.find` gives it."""
        count, known, lacking, _ = self.counts.tolist()
        chosen, of, own, first, missed = self._made
        rows = Rows(chosen[:count], of[:count], own[:known], first[:known])
        return rows, missed[:lacking], self._keys[:count]


class Looked:
    """The records of a known port and direction, of a time that is near; `at` is where C finds them.

    Records come in parts, each an array for each name in READ.
    """

    def __init__(self, parts: Iterable[Sequence[NDArray[Any]]], how: Look, room: Room | None = None) -> None:
        read = [[_plain(*each) for each in zip(part, _READ_KINDS, strict=True)] for part in parts]
        for part in read:
            assert len(set(map(len, part))) == 1, "arrays of one length"
        self.room, self.at, self.count = room or Room(), 0, 0
        if _LIBRARY is None:
            whole = [np.concatenate(each) for each in zip(*read, strict=True)]
            self.columns = looked_of(dict(zip(READ, whole, strict=True)), how, self.room.salt)
            self.count = len(self.columns.key)
            return
        self.room.make(sum(len(part[0]) for part in read))
        self.at = self.room.at
        keys, kinds = np.ascontiguousarray(how.keys), np.ascontiguousarray(how.kinds)
        times = how.clock_s - how.history_s, how.clock_s + 1.0, how.several
        so = _Look(place(keys), len(keys), *times, self.room.salt, place(kinds), how.transport)
        for part in read:
            places = np.array([place(each) for each in part], np.int64)
            into = ctypes.byref(so), self.at, self.count
            self.count = _LIBRARY.suimon_look(place(places), len(part[0]), *into)

    @cached_property
    def columns(self) -> Columns:
        return self.room.columns(self.count)


class _Look(ctypes.Structure):
    """As folds.c has it; likewise those below."""

    _fields_ = (
        *(("keys", AT), ("ports", NUMBER)),
        *((name, ctypes.c_double) for name in ("oldest", "latest", "several")),
        *(("salt", ctypes.c_uint64), ("kinds", AT), ("transport", ctypes.c_uint64)),
    )


def _plain(column: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """As C reads it. Batches' columns are so already."""
    return column if column.dtype == kind and column.flags.c_contiguous else np.ascontiguousarray(column, kind)


_MOST_AMOUNTS: Final = 4

_ROW: Final = np.dtype([("key", "u8"), ("ended", "f8"), ("scale", "f8"), ("turn", "i8")])
ORIGIN: Final = np.dtype(
    [
        *(
            ("begun", "f8"),
            ("port", "u8"),
            ("peer_high", "u8"),
            ("peer_low", "u8"),
            ("own_l4", "u2"),
            ("peer_l4", "u2"),
        ),
        *(("protocol", "u1"), ("out", "?"), ("ip_version", "u1"), ("none", "u1")),
    ]
)
"""Of the record that brought a row in; `port` is the key of its port."""


class Keyed:
    """Which row has which key, and of each the time of its last record and the sampling that it is counted by."""

    def __init__(self, most: int) -> None:
        self._rows = np.zeros(most, _ROW)
        self.ended_s, self.scale = self._rows["ended"], self._rows["scale"]
        self.turn = 0
        """How often rows were asked for, and when each was last."""
        self.turns = self._rows["turn"]
        self.origins = np.zeros(most, ORIGIN)
        assert most < 1 << 16, "a slot has room for no more"
        self._slots = np.zeros(1 << (2 * most).bit_length(), np.uint32)
        self._who = np.zeros(1 << 13, np.uint8)
        parts = [place(self._rows), place(self.origins), place(self._slots), len(self._slots), place(self._who), 0]
        self._parts = np.array(parts, np.int64)
        self.at = place(self._parts)
        self._held: Integers = np.empty(0, np.int64)
        self._index = Index(self._rows["key"][self._held])

    def __len__(self) -> int:
        return len(self._held)

    def claim(self, seen: Looked, rows: Integers, records: Integers, keys: Hashes, held: Integers) -> None:
        """Those rows get these keys, each another, and begin with these records; only `held` rows have keys."""
        self._held = held
        if _LIBRARY is not None:
            at = place(rows), place(records), place(keys), len(rows), place(held), len(held)
            _LIBRARY.suimon_claim(self.at, self.turn, seen.at, *at)
            return
        columns, origins = seen.columns, self.origins
        self._rows["key"][rows], self.turns[rows] = keys, self.turn
        self.ended_s[rows], self.scale[rows] = columns.ended[records], columns.sampling[records]
        origins["port"][rows] = columns.key[records]
        for name in ("begun", "peer_high", "peer_low", "own_l4", "peer_l4", "protocol", "out", "ip_version"):
            origins[name][rows] = getattr(columns, name)[records]
        self._index = Index(self._rows["key"][held])

    def rows(self, seen: Looked, chosen: Integers, keys: Hashes) -> tuple[Rows, Integers]:
        """As `Fold.find`, by numpy."""
        found, columns = self.find(keys), seen.columns
        own, first = first_of(found)
        self.turns[own] = self.turn
        self.scale[own] = np.maximum(self.scale[own], columns.sampling[chosen[first]])
        held = found >= 0
        np.maximum.at(self.ended_s, found[held], columns.ended[chosen[held]])
        return Rows(chosen, found, own, first), np.flatnonzero(~held)

    def find(self, keys: Hashes) -> Integers:
        """The row of each key, -1 for none."""
        if _LIBRARY is None:
            at = self._index.find(keys)
            return np.where(at >= 0, self._held[at], -1) if len(self) else at
        keys, found = np.ascontiguousarray(keys), np.empty(len(keys), np.int64)
        _LIBRARY.suimon_rows(self.at, place(keys), len(keys), place(found))
        return found


class Cells:
    """For each row cells that know when they were hit last: a second after the last one of what hit them, 0 for never.

    So many cells are a power of two.
    """

    def __init__(self, rows: int, count: int) -> None:
        self.hit = np.zeros((rows, count), np.uint32)
        self.most: Integers = np.zeros(rows, np.int64)
        """As many cells of a row at least as were hit since this was set; 0 when none ever were."""
        self.at, self.most_at = place(self.hit), place(self.most)

    def add(self, seen: Looked, chosen: Integers, rows: Integers, things: Hashes) -> None:
        """Each record hits the cell of its thing in its row; by numpy."""
        count = self.hit.shape[1]
        held = np.flatnonzero(rows >= 0)
        cell = rows[held] * count + (things[held] % np.uint64(count)).astype(np.int64)
        _, last = seconds_of(seen.columns, chosen[held])
        np.maximum.at(self.hit.reshape(-1), cell, (last + 1).astype(np.uint32))
        self.most[rows[held]] = count

    def clear(self, rows: Integers) -> None:
        if _LIBRARY is None:
            self.hit[rows], self.most[rows] = 0, 0
        else:
            _LIBRARY.suimon_clear(self.at, self.hit.shape[1], self.most_at, place(rows), len(rows))


class Rings:
    """Amounts of each second, row and metric; the place of a second is its remainder."""

    def __init__(self, rows: int, slots: int, metrics: int) -> None:
        assert slots & (slots - 1) == 0, "a power of two"
        self.amounts = np.zeros((slots, rows, metrics), np.float32)
        self.most: Floats = np.zeros((rows, metrics))
        """As much at least as was added to each since this was set."""
        self.oldest = 0
        """The first second that there is."""
        self.high = 0
        """One more than the highest row that something was ever added to."""

    def lay(self, seen: Looked, chosen: Integers, rows: Integers, amounts: Sequence[Amount]) -> None:
        """Adds each record's amounts to its row, evenly over its seconds from `oldest` on; by numpy."""
        slots, row_count, metrics = self.amounts.shape
        columns, flat, oldest = seen.columns, self.amounts.reshape(-1), self.oldest
        self.high = max(self.high, int(rows.max(initial=-1)) + 1)
        first, last = seconds_of(columns, chosen)
        held = (rows >= 0) & (last >= oldest)
        short, long = np.flatnonzero(held & (first == last)), np.flatnonzero(held & (first < last))
        spans = columns.begun[chosen[long]], columns.ended[chosen[long]]
        nth, second, share = shares_of(np.maximum(first[long], oldest), last[long], *spans)
        of = long[nth]
        for each in amounts:
            values = values_of(columns, each)[chosen]
            metric = np.where(columns.out[chosen], each.metrics[1], each.metrics[0])
            at_short = (first[short] % slots * row_count + rows[short]) * metrics + metric[short]
            np.add.at(flat, at_short, values[short].astype(np.float32))
            at_long = (second % slots * row_count + rows[of]) * metrics + metric[of]
            np.add.at(flat, at_long, (values[of] * share).astype(np.float32))
            self.most[rows[held], metric[held]] = np.inf


class Adds(NamedTuple):
    """What a record adds to its row: hits of things in cells, and amounts."""

    hits: Sequence[tuple[Cells, Hash]] = ()
    rings: Rings | None = None
    amounts: Sequence[Amount] = ()


class Fold:
    """Which records a detector takes, by what key they have rows in a table, and what they add to those rows.

    It is made once: C is told where all is, and what it finds has a place that is kept.
    """

    def __init__(self, table: Keyed, choice: Choice, key: Hash, adds: Adds | None = None, known: bool = False) -> None:
        """With `known` it takes only records of keys that have rows, and others get none by it: of a table in which
        records of one key are of one port and protocol.
        """
        self._adds = hits, rings, amounts = adds or Adds()
        assert len(amounts) <= _MOST_AMOUNTS, "folds.c has no room for more"
        self._table, self._choice, self._key, self._known = table, choice, key, known
        self._hits = (_Hits * len(hits))(*(_hits(*each) for each in hits))
        parts = [(COUNTED.index(each.column), each.kinds, *each.metrics) for each in amounts]
        self._amounts = np.array(parts, np.int64)
        self._so = _Fold(choice.wanted | choice.but, choice.wanted, _at(choice.own), _at(choice.peer), _recipe(key))
        self._so.table, self._so.known = table.at, known
        self._so.hit, self._so.hit_count = ctypes.addressof(self._hits), len(hits)
        self._so.amounts, self._so.amount_count = place(self._amounts), len(amounts)
        if rings is not None:
            self._so.ring, self._so.most = place(rings.amounts), place(rings.most)
            self._so.slots, self._so.row_count, self._so.metrics = rings.amounts.shape
        self._at = ctypes.addressof(self._so)

    def find(self, seen: Looked) -> tuple[Rows, Integers, Hashes]:
        """The rows, which from now on have had these records; which of the records have none; and the records' keys."""
        if self._known and not len(self._table):
            none = np.empty(0, np.int64)
            return Rows(none, none, none, none), none, none.astype(np.uint64)
        if not self._known:
            self._table.turn += 1
        if _LIBRARY is None:
            return self._found(seen)
        lane = seen.room.lanes[self._known]
        _LIBRARY.suimon_find(self._at, seen.at, seen.count, self._table.turn, lane.at)
        return lane.found()

    def count(self, seen: Looked, found: Rows) -> None:
        """What the records that were just found add to their rows."""
        hits, rings, amounts = self._adds
        if _LIBRARY is not None:
            lane = seen.room.lanes[self._known]
            _LIBRARY.suimon_count(self._at, seen.at, rings.oldest if rings else 0, lane.at)
            if rings:
                rings.high = max(rings.high, int(lane.counts[3]))
            return
        keys = hashes_of(seen.columns, self._key, found.chosen)
        for cells, thing in hits:
            cells.add(seen, found.chosen, found.of, hashes_of(seen.columns, thing, found.chosen, keys))
        if rings:
            rings.lay(seen, found.chosen, found.of, amounts)

    def _found(self, seen: Looked) -> tuple[Rows, Integers, Hashes]:
        chosen = chosen_of(seen.columns, self._choice)
        keys = hashes_of(seen.columns, self._key, chosen)
        if not self._known:
            return *self._table.rows(seen, chosen, keys), keys
        rows, none = self._table.find(keys), np.empty(0, np.int64)
        held = rows >= 0
        return Rows(chosen[held], rows[held], none, none), none, keys[held]


class _Recipe(ctypes.Structure):
    _fields_ = (("of", ctypes.c_uint64), ("letters", ctypes.c_char * 8), ("plus", ctypes.c_uint64))


class _Hits(ctypes.Structure):
    _fields_ = (("cells", AT), ("cell_count", NUMBER), ("most", AT), ("thing", _Recipe))


class _Fold(ctypes.Structure):
    _fields_ = (
        *(("asked", ctypes.c_uint64), ("wanted", ctypes.c_uint64), ("own", AT), ("peer", AT), ("key", _Recipe)),
        *(("table", AT), ("known", NUMBER), ("hit", AT), ("hit_count", NUMBER)),
        *(("ring", AT), ("most", AT), ("slots", NUMBER), ("row_count", NUMBER), ("metrics", NUMBER)),
        *(("amounts", AT), ("amount_count", NUMBER)),
    )


class _Found(ctypes.Structure):
    _fields_ = tuple((name, AT) for name in ("chosen", "rows", "own", "first", "missed", "keys", "counts"))


def _at(marked: Marks | None) -> int | None:
    return None if marked is None else place(marked)


def _recipe(made: Hash) -> _Recipe:
    assert len(made.letters) < 8 and set(made.letters) <= set(LETTERS), "letters that folds.c knows"
    return _Recipe(OF.index(made.of), made.letters.encode(), made.plus)


def _hits(cells: Cells, thing: Hash) -> _Hits:
    return _Hits(cells.at, cells.hit.shape[1], cells.most_at, _recipe(thing))


_FUNCTIONS: Final = {
    "suimon_look": Function((AT, NUMBER, AT, AT, NUMBER), NUMBER),
    "suimon_find": Function((AT, AT, NUMBER, NUMBER, AT)),
    "suimon_count": Function((AT, AT, NUMBER, AT)),
    "suimon_claim": Function((AT, NUMBER, *[AT] * 4, NUMBER, AT, NUMBER)),
    "suimon_rows": Function((AT, AT, NUMBER, AT)),
    "suimon_clear": Function((AT, NUMBER, AT, AT, NUMBER)),
}


def _loaded(folder: str) -> ctypes.CDLL | None:
    return library(folder, __file__, _FUNCTIONS)


_LIBRARY = _loaded(__file__.rpartition("/")[0])
