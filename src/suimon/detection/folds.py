"""What detectors do with each record: compiled (folds.c) where there was a compiler, else by numpy with equal results.

A place here is an index into the records of a `Seen`; rows are a table's, -1 for none.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.model.compiled import AT, NUMBER, Function, library, place
from suimon.model.loops import Index, mixed
from suimon.model.records import FROM_GUEST, TO_GUEST

_INTERFACE: Final = 1
"""What folds.c says it is."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Bools = NDArray[np.bool_]

READ: Final = (
    *("port", "direction", "protocol", "tcp_flags", "begun", "ended", "sampling", "packets", "bytes"),
    *("source_port", "destination_port", "source_high", "source_low", "destination_high", "destination_low"),
    "ip_version",
)
_READ_KINDS: Final = ("i4", "u1", "u1", "u1", "f8", "f8", "u4", "u8", "u8", "u2", "u2", *["u8"] * 4, "u1")
FLAGS: Final = 31
"""The TCP flags that tell the steps of a connection; URG and those of ECN (RFC 3168) don't."""


class Columns(NamedTuple):
    """Records from the guest's side; arrays of one length."""

    place: Integers
    """Which of the batch it is."""
    begun: Floats
    ended: Floats
    sampling: Floats
    packets: Floats
    bytes: Floats
    key: Hashes
    """Of its port."""
    peer: Hashes
    """Of the other side's address. Who doesn't know the salt can't choose addresses of one hash."""
    kinds: NDArray[np.uint32]
    own_l4: NDArray[np.uint16]
    peer_l4: NDArray[np.uint16]
    service: NDArray[np.uint16]
    """`peer_l4` of TCP and UDP, 0 for the rest."""
    protocol: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    out: Bools


_KINDS: Final = ("i8", *["f8"] * 5, "u8", "u8", "u4", "u2", "u2", "u2", "u1", "u1", "?")
_WIDTHS: Final = [np.dtype(kind).itemsize for kind in _KINDS]
_OFFSETS: Final = np.cumsum([0, *_WIDTHS[:-1]])
_LETTERS: Final = {"p": "peer", "o": "own_l4", "l": "peer_l4", "s": "service", "t": "protocol", "d": "out"}


class Look(NamedTuple):
    """How records are looked at."""

    keys: Hashes
    """Of each port."""
    clock_s: float
    history_s: float
    salt: int
    kinds: NDArray[np.uint32]
    """The classes of each protocol, direction (out: 1) and flags; (256, 2, 32)."""
    transport: int
    """The class of what has transport ports."""


class Looked:
    """The records of a known port and direction, of a time that is near; and where C finds them."""

    def __init__(self, read: Sequence[NDArray[Any]], how: Look) -> None:
        self.read = [np.ascontiguousarray(each, kind) for each, kind in zip(read, _READ_KINDS, strict=True)]
        self.at = self.read_at = 0
        if _LIBRARY is None:
            self.columns = _looked(dict(zip(READ, self.read, strict=True)), how)
            return
        count = len(self.read[0])
        assert all(len(each) == count for each in self.read), "arrays of one length"
        # In one block: an array costs more to make than to find.
        self._block = np.empty(max(1, sum(_WIDTHS) * count), np.uint8)
        self._parts = place(self._block) + _OFFSETS * count
        self.at = place(self._parts)
        self._read_parts = np.array([place(each) for each in self.read], np.int64)
        self.read_at = place(self._read_parts)
        keys, kinds = np.ascontiguousarray(how.keys), np.ascontiguousarray(how.kinds)
        limits = len(keys), how.clock_s, how.history_s, how.salt
        found = _LIBRARY.suimon_look(self.read_at, count, place(keys), *limits, place(kinds), how.transport, self.at)
        offsets = (_OFFSETS * count).tolist()
        self.columns = Columns(
            *(np.frombuffer(self._block, kind, found, at) for kind, at in zip(_KINDS, offsets, strict=True))
        )


def _looked(read: dict[str, NDArray[Any]], how: Look) -> Columns:
    direction, port, ended = read["direction"], read["port"], read["ended"]
    known = (port >= 0) & (port < len(how.keys)) & ((direction == FROM_GUEST) | (direction == TO_GUEST))
    known &= (ended > how.clock_s - how.history_s) & (ended <= how.clock_s + 1.0) & (read["begun"] <= ended)
    places = np.flatnonzero(known)
    read = {name: column[places] for name, column in read.items()}
    out, protocol, flags = read["direction"] == FROM_GUEST, read["protocol"], read["tcp_flags"] & np.uint8(FLAGS)
    source, destination = read["source_port"], read["destination_port"]
    high = np.where(out, read["destination_high"], read["source_high"])
    low = np.where(out, read["destination_low"], read["source_low"])
    sampling = np.maximum(read["sampling"], 1).astype(np.float64)
    kinds, peer_l4 = how.kinds[protocol, out.astype(np.uint8), flags], np.where(out, destination, source)
    return Columns(
        place=places,
        begun=read["begun"],
        ended=read["ended"],
        sampling=sampling,
        packets=read["packets"] * sampling,
        bytes=read["bytes"] * sampling,
        key=how.keys[read["port"]],
        peer=mixed(low, mixed(high, np.uint64(how.salt))),
        kinds=kinds,
        own_l4=np.where(out, source, destination),
        peer_l4=peer_l4,
        service=np.where(kinds & how.transport != 0, peer_l4, 0).astype(np.uint16),
        protocol=protocol,
        flags=flags,
        out=out,
    )


class Marks:
    """Some transport ports, of the guest or of its peer."""

    def __init__(self, own: bool, l4_ports: Iterable[int]) -> None:
        self.own = own
        self.marked: Bools = np.zeros(65536, np.bool_)
        self.marked[list(l4_ports)] = True
        self.at = place(self.marked)


def choose(seen: Looked, asked: int, wanted: int, marks: Marks | None = None) -> Integers:
    """Where of the classes `asked` those that are `wanted` hold and no others, and whose transport port is marked."""
    columns = seen.columns
    if _LIBRARY is None:
        held = (columns.kinds & np.uint32(asked)) == wanted
        if marks is not None:
            held &= marks.marked[columns.own_l4 if marks.own else columns.peer_l4]
        return np.flatnonzero(held)
    count = len(columns.kinds)
    found = np.empty(count + 1, np.int64)
    own, at = (0, 0) if marks is None else (marks.own, marks.at)
    return found[: _LIBRARY.suimon_choose(seen.at, count, asked, wanted, own, at, place(found))]


def hashes(seen: Looked, columns: str, chosen: Integers) -> Hashes:
    """Of each chosen record's port and of those columns, the first of which is mixed in first (`_LETTERS`)."""
    if _LIBRARY is None:
        found = seen.columns.key[chosen]
        for letter in columns:
            found = mixed(getattr(seen.columns, _LETTERS[letter])[chosen], found)
        return found
    found = np.empty(len(chosen), np.uint64)
    if len(chosen):
        _LIBRARY.suimon_hashes(seen.at, columns.encode(), place(chosen), len(chosen), place(found))
    return found


class Rows(NamedTuple):
    """The rows of records."""

    of: Integers
    """Of each record, -1 for none."""
    own: Integers
    """Which those are, each once, in no order."""
    first: Integers
    """Where each is first."""


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
        self._slots = np.full(1 << (2 * most).bit_length(), -1, np.int32)
        parts = [place(self._rows), place(self.origins), place(self._slots), len(self._slots)]
        self._parts = np.array(parts, np.int64)
        self._at = place(self._parts)
        self._held: Integers = np.empty(0, np.int64)
        self._index = Index(self._rows["key"][self._held])

    def __len__(self) -> int:
        return len(self._held)

    def claim(self, seen: Looked, rows: Integers, records: Integers, keys: Hashes, held: Integers) -> None:
        """Those rows get these keys, each another, and begin with these records; only `held` rows have keys."""
        self._held = held
        if _LIBRARY is not None:
            at = place(rows), place(records), place(keys), len(rows), place(held), len(held)
            _LIBRARY.suimon_claim(self._at, seen.read_at, seen.at, *at)
            return
        columns, read, origins = seen.columns, dict(zip(READ, seen.read, strict=True)), self.origins
        self._rows["key"][rows], self.turns[rows] = keys, 0
        self.ended_s[rows], self.scale[rows] = columns.ended[records], columns.sampling[records]
        origins["begun"][rows], origins["port"][rows] = columns.begun[records], columns.key[records]
        for name in ("own_l4", "peer_l4", "protocol", "out"):
            origins[name][rows] = getattr(columns, name)[records]
        places = columns.place[records]
        origins["ip_version"][rows] = read["ip_version"][places]
        for name in ("high", "low"):
            sides = read[f"destination_{name}"][places], read[f"source_{name}"][places]
            origins[f"peer_{name}"][rows] = np.where(columns.out[records], *sides)
        self._index = Index(self._rows["key"][held])

    def rows(self, seen: Looked, chosen: Integers, keys: Hashes) -> tuple[Rows, Integers]:
        """The rows, which from now on have had these records, and which of the records have none."""
        self.turn += 1
        count = len(chosen)
        if _LIBRARY is None:
            found, columns = self.find(keys), seen.columns
            own, first = first_of(found)
            self.turns[own] = self.turn
            self.scale[own] = np.maximum(self.scale[own], columns.sampling[chosen[first]])
            held = found >= 0
            np.maximum.at(self.ended_s, found[held], columns.ended[chosen[held]])
            return Rows(found, own, first), np.flatnonzero(~held)
        made = np.empty((5, count + 2), np.int64)
        at, row_bytes = place(made), made.strides[0]
        into = (at + row_bytes * n for n in range(5))
        _LIBRARY.suimon_rows(self._at, self.turn, seen.at, place(chosen), place(keys), count, *into)
        known, lacking = made[4, :2].tolist()
        return Rows(made[0, :count], made[1, :known], made[2, :known]), made[3, :lacking]

    def find(self, keys: Hashes) -> Integers:
        """The row of each key, -1 for none."""
        if _LIBRARY is None:
            at = self._index.find(keys)
            return np.where(at >= 0, self._held[at], -1) if len(self) else at
        found = np.full(len(keys), -1)
        places, rows = self.known(np.arange(len(keys)), keys)
        found[places] = rows
        return found

    def known(self, chosen: Integers, keys: Hashes) -> tuple[Integers, Integers]:
        """Of the chosen records those whose key has a row, and it."""
        if _LIBRARY is None:
            rows = self.find(keys)
            return chosen[rows >= 0], rows[rows >= 0]
        made = np.empty((2, len(chosen) + 1), np.int64)
        at = place(made)
        into = at, at + made.strides[0]
        count = _LIBRARY.suimon_known(self._at, place(chosen), place(keys), len(chosen), *into)
        return made[0, :count], made[1, :count]


def first_of(rows: Integers) -> tuple[Integers, Integers]:
    """The different rows, and where each is first. They are few numbers, so that counting finds them soonest."""
    own, place_of = np.flatnonzero(np.bincount(rows + 1)[1:]), np.empty(rows.max(initial=-1) + 2, np.int64)
    place_of[rows[::-1] + 1] = np.arange(len(rows))[::-1]
    return own, place_of[own + 1]


class Cells:
    """For each row cells that know when they were hit last: a second after the last one of what hit them, 0 for never.

    So many cells are a power of two.
    """

    def __init__(self, rows: int, count: int) -> None:
        self.hit = np.zeros((rows, count), np.uint32)
        self.most: Integers = np.zeros(rows, np.int64)
        """As many cells of a row at least as were hit since this was set; 0 when none ever were."""
        self._at, self._most_at = place(self.hit), place(self.most)

    def add(self, seen: Looked, chosen: Integers, rows: Integers, things: Hashes) -> None:
        """Each record hits the cell of its thing in its row."""
        count = self.hit.shape[1]
        if _LIBRARY is not None:
            at = place(rows), seen.at, place(chosen), place(things)
            _LIBRARY.suimon_add(self._at, count, self._most_at, *at, len(chosen))
            return
        held = np.flatnonzero(rows >= 0)
        cell = rows[held] * count + (things[held] % np.uint64(count)).astype(np.int64)
        _, last = _seconds(seen.columns, chosen[held])
        np.maximum.at(self.hit.reshape(-1), cell, (last + 1).astype(np.uint32))
        self.most[rows[held]] = count

    def clear(self, rows: Integers) -> None:
        if _LIBRARY is None:
            self.hit[rows], self.most[rows] = 0, 0
        else:
            _LIBRARY.suimon_clear(self._at, self.hit.shape[1], self._most_at, place(rows), len(rows))


class Amount(NamedTuple):
    """Of each chosen record something to be added."""

    metrics: tuple[int, int]
    """What it is of records to the guest, and from it."""
    values: Floats


class Rings:
    """Amounts of each second, row and metric; the place of a second is its remainder."""

    def __init__(self, rows: int, slots: int, metrics: int) -> None:
        self.amounts = np.zeros((slots, rows, metrics), np.float32)
        self.most: Floats = np.zeros((rows, metrics))
        """As much at least as was added to each since this was set."""
        self._at, self._most_at = place(self.amounts), place(self.most)

    def lay(self, oldest: int, seen: Looked, chosen: Integers, rows: Integers, amounts: Sequence[Amount]) -> None:
        """Adds each record's amounts to its row, evenly over its seconds from `oldest` on."""
        slots, row_count, metrics = self.amounts.shape
        if _LIBRARY is not None:
            parts = np.array([(place(each.values), *each.metrics) for each in amounts], np.int64)
            at = place(rows), seen.at, place(chosen), len(chosen), place(parts), len(parts)
            _LIBRARY.suimon_lay(self._at, self._most_at, *self.amounts.shape, oldest, *at)
            return
        columns, flat = seen.columns, self.amounts.reshape(-1)
        first, last = _seconds(columns, chosen)
        held = (rows >= 0) & (last >= oldest)
        short, long = np.flatnonzero(held & (first == last)), np.flatnonzero(held & (first < last))
        spans = columns.begun[chosen[long]], columns.ended[chosen[long]]
        nth, second, share = _shares(np.maximum(first[long], oldest), last[long], *spans)
        of = long[nth]
        for metrics_of, values in amounts:
            metric = np.where(columns.out[chosen], metrics_of[1], metrics_of[0])
            at_short = (first[short] % slots * row_count + rows[short]) * metrics + metric[short]
            np.add.at(flat, at_short, values[short].astype(np.float32))
            at_long = (second % slots * row_count + rows[of]) * metrics + metric[of]
            np.add.at(flat, at_long, (values[of] * share).astype(np.float32))
            self.most[rows[held], metric[held]] = np.inf


def _seconds(columns: Columns, chosen: Integers) -> tuple[Integers, Integers]:
    """The first and the last that each record has a share in: what ends as a second begins has none in that, unless it
    began there. Before 1970 there are none.
    """
    first = np.floor(np.maximum(columns.begun[chosen], 0.0)).astype(np.int64)
    return first, np.maximum(np.ceil(columns.ended[chosen]).astype(np.int64) - 1, first)


def _shares(first: Integers, last: Integers, begun: Floats, ended: Floats) -> tuple[Integers, Integers, Floats]:
    """The seconds in which records have a share that are longer than one: which record, when, how much."""
    counts = last - first + 1
    nth = np.repeat(np.arange(len(counts)), counts)
    second = np.arange(len(nth)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    overlap = np.minimum(ended[nth], second + 1) - np.maximum(begun[nth], second)
    return nth, second, overlap / (ended[nth] - begun[nth])


_CLASSES: Final = ctypes.c_uint32
_FUNCTIONS: Final = {
    "suimon_look": Function(
        (AT, NUMBER, AT, NUMBER, *[ctypes.c_double] * 2, ctypes.c_uint64, AT, _CLASSES, AT), NUMBER
    ),
    "suimon_choose": Function((AT, NUMBER, _CLASSES, _CLASSES, NUMBER, AT, AT), NUMBER),
    "suimon_hashes": Function((AT, ctypes.c_char_p, AT, NUMBER, AT)),
    "suimon_claim": Function((*[AT] * 6, NUMBER, AT, NUMBER)),
    "suimon_rows": Function((AT, NUMBER, AT, AT, AT, NUMBER, *[AT] * 5)),
    "suimon_known": Function((AT, AT, AT, NUMBER, AT, AT), NUMBER),
    "suimon_add": Function((AT, NUMBER, AT, AT, AT, AT, AT, NUMBER)),
    "suimon_clear": Function((AT, NUMBER, AT, AT, NUMBER)),
    "suimon_lay": Function((AT, AT, *[NUMBER] * 4, AT, AT, AT, NUMBER, AT, NUMBER)),
}


def _loaded(folder: str) -> ctypes.CDLL | None:
    return library(folder, "folds", _INTERFACE, _FUNCTIONS)


_LIBRARY = _loaded(__file__.rpartition("/")[0])
