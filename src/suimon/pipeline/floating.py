"""Stages floating_in and floating_out: a floating IP is a stateless rewrite on the host of its port (RFC 1631's basic
NAT, one to one). While its guest migrates, it is on both hosts from when the guest was heard on the new one.

No conntrack NAT: Open vSwitch 3.1 aborts with it when a TCP port is reused. What leaves for the outside without a
floating IP is dropped here.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import meters
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import INGRESS, NET, NEXTHOP, QUOTED, ROUTER, SOURCE
from suimon.pipeline.fit import looked_at
from suimon.pipeline.flow import (
    Action,
    DecTtl,
    Goto,
    Resubmit,
    ToController,
    UseMeter,
    flow,
    set_field,
)
from suimon.pipeline.limit import passage
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.quoting import quotes, quoting
from suimon.pipeline.tables import Stage


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield flow(Stage.FLOATING_IN, 0, owner, {}, [Goto(Stage.LOOKUP)])


def floating_flows(facts: Facts, owner: Owner, floating: view.FloatingIp) -> Iterator[Part]:
    port, router = facts.port(floating.port_id), facts.router(floating.router_id)
    network = facts.network(floating.network_id)
    if port is None or router is None or not router.up or network is None:
        return
    leg = next((leg for leg in router.interfaces if leg.network_id == port.network_id), None)
    own = facts.network(port.network_id)
    if leg is None or port.id not in facts.ofports or own is None or not facts.listens(port):
        return
    outside: dict[str, object] = {NET: facts.number("network", floating.network_id)}
    at_address = outside | {"eth_dst": floating.mac, "eth_type": 0x0800, "ipv4_dst": floating.address}
    limited = passage(facts, owner, floating.id, floating.qos_id)
    yield from limited.meters
    yield (quoted := quotes(facts, owner))
    inwards: list[Action] = [
        *limited.arriving,
        DecTtl(),
        set_field("ipv4_dst", floating.fixed_ip),
        set_field("eth_src", leg.mac),
        set_field("eth_dst", next((held.mac for held in port.holds if held.cidr == floating.fixed_ip), port.mac)),
        set_field(NET, facts.number("network", port.network_id)),
        # A guest may talk to its own floating IP, and nothing is sent out of where it came from.
        set_field(INGRESS, 0),
    ]
    arriving = flow(Stage.FLOATING_IN, 100, owner, at_address, [*inwards, Goto(Stage.LOOKUP)])
    if own.mtu < network.mtu:
        arriving = flow(Stage.FLOATING_IN, 100, owner, at_address, looked_at(own.mtu))
        yield flow(Stage.FIT, 300, owner, at_address, [*inwards, Resubmit(Stage.LOOKUP)])
    yield arriving
    yield from quoting(arriving, quoted.meter_id)
    number = facts.number("port", port.id)
    leaving = outside | {ROUTER: facts.number("router", router.id), SOURCE: number, "eth_type": 0x0800}
    rewritten: list[Action] = [
        *limited.leaving,
        set_field("ipv4_src", floating.address),
        set_field("eth_src", floating.mac),
        Goto(Stage.NEIGHBOUR),
    ]
    translated = flow(Stage.FLOATING_OUT, 100, owner, leaving | {"ipv4_src": floating.fixed_ip}, rewritten)
    yield translated
    yield from quoting(translated, meters.Range.COMPLAINTS | number)
    # A next hop that nobody knows yet: the agent is asked by the port's meter, not by one that is its router's.
    asking: list[Action] = [UseMeter(meters.Range.AGENT | number), ToController()]
    unknown = outside | {SOURCE: number, "eth_src": floating.mac}
    yield flow(Stage.NEIGHBOUR, 30, owner, unknown, asking)
    # From one floating IP to another on the same host: it comes in again as if from outside.
    nearby = outside | {NEXTHOP: int(IPv4Address(floating.address))}
    again: list[Action] = [set_field("eth_dst", floating.mac), set_field(QUOTED, 0), Resubmit(Stage.FLOATING_IN)]
    yield flow(Stage.NEIGHBOUR, 80, owner, nearby, again)


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "floating_ip": floating_flows}
