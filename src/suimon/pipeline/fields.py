"""The packet fields that our flows match and write, as ovs-fields(7) names and numbers them.

`oxm_class` and `oxm_field` are the wire identity (0x8000 is OpenFlow basic, 0x0001 Nicira); `needs` are the
prerequisite matches that the switch insists on; the names below the table say what we keep in which register.
"""

from typing import Final, NamedTuple


class Field(NamedTuple):
    """Wire identity, width in bits, how a value is written, and the prerequisites: fields, each with the values of
    which it has to have one.
    """

    oxm_class: int
    oxm_field: int
    bits: int
    form: str = "int"
    needs: tuple[tuple[str, tuple[int, ...]], ...] = ()


_IPV4: Final = (("eth_type", (0x0800,)),)
_IPV6: Final = (("eth_type", (0x86DD,)),)
_IP: Final = (("eth_type", (0x0800, 0x86DD)),)
_ARP: Final = (("eth_type", (0x0806,)),)
_TCP: Final = (*_IP, ("ip_proto", (6,)))
_UDP: Final = (*_IP, ("ip_proto", (17,)))
_SCTP: Final = (*_IP, ("ip_proto", (132,)))
_ICMP: Final = (*_IPV4, ("ip_proto", (1,)))
_ICMPV6: Final = (*_IPV6, ("ip_proto", (58,)))
_NS: Final = (*_ICMPV6, ("icmpv6_type", (135,)), ("icmpv6_code", (0,)))
_NA: Final = (*_ICMPV6, ("icmpv6_type", (136,)), ("icmpv6_code", (0,)))
_ND: Final = (*_ICMPV6, ("icmpv6_type", (135, 136)), ("icmpv6_code", (0,)))

FIELDS: Final[dict[str, Field]] = {
    "in_port": Field(0x8000, 0, 32),
    "metadata": Field(0x8000, 2, 64, "hex"),
    "eth_dst": Field(0x8000, 3, 48, "mac"),
    "eth_src": Field(0x8000, 4, 48, "mac"),
    "eth_type": Field(0x8000, 5, 16, "hex"),
    "vlan_vid": Field(0x8000, 6, 13, "hex"),
    "ip_dscp": Field(0x8000, 8, 6, needs=_IP),
    "ip_ecn": Field(0x8000, 9, 2, needs=_IP),
    "ip_proto": Field(0x8000, 10, 8, needs=_IP),
    "ipv4_src": Field(0x8000, 11, 32, "ipv4", _IPV4),
    "ipv4_dst": Field(0x8000, 12, 32, "ipv4", _IPV4),
    "tcp_src": Field(0x8000, 13, 16, needs=_TCP),
    "tcp_dst": Field(0x8000, 14, 16, needs=_TCP),
    "udp_src": Field(0x8000, 15, 16, needs=_UDP),
    "udp_dst": Field(0x8000, 16, 16, needs=_UDP),
    "sctp_src": Field(0x8000, 17, 16, needs=_SCTP),
    "sctp_dst": Field(0x8000, 18, 16, needs=_SCTP),
    "icmp_type": Field(0x8000, 19, 8, needs=_ICMP),
    "icmp_code": Field(0x8000, 20, 8, needs=_ICMP),
    "arp_op": Field(0x8000, 21, 16, needs=_ARP),
    "arp_spa": Field(0x8000, 22, 32, "ipv4", _ARP),
    "arp_tpa": Field(0x8000, 23, 32, "ipv4", _ARP),
    "arp_sha": Field(0x8000, 24, 48, "mac", _ARP),
    "arp_tha": Field(0x8000, 25, 48, "mac", _ARP),
    "ipv6_src": Field(0x8000, 26, 128, "ipv6", _IPV6),
    "ipv6_dst": Field(0x8000, 27, 128, "ipv6", _IPV6),
    "icmpv6_type": Field(0x8000, 29, 8, needs=_ICMPV6),
    "icmpv6_code": Field(0x8000, 30, 8, needs=_ICMPV6),
    "nd_target": Field(0x8000, 31, 128, "ipv6", _ND),
    "nd_sll": Field(0x8000, 32, 48, "mac", _NS),
    "nd_tll": Field(0x8000, 33, 48, "mac", _NA),
    "tun_id": Field(0x8000, 38, 64, "hex"),
    "nxm_in_port": Field(0x0000, 0, 16),
    "ip_frag": Field(0x0001, 26, 8, "hex", needs=_IP),
    "ip_ttl": Field(0x0001, 29, 8, needs=_IP),
    "tun_src": Field(0x0001, 31, 32, "ipv4"),
    "tun_dst": Field(0x0001, 32, 32, "ipv4"),
    "conj_id": Field(0x0001, 37, 32),
    "ct_state": Field(0x0001, 105, 32, "hex"),
    "ct_mark": Field(0x0001, 107, 32, "hex"),
    "ct_nw_proto": Field(0x0001, 119, 8, needs=_IP),
    "ct_nw_src": Field(0x0001, 120, 32, "ipv4", _IPV4),
    "ct_nw_dst": Field(0x0001, 121, 32, "ipv4", _IPV4),
    "ct_ipv6_src": Field(0x0001, 122, 128, "ipv6", _IPV6),
    "ct_ipv6_dst": Field(0x0001, 123, 128, "ipv6", _IPV6),
    "ct_tp_src": Field(0x0001, 124, 16),
    "ct_tp_dst": Field(0x0001, 125, 16),
    "nd_reserved": Field(0x1000, 1, 32, "hex", _ND),
    "nd_options_type": Field(0x1000, 2, 8, needs=_ND),
    **{f"reg{number}": Field(0x0001, number, 32, "hex") for number in range(16)},
    **{f"xxreg{number}": Field(0x0001, 111 + number, 128, "ipv6") for number in range(4)},
}

# What lives where while a packet crosses br-int. Numbers are this host's own, given out by `pipeline.numbers`.
NET: Final = "metadata"
"""The network the packet is on."""
ORIGIN: Final = "reg0"
"""Where it entered br-int: one of the FROM_… below."""
SOURCE: Final = "reg1"
"""The local port it came from; 0 when it came from a tunnel or a provider network."""
TARGET: Final = "reg2"
"""The local port it goes to, or WHO_HAS."""
ZONE: Final = "reg3"
"""Conntrack zone of the local port whose security groups are being asked: the port's own number."""
GROUP_SET: Final = "reg4"
"""The set of security groups of that port; 0 for a port without port security."""
VERDICT: Final = "reg5"
"""1 once a security group rule allowed the packet."""
ROUTER: Final = "reg6"
"""The router that carries the packet between two networks."""
NEXTHOP: Final = "reg7"
"""The IPv4 address whose MAC the routed packet needs, or that a guest asks for."""
NEXTHOP6: Final = "xxreg2"
"""The same of IPv6: reg8 to reg11. It is written whole and matched by `wide`, since
Open vSwitch tells of the registers singly.
"""
ANSWERING: Final = "reg7"
"""What an answer to neighbour discovery gets from a register: its packet goes to no next hop."""
QUOTED: Final = "reg8"
"""1 once the agent translated what an ICMP error of IPv4 quotes (`pipeline.quoting`): its packet has no NEXTHOP6."""
COMPLAINT: Final = "reg12"
"""Why a router does not carry the packet on: 0, or one of those below. Each has the lowest bit."""
MTU: Final = "reg13"
"""The MTU of the network that a packet goes to, where it may be too large for it."""
ROUTED: Final = "reg14"
"""1 once a router carried the packet to the network that it is on now, or it came from outside."""
COUNTING: Final = "reg15"
"""As what a packet is to be counted for its port: one of those below, or 0 once that is known not to be so."""

SENT_OUTSIDE: Final = 1
RECEIVED_OUTSIDE: Final = 2
SENT: Final = 3
RECEIVED: Final = 4

TOO_BIG: Final = 1
EXPIRED: Final = 3
NO_ROUTE: Final = 5
ANY_COMPLAINT: Final = (1, 1)

INGRESS: Final = "nxm_in_port"
"""By this name in_port can be written: from 0, a packet may be sent to where it came from (ovs-fields(7))."""

FROM_GUEST: Final = 1
FROM_TUNNEL: Final = 2
FROM_PROVIDER: Final = 3

WHO_HAS: Final = 0xFFFFFFFF
"""No port's number: a guest's question for the address that is its NEXTHOP or NEXTHOP6."""
BY_ADDRESS: Final = 0xFFFFFFFE
"""Nor is this: what a guest sent to a MAC that nobody has, on its way to whoever has the address."""

PROBE_ECN: Final = 1
"""ECT(1) (RFC 3168, 5): no SYN has it (6.1.1) and no ping; what the switch looks for of a probe, and no more."""
FIRST_FRAGMENT: Final = 0x01
"""ip_frag of the first, whose L4 header flows see if it is whole (ovs-ofctl(8), set-frags, "nx-match")."""
NOT_LATER: Final = (0, 0x02)
"""ip_frag of what has its L4 header: a whole packet, or a first fragment."""
LATER_FRAGMENT: Final = (0x02, 0x02)
"""ip_frag of all fragments of a datagram but its first, which alone has the L4 header (ovs-fields(7), ip_frag)."""

CT_NEW: Final = 0x01
CT_ESTABLISHED: Final = 0x02
CT_RELATED: Final = 0x04
CT_REPLY: Final = 0x08
CT_INVALID: Final = 0x10
CT_TRACKED: Final = 0x20


def registers(name: str) -> tuple[str, ...]:
    """The registers that a wide one stands for, the most significant first; none for any other field."""
    if not name.startswith("xxreg"):
        return ()
    first = 4 * int(name.removeprefix("xxreg"))
    return tuple(f"reg{first + offset}" for offset in range(4))


def wide(name: str, value: int) -> dict[str, object]:
    """What to match for `value` in the wide register `name`."""
    parts = value.to_bytes(16, "big")
    return {reg: int.from_bytes(parts[4 * at : 4 * at + 4], "big") for at, reg in enumerate(registers(name))}
