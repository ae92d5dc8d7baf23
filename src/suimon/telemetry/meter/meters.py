"""Metering in the controller: readings come in from reports, samples go to the database and to who listens.

A report never waits for it, and never fails by it: of each host the newest reading waits, which says all that older
ones would have, and the last ones of ports that went, of which it doesn't. While the database is in trouble nothing is
lost but resolution.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Never, TypeVar

import msgspec
import structlog

from suimon.model.counts import Drops, Metered, Reading
from suimon.model.samples import Dropped, Sample
from suimon.telemetry.meter.closing import Months
from suimon.telemetry.meter.database import Trouble
from suimon.telemetry.meter.history import History
from suimon.telemetry.meter.ledger import Told

log = structlog.get_logger()
T = TypeVar("T")

Listener = Callable[[Sequence[Sample]], None]
DropListener = Callable[[Sequence[Dropped]], None]
_NEAR_S: Final = 1.0
"""A reading so near to a multiple of the interval was made at it, by a clock that goes a little otherwise."""

_MOST_LAST: Final = 100_000
"""Last readings of ports that wait while the database is in trouble."""


class Config(msgspec.Struct, frozen=True):
    every_s: float = 10.0
    """How often hosts read their counters."""
    together_s: float = 1.0
    """What hosts tell within that time is written in one transaction."""
    retry_s: float = 10.0
    tidy_s: float = 60.0
    breath_s: float = 0.5
    """Between two pieces of a month that is closed: there is no hurry."""


class Meters:
    """`take` is told of readings; `run` writes them; `tidy` rolls up, forgets and closes months, in one controller of
    several. While it is `doubted` what time it is, nothing is forgotten or closed.
    """

    def __init__(
        self,
        config: Config,
        history: History,
        clock: Callable[[], float] = time.time,
        doubted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config = config
        self._history = history
        self.months = Months(history)
        self.now_s = clock
        self._doubted = doubted
        self._waiting: dict[str, Told] = {}
        self._last: list[Told] = []
        self._news = asyncio.Event()
        self._listeners: list[Listener] = []
        self._drop_listeners: list[DropListener] = []
        self._threads = ThreadPoolExecutor(3, "meter")
        self.trouble = ""
        """Why nothing is kept now, in words; empty when all is well."""

    def listen(self, listener: Listener) -> None:
        """Call it, from the event loop, with all samples that are kept from now on by this controller."""
        self._listeners.append(listener)

    def listen_to_drops(self, listener: DropListener) -> None:
        """Call it with what hosts say that they dropped, which isn't kept."""
        self._drop_listeners.append(listener)

    def take(self, host: str, reading: Reading, ports: Mapping[str, Metered]) -> None:
        """What a host told just now, of ports that it may speak of."""
        read_s = self.now_s() - max(reading.age_s, 0.0)
        exact_s = round(read_s / self._config.every_s) * self._config.every_s
        read_s = exact_s if abs(exact_s - read_s) < _NEAR_S else read_s
        if reading.dropped:
            self._tell_dropped(_dropped(reading.dropped, ports, read_s))
        self._waiting[host] = Told(host, reading, read_s, ports)
        self._news.set()

    def take_last(self, host: str, reading: Reading, ports: Mapping[str, Metered]) -> None:
        """The same of ports that the host won't read again, some of which may be deleted by now."""
        read_s = self.now_s() - max(reading.age_s, 0.0)
        self._last.append(Told(host, reading, read_s, ports, last=True))
        self._news.set()

    async def run(self) -> Never:
        while True:
            await self._news.wait()
            await asyncio.sleep(self._config.together_s)
            self._news.clear()
            if not await self.write():
                await asyncio.sleep(self._config.retry_s)
                self._news.set()

    async def write(self) -> bool:
        """All that waits, now. Whether it is kept."""
        (waiting, self._waiting), (last, self._last) = (self._waiting, {}), (self._last, [])
        told = sorted((*waiting.values(), *last), key=lambda each: each.reading.clock_s)
        samples = await self._try("note", lambda: self._history.note(told, self.now_s()))
        if samples is None:
            self._waiting, self._last = waiting | self._waiting, [*last, *self._last][-_MOST_LAST:]
            return False
        for listener in self._listeners:
            try:
                listener(samples)
            except Exception:
                log.exception("sample_listener_failed")
        return True

    def _tell_dropped(self, dropped: Sequence[Dropped]) -> None:
        for listener in self._drop_listeners:
            try:
                listener(dropped)
            except Exception:
                log.exception("drop_listener_failed")

    async def tidy(self) -> None:
        """Until cancelled. For one process at a time (store.leases)."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._roll_up())
            tasks.create_task(self._close())

    async def _roll_up(self) -> Never:
        while True:
            while await self._try("roll_up", lambda: self._history.roll_up(self.now_s())):
                pass
            if not self._doubted():
                await self._try("forget", lambda: self._history.forget(self.now_s()))
            await asyncio.sleep(self._config.tidy_s if not self.trouble else self._config.retry_s)

    async def _close(self) -> Never:
        while True:
            more = not self._doubted() and await self._try("close", lambda: self.months.close(self.now_s()))
            await asyncio.sleep(self._config.breath_s if more else self._config.tidy_s)

    async def ask(self, question: Callable[[History], T]) -> T:
        """In a thread. Raises `database.Trouble`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, question, self._history)

    async def _try(self, what: str, act: Callable[[], T]) -> T | None:
        """None when the database is in trouble."""
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._threads, act)
        except Trouble as error:
            reason = f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"
            if reason != self.trouble:
                log.error("metering_not_kept", act=what, reason=reason, effect="hosts count on, nothing is lost yet")
            self.trouble = reason
            return None
        if self.trouble:
            log.info("metering_kept_again")
        self.trouble = ""
        return done


def _dropped(drops: Sequence[Drops], ports: Mapping[str, Metered], ended_s: float) -> list[Dropped]:
    """Of ports that are bound to who told it."""
    own = [(one, whose) for one in drops if (whose := ports.get(one.port_id)) and whose.bound]
    return [
        Dropped(one.port_id, whose.project_id, one.reason, one.packets, ended_s - _span_s(one), ended_s)
        for one, whose in own
    ]


def _span_s(drops: Drops) -> float:
    """Hosts are believed about their ports, not that something began long ago."""
    return min(max(drops.span_s, 0.0), 60.0)
