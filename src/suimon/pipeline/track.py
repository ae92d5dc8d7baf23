"""Stages track, group and allow, out and in: a packet goes through its port's conntrack zone, the rules are asked, the
verdict is carried out.

The rules are asked for every packet, of established connections too, by the tuple that opened the connection: the
guest's own connections in rules_out, those towards it in rules_in, whichever direction this packet flies in. So a
connection lives exactly as long as a rule allows it (docs/decisions/0003). A commit never carries NAT.

A port whose groups are stateless has no connections: its rules are asked right away, for each packet by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import ipv6
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import (
    CT_INVALID,
    CT_NEW,
    CT_RELATED,
    CT_REPLY,
    CT_TRACKED,
    GROUP_SET,
    SOURCE,
    TARGET,
    VERDICT,
    ZONE,
)
from suimon.pipeline.flow import Action, Ct, Goto, Resubmit, flow, set_field
from suimon.pipeline.program import Part, Producers, Zone
from suimon.pipeline.shared import set_name
from suimon.pipeline.tables import Stage

_TRACKED: Final = (0x0800, 0x86DD)
_DIRECTION: Final = CT_TRACKED | CT_INVALID | CT_RELATED | CT_REPLY


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield flow(Stage.TRACK_OUT, 20, owner, {GROUP_SET: 0}, [Goto(Stage.ANSWER)])
    for eth_type in _TRACKED:
        yield flow(Stage.TRACK_OUT, 10, owner, {"eth_type": eth_type}, [Ct(ZONE, Stage.GROUP_OUT)])
    yield from _link_needs(owner)
    yield flow(Stage.TRACK_IN, 30, owner, {"eth_type": 0x0806}, [Goto(Stage.DELIVER)])
    yield from _ask(owner, Stage.GROUP_OUT, opened=Stage.RULES_OUT, answered=Stage.RULES_IN)
    yield from _ask(owner, Stage.GROUP_IN, opened=Stage.RULES_IN, answered=Stage.RULES_OUT)
    yield from _carry_out(owner, Stage.ALLOW_OUT, Stage.ANSWER)
    yield from _carry_out(owner, Stage.ALLOW_IN, Stage.DELIVER)


def _link_needs(owner: Owner) -> Iterator[Part]:
    """What an IPv6 link can't do without is no matter of security groups (RFC 4890, 4.4.1): ND, routers, multicast."""
    asked = (ipv6.ROUTER_SOLICITATION, *ipv6.MULTICAST_LISTENERS)
    for kind in asked:
        yield flow(Stage.TRACK_OUT, 25, owner, ipv6.ICMPV6 | {"icmpv6_type": kind}, [Goto(Stage.ANSWER)])
    told = (ipv6.ROUTER_ADVERTISEMENT, ipv6.SOLICITATION, ipv6.ADVERTISEMENT, *ipv6.MULTICAST_LISTENERS)
    for kind in told:
        yield flow(Stage.TRACK_IN, 30, owner, ipv6.ICMPV6 | {"icmpv6_type": kind}, [Goto(Stage.DELIVER)])


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    """On the way in, a port without its flow gets nothing but ARP: security fails closed."""
    number = facts.number("port", port.id)
    if port.security and not facts.stateless(set_name(port)):
        yield Zone(number)
    if port.id not in facts.ofports:
        return
    if not port.security:
        yield flow(Stage.TRACK_IN, 10, owner, {TARGET: number}, [Goto(Stage.DELIVER)])
        return
    actions: list[Action] = [set_field(GROUP_SET, facts.number("set", set_name(port))), set_field(VERDICT, 0)]
    if facts.stateless(set_name(port)):
        actions += [Resubmit(Stage.RULES_IN), Goto(Stage.ALLOW_IN)]
    else:
        actions = [set_field(ZONE, number), *actions, Ct(ZONE, Stage.GROUP_IN)]
    for eth_type in _TRACKED if ipv6.speaks(port) else _TRACKED[:1]:
        yield flow(Stage.TRACK_IN, 20, owner, {TARGET: number, "eth_type": eth_type}, actions)
    # What no rule allows ends here, counted for the port.
    yield flow(Stage.ALLOW_OUT, 1, owner, {SOURCE: number})
    yield flow(Stage.ALLOW_IN, 1, owner, {TARGET: number})


def set_flows(facts: Facts, owner: Owner, name: str) -> Iterator[Part]:
    """A stateless set asks without tracking. What another port's zone said of the packet counts for nothing."""
    if not facts.has("port@set", name) or not facts.stateless(name):
        return
    of_set = {GROUP_SET: facts.number("set", name)}
    asking: list[Action] = [Resubmit(Stage.RULES_OUT), Goto(Stage.ALLOW_OUT)]
    for eth_type in _TRACKED:
        yield flow(Stage.TRACK_OUT, 15, owner, of_set | {"eth_type": eth_type}, asking)
    yield flow(Stage.ALLOW_OUT, 30, owner, of_set | {VERDICT: 1}, [Goto(Stage.ANSWER)])
    yield flow(Stage.ALLOW_IN, 30, owner, of_set | {VERDICT: 1}, [Goto(Stage.DELIVER)])


def _ask(owner: Owner, stage: Stage, opened: Stage, answered: Stage) -> Iterator[Part]:
    """`opened` holds the rules for connections opened in this packet's direction, `answered` those of the other."""
    allow = Goto(Stage.ALLOW_OUT if stage is Stage.GROUP_OUT else Stage.ALLOW_IN)
    ways = {
        0: [opened],
        CT_REPLY: [answered],
        CT_RELATED: [opened, answered],
        CT_RELATED | CT_REPLY: [opened, answered],
    }
    for way, rules in ways.items():
        actions: list[Action] = [*map(Resubmit, rules), allow]
        for eth_type in _TRACKED:
            yield flow(stage, 10, owner, {"eth_type": eth_type, "ct_state": (CT_TRACKED | way, _DIRECTION)}, actions)


def _carry_out(owner: Owner, stage: Stage, onwards: Stage) -> Iterator[Part]:
    new = {VERDICT: 1, "ct_state": (CT_TRACKED | CT_NEW, CT_TRACKED | CT_NEW)}
    for eth_type in _TRACKED:
        yield flow(stage, 20, owner, new | {"eth_type": eth_type}, [Ct(ZONE, commit=True), Goto(onwards)])
    yield flow(stage, 10, owner, {VERDICT: 1}, [Goto(onwards)])


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "port": port_flows, "group_set": set_flows}
