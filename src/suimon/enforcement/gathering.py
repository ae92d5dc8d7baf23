"""Who reads tables of facts elsewhere, in one controller of several, and writes them into the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import structlog

from suimon.enforcement.reading import POLICY_TYPES
from suimon.model.actor import SYSTEM
from suimon.model.errors import BadRequest, Conflict, Unavailable
from suimon.model.fact_tables import Reading, Unread
from suimon.resources.fact_tables import is_read, keep_readings, note_unread
from suimon.store.leases import Turn, in_turn
from suimon.store.store import Store
from suimon.store.tx import Tx

Batch = Sequence[Reading | Unread]
"""What is kept in one transaction, or not at all."""
_LEAST_PAUSE_S: Final = 0.01
log = structlog.get_logger()


class Source(Protocol):
    """Tables that can be read. `named` are the words of clauses that ask for them (`clock:now`): while there is none,
    they aren't read. Without words they always are.
    """

    @property
    def named(self) -> tuple[str, ...]: ...

    async def read(self) -> Sequence[Batch]:
        """Complete tables, and why others couldn't be read; every wait has an end."""

    def pause_s(self) -> float:
        """From the end of a reading until the next."""


class GathererConfig(msgspec.Struct, frozen=True):
    """`gather_s`: what changes so soon after each other is looked at together. `retry_s`: after the database was away,
    or a source broke.
    """

    gather_s: float = 0.5
    retry_s: float = 5.0


class Gatherer:
    """Reads `sources` when it is our `turn` (None: always)."""

    def __init__(
        self, config: GathererConfig, store: Store, sources: Sequence[Source], turn: Turn | None = None
    ) -> None:
        self._config = config
        self._store = store
        self._sources = sources
        self._turn = turn

    async def run(self) -> None:
        """Until cancelled."""
        await in_turn(self._turn, self._gather)

    async def round(self, source: Source) -> bool:
        """Read it once and write it down, if anybody wants it. Raises Unavailable."""
        if source.named and not await self._store.read(lambda tx: is_read(tx, source.named)):
            return False
        for batch in await source.read():
            await self._keep(batch)
        return True

    async def _gather(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for source in self._sources:
                tasks.create_task(self._follow(source))

    async def _follow(self, source: Source) -> None:
        with self._store.subscribe(POLICY_TYPES) as changed:
            while True:
                changed.clear()
                try:
                    wanted = await self.round(source)
                except Unavailable as error:
                    log.warning("facts_wait", source=source.named, reason=error.message)
                    await asyncio.sleep(self._config.retry_s)
                    continue
                if wanted:
                    await asyncio.sleep(max(source.pause_s(), _LEAST_PAUSE_S))
                else:
                    await changed.wait()
                    await asyncio.sleep(self._config.gather_s)

    async def _keep(self, batch: Batch) -> None:
        readings = [one for one in batch if isinstance(one, Reading)]
        unread = [one for one in batch if isinstance(one, Unread)]

        def keep(tx: Tx) -> list[Unread]:
            keep_readings(tx, readings)
            return note_unread(tx, unread)

        try:
            news = await self._store.write(keep, SYSTEM)
        except (BadRequest, Conflict) as error:
            refused = [Unread(source=one.source, name=one.name, problem=error.message) for one in readings]
            news = await self._store.write(lambda tx: note_unread(tx, [*refused, *unread]), SYSTEM)
        for one in news:
            log.warning("facts_not_read", table=f"{one.source}:{one.name}", reason=one.problem)
