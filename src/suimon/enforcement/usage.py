"""What ports and projects used, as tables: bytes of today and of this month (UTC), and the rate of the last minute.

Months are long: full hours are added up once, an hour at a time, and what came since is added at each reading.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from suimon.enforcement.gathering import Batch
from suimon.model.fact_tables import Reading, Row, Unread
from suimon.model.samples import Sample
from suimon.policy.facts import OURS, OUTSIDE
from suimon.telemetry.meter.database import Trouble
from suimon.telemetry.meter.history import READ, ROLLED
from suimon.telemetry.meter.meters import Meters

_HOUR_S: Final = 3600
_RATE_S: Final = 60.0
_PORTS: Final = "usage"
_PROJECTS: Final = "project_usage"
Sums = dict[tuple[str, str], tuple[float, float]]
"""(port, project) → bytes in, out; or kbit/s."""


class UsageConfig(msgspec.Struct, frozen=True):
    """`settled_s` after an hour's end nothing is added to it any more (`telemetry.meter.history`)."""

    every_s: float = 60.0
    settled_s: float = 180.0


class Usage:
    """A `gathering.Source`."""

    named = (f"{OURS}:{_PORTS}", f"{OURS}:{_PROJECTS}")

    def __init__(self, config: UsageConfig, meters: Meters, clock: Callable[[], float]) -> None:
        self._config = config
        self._meters = meters
        self._clock = clock
        self._months: Sums = {}
        self._days: Sums = {}
        self._month_s = self._day_s = self._settled_s = 0
        """When the month and the day began, and up to where their hours are added up."""

    async def read(self) -> Sequence[Batch]:
        """Both tables, or neither while the meter's database is away."""
        now_s = self._clock()
        try:
            await self._settle(now_s)
            recent = await self._samples(self._settled_s, now_s, ROLLED[0])
            last = await self._samples(now_s - _RATE_S, now_s, READ)
        except Trouble as error:
            problem = f"the meter can't be read: {error}"
            return [[Unread(source=OURS, name=name, problem=problem) for name in (_PORTS, _PROJECTS)]]
        today = [one for one in recent if one.ended_s > self._day_s]
        sums = [_added(self._days, today), _added(self._months, recent), _rates(last)]
        return [[self._reading(_PORTS, _rows(sums)), self._reading(_PROJECTS, _rows(map(_by_project, sums)))]]

    def pause_s(self) -> float:
        return self._config.every_s

    async def _settle(self, now_s: float) -> None:
        """Add up the hours of this month that are over. Raises Trouble."""
        day = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        day_s, month_s = round(day.timestamp()), round(day.replace(day=1).timestamp())
        if month_s != self._month_s:
            self._months = {}
        if day_s != self._day_s:
            self._days = {}
            if self._settled_s > day_s:  # The clock went back over midnight.
                self._months, self._settled_s = {}, month_s
        self._day_s, self._month_s, self._settled_s = day_s, month_s, max(self._settled_s, month_s)
        while (until_s := self._settled_s + _HOUR_S) + self._config.settled_s <= now_s:
            hour = await self._samples(self._settled_s, until_s, ROLLED[-1])
            self._months = _added(self._months, hour)
            if self._settled_s >= day_s:
                self._days = _added(self._days, hour)
            self._settled_s = until_s

    async def _samples(self, since_s: float, until_s: float, coarsest_s: int) -> list[Sample]:
        return await self._meters.ask(lambda history: history.samples("", since_s, until_s, coarsest_s))

    def _reading(self, name: str, rows: list[Row]) -> Reading:
        age_s = round(self._config.every_s * 3)
        return Reading(source=OURS, name=name, columns=OUTSIDE[OURS][name], rows=rows, max_age_s=age_s)


def _added(sums: Sums, samples: Iterable[Sample]) -> Sums:
    """New sums: half of an hour is never in the old ones."""
    found = dict(sums)
    for one in samples:
        whose = one.port_id, one.project_id
        into, out = found.get(whose, (0, 0))
        found[whose] = into + one.in_bytes, out + one.out_bytes
    return found


def _rates(samples: Iterable[Sample]) -> Sums:
    """In kbit/s, over the time that was counted."""
    parts: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for one in samples:
        parts[one.port_id, one.project_id].append(one)
    found: Sums = {}
    for whose, those in parts.items():
        span_s = max(max(one.ended_s for one in those) - min(one.begun_s for one in those), 1.0)
        into, out = sum(one.in_bytes for one in those), sum(one.out_bytes for one in those)
        found[whose] = into * 8 / 1000 / span_s, out * 8 / 1000 / span_s
    return found


def _by_project(sums: Sums) -> Sums:
    found: Sums = {}
    for (_, project_id), (into, out) in sums.items():
        before = found.get(("", project_id), (0, 0))
        found["", project_id] = before[0] + into, before[1] + out
    return found


def _rows(sums: Iterable[Sums]) -> list[Row]:
    """Of all that are in any of them, what each says; without a port, the project alone."""
    parts = list(sums)
    whose = sorted(set().union(*parts))
    return [
        (
            *([port] if port else []),
            project,
            *(round(figure) for part in parts for figure in part.get((port, project), (0, 0))),
        )
        for port, project in whose
    ]
