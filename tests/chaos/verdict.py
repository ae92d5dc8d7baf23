"""What must be true after the chaos: what is wrong with it, a sentence each."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from suimon.lab.lab import Lab
from suimon.lab.layout import PUBLIC_GATEWAY
from suimon.model.owner import Owner
from tests.chaos.faults import Faults
from tests.chaos.streams import Outcome

_SAME_S: Final = 0.7
"""Asking for flows takes a moment: born this close to each other is the same time."""
_COOKIE: Final = re.compile(r"cookie=(0x[0-9a-f]+)")

Flows = Mapping[str, Mapping[str, float]]
"""By host and flow, when it was put in (CLOCK_MONOTONIC)."""


def flows(lab: Lab, outside_id: str) -> Flows:
    """Without that of the next hop outside, which is there once somebody needed it."""
    learned = f"{Owner('neighbour', f'{outside_id}/{PUBLIC_GATEWAY}').cookie:#x}"
    found = {}
    for host in lab.layout.hosts:
        ages = lab.switch(host.name).flows("br-int")
        now = time.monotonic()
        found[host.name] = {flow: now - age_s for flow, age_s in ages.items() if _cookie(flow) != learned}
    return found


def lost(outcomes: Sequence[Outcome], faults: Faults, longest_gap_ms: float) -> Iterator[str]:
    """Packets lost outside declared gaps, or in one that was too long; and those that had to be lost and were not."""
    for outcome in outcomes:
        way = outcome.way
        if not way.allowed:
            if outcome.received:
                yield f"{way.name}: {outcome.received} of {outcome.sent} forbidden packets arrived"
            continue
        if strange := outcome.unexplained(faults.gaps):
            yield f"{way.name}: {len(strange)} packets lost outside of every gap: {_clusters(strange)}"
        for gap, count, width_ms in outcome.widths_ms(faults.gaps):
            if gap.fault == "vswitchd killed" and width_ms > longest_gap_ms:
                yield f"{way.name}: {count} packets in {width_ms:.0f} ms lost by {gap.fault} on {gap.host}"


def touched(before: Flows, after: Flows, port_ids: Sequence[str], faults: Faults) -> Iterator[str]:
    """Flows that are not as they were before all changes, which were undone; flows of ports that nobody changed that
    were put in again. A switch that was started again may number its ports anew: there, each owner's flows are counted.
    """
    kept = {f"{Owner('port', port_id).cookie:#x}" for port_id in port_ids}
    for host, then in before.items():
        now, restarted = after[host], faults.switch_restarts.get(host)
        strange = then.keys() ^ now.keys()
        if restarted:
            counts = dict(_by_owner(then) ^ _by_owner(now))
            strange = {flow for flow in strange if _cookie(flow) in counts}
        for flow in sorted(strange):
            yield f"{host}: {'lacks' if flow in then else 'has too much'}: {flow}"
        for flow, born in now.items():
            since = restarted or then.get(flow)
            if _cookie(flow) in kept and since and born > since + _SAME_S:
                yield f"{host}: put in again {born - since:.1f} s later without need: {flow}"


def drifted(lab: Lab) -> Iterator[str]:
    """What agents found that nobody had done, and what was left that is nobody's."""
    for host in lab.layout.hosts:
        for line in lab.cloud.log(host.name).read_text(errors="replace").splitlines():
            if "event=switch_drifted" in line or "event=orphans" in line:
                yield f"{host.name}: {line}"
    for told in lab.cloud.hosts():
        if told["orphans"]:
            yield f"{told['name']}: orphans {told['orphans']}"


def _by_owner(flows: Mapping[str, float]) -> set[tuple[str, int]]:
    """Each cookie, with how many flows bear it."""
    return set(Counter(map(_cookie, flows)).items())


def _cookie(flow: str) -> str:
    found = _COOKIE.search(flow)
    return found[1] if found else ""


def _clusters(times: Sequence[float]) -> str:
    """Losses less than a second apart belong together: when each such bunch began, its size and its length."""
    bunches: list[list[float]] = []
    for at in times:
        if bunches and at - bunches[-1][-1] < 1:
            bunches[-1].append(at)
        else:
            bunches.append([at])
    told = (f"{len(each)} from {each[0]:.3f} on for {(each[-1] - each[0]) * 1000:.0f} ms" for each in bunches)
    return ", ".join(told)
