"""Where metering keeps its tables: a SQLite file that one process writes, or a server that several share.

Not the store's connections: what meters does must not wait for acts, nor acts for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from suimon.telemetry.meter.tables import METADATA

Trouble = (DBAPIError, OSError, sqlite3.Error)
"""What a database that is full, broken or away raises."""


class Database:
    """Opened when first used, so that a database which is in trouble at the start may be there later."""

    def __init__(self, url: str, patience_s: float = 5.0) -> None:
        self._url = make_url(url.replace("postgres://", "postgresql://", 1))
        self._patience_s = patience_s
        self._engine: Engine | None = None

    @contextmanager
    def transaction(self, *, reading: bool = False) -> Iterator[Connection]:
        """One transaction, which nobody waits for if it is only `reading`. What it reads `FOR UPDATE` before it writes
        can't change meanwhile.

        Raises `Trouble`.
        """
        if self._engine is None:
            engine = self._sqlite() if self._url.get_backend_name() == "sqlite" else self._server()
            with engine.begin() as connection:
                METADATA.create_all(connection)
            self._engine = engine
        engine = self._engine.execution_options(reading=reading)
        with engine.begin() as connection:
            yield connection

    def _sqlite(self) -> Engine:
        path = Path(self._url.database or "")
        path.touch(0o600)
        engine = create_engine(
            self._url,
            hide_parameters=True,
            connect_args={"timeout": self._patience_s, "check_same_thread": False},
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _server(self) -> Engine:
        patience = {"connect_timeout": round(self._patience_s), "options": f"-c lock_timeout={self._patience_s:.0f}s"}
        url = self._url.set(drivername="postgresql+psycopg")
        return create_engine(url, pool_size=2, pool_pre_ping=True, hide_parameters=True, connect_args=patience)


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    """Transactions are begun by us; NORMAL may lose the last second when the machine fails, and nothing else."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "auto_vacuum=INCREMENTAL"):
        connection.execute(f"PRAGMA {pragma}")
