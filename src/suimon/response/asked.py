"""Hosts as the responder's senses: a port's host is asked what it does; the meter's samples say what it can't."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from suimon.model.counts import Activity
from suimon.model.findings import Direction, Finding
from suimon.model.questions import Look, Traced
from suimon.model.rulebook import Place, UsageRule
from suimon.response.accusations import DEFAULTS, FELT, Accusation, Kinds, accused, goes_on, imposed, judged, verified
from suimon.response.senses import Looked, Rate, Senses, Verification

_MOST_PORTS: Final = 8
"""That are asked about at once; what is accused of more is judged by samples."""


class Asking(Protocol):
    """Who asks hosts: `distribution.inquiry.Questions`."""

    async def ask(self, host: str, question: Look) -> Traced: ...


class Asked:
    """`Senses` that ask the hosts; `samples` are those that answer instead when a host can't. `clocks` says how far off
    hosts' are, `kinds` what is an attack.
    """

    def __init__(
        self, questions: Asking, samples: Senses, clocks: Callable[[], Awaitable[Mapping[str, float]]],
        kinds: Kinds = DEFAULTS,
    ) -> None:  # fmt: skip
        self._kinds = kinds
        self._questions = questions
        self._samples = samples
        self._clocks = clocks

    async def look(self, finding: Finding, place: Place) -> Looked:
        """The accusation itself, a second at most for what is fast; else what the samples say, and why they had to."""
        accusation = accused(finding, self._kinds)
        if accusation is None:
            return await self._samples.look(finding, place)
        seen = await self._seen(accusation, _accused_of(place), drops=False)
        if isinstance(seen, list):
            return judged(accusation, seen)
        looked = await self._samples.look(finding, place)
        return Looked(looked.holds, f"{looked.words}, by samples: {seen}")

    async def bites(
        self, finding: Finding | None, place: Place, wanted: Mapping[str, object], before: Sequence[Rate]
    ) -> Verification | None:
        accusation = (accused(finding, self._kinds) if finding else None) or imposed(wanted, before)
        seen = await self._seen(accusation, place.bound, drops=True) if accusation else ""
        return verified(wanted, accusation, seen) if accusation and isinstance(seen, list) else None

    async def goes_on(
        self, finding: Finding, place: Place, wanted: Mapping[str, object], *, reported: bool
    ) -> bool | None:
        accusation = accused(finding, self._kinds)
        seen = await self._seen(accusation or FELT, _accused_of(place), drops=True)
        if isinstance(seen, list):
            return goes_on(wanted, accusation, seen, reported=reported)
        return await self._samples.goes_on(finding, place, wanted, reported=reported)

    async def rates(self, place: Place, direction: Direction, begun_s: float, ended_s: float) -> Sequence[Rate]:
        return await self._samples.rates(place, direction, begun_s, ended_s)

    async def used(self, rule: UsageRule, now_s: float) -> Mapping[str, int]:
        return await self._samples.used(rule, now_s)

    async def used_since(self, rule: UsageRule, id_: str, since_s: float, now_s: float) -> int:
        return await self._samples.used_since(rule, id_, since_s, now_s)

    async def offsets(self) -> Mapping[str, float]:
        return await self._clocks()

    async def _seen(self, accusation: Accusation, bound: Mapping[str, str], *, drops: bool) -> list[Activity] | str:
        """Of each of these ports (by its host), or why there is nothing to judge by. A part of them would not be what
        was said.
        """
        if not bound:
            return "no host has a port of it"
        if len(bound) > _MOST_PORTS:
            return f"it has {len(bound)} ports"
        asking = [
            self._questions.ask(host, accusation.question(port_id, drops=drops)) for port_id, host in bound.items()
        ]
        seen = []
        for traced in await asyncio.gather(*asking):
            if traced.error or traced.activity is None or not _is_whole(traced.activity):
                return f"its host was asked in vain ({traced.error or 'no answer that can be'})"
            seen.append(traced.activity)
        return seen


def _accused_of(place: Place) -> Mapping[str, str]:
    """The ports that a finding is about: of a trunk its parent, whose interface counts what its subports send, too."""
    if place.target.kind != "port":
        return place.bound
    return {port_id: host for port_id, host in place.bound.items() if port_id == place.target.id}


def _is_whole(one: Activity) -> bool:
    """Hosts are believed about their ports, but not that time stands still or less than nothing was sent."""
    counts = (one.sent_packets, one.sent_bytes, one.received_packets, one.received_bytes, one.sessions or 0)
    return 0.05 <= one.span_s <= 60.0 and min(counts) >= 0
