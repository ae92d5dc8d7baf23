"""Follows the controller's change log: one watch stream after another, its frames put into a bounded queue.

The queue's reader is the only one who changes the view, so a stream that breaks asks for a new one only after
everything that came by the old one was taken in: no frame is asked for twice or skipped.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import msgspec
import structlog

from suimon.agent.controller import ControllerError, Unreachable
from suimon.model.questions import Asked
from suimon.model.view import SCHEMA, Delta, Frame, Ping, Position, Retry, Snapshot, Watch

log = structlog.get_logger()

QUEUE_FRAMES: Final = 64


class Connected(msgspec.Struct, frozen=True):
    """A new stream speaks: what follows continues the position that it asked for."""


class Stream(Protocol):
    """What the follower needs of the controller (agent.controller.Controller)."""

    def watch(self, watch: Watch) -> AsyncIterator[Frame]: ...


News = Connected | Snapshot | Delta | Ping


class Config(msgspec.Struct, frozen=True):
    """Pauses between streams: doubled from the first to the last, half of each by chance.

    They begin anew after a stream that lived longer than the last: one that breaks as soon as it speaks is no success.
    Where nobody listens no pause is longer than `unreachable_s`, and any part of it by chance: hosts come back within
    that time, and not all at once.
    """

    first_pause_s: float = 0.05
    last_pause_s: float = 5.0
    unreachable_s: float = 0.8


class Follower:
    """Puts `Connected`, then the frames of each stream, into `news`; `position` says what the view stands for."""

    def __init__(
        self,
        config: Config,
        controller: Stream,
        position: Callable[[], Position | None],
        news: "asyncio.Queue[News]",
        ask: Callable[[Asked], None] | None = None,
    ) -> None:
        self._config = config
        self._controller = controller
        self._position = position
        self.news = news
        self._ask = ask

    async def run(self) -> None:
        pause_s, told = self._config.first_pause_s, ""
        while True:
            await self.news.join()
            least, longest_s = 0.5, self._config.last_pause_s
            told_pause_s, spoke, began = None, False, asyncio.get_running_loop().time()
            try:
                async for frame in self._controller.watch(self._watch()):
                    if isinstance(frame, Retry):
                        told_pause_s = frame.after_s
                        break
                    if isinstance(frame, Asked):
                        if self._ask is not None:
                            self._ask(frame)
                        continue
                    if not spoke:
                        spoke, told = True, ""
                        await self.news.put(Connected())
                    await self.news.put(frame)
            except ControllerError as error:
                if str(error) != told:  # The same again, until a stream speaks, is no news.
                    log.warning("watch_broken", reason=str(error))
                    told = str(error)
                if isinstance(error, Unreachable):
                    least, longest_s = 0.0, self._config.unreachable_s
            if asyncio.get_running_loop().time() - began > self._config.last_pause_s:
                pause_s = self._config.first_pause_s
            chosen_s = min(pause_s, longest_s) * random.uniform(least, 1.0)
            await asyncio.sleep(chosen_s if told_pause_s is None else told_pause_s)
            pause_s = min(pause_s * 2, self._config.last_pause_s)

    def _watch(self) -> Watch:
        return Watch(SCHEMA, self._position())
