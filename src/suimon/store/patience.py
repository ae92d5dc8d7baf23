"""The store, for who works by himself: while the database is away he waits, and nobody is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from suimon.model.actor import SYSTEM
from suimon.model.errors import Unavailable
from suimon.store.store import Store
from suimon.store.tx import Tx

T = TypeVar("T")
log = structlog.get_logger()


async def patiently(act: Callable[[], Awaitable[T]], who: str, pause_s: float) -> T:
    """What it comes to, begun again every `pause_s` until the database is there; `who` waits is said in the log.

    Raises what else the act does.
    """
    while True:
        try:
            return await act()
        except Unavailable as error:
            log.warning("database_waited_for", by=who, reason=error.message)
            await asyncio.sleep(pause_s)


class Patient:
    """Reads and writes as Suimon itself, `patiently`."""

    def __init__(self, store: Store, who: str, pause_s: float) -> None:
        self._store = store
        self._who, self._pause_s = who, pause_s

    async def read(self, act: Callable[[Tx], T]) -> T:
        """Raises what the act does."""
        return await patiently(lambda: self._store.read(act), self._who, self._pause_s)

    async def write(self, act: Callable[[Tx], T]) -> T:
        """Raises what the act does."""
        return await patiently(lambda: self._store.write(act, SYSTEM), self._who, self._pause_s)
