"""What a router of ours tells a packet's sender when it can't carry the packet on (stage `fit`): ICMP for IPv4
(RFC 792, 1191, 1812) and IPv6 (RFC 4443).

"Too big" is told whether or not IPv4's "don't fragment" is set, since the switch can't fragment: who gets it fragments
by itself from then on (RFC 1191, 3). How many there are, the meters of the stage bound.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from suimon.agent.outside import PacketOut
from suimon.agent.packets import ETH_IPV4, Ethernet, PacketError, checksum, ip_bytes, ip_text, tagged
from suimon.agent.packets6 import ETH_IPV6, IP_ICMPV6, Ipv6, ip6_text
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model import view
from suimon.pipeline.fields import COMPLAINT, EXPIRED, MTU, NET, NO_ROUTE, ROUTER, SOURCE, TOO_BIG
from suimon.pipeline.flow import Resubmit, match
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

_ICMP: Final = 1
_KINDS: Final = {TOO_BIG: (3, 4), EXPIRED: (11, 0), NO_ROUTE: (3, 0)}
_KINDS6: Final = {TOO_BIG: (2, 0), EXPIRED: (3, 0), NO_ROUTE: (1, 0)}
"""Type and code."""
_QUERIES: Final = frozenset({0, 8, *range(13, 19)})
"""ICMP types that report no error (RFC 1122, 3.2.2); of ICMPv6 those are from 128 on."""
_LONGEST: Final = 576
_LONGEST6: Final = 1280
"""Bytes of an answer with what it quotes (RFC 1812, 4.3.2.3; RFC 4443, 2.4 c)."""


def complaint(world: World, packet: PacketIn) -> PacketOut | None:
    """The answer to the sender of a packet that stage `fit` handed over; None for one that must not be answered.

    Raises PacketError for bytes that are no IP packet.
    """
    frame = Ethernet.parse(packet.data)
    source = _source(frame)
    network = world.network(world.numbers.name("network", packet.fields.get(NET, 0)) or "")
    router = _router(world, packet, frame)
    kind = packet.fields.get(COMPLAINT, 0)
    if source is None or router is None or kind not in _KINDS:
        return None
    address = _address(router, network.id if network else "", source)
    if address is None:
        return None
    mtu = packet.fields.get(MTU, 0) if kind == TOO_BIG else 0
    quoted = frame.payload
    said = _icmp6(kind, mtu, address, quoted) if ":" in source else _icmp(kind, mtu, address, quoted)
    number = packet.fields.get(SOURCE, 0)
    dst, src = _link(world, packet, frame, network)
    answer = Ethernet(dst, src, frame.eth_type, said).pack()
    # A guest's tag is put on by stage reply; that of a provider network is nobody's there.
    tag = network.segment if network and network.kind == "vlan" and not number else None
    outside = packet.fields.get("in_port", 0) in world.physnets.values()
    came = match({"in_port": packet.fields.get("in_port", 0), SOURCE: number})
    return PacketOut((Resubmit(Stage.REPLY),), tagged(answer, tag if outside else None), came)


def _source(frame: Ethernet) -> str | None:
    """Whom to tell; nobody of an error, of a later fragment, or by an address that many have (RFC 1812, 4.3.2.7)."""
    raw = frame.payload
    if frame.eth_type == ETH_IPV4 and len(raw) >= 20 and raw[0] >> 4 == 4:
        start = (raw[0] & 0xF) * 4
        later = int.from_bytes(raw[6:8], "big") & 0x1FFF
        error = raw[9] == _ICMP and (len(raw) <= start or raw[start] not in _QUERIES)
        source, target = IPv4Address(raw[12:16]), IPv4Address(raw[16:20])
        silent = later or error or target.is_multicast or int(target) == 0xFFFFFFFF
        return None if silent or not _is_single(source) or source.is_reserved else ip_text(raw[12:16])
    if frame.eth_type == ETH_IPV6 and len(raw) >= 40 and raw[0] >> 4 == 6:
        error = raw[6] == IP_ICMPV6 and (len(raw) <= 40 or raw[40] < 128)
        source6, target6 = IPv6Address(raw[8:24]), IPv6Address(raw[24:40])
        return None if error or target6.is_multicast or not _is_single(source6) else ip6_text(raw[8:24])
    raise PacketError("not an IP packet")


def _is_single(address: IPv4Address | IPv6Address) -> bool:
    return not (address.is_multicast or address.is_unspecified or address.is_loopback)


def _router(world: World, packet: PacketIn, frame: Ethernet) -> view.Router | None:
    """Who carries it; of what comes in for a floating IP, the router behind that."""
    name = world.numbers.name("router", packet.fields.get(ROUTER, 0))
    network_id = world.numbers.name("network", packet.fields.get(NET, 0))
    for each in world.found("floating_ip@network", network_id) if name is None else ():
        floating = world.floating_ip(each)
        if floating and floating.mac.lower() == frame.dst:
            name = floating.router_id
    return world.router(name) if name else None


def _address(router: view.Router, network_id: str, source: str) -> str | None:
    """The router's on the network that the packet came by (RFC 1812, 4.3.2.4), or else any of its own."""
    six = ":" in source
    legs = [leg for leg in router.interfaces if (":" in leg.ip) == six]
    here = [leg for leg in legs if leg.network_id == network_id]
    nearest = [leg.ip for leg in here if ip_address(source) in ip_network(leg.cidr)]
    gateway = router.gateway
    outer = gateway.ip6 if gateway and six else gateway.ip if gateway else None
    outside = [outer] if outer and gateway and gateway.network_id == network_id else []
    return next(iter([*nearest, *(leg.ip for leg in here), *outside, *(leg.ip for leg in legs)]), None)


def _link(world: World, packet: PacketIn, frame: Ethernet, network: view.Network | None) -> tuple[str, str]:
    """To which MAC and from which: back where it came from. Behind a second router, that is the guest's first one."""
    port = world.port(world.numbers.name("port", packet.fields.get(SOURCE, 0)) or "")
    if port is None or (network and network.id == port.network_id):
        return frame.src, frame.dst
    routers = (world.router(name) for name in world.found("router@network", port.network_id))
    legs = (leg for router in routers if router for leg in router.interfaces if leg.network_id == port.network_id)
    return port.mac, next((leg.mac for leg in legs), frame.dst)


def _icmp(kind: int, mtu: int, address: str, quoted: bytes) -> bytes:
    """RFC 1191, 4: the next hop's MTU stands in the low half of what else is unused."""
    total = int.from_bytes(quoted[2:4], "big")
    body = struct.pack("!BBHHH", *_KINDS[kind], 0, 0, mtu) + quoted[: min(total, _LONGEST - 28)]
    body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    # Precedence 6, internetwork control (RFC 1812, 4.3.2.5).
    head = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(body), 0, 0, 64, _ICMP, 0) + ip_bytes(address) + quoted[12:16]
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + body


def _icmp6(kind: int, mtu: int, address: str, quoted: bytes) -> bytes:
    total = 40 + int.from_bytes(quoted[4:6], "big")
    body = struct.pack("!I", mtu) + quoted[: min(total, _LONGEST6 - 48)]
    head = bytes(_KINDS6[kind])
    blank = Ipv6(address, ip6_text(quoted[8:24]), IP_ICMPV6, 64, head + b"\0\0" + body)
    summed = head + blank.checksum().to_bytes(2, "big") + body
    return Ipv6(blank.src, blank.dst, IP_ICMPV6, 64, summed).pack()
