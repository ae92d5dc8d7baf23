"""The packet fields that our flows match and write, as ovs-fields(7) names and numbers them.

`oxm_class` and `oxm_field` are the wire identity (0x8000 is OpenFlow basic, 0x0001 Nicira); `needs` are the
prerequisite matches that the switch insists on; the names below the table say what we keep in which register.
"""

from typing import Final, NamedTuple


class Field(NamedTuple):
    """Wire identity, width in bits, how a value is written, and the prerequisites as (field, value) pairs."""

    oxm_class: int
    oxm_field: int
    bits: int
    form: str = "int"
    needs: tuple[tuple[str, int], ...] = ()


_IP: Final = (("eth_type", 0x0800),)
_ARP: Final = (("eth_type", 0x0806),)
_TCP: Final = (*_IP, ("ip_proto", 6))
_UDP: Final = (*_IP, ("ip_proto", 17))
_SCTP: Final = (*_IP, ("ip_proto", 132))
_ICMP: Final = (*_IP, ("ip_proto", 1))

FIELDS: Final[dict[str, Field]] = {
    "in_port": Field(0x8000, 0, 32),
    "metadata": Field(0x8000, 2, 64, "hex"),
    "eth_dst": Field(0x8000, 3, 48, "mac"),
    "eth_src": Field(0x8000, 4, 48, "mac"),
    "eth_type": Field(0x8000, 5, 16, "hex"),
    "vlan_vid": Field(0x8000, 6, 13, "hex"),
    "ip_dscp": Field(0x8000, 8, 6, needs=_IP),
    "ip_proto": Field(0x8000, 10, 8, needs=_IP),
    "ipv4_src": Field(0x8000, 11, 32, "ipv4", _IP),
    "ipv4_dst": Field(0x8000, 12, 32, "ipv4", _IP),
    "tcp_src": Field(0x8000, 13, 16, needs=_TCP),
    "tcp_dst": Field(0x8000, 14, 16, needs=_TCP),
    "udp_src": Field(0x8000, 15, 16, needs=_UDP),
    "udp_dst": Field(0x8000, 16, 16, needs=_UDP),
    "sctp_dst": Field(0x8000, 18, 16, needs=_SCTP),
    "icmp_type": Field(0x8000, 19, 8, needs=_ICMP),
    "icmp_code": Field(0x8000, 20, 8, needs=_ICMP),
    "arp_op": Field(0x8000, 21, 16, needs=_ARP),
    "arp_spa": Field(0x8000, 22, 32, "ipv4", _ARP),
    "arp_tpa": Field(0x8000, 23, 32, "ipv4", _ARP),
    "arp_sha": Field(0x8000, 24, 48, "mac", _ARP),
    "arp_tha": Field(0x8000, 25, 48, "mac", _ARP),
    "tun_id": Field(0x8000, 38, 64, "hex"),
    "ip_frag": Field(0x0001, 26, 8, "hex", needs=_IP),
    "ip_ttl": Field(0x0001, 29, 8, needs=_IP),
    "tun_src": Field(0x0001, 31, 32, "ipv4"),
    "tun_dst": Field(0x0001, 32, 32, "ipv4"),
    "conj_id": Field(0x0001, 37, 32),
    "ct_state": Field(0x0001, 105, 32, "hex"),
    "ct_nw_proto": Field(0x0001, 119, 8, needs=_IP),
    "ct_nw_src": Field(0x0001, 120, 32, "ipv4", _IP),
    "ct_nw_dst": Field(0x0001, 121, 32, "ipv4", _IP),
    "ct_tp_src": Field(0x0001, 124, 16),
    "ct_tp_dst": Field(0x0001, 125, 16),
    **{f"reg{number}": Field(0x0001, number, 32, "hex") for number in range(16)},
}

# What lives where while a packet crosses br-int. Numbers are this host's own, given out by `pipeline.numbers`.
NET: Final = "metadata"
"""The network the packet is on."""
ORIGIN: Final = "reg0"
"""Where it entered br-int: one of the FROM_… below."""
SOURCE: Final = "reg1"
"""The local port it came from; 0 when it came from a tunnel or a provider network."""
TARGET: Final = "reg2"
"""The local port it goes to."""
ZONE: Final = "reg3"
"""Conntrack zone of the local port whose security groups are being asked: the port's own number."""
GROUP_SET: Final = "reg4"
"""The set of security groups of that port; 0 for a port without port security."""
VERDICT: Final = "reg5"
"""1 once a security group rule allowed the packet."""
ROUTER: Final = "reg6"
"""The router that carries the packet between two networks."""
NEXTHOP: Final = "reg7"
"""The IPv4 address whose MAC the routed packet needs."""

FROM_GUEST: Final = 1
FROM_TUNNEL: Final = 2
FROM_PROVIDER: Final = 3

LATER_FRAGMENT: Final = (0x02, 0x02)
"""ip_frag of all fragments of a datagram but its first, which alone has the L4 header (ovs-fields(7), ip_frag)."""

CT_NEW: Final = 0x01
CT_ESTABLISHED: Final = 0x02
CT_RELATED: Final = 0x04
CT_REPLY: Final = 0x08
CT_INVALID: Final = 0x10
CT_TRACKED: Final = 0x20
