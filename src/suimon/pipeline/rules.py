"""Stages rules_out and rules_in: what the security groups allow, once for each set of groups that ports on this host
have.

A rule is matched on the tuple that opened the connection (ct_…). A remote group is a conjunction: one flow for each
address of its members, one for each rule that names it, instead of their product; its number is the group's, so
members are shared by all rules that name it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts, reference
from suimon.pipeline.fields import CT_INVALID, CT_TRACKED, GROUP_SET, LATER_FRAGMENT, VERDICT
from suimon.pipeline.flow import Action, Conjunction, Match, flow, match, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.ranges import masks
from suimon.pipeline.tables import Stage

_STAGES: Final = {"egress": Stage.RULES_OUT, "ingress": Stage.RULES_IN}
_REMOTE: Final = {"egress": "ct_nw_dst", "ingress": "ct_nw_src"}
_VALID: Final[dict[str, object]] = {"eth_type": 0x0800, "ct_state": (CT_TRACKED, CT_TRACKED | CT_INVALID)}
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
        for rule in group.rules if group else ():
            if rule.ethertype != "IPv4":
                continue
            for matched in _matches(rule, number):
                if rule.remote_group:
                    clauses.setdefault((_STAGES[rule.direction], matched), set()).add(reference(rule))
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
        remote = f"{group_id}/{direction}"
        if facts.has("reference", remote):
            matched: dict[str, object] = {"conj_id": facts.number("conj", remote), "eth_type": 0x0800}
            yield flow(stage, _CONJUNCT, owner, matched, _ALLOWED)


def address_flows(facts: Facts, owner: Owner, ip: str) -> Iterator[Part]:
    """The address is a member of these groups. Tenants' addresses may overlap: the other clause tells them apart."""
    groups = facts.found("group@address", ip) if ":" not in ip else []
    for direction, stage in _STAGES.items():
        remotes = [remote for group in groups if facts.has("reference", remote := f"{group}/{direction}")]
        if remotes:
            actions: list[Action] = [Conjunction(facts.number("conj", remote), 0, 2) for remote in remotes]
            yield flow(stage, _CONJUNCT, owner, _VALID | {_REMOTE[direction]: ip}, actions)


def _matches(rule: view.SecurityGroupRule, number: int) -> Iterator[Match]:
    matched: dict[str, object] = {GROUP_SET: number, **_VALID}
    if rule.remote_prefix:
        matched[_REMOTE[rule.direction]] = rule.remote_prefix
    if rule.protocol is not None:
        matched["ct_nw_proto"] = rule.protocol
    if rule.protocol == 1:
        # For ICMP the tracker keeps the type as source and the code as destination port (ovs-fields(7), ct_tp_src).
        kind = {} if rule.port_min is None else {"ct_tp_src": rule.port_min}
        code = {} if rule.port_max is None else {"ct_tp_dst": rule.port_max}
        yield match(matched | kind | code)
    elif rule.port_min is None or rule.port_max is None:
        yield match(matched)
        return
    else:
        for bits in masks(rule.port_min, rule.port_max):
            yield match(matched | {"ct_tp_dst": bits})
    if rule.port_min is not None:
        # A later fragment has lost the tuple's ports in userspace. It is no use without the first, which is asked.
        yield match(matched | {"ip_frag": LATER_FRAGMENT})


PRODUCERS: Final[Producers] = {"group_set": set_flows, "group": group_flows, "address": address_flows}
