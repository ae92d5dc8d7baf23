"""The continuous check: is the switch as it was left? What differs is repaired, and told with who did what.

It reads everything again every now and then, complete or not at all (a read that fails ends the session, which begins
anew). Foreign things are counted and left alone; orphans are told, and removed on command or where policy says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final, Never, Protocol

import msgspec
import structlog

from suimon.dataplane.orphans import Orphan
from suimon.model.view import Drift

log = structlog.get_logger()

_MOST_TOLD: Final = 20


class Config(msgspec.Struct, frozen=True):
    """Seconds between checks, on average: each pause is half to one and a half of them, the first is shorter."""

    every_s: float = 60.0
    first_s: float = 5.0
    remove_orphans: bool = False


class Checked(Protocol):
    """A session, as it is checked. Raises what the connections raise."""

    async def repair(self) -> list[Drift]:
        """Compare all of the switch with how it was left, and repair it: what differed."""

    def foreign(self) -> str:
        """By bridge, how many flows, groups, meters and ports aren't ours, with an example of each; "" for none."""

    def refused(self) -> Collection[str]:
        """Owners of what isn't as it should be, as drifts name them."""

    def orphans(self) -> list[Orphan]: ...

    async def remove(self, orphans: Sequence[Orphan]) -> None: ...


class Telling(Protocol):
    """What the checks tell the controller through (agent.reporter.Reporter)."""

    def drifted(self, drifts: Sequence[Drift]) -> None: ...

    def found(self, foreign: str, orphans: tuple[str, ...]) -> None: ...


class Checks:
    """One for the agent's life, `run` for each session. `jitter` gives numbers in [0, 1)."""

    def __init__(self, config: Config, reporter: Telling, jitter: Callable[[], float]) -> None:
        self.count = 0
        """Checks that were completed."""
        self.foreign = ""
        self.orphans: tuple[str, ...] = ()
        self._config, self._reporter, self._jitter = config, reporter, jitter
        self._session: Checked | None = None
        self._unrepaired: dict[str, Drift] = {}
        """By owner, what was told so."""

    async def run(self, session: Checked) -> Never:
        self._session, pause_s = session, min(self._config.first_s, self._config.every_s)
        try:
            while True:
                await asyncio.sleep(pause_s * (0.5 + self._jitter()))
                await self.check(session)
                pause_s = self._config.every_s
        finally:
            self._session = None

    async def check(self, session: Checked) -> None:
        """Once, all of it."""
        drifts = await session.repair()
        for drift in drifts[:_MOST_TOLD]:
            log.warning("switch_drifted", **msgspec.structs.asdict(drift))
        if drifts:
            log.warning("switch_repaired", owners=len(drifts), refused=sum(not drift.repaired for drift in drifts))
            self._reporter.drifted(_bounded(drifts))
        self._tell_repairs(drifts, session.refused())
        orphans = session.orphans()
        if orphans and self._config.remove_orphans:
            await self._remove(session, orphans, "the agent, as --remove-orphans says")
            orphans = session.orphans()
        self._find(session.foreign(), orphans)
        self.count += 1

    async def clean(self, by: str) -> list[str] | None:
        """Remove the orphans of now, by this operator's word: what they were. None while there is no switch."""
        session = self._session
        if session is None:
            return None
        orphans = session.orphans()
        if orphans:
            await self._remove(session, orphans, by)
        self._find(session.foreign(), session.orphans())
        return list(map(str, orphans))

    async def _remove(self, session: Checked, orphans: Sequence[Orphan], by: str) -> None:
        await session.remove(orphans)
        log.warning("orphans_removed", orphans=list(map(str, orphans))[:_MOST_TOLD], count=len(orphans), by=by)
        self._reporter.drifted([removed(each.owner, str(each), by) for each in orphans])

    def _tell_repairs(self, drifts: Sequence[Drift], refused: Collection[str]) -> None:
        """Of what could not be put right when it was found, and is right now."""
        self._unrepaired |= {each.owner: each for each in drifts if not each.repaired}
        done = [each for owner, each in self._unrepaired.items() if owner not in refused]
        done = [each for each in done if each not in drifts]
        if not done:
            return
        for each in done:
            del self._unrepaired[each.owner]
            log.info("switch_repaired_later", owner=each.owner)
        self._reporter.drifted([Drift(each.owner, example=each.example, kind="repair") for each in done])

    def _find(self, foreign: str, orphans: Sequence[Orphan]) -> None:
        names = tuple(map(str, orphans))
        if foreign != self.foreign and foreign:
            log.warning("foreign_things", found=foreign, effect="they are left alone")
        if names != self.orphans and names:
            log.warning("orphans", orphans=names[:_MOST_TOLD], count=len(names), removed_by="suimon agent clean")
        self.foreign, self.orphans = foreign, names
        self._reporter.found(foreign, names[:_MOST_TOLD])


def removed(owner: str, what: str, by: str) -> Drift:
    """An orphan was, by that one's word."""
    return Drift(owner, extra=1, example=what, kind="removal", by=by)


def _bounded(drifts: Sequence[Drift]) -> list[Drift]:
    """The first ones, and all the others as one."""
    kept, rest = list(drifts[:_MOST_TOLD]), drifts[_MOST_TOLD:]
    if rest:
        missing, changed, extra = (
            sum(getattr(each, name) for each in rest) for name in ("missing", "changed", "extra")
        )
        repaired = all(each.repaired for each in rest)
        kept.append(Drift(f"{len(rest)} more", missing, changed, extra, repaired=repaired))
    return kept
