"""The component: refuses what policies forbid, follows the log, and in one controller records what is violated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import TypeVar

import msgspec
import structlog

from suimon.enforcement.scope import OF_PROJECTS, Limits
from suimon.enforcement.world import World
from suimon.model.actor import SYSTEM
from suimon.model.errors import Unavailable
from suimon.resources.policies import ensure_standing
from suimon.resources.violations import forget_violations, note_violations, settle_violations
from suimon.store.leases import Turn, in_turn
from suimon.store.store import Store
from suimon.store.tx import Tx

T = TypeVar("T")
log = structlog.get_logger()


class EnforcementConfig(msgspec.Struct, frozen=True):
    """What engines may take, and how long the history of violations is kept when they are over."""

    limits: Limits = Limits()
    """Of operators' policies."""
    of_projects: Limits = OF_PROJECTS
    keep_days: float = 400.0
    forget_every_s: float = 3600.0
    gather_s: float = 0.2
    """Changes that come so soon after each other are looked at together."""
    pause_s: float = 1.0
    """After the database was away, and between two looks at the log by who records nothing."""


class Enforcement:
    """`world` answers for it; `hidden` is what projects don't see of their own things (`World`)."""

    def __init__(
        self, config: EnforcementConfig, store: Store, hidden: Collection[str], turn: Turn | None = None
    ) -> None:
        self._config = config
        self._store = store
        self._turn = turn
        self.world = World(hidden, config.limits, config.of_projects)

    async def run(self) -> None:
        """Until cancelled."""
        self._store.guard(self.world.check)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(in_turn(self._turn, self._record))
        finally:
            self._store.guard(None)

    async def round(self) -> None:
        """Write down what appeared and vanished since the last one. The first one, and one after more than could be
        kept, compares all that is wrong with what is written.
        """
        await self._reading(self.world.catch_up)
        news = self.world.news()
        if news is None:
            wrong = await self._reading(self.world.listen)
            revision = self.world.revision
            await self._writing(lambda tx: settle_violations(tx, wrong, revision))
        elif news:
            await self._writing(lambda tx: note_violations(tx, news))

    async def _follow(self) -> None:
        """So that nobody who asks has much to catch up with."""
        with self._store.subscribe() as changed:
            while True:
                changed.clear()
                await self._reading(self.world.catch_up)
                await changed.wait()
                # Who asks or is checked catches up by himself: this is for what they would have to wait for.
                await asyncio.sleep(self._config.pause_s)

    async def _record(self) -> None:
        with self._store.subscribe() as changed:
            await self._writing(ensure_standing)
            while True:
                changed.clear()
                await self.round()
                try:
                    async with asyncio.timeout(self._config.forget_every_s):
                        await changed.wait()
                    await asyncio.sleep(self._config.gather_s)
                except TimeoutError:
                    await self._writing(self._forget)

    def _forget(self, tx: Tx) -> None:
        forget_violations(tx, tx.now - timedelta(days=self._config.keep_days))

    async def _reading(self, act: Callable[[Tx], T]) -> T:
        while True:
            try:
                return await self._store.read(act)
            except Unavailable as error:
                await self._wait(error)

    async def _writing(self, act: Callable[[Tx], T]) -> T:
        while True:
            try:
                return await self._store.write(act, SYSTEM)
            except Unavailable as error:
                await self._wait(error)

    async def _wait(self, error: Unavailable) -> None:
        log.warning("enforcement_waits", reason=error.message)
        await asyncio.sleep(self._config.pause_s)
