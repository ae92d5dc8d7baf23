"""PostgreSQL: any number of controllers with one database, one writing transaction at a time among all of them.

Why one at a time, and why no isolation level would do instead, is in docs/decisions/0012.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from suimon.model.errors import BadRequest, Unavailable
from suimon.store.bell import CHANNEL, Bell
from suimon.store.errors import Lost, Stale, StoreError, Taken

WRITING: Final = 0x5A01
"""Advisory lock of the one who writes, for a transaction."""
_USING: Final = 0x5A02
"""Advisory lock of those who use the database, shared, for a connection's life."""
_BEGIN_WRITE: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITING})"
_BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SORTED_OTHERWISE: Final = """
    SELECT table_name, array_agg(column_name::text) FROM information_schema.columns JOIN information_schema.tables
    USING (table_schema, table_name) WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'
    AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C' GROUP BY table_name
"""
_RING: Final = f"""
    CREATE OR REPLACE FUNCTION suimon_ring() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NOTIFY {CHANNEL}; RETURN NULL; END $$
"""
_NOT_DURABLE: Final = "off"
_IDLE_MS: Final = 30_000
"""How long a controller that was stopped in the middle of a transaction, or vanished with its machine, keeps the others
from writing."""
_TROUBLE: Final = {
    "53100": "The disk under the database is full. Nothing was changed.",
    "53200": "The database is out of memory. Nothing was changed.",
    "53300": "The database has no connection left for us. Try again.",
    "55P03": "Others kept the database busy for too long. Try again.",
    "57014": "The database gave the statement up. Try again.",
}
"""By SQLSTATE (PostgreSQL's manual, appendix A), our words."""
_CONFLICTS: Final = ("40001", "40P01")
"""serialization_failure, deadlock_detected: PostgreSQL chose this transaction to be repeated."""
_UNKEEPABLE: Final = ("22003", "22021", "22P05")
"""A number too large, and a text that can't be kept."""


class PostgreSql:
    """A server's database, as `dialect.Database` says it."""

    shared = True

    def __init__(self, url: URL, patience_s: float) -> None:
        self._engine = _engine(url, patience_s)
        self._claim: Connection | None = None
        self._bell: Bell | None = None
        self.name = url.set(drivername="postgresql").render_as_string(hide_password=True)

    def claim(self, *, alone: bool = False) -> None:
        try:
            connection = self.connect()
            self._claim = connection
            self._require_sound(connection)
            if not self._claimed(connection, "pg_try_advisory_lock" if alone else "pg_try_advisory_lock_shared"):
                user = "controllers that run with it" if alone else "a restore that is under way"
                raise StoreError(f"The database {self.name} is in use by {user}: wait for its end, or stop it.")
        except DBAPIError as error:
            self.release()
            raise self.opening_error(error) from error
        except StoreError:
            self.release()
            raise

    def _claimed(self, connection: Connection, take: str) -> bool:
        """A controller that has just ended may hold the lock for a moment: the server hears of it later than we do."""
        for pause_s in (0.1, 0.3, 0.6, 0.0):
            if connection.exec_driver_sql(f"SELECT {take}({_USING})").scalar():
                return True
            time.sleep(pause_s)
        return False

    def release(self) -> None:
        if self._bell:
            self._bell.close()
        if self._claim is not None:
            self._claim.close()
        self._claim = self._bell = None

    def connect(self) -> Connection:
        return self._engine.connect()

    def make_readonly(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET default_transaction_read_only = on")

    def trace(self, connection: Connection, callback: Callable[[str], None] | None) -> None:
        connection.info["trace"] = callback

    def begin_read(self, connection: Connection) -> None:
        connection.exec_driver_sql(_BEGIN_READ)

    def begin_write(self, connection: Connection) -> None:
        """Waits for its turn before it looks at anything: what it sees then is what the last writer left."""
        connection.exec_driver_sql(_BEGIN_WRITE)

    def commit(self, connection: Connection) -> None:
        """Raises Unavailable when the connection broke meanwhile: nobody knows then whether it was done."""
        assert _status(connection) != "INERROR", "an act went on after the database had refused a statement"
        try:
            connection.exec_driver_sql("COMMIT")
        except DBAPIError as error:
            if self.is_lost(connection):
                raise Unavailable(
                    "The database went away while it was to keep a change: look whether the change is there."
                ) from error
            raise

    def rollback(self, connection: Connection) -> None:
        if _status(connection) not in ("IDLE", "UNKNOWN"):
            with suppress(DBAPIError):
                connection.exec_driver_sql("ROLLBACK")

    def is_lost(self, connection: Connection) -> bool:
        return connection.invalidated or connection.closed or bool(_driver(connection).closed)

    def watch(self, look: Callable[[Connection], None], heard: Callable[[str], None], fallback_s: float) -> None:
        """On the connection of the claim; a new one claims again."""
        assert self._claim is not None
        claimed, self._claim = self._claim, None
        self._bell = Bell(claimed, self._claimed_again, look, heard, fallback_s)

    def tell(self, connection: Connection, message: str) -> None:
        connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (CHANNEL, message))

    def opening_error(self, error: Exception) -> StoreError:
        text = " ".join(str(getattr(error, "orig", None) or error).split()).removesuffix(".")
        return StoreError(f"The database {self.name} can't be opened: {text}.")

    def settle(self, connection: Connection) -> None:
        """Texts sort by their code points, as everywhere else; each commit that the log or the epoch shows rings."""
        for table, columns in connection.exec_driver_sql(_SORTED_OTHERWISE):
            changes = ", ".join(f'ALTER COLUMN "{column}" TYPE text COLLATE "C"' for column in columns)
            connection.exec_driver_sql(f'ALTER TABLE "{table}" {changes}')
        connection.exec_driver_sql(_RING)
        for table, event_ in (("changes", "INSERT"), ("meta", "UPDATE")):
            connection.exec_driver_sql(
                f"CREATE OR REPLACE TRIGGER ring AFTER {event_} ON {table} EXECUTE FUNCTION suimon_ring()"
            )

    def _claimed_again(self) -> Connection:
        connection = self.connect()
        if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock_shared({_USING})").scalar():
            connection.close()
            raise StoreError(f"The database {self.name} is being restored.")
        return connection

    def _require_sound(self, connection: Connection) -> None:
        """Raises StoreError for a database that can't keep every text."""
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise StoreError(f"The database {self.name} is kept in {encoding}: create it with the encoding UTF8.")


def caller_error(error: DBAPIError) -> Exception:
    """What an error of psycopg means to the caller; itself when it is ours."""
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(error, IntegrityError):
        diagnosis: Any = error.orig
        return Taken(diagnosis.diag.constraint_name or "unknown")
    if state in _CONFLICTS:
        return Stale()
    if state in _TROUBLE:
        return Unavailable(_TROUBLE[state])
    if state in _UNKEEPABLE or (state is None and "NUL" in str(error.orig)):
        return BadRequest("A value is too large for the database, or has characters that it can't keep.")
    # Who can't connect, or hears no more, is told no state.
    unheard = state is None and isinstance(error, OperationalError)
    if unheard or error.connection_invalidated or (state or "").startswith(("08", "57P")):
        return Lost()
    return error


def _engine(url: URL, patience_s: float) -> Engine:
    """Its errors don't repeat a statement's values, as those of SQLite's don't."""
    waits_ms = round(patience_s * 1000)
    settings = {
        "lock_timeout": waits_ms,
        "idle_in_transaction_session_timeout": _IDLE_MS,
        "tcp_user_timeout": _IDLE_MS,
        "jit": "off",
    }
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            "connect_timeout": max(2, round(patience_s)),
            "application_name": "suimon",
            "prepare_threshold": 2,
        },
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "before_cursor_execute", _heard)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    """A commit is durable when it returns, whatever the server's default is."""
    connection.prepared_max = 500
    if connection.execute("SHOW synchronous_commit").fetchone()[0] == _NOT_DURABLE:
        connection.execute("SET synchronous_commit = on")


def _heard(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
    callback = connection.info.get("trace")
    if callback:
        for each in statement.split("; ") if statement is _BEGIN_WRITE else (statement,):
            callback(each)


def _status(connection: Connection) -> str:
    """Of the transaction, in libpq's words (PQtransactionStatus)."""
    if connection.closed or connection.invalidated:
        return "UNKNOWN"
    return str(_driver(connection).info.transaction_status.name)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
