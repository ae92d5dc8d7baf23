"""Flow records as numpy arrays: what the collector decodes, the store keeps and the detectors fold over.

A batch is an array for each field of RECORD. Of `model` only this and `loops.py` need numpy, and nothing outside
telemetry and detection may import them: numpy may be missing where those are left out (docs/decisions/0045).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

RECORD: Final = np.dtype(
    [
        ("begun", "f8"),  # UTC seconds of the first packet.
        ("ended", "f8"),  # UTC seconds of the last packet, never before `begun`.
        ("exporter", "u4"),  # Index into the collector's exporters.
        ("ip_version", "u1"),  # 4, 6, or 0 when it is no IP packet.
        ("protocol", "u1"),
        ("tcp_flags", "u1"),  # Of all packets, or-ed.
        ("direction", "u1"),  # One of Direction.
        ("source_high", "u8"),  # IPv4: 0.
        ("source_low", "u8"),
        ("destination_high", "u8"),
        ("destination_low", "u8"),
        ("source_port", "u2"),
        ("destination_port", "u2"),
        ("packets", "u8"),  # As reported: see `scaled`.
        ("bytes", "u8"),
        ("sampling", "u4"),  # 1 of so many packets; 0 when unknown.
        ("input", "u4"),  # Interface index, or OpenFlow port where the exporter says that.
        ("output", "u4"),
        ("source_mac", "u8"),  # 0 when unknown.
        ("destination_mac", "u8"),
        ("port", "i4"),  # Index into a table of cloud ports, -1 for none.
    ]
)

TOGETHER: Final = 1 << 17
"""So many records lie together where many are kept: in memory, and in a file."""
Column = NDArray[Any]
Places = NDArray[np.int64]
_LINE_BYTES: Final = 64
_NAMES: Final = RECORD.names or ()
_FIELDS: Final = tuple((name, RECORD[name]) for name in _NAMES)
_SIZES: Final = np.array([kind.itemsize for _, kind in _FIELDS], np.int64)


class _Memory(NamedTuple):
    """One piece for all columns: the kernel would take back small ones sooner, and clear them again."""

    columns: Mapping[str, Column]
    begins: Places
    """Addresses, in the order of RECORD."""


class Batch:
    """So many records, each field an array of its own: `batch["bytes"]` is contiguous and of RECORD's type for it.

    `batch["bytes"] = 0` writes into it, `batch[2:5]` are some of the records, in the same memory.
    """

    __slots__ = ("_first", "_length", "_memory")

    def __init__(self, memory: _Memory, first: int, length: int) -> None:
        self._memory, self._first, self._length = memory, first, length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, which: str) -> Column: ...
    @overload
    def __getitem__(self, which: slice) -> Batch: ...
    def __getitem__(self, which: str | slice) -> Column | Batch:
        if isinstance(which, str):
            return self._memory.columns[which][self._first : self._first + self._length]
        first, end, step = which.indices(self._length)
        assert step == 1, "what is left out would lie between the others"
        return Batch(self._memory, self._first + first, max(0, end - first))

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        self[name][...] = values

    def rows(self) -> NDArray[np.void]:
        """Copies, as an array of RECORD: for those who look at few records, one by one."""
        found = np.empty(self._length, RECORD)
        for name, _ in _FIELDS:
            found[name] = self[name]
        return found

    def places(self, which: Places | slice = slice(None)) -> Places:
        """Where columns begin, by their numbers in RECORD: for C, which gets them while the batch is held."""
        found: Places = self._memory.begins[which] + self._first * _SIZES[which]
        return found

    def with_next(self, count: int) -> Batch:
        """And so many records that lie behind it."""
        return Batch(self._memory, self._first, self._length + count)

    def leads_to(self, other: Batch) -> bool:
        """Whether the other lies right behind it."""
        return self._memory is other._memory and self._first + self._length == other._first


class Arena:
    """For batches that come one after the other: so they lie, and are joined without being copied.

    What was made here is no one else's, and its memory goes when nobody has a batch of it any more: never before.
    There is memory only for columns that anyone has written: in all others the same zeros are read.
    """

    def __init__(self, most: int) -> None:
        self._most, self._used = most, 0
        self._all = batch_of(0)
        self._written = _TAGGED
        self._zeros = np.zeros(most, "u8")
        self._zeros.flags.writeable = False

    def batch(self, length: int, filled: frozenset[str], written: frozenset[str] = frozenset()) -> Batch:
        """As `batch_of`, for a caller who fills those columns, all of each, and may write into those others."""
        if length > self._most:
            return batch_of(length)
        wanted = self._written | filled | written
        if wanted != self._written or self._used + length > len(self._all):
            self._all, self._used, self._written = _batch(np.empty, self._most, wanted, self._zeros), 0, wanted
        found = self._all[self._used : self._used + length]
        self._used += length
        for name in wanted - filled:
            found[name] = _EMPTY.get(name, 0)
        return found

    def first(self, batch: Batch, count: int) -> Batch:
        """So many of the batch that was made last, when it had room for more: that is free again."""
        if len(batch) > self._most:
            # Who keeps the records must not keep the room for those that were none.
            return some(batch, np.arange(count)) if count < len(batch) else batch
        self._used -= len(batch) - count
        return batch[:count]


def numbers_of(*names: str) -> Places:
    """Where these fields stand in RECORD."""
    return np.array([_NAMES.index(name) for name in names], np.int64)


FROM_GUEST: Final = 1
TO_GUEST: Final = 2
"""What `direction` says; 0 when unknown."""


_EMPTY: Final = {"port": -1}
_TAGGED: Final = frozenset({"port", "direction"})
"""What is written once it is known whose a record is."""


def batch_of(length: int) -> Batch:
    """So many empty records: of no cloud port, with no time, everything else 0."""
    batch = _batch(np.zeros, length)
    for name, value in _EMPTY.items():
        batch[name] = value
    return batch


def joined(batches: Sequence[Batch]) -> Batch:
    """All of them in one; at least one. Neighbours stay where they are, others are copied."""
    runs = _runs(batches)
    if len(runs) == 1:
        return runs[0]
    made = _batch(np.empty, sum(map(len, runs)))
    for name, _ in _FIELDS:
        np.concatenate([each[name] for each in runs], out=made[name])
    return made


def pieces(batches: Sequence[Batch], most: int) -> Iterator[Batch]:
    """All of them, in order and joined to at most so many records at a time, without copying neighbours for it."""
    held: list[Batch] = []
    count = 0
    for run in _runs(batches):
        for first in range(0, len(run), most):
            batch = run[first : first + most]
            if count + len(batch) > most:
                yield joined(held)
                held, count = [], 0
            held.append(batch)
            count += len(batch)
    if held:
        yield joined(held)


def turns(batches: Iterable[Batch], most: int) -> Iterator[list[Batch]]:
    """All of them without joining: so many records at a time, in the memory where they are."""
    held: list[Batch] = []
    room = most
    for batch in batches:
        first = 0
        while len(batch) - first >= room:
            yield [*held, batch[first : first + room]]
            held, first, room = [], first + room, most
        if first < len(batch):
            held.append(batch[first:])
            room -= len(batch) - first
    if held:
        yield held


def some(batch: Batch, which: NDArray[Any]) -> Batch:
    """Copies of those records, by their indexes or a bool for each."""
    places = np.flatnonzero(which) if which.dtype == np.bool_ else which
    made = _batch(np.empty, len(places))
    for name, _ in _FIELDS:
        made[name] = batch[name][places]
    return made


def scaled(batch: Batch, column: str) -> NDArray[np.uint64]:
    """`packets` or `bytes` times the sampling; as reported where that is unknown, so then a lower bound."""
    found: NDArray[np.uint64] = batch[column] * np.maximum(batch["sampling"], 1)
    return found


def _runs(batches: Sequence[Batch]) -> list[Batch]:
    """Neighbours as one."""
    full = [each for each in batches if len(each)] or batches
    found = [full[0]]
    for batch in full[1:]:
        if found[-1].leads_to(batch):
            found[-1] = found[-1].with_next(len(batch))
        else:
            found.append(batch)
    return found


def _batch(
    make: Callable[[int, type[np.uint8]], NDArray[np.uint8]],
    length: int,
    names: Collection[str] = _NAMES,
    zeros: Column | None = None,
) -> Batch:
    """Of memory that is made so. Other columns than those are zeros, of 64 bits and at least as many."""
    at, begins, columns = 0, dict[str, int](), dict[str, Column]()
    for name, kind in _FIELDS:
        if name in names:
            begins[name] = at
            # Columns a power of two apart would share the same few places of a cache.
            at += (-(-kind.itemsize * length // _LINE_BYTES) | 1) * _LINE_BYTES
    memory = make(at, np.uint8)
    for name, kind in _FIELDS:
        whole, begin = (memory, begins[name]) if name in begins else (zeros, 0)
        columns[name] = np.ndarray(length, kind, whole, begin)
    return Batch(_Memory(columns, np.array([each.ctypes.data for each in columns.values()], np.int64)), 0, length)
