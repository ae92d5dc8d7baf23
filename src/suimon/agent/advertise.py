"""Router advertisements (RFC 4861, 4862, 8106) to the guests of this host, for the routers of ours on their networks.

A router has a leg on a network wherever a guest is, so each host advertises it to its own guests alone: when one is
plugged, when it asks, when what is told changes, and every few minutes. Whoever stops being a router says so. As in
Neutron, a subnet is advertised when it has an `ra_mode`; one without a router of ours is never.
"""

import asyncio
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from ipaddress import IPv6Network
from typing import Final, Never

import msgspec
import structlog
from msgspec.structs import replace

from suimon.agent.dhcp_options import domain_list, name_servers6
from suimon.agent.outside import PacketOut
from suimon.agent.packets import Ethernet, PacketError, mac_bytes, tagged
from suimon.agent.packets6 import (
    ALL_NODES,
    ETH_IPV6,
    NO_IP6,
    Icmp6,
    ip6_bytes,
    multicast_mac,
)
from suimon.model.view import Port, RouterInterface
from suimon.pipeline.flow import Output
from suimon.pipeline.ipv6 import ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, advertised, link_local
from suimon.pipeline.world import World

log = structlog.get_logger()

ROUTER_LIFETIME_S: Final = 9000
"""As long as RFC 4861 lets it be (6.2.1): guests go on while the agent is away."""
VALID_S: Final = 86400
PREFERRED_S: Final = 14400
_MOST_OUTPUTS: Final = 32
"""Ports that one packet-out goes to."""
_SMALLEST_MTU: Final = 1280
_MOST_DNS: Final = 3
_SOURCE_MAC, _TARGET_PREFIX, _MTU, _RDNSS, _DNSSL = 1, 3, 5, 25, 31


class Config(msgspec.Struct, frozen=True):
    """How long an advertisement is waited for at most and at least; lifetimes are far above ten times that."""

    shortest_s: float = 150.0
    longest_s: float = 200.0


class Prefix(msgspec.Struct, frozen=True):
    """`autonomous`: guests make themselves addresses of it (SLAAC)."""

    cidr: str
    autonomous: bool
    valid_s: int = VALID_S
    preferred_s: int = PREFERRED_S


class Advertisement(msgspec.Struct, frozen=True):
    """What one leg of a router tells its link. `managed`: addresses are had by DHCPv6; `other`: other things are."""

    mac: str
    mtu: int
    managed: bool
    other: bool
    prefixes: tuple[Prefix, ...]
    dns: tuple[str, ...] = ()
    domain: str = ""
    lifetime_s: int = ROUTER_LIFETIME_S
    gone_dns: tuple[str, ...] = ()

    @property
    def said(self) -> set[str]:
        """The prefixes, name servers and domain that it vouches for."""
        return {*(prefix.cidr for prefix in self.prefixes), *self.dns, self.domain}

    def after(self, before: "Advertisement", kept: Collection[str]) -> "Advertisement":
        """What to tell those who were told `before`: what is so now, and the end of what isn't `kept`."""
        ended = tuple(replace(each, valid_s=0, preferred_s=0) for each in before.prefixes if each.cidr not in kept)
        gone_dns = tuple(server for server in before.dns if server not in kept)
        return replace(self, prefixes=(*self.prefixes, *ended), gone_dns=gone_dns)

    def withdrawn(self, kept: Collection[str]) -> "Advertisement":
        """The last word of a leg that goes: it is no router any more."""
        domain = "" if self.domain in kept else self.domain
        return replace(self, lifetime_s=0, prefixes=(), dns=(), domain=domain).after(self, kept)

    def frame(self, mac: str = multicast_mac(ALL_NODES), ip: str = ALL_NODES) -> bytes:
        flags = (0x80 if self.managed else 0) | (0x40 if self.other else 0)
        head = struct.pack("!BBHII", 64, flags, self.lifetime_s, 0, 0)
        body = head + b"".join(self._options())
        message = Icmp6(link_local(self.mac), ip, ROUTER_ADVERTISEMENT, 0, body)
        return Ethernet(mac, self.mac, ETH_IPV6, message.pack()).pack()

    def _options(self) -> Iterator[bytes]:
        yield _option(_SOURCE_MAC, mac_bytes(self.mac))
        if self.mtu >= _SMALLEST_MTU:
            yield _option(_MTU, struct.pack("!HI", 0, self.mtu))
        for prefix in self.prefixes:
            network = IPv6Network(prefix.cidr)
            flags = 0x80 | (0x40 if prefix.autonomous else 0)
            times = struct.pack("!IIxxxx", prefix.valid_s, prefix.preferred_s)
            yield _option(_TARGET_PREFIX, bytes([network.prefixlen, flags]) + times + network.network_address.packed)
        for servers, lifetime_s in ((self.dns, ROUTER_LIFETIME_S), (self.gone_dns, 0)):
            if servers:
                yield _option(_RDNSS, struct.pack("!HI", 0, lifetime_s) + b"".join(map(ip6_bytes, servers)))
        if domain := domain_list(self.domain):
            yield _option(_DNSSL, struct.pack("!HI", 0, self.lifetime_s) + domain)


def advertisements(world: World, network_id: str) -> dict[str, Advertisement]:
    """By the leg's port id, what routers tell a network."""
    legs = defaultdict[str, list[RouterInterface]](list)
    for router_id in world.found("router@network", network_id):
        router = world.router(router_id)
        for leg in router.interfaces if router and router.up else ():
            if leg.network_id == network_id and ":" in leg.ip:
                legs[leg.port_id].append(leg)
    found = {port_id: _advertisement(world, network_id, of_one) for port_id, of_one in legs.items()}
    return {port_id: advertisement for port_id, advertisement in found.items() if advertisement}


def _advertisement(world: World, network_id: str, legs: list[RouterInterface]) -> Advertisement | None:
    network = world.network(network_id)
    subnets = [subnet for leg in legs if (subnet := world.subnet(leg.subnet_id)) and subnet.ra_mode]
    if network is None or not subnets:
        return None
    modes = {subnet.ra_mode for subnet in subnets}
    return Advertisement(
        mac=legs[0].mac,
        mtu=network.mtu,
        managed="dhcpv6-stateful" in modes,
        other="dhcpv6-stateless" in modes,
        prefixes=tuple(Prefix(subnet.cidr, subnet.ra_mode != "dhcpv6-stateful") for subnet in subnets),
        dns=tuple(name_servers6(subnets)[:_MOST_DNS]),
        domain=network.dns_domain,
    )


Guest = tuple[str, int, int]
"""A port that is plugged here: its id, the ofport, and the tag that a trunk's subport is reached by (0: none)."""
_Leg = tuple[str, str, str]
"""A router's leg: its network, its port, its MAC."""


class _Told(msgspec.Struct):
    """What a leg's guests were told last, who they are, and when they are told again."""

    advertisement: Advertisement
    guests: frozenset[Guest]
    due_at: float


class Advertiser:
    """One for the agent's life. `clock` gives seconds that only go forward, `jitter` numbers from 0 to 1."""

    def __init__(self, config: Config, world: World, clock: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._config = config
        self._world = world
        self._clock = clock
        self._jitter = jitter
        self._told: dict[_Leg, _Told] = {}

    async def run(self, changed: asyncio.Event, send: Callable[[PacketOut], Awaitable[None]]) -> Never:
        """Tell what is new whenever `changed` is set, and everything when it is due; ends with what `send` raises."""
        while True:
            changed.clear()
            for packet in (*self.news(), *self.due()):
                await send(packet)
            due_at = min((told.due_at for told in self._told.values()), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due_at is None else max(0.0, due_at - self._clock())):
                    await changed.wait()

    def news(self) -> list[PacketOut]:
        """What guests don't know yet. Everybody hears of a change; a guest that was plugged is told by itself."""
        links = self._world.take_links()
        networks = {owner.id for owner in links if owner.kind == "network"}
        if any(owner.kind == "router" for owner in links):  # It may have had legs that it has no more.
            here = filter(None, map(self._world.port, self._world.ofports))
            networks.update(port.network_id for port in here)
            networks.update(leg[0] for leg in self._told)
        return [packet for network_id in sorted(networks) for packet in self._news(network_id)]

    def _news(self, network_id: str) -> Iterator[PacketOut]:
        told, legs = advertisements(self._world, network_id), {leg for leg in self._told if leg[0] == network_id}
        if not told and not legs:  # On most networks: who is plugged there need not be known.
            return
        guests = self._guests(network_id)
        told = told if guests else {}
        now: dict[_Leg, Advertisement] = {(network_id, port_id, each.mac): each for port_id, each in told.items()}
        kept = {said for advertisement in now.values() for said in advertisement.said}
        for leg in sorted(legs - now.keys()):
            gone = self._told.pop(leg)
            yield from _sent(gone.advertisement.withdrawn(kept), gone.guests & guests)
        for leg, advertisement in now.items():
            before = self._told.get(leg)
            if before is None or before.advertisement != advertisement:
                said = advertisement.after(before.advertisement, kept) if before else advertisement
                yield from _sent(said, guests)
                self._told[leg] = _Told(advertisement, guests, self._next())
            else:
                yield from _sent(advertisement, guests - before.guests)
                before.guests = guests

    def due(self) -> list[PacketOut]:
        """What guests are reminded of by now."""
        packets: list[PacketOut] = []
        for told in self._told.values():
            if told.due_at <= self._clock():
                packets += _sent(told.advertisement, told.guests)
                told.due_at = self._next()
        return packets

    def solicited(self, frame: bytes, port: Port) -> list[bytes]:
        """The frames that answer a guest's router solicitation: one of each router."""
        try:
            ethernet = Ethernet.parse(frame)
            asked = Icmp6.parse(ethernet.payload)
            _check_solicitation(asked)
        except PacketError as error:
            log.debug("solicitation_refused", port=port.id, reason=str(error))
            return []
        to = () if asked.src == NO_IP6 else (ethernet.src, asked.src)
        found = advertisements(self._world, port.network_id).values()
        return [advertisement.frame(*to) for advertisement in found]

    def _guests(self, network_id: str) -> frozenset[Guest]:
        """Those of a network that are plugged here and have an address where a router advertises: to others it would
        tell a prefix, and a resolver, that they can't use.
        """
        world = self._world
        ports = filter(None, map(world.port, world.found("port@network", network_id)))
        plugged = ((port, world.ofports.get(port.id)) for port in ports if port.up and advertised(world, port))
        return frozenset((port.id, ofport, port.vlan or 0) for port, ofport in plugged if ofport is not None)

    def _next(self) -> float:
        shortest_s, longest_s = self._config.shortest_s, self._config.longest_s
        return self._clock() + shortest_s + self._jitter() * (longest_s - shortest_s)


def _check_solicitation(message: Icmp6) -> None:
    """RFC 4861, 6.1.1."""
    if (message.type, message.code) != (ROUTER_SOLICITATION, 0) or len(message.body) < 4:
        raise PacketError("not a whole router solicitation")
    at, options = 0, message.body[4:]
    while at < len(options):
        size = 8 * options[at + 1] if at + 1 < len(options) else 0
        if not size or at + size > len(options):
            raise PacketError("an option is cut off or has no length")
        if options[at] == _SOURCE_MAC and message.src == NO_IP6:
            raise PacketError("a link-layer address without an address")
        at += size


def _sent(advertisement: Advertisement, guests: frozenset[Guest]) -> Iterator[PacketOut]:
    """One packet for many guests, and one for each tag."""
    ofports = defaultdict[int, list[int]](list)
    for _, ofport, vlan in sorted(guests):
        ofports[vlan].append(ofport)
    frame = advertisement.frame() if guests else b""
    for vlan, reached in ofports.items():
        for at in range(0, len(reached), _MOST_OUTPUTS):
            outputs = tuple(Output(ofport) for ofport in reached[at : at + _MOST_OUTPUTS])
            yield PacketOut(outputs, tagged(frame, vlan or None))


def _option(kind: int, value: bytes) -> bytes:
    """Its length counts eights of bytes (RFC 4861, 4.6)."""
    size = (len(value) + 2 + 7) // 8
    return bytes([kind, size]) + value.ljust(size * 8 - 2, b"\0")
