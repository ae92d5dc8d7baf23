"""DHCPv4 (RFC 2131, 2132, 3396, 3442) for the guests of this host: a request's bytes in, the answer's bytes out.

Nothing is leased here: a port's addresses are in the view, so every answer is a pure function of the request and the
view, and any number of restarts forget nothing. The requests come from strangers: any bytes give an answer, None (a
message that wants none) or `DhcpError`.

The server identifier is the subnet's gateway, because a renewing client sends unicast to it and can only reach what
answers ARP on its link; br-int catches the packet on its way whatever it is addressed to. A subnet without gateway
uses the link-local address of the host's services, and its clients renew by broadcast when T2 is over.
"""

import struct
from collections.abc import Collection, Iterator, Mapping
from enum import IntEnum
from ipaddress import IPv4Network
from typing import Final, Self

import msgspec

from suimon.agent.dhcp_options import NEXT_SERVER, encoded
from suimon.agent.packets import BROADCAST_MAC, ETH_IPV4, Ethernet, PacketError, Udp, ip_bytes, ip_text, mac_text
from suimon.model.view import Network, Port, Route, Subnet
from suimon.pipeline.services import SERVICES_IP

_ON_LINK: Final = "0.0.0.0"  # noqa: S104  (RFC 3442's next hop of what is on the link, nothing is bound)
CLIENT_L4_PORT: Final = 68
SERVER_L4_PORT: Final = 67
SERVER_MAC: Final = "02:5a:00:00:00:43"
"""Where answers come from on the link: locally administered, and never asked for by ARP."""
_SERVICES: Final = Route(f"{SERVICES_IP}/32", _ON_LINK)
"""Where guests find their metadata and, unless the subnet says otherwise, their resolver."""

_MAGIC: Final = b"\x63\x82\x53\x63"
_FIXED_BYTES: Final = 236
_BROADCAST_FLAG: Final = 0x8000
_NO_IP: Final = "0.0.0.0"  # noqa: S104  (an absent address in a message, nothing is bound)
_SMALLEST_DATAGRAM: Final = 576
"""What every client takes (RFC 2131, section 2); option 57 can raise it."""
_OVERHEAD: Final = 20 + 8 + _FIXED_BYTES + len(_MAGIC)


class Kind(IntEnum):
    """DHCP message types (RFC 2132, 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    """The options that we read or write (RFC 2132, 3442)."""

    PAD = 0
    MASK = 1
    ROUTER = 3
    DNS = 6
    HOSTNAME = 12
    DOMAIN = 15
    MTU = 26
    REQUESTED_IP = 50
    LEASE_S = 51
    OVERLOAD = 52
    KIND = 53
    SERVER = 54
    WANTED = 55
    MAX_BYTES = 57
    T1_S = 58
    T2_S = 59
    CLIENT_ID = 61
    CLASSLESS_ROUTES = 121
    END = 255


class DhcpError(ValueError):
    """The request is no DHCP message, or not one that this port may send; says why."""


class Message(msgspec.Struct, frozen=True):
    """A BOOTP message with its options; a repeated option is one long one (RFC 3396)."""

    op: int
    xid: int
    flags: int
    ciaddr: str
    yiaddr: str
    giaddr: str
    chaddr: str
    options: dict[int, bytes]
    siaddr: str = _NO_IP

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        if len(raw) < _FIXED_BYTES + len(_MAGIC) or raw[_FIXED_BYTES:][:4] != _MAGIC:
            raise DhcpError("too short for DHCP, or without its magic cookie")
        op, htype, hlen, _, xid, _, flags = struct.unpack("!BBBBIHH", raw[:12])
        if htype != 1 or hlen != 6:
            raise DhcpError(f"hardware type {htype} with {hlen} bytes of address is not Ethernet")
        ciaddr, yiaddr, _, giaddr = (ip_text(raw[at : at + 4]) for at in (12, 16, 20, 24))
        return cls(op, xid, flags, ciaddr, yiaddr, giaddr, mac_text(raw[28:34]), _parse_options(raw))

    def pack(self) -> bytes:
        head = struct.pack("!BBBBIHH", self.op, 1, 6, 0, self.xid, 0, self.flags)
        addresses = ip_bytes(self.ciaddr) + ip_bytes(self.yiaddr) + ip_bytes(self.siaddr) + ip_bytes(self.giaddr)
        chaddr = bytes.fromhex(self.chaddr.replace(":", "")).ljust(16, b"\0")
        options = b"".join(_encoded(code, value) for code, value in self.options.items())
        # RFC 1542, 2.1: a BOOTP message has at least 300 bytes.
        return (head + addresses + chaddr + bytes(192) + _MAGIC + options + bytes([Option.END])).ljust(300, b"\0")

    def address(self, option: Option) -> str | None:
        """The IPv4 address that `option` holds, if it is there."""
        value = self.options.get(option)
        if value is None:
            return None
        if len(value) != 4:
            raise DhcpError(f"option {option.value} has {len(value)} bytes where an address has 4")
        return ip_text(value)


class Link(msgspec.Struct, frozen=True):
    """What an answer is made of: one port's address in one subnet."""

    ip: str
    subnet: Subnet
    mtu: int
    lease_s: int
    own: dict[int, bytes] = {}
    """The port's own options, which come before ours; an empty one means: say nothing."""
    isolated: bool = False
    """No router of ours is the subnet's gateway, so that its guests find the host's services on the link itself."""
    hostname: str = ""
    domain: str = ""

    @property
    def server(self) -> str:
        return self.subnet.gateway_ip or SERVICES_IP


def links(
    port: Port, subnets: Mapping[str, Subnet], network: Network, lease_s: int, routed: Collection[str] = ()
) -> tuple[Link, ...]:
    """The IPv4 addresses of `port` that DHCP serves, the one that it is offered first.

    `routed` are the addresses that routers of ours have on the network.
    """
    served = ((fixed.ip, subnets.get(fixed.subnet_id)) for fixed in port.fixed_ips if ":" not in fixed.ip)
    own = encoded(port.dhcp_options)
    names = port.dns_name, network.dns_domain.rstrip(".")
    return tuple(
        Link(ip, subnet, network.mtu, lease_s, own, subnet.gateway_ip not in routed, *names)
        for ip, subnet in served
        if subnet and subnet.dhcp
    )


def answer(frame: bytes, mac: str, served: tuple[Link, ...]) -> bytes | None:
    """The frame that answers the DHCP request in `frame`, sent by the port with `mac` (one of `served` fits it)."""
    try:
        ethernet = Ethernet.parse(frame)
        datagram = Udp.parse(ethernet.payload)
    except PacketError as error:
        raise DhcpError(str(error)) from error
    if datagram.src_l4_port != CLIENT_L4_PORT or datagram.dst_l4_port != SERVER_L4_PORT:
        raise DhcpError(f"not from a DHCP client to a server: {datagram.src_l4_port} → {datagram.dst_l4_port}")
    request = Message.parse(datagram.payload)
    if request.op != 1 or request.giaddr != _NO_IP:
        raise DhcpError("not a client's own request: an answer, or relayed")
    if request.chaddr != mac.lower():
        raise DhcpError(f"asks for {request.chaddr}, which is not the port's address {mac}")
    chosen = _chosen(request, served)
    if chosen is None:
        return None
    return _framed(_reply(request, *chosen), chosen[0].server)


def _chosen(request: Message, served: tuple[Link, ...]) -> tuple[Link, Kind] | None:
    """Which address is talked about, and the kind of answer; None when none is due (RFC 2131, 4.3)."""
    if not served:
        return None
    by_ip = {link.ip: link for link in served}
    match _kind(request):
        case Kind.DISCOVER:
            # A client that asks for another address of the port than the first one gets it.
            return by_ip.get(request.address(Option.REQUESTED_IP) or "", served[0]), Kind.OFFER
        case Kind.REQUEST:
            wanted = request.address(Option.REQUESTED_IP) or request.ciaddr
            link = by_ip.get(wanted, served[0])
            if request.address(Option.SERVER) not in (None, *(each.server for each in served)):
                return None  # It chose another server's offer.
            return link, Kind.ACK if link.ip == wanted else Kind.NAK
        case Kind.INFORM if request.ciaddr in by_ip:
            return by_ip[request.ciaddr], Kind.ACK
    return None


def _reply(request: Message, link: Link, kind: Kind) -> Message:
    options: dict[int, bytes] = {Option.KIND: bytes([kind]), Option.SERVER: ip_bytes(link.server)}
    if client := request.options.get(Option.CLIENT_ID):  # Echoed, as RFC 6842 demands.
        options[Option.CLIENT_ID] = client
    inform = _kind(request) is Kind.INFORM
    if kind is not Kind.NAK:
        options |= _configuration(request, link, leased=not inform)
    yiaddr = _NO_IP if inform or kind is Kind.NAK else link.ip
    ciaddr = request.ciaddr if kind is Kind.ACK else _NO_IP
    # RFC 2131, 4.1: a NAK is broadcast whatever the client asked for; its address may be the wrong one.
    flags = request.flags | _BROADCAST_FLAG if kind is Kind.NAK else request.flags
    next_server = link.own.get(NEXT_SERVER, b"")[:4] if kind is not Kind.NAK else b""
    siaddr = ip_text(next_server) if next_server else _NO_IP
    return Message(2, request.xid, flags & _BROADCAST_FLAG, ciaddr, yiaddr, _NO_IP, request.chaddr, options, siaddr)


def _configuration(request: Message, link: Link, *, leased: bool) -> dict[int, bytes]:
    """The options that tell the client its network, the most needed first, as many as fit its largest message."""
    subnet, options = link.subnet, dict[int, bytes]()
    if leased:
        times = ((Option.LEASE_S, 1.0), (Option.T1_S, 0.5), (Option.T2_S, 0.875))
        options |= {option: int(link.lease_s * share).to_bytes(4, "big") for option, share in times}
    options[Option.MASK] = IPv4Network(subnet.cidr).netmask.packed
    wanted = request.options.get(Option.WANTED)
    routes = _classless_routes(link) if wanted is None or Option.CLASSLESS_ROUTES in wanted else b""
    # RFC 3442: a client that asks for classless routes gets the default route there, and no Router option.
    if subnet.gateway_ip and not (routes and wanted):
        options[Option.ROUTER] = ip_bytes(subnet.gateway_ip)
    if routes:
        options[Option.CLASSLESS_ROUTES] = routes
    # Not only on request: a guest with too large an MTU loses its large packets on the tunnel, silently.
    options[Option.MTU] = min(link.mtu, 0xFFFF).to_bytes(2, "big")
    # As in Neutron, a subnet without name servers has the cloud's own, and 0.0.0.0 means none at all.
    dns = [ip for ip in subnet.dns if ":" not in ip] or [SERVICES_IP]
    options[Option.DNS] = b"".join(ip_bytes(ip) for ip in dns if ip != _NO_IP)
    options |= {Option.HOSTNAME: link.hostname.encode(), Option.DOMAIN: link.domain.encode()}
    unsaid = {NEXT_SERVER} if leased else {NEXT_SERVER, Option.LEASE_S, Option.T1_S, Option.T2_S}
    own = {code: value for code, value in link.own.items() if code not in unsaid}
    told = {code: value for code, value in {**options, **own}.items() if value}
    return dict(_fitting(told, _room(request, link.mtu)))


def _fitting(options: dict[int, bytes], room: int) -> Iterator[tuple[int, bytes]]:
    for code, value in options.items():
        size = len(_encoded(code, value))
        if size <= room:
            room -= size
            yield code, value


def _room(request: Message, mtu: int) -> int:
    """Bytes for configuration options; kind, server identifier and end take 3 + 6 + 1, and the client's identifier."""
    client = request.options.get(Option.CLIENT_ID, b"")
    told = request.options.get(Option.MAX_BYTES, b"")
    largest = int.from_bytes(told, "big") if len(told) == 2 else _SMALLEST_DATAGRAM
    return max(_SMALLEST_DATAGRAM, min(largest, mtu)) - _OVERHEAD - 10 - len(_encoded(Option.CLIENT_ID, client))


def _classless_routes(link: Link) -> bytes:
    """RFC 3442: prefix length, the significant octets, next hop; empty when the default route is all there is."""
    subnet = link.subnet
    routes = {route.destination: route for route in subnet.routes if ":" not in route.destination}
    if link.isolated:
        routes.setdefault(_SERVICES.destination, _SERVICES)
    if not routes:
        return b""
    if subnet.gateway_ip:
        routes.setdefault("0.0.0.0/0", Route("0.0.0.0/0", subnet.gateway_ip))
    return b"".join(
        _classless_route(IPv4Network(route.destination, strict=False), route.nexthop) for route in routes.values()
    )


def _classless_route(destination: IPv4Network, nexthop: str) -> bytes:
    octets = (destination.prefixlen + 7) // 8
    return bytes([destination.prefixlen]) + destination.network_address.packed[:octets] + ip_bytes(nexthop)


def _framed(reply: Message, server: str) -> bytes:
    """RFC 2131, 4.1: to the address the client has, to everyone if it asked so, else to the address it will have."""
    broadcast = reply.flags & _BROADCAST_FLAG and reply.ciaddr == _NO_IP
    ip = "255.255.255.255" if broadcast else reply.ciaddr if reply.ciaddr != _NO_IP else reply.yiaddr
    datagram = Udp(server, ip, SERVER_L4_PORT, CLIENT_L4_PORT, reply.pack())
    return Ethernet(BROADCAST_MAC if broadcast else reply.chaddr, SERVER_MAC, ETH_IPV4, datagram.pack()).pack()


def _kind(message: Message) -> Kind:
    value = message.options.get(Option.KIND, b"")
    if len(value) != 1 or value[0] not in list(Kind):
        raise DhcpError("no DHCP message type: plain BOOTP or nonsense")
    return Kind(value[0])


def _parse_options(raw: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    _parse_field(raw[_FIXED_BYTES + len(_MAGIC) :], options)
    # RFC 2132, 9.3: the file and server name fields may hold more options, the file field first.
    overload = options.get(Option.OVERLOAD, b"\0")[:1]
    if overload in (b"\x01", b"\x03"):
        _parse_field(raw[108:236], options)
    if overload in (b"\x02", b"\x03"):
        _parse_field(raw[44:108], options)
    return options


def _parse_field(raw: bytes, options: dict[int, bytes]) -> None:
    at = 0
    while at < len(raw) and raw[at] != Option.END:
        if raw[at] == Option.PAD:
            at += 1
            continue
        if at + 2 > len(raw) or at + 2 + raw[at + 1] > len(raw):
            raise DhcpError(f"option {raw[at]} is cut off")
        code, value = raw[at], raw[at + 2 : at + 2 + raw[at + 1]]
        options[code] = options.get(code, b"") + value
        at += 2 + len(value)


def _encoded(code: int, value: bytes) -> bytes:
    """One option, in pieces of 255 bytes where it is longer (RFC 3396)."""
    pieces = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
    return b"".join(bytes([code, len(piece)]) + piece for piece in pieces)
