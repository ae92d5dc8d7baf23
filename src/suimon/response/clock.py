"""Whether our own clock was set: it should go on as fast as one that nobody sets, and be as most hosts' are."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from socket import gethostname
from typing import Never

from suimon.distribution.clock import Clock
from suimon.model.actor import SYSTEM
from suimon.model.errors import Unavailable
from suimon.resources.alarms import tell_own_clock
from suimon.store.store import Store


class ClockWatch:
    """A fold over pairs of the two clocks, in seconds."""

    def __init__(self) -> None:
        self._ahead_s: float | None = None

    def jumped_s(self, wall_s: float, monotonic_s: float) -> float:
        """By how much the clock on the wall was set since the last time; 0.0 the first time."""
        ahead_s = wall_s - monotonic_s
        before, self._ahead_s = self._ahead_s, ahead_s
        return 0.0 if before is None else ahead_s - before


class OwnClock:
    """Tells of a clock of this controller's machine that is off: by which it doesn't go, or most hosts differ."""

    def __init__(self, store: Store, clock: Clock, every_s: float = 10.0) -> None:
        self._store, self._clock, self._every_s = store, clock, every_s

    async def run(self) -> Never:
        while True:
            await asyncio.sleep(self._every_s)
            with suppress(Unavailable):
                await self.look()

    async def look(self) -> None:
        """Raises Unavailable."""
        if off_s := self._clock.off_s():
            words = "it was set, and hosts go on as before, which we go by"
        elif off_s := -self._clock.differs_s():
            words = "most hosts say so; it was so when we began, or is followed, and restrictions end by it"
        else:
            return
        await self._store.write(lambda tx: tell_own_clock(tx, gethostname(), off_s, words), SYSTEM)
