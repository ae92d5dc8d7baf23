"""Ethernet, ARP, IPv4 and UDP as bytes: what the agent reads out of packet-ins and writes into packet-outs.

MAC addresses are lower-case text with colons, IPv4 addresses dotted text, as in the view. Whatever the bytes are, a
parser returns a value or raises `PacketError`.
"""

import struct
from ipaddress import IPv4Address
from typing import Final, Self

import msgspec

BROADCAST_MAC: Final = "ff:ff:ff:ff:ff:ff"
NO_MAC: Final = "00:00:00:00:00:00"
ETH_IPV4: Final = 0x0800
ETH_ARP: Final = 0x0806
ETH_VLAN: Final = 0x8100
ARP_REQUEST: Final = 1
ARP_REPLY: Final = 2
IP_ICMP: Final = 1
IP_TCP: Final = 6
IP_UDP: Final = 17

_ARP_ETHERNET_IPV4: Final = (1, ETH_IPV4, 6, 4)
_MORE_FRAGMENTS_OR_OFFSET: Final = 0x3FFF
_OFFSET: Final = 0x1FFF
_CHECKSUM_AT: Final = {IP_TCP: 16, IP_UDP: 6}
"""Where the header has the checksum that covers the addresses, too (RFC 9293, 3.1; RFC 768)."""


class PacketError(ValueError):
    """These bytes are not the packet they should be; says what is wrong with them."""


class Ethernet(msgspec.Struct, frozen=True):
    """A frame, with at most one 802.1Q tag."""

    dst: str
    src: str
    eth_type: int
    payload: bytes
    vlan: int | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        if len(raw) < 14:
            raise PacketError(f"a frame of {len(raw)} bytes has no whole Ethernet header")
        eth_type, start, vlan = int.from_bytes(raw[12:14], "big"), 14, None
        if eth_type == ETH_VLAN:
            if len(raw) < 18:
                raise PacketError("the VLAN tag is cut off")
            vlan, eth_type, start = int.from_bytes(raw[14:16], "big") & 0xFFF, int.from_bytes(raw[16:18], "big"), 18
        return cls(mac_text(raw[0:6]), mac_text(raw[6:12]), eth_type, raw[start:], vlan)

    def pack(self) -> bytes:
        tag = b"" if self.vlan is None else struct.pack("!HH", ETH_VLAN, self.vlan)
        return mac_bytes(self.dst) + mac_bytes(self.src) + tag + self.eth_type.to_bytes(2, "big") + self.payload


class Arp(msgspec.Struct, frozen=True):
    """ARP for IPv4 over Ethernet (RFC 826): sender's and target's hardware and protocol addresses."""

    op: int
    sha: str
    spa: str
    tha: str
    tpa: str

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        if len(raw) < 28 or struct.unpack("!HHBB", raw[:6]) != _ARP_ETHERNET_IPV4:
            raise PacketError("not a whole ARP message for IPv4 over Ethernet")
        op = int.from_bytes(raw[6:8], "big")
        return cls(op, mac_text(raw[8:14]), ip_text(raw[14:18]), mac_text(raw[18:24]), ip_text(raw[24:28]))

    def pack(self) -> bytes:
        head = struct.pack("!HHBBH", *_ARP_ETHERNET_IPV4, self.op)
        return head + mac_bytes(self.sha) + ip_bytes(self.spa) + mac_bytes(self.tha) + ip_bytes(self.tpa)


class Udp(msgspec.Struct, frozen=True):
    """A UDP datagram in an unfragmented IPv4 packet."""

    src: str
    dst: str
    src_l4_port: int
    dst_l4_port: int
    payload: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        start, total = _ipv4_bounds(raw)
        if raw[9] != IP_UDP:
            raise PacketError(f"IP protocol {raw[9]} where UDP is needed")
        return cls(ip_text(raw[12:16]), ip_text(raw[16:20]), *udp_parts(raw[start:total]))

    def pack(self) -> bytes:
        src, dst, length = ip_bytes(self.src), ip_bytes(self.dst), 8 + len(self.payload)
        ports = struct.pack("!HHH", self.src_l4_port, self.dst_l4_port, length)
        pseudo = src + dst + struct.pack("!BBH", 0, IP_UDP, length)
        # RFC 768: a computed zero is sent as all ones, because zero means "no checksum".
        total = checksum(pseudo + ports + b"\0\0" + self.payload) or 0xFFFF
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, IP_UDP, 0) + src + dst
        head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
        return head + ports + total.to_bytes(2, "big") + self.payload


class IcmpError(msgspec.Struct, frozen=True):
    """An ICMP error in an unfragmented IPv4 packet: from whom to whom the packet was that it quotes (RFC 792)."""

    raw: bytes
    start: int
    """Where in the packet the one that it quotes starts."""
    src: str
    dst: str

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        start, total = _ipv4_bounds(raw)
        if raw[9] != IP_ICMP:
            raise PacketError(f"IP protocol {raw[9]} where ICMP is needed")
        quoted = raw[start + 8 : total]
        if len(quoted) < 20 or quoted[0] >> 4 != 4 or not 20 <= (quoted[0] & 0xF) * 4 <= len(quoted):
            raise PacketError("the ICMP error quotes no whole IPv4 header")
        # RFC 5508, requirement 3: a new checksum would make it look right.
        if checksum(raw[start:total]):
            raise PacketError("the ICMP checksum is wrong")
        return cls(raw[:total], start + 8, ip_text(quoted[12:16]), ip_text(quoted[16:20]))

    def about(self, src: str, dst: str) -> bytes:
        """The packet, quoting one from `src` to `dst`. Checksums in what is quoted stay as right or wrong as they were;
        that of the transport protocol is there if it was quoted.
        """
        packet, at = bytearray(self.raw), self.start
        old, new = bytes(packet[at + 12 : at + 20]), ip_bytes(src) + ip_bytes(dst)
        packet[at + 12 : at + 20] = new
        _amend(packet, at + 10, old, new)
        l4 = at + (packet[at] & 0xF) * 4
        l4_sum = l4 + _CHECKSUM_AT.get(packet[at + 9], len(packet))
        first = not int.from_bytes(packet[at + 6 : at + 8], "big") & _OFFSET
        # RFC 768: zero means "no checksum", and a computed zero is sent as all ones.
        if first and l4_sum + 2 <= len(packet) and (packet[at + 9] != IP_UDP or any(packet[l4_sum : l4_sum + 2])):
            _amend(packet, l4_sum, old, new)
            if packet[at + 9] == IP_UDP and not any(packet[l4_sum : l4_sum + 2]):
                packet[l4_sum : l4_sum + 2] = b"\xff\xff"
        packet[at - 6 : at - 4] = b"\0\0"
        packet[at - 6 : at - 4] = checksum(bytes(packet[at - 8 :])).to_bytes(2, "big")
        return bytes(packet)


def tagged(frame: bytes, vlan: int | None) -> bytes:
    """An untagged frame with an 802.1Q tag, or as it is."""
    return frame if vlan is None else frame[:12] + struct.pack("!HH", ETH_VLAN, vlan) + frame[12:]


def ipv4_destination(packet: bytes) -> str:
    """The destination address of an IPv4 packet."""
    _ipv4_bounds(packet)
    return ip_text(packet[16:20])


def udp_parts(datagram: bytes) -> tuple[int, int, bytes]:
    """Source and destination port, and the payload, of what an IP packet carries. Raises PacketError."""
    if len(datagram) < 8:
        raise PacketError("the UDP header is cut off")
    src_l4_port, dst_l4_port, length = struct.unpack("!HHH", datagram[:6])
    if not 8 <= length <= len(datagram):
        raise PacketError(f"UDP length {length} does not fit its IP packet")
    return src_l4_port, dst_l4_port, datagram[8:length]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def mac_text(raw: bytes) -> str:
    return raw.hex(":")


def ip_bytes(ip: str) -> bytes:
    return IPv4Address(ip).packed


def ip_text(raw: bytes) -> str:
    return str(IPv4Address(raw))


def _amend(packet: bytearray, at: int, old: bytes, new: bytes) -> None:
    """The checksum there, after `new` took the place of `old` in what it covers (RFC 1624, 3)."""
    inverse = bytes(0xFF ^ byte for byte in (*packet[at : at + 2], *old))
    packet[at : at + 2] = checksum(inverse + new).to_bytes(2, "big")


def _ipv4_bounds(raw: bytes) -> tuple[int, int]:
    """Where the payload of an IPv4 packet starts and ends; Ethernet padding lies behind the end."""
    if len(raw) < 20 or raw[0] >> 4 != 4:
        raise PacketError("not a whole IPv4 header")
    start, total = (raw[0] & 0xF) * 4, int.from_bytes(raw[2:4], "big")
    if not 20 <= start <= total <= len(raw):
        raise PacketError(f"IPv4 lengths disagree: header {start}, packet {total}, received {len(raw)}")
    if int.from_bytes(raw[6:8], "big") & _MORE_FRAGMENTS_OR_OFFSET:
        raise PacketError("a fragment, not a whole packet")
    return start, total
