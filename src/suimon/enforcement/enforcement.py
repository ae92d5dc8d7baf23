"""The component: refuses what policies forbid, follows the log, and in one controller records what is violated and
called for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import timedelta

import msgspec
import structlog

from suimon.enforcement.reading import POLICY_TYPES
from suimon.enforcement.scope import OF_PROJECTS, Limits
from suimon.enforcement.world import World
from suimon.model.errors import Unavailable
from suimon.resources.evaluations import forget_evaluations, note_evaluations
from suimon.resources.policies import ensure_standing
from suimon.resources.violations import forget_violations, note_violations, settle_violations
from suimon.store.leases import Turn, in_turn
from suimon.store.patience import Patient
from suimon.store.store import Store, Subscription
from suimon.store.tx import Tx

log = structlog.get_logger()


class EnforcementConfig(msgspec.Struct, frozen=True):
    """What engines may take, and how long violations that are over, and evaluations, are kept."""

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
        self.after_round: Callable[[], Awaitable[None]] | None = None
        """What is done about what was recorded, by the controller that recorded it. May raise Unavailable."""
        self._config = config
        self._store = store
        self._patient = Patient(store, "enforcement", config.pause_s)
        self._turn = turn
        self.world = World(hidden, config.limits, config.of_projects)

    async def run(self) -> None:
        """Until cancelled."""
        self._store.guard(self.world.check)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._keep_refusals())
                tasks.create_task(in_turn(self._turn, self._record))
        finally:
            self._store.guard(None)

    async def round(self) -> None:
        """Write down what appeared and vanished since the last one, and see to it. The first one, and one after more
        than could be kept, compares all that is wrong with what is written.
        """
        await self._patient.read(self.world.catch_up)
        news = self.world.news()
        if news is None:
            wrong = await self._patient.read(self.world.listen)
            revision = self.world.revision
            await self._patient.write(lambda tx: settle_violations(tx, wrong, revision))
        elif news:
            await self._patient.write(lambda tx: note_violations(tx, news))
        if self.after_round is not None:
            try:
                await self.after_round()
            except Unavailable as error:
                log.warning("calls_wait", reason=error.message)

    async def note_refusals(self) -> None:
        """Write down what was refused since the last time, which the refused transactions themselves could not."""
        if refused := self.world.refused():
            await self._patient.write(lambda tx: note_evaluations(tx, refused))

    async def _keep_refusals(self) -> None:
        """Of those that this controller refused; several are written together."""
        came, loop = asyncio.Event(), asyncio.get_running_loop()

        def ring() -> None:
            loop.call_soon_threadsafe(came.set)

        self.world.on_refusal = ring
        try:
            while True:
                await came.wait()
                await asyncio.sleep(self._config.gather_s)
                came.clear()
                await self.note_refusals()
        finally:
            self.world.on_refusal = lambda: None
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.pause_s):
                    await self.note_refusals()

    async def _follow(self) -> None:
        """So that nobody who asks has much to catch up with."""
        with self._store.subscribe() as changed:
            while True:
                self._listen(changed)
                await self._patient.read(self.world.catch_up)
                await self._change(changed)
                # Who asks or is checked catches up by himself: this is for what they would have to wait for.
                await asyncio.sleep(self._config.pause_s)

    @staticmethod
    def _listen(changed: Subscription) -> None:
        """To all changes from here on, as the coming look may find policies that want them."""
        changed.kinds = None
        changed.clear()

    async def _change(self, changed: Subscription) -> None:
        if self.world.idle:
            changed.kinds = POLICY_TYPES
        await changed.wait()

    async def _record(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._note())
            tasks.create_task(self._tidy())

    async def _note(self) -> None:
        with self._store.subscribe() as changed:
            await self._patient.write(ensure_standing)
            while True:
                self._listen(changed)
                await self.round()
                await self._change(changed)
                await asyncio.sleep(self._config.gather_s)

    async def _tidy(self) -> None:
        while True:
            await self._patient.write(self._forget)
            await asyncio.sleep(self._config.forget_every_s)

    def _forget(self, tx: Tx) -> None:
        before = tx.now - timedelta(days=self._config.keep_days)
        forget_violations(tx, before)
        forget_evaluations(tx, before)
