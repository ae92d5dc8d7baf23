"""Stages neighbour and lookup: a router's leg, to other routers on its network.

One that has it as its next hop finds its MAC. One that brings a ping for its address gets the answer on that network,
at once: who asks from behind another router is answered by the way that he came, and his host has to know no more of
the asked router than the leg (docs/decisions/0071).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import ipv6
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import FROM_GUEST, INGRESS, NET, ORIGIN, ROUTED
from suimon.pipeline.flow import Action, Resubmit, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.route import echo_reply, found_at
from suimon.pipeline.route6 import echo_reply as echo_reply6
from suimon.pipeline.tables import Stage

_ASKED: Final = 120
_OF_NOBODY: Final = 105
"""Below the flow that leads to the router itself, above all that leads elsewhere."""
_ECHO: Final[dict[str, object]] = {"eth_type": 0x0800, "ip_proto": 1, "icmp_type": 8, "icmp_code": 0}
_ECHO6: Final[dict[str, object]] = ipv6.ICMPV6 | {"icmpv6_type": 128, "icmpv6_code": 0}


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    for leg in router.interfaces if router.up else ():
        yield from _met(facts, owner, leg.network_id, leg.mac, [leg.ip])


def leg_flows(facts: Facts, owner: Owner, leg: view.Leg) -> Iterator[Part]:
    """Of a router that this host isn't told of; what else is for it stays here."""
    if facts.router(leg.router_id) is None and facts.network(leg.network_id) and facts.routed(leg.network_id):
        yield from _met(facts, owner, leg.network_id, leg.mac, leg.ips)
        here = {NET: facts.number("network", leg.network_id), "eth_dst": leg.mac}
        yield flow(Stage.LOOKUP, _OF_NOBODY, owner, here)


def _met(facts: Facts, owner: Owner, network_id: str, mac: str, ips: Collection[str]) -> Iterator[Part]:
    if facts.network(network_id) is None:
        return
    yield from found_at(facts, owner, network_id, mac, ips)
    brought = {NET: facts.number("network", network_id), ORIGIN: FROM_GUEST, ROUTED: 1, "eth_dst": mac}
    for ip in ips:
        asked = _ECHO6 | {"ipv6_dst": ip} if ":" in ip else _ECHO | {"ipv4_dst": ip}
        answer = echo_reply6(mac, ip) if ":" in ip else echo_reply(mac, ip)
        # The answer may leave by where the question came in.
        back: list[Action] = [*answer, set_field(INGRESS, 0), Resubmit(Stage.FLOATING_IN)]
        yield flow(Stage.LOOKUP, _ASKED, owner, brought | asked, back)


PRODUCERS: Final[Producers] = {"router": router_flows, "leg": leg_flows}
