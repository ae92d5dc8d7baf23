"""The store as a component: opened once, one writer, several readers, and a bell that rings after each commit."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Self, TypeVar

import msgspec
import structlog
from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import DBAPIError

from suimon.model.actor import SYSTEM, Actor
from suimon.model.errors import CallerError, Unavailable
from suimon.model.settings import Settings
from suimon.store import changes, dialect, schema
from suimon.store.changes import Change
from suimon.store.errors import Stale
from suimon.store.lock import FileLock
from suimon.store.tables import META
from suimon.store.tx import Context, Tx

T = TypeVar("T")
Act = Callable[[Tx], T]
log = structlog.get_logger()


class StoreConfig(msgspec.Struct, frozen=True):
    """`url` is SQLAlchemy's (`sqlite:////var/lib/suimon/suimon.db`); `settings` is what acts find in `tx.settings`."""

    url: str
    readers: int = 4
    keep_changes: int = 200_000
    shorten_every: int = 2_000
    """Committed revisions between two looks at the log's length."""
    most_waiting: int = 1_000
    """Acts that may wait for the writer; more are refused with 503."""
    attempts: int = 5
    busy_timeout_s: float = 5.0
    settings: Settings = Settings()


class Subscription(asyncio.Event):
    """Set after every commit that has a revision, until closed.

    with store.subscribe() as changed:
        await changed.wait()
        changed.clear()
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._loop = asyncio.get_running_loop()

    def ring(self) -> None:
        """From the writer's thread."""
        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            self._loop.call_soon_threadsafe(self.set)

    def close(self) -> None:
        """Never set again."""
        self._store.unsubscribe(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Store:
    """`open()` before anything else, `close()` when done; reads and writes are awaited from an event loop."""

    def __init__(self, config: StoreConfig, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._config = config
        self._clock = clock
        self._path = dialect.database_file(config.url)
        self._lock = FileLock(self._path.with_name(self._path.name + ".lock"))
        self._position = ("", 0, 0)
        self._waiting = 0
        self._subscriptions: set[Subscription] = set()
        self._trace: dialect.Trace | None = None
        self._connections: list[Connection] = []
        self._local = threading.local()
        self._engine: Engine
        self._writer: Connection
        self._writing: ThreadPoolExecutor
        self._reading: ThreadPoolExecutor

    def open(self) -> None:
        """Lock, migrate, connect. Raises StoreError, whose message is one sentence for the operator."""
        self._lock.acquire()
        try:
            dialect.keep_private(self._path)
            self._engine = dialect.make_engine(self._path, self._config.busy_timeout_s)
            self._writer = self._connect()
            schema.prepare(self._writer, self._path)
            self._identify()
        except (DBAPIError, OSError) as error:
            self._disconnect()
            raise dialect.opening_error(self._path, error) from error
        except BaseException:
            self._disconnect()
            raise
        self._writing = ThreadPoolExecutor(1, "store-writer")
        self._reading = ThreadPoolExecutor(self._config.readers, "store-reader")

    def close(self) -> None:
        """Waits for what is under way. The database file is whole by itself afterwards."""
        self._writing.shutdown()
        self._reading.shutdown()
        self._disconnect()

    def position(self) -> tuple[str, int, int]:
        """(store id, epoch, newest committed revision). A snapshot takes `tx.position()` instead."""
        return self._position

    async def read(self, act: Act[T], *, one_statement: bool = False) -> T:
        """Call `act` with a reading transaction, which sees one state of the store.

        `one_statement` saves BEGIN and COMMIT; it is for acts that are a single select, or several that needn't agree.
        """
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, act, one_statement)

    async def write(self, act: Act[T], actor: Actor) -> T:
        """Call `act` in a writing transaction of its own; what it did is durable, or undone if it raised.

        An act may be called again when another controller was faster, so it does nothing but use its `Tx`.
        """
        if self._waiting >= self._config.most_waiting:
            raise Unavailable("Too many changes are waiting for the database. Try again.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writing, self._write, act, actor)
        finally:
            self._waiting -= 1

    async def changes_after(self, revision: int) -> list[Change] | None:
        """What was logged after `revision`; None when the log doesn't reach back that far, or never came that far."""
        return await self.read(lambda tx: tx.changes_after(revision))

    async def begin_epoch(self) -> int:
        """The new epoch, after an older state was restored: what hosts hold can't be compared with it.

        Its number is the time in seconds, or the next one: a copy that is put back twice must not begin the same epoch
        again, and what it began the first time it can't know.
        """
        return await asyncio.get_running_loop().run_in_executor(self._writing, self._begin_epoch)

    def subscribe(self) -> Subscription:
        """An event for the running loop. It starts out unset; read your position after subscribing."""
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """The same as `subscription.close()`."""
        self._subscriptions.discard(subscription)

    def trace(self, callback: dialect.Trace | None) -> None:
        """Tell `callback` of every statement executed from now on, from whichever thread executes it (for tests)."""
        self._trace = callback
        for connection in self._connections:
            dialect.trace(connection, callback)

    def _read(self, act: Act[T], one_statement: bool) -> T:
        if not hasattr(self._local, "connection"):
            self._local.connection = self._connect(dialect.make_readonly)
        connection: Connection = self._local.connection
        tx = Tx(connection, self._context(SYSTEM))
        if one_statement:
            return act(tx)
        dialect.begin_read(connection)
        try:
            return act(tx)
        finally:
            dialect.rollback(connection)

    def _write(self, act: Act[T], actor: Actor) -> T:
        for _ in range(self._config.attempts):
            try:
                return self._write_once(act, actor)
            except Stale:
                log.info("act_repeated", request=actor.request_id)
        raise Unavailable("Others kept changing the same objects. Try again.")

    def _write_once(self, act: Act[T], actor: Actor) -> T:
        tx = Tx(self._writer, self._context(actor))
        try:
            dialect.begin_write(self._writer)
            result = act(tx)
            tx.write_log()
            dialect.commit(self._writer)
        except BaseException as error:
            dialect.rollback(self._writer)
            if isinstance(error, DBAPIError) and isinstance(told := dialect.caller_error(error), CallerError):
                raise told from error
            raise
        if tx.revision:
            self._committed(tx.revision)
        return result

    def _committed(self, revision: int) -> None:
        self._position = (*self._position[:2], revision)
        for subscription in tuple(self._subscriptions):
            subscription.ring()
        if revision % self._config.shorten_every == 0:
            try:
                changes.shorten(self._writer, self._config.keep_changes, revision)
            except DBAPIError as error:
                # The act is committed, whatever becomes of this; the next turn tries again.
                log.warning("log_not_shortened", reason=str(error.orig))

    def _begin_epoch(self) -> int:
        epoch = max(self._position[1] + 1, int(self._clock().timestamp()))
        try:
            self._writer.execute(META.update().values(epoch=epoch))
        except DBAPIError as error:
            raise dialect.caller_error(error) from error
        self._identify()
        log.warning("epoch_begun", epoch=self._position[1])
        return self._position[1]

    def _identify(self) -> None:
        if not self._writer.execute(select(META)).fetchall():
            self._writer.execute(insert(META), {"one": 1, "store": str(uuid.uuid4()), "epoch": 1})
        self._position = Tx(self._writer, self._context(SYSTEM)).position()

    def _context(self, actor: Actor) -> Context:
        return Context(self._clock(), actor, self._config.settings)

    def _connect(self, prepare: Callable[[Connection], None] | None = None) -> Connection:
        connection = self._engine.connect()
        if prepare:
            prepare(connection)
        dialect.trace(connection, self._trace)
        self._connections.append(connection)
        return connection

    def _disconnect(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._lock.release()
