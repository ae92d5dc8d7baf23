"""SQLite: one file, one process that writes it, one writer at a time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from suimon.model.errors import Unavailable
from suimon.store import prepared
from suimon.store.errors import StoreError, Taken
from suimon.store.lock import FileLock

_DISK_TROUBLE: Final = {
    "full": "The disk under the database is full.",
    "disk I/O error": "The disk under the database fails.",
}
"""By SQLite's words, ours."""
_ROOM: Final = 64 << 10
"""Bytes: twice of what SQLite's shared memory begins with (sqlite.org/walformat.html)."""


class Sqlite:
    """A file and a lock beside it, as `dialect.Database` says it."""

    shared = False

    def __init__(self, url: URL, patience_s: float) -> None:
        if not url.database or url.database == ":memory:":
            raise StoreError("The store needs a SQLite file (sqlite:////path/to/file): one in memory would be lost.")
        self._path = Path(url.database).absolute()
        self._lock = FileLock(self._path.with_name(self._path.name + ".lock"))
        self._engine = _engine(self._path, patience_s)
        self.name = str(self._path)

    def claim(self, *, alone: bool = False) -> None:
        self._lock.acquire()
        try:
            _keep_private(self._path)
        except OSError as error:
            self._lock.release()
            raise self.opening_error(error) from error

    def release(self) -> None:
        self._lock.release()

    def connect(self) -> Connection:
        return self._engine.connect()

    def make_readonly(self, connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA query_only=ON")

    def trace(self, connection: Connection, callback: Callable[[str], None] | None) -> None:
        def heard(statement: str) -> None:
            if callback and not statement.startswith("--"):
                callback(statement)

        _driver(connection).set_trace_callback(heard if callback else None)

    def begin_read(self, connection: Connection) -> None:
        _driver(connection).execute("BEGIN")

    def begin_write(self, connection: Connection) -> None:
        """Takes the write lock first."""
        prepared.control(connection, "BEGIN IMMEDIATE")

    def commit(self, connection: Connection) -> None:
        prepared.control(connection, "COMMIT")

    def rollback(self, connection: Connection) -> None:
        if _driver(connection).in_transaction:
            _driver(connection).execute("ROLLBACK")

    def is_lost(self, connection: Connection) -> bool:
        """A file is always there."""
        return False

    def watch(self, look: Callable[[Connection], None], heard: Callable[[str], None], fallback_s: float) -> None:
        """Nobody else writes."""

    def tell(self, connection: Connection, message: str) -> None:
        """Nobody else listens."""

    def settle(self, connection: Connection) -> None:
        """Texts are sorted by their code points already."""

    def opening_error(self, error: Exception) -> StoreError:
        text = str(getattr(error, "orig", None) or error)
        if "locked" in text:
            return StoreError(f"The database {self.name} is locked by another program: stop it and start again.")
        if "malformed" in text or "not a database" in text:
            return StoreError(f"The database {self.name} is damaged ({text}): restore it from a backup.")
        if "unable to open" in text or "readonly" in text:
            return StoreError(
                f"The database {self.name} can't be opened ({text}): check that its directory exists and is ours."
            )
        if "full" in text or ("disk I/O error" in text and self._has_no_room()):
            return StoreError(f"The database {self.name} can't be opened: the disk under it is full. Make room first.")
        return StoreError(f"The database {self.name} can't be opened: {text}.")

    def _has_no_room(self) -> bool:
        """To be opened it needs memory that is shared by a file, and SQLite's word for its lack is an I/O error."""
        left = os.statvfs(self._path.parent)
        return left.f_bavail * left.f_frsize < _ROOM


def caller_error(error: DBAPIError) -> Exception:
    """What an error of sqlite3 means to the caller; itself when it is ours."""
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


def _keep_private(path: Path) -> None:
    """The file, made if there is none, and those beside it are its owner's only, also if a copy was put there by hand.

    SQLite gives the log and the shared memory the file's own mode: so it has to be right before they are made.
    """
    path.touch(0o600)
    for each in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        with suppress(FileNotFoundError):
            each.chmod(0o600)


def _engine(path: Path, busy_timeout_s: float) -> Engine:
    """Its errors don't repeat a statement's values: they end up in logs, and some are hashes of passwords."""
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


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
