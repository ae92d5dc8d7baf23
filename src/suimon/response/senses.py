"""What the responder is told of the world besides the store: counters, usage, clocks. Any of it may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from suimon.model.findings import Direction, Finding
from suimon.model.rulebook import Place, UsageRule


class Looked(msgspec.Struct, frozen=True):
    """Whether what a finding says still holds, and what was seen; None: nobody knows now, look again later."""

    holds: bool | None
    words: str


class Rate(msgspec.Struct, frozen=True):
    """What one port sent or got, on average. What it sent is counted before the switch drops any of it."""

    kbps: float
    kpps: float
    direction: Direction = "ingress"
    shared: bool = False
    """Of a trunk's parent: a second of what its subports got may be in it, and it has the limit for itself."""


class Verification(msgspec.Struct, frozen=True):
    """Whether a restriction bites. `bites` is None when nothing could be measured."""

    bites: bool | None
    words: str


class Senses(Protocol):
    """Fresh counters. Each may raise TimeoutError, and None is what isn't known."""

    async def look(self, finding: Finding, place: Place) -> Looked:
        """A second look before acting: at counters of now, not at what the finding was made of."""

    async def bites(
        self, finding: Finding | None, place: Place, wanted: Mapping[str, object], before: Sequence[Rate]
    ) -> Verification | None:
        """Whether the restriction (as it was wanted) keeps what the finding says from passing, by counters of now.
        Where there is none, it is what the restriction says itself, and what passed `before`.
        """

    async def goes_on(
        self, finding: Finding, place: Place, wanted: Mapping[str, object], *, reported: bool
    ) -> bool | None:
        """Whether the ports go on trying what the finding says, though a restriction (as it was wanted) drops it, by
        counters of now. That it is still `reported` is needed where those show only that the restriction is felt.
        """

    async def rates(self, place: Place, direction: Direction, begun_s: float, ended_s: float) -> Sequence[Rate]:
        """What each of the place's ports sent or got meanwhile, of those that were counted."""

    async def used(self, rule: UsageRule, now_s: float) -> Mapping[str, int]:
        """Bytes by port or project within the rule's time, as it counts them."""

    async def used_since(self, rule: UsageRule, id_: str, since_s: float, now_s: float) -> int:
        """The same of one port or project, and later than that only."""

    async def offsets(self) -> Mapping[str, float]:
        """How far hosts' clocks are ahead of ours, in seconds, by host; of those that tell it."""
