"""A frame of the oracle as a packet of the simulated switch, and back."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from suimon.pipeline.flow import match
from suimon.pipeline.simulate import Packet
from suimon.pipeline.simulate.packet import ACK, SYN
from tests.oracle.frame import ICMP, ICMPV6, TCP, UDP, Frame

_L4: Final = {
    TCP: ("tcp_src", "tcp_dst"),
    UDP: ("udp_src", "udp_dst"),
    ICMP: ("icmp_type", "icmp_code"),
    ICMPV6: ("icmpv6_type", "icmpv6_code"),
}
_NS, _NA = 135, 136
_NO_MAC: Final = "00:00:00:00:00:00"


def packet_of(frame: Frame) -> Packet:
    fields: dict[str, object] = {"eth_src": frame.eth_src, "eth_dst": frame.eth_dst}
    match frame.what:
        case "other":
            fields["eth_type"] = 0x88B5
        case "arp":
            fields |= {"eth_type": 0x0806, "arp_op": 1 if frame.asks else 2, "arp_sha": frame.mac}
            fields |= {"arp_tha": 0 if frame.asks else frame.eth_dst, "arp_spa": frame.src, "arp_tpa": frame.dst}
        case "nd":
            fields |= _ip(frame.but(protocol=ICMPV6, first=_NS if frame.asks else _NA, second=0, ttl=255))
            said, unsaid = ("nd_sll", "nd_tll") if frame.asks else ("nd_tll", "nd_sll")
            option = (1 if frame.asks else 2) if frame.mac else 0
            fields |= {"nd_target": frame.about, said: frame.mac or 0, unsaid: 0, "nd_options_type": option}
            fields["nd_reserved"] = 0 if frame.asks else 0x20000000
        case "ip":
            fields |= _ip(frame)
    flags = 0 if frame.protocol != TCP else SYN if frame.opens else SYN | ACK
    quoted = packet_of(frame.quoted) if frame.quoted else None
    return Packet({name: value for name, value, _ in match(fields)}, flags, frame.ident, quoted)


def _ip(frame: Frame) -> dict[str, object]:
    version = 6 if frame.ipv6 else 4
    fields: dict[str, object] = {"eth_type": 0x86DD if frame.ipv6 else 0x0800, "ip_proto": frame.protocol}
    fields |= {f"ipv{version}_src": _number(frame.src), f"ipv{version}_dst": _number(frame.dst)}
    fields |= {"ip_dscp": 0, "ip_frag": 0, "ip_ttl": frame.ttl}
    return fields | dict(zip(_L4.get(frame.protocol, ()), (frame.first, frame.second), strict=False))


def frame_of(packet: Packet) -> Frame:
    fields = packet.fields
    ends = {"eth_src": _mac(fields["eth_src"]), "eth_dst": _mac(fields["eth_dst"])}
    match fields["eth_type"]:
        case 0x0806:
            who = {"src": str(IPv4Address(fields["arp_spa"])), "dst": str(IPv4Address(fields["arp_tpa"]))}
            return Frame(**ends, **who, what="arp", asks=fields["arp_op"] == 1, mac=_mac(fields["arp_sha"]))
        case 0x0800:
            ip = {"src": str(IPv4Address(fields["ipv4_src"])), "dst": str(IPv4Address(fields["ipv4_dst"]))}
        case 0x86DD:
            ip = {"src": str(IPv6Address(fields["ipv6_src"])), "dst": str(IPv6Address(fields["ipv6_dst"]))}
        case _:
            return Frame(**ends, what="other")
    if fields.get("icmpv6_type") in (_NS, _NA):
        asks = fields["icmpv6_type"] == _NS
        mac = _mac(fields.get("nd_sll" if asks else "nd_tll", 0))
        told = {"about": str(IPv6Address(fields["nd_target"])), "mac": "" if mac == _NO_MAC else mac}
        return Frame(**ends, **ip, **told, what="nd", asks=asks, ttl=fields["ip_ttl"])
    first, second = (fields.get(name, 0) for name in _L4.get(fields["ip_proto"], ("", "")))
    l4 = {"protocol": fields["ip_proto"], "first": first, "second": second, "ident": packet.icmp_id}
    quoted = frame_of(packet.quoted) if packet.quoted else None
    return Frame(**ends, **ip, **l4, what="ip", ttl=fields["ip_ttl"], opens=not packet.tcp_flags & ACK, quoted=quoted)


def _mac(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")


def _number(ip: str) -> int:
    return int(IPv6Address(ip) if ":" in ip else IPv4Address(ip))
