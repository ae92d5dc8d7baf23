"""Stages rules_out and rules_in: what the security groups allow, once for each set of groups that ports on this host
have.

A rule is matched on the tuple that opened the connection (ct_…); one of a stateless group on the packet itself. A
remote group is a conjunction: one flow for each address of its members, one for each rule that names it, instead of
their product; its number is the group's, so members are shared by all rules that name it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import CT_INVALID, CT_REPLY, CT_TRACKED, GROUP_SET, LATER_FRAGMENT, VERDICT
from suimon.pipeline.flow import Action, Conjunction, Match, flow, match, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.ranges import masks
from suimon.pipeline.shared import reference
from suimon.pipeline.tables import Stage

_STAGES: Final = {"egress": Stage.RULES_OUT, "ingress": Stage.RULES_IN}
_SCTP: Final = 132
_L4: Final = {6: "tcp_dst", 17: "udp_dst", _SCTP: "sctp_dst"}


class _Sight(NamedTuple):
    """By which fields a rule sees what it is about; `l4` is None for protocols whose ports the switch doesn't know."""

    valid: dict[str, object]
    remote: dict[str, str]
    protocol: str
    icmp_type: str
    icmp_code: str
    l4: Callable[[int], str | None]


def _by_connection(eth_type: int, source: str, destination: str) -> _Sight:
    """For ICMP the tracker keeps the type as source and the code as destination port (ovs-fields(7), ct_tp_src)."""
    return _Sight(
        {"eth_type": eth_type, "ct_state": (CT_TRACKED, CT_TRACKED | CT_INVALID)},
        {"egress": destination, "ingress": source},
        "ct_nw_proto",
        "ct_tp_src",
        "ct_tp_dst",
        lambda _: "ct_tp_dst",
    )


_SIGHTS: Final = {
    "": _by_connection(0x0800, "ct_nw_src", "ct_nw_dst"),
    "/ipv6": _by_connection(0x86DD, "ct_ipv6_src", "ct_ipv6_dst"),
    "/stateless": _Sight(
        {"eth_type": 0x0800},
        {"egress": "ipv4_dst", "ingress": "ipv4_src"},
        "ip_proto",
        "icmp_type",
        "icmp_code",
        _L4.get,
    ),
    "/stateless/ipv6": _Sight(
        {"eth_type": 0x86DD},
        {"egress": "ipv6_dst", "ingress": "ipv6_src"},
        "ip_proto",
        "icmpv6_type",
        "icmpv6_code",
        _L4.get,
    ),
}
"""By what `shared.reference` ends with."""
_ICMP: Final = {"IPv4": 1, "IPv6": 58}
_ALLOWED: Final = (set_field(VERDICT, 1),)
_PLAIN: Final = 100
_CONJUNCT: Final = 90
"""Conjunctive flows share a priority, and no plain flow may have it (ovs-actions(7), conjunction)."""


def set_flows(facts: Facts, owner: Owner, name: str) -> Iterator[Part]:
    """All rules of the groups of one set; several groups may say the same."""
    if not facts.has("port@set", name):
        return
    number = facts.number("set", name)
    allowed: set[tuple[Stage, Match]] = set()
    clauses: dict[tuple[Stage, Match], set[str]] = {}
    for group_id in name.split(","):
        group = facts.group(group_id)
        if group is None:
            continue
        for rule in group.rules:
            for matched in _matches(rule, number, stateful=group.stateful):
                if rule.remote_group:
                    remote = reference(rule, stateless=not group.stateful)
                    clauses.setdefault((_STAGES[rule.direction], matched), set()).add(remote)
                else:
                    allowed.add((_STAGES[rule.direction], matched))
    for stage, matched in sorted(allowed):
        yield flow(stage, _PLAIN, owner, matched, _ALLOWED)
    for (stage, matched), references in sorted(clauses.items()):
        actions: list[Action] = [Conjunction(facts.number("conj", remote), 1, 2) for remote in sorted(references)]
        yield flow(stage, _CONJUNCT, owner, matched, actions)


def group_flows(facts: Facts, owner: Owner, group_id: str) -> Iterator[Part]:
    """Both clauses hold: the peer is a member, and a rule names its group."""
    for direction, stage in _STAGES.items():
        for ending, sight in _SIGHTS.items():
            remote = f"{group_id}/{direction}{ending}"
            if facts.has("reference", remote):
                matched = {"conj_id": facts.number("conj", remote), "eth_type": sight.valid["eth_type"]}
                yield flow(stage, _CONJUNCT, owner, matched, _ALLOWED)


def address_flows(facts: Facts, owner: Owner, ip: str) -> Iterator[Part]:
    """The address is a member of these groups. Tenants' addresses may overlap: the other clause tells them apart."""
    groups, eth_type = facts.found("group@address", ip), 0x86DD if ":" in ip else 0x0800
    for direction, stage in _STAGES.items():
        for ending, sight in _SIGHTS.items():
            if sight.valid["eth_type"] != eth_type:
                continue
            remotes = [remote for group in groups if facts.has("reference", remote := f"{group}/{direction}{ending}")]
            if remotes:
                actions: list[Action] = [Conjunction(facts.number("conj", remote), 0, 2) for remote in remotes]
                yield flow(stage, _CONJUNCT, owner, sight.valid | {sight.remote[direction]: ip}, actions)


def _matches(rule: view.SecurityGroupRule, number: int, *, stateful: bool) -> Iterator[Match]:
    sight = _SIGHTS[("" if stateful else "/stateless") + ("/ipv6" if rule.ethertype == "IPv6" else "")]
    matched: dict[str, object] = {GROUP_SET: number, **sight.valid}
    if rule.remote_prefix:
        matched[sight.remote[rule.direction]] = rule.remote_prefix
    icmp = rule.protocol in _ICMP.values()
    if rule.protocol is not None:
        # Neutron takes "icmp" for either family's.
        matched[sight.protocol] = _ICMP[rule.ethertype] if icmp else rule.protocol
    if icmp:
        kind = {} if rule.port_min is None else {sight.icmp_type: rule.port_min}
        code = {} if rule.port_max is None else {sight.icmp_code: rule.port_max}
        yield match(matched | kind | code)
    elif rule.protocol is None or rule.port_min is None or rule.port_max is None:
        yield match(matched)
        return
    elif l4 := sight.l4(rule.protocol):
        for bits in masks(rule.port_min, rule.port_max):
            yield match(matched | {l4: bits})
            if stateful and rule.protocol == _SCTP:
                yield from _portless(matched, bits)
    else:
        return
    if rule.port_min is not None:
        # A later fragment has lost the tuple's ports in userspace. It is no use without the first, which is asked.
        yield match(matched | {"ip_frag": LATER_FRAGMENT})


def _portless(matched: dict[str, object], bits: tuple[int, int]) -> Iterator[Match]:
    """Userspace's tracker keeps no ports of SCTP, though flows see them: the packet's are the opener's, or swapped."""
    for reply, l4 in ((0, "sctp_dst"), (CT_REPLY, "sctp_src")):
        way = CT_TRACKED | reply, CT_TRACKED | CT_INVALID | CT_REPLY
        yield match(matched | {"ct_state": way, "ip_proto": _SCTP, l4: bits})


PRODUCERS: Final[Producers] = {"group_set": set_flows, "group": group_flows, "address": address_flows}
