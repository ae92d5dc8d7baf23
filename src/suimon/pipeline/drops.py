"""What is dropped of a port's packets, by reason: told by the flows and meters of its own that drop them.

Counting is the switch's: nothing runs until somebody asks, and then for one port.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from suimon.pipeline.flow import Flow, FlowKey, Meter, UseMeter
from suimon.pipeline.meters import Range
from suimon.pipeline.program import Program
from suimon.pipeline.restrict import PRIORITIES
from suimon.pipeline.tables import Stage

WORDS: Final = {
    "spoofed": "It sent them with a MAC or an address that the port doesn't have.",
    "rogue_dhcp": "It sent them as a DHCP server would.",
    "rogue_router": "It sent them as an IPv6 router would.",
    "port_block": "A port block of the port's QoS policy forbids them.",
    "restricted": "A restriction that the operator put on the guest, its project or its network forbids them.",
    "egress_rules": "No egress rule of the port's security groups allows what it sent.",
    "ingress_rules": "No ingress rule of the port's security groups allows what was sent to it.",
    "bandwidth_limit": "They were above the bandwidth limit of the port's QoS policy, or of a restriction.",
    "packet_limit": "They were above the packet rate limit of the port's QoS policy, or of a restriction.",
    "too_many_questions": "It asked for addresses (DHCP, routers) or next hops outside more often than is answered.",
    "too_many_errors": "No router could carry them on, more often than senders are told so.",
    "too_many_to_services": "It sent more to the metadata service and the resolver than a port may.",
}
"""The reasons in words, in the order in which they are told."""
_FORGED: Final = ("spoofed", "rogue_dhcp", "rogue_router")
_BY_STAGE: Final = {
    Stage.BLOCK_OUT: "port_block",
    Stage.BLOCK_IN: "port_block",
    Stage.GROUP_OUT: "port_block",
    Stage.GROUP_IN: "port_block",
    Stage.ALLOW_OUT: "egress_rules",
    Stage.ALLOW_IN: "ingress_rules",
}
_BY_RANGE: Final = {
    Range.AGENT: "too_many_questions",
    Range.SERVICES: "too_many_to_services",
    Range.COMPLAINTS: "too_many_errors",
}


Restraint = Literal["out", "in", "forged"]
"""What drops a guest's packets: a restriction, block or limit of what it sends, or gets; or anti-spoofing."""


def entrances(program: Program) -> Iterator[FlowKey]:
    """The flows that count what of a port's packets the switch takes."""
    return (flow.key for flow in program.flows if flow.key.stage is Stage.CLASSIFY)


def restraints(program: Program) -> Iterator[tuple[FlowKey | int, Restraint]]:
    """The flows of a port's program that restrain it, and the ids of its meters, and of those that its trunk shares."""
    for flow in program.flows:
        if (why := reason(flow)) in _FORGED:
            yield flow.key, "forged"
        elif why in ("port_block", "restricted"):
            yield flow.key, "in" if flow.key.stage >= Stage.BLOCK_IN else "out"
    sending, getting = (_metered(program, stage) for stage in (Stage.LIMIT_OUT, Stage.DELIVER))
    yield from ((meter_id, "out") for meter_id in sending)
    yield from ((meter_id, "in") for meter_id in getting)


def _metered(program: Program, stage: Stage) -> list[int]:
    """The meters of limits that packets pass there."""
    flows = (each for each in program.flows if each.key.stage is stage)
    found = {action.meter_id for each in flows for action in each.actions if isinstance(action, UseMeter)}
    return sorted(each for each in found if each < Range.COMPLAINTS)


def reason(dropping: Flow | Meter) -> str | None:
    """A key of `WORDS`, for something of a port's own; None for what drops nothing that its owner would miss."""
    if isinstance(dropping, Meter):
        limit = "packet_limit" if dropping.packets else "bandwidth_limit"
        return _BY_RANGE.get(max(each for each in Range if each <= dropping.meter_id), limit)
    if dropping.actions:
        return None
    if _BY_STAGE.get(dropping.key.stage) == "port_block" and dropping.key.priority in PRIORITIES:
        return "restricted"
    if dropping.key.stage is not Stage.ANTISPOOF:
        return _BY_STAGE.get(dropping.key.stage)
    matched = {name for name, _, _ in dropping.key.match}
    if "udp_dst" in matched:
        return "rogue_dhcp"
    return "rogue_router" if "icmpv6_type" in matched else "spoofed"
