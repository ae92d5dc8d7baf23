"""Says in the log which view is in force, and which API requests led to it.

At once where it is about a port of this host. What is not may concern every host of a cloud, many times a second, and
a line costs an agent as much as all that it compiles for a port elsewhere: such changes share a line a second.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from suimon.model.view import MOST_REQUESTS, Position

log = structlog.get_logger()

PAUSE_S: Final = 1.0


class InForce:
    """`note` is called on the agent's loop."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._position: Position | None = None
        self._requests: dict[str, None] = {}
        self._said_at_s = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def note(self, position: Position | None, requests: Sequence[str], *, here: bool) -> None:
        """`position` is in force from now on. `here` says that a port of this host is concerned."""
        self._position = position
        self._requests.update(dict.fromkeys(requests))
        loop = asyncio.get_running_loop()
        wait_s = self._said_at_s + self._pause_s - loop.time()
        if here or wait_s <= 0 or len(self._requests) >= MOST_REQUESTS:
            self._say()
        elif self._timer is None:
            self._timer = loop.call_later(wait_s, self._say)

    def _say(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        requests, self._requests, self._timer = list(self._requests), {}, None
        self._said_at_s = asyncio.get_running_loop().time()
        log.info("view_in_force", revision=self._position.revision if self._position else None, requests=requests)
