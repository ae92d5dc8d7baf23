"""Stages block_out and block_in: blocks and quarantines that an operator put on a guest for a while.

They come before the addresses and the security groups are asked, so that nothing that a tenant may change opens them.
Several may say the same of a port: it has each flow once. In a quarantine a guest gets its addresses and names, and its
metadata, from its own host, and talks with the operator; nothing else goes out, and nothing else comes in. An outside
address is nobody's port: what blocks it is there once for the whole host, and whoever talked with it is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import ipv6
from suimon.pipeline.antispoof import DHCP_REQUEST, leased
from suimon.pipeline.block import RESTRICTING, blocked
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import SOURCE, TARGET
from suimon.pipeline.flow import Flow, FlowKey, Goto, flow
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.ranges import masks
from suimon.pipeline.services import METADATA_IP6, SERVICES, SERVICES_IP
from suimon.pipeline.tables import Stage

_IPV4: Final[dict[str, object]] = {"eth_type": 0x0800}
_ARP: Final[dict[str, object]] = {"eth_type": 0x0806}
_LINK_OUT: Final = (ipv6.ROUTER_SOLICITATION, ipv6.SOLICITATION, ipv6.ADVERTISEMENT)
_LINK_IN: Final = (ipv6.ROUTER_ADVERTISEMENT, ipv6.SOLICITATION, ipv6.ADVERTISEMENT)
_LEFT: Final = 90
"""Below what else is blocked: of two restrictions the stricter holds."""
_NOTHING: Final = 80
_OUTSIDE: Final = 120
PRIORITIES: Final = frozenset({_NOTHING, _OUTSIDE, 100 + RESTRICTING, 50 + RESTRICTING})
"""Of the flows that drop, by which they are told from those of policies."""


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    if port.id not in facts.ofports:
        return
    number = facts.number("port", port.id)
    restrictions = facts.restrictions(port)
    blocks = [each for each in restrictions if each.kind == "port_block"]
    yield from _blocks(owner, number, blocks)
    quarantines = [each for each in restrictions if each.kind == "quarantine"]
    if quarantines:
        asking = [DHCP_REQUEST] if leased(facts, port) else []
        asking += [ipv6.DHCPV6_REQUEST] if ipv6.leased(facts, port) else []
        allowed = set.intersection(*(set(each.allowed) for each in quarantines))
        yield from _quarantined(owner, number, asking, allowed)


def outside_flows(facts: Facts, owner: Owner, restriction: view.Restriction) -> Iterator[Part]:
    """The first of those that are in force for the address has the flows."""
    address = restriction.target
    in_force = [name for name in facts.found("restriction@outside_address", address) if facts.restriction(name)]
    if restriction.target_kind != "outside_address" or in_force[:1] != [restriction.id]:
        return
    family, name = _family(address)
    yield flow(Stage.BLOCK_OUT, _OUTSIDE, owner, family | {f"{name}_dst": address})
    yield flow(Stage.BLOCK_IN, _OUTSIDE, owner, family | {f"{name}_src": address})


def _blocks(owner: Owner, number: int, restrictions: list[view.Restriction]) -> Iterator[Flow]:
    found: dict[FlowKey, Flow] = {}
    for one in restrictions:
        for direction in one.directions:
            block = view.PortBlock(one.id, direction, one.protocol, one.port_min, one.port_max)
            for bits in masks(one.port_min, one.port_max):
                found.update((each.key, each) for each in blocked(owner, number, block, bits, restricting=True))
    yield from found.values()


def _quarantined(owner: Owner, number: int, asking: list[dict[str, object]], allowed: set[str]) -> Iterator[Part]:
    """`asking` is for the agent, which answers it."""
    yield flow(Stage.BLOCK_OUT, _NOTHING, owner, {SOURCE: number})
    yield flow(Stage.BLOCK_IN, _NOTHING, owner, {TARGET: number})
    out = [_ARP, *asking]
    out += [ipv6.ICMPV6 | {"icmpv6_type": kind} for kind in _LINK_OUT]
    for protocol, field, l4_port in SERVICES:
        asked = {"ip_proto": protocol, field: l4_port}
        out += [_IPV4 | {"ipv4_dst": SERVICES_IP} | asked, ipv6.IPV6 | {"ipv6_dst": METADATA_IP6} | asked]
    back = [_ARP, *(ipv6.ICMPV6 | {"icmpv6_type": kind} for kind in _LINK_IN)]
    for cidr in sorted(allowed):
        family, name = _family(cidr)
        out.append(family | {f"{name}_dst": cidr})
        back.append(family | {f"{name}_src": cidr})
    for matched in out:
        yield flow(Stage.BLOCK_OUT, _LEFT, owner, {SOURCE: number, **matched}, [Goto(Stage.ANTISPOOF)])
    for matched in back:
        yield flow(Stage.BLOCK_IN, _LEFT, owner, {TARGET: number, **matched}, [Goto(Stage.TRACK_IN)])


def _family(address: str) -> tuple[dict[str, object], str]:
    return (ipv6.IPV6, "ipv6") if ":" in address else (_IPV4, "ipv4")


PRODUCERS: Final[Producers] = {"port": port_flows, "restriction": outside_flows}
