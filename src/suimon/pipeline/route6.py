"""Stage route for IPv6: the router of `route`, which also finds the next hops of both, for the other family.

Nothing is translated: what leaves by the gateway keeps its address. A router's legs answer ping at their address and at
their link-local one, which is what guests have as their gateway (RFC 4861, 6.3.4). Link-local and multicast packets are
never forwarded (RFC 4291, 2.5.6 and 2.7).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import ipv6
from suimon.pipeline.ecmp import extra_routes, outer_routes, spread
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import NET, NEXTHOP6, ROUTED, ROUTER
from suimon.pipeline.fit import fitting, widest
from suimon.pipeline.flow import Action, DecTtl, Flow, Goto, Move, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.route import ROUTED_BACK
from suimon.pipeline.tables import Stage

_OWN: Final = 300
_NOT_FORWARDED: Final = 290
_PREFIX: Final = 100
"""Priority of a /0; each bit of prefix adds one. The default gateway is below."""
_DEFAULT: Final = 50


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    for kept in ({"ipv6_dst": "fe80::/10"}, {"ipv6_src": "fe80::/10"}, {"ipv6_dst": "ff00::/8"}):
        yield flow(Stage.ROUTE, _NOT_FORWARDED, owner, ipv6.IPV6 | kept)


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    if not router.up:
        return
    at_router: dict[str, object] = {ROUTER: facts.number("router", router.id), **ipv6.IPV6}
    legs = [leg for leg in router.interfaces if ":" in leg.ip and facts.network(leg.network_id)]
    most = widest(facts, router)
    for leg in legs:
        yield from _own(owner, at_router | {"ipv6_dst": leg.ip}, leg.mac, leg.ip)
        connected = _prefix(owner, at_router, leg.cidr, _towards(facts, leg, [Move("ipv6_dst", NEXTHOP6)]))
        yield from fitting(connected, _mtu(facts, leg.network_id), most)
    for network_id, mac in sorted({(leg.network_id, leg.mac) for leg in legs}):
        local = ipv6.link_local(mac)
        on_link = at_router | {NET: facts.number("network", network_id), "ipv6_dst": local}
        yield from _own(owner, on_link, mac, local)
    yield from _static(facts, owner, router, at_router)
    yield from _external(facts, owner, router, at_router)


def echo_reply(mac: str, ip: str) -> list[Action]:
    """To whoever is on the same network as the address that was asked."""
    return [Move("eth_src", "eth_dst"), set_field("eth_src", mac), *_turned(ip)]


def _turned(ip: str) -> list[Action]:
    """RFC 4443, 4.2: an echo request is turned around with a fresh hop limit."""
    turned: list[Action] = [Move("ipv6_src", "ipv6_dst"), set_field("ipv6_src", ip)]
    return [*turned, set_field("icmpv6_type", 129), set_field("ip_ttl", 64)]


def _own(owner: Owner, here: dict[str, object], mac: str, ip: str) -> Iterator[Part]:
    """A leg answers ping, and has no other service."""
    echo = here | {"ip_proto": 58, "icmpv6_type": 128, "icmpv6_code": 0}
    yield flow(Stage.ROUTE, _OWN + 1, owner, echo, [*echo_reply(mac, ip), Goto(Stage.REPLY)])
    if not ip.startswith("fe80"):
        yield flow(Stage.ROUTE, _OWN + 2, owner, echo | {ROUTED: 1}, [*_turned(ip), *ROUTED_BACK])
    yield flow(Stage.ROUTE, _OWN, owner, here)


def _static(facts: Facts, owner: Owner, router: view.Router, at_router: dict[str, object]) -> Iterator[Part]:
    """Extra routes, whose next hop is on one of the router's subnets; several to one destination share its packets."""
    ways: dict[str, list[list[Action]]] = {}
    mtus: dict[str, int] = {}
    for route in extra_routes(facts, router):
        for leg in router.interfaces:
            if ":" not in route.nexthop or ":" not in leg.cidr or facts.network(leg.network_id) is None:
                continue
            if IPv6Address(route.nexthop) in IPv6Network(leg.cidr):
                hop = set_field(NEXTHOP6, route.nexthop)
                ways.setdefault(route.destination, []).append(_towards(facts, leg, [hop]))
                mtu = _mtu(facts, leg.network_id)
                mtus[route.destination] = min(mtu, mtus.get(route.destination, mtu))
                break
    for destination, found in ways.items():
        actions, groups = spread(facts, owner, f"{router.id}/{destination}", found)
        yield from groups
        yield from fitting(_prefix(owner, at_router, destination, actions), mtus[destination], widest(facts, router))


def _external(facts: Facts, owner: Owner, router: view.Router, at_router: dict[str, object]) -> Iterator[Part]:
    """All else leaves by the gateway (see `gateway6`), with the address that it has."""
    gateway = router.gateway
    if gateway is None or gateway.ip6 is None or facts.network(gateway.network_id) is None:
        return
    number, mtu, most = (
        facts.number("network", gateway.network_id),
        _mtu(facts, gateway.network_id),
        widest(facts, router),
    )
    yield from _own(owner, at_router | {"ipv6_dst": gateway.ip6}, gateway.mac, gateway.ip6)
    leave: list[Action] = [DecTtl(), set_field(NET, number), Goto(Stage.FLOATING_OUT)]
    for subnet_id in facts.found("subnet@network", gateway.network_id):
        subnet = facts.subnet(subnet_id)
        if subnet and ":" in subnet.cidr:
            yield from fitting(_prefix(owner, at_router, subnet.cidr, leave), mtu, most)
    for destination in outer_routes(facts, router):
        if ":" in destination:
            yield from fitting(_prefix(owner, at_router, destination, leave), mtu, most)
    if gateway.nexthop6:
        yield from fitting(flow(Stage.ROUTE, _DEFAULT, owner, at_router, leave), mtu, most)


def _prefix(owner: Owner, at_router: dict[str, object], cidr: str, actions: list[Action]) -> Flow:
    priority = _PREFIX + IPv6Network(cidr, strict=False).prefixlen
    return flow(Stage.ROUTE, priority, owner, at_router | {"ipv6_dst": cidr}, actions)


def _mtu(facts: Facts, network_id: str) -> int:
    network = facts.network(network_id)
    return network.mtu if network else 0


def _towards(facts: Facts, leg: view.RouterInterface, nexthop: list[Action]) -> list[Action]:
    number = facts.number("network", leg.network_id)
    on_leg: list[Action] = [set_field("eth_src", leg.mac), set_field(NET, number), set_field(ROUTED, 1)]
    return [DecTtl(), *on_leg, *nexthop, Goto(Stage.NEIGHBOUR)]


PRODUCERS: Final[Producers] = {
    "bridge": bridge_flows,
    "router": router_flows,
}
