"""Ends restrictions whose time is over, and incidents that nobody looks after. Forgets what ended long ago, with all
that led to it, and what happened on hosts as long ago.

Agents lift an expired restriction by themselves, on time: this is the record's half, and may be late.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import structlog

from suimon.model.actor import SYSTEM
from suimon.model.errors import Unavailable
from suimon.resources import alarms, findings, host_events, incidents, restrictions
from suimon.store.leases import Turn, in_turn
from suimon.store.store import Store
from suimon.store.tx import Tx

log = structlog.get_logger()


class ExpiryConfig(msgspec.Struct, frozen=True):
    """How soon it is noticed that a time is over, and how long is known what there was."""

    look_every_s: float = 5.0
    left_s: float = 300.0
    """So long after its end an incident that nobody looks after is closed: no controller acts by itself."""
    keep_days: int = 400
    forget_every: int = 720
    """Looks between two at what is too old: an hour."""
    most_findings: int = findings.MOST_KEPT


class Expiry:
    """Of the restrictions in `store`, when it is our `turn` (None: always)."""

    def __init__(self, config: ExpiryConfig, store: Store, turn: Turn | None = None) -> None:
        self._config = config
        self._store = store
        self._turn = turn

    async def run(self) -> None:
        """Until cancelled."""
        await in_turn(self._turn, self._watch)

    async def look(self) -> None:
        """End what is over by the store's clock, alarms too, resume what it ended too early, and bound what detectors
        told. Raises Unavailable.
        """
        while await self._store.read(restrictions.due, one_statement=True):
            for each in await self._store.write(restrictions.expire, SYSTEM):
                log.info("restriction_expired", restriction=each.id, target=each.target, project=each.project_id)
            for each in await self._store.write(restrictions.resume, SYSTEM):
                log.warning("restriction_resumed", restriction=each.id, target=each.target, project=each.project_id)
        left = timedelta(seconds=self._config.left_s)
        while await self._store.read(lambda tx: incidents.left_open(tx, tx.now - left), one_statement=True):
            for closed in await self._store.write(lambda tx: incidents.close_left(tx, tx.now - left), SYSTEM):
                log.info("incident_left_open", incident=closed.id, rule=closed.rule)
        if await self._store.read(alarms.over):
            await self._store.write(alarms.clear, SYSTEM)
        most = self._config.most_findings
        if await self._store.read(lambda tx: findings.surplus(tx, most), one_statement=True):
            count = await self._store.write(lambda tx: findings.drop_surplus(tx, most), SYSTEM)
            log.warning("findings_dropped", count=count, reason=f"more than {most} are not kept")

    async def forget(self) -> None:
        """Take away what ended longer ago than is kept. Raises Unavailable."""
        kept = timedelta(days=self._config.keep_days)

        def act(tx: Tx) -> None:
            for room in (restrictions, incidents, findings, host_events):
                room.forget(tx, tx.now - kept)

        await self._store.write(act, SYSTEM)

    async def _watch(self) -> None:
        looks = 0
        while True:
            try:
                await self.look()
                if looks % self._config.forget_every == 0:
                    await self.forget()
            except Unavailable as error:
                log.warning("restrictions_not_looked_at", reason=str(error))
            looks += 1
            await asyncio.sleep(self._config.look_every_s)
