"""Months of the calendar, UTC: what is billed and reported by."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from suimon.model.errors import BadRequest

_NAME: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


class Month(NamedTuple):
    """From `begin` on, and before `end`."""

    begin: datetime
    end: datetime

    @classmethod
    def of(cls, year: int, month: int) -> Month:
        after = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        return cls(datetime(year, month, 1, tzinfo=UTC), after)

    @classmethod
    def at(cls, time_s: float) -> Month:
        """The one that this time (seconds since 1970) is in."""
        now = datetime.fromtimestamp(time_s, UTC)
        return cls.of(now.year, now.month)

    @classmethod
    def named(cls, text: str) -> Month:
        """Of a name as in 2026-11. Raises BadRequest."""
        found = _NAME.fullmatch(text)
        if not found or not 1970 <= int(found[1]) < 9999:
            raise BadRequest("Of which month? ?month=2026-11")
        return cls.of(int(found[1]), int(found[2]))

    @property
    def name(self) -> str:
        return f"{self.begin:%Y-%m}"

    @property
    def begin_s(self) -> int:
        return round(self.begin.timestamp())

    @property
    def end_s(self) -> int:
        return round(self.end.timestamp())
