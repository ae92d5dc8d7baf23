"""Parquet files of columns, written by ourselves: https://parquet.apache.org/docs/file-format.

Numbers become differences in as few bits as a block of them needs (DELTA_BINARY_PACKED), what has few values a
dictionary and indexes into it. Nothing is compressed beyond that, which would save little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.model.loops import deltas, distinct, packed, uleb

_MAGIC: Final = b"PAR1"
_INT32, _INT64, _BYTE_ARRAY = 1, 2, 6
_KINDS: Final = {
    "BIGINT": (_INT64, 18),
    "UBIGINT": (_INT64, 14),
    "UINTEGER": (_INT32, 13),
    "USMALLINT": (_INT32, 12),
    "UTINYINT": (_INT32, 11),
    "VARCHAR": (_BYTE_ARRAY, 0),
}
"""For DuckDB's types those of the file, and what is meant by them (ConvertedType)."""
_PLAIN, _RLE, _DELTAS, _DICTIONARY = 0, 3, 5, 8
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_UNCOMPRESSED: Final = 0
_FEW: Final = 4096
"""So many different numbers of a part are a dictionary: they are read several times faster than differences."""


class Coded(NamedTuple):
    """A column of few different values: for each row which of the `known` it is, -1 for null."""

    known: Sequence[str] | NDArray[Any]
    which: NDArray[np.int64]


Column = NDArray[Any] | Coded


class Writer:
    """A file of these columns, by their DuckDB types. What it writes to may raise OSError."""

    def __init__(self, file: BinaryIO, kinds: Mapping[str, str]) -> None:
        self._file, self._kinds = file, kinds
        self._groups: list[dict[int, Any]] = []
        self._rows, self._at = 0, 0
        self._put(_MAGIC)

    def add(self, columns: Mapping[str, Column]) -> None:
        """Rows that are read together; all columns, of one length."""
        began, rows = self._at, 0
        chunks = []
        for name, kind in self._kinds.items():
            column = columns[name]
            rows = len(column.which if isinstance(column, Coded) else column)
            chunks.append(self._chunk(name, kind, column))
        self._groups.append({1: chunks, 2: _Long(self._at - began), 3: _Long(rows)})
        self._rows += rows

    def close(self) -> None:
        """What is in it: without this nothing is."""
        leaves = [
            {1: _KINDS[kind][0], 3: int(kind == "VARCHAR"), 4: name.encode(), 6: _KINDS[kind][1]}
            for name, kind in self._kinds.items()
        ]
        schema = [{4: b"suimon", 5: len(leaves)}, *leaves]
        order: list[dict[int, Any]] = [{1: {}}] * len(leaves)
        said = _struct({1: 2, 2: schema, 3: _Long(self._rows), 4: self._groups, 6: b"suimon", 7: order})
        self._put(said, len(said).to_bytes(4, "little"), _MAGIC)

    def _put(self, *pieces: bytes) -> None:
        for each in pieces:
            self._file.write(each)
            self._at += len(each)

    def _chunk(self, name: str, kind: str, column: Column) -> dict[int, Any]:
        """Its pages are written; what the file's end says of it is returned."""
        physical, began = _KINDS[kind][0], self._at
        extremes = {} if isinstance(column, Coded) else {12: _extremes(column, physical)}
        if not isinstance(column, Coded) and (found := distinct(column, _FEW)) is not None:
            first, which = found
            column = Coded(column[first], which)
        said: dict[int, Any] = {1: physical, 3: [name.encode()], 4: _UNCOMPRESSED, **extremes}
        if isinstance(column, Coded):
            rows = len(column.which)
            known = _plain(column.known, physical)
            self._page(_DICTIONARY_PAGE, known, {7: {1: len(column.known), 2: _PLAIN}})
            said |= {2: [_PLAIN, _RLE, _DICTIONARY], 9: _Long(self._at), 11: _Long(began)}
            page = _indexes(column, nullable=kind == "VARCHAR")
            self._page(_DATA_PAGE, page, {5: {1: rows, 2: _DICTIONARY, 3: _RLE, 4: _RLE}})
        else:
            rows = len(column)
            said |= {2: [_DELTAS], 9: _Long(began)}
            page = deltas(column, 32 if physical == _INT32 else 64)
            self._page(_DATA_PAGE, page, {5: {1: rows, 2: _DELTAS, 3: _RLE, 4: _RLE}})
        size = _Long(self._at - began)
        said |= {5: _Long(rows), 6: size, 7: size}
        return {2: _Long(began), 3: dict(sorted(said.items()))}

    def _page(self, kind: int, page: bytes, about: dict[int, Any]) -> None:
        self._put(_struct({1: kind, 2: len(page), 3: len(page), **about}), page)


def _extremes(column: NDArray[Any], physical: int) -> dict[int, Any]:
    """The greatest and the least, by which DuckDB leaves a part unread."""
    if not len(column):
        return {}
    kind = f"<{column.dtype.kind}{4 if physical == _INT32 else 8}"
    return {3: _Long(0), 5: column.max().astype(kind).tobytes(), 6: column.min().astype(kind).tobytes()}


def _plain(known: Sequence[str] | NDArray[Any], physical: int) -> bytes:
    if physical == _BYTE_ARRAY:
        texts = (str(each).encode() for each in known)
        return b"".join(len(each).to_bytes(4, "little") + each for each in texts)
    return np.asarray(known, "<i4" if physical == _INT32 else "<i8").tobytes()


def _indexes(column: Coded, *, nullable: bool) -> bytes:
    """Which rows have a value, if any may have none; then those that do as bits, in one run."""
    index, levels = column.which, b""
    if nullable:
        there = index >= 0
        if there.all():
            levels = uleb(len(there) << 1) + b"\1"
        else:
            bits = np.packbits(there, bitorder="little").tobytes()
            levels = uleb(len(bits) << 1 | 1) + bits
            index = index[there]
        levels = len(levels).to_bytes(4, "little") + levels
    width = max(len(column.known) - 1, 1).bit_length()
    groups = -(-len(index) // 8)
    return levels + bytes([width]) + uleb(groups << 1 | 1) + packed(index, width)


class _Long(int):
    """What has 64 bits where the format says so."""


def _struct(fields: Mapping[int, Any]) -> bytes:
    """Thrift's compact protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md."""
    made, last = b"", 0
    for number, value in fields.items():
        kind, body = _value(value)
        made += bytes([(number - last) << 4 | kind]) + body
        last = number
    return made + b"\0"


def _value(value: Any) -> tuple[int, bytes]:
    match value:
        case int():
            return 6 if isinstance(value, _Long) else 5, uleb(value << 1)  # None is negative.
        case bytes():
            return 8, uleb(len(value)) + value
        case list():
            parts = [_value(each) for each in value]
            kind = parts[0][0] if parts else 12
            head = bytes([len(parts) << 4 | kind]) if len(parts) < 15 else bytes([0xF0 | kind]) + uleb(len(parts))
            return 9, head + b"".join(body for _, body in parts)
        case _:
            return 12, _struct(value)
