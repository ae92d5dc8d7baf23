"""An hour's records in order, in runs of as many as fit in memory (docs/decisions/0090): each run is sorted by itself,
and its groups of rows follow those of the one before. What asks for a port reads a group or two of each run.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from suimon.telemetry.history.columns import COLUMNS, TEXTS
from suimon.telemetry.history.packing import arrange, squeezed
from suimon.telemetry.history.parquet import Coded, Column, Known, Writer
from suimon.telemetry.history.parts import Numbers, Part
from suimon.telemetry.history.summing import Summing

ORDER: Final = (
    *("port_id", "direction", "destination_high", "destination_low", "source_high", "source_low"),
    *("destination_port", "begun_ms"),
)
"""By which records lie in an hour's file: those of a port together, and alike ones, so that they pack well."""
MOST: Final = 1 << 22
"""Records of a run: half a gigabyte."""
_TOGETHER: Final = 1 << 18
"""Of a group."""
_TYPES: Final = {"BIGINT": "<i8", "UBIGINT": "<u8", "UINTEGER": "<u4", "USMALLINT": "<u2", "UTINYINT": "u1"}
_READ_AS: Final = {name: np.dtype(_TYPES.get(kind, "<u4")) for name, kind in COLUMNS.items()}
Arrays = Mapping[str, NDArray[Any]]


def pack(parts: Sequence[Path], into: BinaryIO, going: Callable[[], None], summing: Summing | None = None) -> None:
    """Write one file of all records of those, and sum them up. `going` is called again and again, and may raise what
    ends it. Raises OSError, Unreadable.
    """
    texts = {name: Numbers() for name in TEXTS}
    made, spare = Writer(into, COLUMNS, squeezed), _room(np.dtype(np.uint64))
    for run in _runs(parts, texts, going):
        known = {name: numbers.texts for name, numbers in texts.items()}
        rows = _arrange(run, known["port_id"], spare)
        for begin in range(0, rows, _TOGETHER):
            going()
            these = {name: values[begin : begin + _TOGETHER] for name, values in run.items()}
            if summing:
                summing.add(these)
            made.add({name: _column(values, known.get(name)) for name, values in these.items()})
    made.close()
    if summing:
        summing.texts = {name: numbers.texts for name, numbers in texts.items()}


def _runs(parts: Sequence[Path], texts: Mapping[str, Numbers], going: Callable[[], None]) -> Iterator[Arrays]:
    """The same memory each time, so it is cleared but once; and it is given back, as heaps keep what is freed."""
    room = {name: _room(kind) for name, kind in _READ_AS.items()}
    have = 0
    for path in parts:
        part = Part(path, _READ_AS, texts)
        for rows, chunks in part.groups():
            going()
            if have + rows > MOST:
                yield {name: values[:have] for name, values in room.items()}
                have = 0
            for name, chunk in chunks.items():
                part.read(chunk, name, room[name][have : have + rows])
            have += rows
    if have:
        yield {name: values[:have] for name, values in room.items()}


def _room(kind: np.dtype[Any]) -> NDArray[Any]:
    memory = mmap.mmap(-1, MOST * kind.itemsize)
    with suppress(OSError):  # A kernel may have none.
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, kind)


def _arrange(run: Arrays, ports: Sequence[str], spare: NDArray[np.uint64]) -> int:
    """All columns, in place. How many records they are."""
    ranks = np.empty(len(ports) + 1, np.uint32)
    ranks[sorted(range(len(ports)), key=ports.__getitem__)] = np.arange(len(ports), dtype=np.uint32)
    ranks[-1] = len(ports)
    port = ranks[np.minimum(run["port_id"], len(ports))]
    keys = [run[name].view(f"u{run[name].itemsize}") for name in ORDER[1:]]
    arrange([port, *keys], [values for name, values in run.items() if name not in ORDER[1:]], spare)
    return len(port)


def _column(values: NDArray[Any], texts: Sequence[str] | None) -> Column:
    """Of texts those that are used, in order, as a dictionary."""
    if texts is None:
        return values
    used = np.zeros(len(texts) + 1, bool)
    used[np.minimum(values, len(texts))] = True
    these = sorted(np.flatnonzero(used[:-1]).tolist(), key=texts.__getitem__)
    table = np.full(len(texts), -1, np.int32)
    table[these] = np.arange(len(these))
    return Coded(Known([texts[each] for each in these], True), table, values)
