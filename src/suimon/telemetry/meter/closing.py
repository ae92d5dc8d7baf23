"""Closes months: what one came to is written down once, when nothing can be added to it any more, and told from there.

A month is closed when its five minutes are complete (`history`), so that a sample that comes later is one of the next
month. It is gone through in pieces, as a large cloud's takes long; one that was interrupted is begun anew.
"""

from __future__ import annotations

from typing import Final

import msgspec

from suimon.model.months import Month
from suimon.telemetry.meter.history import ROLLED, History
from suimon.telemetry.meter.months import STEP_S, Fold, Statement

_PIECE_S: Final = ROLLED[-1]


class Months:
    """Of one history. For threads; `close` for one after the other. They raise `database.Trouble`."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._closing: Fold | None = None

    def close(self, now_s: float) -> bool:
        """One piece of what is to be gone through of the oldest month that is not closed; whether there is more."""
        began_s = self._history.began_s()
        month = Month.at(self._history.closed_s() or began_s)
        if not began_s or self._history.settled_s(STEP_S) < month.end_s:
            self._closing = None
            return False
        if self._closing is None or self._closing.month != month:
            self._closing = Fold(month, began_s)
        _take(self._closing, self._history, month.end_s)
        if self._closing.until_s == month.end_s:
            body = msgspec.msgpack.encode(self._closing.statement(closed_s=round(now_s)))
            self._history.close_month(month.name, body, month.end_s)
            self._closing = None
        return True

    def closed(self, month: Month) -> Statement | None:
        """What a month that is closed came to."""
        kept = self._history.closed_month(month.name)
        return None if kept is None else msgspec.msgpack.decode(kept, type=Statement)

    def so_far(self, month: Month, project_id: str | None) -> Statement | None:
        """What any other one comes to, as far as its five minutes are complete; of a project, or of all (None). None if
        nothing was metered in it.
        """
        began_s, until_s = self._history.began_s(), min(self._history.settled_s(STEP_S), month.end_s)
        if not began_s or month.end_s <= began_s or until_s <= month.begin_s:
            return None
        fold = Fold(month, began_s)
        while fold.until_s < until_s:
            _take(fold, self._history, round(until_s), project_id)
        return fold.statement()

    def known(self) -> list[tuple[str, bool]]:
        """All months of which there is a statement, the oldest first, and which of them are closed."""
        found = [(name, True) for name in self._history.closed_months()]
        month = Month.at(self._history.closed_s() or self._history.began_s())
        while month.begin_s < self._history.settled_s(STEP_S):
            found.append((month.name, False))
            month = Month.at(month.end_s)
        return found


def _take(fold: Fold, history: History, most_s: int, project_id: str | None = None) -> None:
    until_s = min(fold.until_s + _PIECE_S, most_s)
    samples = history.samples(project_id or "", fold.until_s, until_s, STEP_S)
    fold.take((one for one in samples if project_id in (None, one.project_id)), until_s)
