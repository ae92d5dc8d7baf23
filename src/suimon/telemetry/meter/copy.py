"""What was metered in a backup: lines behind the store's own, which a reader of the store alone never gets to."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import Connection, LargeBinary, Table, delete, insert, select, text

from suimon.store.backup import End, Rows
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.tables import HEADS, METADATA

_ROWS_AT_ONCE: Final = 500
_LINE: Final = msgspec.json.Decoder(Rows | End | list[Any])


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class CopyError(Exception):
    """It can't be put back; str() says why."""


def write(database: Database, packed: Writable) -> int:
    """One state of all there is, while controllers run. How many rows that were. Raises `database.Trouble`."""
    encode, count = msgspec.json.Encoder().encode, 0
    with database.transaction(reading=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        for table in METADATA.sorted_tables:
            packed.write(encode(Rows(str(table.name), list(map(str, table.columns.keys())))) + b"\n")
            for row in connection.execute(select(table).execution_options(yield_per=_ROWS_AT_ONCE)):
                packed.write(encode(list(row)) + b"\n")
                count += 1
    packed.write(encode(End(count)) + b"\n")
    return count


def put_back(database: Database, lines: Iterator[bytes]) -> int:
    """Put the rows in place of what there is, all or none. How many; of a backup without any, none, and what there is
    stays. Raises CopyError, `database.Trouble`.
    """
    try:
        first = next(lines, None)
        if first is None:
            return 0
        with database.transaction() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(delete(table))
            return _load(connection, first, lines)
    except (EOFError, KeyError, ValueError, msgspec.MsgspecError) as error:
        raise CopyError(f"what it has of metering is damaged ({type(error).__name__})") from error


def _load(connection: Connection, first: bytes, lines: Iterator[bytes]) -> int:
    count, table, names, waiting = 0, HEADS, list[str](), list[dict[str, Any]]()
    packed: set[str] = set()
    line: Rows | End | list[Any] = _LINE.decode(first)
    while True:
        if isinstance(line, list):
            pairs = zip(names, line, strict=True)
            waiting.append({name: b64decode(value) if name in packed else value for name, value in pairs})
            count += 1
        if waiting and (not isinstance(line, list) or len(waiting) == _ROWS_AT_ONCE):
            connection.execute(insert(table), waiting)
            waiting = []
        if isinstance(line, Rows):
            table, names = METADATA.tables[line.table], line.columns
            packed = _packed(table)
        if isinstance(line, End):
            if line.rows != count:
                raise ValueError("rows are missing")
            return count
        following = next(lines, None)
        if following is None:
            raise EOFError
        line = _LINE.decode(following)


def _packed(table: Table) -> set[str]:
    """Columns of bytes, which JSON has as base64."""
    return {str(column.name) for column in table.columns if isinstance(column.type, LargeBinary)}
