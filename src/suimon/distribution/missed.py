"""What hosts miss gets to the controller that has their stream: a report may come to another one (decision 0098)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Final

import msgspec
import structlog

from suimon.distribution.inquiry import Others
from suimon.model.errors import CallerError

log = structlog.get_logger()

_MOST, _LONGEST_ID = 30, 36
"""In one message, new ones first: it has room for them whatever characters a host makes its ids of."""
_MOST_KEPT: Final = 1_000
"""Of a host."""
_PAUSE_S: Final = 0.5
"""Between two messages about a host: what it misses meanwhile is told as soon without them."""


class _Misses(msgspec.Struct, frozen=True, tag="misses"):
    host: str
    port_ids: tuple[str, ...]


class Missed:
    """`said` is what a host reports, `run` hears of other controllers what was said to them. `miss` gives it to the
    host's stream, and says whether there is one here.
    """

    def __init__(
        self, miss: Callable[[str, Collection[str]], bool], others: Others, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._miss, self._others, self._clock = miss, others, clock
        self._carried: dict[str, tuple[float, frozenset[str]]] = {}
        """By host, when it was last, and what."""

    async def run(self) -> None:
        """Until cancelled. Nothing wakes it but a message."""
        with self._others.listening(self._heard):
            await asyncio.Event().wait()

    async def said(self, host: str, port_ids: Iterable[str]) -> None:
        """All that it misses now. The other controllers are told only when that is more than it was."""
        said = [each for each in islice(port_ids, _MOST_KEPT) if len(each) <= _LONGEST_ID]
        if self._miss(host, said) or not self._others.shared:
            self._carried.pop(host, None)
            return
        now_s = self._clock()
        at_s, before = self._carried.get(host, (-math.inf, frozenset()))
        missing = frozenset(said)
        new = missing - before
        if new and now_s - at_s < _PAUSE_S:
            return
        self._carried[host] = now_s if new else at_s, missing
        if new:
            await self._tell(_Misses(host, (*sorted(new), *sorted(missing & before))[:_MOST]))

    async def _tell(self, message: _Misses) -> None:
        try:
            await self._others.tell(msgspec.json.encode(message).decode())
        except CallerError as error:
            log.warning("missing_not_carried", host=message.host, reason=error.message)

    def _heard(self, message: str) -> None:
        try:
            found = msgspec.json.decode(message, type=_Misses)
        except msgspec.MsgspecError:
            return  # Another one's.
        self._miss(found.host, found.port_ids)
