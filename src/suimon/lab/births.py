"""When flows were put in, as their switch tells it, and whether that was again, or at once.

A switch says how old a flow is, and it takes a moment to ask: a flow was put in neither before what it would be if the
answer had come with the question, nor after what it would be if the switch had looked last of all. On a machine that
gives the switch no turn the moment is long and little is told; on a quiet one it is exact to some 30 ms.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

ROUNDED_S: Final = 0.01
"""How far off the switch's word for an age may be: it counts whole milliseconds."""


class Birth(NamedTuple):
    """It was neither before nor after (seconds of CLOCK_MONOTONIC)."""

    earliest: float
    latest: float


def births(dump: Callable[[], str]) -> dict[str, Birth]:
    """Every flow, without its counters, that `dump` has the switch print (`ovs-ofctl dump-flows`)."""
    asked = time.monotonic()
    ages_s = parse_flows(dump())
    told = time.monotonic()
    return {flow: Birth(asked - age_s, told - age_s) for flow, age_s in ages_s.items()}


def touched(before: Mapping[str, Birth], after: Mapping[str, Birth]) -> list[str]:
    """Flows that came, went, or were put in again."""
    kept = before.keys() & after.keys()
    again = {flow for flow in kept if after[flow].earliest > before[flow].latest + ROUNDED_S}
    return sorted((before.keys() ^ after.keys()) | again)


def at_once(found: Collection[Birth]) -> bool:
    """Whether all may have been put in at one moment."""
    return max(each.earliest for each in found) <= min(each.latest for each in found) + ROUNDED_S


def parse_flows(dump: str) -> dict[str, float]:
    """What `ovs-ofctl dump-flows` prints: entries without their counters, and the seconds since they were put in."""
    found = {}
    for line in dump.splitlines():
        if age := re.search(r"duration=([\d.]+)s, ", line):
            text = re.sub(r"(duration|n_packets|n_bytes|idle_age|hard_age)=[^ ]+ ", "", line).strip()
            found[text] = float(age[1])
    return found
