"""The meter as the responder's senses: what hosts counted, whatever flow records say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from suimon.model.findings import Direction, Finding
from suimon.model.rulebook import USAGE, Place, UsageRule
from suimon.model.samples import Sample
from suimon.response.accusations import DEFAULTS, Kinds, accused
from suimon.response.senses import Looked, Rate, Verification
from suimon.telemetry.meter.database import Trouble
from suimon.telemetry.meter.history import READ
from suimon.telemetry.meter.meters import Meters
from suimon.telemetry.meter.windows import Amounts, Window

_LOOK_S: Final = 60.0
_MOST_PORTS: Final = 64
"""Ports that an address may have, each of which is asked about."""
_KEEP_S: Final = 3600.0
"""Sums that nobody asked for so long are forgotten."""


class Metered:
    """`Senses` of these meters; `kinds` says what is an attack. What the meter can't be asked now is not known."""

    def __init__(self, meters: Meters, clock: Callable[[], float], kinds: Kinds = DEFAULTS) -> None:
        self._kinds = kinds
        self._meters = meters
        self._clock = clock
        self._windows: dict[tuple[float, str, float | None], tuple[Window, float]] = {}
        """What is asked for, and when it was last."""

    async def look(self, finding: Finding, place: Place) -> Looked:
        """Whether the ports send, or get, enough for what is said since it began, for a minute at most: what else it
        is can't be told, but that a session has a packet at least.
        """
        if finding.detector.startswith(USAGE):
            return Looked(True, "it is the meter's own")
        accusation, now_s = accused(finding, self._kinds), self._clock()
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

    async def goes_on(
        self, finding: Finding, place: Place, wanted: Mapping[str, object], *, reported: bool
    ) -> bool | None:
        """Samples don't tell what was dropped, nor what it was: of what the ports send all is counted, whatever becomes
        of it, and is enough as for `look` while it is reported.
        """
        accusation = accused(finding, self._kinds)
        if not reported or accusation is None or accusation.direction == "ingress":
            return None
        return (await self.look(finding, place)).holds

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
        return [_rate(samples, direction, shared=each in place.trunks) for each, samples in within.items()]

    async def used(self, rule: UsageRule, now_s: float) -> Mapping[str, int]:
        """From the first full hour, or minute if it isn't long. Raises TimeoutError."""
        return _counted(rule, await self._amounts((rule.within_h * 3600.0, "", None), now_s))

    async def used_since(self, rule: UsageRule, id_: str, since_s: float, now_s: float) -> int:
        """From the first full minute (hour, if that is days ago). Raises TimeoutError."""
        return _counted(rule, await self._amounts((rule.within_h * 3600.0, id_, since_s), now_s))[id_]

    async def offsets(self) -> Mapping[str, float]:
        """Samples tell no time but ours."""
        return {}

    async def _amounts(self, asked: tuple[float, str, float | None], now_s: float) -> Amounts:
        """Sums are kept for whoever asks again, a while."""
        for other in [each for each, (_, at_s) in self._windows.items() if at_s < now_s - _KEEP_S]:
            del self._windows[other]
        window = self._windows[asked][0] if asked in self._windows else Window(*asked)
        self._windows[asked] = window, now_s
        try:
            while not await self._meters.ask(lambda history: window.look(history, now_s)):
                pass
        except Trouble as error:
            raise TimeoutError from error
        return window.amounts

    async def _samples(self, subject: str, since_s: float, until_s: float, coarsest_s: int) -> Sequence[Sample]:
        return await self._meters.ask(lambda history: history.samples(subject, since_s, until_s, coarsest_s))


def _rate(samples: Sequence[Sample], direction: Direction, *, shared: bool) -> Rate:
    """Of one port, which may have moved meanwhile."""
    out = direction == "egress"
    span_s = max(one.ended_s for one in samples) - min(one.begun_s for one in samples)
    octets = sum(one.out_bytes if out else one.in_bytes for one in samples)
    packets = sum(one.out_packets if out else one.in_packets for one in samples)
    return Rate(octets * 8 / span_s / 1000, packets / span_s / 1000, direction, shared)


def _counted(rule: UsageRule, amounts: Amounts) -> Counter[str]:
    """What may have been outside or not is not held against anybody."""
    sums: Counter[str] = Counter()
    for (port_id, project_id), (into, out, into_outside, out_outside) in amounts.items():
        sent, got = (out_outside, into_outside) if rule.outside else (out, into)
        counted = (sent if rule.direction != "ingress" else 0) + (got if rule.direction != "egress" else 0)
        sums[port_id if rule.per == "port" else project_id] += counted
    return sums
