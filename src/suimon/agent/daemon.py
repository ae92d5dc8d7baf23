"""The agent of a hypervisor: its parts at work, and the loop that finds Open vSwitch again whenever it was lost."""

import asyncio
from typing import Never

import msgspec
import structlog

from suimon.agent.control import Control
from suimon.agent.controller import Controller
from suimon.agent.ending import apart
from suimon.agent.follower import Follower
from suimon.agent.session import Config as SessionConfig
from suimon.agent.session import Parts, Session
from suimon.dataplane.layout import LayoutRefused
from suimon.dataplane.openflow.errors import Refused
from suimon.dataplane.ovsdb import TransactionRefused

log = structlog.get_logger()


class Config(msgspec.Struct, frozen=True):
    """Pauses between tries to reach Open vSwitch: short at first, because every moment counts."""

    session: SessionConfig = SessionConfig()
    first_pause_s: float = 0.02
    last_pause_s: float = 1.0


class Agent:
    """`run()` ends only when it is cancelled, or by a fault of ours. The state directory is locked by the caller."""

    def __init__(
        self, config: Config, controller: Controller, parts: Parts, follower: Follower, control: Control
    ) -> None:
        self._config = config
        self._controller = controller
        self._parts = parts
        self._follower = follower
        self._control = control

    async def run(self) -> Never:
        if self._parts.enforcer.position is None:
            log.info("no_view", effect="the switch stays as it is until the controller tells one")
        await self._controller.open()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._control.run())
                tasks.create_task(self._parts.reporter.run())
                tasks.create_task(self._follower.run())
                tasks.create_task(self._parts.devices.run())
                tasks.create_task(self._take_news())
                tasks.create_task(self._stay_connected())
                if self._parts.services is not None:
                    tasks.create_task(self._parts.services.run())
        finally:
            await self._controller.close()
        raise AssertionError("none of the tasks ever ends")

    async def _take_news(self) -> Never:
        """All that waits is taken in without a break, so that it shares one round."""
        news = self._follower.news
        while True:
            self._parts.enforcer.take(await news.get())
            news.task_done()

    async def _stay_connected(self) -> Never:
        config, told, pause_s = self._config, "", self._config.first_pause_s
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            try:
                await apart(Session(config.session, self._parts).run())
            except* (OSError, Refused, TransactionRefused, LayoutRefused) as lost:
                reason = _words(lost)
                if reason != told:
                    log.error("open_vswitch_lost", reason=reason, effect="what is in the switch stays, trying again")
                told = reason
            if clock() - started > config.last_pause_s:
                pause_s, told = config.first_pause_s, ""
            await asyncio.sleep(pause_s)
            # Slowly: then a switch that was away for so long waits a tenth of that longer, at most.
            pause_s = min(pause_s * 1.1, config.last_pause_s)


def _words(lost: BaseException) -> str:
    """What went wrong first, in a sentence."""
    while isinstance(lost, BaseExceptionGroup):
        lost = lost.exceptions[0]
    if isinstance(lost, FileNotFoundError | ConnectionRefusedError):
        return f"nobody answers at its sockets; is it running, and is --ovs-rundir right? ({lost})"
    if isinstance(lost, PermissionError):
        return f"its sockets are not open to this user; the agent must run as root ({lost})"
    return str(lost) or type(lost).__name__
