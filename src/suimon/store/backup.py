"""A store as one file, and back: the same for every database, so that a backup also moves a store between them.

The file is JSON lines, compressed: a head, then for each table its name and columns and its rows, then how many rows
there were. Tokens and leases stay behind: who had one asks again. Behind that may be what others keep (`Besides`).
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import msgspec
from sqlalchemy import Connection, MetaData, delete, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from suimon.model.actor import SYSTEM
from suimon.model.settings import Settings
from suimon.store import schema, views
from suimon.store.dialect import Database, database
from suimon.store.errors import StoreError
from suimon.store.tables import JOIN_TOKENS, LEASES, META, METADATA, TOKENS
from suimon.store.tx import Context, Tx

_LEFT_OUT: Final = (TOKENS, JOIN_TOKENS, LEASES)
_PATIENCE_S: Final = 30.0
_ROWS_AT_ONCE: Final = 1000
_COMPRESSION: Final = 6
_DAMAGED: Final = "The file {} is no whole backup of Suimon: take another one."


class Head(msgspec.Struct, frozen=True, tag="suimon-backup", tag_field="what"):
    """The first line. `schema` is the last migration that the rows have been through."""

    schema: str
    store: str
    epoch: int
    revision: int
    taken_at: datetime


class Rows(msgspec.Struct, frozen=True, tag="table", tag_field="what"):
    """What the arrays after this line are."""

    table: str
    columns: list[str]


class End(msgspec.Struct, frozen=True, tag="end", tag_field="what"):
    """The last line."""

    rows: int


_LINE: Final = msgspec.json.Decoder(Head | Rows | End | list[Any])

Besides = Callable[[gzip.GzipFile], None]
"""Writes, or reads, lines of its own behind the store's."""


@contextmanager
def looking(url: str) -> Iterator[Tx]:
    """One state of the store, while controllers run; the database is left as it is. Raises StoreError."""
    source = database(url, _PATIENCE_S)
    if not source.shared and not Path(source.name).exists():
        raise StoreError(f"There is no database {source.name}.")
    with _connected(source) as connection:
        source.make_readonly(connection)
        source.begin_read(connection)
        if not schema.is_newest(connection, source):
            raise StoreError(f"The database {source.name} is none of this version: start a controller with it first.")
        yield Tx(connection, Context(datetime.now(UTC), SYSTEM, Settings()))
        source.rollback(connection)


def back_up(url: str, path: Path, besides: Besides | None = None) -> Head:
    """Write the file, which appears when it is whole. Raises StoreError, OSError, and what `besides` raises."""
    draft = path.with_name(f"{path.name}.partial")
    try:
        with looking(url) as tx, _private(draft) as file, gzip.GzipFile("", "wb", _COMPRESSION, file) as packed:
            head = Head(schema.NEWEST, *tx.position(), tx.now)
            _write(tx, head, packed)
            if besides:
                besides(packed)
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return head


def restore(url: str, path: Path, replace: bool = False, besides: Besides | None = None) -> Head:
    """Put the file's rows into the database, under a new epoch; all or nothing. Its head, with that epoch.

    `replace` gives up what the database holds. `besides` comes when the store is back and before a controller can be.
    Raises StoreError, also while a controller runs; OSError; what `besides` raises.
    """
    target = database(url, _PATIENCE_S)
    with path.open("rb") as file, gzip.open(file) as lines:
        head = _head(path, lines)
        target.claim(alone=True)
        try:
            with _connected(target) as connection:
                target.begin_write(connection)
                _make_room(connection, target, replace)
                schema.migrate(connection, target, head.schema)
                _load(connection, path, lines)
                if head.schema != schema.NEWEST:
                    schema.migrate(connection, target, schema.NEWEST)
                head = msgspec.structs.replace(head, epoch=max(head.epoch + 1, int(datetime.now(UTC).timestamp())))
                connection.execute(META.update().values(epoch=head.epoch))
                target.commit(connection)
            if besides:
                besides(lines)
        finally:
            target.release()
    return head


def _write(tx: Tx, head: Head, packed: gzip.GzipFile) -> None:
    encode = msgspec.json.Encoder().encode
    packed.write(encode(head) + b"\n")
    count = 0
    for table in METADATA.sorted_tables:
        if table not in _LEFT_OUT:
            packed.write(encode(Rows(str(table.name), list(map(str, table.columns.keys())))) + b"\n")
            for row in tx.rows(select(table), {}):
                packed.write(encode(list(row)) + b"\n")
                count += 1
    packed.write(encode(End(count)) + b"\n")


def _head(path: Path, lines: gzip.GzipFile) -> Head:
    try:
        head = _LINE.decode(lines.readline())
    except (OSError, EOFError, msgspec.MsgspecError):
        head = None
    if not isinstance(head, Head):
        raise StoreError(_DAMAGED.format(path))
    if head.schema > schema.NEWEST:
        raise StoreError(f"The backup {path} was made by a newer Suimon (schema {head.schema}): use that one.")
    return head


def _make_room(connection: Connection, target: Database, replace: bool) -> None:
    """An empty database: it is, or it is made so."""
    schema.is_newest(connection, target)
    there = MetaData()
    there.reflect(connection)
    if there.tables and not replace:
        raise StoreError(f"The database {target.name} holds a store already: --replace gives it up.")
    views.drop(connection)
    there.drop_all(connection)


def _load(connection: Connection, path: Path, lines: gzip.GzipFile) -> None:
    """Into tables of the backup's own version, emptied of what its migrations put there."""
    there = MetaData()
    there.reflect(connection)
    for table in reversed(there.sorted_tables):
        if table.name != "alembic_version":
            connection.execute(delete(table))
    count, table_rows = 0, None
    waiting: list[dict[str, Any]] = []
    try:
        for line in map(_LINE.decode, lines):
            if isinstance(line, list) and table_rows is not None:
                waiting.append(dict(zip(table_rows.columns, line, strict=True)))
                count += 1
            if waiting and (not isinstance(line, list) or len(waiting) == _ROWS_AT_ONCE):
                assert table_rows is not None
                connection.execute(insert(there.tables[table_rows.table]), waiting)
                waiting = []
            if isinstance(line, Rows):
                table_rows = line
            if isinstance(line, End) and line.rows == count:
                return
    except (OSError, EOFError, KeyError, ValueError, IntegrityError, msgspec.MsgspecError) as error:
        raise StoreError(_DAMAGED.format(path)) from error
    raise StoreError(_DAMAGED.format(path))


@contextmanager
def _connected(to: Database) -> Iterator[Connection]:
    """Undone and closed in the end."""
    try:
        connection = to.connect()
        try:
            yield connection
        finally:
            to.rollback(connection)
            connection.close()
    except DBAPIError as error:
        raise to.opening_error(error) from error


@contextmanager
def _private(path: Path) -> Iterator[IO[bytes]]:
    """A new file of the caller's only, on the disk in the end."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
