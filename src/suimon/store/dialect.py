"""What the store needs of a database, and which one a URL names. What differs is in `sqlite` and `postgresql`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import URL, BigInteger, Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from suimon.store.errors import StoreError
from suimon.store.postgresql import PostgreSql
from suimon.store.postgresql import caller_error as postgresql_error
from suimon.store.sqlite import Sqlite
from suimon.store.sqlite import caller_error as sqlite_error

Trace = Callable[[str], None]
Look = Callable[[Connection], None]
Heard = Callable[[str], None]


class Database(Protocol):
    """One database: connections that begin nothing by themselves, and the words that differ.

    `shared`: other processes may write it while we do. `name` is how messages call it, without a password.
    """

    shared: bool
    name: str

    def claim(self, *, alone: bool = False) -> None:
        """Say that we use it, until `release`. Raises StoreError when that can't be; `alone`: when anybody does."""

    def release(self) -> None:
        """Others may have it."""

    def connect(self) -> Connection:
        """A connection in which transactions are ours to say. Raises DBAPIError."""

    def make_readonly(self, connection: Connection) -> None:
        """A connection that a forgotten write fails on."""

    def trace(self, connection: Connection, callback: Trace | None) -> None:
        """Call back with each statement that is executed, BEGIN and COMMIT included, cascades and triggers not."""

    def begin_read(self, connection: Connection) -> None:
        """From here on the connection sees one state of the database."""

    def begin_write(self, connection: Connection) -> None:
        """The one writing transaction of now: what it reads can't change before it writes."""

    def commit(self, connection: Connection) -> None:
        """Durable when this returns."""

    def rollback(self, connection: Connection) -> None:
        """Also when the database ended the transaction by itself, or is gone."""

    def is_lost(self, connection: Connection) -> bool:
        """Whether the connection will never answer again."""

    def watch(self, look: Look, heard: Heard, fallback_s: float) -> None:
        """Until `release`, call `look` from a thread after commits of others, and once in `fallback_s` in any case;
        and `heard` with what anybody tells, ourselves included.
        """

    def tell(self, connection: Connection, message: str) -> None:
        """To all who watch the database now."""

    def settle(self, connection: Connection) -> None:
        """After a migration, in its transaction: what no migration has to know about."""

    def opening_error(self, error: Exception) -> StoreError:
        """Why it can't be opened, in one sentence."""


def database(url: str, patience_s: float) -> Database:
    """The database behind a URL; it is opened by its methods. Raises StoreError for a URL that names none."""
    parsed = parsed_url(url)
    if parsed.get_backend_name() == "postgresql":
        return PostgreSql(parsed.set(drivername="postgresql+psycopg"), patience_s)
    return Sqlite(parsed, patience_s)


def parsed_url(url: str) -> URL:
    """Raises StoreError, whose message doesn't repeat what may be a password."""
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError("A database is named as sqlite:////path/to/file or postgresql://user@host/database.")
    return parsed


class DatabaseClockMs(FunctionElement[int]):
    """In a statement: what time it is by the database's clock, in milliseconds since 1970."""

    type = BigInteger()
    inherit_cache = True


@compiles(DatabaseClockMs, "sqlite")
def _sqlite_clock(*_: Any, **__: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(DatabaseClockMs, "postgresql")
def _postgresql_clock(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


def caller_error(error: DBAPIError) -> Exception:
    """What a database error means to the caller; itself when it is ours."""
    return (postgresql_error if type(error.orig).__module__.startswith("psycopg") else sqlite_error)(error)
