"""IPv6, UDP and ICMPv6 as bytes (RFC 8200, 4443), as `agent.packets` has IPv4: a parser returns a value or raises
`PacketError`.

Addresses are text in their shortest form. What the agent answers comes without extension headers, so a packet with
them is refused.
"""

import struct
from ipaddress import IPv6Address
from typing import Final, Self

import msgspec

from suimon.agent.packets import PacketError, checksum, udp_parts

ETH_IPV6: Final = 0x86DD
IP_ICMPV6: Final = 58
ALL_NODES: Final = "ff02::1"
NO_IP6: Final = "::"

_IP_UDP: Final = 17
_HEADER_BYTES: Final = 40


class Ipv6(msgspec.Struct, frozen=True):
    """A packet without extension headers; `protocol` is what its payload is."""

    src: str
    dst: str
    protocol: int
    hop_limit: int
    payload: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        if len(raw) < _HEADER_BYTES or raw[0] >> 4 != 6:
            raise PacketError("not a whole IPv6 header")
        length = int.from_bytes(raw[4:6], "big")
        if _HEADER_BYTES + length > len(raw):
            raise PacketError(f"IPv6 payload of {length} bytes is cut off")
        payload = raw[_HEADER_BYTES : _HEADER_BYTES + length]
        return cls(ip6_text(raw[8:24]), ip6_text(raw[24:40]), raw[6], raw[7], payload)

    def pack(self) -> bytes:
        head = struct.pack("!IHBB", 6 << 28, len(self.payload), self.protocol, self.hop_limit)
        return head + ip6_bytes(self.src) + ip6_bytes(self.dst) + self.payload

    def checksum(self) -> int:
        """Of the payload with the pseudo-header (RFC 8200, 8.1); 0 when the payload holds the right one."""
        pseudo = ip6_bytes(self.src) + ip6_bytes(self.dst) + struct.pack("!II", len(self.payload), self.protocol)
        return checksum(pseudo + self.payload)


class Udp6(msgspec.Struct, frozen=True):
    """A UDP datagram in an IPv6 packet. Its checksum is not looked at: a guest's interface may have left it open."""

    src: str
    dst: str
    src_l4_port: int
    dst_l4_port: int
    payload: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        packet = Ipv6.parse(raw)
        if packet.protocol != _IP_UDP:
            raise PacketError(f"next header {packet.protocol} where UDP is needed")
        return cls(packet.src, packet.dst, *udp_parts(packet.payload))

    def pack(self) -> bytes:
        ports = struct.pack("!HHH", self.src_l4_port, self.dst_l4_port, 8 + len(self.payload))
        blank = Ipv6(self.src, self.dst, _IP_UDP, 64, ports + b"\0\0" + self.payload)
        # RFC 8200, 8.1: a computed zero is sent as all ones; without a checksum nothing is taken.
        total = blank.checksum() or 0xFFFF
        return msgspec.structs.replace(blank, payload=ports + total.to_bytes(2, "big") + self.payload).pack()


class Icmp6(msgspec.Struct, frozen=True):
    """A message of neighbour discovery: it never was on another link, as its hop limit shows (RFC 4861, 6.1)."""

    src: str
    dst: str
    type: int
    code: int
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        packet = Ipv6.parse(raw)
        if packet.protocol != IP_ICMPV6:
            raise PacketError(f"next header {packet.protocol} where ICMPv6 is needed")
        if len(packet.payload) < 4:
            raise PacketError("the ICMPv6 header is cut off")
        if packet.hop_limit != 255:
            raise PacketError(f"neighbour discovery with hop limit {packet.hop_limit}")
        if packet.checksum():
            raise PacketError("wrong ICMPv6 checksum")
        return cls(packet.src, packet.dst, packet.payload[0], packet.payload[1], packet.payload[4:])

    def pack(self) -> bytes:
        head = bytes([self.type, self.code])
        blank = Ipv6(self.src, self.dst, IP_ICMPV6, 255, head + b"\0\0" + self.body)
        return msgspec.structs.replace(blank, payload=head + blank.checksum().to_bytes(2, "big") + self.body).pack()


def ip6_bytes(ip: str) -> bytes:
    return IPv6Address(ip).packed


def ip6_text(raw: bytes) -> str:
    return str(IPv6Address(raw))


def multicast_mac(ip: str) -> str:
    """Where a multicast address goes on Ethernet (RFC 2464, section 7)."""
    return "33:33:" + ip6_bytes(ip)[12:].hex(":")
