"""What happened on this host and its controller doesn't know yet: kept until it does, also by the next agent.

Each thing gets an id here, so that one that is told twice (its answer was lost, or the agent died before it noted it)
is known again.
"""

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec
import structlog

from suimon.agent.saved import Happened, SavedFile
from suimon.model.view import Drift

log = structlog.get_logger()

MOST_KEPT: Final = 1000
MOST_AT_ONCE: Final = 100
"""In one report."""


class Untold:
    """In `file`, if there is one. `clock` is of time that passes, `wall` that of the last agent, too; in seconds."""

    def __init__(
        self,
        file: SavedFile[tuple[Happened, ...]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._file, self._clock, self._wall = file, clock, wall
        before = (file.load() if file else None) or ()
        self._kept = [(clock() - max(0.0, wall() - each.at_s), each.drift) for each in before]

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add(self, drifts: Sequence[Drift]) -> None:
        """They happened just now."""
        now = self._clock()
        self._kept += [(now, _named(each)) for each in drifts]
        if len(self._kept) > MOST_KEPT:
            older = self._kept[: len(self._kept) - MOST_KEPT + 1]
            self._kept[: len(older)] = [(older[-1][0], _sum([each for _, each in older]))]
        self._save()

    def next(self) -> tuple[Drift, ...]:
        """The oldest, with their ages."""
        now = self._clock()
        return tuple(msgspec.structs.replace(each, age_s=now - at) for at, each in self._kept[:MOST_AT_ONCE])

    def told(self, drifts: Collection[Drift]) -> None:
        """The controller has these."""
        if drifts:
            ids = {each.id for each in drifts}
            self._kept = [(at, each) for at, each in self._kept if each.id not in ids]
            self._save()

    def _save(self) -> None:
        if self._file is None:
            return
        offset_s = self._wall() - self._clock()
        try:
            self._file.save(tuple(Happened(at + offset_s, each) for at, each in self._kept), durable=False)
        except OSError as error:
            log.error("untold_not_saved", reason=str(error), effect="an agent that dies now takes it along")


def _named(drift: Drift) -> Drift:
    return msgspec.structs.replace(drift, id=secrets.token_hex(16))


def _sum(older: Sequence[Drift]) -> Drift:
    missing, changed, extra = (sum(getattr(each, name) for each in older) for name in ("missing", "changed", "extra"))
    words = "the sum of older things, which were too many to be kept until the controller could be told"
    return _named(Drift("", missing, changed, extra, words, all(each.repaired for each in older)))
