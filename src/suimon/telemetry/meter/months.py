"""What a month came to, as it is billed: sums of each port, project and network, and the 95th percentile of the month's
five minutes. Pure.

A percentile needs of all five minutes only the largest twentieth: those are kept while the month is gone through.
"""

from __future__ import annotations

from array import array
from bisect import insort
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from suimon.model.months import Month
from suimon.model.samples import Sample
from suimon.telemetry.meter.ledger import FIGURES, added, figures

STEP_S: Final = 300
"""How long what the percentile is of lasts."""
RATED: Final = ("in", "out", "in_outside", "out_outside")
_PERCENT: Final = 95
_HOUR_S: Final = 3600
_NOTHING: Final = (0,) * len(FIGURES)
_NONE: Final = (array("Q"),) * len(RATED)
_Key = tuple[str, str, str]


class Whose(NamedTuple):
    """A port on a network; without the port, what all its project's ports had there; without both, what they had."""

    project_id: str
    network_id: str = ""
    port_id: str = ""

    @property
    def kind(self) -> str:
        return "port" if self.port_id else "network" if self.network_id else "project"


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`sums` in the order of FIGURES; `billed_bps` of RATED. `metered_s` is how long ports were metered, all in all,
    `late_s` how much of that was told later than in the five minutes in which it passed.
    """

    whose: Whose
    sums: tuple[int, ...]
    billed_bps: tuple[float, ...]
    metered_s: float
    late_s: float


class Statement(msgspec.Struct, frozen=True):
    """Of a month, as far as it was metered: from `since_s` until `until_s`. `closed_s`: when it was closed."""

    month: str
    since_s: float
    until_s: float
    lines: tuple[Line, ...]
    closed_s: float | None = None

    @property
    def complete(self) -> float:
        """The part of the month that was metered, less that of it which was told late."""
        month = Month.named(self.month)
        ports = [line for line in self.lines if line.whose.kind == "port"]
        metered_s, late_s = sum(line.metered_s for line in ports), sum(line.late_s for line in ports)
        share = (self.until_s - self.since_s) / (month.end_s - month.begin_s)
        return round(share * (max(1 - late_s / metered_s, 0.0) if metered_s else 1.0), 6)


class _Time:
    """For how long one port was metered."""

    __slots__ = ("late_ms", "metered_ms", "until_ms")

    def __init__(self) -> None:
        self.until_ms = self.metered_ms = self.late_ms = 0


class Fold:
    """Takes a month's samples, in order; `statement` is what they come to so far."""

    def __init__(self, month: Month, since_s: float | None = None) -> None:
        """`since_s`: since when there is metering, if that is later than the month's begin."""
        self.month = month
        self._since_s = max(since_s or 0.0, month.begin_s)
        self.until_s = max(month.begin_s, int(self._since_s) // _HOUR_S * _HOUR_S)
        self._most = _beyond(month.end_s - month.begin_s) + 1
        self._sums: dict[_Key, tuple[int, ...]] = {}
        self._largest: dict[_Key, tuple[array[int], ...]] = {}
        self._times: dict[_Key, _Time] = {}
        self._begin_ms = month.begin_s * 1000

    def take(self, samples: Iterable[Sample], until_s: int) -> None:
        """All that ended after `self.until_s` and until then, a multiple of STEP_S."""
        steps: dict[int, list[Sample]] = defaultdict(list)
        for sample in samples:
            steps[-(-round(sample.ended_s * 1000) // (STEP_S * 1000))].append(sample)
        for number in sorted(steps):
            self._step(number * STEP_S * 1000, steps[number])
        self.until_s = until_s

    def statement(self, closed_s: float | None = None) -> Statement:
        """In the order of projects, networks and ports; of those that had anything."""
        sums = dict(self._sums)
        times: dict[_Key, tuple[int, ...]] = {
            whose: (one.metered_ms, one.late_ms) for whose, one in self._times.items()
        }
        for port in self._sums:
            for more in ((*port[:2], ""), (port[0], "", "")):
                sums[more] = added(sums.get(more, _NOTHING), self._sums[port])
                times[more] = added(times.get(more, (0, 0)), times[port])
        rank = _beyond(self.until_s - self.month.begin_s) + 1
        lines = tuple(
            Line(
                Whose(*whose),
                sums[whose],
                tuple(
                    each[-rank] * 8 / STEP_S if len(each) >= rank else 0.0 for each in self._largest.get(whose, _NONE)
                ),
                *(each / 1000 for each in times[whose]),
            )
            for whose in sorted(sums)
        )
        return Statement(self.month.name, self._since_s, max(self._since_s, self.until_s), lines, closed_s)

    def _step(self, ended_ms: int, samples: Iterable[Sample]) -> None:
        passed: dict[_Key, tuple[int, ...]] = {}
        for one in samples:
            port, network, project = _keys(one)
            self._metered(port, round(one.begun_s * 1000), ended_ms)
            sums = figures(one)
            if not any(sums):
                continue
            self._sums[port] = added(self._sums[port], sums)
            rated = one.in_bytes, one.out_bytes, one.in_outside_bytes, one.out_outside_bytes
            for whose in (port, network, project):
                known = passed.get(whose)
                passed[whose] = added(known, rated) if known else rated
        for whose, amounts in passed.items():
            kept = self._largest.get(whose)
            if kept is None:
                kept = self._largest[whose] = tuple(array("Q") for _ in RATED)
            for largest, amount in zip(kept, amounts, strict=True):
                self._keep(largest, amount)

    def _keep(self, largest: array[int], amount: int) -> None:
        if len(largest) < self._most:
            if amount:
                insort(largest, amount)
        elif amount > largest[0]:
            del largest[0]
            insort(largest, amount)

    def _metered(self, port: _Key, begun_ms: int, ended_ms: int) -> None:
        known = self._times.get(port)
        if known is None:
            known = self._times[port] = _Time()
            self._sums[port] = _NOTHING
        begun_ms = max(begun_ms, known.until_ms)
        known.metered_ms += max(ended_ms - max(begun_ms, self._begin_ms), 0)
        known.late_ms += max(ended_ms - STEP_S * 1000 - begun_ms, 0)
        known.until_ms = max(known.until_ms, ended_ms)


def _keys(one: Sample) -> tuple[_Key, _Key, _Key]:
    """Of its port, of its project's ports on its network, of its project. They are equal to a `Whose` each."""
    project_id, network_id = one.project_id, one.network_id
    return (project_id, network_id, one.port_id), (project_id, network_id, ""), (project_id, "", "")


def _beyond(lasts_s: int) -> int:
    """How many steps of so long a time may exceed the percentile, which is one of the steps' own (nearest rank)."""
    count = lasts_s // STEP_S
    return count - -(-_PERCENT * count // 100)
