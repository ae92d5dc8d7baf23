"""Flow records as numpy arrays: what the collector decodes, the store keeps and the detectors fold over.

A batch is an array for each field of RECORD. Of `model` only this and `loops.py` need numpy, and nothing outside
telemetry and detection may import them: numpy may be missing where those are left out (docs/decisions/0045).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, overload

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

Column = NDArray[Any]
_LINE_BYTES: Final = 64
_FIELDS: Final = tuple((name, RECORD[name]) for name in RECORD.names or ())


class Batch:
    """So many records, each field an array of its own: `batch["bytes"]` is contiguous and of RECORD's type for it.

    `batch["bytes"] = 0` writes into it, `batch[2:5]` are some of the records, in the same memory.
    """

    __slots__ = ("_columns", "_length")

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns, self._length = columns, len(columns["port"])

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, which: str) -> Column: ...
    @overload
    def __getitem__(self, which: slice) -> Batch: ...
    def __getitem__(self, which: str | slice) -> Column | Batch:
        if isinstance(which, str):
            return self._columns[which]
        assert which.step in (None, 1), "what is left out would lie between the others"
        return Batch({name: column[which] for name, column in self._columns.items()})

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        self._columns[name][...] = values

    def rows(self) -> NDArray[np.void]:
        """Copies, as an array of RECORD: for those who look at few records, one by one."""
        found = np.empty(self._length, RECORD)
        for name, column in self._columns.items():
            found[name] = column
        return found


FROM_GUEST: Final = 1
TO_GUEST: Final = 2
"""What `direction` says; 0 when unknown."""


def batch_of(length: int) -> Batch:
    """So many empty records: of no cloud port, with no time, everything else 0."""
    batch = _in(np.zeros(_bytes_of(length), np.uint8), length)
    batch["port"] = -1
    return batch


def joined(batches: Sequence[Batch]) -> Batch:
    """All of them in one; at least one."""
    if len(batches) == 1:
        return batches[0]
    length = sum(map(len, batches))
    made = _in(np.empty(_bytes_of(length), np.uint8), length)
    for name, _ in _FIELDS:
        np.concatenate([each[name] for each in batches], out=made[name])
    return made


def pieces(batches: Sequence[Batch], most: int) -> Iterator[Batch]:
    """All of them, joined to so many records at a time; the last are what is left."""
    return map(joined, turns(batches, most))


def turns(batches: Iterable[Batch], most: int) -> Iterator[list[Batch]]:
    """The same without joining: so many records at a time, in the memory where they are."""
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
    return Batch({name: batch[name][places] for name, _ in _FIELDS})


def scaled(batch: Batch, column: str) -> NDArray[np.uint64]:
    """`packets` or `bytes` times the sampling; as reported where that is unknown, so then a lower bound."""
    found: NDArray[np.uint64] = batch[column] * np.maximum(batch["sampling"], 1)
    return found


def _bytes_of(length: int) -> int:
    return sum(_stride(kind, length) for _, kind in _FIELDS)


def _in(memory: NDArray[np.uint8], length: int) -> Batch:
    """One piece of memory for all columns: the kernel would take back small ones sooner, and clear them again."""
    columns, at = {}, 0
    for name, kind in _FIELDS:
        columns[name] = np.ndarray(length, kind, memory, at)
        at += _stride(kind, length)
    return Batch(columns)


def _stride(kind: np.dtype[Any], length: int) -> int:
    return -(-kind.itemsize * length // _LINE_BYTES) * _LINE_BYTES
