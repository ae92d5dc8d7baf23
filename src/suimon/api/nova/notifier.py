"""The component that tells Nova: follows the change log from where it was, in batches, again until Nova has heard."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import msgspec
import structlog

from suimon.api.nova.client import Nova, NovaError
from suimon.model.actor import SYSTEM
from suimon.model.errors import Unavailable
from suimon.resources import nova_events
from suimon.resources.nova_events import Notice
from suimon.store.leases import Turn, in_turn
from suimon.store.store import Store

log = structlog.get_logger()


class NotifierConfig(msgspec.Struct, frozen=True):
    """How much is said at once, and how soon it is said again."""

    most_ports: int = 100
    """In one request."""
    gather_s: float = 0.2
    """How long the first change waits for others that go with it."""
    first_retry_s: float = 1.0
    longest_retry_s: float = 60.0
    write_position_every: int = 1_000
    """Revisions without anything for Nova after which the position is written down all the same."""


class Notifier:
    """Tells `nova` what happens to the instances' ports of `store`, when it is our `turn` (None: always)."""

    def __init__(self, config: NotifierConfig, store: Store, nova: Nova, turn: Turn | None = None) -> None:
        self._config = config
        self._store = store
        self._nova = nova
        self._turn = turn
        self._written = 0

    async def run(self) -> None:
        """Until cancelled."""
        await in_turn(self._turn, self._follow)

    async def _follow(self) -> None:
        retry_s, restless = self._config.first_retry_s, False
        position: int | None = None
        async with self._nova:
            with self._store.subscribe() as changed:
                while True:
                    changed.clear()
                    try:
                        if position is None:
                            self._written = position = await self._store.write(nova_events.begin, SYSTEM)
                        position = await self._catch_up(position, restless=restless)
                    except (NovaError, Unavailable) as error:
                        log.warning("nova_not_told", reason=str(error), again_in_s=round(retry_s, 1))
                        await asyncio.sleep(retry_s * random.uniform(0.5, 1.0))
                        retry_s = min(2 * retry_s, self._config.longest_retry_s)
                        continue
                    # Only from now on is it sure that what is new to us is new to Nova.
                    retry_s, restless = self._config.first_retry_s, True
                    await changed.wait()
                    await asyncio.sleep(self._config.gather_s)

    async def _catch_up(self, position: int, *, restless: bool) -> int:
        """The revision up to which Nova was told. Raises NovaError, Unavailable."""
        owed = await self._store.read(lambda tx: nova_events.owed(tx, position, restless=restless))
        size = self._config.most_ports
        for start in range(0, len(owed.notices), size):
            part = owed.notices[start : start + size]
            if events := [event for notice in part for event in notice.events]:
                await self._nova.send(events)
            await self._settle(part, owed.revision if start + size >= len(owed.notices) else None)
        if owed.revision - self._written >= self._config.write_position_every:
            await self._settle((), owed.revision)
        return owed.revision

    async def _settle(self, notices: Sequence[Notice], revision: int | None) -> None:
        await self._store.write(lambda tx: nova_events.settle(tx, notices, revision), SYSTEM)
        self._written = revision or self._written
