"""Tells the controller what is in force here: the position, ports that changed, counters, what is held or refused.

Facts are put in from the agent's loop; `run()` posts what is untold, one report at a time, so that facts which come
while a report is under way share the next one. A port's status is told once, and again after the line was broken.
"""

import asyncio
import random
from typing import Protocol

import msgspec
import structlog

from suimon.agent.controller import ControllerError
from suimon.model.view import Counters, PortReport, Position, Report

log = structlog.get_logger()


class Post(Protocol):
    """What the reporter needs of the controller (agent.controller.Controller)."""

    async def report(self, report: Report) -> None: ...


class Config(msgspec.Struct, frozen=True):
    """Pauses after a failed report: doubled from the first to the last."""

    first_pause_s: float = 0.05
    last_pause_s: float = 5.0


class Told(msgspec.Struct, frozen=True):
    """The facts of a report that stay true until they change."""

    position: Position | None = None
    held: str = ""
    failures: dict[str, str] = {}


class Reporter:
    def __init__(self, config: Config, controller: Post) -> None:
        self._config = config
        self._controller = controller
        self._facts = Told()
        self._told: Told | None = None
        self._ports: dict[str, PortReport] = {}
        self._told_ports: dict[str, PortReport] = {}
        self._counters: tuple[Counters, ...] = ()
        self._news = asyncio.Event()

    def facts(self, position: Position | None, held: str, failures: dict[str, str]) -> None:
        """What is in force now. Nothing is told before there is a position."""
        self._facts = Told(position, held, failures)
        self._news.set()

    def ports(self, statuses: dict[str, PortReport]) -> None:
        """The status of every port of this host that has one."""
        self._ports = statuses
        self._news.set()

    def counters(self, counters: tuple[Counters, ...]) -> None:
        """Newer counters replace those that could not be told."""
        self._counters = counters
        self._news.set()

    def tell_all_again(self) -> None:
        """The controller may have forgotten: a new stream began."""
        self._told, self._told_ports = None, {}
        self._news.set()

    async def run(self) -> None:
        pause_s = self._config.first_pause_s
        while True:
            await self._news.wait()
            self._news.clear()
            report = self._untold()
            if report is None:
                continue
            facts = self._facts
            try:
                await self._controller.report(report)
            except ControllerError as error:
                log.warning("report_failed", reason=str(error))
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, self._config.last_pause_s)
                self._news.set()
                continue
            pause_s = self._config.first_pause_s
            self._note_told(facts, report)

    def _untold(self) -> Report | None:
        position = self._facts.position
        ports = tuple(each for name, each in self._ports.items() if self._told_ports.get(name) != each)
        if position is None or not (ports or self._counters or self._facts != self._told):
            return None
        return Report(position, ports, self._counters, self._facts.held, self._facts.failures)

    def _note_told(self, facts: Told, report: Report) -> None:
        self._told = facts
        self._told_ports = {name: each for name, each in self._told_ports.items() if name in self._ports}
        self._told_ports |= {each.port_id: each for each in report.ports}
        if self._counters is report.counters:
            self._counters = ()
