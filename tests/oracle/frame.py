"""A frame as the oracle sees it: what its headers say, in words; nothing of how a switch keeps it."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final, Literal

import msgspec

BROADCAST: Final = "ff:ff:ff:ff:ff:ff"
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
ECHO: Final = {ICMP: 8, ICMPV6: 128}
ECHO_REPLY: Final = {ICMP: 0, ICMPV6: 129}
ERRORS: Final = {ICMP: ((3, 3), (3, 1), (11, 0), (12, 0)), ICMPV6: ((1, 4), (1, 0), (3, 0), (4, 0))}
"""Type and code of what is sent back about a packet (RFC 792, RFC 4443)."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """`src` and `dst` are the IP addresses, of ARP those of sender and target, of neighbour discovery those of the
    packet that carries it. `first` and `second` are a protocol's L4 ports, source first, or type and code of ICMP.
    """

    eth_src: str
    eth_dst: str
    what: Literal["arp", "nd", "ip", "other"]
    src: str = ""
    dst: str = ""
    protocol: int = 0
    first: int = 0
    second: int = 0
    opens: bool = True
    """Of TCP: it is a SYN, not a SYN+ACK."""
    ident: int = 0
    """Of a ping."""
    ttl: int = 64
    asks: bool = True
    """Of ARP and neighbour discovery: a question, not an answer."""
    about: str = ""
    """The address that neighbour discovery is about."""
    mac: str = ""
    """What ARP says is the sender's, what neighbour discovery says in its option; "" if it has none."""
    quoted: Frame | None = None
    """What an ICMP error is about, as who sends the error has got it."""

    @property
    def ipv6(self) -> bool:
        return ":" in self.src

    @property
    def flooded(self) -> bool:
        """To a group of stations, or to all of them."""
        return bool(int(self.eth_dst[:2], 16) & 1)

    def but(self, **changes: object) -> Frame:
        return msgspec.structs.replace(self, **changes)


class Arrival(msgspec.Struct, frozen=True, order=True):
    """Somebody gets the frame: the port or machine of that id, or `agent` or `services` of the sender's host."""

    place: str
    frame: Frame


def link_local(mac: str) -> str:
    """RFC 4291, appendix A."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]))


def turned(frame: Frame) -> Frame:
    """The answer to it, as far as addresses and L4 ports say."""
    if frame.protocol in ECHO:
        return frame.but(src=frame.dst, dst=frame.src, first=ECHO_REPLY[frame.protocol])
    return frame.but(src=frame.dst, dst=frame.src, first=frame.second, second=frame.first)
