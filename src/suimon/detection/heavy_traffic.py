"""A port that suddenly sends or gets far more than it has been doing, by its own meter.

The baseline is the median of its minutes with the median of their distances from it, which an odd hour doesn't move.
What is far above is not learned until it has lasted `accept_s`: then it is how this port is.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from suimon.detection.sightings import More, Sighting, records_of
from suimon.model.findings import Subject, Suggestion
from suimon.model.samples import Sample

_MOST = 20_000
"""Ports watched at once; the one longest unheard of makes room."""
_MINUTE_S: Final = 60.0
_TO_DEVIATION: Final = 1.4826
"""The median distance from the median, times this, is the standard deviation of what is distributed normally."""
CONFIDENCE: Final = 0.5
"""Much traffic is no attack: whoever acts on it alone should look again."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    window_s: Annotated[int, Meta(ge=10, le=3600)] = 60
    least_kbps: Annotated[float, Meta(gt=0, le=1e9)] = 100_000.0
    factor: Annotated[float, Meta(ge=1, le=1000)] = 5.0
    deviations: Annotated[float, Meta(ge=0, le=100)] = 6.0
    warm_up_s: Annotated[int, Meta(ge=60, le=86400)] = 1800
    history_s: Annotated[int, Meta(ge=600, le=86400)] = 7200
    accept_s: Annotated[int, Meta(ge=60, le=604800)] = 3600
    quiet_s: Annotated[int, Meta(ge=1, le=86400)] = 120


class _Way(msgspec.Struct):
    """One direction of a port."""

    minutes: array[float]
    """The rates of past minutes, kbit/s; the oldest goes. An array: there are two for each port of the cloud."""
    minute: list[float]
    """Kilobits and seconds of the minute that is not over."""
    window: deque[tuple[float, float, float]]
    """(begun, ended, kilobits) of the samples within the window."""
    above_since_s: float | None = None


class HeavyTraffic:
    """Ports and directions, each by itself."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._ways: dict[tuple[str, bool], _Way] = {}

    def step(self, seen: Sequence[Sample], _now_s: float) -> list[Sighting]:
        told = []
        for sample in seen:
            for out, octets in ((True, sample.out_bytes), (False, sample.in_bytes)):
                if sample.ended_s > sample.begun_s and (found := self._look(sample, out, octets)):
                    told.append(found)
        return told

    def _look(self, sample: Sample, out: bool, octets: int) -> Sighting | None:
        way = self._way((sample.port_id, out))
        kilobits = octets / 125.0
        way.window.append((sample.begun_s, sample.ended_s, kilobits))
        while way.window[0][1] <= sample.ended_s - self._config.window_s:
            way.window.popleft()
        elapsed_s = sum(ended_s - begun_s for begun_s, ended_s, _ in way.window)
        rate = sum(each for _, _, each in way.window) / max(elapsed_s, self._config.window_s)
        usual, limit = self._limit(way, rate)
        if limit is None or rate < limit:
            way.above_since_s = None
            self._learn(way, sample, kilobits)
            return None
        if way.above_since_s is None:
            way.above_since_s = way.window[0][0]
        if sample.ended_s - way.above_since_s > self._config.accept_s:
            self._learn(way, sample, kilobits)
        return _sighting(sample, out, way.above_since_s, (rate, usual, limit))

    def _limit(self, way: _Way, rate: float) -> tuple[float, float | None]:
        """What the port usually does, and what is far above; None while it isn't known or can't matter."""
        if rate < self._config.least_kbps or len(way.minutes) * _MINUTE_S < self._config.warm_up_s:
            return 0.0, None
        usual = median(way.minutes)
        deviation = _TO_DEVIATION * median(abs(each - usual) for each in way.minutes)
        above = usual + self._config.deviations * deviation
        return usual, max(self._config.least_kbps, self._config.factor * usual, above)

    def _learn(self, way: _Way, sample: Sample, kilobits: float) -> None:
        way.minute[0] += kilobits
        way.minute[1] += sample.ended_s - sample.begun_s
        if way.minute[1] >= _MINUTE_S:
            way.minutes.append(way.minute[0] / way.minute[1])
            del way.minutes[: -int(self._config.history_s // _MINUTE_S)]
            way.minute = [0.0, 0.0]

    def _way(self, key: tuple[str, bool]) -> _Way:
        way = self._ways.pop(key, None)
        if way is None:
            way = _Way(array("d"), [0.0, 0.0], deque(maxlen=self._config.window_s))
        self._ways[key] = way
        if len(self._ways) > 2 * _MOST:
            del self._ways[next(iter(self._ways))]
        return way


def _sighting(sample: Sample, out: bool, since_s: float, rates: tuple[float, float, float]) -> Sighting:
    rate, usual, limit = rates
    verb, direction = ("sends", "1") if out else ("gets", "2")
    return Sighting(
        subject=Subject("port", sample.port_id),
        role="source" if out else "victim",
        project_id=sample.project_id,
        since_s=since_s,
        seen_s=sample.ended_s,
        more=lambda: More(
            confidence=CONFIDENCE,
            numbers={"kbps": round(rate, 1), "usual_kbps": round(usual, 1), "limit_kbps": round(limit, 1)},
            words=f"It {verb} {rate / 1000:.0f} Mbit/s, and usually {usual / 1000:.1f}.",
            evidence=(records_of(sample.port_id, since_s, sample.ended_s, f"direction {direction}"),),
            suggestion=Suggestion(
                kind="rate_limit",
                target_kind="port",
                target=sample.port_id,
                direction="egress" if out else "ingress",
                rate_kbps=int(limit),
            ),
        ),
    )
