"""The way out for IPv6, by the same gateway hosts as in `gateway`, but without a namespace: nothing is translated.

A guest's host hands what its router has no leg for to the active gateway host, which gives it the next hop on the
external network. There the gateway's address, and the link-local one of its MAC, are answered for, and what comes in
for that MAC goes on by the router to its networks: whoever routes their prefixes here sends it so, another router that
the same host leads out as well. A router that is an NDP proxy (RFC 4389) also answers for single addresses of its
networks, and lets nothing in for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import ipv6, meters
from suimon.pipeline.discovery import ADVERTISED, SOLICITED, advertisement
from suimon.pipeline.ecmp import outer_routes, spread
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import FROM_GUEST, FROM_PROVIDER, INGRESS, NET, NEXTHOP6, ORIGIN, ROUTED, ROUTER, wide
from suimon.pipeline.flow import IN_PORT, Action, Goto, Move, Output, Resubmit, ToController, UseMeter, flow, set_field
from suimon.pipeline.gateway import VNI, active, gateway_passage, handed_over
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.remote import tag
from suimon.pipeline.route6 import echo_reply
from suimon.pipeline.tables import Stage

_OWN: Final = 310
_ROUND: Final = 60
"""Above the default route of a router, below all its others."""
_PREFIX: Final = 100
_DEFAULT: Final = 50


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    gateway = router.gateway
    network = facts.network(gateway.network_id) if gateway else None
    chosen = active(facts, router)
    if gateway is None or gateway.ip6 is None or network is None or chosen is None:
        return
    outside, tunnel = facts.number("network", network.id), facts.tunnel_ofport
    leaving: dict[str, object] = {NET: outside, ROUTER: facts.number("router", router.id), **ipv6.IPV6}
    if chosen.host != facts.host:
        if tunnel is not None:
            yield flow(Stage.FLOATING_OUT, 10, owner, leaving, handed_over(gateway, chosen.vtep, tunnel))
        return
    wire = facts.physnets.get(network.physnet or "")
    if wire is None:
        return
    limited = gateway_passage(facts, owner, router)
    out = [*limited.leaving, set_field("eth_src", gateway.mac), set_field(ROUTED, 1), Goto(Stage.LEAVE)]
    yield flow(Stage.FLOATING_OUT, 10, owner, leaving, out)
    taken: list[Action] = [set_field(ROUTER, facts.number("router", router.id)), set_field(ORIGIN, FROM_GUEST)]
    entering = [*taken, set_field(ROUTED, 1)]
    if tunnel is not None:
        handed = {"in_port": tunnel, "tun_id": VNI, "eth_dst": gateway.mac, **ipv6.IPV6}
        yield flow(Stage.TUNNEL, 110, owner, handed, [*taken, set_field(NET, outside), *out])
    yield from _next_hops(facts, owner, router, gateway)
    yield from _answered(owner, network, router, outside)
    at_gateway: dict[str, object] = {NET: outside, "eth_dst": gateway.mac, **ipv6.IPV6}
    inwards = [*limited.arriving, *entering, Goto(Stage.ROUTE)]
    yield flow(Stage.FLOATING_IN, 90, owner, at_gateway, inwards)
    if router.proxied is not None:
        for cidr in sorted({leg.cidr for leg in router.interfaces if ":" in leg.cidr}):
            yield flow(Stage.FLOATING_IN, 91, owner, at_gateway | {"ipv6_dst": cidr})
        for ip in router.proxied:
            yield flow(Stage.FLOATING_IN, 92, owner, at_gateway | {"ipv6_dst": ip}, inwards)
    # What came in and would go out again: whoever sent it has a wrong idea of what is behind the router.
    yield flow(Stage.ROUTE, _ROUND, owner, leaving)
    here = leaving | {"ipv6_dst": gateway.ip6}
    echo = here | {"ip_proto": 58, "icmpv6_type": 128, "icmpv6_code": 0}
    answer = echo_reply(gateway.mac, gateway.ip6)
    # To a guest of the external network, or to another router of this host. Who asks by the wire is answered by it,
    # whatever MAC he gives as his: as that of a router, it would lead him in.
    yield flow(Stage.ROUTE, _OWN + 1, owner, echo, [*answer, set_field(INGRESS, 0), Resubmit(Stage.FLOATING_IN)])
    yield flow(Stage.ROUTE, _OWN + 2, owner, echo | {"in_port": wire}, [*answer, *tag(network), Output(IN_PORT)])
    yield flow(Stage.ROUTE, _OWN, owner, here)


def _next_hops(facts: Facts, owner: Owner, router: view.Router, gateway: view.Gateway) -> Iterator[Part]:
    at_router: dict[str, object] = {ROUTER: facts.number("router", router.id), **ipv6.IPV6}
    for subnet_id in facts.found("subnet@network", gateway.network_id):
        subnet = facts.subnet(subnet_id)
        if subnet and ":" in subnet.cidr:
            priority = _PREFIX + IPv6Network(subnet.cidr, strict=False).prefixlen
            on_link: list[Action] = [Move("ipv6_dst", NEXTHOP6), Goto(Stage.NEIGHBOUR)]
            yield flow(Stage.LEAVE, priority, owner, at_router | {"ipv6_dst": subnet.cidr}, on_link)
    for destination, nexthops in outer_routes(facts, router).items():
        if ":" in destination:
            ways: list[list[Action]] = [[set_field(NEXTHOP6, each), Goto(Stage.NEIGHBOUR)] for each in nexthops]
            actions, groups = spread(facts, owner, f"{router.id}/{destination}", ways)
            yield from groups
            priority = _PREFIX + IPv6Network(destination).prefixlen
            yield flow(Stage.LEAVE, priority, owner, at_router | {"ipv6_dst": destination}, actions)
    if gateway.nexthop6:
        hop: list[Action] = [set_field(NEXTHOP6, gateway.nexthop6), Goto(Stage.NEIGHBOUR)]
        yield flow(Stage.LEAVE, _DEFAULT, owner, at_router, hop)


def _answered(owner: Owner, network: view.Network, router: view.Router, outside: int) -> Iterator[Part]:
    """Who asks on the external network is answered here and nowhere else, who answers the agent is heard by it, and a
    router of this host need not ask.
    """
    gateway = router.gateway
    assert gateway is not None
    from_outside: dict[str, object] = {NET: outside, ORIGIN: FROM_PROVIDER}
    own = ipv6.addresses(gateway.mac, (gateway.ip6 or "",))
    for ip in (*own, *(router.proxied or ())):
        asked = from_outside | SOLICITED | {"nd_target": ip}
        yield flow(Stage.ANSWER, 100, owner, asked, advertisement(gateway.mac, ip))
    for ip in own:
        told = from_outside | ADVERTISED | {"eth_dst": gateway.mac, "ipv6_dst": ip}
        yield flow(Stage.ANSWER, 100, owner, told, [UseMeter(meters.ARP), ToController()])
        # Another router of this host has this address as its next hop; it may go on to where it came from.
        nearby: dict[str, object] = {NET: outside, **ipv6.IPV6, **wide(NEXTHOP6, int(IPv6Address(ip)))}
        again: list[Action] = [set_field("eth_dst", gateway.mac), set_field(INGRESS, 0), Resubmit(Stage.FLOATING_IN)]
        yield flow(Stage.NEIGHBOUR, 80, owner, nearby, again)
    telling: list[Action] = [Move("eth_src", "nd_tll"), *tag(network), Output(IN_PORT)]
    advertised = from_outside | ADVERTISED | {"eth_src": gateway.mac}
    yield flow(Stage.ADVERTISE, 110, owner, advertised, telling)


PRODUCERS: Final[Producers] = {"router": router_flows}
