"""Stages answer, neighbour and lookup: a guest asks who has an address, and finds it where routers find next hops.

So a host says once whose MAC an address has, for both (docs/decisions/0091). The address becomes the next hop, with
`WHO_HAS` where a routed packet has no target yet. Stage neighbour writes the MAC and leads to lookup, where the
question is turned around with it (RFC 826; RFC 4861, 7.2.4). Guests find ports there, and the services of their host;
what else routers know comes after the flow that lets a question go on as whatever guests send does.

A guest also believes for a while what it was told of a port that is gone. What it sends to a MAC that nobody has finds
the port that has the address now in the same way (docs/decisions/0099).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model.owner import Owner
from suimon.pipeline.count import counted
from suimon.pipeline.discovery import OF_HOST, SOLICITED, answering
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import (
    BY_ADDRESS,
    FROM_GUEST,
    NEXTHOP,
    NEXTHOP6,
    ORIGIN,
    ROUTED,
    SENT_OUTSIDE,
    TARGET,
    WHO_HAS,
)
from suimon.pipeline.flow import Action, Goto, Move, Resubmit, flow, set_field
from suimon.pipeline.ipv6 import IPV6
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage

_ARP: Final[dict[str, object]] = {"eth_type": 0x0806}
_LOOKED_FOR: Final[tuple[Action, ...]] = (set_field(TARGET, WHO_HAS), Goto(Stage.NEIGHBOUR))
_TURNED_ARP: Final[tuple[Action, ...]] = (
    Move("arp_sha", "arp_tha"),
    Move("eth_dst", "arp_sha"),
    Move("eth_src", "eth_dst"),
    Move("arp_sha", "eth_src"),
    set_field("arp_op", 2),
    Move("arp_spa", "arp_tpa"),
    Move(NEXTHOP, "arp_spa"),
    Goto(Stage.REPLY),
)
_TURNED_ND: Final[tuple[Action, ...]] = (
    Move("ipv6_src", "ipv6_dst"),
    Move(NEXTHOP6, "ipv6_src"),
    # The next hop's registers are free from here on.
    Move("eth_dst", NEXTHOP6),
    Move("eth_src", "eth_dst"),
    Move(NEXTHOP6, "eth_src"),
    *answering(OF_HOST),
)
_LED_BY_ADDRESS: Final[tuple[Action, ...]] = (set_field(TARGET, BY_ADDRESS), Goto(Stage.NEIGHBOUR))


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    asked = {ORIGIN: FROM_GUEST, **_ARP, "arp_op": 1}
    yield flow(Stage.ANSWER, 90, owner, asked, [Move("arp_tpa", NEXTHOP), *_LOOKED_FOR])
    solicited = {ORIGIN: FROM_GUEST, **SOLICITED}
    yield flow(Stage.ANSWER, 90, owner, solicited, [Move("nd_target", NEXTHOP6), *_LOOKED_FOR])
    onwards: list[Action] = [set_field(TARGET, 0), *counted(SENT_OUTSIDE), Resubmit(Stage.FLOATING_IN)]
    yield flow(Stage.NEIGHBOUR, 90, owner, {TARGET: WHO_HAS}, onwards)
    yield flow(Stage.LOOKUP, 200, owner, {TARGET: WHO_HAS, **_ARP}, _TURNED_ARP)
    yield flow(Stage.LOOKUP, 200, owner, {TARGET: WHO_HAS, **SOLICITED}, _TURNED_ND)
    # Below all that a network does with a MAC. What is still not found then has a target, and comes here no more.
    lost = {ORIGIN: FROM_GUEST, TARGET: 0, ROUTED: 0}
    yield flow(Stage.LOOKUP, 5, owner, lost | {"eth_type": 0x0800}, [Move("ipv4_dst", NEXTHOP), *_LED_BY_ADDRESS])
    yield flow(Stage.LOOKUP, 5, owner, lost | IPV6, [Move("ipv6_dst", NEXTHOP6), *_LED_BY_ADDRESS])
    yield flow(Stage.NEIGHBOUR, 90, owner, {TARGET: BY_ADDRESS}, [Resubmit(Stage.LOOKUP)])


PRODUCERS: Final[Producers] = {"bridge": bridge_flows}
