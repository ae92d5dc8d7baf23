"""Stage limit_out: meters on what a guest sends, and the mark that it carries; and the limits on what goes to it.

What goes to it is shaped on its interface, and counted in packets by a meter in stage `deliver`. The limits of floating
IPs and of routers' gateways are meters in both directions, where addresses are rewritten (`floating`, `gateway`). What
restricts a trunk's parent is one limit for all that its guest sends and gets, whichever port of the trunk it goes by.

A meter needs a burst, or TCP swings between too much and too little (docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import SOURCE
from suimon.pipeline.flow import Action, Goto, Meter, UseMeter, flow, set_field
from suimon.pipeline.meters import numbered
from suimon.pipeline.program import Part, Producers, Shape
from suimon.pipeline.tables import Stage

_MOST: Final = 0xFFFFFFFF
"""A meter's rate and burst have 32 bits."""
_LEAST_BURST_KBITS: Final = 500
"""A meter with less room than a frame needs lets none through, whatever its rate."""
_IP: Final = (0x0800, 0x86DD)


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield flow(Stage.LIMIT_OUT, 0, owner, {}, [Goto(Stage.TRACK_OUT)])


class Passage(NamedTuple):
    """The meters of a floating IP or a gateway, and what is done to packets that come in by it, and leave by it."""

    meters: tuple[Meter, ...]
    arriving: tuple[Action, ...]
    leaving: tuple[Action, ...]


def passage(facts: Facts, owner: Owner, holder: str, policy_id: str | None) -> Passage:
    """`holder` as in `limits`; empty without a policy."""
    policy = facts.qos(policy_id)
    arriving, leaving = (limits(facts, owner, holder, policy, direction) for direction in view.DIRECTIONS)
    marked = () if policy is None or policy.dscp is None else (set_field("ip_dscp", policy.dscp),)
    return Passage((*arriving, *leaving), uses(arriving), (*uses(leaving), *marked))


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    if port.id not in facts.ofports:
        return
    policy = in_force(facts, port)
    for limit in policy.limits if policy and port.parent is None else ():
        if limit.direction == "ingress":
            yield Shape(port.id, limit.rate_kbps, limit.burst_kbits or default_burst_kbits(limit.rate_kbps))
    sent = limits(facts, owner, port.id, policy, "egress")
    yield from (*sent, *meters_to_guest(facts, owner, port))
    together, got_together = (of_trunk(facts, owner, port, direction) for direction in ("egress", "ingress"))
    if port.parent is None:
        yield from (*together, *got_together)
    metered, onwards = uses((*sent, *together)), Goto(Stage.TRACK_OUT)
    from_port: dict[str, object] = {SOURCE: facts.number("port", port.id)}
    if metered:
        yield flow(Stage.LIMIT_OUT, 100, owner, from_port, [*metered, onwards])
    if policy is not None and policy.dscp is not None:
        for eth_type in _IP:
            marked = from_port | {"eth_type": eth_type}
            yield flow(Stage.LIMIT_OUT, 110, owner, marked, [*metered, set_field("ip_dscp", policy.dscp), onwards])


def in_force(facts: Facts, port: view.Port) -> view.QosPolicy | None:
    """The port's policy with the lowest of all limits, its own and those of what restricts the port by itself."""
    policy = facts.qos(port.qos_id)
    limiting = [each for each in _limiting(facts, port) if port.parent is None or not _is_of(port.parent, each)]
    return _lowest(policy or view.QosPolicy(port.id), limiting) if limiting else policy


def of_trunk(facts: Facts, owner: Owner, port: view.Port, direction: view.Direction) -> list[Meter]:
    """Those that all ports of its trunk share, if their parent is restricted; the parent is who makes them.

    Bits that go to the guest need none: the parent's queue is on the interface of all of them.
    """
    parent = port.parent or port.id
    if not facts.has("port@parent", parent):
        return []
    limiting = [each for each in _limiting(facts, port) if _is_of(parent, each)]
    found = limits(facts, owner, f"{parent}/trunk", _lowest(view.QosPolicy(parent), limiting), direction)
    return [meter for meter in found if meter.packets or direction == "egress"]


def _limiting(facts: Facts, port: view.Port) -> list[view.Restriction]:
    return [each for each in facts.restrictions(port) if each.rate_kbps or each.rate_kpps]


def _is_of(port_id: str, restriction: view.Restriction) -> bool:
    return (restriction.target_kind, restriction.target) == ("port", port_id)


def _lowest(policy: view.QosPolicy, restricting: Iterable[view.Restriction]) -> view.QosPolicy:
    """The policy with the lowest of all limits, its own and those of what restricts."""
    ways = [(each, direction) for each in restricting for direction in each.directions]
    rates = [view.BandwidthLimit(direction, each.rate_kbps) for each, direction in ways if each.rate_kbps]
    packets = [view.PacketLimit(direction, each.rate_kpps) for each, direction in ways if each.rate_kpps]
    lowest = {each.direction: each for each in sorted((*policy.limits, *rates), key=lambda each: -each.rate_kbps)}
    fewest = {
        each.direction: each for each in sorted((*policy.packet_limits, *packets), key=lambda each: -each.rate_kpps)
    }
    return msgspec.structs.replace(policy, limits=tuple(lowest.values()), packet_limits=tuple(fewest.values()))


def meters_to_guest(facts: Facts, owner: Owner, port: view.Port) -> list[Meter]:
    """Of packets; and of a trunk's subport its bandwidth's, too.

    A subport's interface is its trunk's: a queue there would hold the others back as well.
    """
    found = limits(facts, owner, port.id, in_force(facts, port), "ingress")
    return [meter for meter in found if meter.packets or port.parent]


def limits(
    facts: Facts, owner: Owner, holder: str, policy: view.QosPolicy | None, direction: view.Direction
) -> list[Meter]:
    """A policy's limits in one direction, as meters of a port, floating IP or router: `holder` is its id, under which
    it stands in the index `limited`.
    """
    made = []
    for limit in policy.limits if policy else ():
        if limit.direction == direction:
            burst = max(limit.burst_kbits or default_burst_kbits(limit.rate_kbps), _LEAST_BURST_KBITS)
            made.append(Meter(numbered(facts, f"{holder}/{direction}/kbps"), owner, limit.rate_kbps, burst))
    for packets in policy.packet_limits if policy else ():
        if packets.direction == direction:
            rate = min(packets.rate_kpps * 1000, _MOST)
            burst = min(packets.burst_kpackets * 1000, _MOST) or rate // 4
            made.append(Meter(numbered(facts, f"{holder}/{direction}"), owner, rate, burst, packets=True))
    return made


def uses(meters: Iterable[Meter]) -> tuple[Action, ...]:
    """What a packet that is counted by all of them passes."""
    return tuple(UseMeter(meter.meter_id) for meter in meters)


def default_burst_kbits(rate_kbps: int) -> int:
    """A quarter of a second at the rate, and never less than 40 full frames: measured in decision 0007."""
    return max(rate_kbps // 4, _LEAST_BURST_KBITS)


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "port": port_flows}
