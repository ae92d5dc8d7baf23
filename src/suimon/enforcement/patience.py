"""The store, for who works by himself: while the database is away he waits, and nobody is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import structlog

from suimon.model.actor import SYSTEM
from suimon.model.errors import Unavailable
from suimon.store.store import Store
from suimon.store.tx import Tx

T = TypeVar("T")
log = structlog.get_logger()


class Patient:
    """Reads and writes as Suimon itself, again every `pause_s` until it is done; `who` waits is said in the log."""

    def __init__(self, store: Store, who: str, pause_s: float) -> None:
        self._store = store
        self._who, self._pause_s = who, pause_s

    async def read(self, act: Callable[[Tx], T]) -> T:
        """Raises what the act does."""
        while True:
            try:
                return await self._store.read(act)
            except Unavailable as error:
                await self._wait(error)

    async def write(self, act: Callable[[Tx], T]) -> T:
        """Raises what the act does."""
        while True:
            try:
                return await self._store.write(act, SYSTEM)
            except Unavailable as error:
                await self._wait(error)

    async def _wait(self, error: Unavailable) -> None:
        log.warning("database_waited_for", by=self._who, reason=error.message)
        await asyncio.sleep(self._pause_s)
