"""Leases: what only one of several controllers may do at a time.

A lease is a row with its owner and the time until which it is good, by the database's clock: controllers needn't agree
on theirs. Whoever has one renews it long before that time; when its owner dies, another takes it over after it. An
owner that can't reach the database stops what it does before the time is over, by a clock that nobody sets.

The database's clock may jump. So who wants the lease has also seen that nobody renewed it for as long as two renewals
take, by its own clock: no owner that lives loses it. And a time that is further away than a lease lasts is none.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec
import structlog
from sqlalchemy import BigInteger, and_, bindparam, delete, insert, or_, select, update

from suimon.model.actor import SYSTEM
from suimon.model.errors import Unavailable
from suimon.store.dialect import DatabaseClockMs
from suimon.store.store import Store
from suimon.store.tables import LEASES
from suimon.store.tx import Tx

_NAMED: Final = LEASES.c.name == bindparam("lease")
_UNTIL: Final = DatabaseClockMs() + bindparam("lifetime_ms", type_=BigInteger)
_NOT_RENEWED: Final = LEASES.c.expires_at_ms == bindparam("left_at_ms")
_OVER: Final = or_(LEASES.c.expires_at_ms <= DatabaseClockMs(), LEASES.c.expires_at_ms > _UNTIL)
_TAKE: Final = (
    update(LEASES)
    .where(_NAMED, or_(LEASES.c.owner == bindparam("us"), and_(_NOT_RENEWED, _OVER)))
    .values(owner=bindparam("us"), expires_at_ms=_UNTIL)
)
_UNTIL_WHEN: Final = select(LEASES.c.expires_at_ms).where(_NAMED)
_MAKE: Final = insert(LEASES).values(name=bindparam("lease"), owner=bindparam("us"), expires_at_ms=_UNTIL)
_GIVE_BACK: Final = delete(LEASES).where(_NAMED, LEASES.c.owner == bindparam("us"))
log = structlog.get_logger()


class LeaseConfig(msgspec.Struct, frozen=True):
    """How fast another one takes over, and how often the owner says that it lives."""

    lifetime_s: float = 15.0
    renew_s: float = 4.0
    retry_s: float = 1.0


class Turn(Protocol):
    """Lets one of several controllers work at a time, as a `Lease` does."""

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled: call `work` whenever it is our turn, and cancel it when it no longer is."""


async def in_turn(turn: Turn | None, work: Callable[[], Awaitable[None]]) -> None:
    """Work when it is our `turn`; without one, always."""
    await (turn.run(work) if turn else work())


class Lease:
    """One thing to be done by one process at a time; `name` is the same in all of them."""

    def __init__(self, config: LeaseConfig, store: Store, name: str) -> None:
        self._config = config
        self._store = store
        self._name = name
        self._ours = {"lease": name, "us": str(uuid.uuid4())}
        self._other: tuple[int, float] | None = None
        """The time in the row while it is another's, and when it was seen first, by our clock."""

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled: whenever the lease is ours, `work` runs; it is cancelled when the lease is lost.

        When `work` ends by itself, the lease is kept and nothing more is done; what it raises is raised here.
        """
        while True:
            async with self.held() as lost:
                working = asyncio.ensure_future(work())
                losing = asyncio.ensure_future(lost.wait())
                try:
                    await asyncio.wait((working, losing), return_when=asyncio.FIRST_COMPLETED)
                    if working.done():
                        working.result()
                        await losing
                finally:
                    for task in (working, losing):
                        task.cancel()
                    await asyncio.gather(working, losing, return_exceptions=True)
            log.warning("lease_lost", name=self._name)

    @asynccontextmanager
    async def held(self, *, patient: bool = True) -> AsyncIterator[asyncio.Event]:
        """Waits until the lease is ours, renews it, gives it back in the end. The event is set if it is lost.

        Who isn't `patient` gets Unavailable when the database can't be asked.
        """
        until = await self._taken(patient=patient)
        lost = asyncio.Event()
        renewing = asyncio.ensure_future(self._renew(until, lost))
        try:
            yield lost
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._give_back()

    async def _taken(self, *, patient: bool) -> float:
        """Until when it is ours, by the process's own clock."""
        while True:
            try:
                if until := await self._take():
                    log.info("lease_taken", name=self._name)
                    return until
            except Unavailable:
                if not patient:
                    raise
            await asyncio.sleep(self._config.retry_s)

    async def _renew(self, until: float, lost: asyncio.Event) -> None:
        while time.monotonic() + self._config.renew_s < until:
            await asyncio.sleep(self._config.renew_s)
            try:
                async with asyncio.timeout_at(_loop_time(until)):
                    renewed = await self._take()
            except Unavailable:
                continue
            except TimeoutError:
                break
            if renewed == 0.0:
                break
            until = renewed
        lost.set()

    async def _take(self) -> float:
        """Until when it is ours; 0.0 when it is another's. Raises Unavailable when the database can't be asked."""
        asked_at = time.monotonic()
        left_at_ms, since = self._other or (-1, asked_at)
        if asked_at - since < 2 * self._config.renew_s:
            left_at_ms = -1
        other = await self._store.write(lambda tx: self._taking(tx, left_at_ms), SYSTEM)
        if other is None:
            self._other = None
            return asked_at + self._config.lifetime_s
        if self._other is None or self._other[0] != other:
            self._other = other, time.monotonic()
        return 0.0

    def _taking(self, tx: Tx, left_at_ms: int) -> int | None:
        """None when it is ours, else until when it is another's, who has not renewed it since `left_at_ms`."""
        values = {**self._ours, "lifetime_ms": round(self._config.lifetime_s * 1000)}
        if tx.run(_TAKE, {**values, "left_at_ms": left_at_ms}) == 1:
            return None
        if rows := tx.rows(_UNTIL_WHEN, {"lease": self._name}):
            return int(rows[0][0])
        tx.run(_MAKE, values)
        return None

    async def _give_back(self) -> None:
        try:
            await self._store.write(lambda tx: tx.run(_GIVE_BACK, self._ours), SYSTEM)
        except Unavailable:
            log.info("lease_left", name=self._name)


def _loop_time(monotonic: float) -> float:
    return asyncio.get_running_loop().time() + monotonic - time.monotonic()
