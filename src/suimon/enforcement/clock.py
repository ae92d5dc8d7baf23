"""The time, as a table that ticks every minute: `clock:now(at, date, hour, minute, weekday, month, day)`, in UTC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from suimon.enforcement.gathering import Batch
from suimon.model.attributes import when
from suimon.model.fact_tables import Reading
from suimon.policy.facts import CLOCK, OUTSIDE

_TICK_S: Final = 60.0


class Clock:
    """`weekday` is ISO 8601's: 1 is Monday."""

    named = ("clock:now",)

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    async def read(self) -> Sequence[Batch]:
        """The minute that it is."""
        now = datetime.fromtimestamp(self._clock() // _TICK_S * _TICK_S, UTC)
        row = (when(now), now.date().isoformat(), now.hour, now.minute, now.isoweekday(), now.month, now.day)
        columns = OUTSIDE[CLOCK]["now"]
        return [[Reading(source=CLOCK, name="now", columns=columns, rows=[row], max_age_s=round(2 * _TICK_S))]]

    def pause_s(self) -> float:
        """Until the next minute begins."""
        return _TICK_S - self._clock() % _TICK_S
