"""Records as a block of ClickHouse's Native format: columns one after the other, as they lie in memory.

https://clickhouse.com/docs/interfaces/formats/Native: numbers of columns and rows, then of each column its name, its
type and its values, all lengths as unsigned LEB128.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from suimon.telemetry.history.columns import COLUMNS, Texts, stored
from suimon.telemetry.history.engine import Lot
from suimon.telemetry.history.parquet import Coded, Column

_KINDS: Final = {
    "BIGINT": ("Int64", "<i8"),
    "UINTEGER": ("UInt32", "<u4"),
    "UTINYINT": ("UInt8", "<u1"),
    "UBIGINT": ("UInt64", "<u8"),
    "USMALLINT": ("UInt16", "<u2"),
    "VARCHAR": ("String", ""),
}
"""ClickHouse's types and numpy's, by DuckDB's."""
TYPES: Final = {name: _KINDS[kind][0] for name, kind in COLUMNS.items()}
_EMPTY: Final = b"\0"


def blocks(lot: Lot, most_rows: int, same: Mapping[str, int | str]) -> Iterator[bytes]:
    """`same` are columns (UInt64, String) that say the same of all records, besides `part`, the number of the block."""
    for part, piece in enumerate(stored(lot, Texts(), most_rows)):
        rows = len(piece["begun_ms"])
        constant = ((name, *_repeated(value, rows)) for name, value in {"part": part, **same}.items())
        columns = [_column(*each) for each in (*constant, *_columns(piece))]
        yield b"".join([_leb128(len(columns)), _leb128(rows), *columns])


def _columns(piece: Mapping[str, Column]) -> Iterator[tuple[str, str, bytes]]:
    for name, values in piece.items():
        kind, numbers = _KINDS[COLUMNS[name]]
        if isinstance(values, Coded):
            # The last is what -1 finds.
            known = np.array([*map(_text, values.known.texts), _EMPTY], object)
            yield name, kind, b"".join(known[values.which].tolist())
        else:
            yield name, kind, np.asarray(values).astype(numbers, copy=False).tobytes()


def _repeated(value: int | str, rows: int) -> tuple[str, bytes]:
    if isinstance(value, int):
        return "UInt64", np.full(rows, value, "<u8").tobytes()
    return "String", _text(value) * rows


def _column(name: str, kind: str, values: bytes) -> bytes:
    return _text(name) + _text(kind) + values


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _leb128(len(encoded)) + encoded


def _leb128(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)
