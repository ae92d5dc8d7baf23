"""What ports used within a time, kept up to date: a look adds what came since the last one, and takes off what is too
old by now. Only the first look reads all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Final

from suimon.model.samples import Sample
from suimon.telemetry.meter.history import READ, ROLLED, History

Amounts = Mapping[tuple[str, str], tuple[int, int, int, int]]
"""By port and project: bytes in, out, in from outside, out to outside."""
_MINUTE_S: Final = ROLLED[0]
_HOUR_S: Final = ROLLED[-1]
_LONG_S: Final = 6 * 3600.0
"""From here on a time begins with a full hour, below with a full minute."""
_AT_ONCE_S: Final = 600
"""Minutes that are read at once."""
_NOTHING: Final = (0, 0, 0, 0)


class Window:
    """The last `lasts_s`, from the first full hour or minute in it; of one `subject` (a port, project or network, all
    if empty), and if `since_s` is said, from the first full minute after that, which is then later.

    For threads, one after the other.
    """

    def __init__(self, lasts_s: float, subject: str = "", since_s: float | None = None) -> None:
        self.amounts: Amounts = {}
        """As of the last look that was done."""
        self._lasts_s = lasts_s
        self._subject = subject
        self._since_s = since_s
        self._sums: dict[tuple[str, str], tuple[int, int, int, int]] = {}
        self._begun_s = self._settled_s = -math.inf
        self._done_s = -math.inf
        self._lock = Lock()

    def look(self, history: History, now_s: float) -> bool:
        """One piece of what is to be read until `amounts` are those of now; whether they are. Raises
        `database.Trouble`, and goes on from there the next time.
        """
        with self._lock:
            if self._done_s == now_s:
                return True
            edge_s = self._edge_s(history, now_s)
            if self._settled_s < edge_s or edge_s < self._begun_s - _HOUR_S:
                self._begun_s, self._settled_s, self._sums = edge_s, edge_s, {}
            if self._begun_s < edge_s:
                until_s = min(self._begun_s + _HOUR_S, edge_s)
                grain_s = _HOUR_S if until_s % _HOUR_S == self._begun_s % _HOUR_S == 0 else _MINUTE_S
                _add(self._sums, history.samples(self._subject, self._begun_s, until_s, grain_s), -1)
                self._begun_s = until_s
                return False
            settled_s = history.settled_s()
            if self._settled_s < settled_s:
                until_s, grain_s = self._piece(settled_s)
                _add(self._sums, history.samples(self._subject, self._settled_s, until_s, grain_s))
                self._settled_s = until_s
                return False
            amounts = dict(self._sums)
            _add(amounts, history.samples(self._subject, self._settled_s, now_s, READ))
            self.amounts, self._done_s = amounts, now_s
            return True

    def _edge_s(self, history: History, now_s: float) -> float:
        if self._since_s is None:
            grain_s = _HOUR_S if self._lasts_s >= _LONG_S else _MINUTE_S
            return math.ceil((now_s - self._lasts_s) / grain_s) * grain_s
        if self._begun_s > -math.inf:
            return self._begun_s
        grain_s = _MINUTE_S if self._since_s > now_s - history.config.keep_minutes_s + _HOUR_S else _HOUR_S
        return math.ceil(self._since_s / grain_s) * grain_s

    def _piece(self, settled_s: float) -> tuple[float, int]:
        """Until when the next piece is, and in which grain."""
        hour_s = (self._settled_s // _HOUR_S + 1) * _HOUR_S
        if self._settled_s % _HOUR_S == 0 and hour_s <= settled_s:
            return hour_s, _HOUR_S
        return min(settled_s, hour_s, self._settled_s + _AT_ONCE_S), _MINUTE_S


def _add(sums: dict[tuple[str, str], tuple[int, int, int, int]], samples: Iterable[Sample], sign: int = 1) -> None:
    """What comes to nothing is left out: ports come and go."""
    for one in samples:
        whose = one.port_id, one.project_id
        into, out, into_outside, out_outside = sums.get(whose, _NOTHING)
        total = (
            into + sign * one.in_bytes,
            out + sign * one.out_bytes,
            into_outside + sign * one.in_outside_bytes,
            out_outside + sign * one.out_outside_bytes,
        )
        if any(total):
            sums[whose] = total
        else:
            sums.pop(whose, None)
