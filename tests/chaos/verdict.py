"""What must be true after the chaos: what is wrong with it, a sentence each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from suimon.cli.host import call
from suimon.lab.births import ROUNDED_S, Birth
from suimon.lab.lab import Lab
from suimon.lab.layout import PUBLIC_GATEWAY
from suimon.model.owner import Owner
from tests.chaos.faults import GATEWAY_BACK, GATEWAY_LOST, VSWITCHD_KILLED, Faults
from tests.chaos.streams import Gap, Outcome, Way
from tests.chaos.turns import Sample, starved

_COOKIE: Final = re.compile(r"cookie=(0x[0-9a-f]+)")

Samples = dict[str, list[Sample]]
Flows = Mapping[str, Mapping[str, Birth]]
"""By host and flow."""


def flows(lab: Lab, outside_id: str) -> Flows:
    """Without that of the next hop outside, which is there once somebody needed it."""
    learned = f"{Owner('neighbour', f'{outside_id}/{PUBLIC_GATEWAY}').cookie:#x}"
    found = {}
    for host in lab.layout.hosts:
        flows = lab.switch(host.name).flows("br-int")
        found[host.name] = {flow: birth for flow, birth in flows.items() if _cookie(flow) != learned}
    return found


def lost(outcomes: Sequence[Outcome], faults: Faults, samples: Samples) -> Iterator[str]:
    """Packets lost outside of declared gaps, but for those that a switch had no turn for."""
    for outcome in outcomes:
        way = outcome.way
        strange = [at for at in outcome.unexplained(faults.gaps) if not starved(samples, way, at)]
        if way.allowed and strange:
            yield f"{way.name}: {len(strange)} packets lost outside of every gap: {_clusters(strange)}"


def unserved(outcomes: Sequence[Outcome], faults: Faults, samples: Samples) -> Iterator[str]:
    """Packets lost because this machine gave a switch no turn: the run says nothing, then."""
    for outcome in outcomes:
        way = outcome.way
        strange = [at for at in outcome.unexplained(faults.gaps) if starved(samples, way, at)]
        if way.allowed and strange:
            yield f"{way.name}: {len(strange)} packets lost while a switch waited for its turn: {_clusters(strange)}"


def too_long(outcomes: Sequence[Outcome], faults: Faults, bounds_ms: Mapping[str, float]) -> Iterator[str]:
    """Gaps that cost packets for longer than `bounds_ms` allows such a fault."""
    for outcome in outcomes:
        for gap, count, width_ms in outcome.widths_ms(faults.gaps) if outcome.way.allowed else ():
            if is_bounded(gap, outcome.way) and width_ms > bounds_ms[gap.fault]:
                yield f"{outcome.way.name}: {count} packets in {width_ms:.0f} ms lost by {gap.fault} on {gap.host}"


def is_bounded(gap: Gap, way: Way) -> bool:
    """A killed switch is back soon; a lost gateway host stays away, but its routers lead out by another one."""
    return gap.fault in (VSWITCHD_KILLED, GATEWAY_BACK) or (gap.fault == GATEWAY_LOST and bool(way.through))


def mistaken(lab: Lab, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Packets that arrived though none may, and verdicts of model and switches that are not so."""
    for outcome in outcomes:
        way = outcome.way
        if not way.allowed and outcome.received:
            yield f"{way.name}: {outcome.received} of {outcome.sent} forbidden packets arrived"
        yield from _verdict(lab, way) if way.target.port_id else ()


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
        for flow, (earliest, _) in now.items():
            latest = restarted or (then[flow][1] if flow in then else None)
            if _cookie(flow) in kept and latest and earliest > latest + ROUNDED_S:
                yield f"{host}: put in again {earliest - latest:.1f} s later without need: {flow}"


def drifted(lab: Lab) -> Iterator[str]:
    """What agents found that nobody had done."""
    for host in lab.layout.hosts:
        for line in lab.cloud.log(host.name).read_text(errors="replace").splitlines():
            if "event=switch_drifted" in line:
                yield f"{host.name}: {line}"


def orphaned(lab: Lab) -> Iterator[str]:
    """What was left that is nobody's, ever."""
    for host in lab.layout.hosts:
        for line in lab.cloud.log(host.name).read_text(errors="replace").splitlines():
            if "event=orphans" in line:
                yield f"{host.name}: {line}"
    for told in lab.cloud.hosts():
        if told["orphans"]:
            yield f"{told['name']}: orphans {told['orphans']}"


def _verdict(lab: Lab, way: Way) -> Iterator[str]:
    ends = {"from": way.source.port_id or PUBLIC_GATEWAY, "to": way.to or way.target.port_id}
    question = {**ends, "protocol": "udp", "port": way.l4_port or 9000, "trace": True}
    told = call(lab.layout.clouds_yaml.parent, "POST", "reachability", question)["reachability"]
    if told["reached"] is not way.allowed:
        yield f"{way.name}: the model's verdict is {told['reached']}"
    yield from (f"{way.name}: {finding}" for finding in told["findings"])


def _by_owner(flows: Mapping[str, Birth]) -> set[tuple[str, int]]:
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
