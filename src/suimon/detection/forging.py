"""A guest that sends with a MAC or an address that it doesn't have, or as a DHCP server or a router would.

Anti-spoofing drops all of it; that somebody tries is the news. What is counted comes from the switch's drop counters
(`pipeline/drops.py`), so nothing is sampled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from suimon.detection.sightings import More, Sighting, records_of
from suimon.model.findings import Subject
from suimon.model.samples import Dropped

_MOST = 20_000
"""Ports with reasons that are watched at once; the one longest unheard of makes room."""
_WORDS: Final = {
    "spoofed": "packets with a MAC or an address that it doesn't have",
    "rogue_dhcp": "packets as a DHCP server would",
    "rogue_router": "packets as an IPv6 router would",
}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    window_s: Annotated[int, Meta(ge=10, le=3600)] = 60
    packets: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 300
    quiet_s: Annotated[int, Meta(ge=1, le=86400)] = 300


class Forging:
    """For each port and reason what was dropped within the window."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._dropped: dict[tuple[str, str], deque[Dropped]] = {}

    def step(self, seen: Sequence[Dropped], _now_s: float) -> list[Sighting]:
        told = []
        for dropped in seen:
            if dropped.reason in _WORDS and dropped.packets > 0:
                lately = self._note(dropped)
                if sum(each.packets for each in lately) >= self._config.packets:
                    told.append(_sighting(lately))
        return told

    def _note(self, dropped: Dropped) -> deque[Dropped]:
        key = (dropped.port_id, dropped.reason)
        lately = self._dropped.pop(key, None) or deque(maxlen=self._config.window_s)
        self._dropped[key] = lately
        if len(self._dropped) > _MOST:
            del self._dropped[next(iter(self._dropped))]
        lately.append(dropped)
        while lately[0].ended_s <= dropped.ended_s - self._config.window_s:
            lately.popleft()
        return lately


def _sighting(lately: deque[Dropped]) -> Sighting:
    first, last = lately[0], lately[-1]
    packets = sum(each.packets for each in lately)
    window_s = max(1.0, last.ended_s - first.begun_s)
    return Sighting(
        subject=Subject("port", last.port_id),
        role="source",
        project_id=last.project_id,
        about=last.reason,
        since_s=first.begun_s,
        seen_s=last.ended_s,
        more=lambda: More(
            confidence=1.0,
            numbers={"packets": packets, "window_s": round(window_s, 1), "packets_per_s": round(packets / window_s, 1)},
            words=f"It sent {packets} {_WORDS[last.reason]}, all dropped, in {window_s:.0f} s.",
            evidence=(records_of(last.port_id, first.begun_s, last.ended_s),),
        ),
    )
