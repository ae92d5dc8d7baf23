"""Tells the controller what is in force here: the position, ports that changed, counters, what is held or refused.

Facts are put in from the agent's loop; `run()` posts what is untold, one report at a time, so that facts which come
while a report is under way share the next one. A port's status is told once, and again after the line was broken.
"""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec
import structlog

from suimon.agent.controller import ControllerError
from suimon.agent.untold import Untold
from suimon.model.counts import Reading
from suimon.model.view import Claim, Drift, PortReport, Position, Report

log = structlog.get_logger()

_MOST_CLAIMS: Final = 1000
"""Kept while the controller is away; older ones are heard again."""

_MOST_MISSING: Final = 1000

_MOST_LAST_READINGS: Final = 1000
"""Kept while the controller is away."""


class Post(Protocol):
    """What the reporter needs of the controller (agent.controller.Controller)."""

    async def report(self, report: Report) -> None: ...


class Config(msgspec.Struct, frozen=True):
    """Pauses after a failed report: doubled from the first to the last. A new stream ends one."""

    first_pause_s: float = 0.05
    last_pause_s: float = 5.0
    position_pause_s: float = 1.0
    """How long at most a new position, or a new port that isn't up yet, waits for others or for something to tell."""


class Told(msgspec.Struct, frozen=True):
    """The facts of a report that stay true until they change."""

    position: Position | None = None
    held: str = ""
    failures: dict[str, str] = {}
    foreign: str = ""
    orphans: tuple[str, ...] = ()
    leads_out: bool = False
    missing: tuple[str, ...] = ()


class Reporter:
    def __init__(
        self,
        config: Config,
        controller: Post,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        untold: Untold | None = None,
    ) -> None:
        self._config = config
        self._controller = controller
        self._facts = Told()
        self._told: Told | None = None
        self._ports: dict[str, PortReport] = {}
        self._told_ports: dict[str, PortReport] = {}
        self._untold_ports: dict[str, PortReport] = {}
        self._reading: tuple[float, Reading] | None = None
        """The newest that is untold, and when it came."""
        self._last_readings: tuple[tuple[float, Reading], ...] = ()
        self._clock = clock
        self._wall = wall
        self._drifts = untold or Untold(None, clock, wall)
        self._claims: dict[Claim, float] = {}
        """And when each was made."""
        self._news = asyncio.Event()
        self._returned = asyncio.Event()
        """Set when a new stream begins: whoever waits after a failure need not wait any longer."""
        self._hurry = asyncio.Event()
        """Set with news that doesn't wait for company."""

    def facts(self, position: Position | None, held: str, failures: dict[str, str]) -> None:
        """What is in force now. Nothing is told before there is a position."""
        self._facts = msgspec.structs.replace(self._facts, position=position, held=held, failures=failures)
        self._note_news()

    def lead(self, *, able: bool) -> None:
        """Whether this host would lead routers out now."""
        if able != self._facts.leads_out:
            self._facts = msgspec.structs.replace(self._facts, leads_out=able)
            self._note_news()

    def found(self, foreign: str, orphans: tuple[str, ...]) -> None:
        """What the last check found that is nobody's."""
        self._facts = msgspec.structs.replace(self._facts, foreign=foreign, orphans=orphans)
        self._note_news()

    def drifted(self, drifts: Sequence[Drift]) -> None:
        """Found, put right or removed just now. Each is told as soon as it can be, if need be by another agent."""
        self._drifts.add(drifts)
        self._note_news()

    def claimed(self, claim: Claim) -> None:
        """A guest says just now that it has an address. Told once, as soon as that is possible."""
        self._claims.pop(claim, None)
        self._claims[claim] = self._clock()
        if len(self._claims) > _MOST_CLAIMS:
            del self._claims[next(iter(self._claims))]
        self._note_news()

    def ports(self, statuses: Mapping[str, PortReport], gone: Collection[str] = ()) -> None:
        """The status of ports of this host; those that are `gone` have none any more, and are news when they return."""
        for name in gone:
            for each in (self._ports, self._told_ports, self._untold_ports):
                each.pop(name, None)
        self._ports.update(statuses)
        for name, status in statuses.items():
            if self._told_ports.get(name) != status:
                self._untold_ports[name] = status
            else:
                self._untold_ports.pop(name, None)
        self._note_news()

    def read(self, reading: Reading) -> None:
        """What the counters say just now; a newer reading says all that one which could not be told would have."""
        self._reading = self._clock(), reading
        self._note_news()

    def read_last(self, reading: Reading) -> None:
        """What counters said that nobody will read again. Each is told once, as soon as that is possible."""
        self._last_readings = (*self._last_readings, (self._clock(), reading))[-_MOST_LAST_READINGS:]
        self._note_news()

    def missing(self, port_ids: Collection[str]) -> None:
        """Ports whose interfaces are here, and of which nothing was told. One more is no matter that waits."""
        self._facts = msgspec.structs.replace(self._facts, missing=tuple(sorted(port_ids)[:_MOST_MISSING]))
        self._note_news()

    def tell_all_again(self) -> None:
        """The controller may have forgotten: a new stream began."""
        self._told, self._told_ports = None, {}
        self._untold_ports = dict(self._ports)
        self._returned.set()
        self._note_news()

    async def run(self) -> None:
        pause_s = self._config.first_pause_s
        while True:
            await self._news.wait()
            await self._wait_for_more()
            self._news.clear()
            report = self._untold()
            if report is None:
                continue
            facts, claims, reading = self._facts, dict(self._claims), self._reading
            last_readings = self._last_readings
            self._returned.clear()
            try:
                await self._controller.report(report)
            except ControllerError as error:
                log.warning("report_failed", reason=str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s * random.uniform(0.5, 1.0)):
                        await self._returned.wait()
                pause_s = min(pause_s * 2, self._config.last_pause_s)
                self._note_news()
                continue
            pause_s = self._config.first_pause_s
            self._drifts.told(report.drifts)
            self._last_readings = tuple(each for each in self._last_readings if each not in last_readings)
            # One that was made again meanwhile is news.
            self._claims = {claim: at for claim, at in self._claims.items() if claims.get(claim) != at}
            self._reading = None if self._reading is reading else self._reading
            self._note_told(facts, report)
            if self._drifts:
                self._note_news()

    async def _wait_for_more(self) -> None:
        """A new position alone is no hurry: one change may concern every host, and all would report at once.

        Nor is a port that is down and was never said to be up: most are plugged in a moment, and then up.
        """
        if not self._can_wait():
            return
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.position_pause_s * random.uniform(0.5, 1.0)):
                await self._hurry.wait()

    def _note_news(self) -> None:
        """Who waits for company is woken only by what doesn't."""
        self._news.set()
        if not self._can_wait():
            self._hurry.set()

    def _can_wait(self) -> bool:
        if self._told is None or self._untold_counts or self._drifts or self._claims:
            return False
        if any(each.status != "DOWN" or each.port_id in self._told_ports for each in self._untold_ports.values()):
            return False
        told, facts = self._told, self._facts
        if not set(facts.missing).issubset(told.missing):
            return False
        return msgspec.structs.replace(facts, position=told.position, missing=told.missing) == told

    @property
    def _untold_counts(self) -> bool:
        return self._reading is not None or bool(self._last_readings)

    def _untold(self) -> Report | None:
        position, ports = self._facts.position, tuple(self._untold_ports.values())
        news = ports or self._untold_counts or self._drifts or self._claims
        if position is None or not (news or self._facts != self._told):
            return None
        told, now = self._facts, self._clock()
        claims = tuple(msgspec.structs.replace(claim, age_s=now - at) for claim, at in self._claims.items())
        found = (told.held, told.failures, self._drifts.next(), told.foreign, told.orphans)
        age_s, reading = (now - self._reading[0], self._reading[1]) if self._reading else (0.0, None)
        reading = reading and msgspec.structs.replace(reading, age_s=age_s)
        last = tuple(msgspec.structs.replace(each, age_s=now - at) for at, each in self._last_readings)
        return Report(position, ports, *found, claims, reading, self._wall(), last, told.leads_out, told.missing)

    def _note_told(self, facts: Told, report: Report) -> None:
        self._told = facts
        for each in report.ports:
            now = self._ports.get(each.port_id)
            if now is None:
                continue
            self._told_ports[each.port_id] = each
            if now == each:
                self._untold_ports.pop(each.port_id, None)
            else:
                self._untold_ports[each.port_id] = now
