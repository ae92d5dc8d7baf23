"""What the stages know of IPv6: which addresses a port has, and how the messages look that every link needs.

A port speaks IPv6 when it has an IPv6 address or an allowed address pair of one. Then it also has the link-local
address that is made from its MAC (RFC 4291, appendix A): no other, since nobody could tell whose a random one is.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from suimon.model import view
from suimon.pipeline.facts import Facts

IPV6: Final[dict[str, object]] = {"eth_type": 0x86DD}
ICMPV6: Final[dict[str, object]] = {**IPV6, "ip_proto": 58}
ROUTER_SOLICITATION: Final = 133
ROUTER_ADVERTISEMENT: Final = 134
SOLICITATION: Final = 135
ADVERTISEMENT: Final = 136
REDIRECT: Final = 137
MULTICAST_LISTENERS: Final = (130, 131, 132, 143)
"""Query, report, done (RFC 2710) and the report of version 2 (RFC 3810)."""
WHOLE: Final[dict[str, object]] = {"ip_frag": 0, "ip_ttl": 255}
"""Neighbour discovery never crosses a router (RFC 4861, 7.1) and never comes in fragments (RFC 6980)."""
DHCP_SERVERS: Final = "ff02::1:2"
"""Where clients send to that were told of no other address (RFC 8415, 7.1), as ours never are."""
DHCPV6_REQUEST: Final[dict[str, object]] = {
    **IPV6,
    "ip_proto": 17,
    "ipv6_dst": DHCP_SERVERS,
    "udp_src": 546,
    "udp_dst": 547,
}
DHCPV6_REPLY: Final[dict[str, object]] = {**IPV6, "ip_proto": 17, "udp_dst": 546}
"""From whichever L4 port (RFC 7610)."""
NOBODY: Final = "::"


@lru_cache(maxsize=65536)
def link_local(mac: str) -> str:
    """The link-local address of an interface with this MAC: its modified EUI-64 below fe80::/64."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + identifier))


def addresses(mac: str, ips: tuple[str, ...]) -> list[str]:
    """The IPv6 addresses of an interface, its link-local one last; none if it speaks none."""
    mine = sorted({ip for ip in ips if ":" in ip})
    return [*mine, link_local(mac)] if mine else []


def port_addresses(port: view.Port) -> list[str]:
    """A port's own IPv6 addresses, its link-local one last; none if it has none."""
    return addresses(port.mac, tuple(fixed.ip for fixed in port.fixed_ips))


def speaks(port: view.Port) -> bool:
    """Whether IPv6 gets to the port at all."""
    return any(":" in address for address in (*(f.ip for f in port.fixed_ips), *(p.cidr for p in port.pairs)))


def advertised(facts: Facts, port: view.Port) -> bool:
    """Whether the agent answers the port's router solicitations."""
    return any(subnet.ra_mode is not None for subnet in _subnets(facts, port))


def leased(facts: Facts, port: view.Port) -> bool:
    """Whether the agent answers the port's DHCPv6 messages."""
    return any(dhcpv6_mode(subnet) for subnet in _subnets(facts, port))


def dhcpv6_mode(subnet: view.Subnet) -> view.Ipv6Mode | None:
    """Which kind of DHCPv6 the agent answers on a subnet; as in Neutron, one without any mode is stateful."""
    mode = subnet.address_mode or (None if subnet.ra_mode else "dhcpv6-stateful")
    return mode if subnet.dhcp and mode != "slaac" else None


def _subnets(facts: Facts, port: view.Port) -> list[view.Subnet]:
    subnets = (facts.subnet(fixed.subnet_id) for fixed in port.fixed_ips if ":" in fixed.ip)
    return [subnet for subnet in subnets if subnet is not None]
