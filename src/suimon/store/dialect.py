"""The only file that knows which database it is: connections, locking, transactions, error texts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from suimon.model.errors import Unavailable
from suimon.store.errors import StoreError, Taken

Trace = Callable[[str], None]
_DISK_TROUBLE: Final = {
    "full": "The disk under the database is full.",
    "disk I/O error": "The disk under the database fails.",
}
"""By SQLite's words, ours."""


def database_file(url: str) -> Path:
    """The file behind a SQLite URL. Raises StoreError for any other URL, and for a database in memory."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise StoreError(f"The store needs a SQLite file (sqlite:////path/to/file), which {url!r} is not.")
    return Path(parsed.database).absolute()


def keep_private(path: Path) -> None:
    """The file, made if there is none, and those beside it are its owner's only, also if a copy was put there by hand.

    SQLite gives the log and the shared memory the file's own mode: so it has to be right before they are made.
    """
    path.touch(0o600)
    for each in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        with suppress(FileNotFoundError):
            each.chmod(0o600)


def make_engine(path: Path, busy_timeout_s: float) -> Engine:
    """An engine whose connections begin nothing by themselves: transactions are ours to say.

    Its errors don't repeat a statement's values: they end up in logs, and some are hashes of passwords and tokens.
    """
    engine = create_engine(
        f"sqlite:///{path}",
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": busy_timeout_s, "cached_statements": 512},
    )
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    """WAL lets readers go on while one writes; FULL makes a commit durable (sqlite.org/pragma.html)."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")


def make_readonly(connection: Connection) -> None:
    """A connection that a forgotten write fails on."""
    connection.exec_driver_sql("PRAGMA query_only=ON")


def trace(connection: Connection, callback: Trace | None) -> None:
    """Call back with each statement that the driver executes, BEGIN and COMMIT included, cascades and triggers not."""

    def heard(statement: str) -> None:
        if callback and not statement.startswith("--"):
            callback(statement)

    _driver_connection(connection).set_trace_callback(heard if callback else None)


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.driver_connection


def begin_read(connection: Connection) -> None:
    """From here on the connection sees one state of the database."""
    connection.exec_driver_sql("BEGIN")


def begin_write(connection: Connection) -> None:
    """Take the write lock first, so that what the act reads can't change before it writes."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def commit(connection: Connection) -> None:
    """Durable when this returns."""
    connection.exec_driver_sql("COMMIT")


def rollback(connection: Connection) -> None:
    """Also when the database ended the transaction by itself."""
    if _driver_connection(connection).in_transaction:
        connection.exec_driver_sql("ROLLBACK")


def caller_error(error: DBAPIError) -> Exception:
    """What a database error means to the caller; itself when it is ours."""
    text = str(error.orig)
    if isinstance(error, IntegrityError):
        return Taken(text.removeprefix("UNIQUE constraint failed: ").removeprefix("index "))
    if isinstance(error, OperationalError) and ("locked" in text or "busy" in text):
        return Unavailable("The database is locked by another program. Try again.")
    if isinstance(error, OperationalError):
        for words, meaning in _DISK_TROUBLE.items():
            if words in text:
                return Unavailable(f"{meaning} Nothing was changed.")
    return error


def opening_error(path: Path, error: Exception) -> StoreError:
    """Why a database can't be opened, in one sentence."""
    text = str(getattr(error, "orig", None) or error)
    if "locked" in text:
        return StoreError(f"The database {path} is locked by another program: stop it and start again.")
    if "malformed" in text or "not a database" in text:
        return StoreError(f"The database {path} is damaged ({text}): restore it from a backup.")
    if "unable to open" in text or "readonly" in text:
        return StoreError(f"The database {path} can't be opened ({text}): check that its directory exists and is ours.")
    return StoreError(f"The database {path} can't be opened: {text}.")
