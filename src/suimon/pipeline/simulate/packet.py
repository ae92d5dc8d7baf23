"""Packets as the simulated switch sees them: their fields by name, and what conntrack needs beyond those."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

import msgspec

from suimon.pipeline.flow import match

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20

ICMP_REPLY: Final = {8: 0, 13: 14, 15: 16, 17: 18}
"""ICMP query type → type of its reply (RFC 792, RFC 950)."""

ICMPV6_REPLY: Final = {128: 129}
"""The same for ICMPv6 (RFC 4443, 4)."""
ALL_NODES: Final = "ff02::1"

L4: Final = ("tcp_", "udp_", "sctp_", "icmp", "nd_")
"""How the names of fields begin that are no part of an IP header."""
_METADATA: Final = ("in_port", "metadata", "reg", "tun_", "ct_", "conj_id")


ETHERNET_BYTES: Final = 14
"""Of a frame's header, without a tag."""


class Packet(msgspec.Struct, frozen=True):
    """`fields` holds the headers that the packet has and the metadata that was written, under the names of `FIELDS`.

    Never change `fields` in place: `with_fields` makes the next packet. `quoted` is what an ICMP error reports on,
    `first` the first fragment of the datagram that this is a later one of. `size` is that of the IP packet, in bytes.
    """

    fields: dict[str, int]
    tcp_flags: int = 0
    icmp_id: int = 0
    quoted: Packet | None = None
    first: Packet | None = None
    size: int = 64

    def with_fields(self, fields: Mapping[str, int]) -> Packet:
        return msgspec.structs.replace(self, fields={**self.fields, **fields})

    def arriving(self, ofport: int, tunnel: Mapping[str, int] | None = None) -> Packet:
        """The same bytes on the wire, coming into a switch: what another switch wrote into metadata is gone.

        `tunnel` holds tun_id, tun_src and tun_dst of a packet that comes out of one.
        """
        headers = {name: value for name, value in self.fields.items() if not name.startswith(_METADATA)}
        return msgspec.structs.replace(self, fields={**headers, "in_port": ofport, **(tunnel or {})})


class Ends(msgspec.Struct, frozen=True):
    """Who sends to whom: MAC addresses on this link and IP addresses of the connection."""

    eth_src: str
    eth_dst: str
    ip_src: str
    ip_dst: str


def tcp(ends: Ends, l4_dst: int, l4_src: int = 40000, flags: int = SYN) -> Packet:
    """By default the packet that opens a connection."""
    return msgspec.structs.replace(_ip(ends, 6, tcp_src=l4_src, tcp_dst=l4_dst), tcp_flags=flags)


def udp(ends: Ends, l4_dst: int, l4_src: int = 40000) -> Packet:
    """A datagram."""
    return _ip(ends, 17, udp_src=l4_src, udp_dst=l4_dst)


def sctp(ends: Ends, l4_dst: int, l4_src: int = 40000) -> Packet:
    """Of an association, whatever its chunks say: nothing here looks at them."""
    return _ip(ends, 132, sctp_src=l4_src, sctp_dst=l4_dst)


def icmp_echo(ends: Ends, icmp_id: int = 1, *, reply: bool = False) -> Packet:
    """A ping, or the answer to one."""
    if ":" in ends.ip_src:
        return msgspec.structs.replace(icmpv6(ends, 129 if reply else 128), icmp_id=icmp_id)
    return msgspec.structs.replace(_ip(ends, 1, icmp_type=0 if reply else 8, icmp_code=0), icmp_id=icmp_id)


def icmp_error(ends: Ends, quoted: Packet, icmp_type: int = 3, icmp_code: int = 3) -> Packet:
    """By default "port unreachable", as the receiver of a UDP datagram sends it back (RFC 792; RFC 4443, 3.1)."""
    if ":" in ends.ip_src:
        return msgspec.structs.replace(icmpv6(ends, 1, 4), quoted=quoted)
    return msgspec.structs.replace(_ip(ends, 1, icmp_type=icmp_type, icmp_code=icmp_code), quoted=quoted)


def icmpv6(ends: Ends, icmpv6_type: int, icmpv6_code: int = 0, hops: int = 64) -> Packet:
    """Any ICMPv6 message but neighbour discovery with a target; `hops` is the hop limit."""
    return _ip(ends, 58, icmpv6_type=icmpv6_type, icmpv6_code=icmpv6_code).with_fields({"ip_ttl": hops})


def neighbour_solicitation(ends: Ends, target: str, *, with_option: bool = True) -> Packet:
    """Who has `target`? Without the source's link-layer address it looks for duplicates (RFC 4861, 4.3)."""
    options = {"nd_sll": ends.eth_src, "nd_options_type": 1} if with_option else {"nd_sll": 0, "nd_options_type": 0}
    return _nd(ends, 135, target, 0, options)


def neighbour_advertisement(ends: Ends, target: str, mac: str, flags: int = 0x20000000) -> Packet:
    """`target` is at `mac` (RFC 4861, 4.4); the flags are those of `nd_reserved`, by default "override"."""
    return _nd(ends, 136, target, flags, {"nd_tll": mac, "nd_options_type": 2})


def later_fragment(first: Packet) -> Packet:
    """What follows `first` in its datagram: the IP header again, and no other."""
    kept = {name: value for name, value in first.fields.items() if not name.startswith(L4)}
    return msgspec.structs.replace(first, fields={**kept, "ip_frag": 3}, first=first)


def arp(ends: Ends, op: int = 1) -> Packet:
    """A request (op 1) of `eth_src`, `ip_src` for `ip_dst`, sent to `eth_dst`; or a reply (op 2)."""
    return _packet(
        eth_src=ends.eth_src,
        eth_dst=ends.eth_dst,
        eth_type=0x0806,
        arp_op=op,
        arp_sha=ends.eth_src,
        arp_spa=ends.ip_src,
        arp_tha=ends.eth_dst if op == 2 else 0,
        arp_tpa=ends.ip_dst,
    )


def _nd(ends: Ends, kind: int, target: str, flags: int, options: Mapping[str, object]) -> Packet:
    message = {"nd_sll": 0, "nd_tll": 0, "nd_target": target, "nd_reserved": flags, **options}
    return icmpv6(ends, kind, hops=255).with_fields({name: value for name, value, _ in match(message)})


def _ip(ends: Ends, protocol: int, **fields: int) -> Packet:
    version = "6" if ":" in ends.ip_src else "4"
    return _packet(
        **{
            "eth_src": ends.eth_src,
            "eth_dst": ends.eth_dst,
            "eth_type": 0x86DD if version == "6" else 0x0800,
            "ip_proto": protocol,
            f"ipv{version}_src": _host(ends.ip_src),
            f"ipv{version}_dst": _host(ends.ip_dst),
            "ip_dscp": 0,
            "ip_frag": 0,
            "ip_ttl": 64,
            **fields,
        }
    )


def _host(ip: str) -> int:
    return int(ip_address(ip))


def _packet(**fields: object) -> Packet:
    return Packet({name: value for name, value, _ in match(fields)})
