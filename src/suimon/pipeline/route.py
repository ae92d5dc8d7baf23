"""Stages route and neighbour: a router is wherever its guests are.

The host of the sender does all the routing: longest prefix, TTL, the router's MAC as source, the next hop's MAC as
destination; then the frame is looked up on the other network like any other. No host is a router node. The router's
own addresses answer ping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import ipv6, meters
from suimon.pipeline.ecmp import extra_routes, outer_routes, spread
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import INGRESS, NET, NEXTHOP, NEXTHOP6, ROUTED, ROUTER, wide
from suimon.pipeline.fit import fitting, widest
from suimon.pipeline.flow import (
    Action,
    DecTtl,
    Flow,
    Goto,
    Meter,
    Move,
    Resubmit,
    ToController,
    UseMeter,
    flow,
    set_field,
)
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage

_OWN: Final = 300
_PREFIX: Final = 100
"""Priority of a /0; each bit of prefix adds one. The default gateway is below."""
_DEFAULT: Final = 50
_PORT: Final = 100
_ROUTERS_ALONE: Final = 70
"""Of next hops: ports are found by guests, too; the others come after the flow of `who_has` for what nobody has."""


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    if not router.up:
        return
    at_router: dict[str, object] = {ROUTER: facts.number("router", router.id), "eth_type": 0x0800}
    most = widest(facts, router)
    for interface in router.interfaces:
        network = facts.network(interface.network_id)
        if ":" in interface.ip or network is None:
            continue
        here = at_router | {"ipv4_dst": interface.ip}
        echo = here | {"ip_proto": 1, "icmp_type": 8, "icmp_code": 0}
        answer = echo_reply(interface.mac, interface.ip)
        yield flow(Stage.ROUTE, _OWN + 1, owner, echo, [*answer, Goto(Stage.REPLY)])
        yield flow(Stage.ROUTE, _OWN + 2, owner, echo | {ROUTED: 1}, [*_turned(interface.ip), *ROUTED_BACK])
        yield flow(Stage.ROUTE, _OWN, owner, here)
        connected = _towards(facts, interface, [Move("ipv4_dst", NEXTHOP)])
        yield from fitting(_prefix(owner, at_router, interface.cidr, connected), network.mtu, most)
    yield from _static(facts, owner, router, at_router)
    yield from _external(facts, owner, router, at_router)
    yield from _asking(facts, owner, router)


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    if facts.found_here(port.id):
        yield from _port(facts, owner, port, tuple(fixed.ip for fixed in port.fixed_ips))
        yield from _held(facts, owner, port)


def peer_flows(facts: Facts, owner: Owner, peer: view.Peer) -> Iterator[Part]:
    if peer.host != facts.host:
        yield from _port(facts, owner, peer, peer.ips)
        yield from _held(facts, owner, peer)


def _held(facts: Facts, owner: Owner, port: view.Port | view.Peer) -> Iterator[Part]:
    """Virtual addresses: guests of the network ask who has one, routers know."""
    for held in port.holds:
        yield from found_at(facts, owner, port.network_id, held.mac, [held.cidr])


def neighbour_flows(facts: Facts, owner: Owner, name: str) -> Iterator[Part]:
    """A next hop outside, as the agent learnt it. `name` is "network id/address"."""
    network_id, _, ip = name.partition("/")
    mac = facts.neighbours.get((network_id, ip))
    if mac and facts.network(network_id):
        yield from found_at(facts, owner, network_id, mac, [ip])


def network_flows(facts: Facts, owner: Owner, network: view.Network) -> Iterator[Part]:
    """A next hop outside that nobody knows yet: the agent asks for it."""
    if network.external and not network.tunnelled:
        waiting: dict[str, object] = {NET: facts.number("network", network.id)}
        yield flow(Stage.NEIGHBOUR, 10, owner, waiting, [UseMeter(meters.NEIGHBOUR), ToController()])


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield Meter(meters.NEIGHBOUR, owner, rate=100, burst=100, packets=True)


def found_at(facts: Facts, owner: Owner, network_id: str, mac: str, ips: Iterable[str]) -> Iterator[Part]:
    """Next hops of either family that routers look for, and guests don't find."""
    for hop in _hops(facts, network_id, ips):
        yield flow(Stage.NEIGHBOUR, _ROUTERS_ALONE, owner, hop, _found(mac))


def _port(facts: Facts, owner: Owner, port: view.Port | view.Peer, ips: tuple[str, ...]) -> Iterator[Part]:
    """By its link-local address, too, as guests do (RFC 4861, 7.2)."""
    own = [*(ip for ip in ips if ":" not in ip), *ipv6.addresses(port.mac, ips)]
    for hop in _hops(facts, port.network_id, own):
        yield flow(Stage.NEIGHBOUR, _PORT, owner, hop, _found(port.mac))


def _hops(facts: Facts, network_id: str, ips: Iterable[str]) -> Iterator[dict[str, object]]:
    if facts.network(network_id) is None:
        return
    here: dict[str, object] = {NET: facts.number("network", network_id)}
    for ip in ips:
        if ":" in ip:
            yield here | ipv6.IPV6 | wide(NEXTHOP6, int(IPv6Address(ip)))
        else:
            yield here | {NEXTHOP: int(IPv4Address(ip))}


def _found(mac: str) -> list[Action]:
    return [set_field("eth_dst", mac), Resubmit(Stage.LOOKUP)]


def _static(facts: Facts, owner: Owner, router: view.Router, at_router: dict[str, object]) -> Iterator[Part]:
    """Extra routes, whose next hop is on one of the router's subnets; several to one destination share its packets."""
    ways: dict[str, list[list[Action]]] = {}
    mtus: dict[str, int] = {}
    for route in extra_routes(facts, router):
        for interface in router.interfaces:
            network = facts.network(interface.network_id)
            if ":" in route.nexthop + interface.cidr or network is None:
                continue
            if IPv4Address(route.nexthop) in IPv4Network(interface.cidr):
                nexthop = set_field(NEXTHOP, int(IPv4Address(route.nexthop)))
                ways.setdefault(route.destination, []).append(_towards(facts, interface, [nexthop]))
                mtus[route.destination] = min(network.mtu, mtus.get(route.destination, network.mtu))
                break
    for destination, found in ways.items():
        actions, groups = spread(facts, owner, f"{router.id}/{destination}", found)
        yield from groups
        yield from fitting(_prefix(owner, at_router, destination, actions), mtus[destination], widest(facts, router))


def _external(facts: Facts, owner: Owner, router: view.Router, at_router: dict[str, object]) -> Iterator[Part]:
    """All else leaves by the gateway, if a floating IP gives the sender an address there (stage floating_out)."""
    gateway = router.gateway
    network = facts.network(gateway.network_id) if gateway else None
    if gateway is None or network is None:
        return
    most = widest(facts, router)
    leave: list[Action] = [DecTtl(), set_field(NET, facts.number("network", gateway.network_id))]
    for subnet_id in facts.found("subnet@network", gateway.network_id):
        subnet = facts.subnet(subnet_id)
        if subnet and ":" not in subnet.cidr:
            on_link: list[Action] = [*leave, Move("ipv4_dst", NEXTHOP), Goto(Stage.FLOATING_OUT)]
            yield from fitting(_prefix(owner, at_router, subnet.cidr, on_link), network.mtu, most)
    for destination, nexthops in outer_routes(facts, router).items():
        if ":" not in destination:
            hops = [set_field(NEXTHOP, int(IPv4Address(each))) for each in nexthops]
            ways: list[list[Action]] = [[*leave, hop, Goto(Stage.FLOATING_OUT)] for hop in hops]
            actions, groups = spread(facts, owner, f"{router.id}/{destination}", ways)
            yield from groups
            yield from fitting(_prefix(owner, at_router, destination, actions), network.mtu, most)
    if gateway.nexthop and ":" not in gateway.nexthop:
        nexthop = set_field(NEXTHOP, int(IPv4Address(gateway.nexthop)))
        default = flow(Stage.ROUTE, _DEFAULT, owner, at_router, [*leave, nexthop, Goto(Stage.FLOATING_OUT)])
        yield from fitting(default, network.mtu, most)


def _asking(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    """Who sends by one router to next hops that nobody knows keeps the guests of no other from theirs."""
    network = facts.network(router.gateway.network_id) if router.gateway else None
    if network is None or not network.external or network.tunnelled:
        return
    meter = meters.numbered(facts, f"router/{router.id}")
    yield Meter(meter, owner, rate=50, burst=50, packets=True)
    waiting: dict[str, object] = {NET: facts.number("network", network.id), ROUTER: facts.number("router", router.id)}
    yield flow(Stage.NEIGHBOUR, 20, owner, waiting, [UseMeter(meter), ToController()])


def _prefix(owner: Owner, at_router: dict[str, object], cidr: str, actions: list[Action]) -> Flow:
    priority = _PREFIX + IPv4Network(cidr, strict=False).prefixlen
    return flow(Stage.ROUTE, priority, owner, at_router | {"ipv4_dst": cidr}, actions)


def _towards(facts: Facts, interface: view.RouterInterface, nexthop: list[Action]) -> list[Action]:
    number = facts.number("network", interface.network_id)
    leg: list[Action] = [set_field("eth_src", interface.mac), set_field(NET, number), set_field(ROUTED, 1)]
    return [DecTtl(), *leg, *nexthop, Goto(Stage.NEIGHBOUR)]


def echo_reply(mac: str, ip: str) -> list[Action]:
    """To whoever is on the same network as the address that was asked."""
    return [Move("eth_src", "eth_dst"), set_field("eth_src", mac), *_turned(ip)]


def _turned(ip: str) -> list[Action]:
    """RFC 792 echo: turned around with a fresh TTL, from the address that was asked."""
    turned: list[Action] = [Move("ipv4_src", "ipv4_dst"), set_field("ipv4_src", ip)]
    return [*turned, set_field("icmp_type", 0), set_field("ip_ttl", 64)]


ROUTED_BACK: Final[tuple[Action, ...]] = (
    set_field(NET, 0),
    # The way back may be the way it came, and nothing is sent out of where it came from.
    set_field(INGRESS, 0),
    Resubmit(Stage.ROUTE),
)
"""What answers somebody who is not on the router's own network: the answer is the router's own packet, and finds its
way from there.
"""


PRODUCERS: Final[Producers] = {
    "bridge": bridge_flows,
    "port": port_flows,
    "peer": peer_flows,
    "router": router_flows,
    "network": network_flows,
    "neighbour": neighbour_flows,
}
