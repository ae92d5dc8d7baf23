"""Stage limit_out: meters on what a guest sends, and the mark that it carries; and the shape of what goes to it.

What goes to it is counted in packets by a meter in stage `deliver`.

A meter needs a burst, or TCP swings between too much and too little (docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import SOURCE
from suimon.pipeline.flow import Action, Goto, Meter, UseMeter, flow, set_field
from suimon.pipeline.program import Part, Producers, Shape
from suimon.pipeline.tables import Stage

METER: Final = 0x10000
"""Meter ids of ours start here; a port's bandwidth meter is this plus its number."""
_PACKET_METER: Final = 0x30100
"""Meters of packets are this plus a number of their own: few ports have any, and Linux knows 200,000 meters."""
_MOST: Final = 0xFFFFFFFF
"""A meter's rate and burst have 32 bits."""
_LEAST_BURST_KBITS: Final = 500
"""A meter with less room than a frame needs lets none through, whatever its rate."""


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield flow(Stage.LIMIT_OUT, 0, owner, {}, [Goto(Stage.TRACK_OUT)])


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    policy = facts.qos(port)
    if policy is None or port.id not in facts.ofports:
        return
    number = facts.number("port", port.id)
    metered: list[Action] = []
    for limit in policy.limits:
        burst = limit.burst_kbits or default_burst_kbits(limit.rate_kbps)
        if limit.direction == "ingress" and port.parent:
            # Its interface is its trunk's: a queue there would hold the others back as well.
            yield Meter(_shape_meter(facts, port), owner, limit.rate_kbps, max(burst, _LEAST_BURST_KBITS))
        elif limit.direction == "ingress":
            yield Shape(port.id, limit.rate_kbps, burst)
        else:
            yield Meter(METER | number, owner, limit.rate_kbps, max(burst, _LEAST_BURST_KBITS))
            metered.append(UseMeter(METER | number))
    for packets in policy.packet_limits:
        rate = min(packets.rate_kpps * 1000, _MOST)
        burst = min(packets.burst_kpackets * 1000, _MOST) or rate // 4
        yield Meter(_packet_meter(facts, port, packets.direction), owner, rate, burst, packets=True)
    metered += packet_meters(facts, port, "egress")
    onwards = Goto(Stage.TRACK_OUT)
    if metered:
        yield flow(Stage.LIMIT_OUT, 100, owner, {SOURCE: number}, [*metered, onwards])
    if policy.dscp is not None:
        for eth_type in (0x0800, 0x86DD):
            marked = {SOURCE: number, "eth_type": eth_type}
            yield flow(Stage.LIMIT_OUT, 110, owner, marked, [*metered, set_field("ip_dscp", policy.dscp), onwards])


def packet_meters(facts: Facts, port: view.Port, direction: view.Direction) -> list[Action]:
    """The meters by which a port's packets go in this direction; a subport's have its bandwidth's beside."""
    policy = facts.qos(port)
    limits = policy.packet_limits if policy else ()
    found = [_packet_meter(facts, port, direction) for limit in limits if limit.direction == direction]
    if policy and port.parent and direction == "ingress":
        found += [_shape_meter(facts, port) for limit in policy.limits if limit.direction == direction]
    return [UseMeter(meter) for meter in found]


def packet_meter(facts: Facts, name: str) -> int:
    """The id of a meter that not every port has; the name begins with whose it is."""
    return _PACKET_METER + facts.number("meter", name)


def _shape_meter(facts: Facts, port: view.Port) -> int:
    return packet_meter(facts, f"{port.id}/shape")


def _packet_meter(facts: Facts, port: view.Port, direction: view.Direction) -> int:
    return packet_meter(facts, f"{port.id}/{direction}")


def default_burst_kbits(rate_kbps: int) -> int:
    """A quarter of a second at the rate, and never less than 40 full frames: measured in decision 0007."""
    return max(rate_kbps // 4, _LEAST_BURST_KBITS)


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "port": port_flows}
