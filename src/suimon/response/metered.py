"""The meter as the responder's senses: what hosts counted, whatever flow records say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from suimon.model.findings import Direction, Finding
from suimon.model.rulebook import USAGE, Place, UsageRule
from suimon.model.samples import Sample
from suimon.response.accusations import accused
from suimon.response.senses import Looked, Rate, Verification
from suimon.telemetry.meter.database import Trouble
from suimon.telemetry.meter.history import READ, ROLLED
from suimon.telemetry.meter.meters import Meters

_LOOK_S: Final = 60.0
_MOST_PORTS: Final = 64
"""Ports that an address may have, each of which is asked about."""
_LONG_S: Final = 6 * 3600.0
"""From here on it is counted from a full hour on: sums of hours are few."""


class Metered:
    """`Senses` of these meters. What the meter can't be asked now is not known."""

    def __init__(self, meters: Meters, clock: Callable[[], float]) -> None:
        self._meters = meters
        self._clock = clock

    async def look(self, finding: Finding, place: Place) -> Looked:
        """Whether the ports send, or get, enough for what is said since it began, for a minute at most: what else it
        is can't be told, but that a session has a packet at least.
        """
        if finding.detector.startswith(USAGE):
            return Looked(True, "it is the meter's own")
        accusation, now_s = accused(finding), self._clock()
        if accusation is None:
            return Looked(False, "it says nothing that could be counted")
        rates = await self.rates(place, accusation.direction, max(now_s - _LOOK_S, finding.since_s), now_s)
        if not rates:
            return Looked(None, "nothing was counted since it began, within the last minute")
        now = sum(one.kbps if accusation.figure == "kbits" else one.kpps * 1000 for one in rates)
        unit = "kbit/s" if accusation.figure == "kbits" else "packets a second"
        words = f"{now:.1f} {unit} of {accusation.direction}, at least {accusation.needed_per_s:.1f} would be needed"
        return Looked(now >= accusation.needed_per_s, words)

    async def bites(
        self, finding: Finding | None, place: Place, wanted: Mapping[str, object], before: Sequence[Rate]
    ) -> Verification | None:
        """Samples are compared with those before, by `rates`."""
        return None

    async def goes_on(self, finding: Finding, place: Place) -> bool | None:
        """Samples don't tell what was dropped."""
        return None

    async def rates(self, place: Place, direction: Direction, begun_s: float, ended_s: float) -> Sequence[Rate]:
        """By the ports' devices, which count what a guest sends before the switch drops any of it."""
        whole = place.target.kind in ("port", "project", "network")
        subjects = [place.target.id] if whole else sorted(place.port_ids)[:_MOST_PORTS]
        try:
            found = [one for each in subjects for one in await self._samples(each, begun_s, ended_s, READ)]
        except Trouble:
            return []
        within: dict[str, list[Sample]] = {}
        for one in found:
            if begun_s <= one.begun_s < one.ended_s and one.port_id in place.port_ids:
                within.setdefault(one.port_id, []).append(one)
        return [_rate(samples, direction) for samples in within.values()]

    async def used(self, rule: UsageRule, begun_s: float, ended_s: float) -> Mapping[str, int]:
        """From the first full hour, or minute if it isn't long, after `begun_s`. Raises TimeoutError."""
        grain_s = ROLLED[1] if ended_s - begun_s >= _LONG_S else ROLLED[0]
        since_s = math.ceil(begun_s / grain_s) * grain_s
        try:
            found = await self._samples("", since_s, ended_s, grain_s)
        except Trouble as error:
            raise TimeoutError from error
        sums: Counter[str] = Counter()
        for one in found:
            sums[one.port_id if rule.per == "port" else one.project_id] += _counted(rule, one)
        return sums

    async def offsets(self) -> Mapping[str, float]:
        """Samples tell no time but ours."""
        return {}

    async def _samples(self, subject: str, since_s: float, until_s: float, coarsest_s: int) -> Sequence[Sample]:
        return await self._meters.ask(lambda history: history.samples(subject, since_s, until_s, coarsest_s))


def _rate(samples: Sequence[Sample], direction: Direction) -> Rate:
    """Of one port, which may have moved meanwhile."""
    out = direction == "egress"
    span_s = max(one.ended_s for one in samples) - min(one.begun_s for one in samples)
    octets = sum(one.out_bytes if out else one.in_bytes for one in samples)
    packets = sum(one.out_packets if out else one.in_packets for one in samples)
    return Rate(octets * 8 / span_s / 1000, packets / span_s / 1000, direction)


def _counted(rule: UsageRule, one: Sample) -> int:
    """What may have been outside or not is not held against anybody."""
    out = one.out_outside_bytes if rule.outside else one.out_bytes
    into = one.in_outside_bytes if rule.outside else one.in_bytes
    return (out if rule.direction != "ingress" else 0) + (into if rule.direction != "egress" else 0)
