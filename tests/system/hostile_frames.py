"""What a hostile guest sends: frames by what they try, all from the guest `Mallory` on her own network."""

from __future__ import annotations

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Advertise
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_SSRR
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, GRE, LLC, STP, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

MAC, IP4, IP6 = "02:00:00:00:00:01", "10.0.0.11", "2001:db8::11"
FRIEND_MAC, FRIEND, FRIEND6 = "02:00:00:00:00:02", "10.0.0.12", "2001:db8::12"
STRICT, STRICT6 = "10.0.0.14", "2001:db8::14"
OTHERS_MAC, OTHERS = "02:00:00:00:00:03", "10.0.0.12"
"""Another tenant's guest, on another network."""
ROUTER_MAC, OTHER_ROUTER_MAC = "02:00:00:00:00:f1", "02:00:00:00:00:f2"
LOCAL = "fe80::ff:fe00:1"
MARK = b"mallory"
ALL = "ff:ff:ff:ff:ff:ff"
NODES_MAC, NODES = "33:33:00:00:00:01", "ff02::1"

_TO_FRIEND = Ether(src=MAC, dst=FRIEND_MAC)
_TO_OTHERS = Ether(src=MAC, dst=OTHERS_MAC)
_TO_NODES = Ether(src=MAC, dst=NODES_MAC)
_RA = ICMPv6ND_RA() / ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::")
_HELLO = UDP(sport=5000, dport=8000) / Raw(MARK)
_TO_FRIEND4 = IP(src=IP4, dst=FRIEND)

DROPPED: dict[str, Packet] = {
    "another MAC": Ether(src="02:00:00:00:00:99", dst=FRIEND_MAC) / _TO_FRIEND4 / _HELLO,
    "a friend's MAC": Ether(src=FRIEND_MAC, dst=ALL) / IP(src=IP4, dst="255.255.255.255") / _HELLO,
    "a MAC of many": Ether(src="03:00:00:00:00:01", dst=FRIEND_MAC) / _TO_FRIEND4 / _HELLO,
    "another address": _TO_FRIEND / IP(src="10.0.0.99", dst=FRIEND) / _HELLO,
    "no address": _TO_FRIEND / IP(src="0.0.0.0", dst=FRIEND) / _HELLO,
    "the router's address": _TO_FRIEND / IP(src="10.0.0.1", dst=FRIEND) / ICMP(type=5, code=1, gw=IP4),
    "a guest's stand-in": _TO_FRIEND / IP(src="100.64.0.2", dst="169.254.169.254") / TCP(dport=80),
    "another IPv6 address": _TO_FRIEND / IPv6(src="2001:db8::99", dst=FRIEND6) / _HELLO,
    "ARP: a friend is here": _TO_FRIEND / ARP(op=2, hwsrc=MAC, psrc=FRIEND, hwdst=FRIEND_MAC, pdst=FRIEND),
    "ARP: the router is here": Ether(src=MAC, dst=ALL) / ARP(op=2, hwsrc=MAC, psrc="10.0.0.1", pdst="10.0.0.1"),
    "ARP: gratuitous, another MAC": Ether(src=MAC, dst=ALL) / ARP(op=1, hwsrc=FRIEND_MAC, psrc=IP4, pdst=IP4),
    "ARP: cut off": Ether(src=MAC, dst=ALL, type=0x0806) / Raw(bytes(ARP(op=1, hwsrc=MAC, psrc=IP4))[:10]),
    "ARP: for other hardware": Ether(src=MAC, dst=ALL) / ARP(hwtype=6, op=1, psrc="10.0.0.1", pdst=FRIEND),
    "RARP": Ether(src=MAC, dst=ALL, type=0x8035) / Raw(bytes(ARP(op=3))),
    "ND: a friend is here": _TO_NODES / IPv6(src=IP6, dst=NODES, hlim=255) / ICMPv6ND_NA(tgt=FRIEND6)
    / ICMPv6NDOptDstLLAddr(lladdr=MAC),
    "ND: for a friend": _TO_NODES / IPv6(src=IP6, dst=NODES, hlim=255) / ICMPv6ND_NA(tgt=IP6)
    / ICMPv6NDOptDstLLAddr(lladdr=FRIEND_MAC),
    "ND: asks as a friend": _TO_NODES / IPv6(src=IP6, dst=NODES, hlim=255) / ICMPv6ND_NS(tgt="2001:db8::98")
    / ICMPv6NDOptSrcLLAddr(lladdr=FRIEND_MAC),
    "ND: from afar": _TO_NODES / IPv6(src=IP6, dst=NODES, hlim=64) / ICMPv6ND_NA(tgt=IP6),
    "ND: cut off": _TO_NODES / IPv6(src=IP6, dst=NODES, hlim=255, nh=58) / Raw(b"\x88\0\0\0\0\0"),
    "a router": _TO_NODES / IPv6(src=LOCAL, dst=NODES, hlim=255) / _RA,
    "a router behind options": _TO_NODES / IPv6(src=LOCAL, dst=NODES, hlim=255) / IPv6ExtHdrHopByHop()
    / IPv6ExtHdrDestOpt() / _RA,
    "a router behind a first fragment": _TO_NODES / IPv6(src=LOCAL, dst=NODES, hlim=255)
    / IPv6ExtHdrFragment(offset=0, m=0, id=9) / _RA,
    "a router in fragments": _TO_NODES / IPv6(src=LOCAL, dst=NODES, hlim=255)
    / IPv6ExtHdrFragment(offset=0, m=1, id=8, nh=60) / Raw(bytes(IPv6ExtHdrDestOpt(nh=58))),
    "a redirect": _TO_NODES / IPv6(src=LOCAL, dst=NODES, hlim=255) / ICMPv6ND_Redirect(tgt=LOCAL, dst="::"),
    "a DHCP server": Ether(src=MAC, dst=ALL) / IP(src=IP4, dst="255.255.255.255") / UDP(sport=67, dport=68)
    / BOOTP(op=2) / DHCP(options=[("message-type", "offer"), "end"]),
    "a DHCP server from another port": Ether(src=MAC, dst=ALL) / IP(src=IP4, dst="255.255.255.255")
    / UDP(sport=1067, dport=68) / BOOTP(op=2) / DHCP(options=[("message-type", "offer"), "end"]),
    "a DHCPv6 server": _TO_NODES / IPv6(src=LOCAL, dst=NODES) / UDP(sport=547, dport=546) / DHCP6_Advertise(),
    "a DHCPv6 server from another port": _TO_NODES / IPv6(src=LOCAL, dst=NODES) / UDP(sport=1547, dport=546)
    / DHCP6_Advertise(),
    "headers without an end": _TO_FRIEND / IPv6(src=IP6, dst=FRIEND6, nh=0) / Raw(b"\0\xff"),
    "a tag": Ether(src=MAC, dst=ALL) / Dot1Q(vlan=5) / IP(src=IP4, dst=FRIEND) / _HELLO,
    "a tag without a VLAN": Ether(src=MAC, dst=ALL) / Dot1Q(vlan=0, prio=7) / IP(src=IP4, dst=FRIEND) / _HELLO,
    "two tags": Ether(src=MAC, dst=ALL) / Dot1Q(vlan=5) / Dot1Q(vlan=6) / IP(src=IP4, dst=FRIEND) / _HELLO,
    "a provider's tags": Ether(src=MAC, dst=ALL) / Dot1AD(vlan=5) / Dot1Q(vlan=6) / IP(src=IP4, dst=FRIEND) / _HELLO,
    "spanning tree": Ether(src=MAC, dst="01:80:c2:00:00:00") / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP(),
    "link discovery": Ether(src=MAC, dst="01:80:c2:00:00:0e", type=0x88CC) / Raw(b"\2\7\4" + bytes(6)),
    "what hosts say": Ether(src=MAC, dst="02:53:4d:00:01:00", type=0x88B5) / Raw(bytes(46)),
    "nothing": Ether(src=MAC, dst=FRIEND_MAC, type=0x0800),
    "another tenant's router": Ether(src=MAC, dst=OTHER_ROUTER_MAC) / IP(src=IP4, dst="10.0.0.1") / ICMP(),
    "the services as a friend": Ether(src=MAC, dst="02:5a:00:00:00:fe") / IP(src=FRIEND, dst="169.254.169.254")
    / TCP(dport=80, flags="S"),
    "VXLAN to a host": Ether(src=MAC, dst=ROUTER_MAC) / IP(src=IP4, dst="198.18.0.1") / UDP(dport=4789)
    / VXLAN(vni=200) / Ether(src=FRIEND_MAC, dst=OTHERS_MAC) / IP(src=FRIEND, dst=OTHERS) / _HELLO,
    "GRE to a host": Ether(src=MAC, dst=ROUTER_MAC) / IP(src=IP4, dst="198.18.0.1") / GRE(key_present=1, key=200)
    / IP(src=FRIEND, dst=OTHERS) / _HELLO,
    "Geneve to a host": Ether(src=MAC, dst=ROUTER_MAC) / IP(src=IP4, dst="198.18.0.1") / UDP(dport=6081)
    / Raw(b"\0\0\x65\x58\0\0\xc8\0" + bytes(Ether(src=FRIEND_MAC, dst=OTHERS_MAC))),
}  # fmt: skip
"""None of them gets to anybody."""

NAMESAKE: dict[str, Packet] = {
    "another tenant's guest": _TO_OTHERS / IP(src=IP4, dst=OTHERS) / _HELLO,
    "by way of another (IPv4)": Ether(src=MAC, dst=OTHERS_MAC)
    / IP(src=IP4, dst=OTHERS, options=[IPOption_LSRR(routers=[OTHERS])]) / _HELLO,
    "by way of another (IPv6)": Ether(src=MAC, dst=OTHERS_MAC)
    / IPv6(src=IP6, dst=FRIEND6) / IPv6ExtHdrRouting(type=0, addresses=[FRIEND6]) / _HELLO,
}  # fmt: skip
"""To another tenant's guest, whose address a friend has on her network (docs/decisions/0099)."""

BY_A_FRIEND: list[Packet] = [
    _TO_FRIEND / IP(src=IP4, dst=FRIEND, options=[kind(routers=[STRICT])]) / UDP(sport=sport, dport=8000, chksum=chksum)
    for kind, sport in ((IPOption_LSRR, 5001), (IPOption_SSRR, 5002))
    for chksum in (None, 0)
] + [_TO_FRIEND / IPv6(src=IP6, dst=FRIEND6) / IPv6ExtHdrRouting(type=0, addresses=[STRICT6]) / ICMPv6EchoRequest()]
"""To a friend, which is allowed, who is told to send them on; those without a checksum pass any tracker."""

_TO_SERVICES = Ether(src=MAC, dst="02:5a:00:00:00:fe") / IP(src=IP4, dst="169.254.169.254")
DISCOVER: Packet = (
    Ether(src=MAC, dst=ALL)
    / IP(src="0.0.0.0", dst="255.255.255.255")
    / UDP(sport=68, dport=67)
    / BOOTP(chaddr=bytes.fromhex(MAC.replace(":", "")), xid=7)
    / DHCP(options=[("message-type", "discover"), "end"])
)
FLOODS: list[Packet] = [
    DISCOVER,
    _TO_SERVICES / UDP(sport=5000, dport=53) / DNS(qd=DNSQR(qname="x.test")),
    _TO_SERVICES / TCP(sport=5000, dport=80, flags="S"),
    *(Ether(src=MAC, dst=ROUTER_MAC) / IP(src=IP4, dst=f"10.0.9.{n}") / UDP(sport=n, dport=n) for n in range(1, 200)),
    *([DISCOVER] * 200),
]
"""Each is one that she may send."""
