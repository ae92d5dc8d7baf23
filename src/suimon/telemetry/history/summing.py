"""What an hour's records come to while they are packed, in C (summing.c): the same rows as `summaries.sum_up` makes.

Without a compiler, and of hours that are packed already, DuckDB sums up.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from suimon.model.compiled import AT, NUMBER, Function, library, place
from suimon.telemetry.history.columns import COLUMNS, TEXTS
from suimon.telemetry.history.engine import HOUR_S
from suimon.telemetry.history.packing import arrange, squeezed
from suimon.telemetry.history.parquet import Coded, Column, Known, Writer
from suimon.telemetry.history.parts import NONE
from suimon.telemetry.history.summaries import KINDS, WORTH, name_of

_RECORDS: Final = (
    *("begun_ms", "duration_ms", "exporter", "ip_version", "protocol", "direction", "source_high", "source_low"),
    *("destination_high", "destination_low", "source_port", "destination_port", "packets", "bytes", "sampling"),
    *("port_id", "project_id", "network_id", "host"),
)
"""As C has them."""
_HOUR_MS: Final = HOUR_S * 1000
_HOURS_BITS: Final = 11
_WORDS: Final = (4, 2, 2, 4, 4)
"""Of 64 bits, in which rows of each kind differ."""
_SUMS: Final = ("sum_packets", "sum_bytes", "sum_records", "sum_sampled", "sum_unscaled")
_FIRST: Final = 1 << 12
_MOST: Final = 1 << 21
"""Rows of a kind, which then is left out: who makes addresses up chooses how many there are."""
_KEYS: Final = tuple(name for name in COLUMNS if any(name in kind for kind in KINDS))
_WRITTEN: Final = {
    **{"kind": "VARCHAR", **{name: COLUMNS[name] for name in _KEYS}, "begun_ms": "BIGINT", "duration_ms": "BIGINT"},
    **{name: "DOUBLE" if name in _SUMS[:2] else "BIGINT" for name in _SUMS},
}
_TYPES: Final = {"UTINYINT": "u1", "USMALLINT": "<u2", "UBIGINT": "<u8", "BIGINT": "<i8", "DOUBLE": "<f8"}
_TOGETHER: Final = 1 << 17

Arrays = Mapping[str, NDArray[Any]]


class Summing:
    """Of one hour: texts are numbers, 2^32 - 1 for none."""

    def __init__(self) -> None:
        self._odd = np.random.default_rng().integers(1 << 63, size=max(_WORDS), dtype=np.uint64) << np.uint64(
            1
        ) | np.uint64(1)
        self._tables = {kind: _Table(words) for kind, words in zip(KINDS, _WORDS, strict=True)}
        self._records = 0
        self.texts: Mapping[str, Sequence[str]] = {}
        """By column, of those numbers; before `write`."""

    def add(self, records: Arrays) -> None:
        plain = [np.ascontiguousarray(records[name]) for name in _RECORDS]
        places = np.array([*map(place, plain)], np.int64)
        self._records += len(plain[0])
        for number, kind in enumerate(KINDS):
            table = self._tables.get(kind)
            if table and not table.add(place(places), len(plain[0]), number, self._odd):
                del self._tables[kind]

    def write(self, into: BinaryIO) -> None:
        """The kinds that are worth it. May raise OSError."""
        made = Writer(into, _WRITTEN, squeezed)
        for kind, table in self._tables.items():
            if 0 < table.many * WORTH <= self._records:
                columns = self._columns(kind, table.rows)
                for begin in range(0, table.many, _TOGETHER):
                    made.add({name: _part(column, begin) for name, column in columns.items()})
        made.close()

    def _columns(self, kind: tuple[str, ...], rows: NDArray[np.uint64]) -> dict[str, Column]:
        """In order, so that they pack well; those that aren't of the kind are empty."""
        said = _said(kind, rows)
        many, spare = len(rows), np.empty(len(rows), np.uint64)
        keys = [np.ascontiguousarray(said[name], np.uint64) for name in (*kind, "begun_ms", "duration_ms")]
        sums = [np.ascontiguousarray(rows[:, n - len(_SUMS)]) for n in range(len(_SUMS))]
        arrange(keys, sums, spare)
        made: dict[str, Column] = {"kind": Coded(Known([name_of(kind)], True), np.zeros(1, np.int32), _zeros(many))}
        for name, values in zip((*kind, "begun_ms", "duration_ms"), keys, strict=True):
            made[name] = self._text(name, values) if name in TEXTS else values.astype(_TYPES[_WRITTEN[name]])
        for name, values in zip(_SUMS, sums, strict=True):
            made[name] = values.view(_TYPES[_WRITTEN[name]])
        for name in _KEYS:
            if name not in made:
                none = Coded(Known(()), np.empty(0, np.int32), _zeros(many)) if name in TEXTS else None
                made[name] = none or np.zeros(many, _TYPES[_WRITTEN[name]])
        return made

    def _text(self, name: str, numbers: NDArray[np.uint64]) -> Coded:
        texts = self.texts[name]
        return Coded(Known(texts), np.arange(len(texts), dtype=np.int32), numbers.astype(np.uint32))


class _Table:
    """Rows of so many words, with their sums, as C has them; the more there are, the more there is room for."""

    def __init__(self, words: int) -> None:
        self._words, self._rows = words, np.empty((_FIRST, words + len(_SUMS)), np.uint64)
        self._slots = np.full(2 * _FIRST, NONE, np.uint32)
        self._said = np.zeros(5, np.int64)
        self._say()

    @property
    def many(self) -> int:
        return int(self._said[3])

    @property
    def rows(self) -> NDArray[np.uint64]:
        return self._rows[: self.many]

    def add(self, places: int, count: int, kind: int, odd: NDArray[np.uint64]) -> bool:
        """So many records. False: they have no room."""
        assert _LIBRARY is not None
        done = 0
        while (done := _LIBRARY.suimon_summed(places, done, count, kind, place(self._said), place(odd))) < count:
            if len(self._rows) >= _MOST:
                return False
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
            self._slots = np.full(2 * len(self._rows), NONE, np.uint32)
            self._say()
            _LIBRARY.suimon_placed(place(self._said), self._words, place(odd))
        return True

    def _say(self) -> None:
        bits = len(self._slots).bit_length() - 1
        self._said[:] = place(self._rows), place(self._slots), bits, self.many, len(self._rows)


def _said(kind: tuple[str, ...], rows: NDArray[np.uint64]) -> dict[str, NDArray[np.uint64]]:
    """What is in their words, by column."""
    times, alike = rows[:, 0], rows[:, 1]
    begun_h, lasted_h = times >> np.uint64(_HOURS_BITS), times & np.uint64((1 << _HOURS_BITS) - 1)
    said = {"begun_ms": begun_h * np.uint64(_HOUR_MS), "duration_ms": lasted_h * np.uint64(_HOUR_MS)}
    if len(kind) == 3:
        names = ((kind[2], 16), ("protocol", 8), ("direction", 8))
    else:
        names = (("ip_version", 8), ("protocol", 8), ("direction", 8))
    at = 0
    for name, bits in names:
        said[name] = alike >> np.uint64(at) & np.uint64((1 << bits) - 1)
        at += bits
    if "port_id" in kind:
        half = np.uint64(32)
        said |= {"exporter": alike >> half, "port_id": rows[:, 2] >> half, "network_id": rows[:, 3] >> half}
        said |= {"project_id": rows[:, 2] & np.uint64(NONE), "host": rows[:, 3] & np.uint64(NONE)}
    elif len(kind) == 5:
        said |= {name: rows[:, 2 + n] for n, name in enumerate(kind[3:])}
    return said


def _part(column: Column, begin: int) -> Column:
    end = begin + _TOGETHER
    return column._replace(keys=column.keys[begin:end]) if isinstance(column, Coded) else column[begin:end]


def _zeros(many: int) -> NDArray[np.uint32]:
    return np.zeros(many, np.uint32)


_FUNCTIONS: Final = {
    "suimon_summed": Function((AT, NUMBER, NUMBER, NUMBER, AT, AT), NUMBER),
    "suimon_placed": Function((AT, NUMBER, AT)),
}


def _loaded(folder: str) -> ctypes.CDLL | None:
    return library(folder, __file__, _FUNCTIONS)


_LIBRARY = _loaded(__file__.rpartition("/")[0])


def ready() -> bool:
    """Whether there is what summing up needs."""
    return _LIBRARY is not None
