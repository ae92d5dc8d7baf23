"""Stage limit_out: a meter on what a guest sends; and the shape of what goes to it.

A meter needs a burst, or TCP swings between too much and too little (docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import SOURCE
from suimon.pipeline.flow import Action, Goto, Meter, UseMeter, flow
from suimon.pipeline.program import Part, Producers, Shape
from suimon.pipeline.tables import Stage

METER: Final = 0x10000
"""Meter ids of ours start here; a port's bandwidth meter is this plus its number."""
_LEAST_BURST_KBITS: Final = 500
"""A meter with less room than a frame needs lets none through, whatever its rate."""


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield flow(Stage.LIMIT_OUT, 0, owner, {}, [Goto(Stage.TRACK_OUT)])


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    policy = facts.qos(port)
    if policy is None or port.id not in facts.ofports:
        return
    number = facts.number("port", port.id)
    for limit in policy.limits:
        burst = limit.burst_kbits or default_burst_kbits(limit.rate_kbps)
        if limit.direction == "ingress":
            yield Shape(port.id, limit.rate_kbps, burst)
        else:
            yield Meter(METER | number, owner, limit.rate_kbps, max(burst, _LEAST_BURST_KBITS))
            actions: list[Action] = [UseMeter(METER | number), Goto(Stage.TRACK_OUT)]
            yield flow(Stage.LIMIT_OUT, 100, owner, {SOURCE: number}, actions)


def default_burst_kbits(rate_kbps: int) -> int:
    """A quarter of a second at the rate, and never less than 40 full frames: measured in decision 0007."""
    return max(rate_kbps // 4, _LEAST_BURST_KBITS)


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "port": port_flows}
