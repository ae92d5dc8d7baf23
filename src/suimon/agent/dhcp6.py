"""DHCPv6 (RFC 8415) for the guests of this host: a request's bytes in, the answer's bytes out.

As with DHCPv4 nothing is leased here: a port's addresses are in the view, and the server's identifier follows from the
network's id. So every host gives the same answers under one name, and leases survive restarts and moves. Any bytes
give an answer, None (a message that wants none) or `Dhcp6Error`.
"""

import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from ipaddress import IPv6Address, IPv6Network
from typing import Final, Self

import msgspec

from suimon.agent.dhcp_options import domain_list, encoded6, name_servers6
from suimon.agent.packets import Ethernet, PacketError
from suimon.agent.packets6 import ETH_IPV6, Udp6, ip6_bytes, ip6_text
from suimon.model.view import Network, Port, Subnet
from suimon.pipeline.ipv6 import dhcpv6_mode, link_local

CLIENT_L4_PORT: Final = 546
SERVER_L4_PORT: Final = 547
SERVERS: Final = frozenset({"ff02::1:2", "ff05::1:3"})
"""Where clients send to (RFC 8415, 7.1). No answer tells them of a unicast address."""
SERVER_MAC: Final = "02:5a:00:00:00:43"
_SERVER_IP: Final = link_local(SERVER_MAC)
_DUIDS: Final = uuid.UUID("5a0d1d00-6e65-4774-8f72-6b7375696d6f")
"""The namespace of server identifiers, so that they are nobody else's UUIDs."""
_MOST_ASSOCIATIONS: Final = 16
"""In one message, and as many addresses in each: every one costs room in the answer."""
_LARGEST_MESSAGE: Final = 1280 - 40 - 8
"""What every link carries whole (RFC 8200, section 5); options that don't fit are left out."""
_LONGEST_DUID: Final = 130
"""RFC 8415, 11.1: 128 bytes and the type."""


class Kind(IntEnum):
    """Message types that clients send, and the two that answer them (RFC 8415, 7.3)."""

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    INFORMATION_REQUEST = 11


class Option(IntEnum):
    """The options that we read or write (RFC 8415, 21; RFC 3646)."""

    CLIENT_ID = 1
    SERVER_ID = 2
    IA_NA = 3
    IA_TA = 4
    ADDRESS = 5
    WANTED = 6
    STATUS = 13
    RAPID_COMMIT = 14
    DNS = 23
    DOMAINS = 24
    IA_PD = 25
    REFRESH_S = 32


class Status(IntEnum):
    """RFC 8415, 21.13."""

    SUCCESS = 0
    NO_ADDRESSES = 2
    NO_BINDING = 3
    NOT_ON_LINK = 4
    NO_PREFIXES = 6


class Dhcp6Error(ValueError):
    """The request is no DHCPv6 message, or not one that this port may send; says why."""


Options = tuple[tuple[int, bytes], ...]
"""In their order: the associations repeat."""
_NAMES_SERVER: Final = {Kind.REQUEST, Kind.RENEW, Kind.RELEASE, Kind.DECLINE}
_NAMES_NO_SERVER: Final = {Kind.SOLICIT, Kind.CONFIRM, Kind.REBIND}


class Message(msgspec.Struct, frozen=True):
    """A message between client and server (RFC 8415, section 8)."""

    kind: int
    xid: int
    options: Options

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        if len(raw) < 4:
            raise Dhcp6Error("too short for DHCPv6")
        return cls(raw[0], int.from_bytes(raw[1:4], "big"), tuple(_parsed(raw[4:])))

    def pack(self) -> bytes:
        return bytes([self.kind]) + self.xid.to_bytes(3, "big") + _packed(self.options)

    def first(self, code: int) -> bytes | None:
        return next((value for found, value in self.options if found == code), None)


class Service(msgspec.Struct, frozen=True):
    """What answers to one port are made of: its addresses, the prefixes on its link, and what else it is told."""

    duid: bytes
    ips: tuple[str, ...]
    cidrs: tuple[str, ...]
    told: dict[int, bytes]
    lease_s: int


def service(port: Port, subnets: Mapping[str, Subnet], network: Network, lease_s: int) -> Service | None:
    """None when no subnet of the port has DHCPv6."""
    found = [(fixed.ip, subnets.get(fixed.subnet_id)) for fixed in port.fixed_ips if ":" in fixed.ip]
    served = [(ip, subnet) for ip, subnet in found if subnet and dhcpv6_mode(subnet)]
    if not served:
        return None
    stateful = [(ip, subnet) for ip, subnet in served if dhcpv6_mode(subnet) == "dhcpv6-stateful"]
    told: dict[int, bytes] = {
        Option.DNS: b"".join(map(ip6_bytes, name_servers6(subnet for _, subnet in served))),
        Option.DOMAINS: domain_list(network.dns_domain),
    }
    told |= encoded6(port.dhcp6_options)
    return Service(
        duid=b"\0\4" + uuid.uuid5(_DUIDS, network.id).bytes,  # DUID-UUID (RFC 6355)
        ips=tuple(ip for ip, _ in stateful),
        cidrs=tuple(dict.fromkeys(subnet.cidr for _, subnet in stateful)),
        told={code: value for code, value in told.items() if value},
        lease_s=lease_s,
    )


def answer(frame: bytes, mac: str, served: Service | None) -> bytes | None:
    """The frame that answers the DHCPv6 request in `frame`, sent by the port with `mac`."""
    try:
        ethernet = Ethernet.parse(frame)
        datagram = Udp6.parse(ethernet.payload)
    except PacketError as error:
        raise Dhcp6Error(str(error)) from error
    if datagram.dst_l4_port != SERVER_L4_PORT or datagram.dst not in SERVERS:
        raise Dhcp6Error(f"not sent to the servers of a link: {datagram.dst} port {datagram.dst_l4_port}")
    if ethernet.src != mac.lower() or not IPv6Address(datagram.src).is_link_local:
        raise Dhcp6Error(f"from {ethernet.src} {datagram.src}, which is not a link-local address of the port's {mac}")
    request = Message.parse(datagram.payload)
    if served is None or not _meant_for_us(request, served):
        return None
    reply = _reply(request, served)
    if reply is None:
        return None
    back = Udp6(_SERVER_IP, datagram.src, SERVER_L4_PORT, CLIENT_L4_PORT, reply.pack())
    return Ethernet(ethernet.src, SERVER_MAC, ETH_IPV6, back.pack()).pack()


def _meant_for_us(request: Message, served: Service) -> bool:
    """RFC 8415, section 16: which messages must name a client and a server, and which must not."""
    if request.kind not in list(Kind) or request.kind in (Kind.ADVERTISE, Kind.REPLY):
        raise Dhcp6Error(f"message type {request.kind} is none that a client sends")
    client, server = request.first(Option.CLIENT_ID), request.first(Option.SERVER_ID)
    if client is None and request.kind != Kind.INFORMATION_REQUEST:
        raise Dhcp6Error("names no client")
    if client is not None and not 3 <= len(client) <= _LONGEST_DUID:
        raise Dhcp6Error(f"a client identifier of {len(client)} bytes")
    if (server is None and request.kind in _NAMES_SERVER) or (server is not None and request.kind in _NAMES_NO_SERVER):
        raise Dhcp6Error(f"message type {request.kind} names a server or fails to")
    associations = sum(code in (Option.IA_NA, Option.IA_TA, Option.IA_PD) for code, _ in request.options)
    if associations > (0 if request.kind == Kind.INFORMATION_REQUEST else _MOST_ASSOCIATIONS):
        raise Dhcp6Error(f"{associations} identity associations")
    return server in (None, served.duid)


def _reply(request: Message, served: Service) -> Message | None:
    kind, options = Kind.REPLY, Options()
    match request.kind:
        case Kind.SOLICIT | Kind.REQUEST | Kind.RENEW | Kind.REBIND:
            options = tuple(_associations(request, served))
            if request.kind == Kind.SOLICIT:
                rapid = request.first(Option.RAPID_COMMIT) is not None
                kind = Kind.REPLY if rapid else Kind.ADVERTISE
                options += ((Option.RAPID_COMMIT, b""),) if rapid else ()
        case Kind.CONFIRM:
            claimed = [ip for code, value in request.options if code == Option.IA_NA for ip in _addresses(value)]
            if not claimed:
                return None
            # An address on this link that is another port's (or no longer this one's) is let go at once, too: kept, it
            # would be dropped by anti-spoofing until the lease is over.
            good = set(claimed) <= set(served.ips)
            options = (_status(Status.SUCCESS if good else Status.NOT_ON_LINK),)
        case Kind.RELEASE | Kind.DECLINE:
            options = (_status(Status.SUCCESS), *_unbound(request, served))
        case Kind.INFORMATION_REQUEST:
            refresh = (Option.REFRESH_S, max(600, served.lease_s).to_bytes(4, "big"))  # 600 s: RFC 8415, 21.23
            options = (refresh,) if _wants(request, Option.REFRESH_S) else ()
    client = request.first(Option.CLIENT_ID)
    identified = ((Option.CLIENT_ID, client),) if client is not None else ()
    reply = Message(kind, request.xid, (*identified, (Option.SERVER_ID, served.duid), *options))
    if request.kind in (Kind.CONFIRM, Kind.RELEASE, Kind.DECLINE):
        return reply
    room = _LARGEST_MESSAGE - len(reply.pack())
    return msgspec.structs.replace(reply, options=(*reply.options, *_configuration(request, served, room)))


def _associations(request: Message, served: Service) -> Iterator[tuple[int, bytes]]:
    """The first IA_NA gets all addresses of the port: which of several is meant would have to be remembered."""
    given = False
    for code, value in request.options:
        if code == Option.IA_NA:
            yield code, _association(request, value, served, () if given else served.ips)
            given = True
        elif code == Option.IA_TA:
            yield code, _iaid(value) + _packed((_status(Status.NO_ADDRESSES),))
        elif code == Option.IA_PD:
            yield code, _iaid(value) + bytes(8) + _packed((_status(Status.NO_PREFIXES),))


def _association(request: Message, value: bytes, served: Service, ips: Sequence[str]) -> bytes:
    """An IA_NA with these addresses, and with those that the client has and must give up, for no time at all."""
    claimed, iaid = _addresses(value), _iaid(value)
    if request.kind == Kind.REQUEST and not all(_on_link(ip, served) for ip in claimed):
        return iaid + bytes(8) + _packed((_status(Status.NOT_ON_LINK),))
    preferred_s, valid_s = served.lease_s * 5 // 8, served.lease_s
    options = [(Option.ADDRESS, ip6_bytes(ip) + struct.pack("!II", preferred_s, valid_s)) for ip in ips]
    if request.kind in (Kind.RENEW, Kind.REBIND):
        options += [(Option.ADDRESS, ip6_bytes(ip) + bytes(8)) for ip in claimed if ip not in ips]
    if not options:
        return iaid + bytes(8) + _packed((_status(Status.NO_ADDRESSES),))
    times = struct.pack("!II", preferred_s // 2, preferred_s * 4 // 5) if ips else bytes(8)
    return iaid + times + _packed(tuple(options))


def _unbound(request: Message, served: Service) -> Iterator[tuple[int, bytes]]:
    """What a client gives back although it never had it here (RFC 8415, 18.3.7)."""
    for code, value in request.options:
        if code == Option.IA_NA and not set(_addresses(value)) <= set(served.ips):
            yield code, value[:4] + bytes(8) + _packed((_status(Status.NO_BINDING),))


def _configuration(request: Message, served: Service, room: int) -> Iterator[tuple[int, bytes]]:
    for code, value in served.told.items():
        if _wants(request, code) and 4 + len(value) <= room:
            room -= 4 + len(value)
            yield code, value


def _wants(request: Message, code: int) -> bool:
    """A client that names no options at all is told everything."""
    wanted = request.first(Option.WANTED)
    return wanted is None or code.to_bytes(2, "big") in (wanted[at : at + 2] for at in range(0, len(wanted), 2))


def _addresses(association: bytes) -> tuple[str, ...]:
    """The addresses that a client names in an IA_NA."""
    if len(association) < 12:
        raise Dhcp6Error("an IA_NA is cut off")
    found = [value for code, value in _parsed(association[12:]) if code == Option.ADDRESS]
    if any(len(value) < 24 for value in found):
        raise Dhcp6Error("an address option is cut off")
    if len(found) > _MOST_ASSOCIATIONS:
        raise Dhcp6Error(f"{len(found)} addresses in one IA_NA")
    return tuple(dict.fromkeys(ip6_text(value[:16]) for value in found))


def _iaid(association: bytes) -> bytes:
    if len(association) < 4:
        raise Dhcp6Error("an identity association is cut off")
    return association[:4]


def _on_link(ip: str, served: Service) -> bool:
    return any(IPv6Address(ip) in IPv6Network(cidr) for cidr in served.cidrs)


def _status(status: Status) -> tuple[int, bytes]:
    return Option.STATUS, status.to_bytes(2, "big")


def _parsed(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(raw):
        if at + 4 > len(raw):
            raise Dhcp6Error("an option's head is cut off")
        code, length = struct.unpack("!HH", raw[at : at + 4])
        if at + 4 + length > len(raw):
            raise Dhcp6Error(f"option {code} is cut off")
        yield code, raw[at + 4 : at + 4 + length]
        at += 4 + length


def _packed(options: Options) -> bytes:
    return b"".join(struct.pack("!HH", code, len(value)) + value for code, value in options)
