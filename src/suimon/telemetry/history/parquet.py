"""Parquet files of columns, written by ourselves: https://parquet.apache.org/docs/file-format.

Numbers become differences in as few bits as a block of them needs (DELTA_BINARY_PACKED), what has few values a
dictionary and indexes into it (`pages`). What is in no order is not compressed beyond that, which would save little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.telemetry.history import pages
from suimon.telemetry.history.pages import Bytes, Which, deltas, look, packed, told, uleb

_MAGIC: Final = b"PAR1"
_INT32, _INT64, _DOUBLE, _BYTE_ARRAY = 1, 2, 5, 6
_KINDS: Final = {
    "BIGINT": (_INT64, 18),
    "UBIGINT": (_INT64, 14),
    "UINTEGER": (_INT32, 13),
    "USMALLINT": (_INT32, 12),
    "UTINYINT": (_INT32, 11),
    "DOUBLE": (_DOUBLE, None),
    "VARCHAR": (_BYTE_ARRAY, 0),
}
"""For DuckDB's types those of the file, and what is meant by them (ConvertedType). Doubles are none below zero."""
_PLAIN, _RLE, _DELTAS, _DICTIONARY = 0, 3, 5, 8
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_GATHERED_BYTES: Final = 8 << 20
"""More than a part of 131,072 records takes, and no more of it is touched."""
_UNCOMPRESSED, _ZSTD = 0, 6


class Known:
    """Different texts; if `ordered` and all are used, a part with others may be left unread."""

    def __init__(self, texts: Sequence[str], ordered: bool = False) -> None:
        self.texts, self.ordered = texts, ordered

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def page(self) -> bytes:
        """As a dictionary has them."""
        every = [str(each).encode() for each in self.texts]
        return b"".join(part for each in every for part in (len(each).to_bytes(4, "little"), each))


class Coded(NamedTuple):
    """A column of few different texts: a row's key says where in the table stands which of the `known` it is, -1 for
    null. A key beyond the table is null, too; keys have 32 bits.
    """

    known: Known
    table: NDArray[np.int32]
    keys: NDArray[Any]

    @property
    def which(self) -> NDArray[np.int32]:
        """Of each row."""
        return np.append(self.table, np.int32(-1))[np.minimum(self.keys.view(np.uint32), len(self.table))]


Column = NDArray[Any] | Coded


class Writer:
    """A file of these columns, by their DuckDB types. What it writes to may raise OSError. Pages are what `squeezed`
    makes of them, by zstd.
    """

    def __init__(
        self, file: BinaryIO, kinds: Mapping[str, str], squeezed: Callable[[Sequence[Bytes]], bytes] | None = None
    ) -> None:
        self._file, self._kinds, self._squeezed = file, kinds, squeezed
        self._groups: list[_Struct] = []
        self._rows, self._at = 0, 0
        self._gathered, self._filled = np.empty(0, np.uint8), 0
        """What is to be written: the kernel takes millions of bytes at once for less than many pieces of them."""
        self._put(_MAGIC)

    def add(self, columns: Mapping[str, Column]) -> None:
        """Rows that are read together; all columns, of one length."""
        began, rows = self._at, 0
        chunks = []
        for name, kind in self._kinds.items():
            column = columns[name]
            rows = len(column.keys if isinstance(column, Coded) else column)
            chunks.append(self._chunk(name, kind, column))
        self._flush()
        self._groups.append(_Struct(_struct({1: chunks, 2: _Long(self._at - began), 3: _Long(rows)})))
        self._rows += rows

    def close(self) -> None:
        """What is in it: without this nothing is."""
        schema, order = _schema(tuple(self._kinds.items()))
        said = _struct({1: 2, 2: schema, 3: _Long(self._rows), 4: self._groups, 6: b"suimon", 7: order})
        self._put(said, len(said).to_bytes(4, "little"), _MAGIC)

    def _room(self, wanted: int) -> NDArray[np.uint8]:
        """For so many bytes at least, behind those that are to be written."""
        if self._filled + wanted > len(self._gathered):
            self._flush()
            if wanted > len(self._gathered):
                self._gathered = np.empty(max(wanted, _GATHERED_BYTES), np.uint8)
        return self._gathered[self._filled :]

    def _flush(self) -> None:
        if self._filled:
            self._file.write(self._gathered[: self._filled].data)
            self._filled = 0

    def _put(self, *pieces: Bytes) -> None:
        self._flush()
        for each in pieces:
            self._file.write(each)
            self._at += len(each)

    def _chunk(self, name: str, kind: str, column: Column) -> _Struct:
        """Its pages are written; what the file's end says of it is returned."""
        of = pages.Of(name.encode(), _KINDS[kind][0], self._at)
        ordered = isinstance(column, Coded) and column.known.ordered
        if self._squeezed or ordered or of.physical == _DOUBLE or not pages.compiled():
            return self._chunk_page_by_page(of, column)
        if isinstance(column, Coded):
            texts = pages.Texts(len(column.known), column.known.page, column.table)
            made = pages.chunk_of_texts(
                of, texts, column.keys, self._room(pages.room(of, len(column.keys), texts.page))
            )
        else:
            made = pages.chunk_of_numbers(of, column, self._room(pages.room(of, len(column))))
        self._filled += made.length
        self._at += made.length
        return _Struct(made.about)

    def _chunk_page_by_page(self, of: pages.Of, column: Column) -> _Struct:
        """The same of any column, squeezed too, without a compiler too."""
        (name, physical, began), saved = of, 0
        made = _texts(column) if isinstance(column, Coded) else _numbers(column, physical)
        codec = _ZSTD if self._squeezed else _UNCOMPRESSED
        said: dict[int, Any] = {1: physical, 3: [name], 4: codec, 5: _Long(made.rows), **made.said}
        if made.known is not None:
            saved += self._page(_DICTIONARY_PAGE, (made.known,), {7: {1: made.different, 2: _PLAIN}})
            said |= {2: [_PLAIN, _RLE, _DICTIONARY], 11: _Long(began)}
        else:
            said |= {2: [_PLAIN if physical == _DOUBLE else _DELTAS]}
        encoding = _DICTIONARY if made.known is not None else said[2][0]
        said[9] = _Long(self._at)
        saved += self._page(_DATA_PAGE, made.page, {5: {1: made.rows, 2: encoding, 3: _RLE, 4: _RLE}})
        said[6], said[7] = _Long(self._at - began + saved), _Long(self._at - began)
        return _Struct(_struct({2: _Long(began), 3: dict(sorted(said.items()))}))

    def _page(self, kind: int, page: Sequence[Bytes], about: dict[int, Any]) -> int:
        """Returns how many bytes were saved."""
        size, written = sum(map(len, page)), (self._squeezed(page),) if self._squeezed else page
        left = sum(map(len, written))
        self._put(_struct({1: kind, 2: size, 3: left, **about}), *written)
        return size - left


class _Made(NamedTuple):
    """The pages of a column, `known` that of its dictionary, if it has one of so many `different`; and statistics."""

    rows: int
    page: Sequence[Bytes]
    known: bytes | None
    different: int
    said: dict[int, Any]


def _texts(column: Coded) -> _Made:
    """Which rows have a text; then those that do."""
    which, there = told(column.keys, column.table)
    if len(which) == len(there):
        levels = uleb(len(there) << 1) + b"\1"
    else:
        bits = np.packbits(there, bitorder="little").tobytes()
        levels = uleb(len(bits) << 1 | 1) + bits
    page = len(levels).to_bytes(4, "little"), levels, *_indexes(which, len(which), len(column.known))
    said: dict[int, Any] = {}
    if column.known.ordered and column.known.texts:
        ends = (column.known.texts[at].encode() for at in (-1, 0))
        said = {12: dict(zip((3, 5, 6), (_Long(len(there) - len(which)), *ends), strict=True))}
    return _Made(len(there), page, column.known.page, len(column.known), said)


def _numbers(column: NDArray[Any], physical: int) -> _Made:
    size = 4 if physical == _INT32 else 8
    if physical == _DOUBLE:
        column = column.view(np.uint64)  # In the same order.
    found = look(column)
    # The greatest and the least, by which DuckDB leaves a part unread.
    ends = (each.to_bytes(8, "little")[:size] for each in (found.greatest, found.least))
    said = {12: dict(zip((3, 5, 6), (_Long(0), *ends), strict=True))}
    if found.known is None:
        page = column.astype("<u8").tobytes() if physical == _DOUBLE else deltas(column)
        return _Made(len(column), (page,), None, 0, said)
    known = found.known.astype(f"<u{size}").tobytes()
    return _Made(len(column), _indexes(found.which, len(column), len(found.known)), known, len(found.known), said)


def _indexes(which: Which, rows: int, different: int) -> Sequence[Bytes]:
    """As bits, in one run; or that all are the first."""
    width = max(different - 1, 1).bit_length()
    if different == 1:
        return (bytes([width]) + uleb(rows << 1) + b"\0",)
    return bytes([width]) + uleb(-(-rows // 8) << 1 | 1), packed(which, width)


@cache
def _schema(kinds: tuple[tuple[str, str], ...]) -> tuple[list[_Struct], list[_Struct]]:
    """Of these columns; and that numbers are in the order of their types."""
    leaves = []
    for name, kind in kinds:
        physical, meant = _KINDS[kind]
        leaf: dict[int, Any] = {1: physical, 3: int(kind == "VARCHAR"), 4: name.encode()}
        leaves.append(leaf if meant is None else {**leaf, 6: meant})
    schema: list[dict[int, Any]] = [{4: b"suimon", 5: len(leaves)}, *leaves]
    return [_Struct(_struct(each)) for each in schema], [_Struct(_struct({1: {}}))] * len(leaves)


class _Struct(bytes):
    """One that is written out."""


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
        case _Struct():
            return 12, value
        case bytes():
            return 8, uleb(len(value)) + value
        case list():
            parts = [_value(each) for each in value]
            kind = parts[0][0] if parts else 12
            head = bytes([len(parts) << 4 | kind]) if len(parts) < 15 else bytes([0xF0 | kind]) + uleb(len(parts))
            return 9, head + b"".join(body for _, body in parts)
        case _:
            return 12, _struct(value)
