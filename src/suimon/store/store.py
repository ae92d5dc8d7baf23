"""The store as a component: opened once, writers, readers, and a bell that rings after each commit."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final, Self, TypeVar

import msgspec
import structlog
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError

from suimon.model.actor import SYSTEM, Actor
from suimon.model.errors import Unavailable
from suimon.model.settings import Settings
from suimon.store import changes, dialect, schema
from suimon.store.bell import drop
from suimon.store.changes import Change
from suimon.store.errors import Again, Lost
from suimon.store.tables import META
from suimon.store.threads import Threads
from suimon.store.tx import Context, Tx

T = TypeVar("T")
Act = Callable[[Tx], T]
Guard = Callable[[Tx], None]
"""Looks at what a transaction did before it is committed, and raises what refuses it."""
log = structlog.get_logger()


LONGEST_MESSAGE: Final = 7999
"""Bytes in UTF-8 that can be told to other controllers (PostgreSQL's manual, NOTIFY)."""


class StoreConfig(msgspec.Struct, frozen=True):
    """`url` is SQLAlchemy's (`sqlite:////var/lib/suimon/suimon.db`, `postgresql://suimon@db.example/suimon`);
    `settings` is what acts find in `tx.settings`.
    """

    url: str
    readers: int = 4
    writers: int = 2
    """Writing connections to a database that is shared with other controllers: one writes, the next are at its door."""
    keep_changes: int = 200_000
    shorten_every: int = 2_000
    """Committed revisions between two looks at the log's length."""
    most_waiting: int = 1_000
    """Acts that may wait for the writer; more are refused with 503."""
    attempts: int = 5
    busy_timeout_s: float = 5.0
    look_every_s: float = 5.0
    """How long a commit of another controller may go unnoticed when its notification is lost."""
    settings: Settings = Settings()


class Subscription(asyncio.Event):
    """Set after every commit that has a revision, until closed; with `kinds` only after those that changed something of
    these kinds, or may have, as other controllers' commits.

    with store.subscribe() as changed:
        await changed.wait()
        changed.clear()
    """

    def __init__(self, store: Store, kinds: Collection[str] | None) -> None:
        super().__init__()
        self.kinds = kinds
        self._store = store
        self._loop = asyncio.get_running_loop()

    def ring(self, kinds: Collection[str] | None) -> None:
        """From the writer's thread; None: whatever was changed."""
        wanted = self.kinds
        if kinds is not None and wanted is not None and not any(kind in wanted for kind in kinds):
            return
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
        self._database = dialect.database(config.url, config.busy_timeout_s)
        self._position = ("", 0, 0)
        self._concerning = 0
        """The newest revision but those of ours of which no host is told."""
        self._concerned = 0
        """The same if the newest revision turns out to be one of those."""
        self._moving = threading.Lock()
        self._waiting = 0
        self._subscriptions: set[Subscription] = set()
        self._listeners: set[dialect.Heard] = set()
        self._trace: dialect.Trace | None = None
        self._guard: Guard | None = None
        self._connections: set[Connection] = set()
        self._local = threading.local()
        self._writing: Threads
        self._reading: Threads

    def open(self) -> None:
        """Claim, migrate, connect. Raises StoreError, whose message is one sentence for the operator."""
        self._database.claim()
        try:
            connection = self._database.connect()
            try:
                schema.prepare(connection, self._database)
                self._identify(connection)
            finally:
                connection.close()
        except (DBAPIError, OSError) as error:
            self._database.release()
            raise self._database.opening_error(error) from error
        except BaseException:
            self._database.release()
            raise
        self._writing = Threads(self._config.writers if self._database.shared else 1, "store-writer")
        self._reading = Threads(self._config.readers, "store-reader")
        self._database.watch(self._look, self._hear, self._config.look_every_s)

    def close(self) -> None:
        """Waits for what is under way. The database is whole by itself afterwards."""
        self._writing.close()
        self._reading.close()
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._database.release()

    def now(self) -> datetime:
        """As acts have it (`Tx.now`)."""
        return self._clock()

    def position(self) -> tuple[str, int, int]:
        """(store id, epoch, newest revision that we heard of). A snapshot takes `tx.position()` instead."""
        return self._position

    def quiet_until(self, revision: int) -> int:
        """How far one who tells hosts may go on from `revision` without a look into the log (`Tx.quiet`)."""
        with self._moving:
            return max(revision, self._position[2]) if self._concerning <= revision else revision

    async def read(self, act: Act[T], *, one_statement: bool = False) -> T:
        """Call `act` with a reading transaction, which sees one state of the store.

        `one_statement` saves BEGIN and COMMIT; it is for acts that are a single select, or several that needn't agree.
        """
        return await self._reading.call(self._read, act, one_statement)

    async def write(self, act: Act[T], actor: Actor) -> T:
        """Call `act` in a writing transaction of its own; what it did is durable, or undone if it raised.

        An act may be called again when another was faster or the database was away: it does nothing but use its `Tx`.
        """
        if self._waiting >= self._config.most_waiting:
            raise Unavailable("Too many changes are waiting for the database. Try again.")
        self._waiting += 1
        try:
            return await self._writing.call(self._write, act, actor)
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
        return await self._writing.call(self._begin_epoch)

    def subscribe(self, kinds: Collection[str] | None = None) -> Subscription:
        """An event for the running loop. It starts out unset; read your position after subscribing."""
        subscription = Subscription(self, kinds)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """The same as `subscription.close()`."""
        self._subscriptions.discard(subscription)

    @property
    def shared(self) -> bool:
        """Whether other controllers may have the same database."""
        return self._database.shared

    async def tell(self, message: str) -> None:
        """To all controllers that listen now, ourselves included: nothing is kept, and it may be lost. At most
        `LONGEST_MESSAGE` bytes. Raises Unavailable.
        """
        assert len(message.encode()) <= LONGEST_MESSAGE, "whoever tells has looked"
        await self._reading.call(self._tell, message)

    @contextmanager
    def listening(self, heard: dialect.Heard) -> Iterator[None]:
        """Calls `heard` in the running loop with whatever is told meanwhile."""
        loop = asyncio.get_running_loop()

        def hear(message: str) -> None:
            with suppress(RuntimeError):  # The loop is closed: nobody listens any more.
                loop.call_soon_threadsafe(heard, message)

        self._listeners.add(hear)
        try:
            yield
        finally:
            self._listeners.discard(hear)

    def guard(self, guard: Guard | None) -> None:
        """Ask `guard` about each writing transaction from now on, in the writer's thread."""
        self._guard = guard

    def trace(self, callback: dialect.Trace | None) -> None:
        """Tell `callback` of every statement executed from now on, from whichever thread executes it (for tests)."""
        self._trace = callback
        for connection in tuple(self._connections):
            self._database.trace(connection, callback)

    def _read(self, act: Act[T], one_statement: bool) -> T:
        try:
            return self._read_once(act, one_statement)
        except Lost:
            try:
                return self._read_once(act, one_statement)
            except Lost as lost:
                raise Unavailable("The database went away. Try again.") from lost

    def _read_once(self, act: Act[T], one_statement: bool) -> T:
        connection = self._connection(self._database.make_readonly)
        tx = Tx(connection, self._context(SYSTEM))
        try:
            if not one_statement:
                self._database.begin_read(connection)
            return act(tx)
        except DBAPIError as error:
            raise dialect.caller_error(error) from error
        finally:
            self._end(connection)

    def _write(self, act: Act[T], actor: Actor) -> T:
        for _ in range(self._config.attempts):
            try:
                return self._write_once(act, actor)
            except Again as again:
                log.info("act_repeated", request=actor.request_id, reason=type(again).__name__.lower())
                lost = isinstance(again, Lost)
        raise Unavailable(
            "The database went away. Try again." if lost else "Others kept changing the same objects. Try again."
        )

    def _write_once(self, act: Act[T], actor: Actor) -> T:
        connection = self._connection()
        tx = Tx(connection, self._context(actor))
        try:
            self._database.begin_write(connection)
            result = act(tx)
            if self._guard:
                self._guard(tx)
            tx.write_log()
            self._database.commit(connection)
        except DBAPIError as error:
            raise dialect.caller_error(error) from error
        finally:
            self._end(connection)
        if tx.revision:
            self._committed(connection, tx)
        return result

    def _end(self, connection: Connection) -> None:
        """Undo what is still open; a connection that broke is not used again."""
        self._database.rollback(connection)
        if self._database.is_lost(connection):
            self._connections.discard(connection)
            del self._local.connection
            drop(connection)

    def _committed(self, connection: Connection, tx: Tx) -> None:
        revision = tx.revision
        self._move((*self._position[:2], revision), tx)
        if revision % self._config.shorten_every == 0:
            try:
                changes.shorten(connection, self._config.keep_changes, revision)
            except DBAPIError as error:
                # The act is committed, whatever becomes of this; the next turn tries again.
                log.warning("log_not_shortened", reason=str(error.orig))

    def _look(self, connection: Connection) -> None:
        """From the bell's thread."""
        self._move(Tx(connection, self._context(SYSTEM)).position())

    def _tell(self, message: str) -> None:
        connection = self._connection(self._database.make_readonly)
        try:
            self._database.tell(connection, message)
        except DBAPIError as error:
            raise Unavailable("The database went away. Try again.") from error
        finally:
            self._end(connection)

    def _hear(self, message: str) -> None:
        """From the bell's thread."""
        for hear in tuple(self._listeners):
            hear(message)

    def _move(self, position: tuple[str, int, int], own: Tx | None = None) -> None:
        """Threads and controllers tell of their commits in any order; ours only grows. `own` is a commit of ours."""
        quiet = own is not None and own.quiet
        kinds: Collection[str] | None = None
        with self._moving:
            if position[1:] <= self._position[1:]:
                if quiet and position[1:] == self._position[1:]:  # The bell told of it before the writer did.
                    self._concerning = self._concerned
                return
            # After a longer step, others may have committed between.
            if position[2] == self._position[2] + 1:
                self._concerned = self._concerning
                kinds = {kind for kind, _, _ in own.touched} if own else None
            else:
                self._concerned = position[2]
            self._concerning = self._concerned if quiet else position[2]
            self._position = position
        for subscription in tuple(self._subscriptions):
            subscription.ring(kinds)

    def _begin_epoch(self) -> int:
        before = self._position[1]
        epoch = max(before + 1, int(self._clock().timestamp()))
        connection = self._connection()
        try:
            # Another controller may have seen the same, and been faster: it is the same epoch then.
            begun = connection.execute(META.update().where(META.c.epoch == before).values(epoch=epoch)).rowcount
            found = Tx(connection, self._context(SYSTEM)).position()
        except DBAPIError as error:
            raise dialect.caller_error(error) from error
        finally:
            self._end(connection)
        self._move(found)
        if begun:
            log.warning("epoch_begun", epoch=epoch)
        return self._position[1]

    def _identify(self, connection: Connection) -> None:
        self._database.begin_write(connection)
        try:
            if not connection.execute(select(META)).fetchall():
                connection.execute(insert(META), {"one": 1, "store": str(uuid.uuid4()), "epoch": 1})
            self._position = Tx(connection, self._context(SYSTEM)).position()
            self._concerning = self._concerned = self._position[2]
            self._database.commit(connection)
        finally:
            self._database.rollback(connection)

    def _context(self, actor: Actor) -> Context:
        return Context(self._clock(), actor, self._config.settings)

    def _connection(self, prepare: Callable[[Connection], None] | None = None) -> Connection:
        """This thread's own."""
        if not hasattr(self._local, "connection"):
            try:
                connection = self._database.connect()
                if prepare:
                    prepare(connection)
            except DBAPIError as error:
                log.warning("database_away", reason=" ".join(str(error.orig).split()))
                raise Unavailable("The database can't be reached. Try again.") from error
            self._database.trace(connection, self._trace)
            self._connections.add(connection)
            self._local.connection = connection
        found: Connection = self._local.connection
        return found
