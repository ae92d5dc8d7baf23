"""Stages service_out and service_in: how a guest reaches the metadata service and the resolver of its host.

One interface of br-int leads to one namespace for all tenants. Two guests may have one address, so on the way there the
source becomes an address that is only this port's: that is how the service knows who asks, and no guest can forge it,
because its own address was checked in `antispoof`. Answers find their way back by that address. Both are stateless
rewrites: no connection is tracked, no security group asked, and a meter of the port bounds how much it may ask
(docs/decisions/0017).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import ipv6, meters
from suimon.pipeline.antispoof import leased
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import NEXTHOP, NEXTHOP6, SOURCE, TARGET, WHO_HAS, wide
from suimon.pipeline.flow import Action, Goto, Meter, Output, Resubmit, UseMeter, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage

_IPV4: Final[dict[str, object]] = {"eth_type": 0x0800}
SERVICES_OFPORT: Final = 0xFE00
"""Asked for by number, so that flows stay as they are while the interface goes and comes with the agent."""
SERVICES_IP: Final = "169.254.169.254"
"""Where guests look for metadata (Amazon EC2 and OpenStack alike), and the resolver that DHCP tells them."""
SERVICES_MAC: Final = "02:5a:00:00:00:fe"
METADATA_L4_PORT: Final = 80
DNS_L4_PORT: Final = 53
ASKERS: Final = "100.64.0.0/10"
"""The addresses that stand for ports (RFC 6598): 16 bits of a port's number, 6 of which of its addresses it is."""
_MOST_ADDRESSES: Final = 64
METADATA_IP6: Final = "fe80::a9fe:a9fe"
"""The same by IPv6, as cloud-init knows it from OpenStack."""
SERVICES_IP6: Final = "fd00:ec2::254"
"""As which it arrives: no link-local address, which would mean nothing without its link."""
ASKERS_IP6: Final = "fd00:5a:a9fe::/64"
"""The addresses that stand for ports which ask by IPv6, as those of IPv4 do."""
_RATE_PACKETS: Final = 200
_BURST_PACKETS: Final = 400
SERVICES: Final = ((6, "tcp_dst", METADATA_L4_PORT), (6, "tcp_dst", DNS_L4_PORT), (17, "udp_dst", DNS_L4_PORT))
"""What guests may ask there."""
_TCP_UDP: Final = (6, 17)


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    for protocol, field, l4_port in SERVICES:
        for asked in (_IPV4 | {"ipv4_dst": SERVICES_IP}, ipv6.IPV6 | {"ipv6_dst": METADATA_IP6}):
            to_service = asked | {"ip_proto": protocol, field: l4_port}
            yield flow(Stage.TRACK_OUT, 40, owner, to_service, [Goto(Stage.SERVICE_OUT)])
    for protocol in _TCP_UDP:
        for family in (_IPV4, ipv6.IPV6):
            answered = family | {"in_port": SERVICES_OFPORT, "vlan_vid": 0, "ip_proto": protocol}
            yield flow(Stage.CLASSIFY, 100, owner, answered, [Goto(Stage.SERVICE_IN)])
    found: list[Action] = [set_field("eth_dst", SERVICES_MAC), Resubmit(Stage.LOOKUP)]
    for hop in ({NEXTHOP: int(ip_address(SERVICES_IP))}, wide(NEXTHOP6, int(ip_address(METADATA_IP6)))):
        yield flow(Stage.NEIGHBOUR, 95, owner, {TARGET: WHO_HAS, **hop}, found)


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    if port.id not in facts.ofports:
        return
    number = facts.number("port", port.id)
    yield Meter(meters.Range.SERVICES | number, owner, _RATE_PACKETS, _BURST_PACKETS, packets=True)
    for index, ip in enumerate(addresses(port)[:_MOST_ADDRESSES]):
        if _unused(facts, port, ip):
            continue
        there, back = _ways(ip, asker_address(number, index, ip))
        yield flow(
            Stage.SERVICE_OUT,
            100,
            owner,
            {SOURCE: number, **there.matched},
            [
                UseMeter(meters.Range.SERVICES | number),
                *there.rewritten,
                set_field("eth_dst", SERVICES_MAC),
                Output(SERVICES_OFPORT),
            ],
        )
        yield flow(
            Stage.SERVICE_IN,
            100,
            owner,
            back.matched,
            [
                *back.rewritten,
                set_field("eth_src", SERVICES_MAC),
                set_field("eth_dst", port.mac),
                set_field(TARGET, number),
                Goto(Stage.DELIVER),
            ],
        )


def addresses(port: view.Port) -> list[str]:
    """Those that a port may ask from, in an order that both the flows and the services know."""
    mine = [fixed.ip for fixed in port.fixed_ips]
    return [*dict.fromkeys([*mine, *ipv6.port_addresses(port), ipv6.link_local(port.mac)])]


def _unused(facts: Facts, port: view.Port, ip: str) -> bool:
    """The link-local address of a guest without IPv6, which knows its IPv4 address by DHCP and asks from that."""
    return ip == ipv6.link_local(port.mac) and not ipv6.port_addresses(port) and leased(facts, port)


def asker_address(number: int, index: int, ip: str) -> str:
    """What stands for a port's address `ip`, the `index`-th of them."""
    network = ip_network(ASKERS_IP6 if ":" in ip else ASKERS)
    return str(network[index << 16 | number])


def asker(address: str) -> tuple[int, int]:
    """The port's number and which of its addresses asked: the other way round."""
    bits = int(ip_address(address))
    return bits & 0xFFFF, bits >> 16 & _MOST_ADDRESSES - 1


class _Way(NamedTuple):
    """Which packets go there, and how their addresses change."""

    matched: dict[str, object]
    rewritten: list[Action]


def _ways(ip: str, asker: str) -> tuple[_Way, _Way]:
    """To the services and back."""
    if ":" not in ip:
        there = _Way({**_IPV4, "ipv4_src": ip}, [set_field("ipv4_src", asker)])
        return there, _Way({**_IPV4, "ipv4_dst": asker}, [set_field("ipv4_dst", ip)])
    arriving: list[Action] = [set_field("ipv6_src", asker), set_field("ipv6_dst", SERVICES_IP6)]
    returning: list[Action] = [set_field("ipv6_src", METADATA_IP6), set_field("ipv6_dst", ip)]
    there = _Way({**ipv6.IPV6, "ipv6_src": ip}, arriving)
    return there, _Way({**ipv6.IPV6, "ipv6_dst": asker}, returning)


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "port": port_flows}
