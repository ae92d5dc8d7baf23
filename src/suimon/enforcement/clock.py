"""The time, as a table that ticks every minute: `clock:now(at, date, hour, minute, weekday, month, day)`, in UTC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from suimon.enforcement.gathering import Batch
from suimon.model.attributes import when
from suimon.model.fact_tables import Reading, Row
from suimon.policy.facts import CLOCK, OUTSIDE

TICK_S: Final = 60.0


class Clock:
    """`weekday` is ISO 8601's: 1 is Monday."""

    named = ("clock:now",)

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    async def read(self) -> Sequence[Batch]:
        """The minute that it is."""
        columns, row = OUTSIDE[CLOCK]["now"], minute_of(self._clock())
        return [[Reading(source=CLOCK, name="now", columns=columns, rows=[row], max_age_s=round(2 * TICK_S))]]

    def pause_s(self) -> float:
        """Until the next minute begins."""
        return TICK_S - self._clock() % TICK_S


def minute_of(now_s: float) -> Row:
    """The table's row then."""
    now = datetime.fromtimestamp(now_s // TICK_S * TICK_S, UTC)
    return when(now), now.date().isoformat(), now.hour, now.minute, now.isoweekday(), now.month, now.day
