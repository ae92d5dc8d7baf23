"""Rules of security groups: what is allowed, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.checks import parse_cidr
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.security_groups import PROTOCOLS
from suimon.model.things import SecurityGroupRule
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import require_act
from suimon.resources.security_groups import RULE_SPEC, SECURITY_GROUPS, groups_for
from suimon.store.tables import SECURITY_GROUP_RULES as TABLE
from suimon.store.tx import Tx

SECURITY_GROUP_RULES: Final = Collection(
    spec=RULE_SPEC,
    type=SecurityGroupRule,
    not_found=("SecurityGroupRuleNotFound", "Security group rule {} does not exist"),
    visible=TABLE.c.project_id == VIEWER,
    after_write=lambda tx, rule: {},
)
MAX_RULES: Final = 1000
"""Rules of one group: they are flows on every host that has a port in it."""
_WITH_PORTS: Final = frozenset({"tcp", "udp", "sctp", "dccp", "udplite", "6", "17", "132", "33", "136"})
_ICMP: Final = frozenset({"icmp", "ipv6-icmp", "1", "58"})


def create_rule(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> SecurityGroupRule:
    """Raises NotFound, Forbidden, BadRequest for what no packet could match, Conflict for a rule that exists."""
    return create_rules(tx, actor, [wanted])[0]


def create_rules(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[SecurityGroupRule]:
    """All or none."""
    made: list[tuple[int, SecurityGroupRule]] = []
    for group_id in dict.fromkeys(one["security_group_id"] for one in wanted):
        group = SECURITY_GROUPS.find(tx, actor, group_id)
        here = [(n, one) for n, one in enumerate(wanted) if one["security_group_id"] == group_id]
        groups_for(tx, actor, [one["remote_group_id"] for _, one in here if one["remote_group_id"]])
        known = {_said(rule): rule.id for rule in tx.select(SecurityGroupRule, {"security_group_id": group_id})}
        for n, one in here:
            require_act(actor, "create_security_group_rule", RULE_SPEC, one, Target(group.project_id))
            values = {**one, "project_id": group.project_id}
            rule = SecurityGroupRule(id=new_id(), created_at=tx.now, updated_at=tx.now, **values)
            _require_sound(rule)
            if (twin := known.setdefault(_said(rule), rule.id)) != rule.id:
                raise Conflict(f"Security group rule already exists. Rule id is {twin}.", "SecurityGroupRuleExists")
            made.append((n, rule))
        if len(known) > MAX_RULES:
            raise Conflict(f"Security group {group_id} can have {MAX_RULES} rules at most.", "OverQuota")
        tx.change(group)
    rules = [rule for _, rule in sorted(made, key=lambda numbered: numbered[0])]
    tx.insert_many(rules)
    return rules


def delete_rule(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    rule = SECURITY_GROUP_RULES.find(tx, actor, id_)
    require_act(actor, "delete_security_group_rule", RULE_SPEC, {}, Target(rule.project_id))
    require_revision(rule, expected_revision)
    tx.delete(rule)
    tx.change(SECURITY_GROUPS.find(tx, actor, rule.security_group_id))


def _said(rule: SecurityGroupRule) -> tuple[object, ...]:
    """What a rule allows, spelled in one way."""
    prefix = str(parse_cidr(rule.remote_ip_prefix)) if rule.remote_ip_prefix else None
    protocol = PROTOCOLS.get(rule.protocol or "", rule.protocol)
    ports = (rule.port_range_min, rule.port_range_max)
    everything = ("0.0.0.0/0", "::/0")
    return (
        rule.direction,
        rule.ethertype,
        None if protocol is None else str(protocol),
        ports,
        None if prefix in everything else prefix,
        rule.remote_group_id,
    )


def _require_sound(rule: SecurityGroupRule) -> None:
    _require_one_remote(rule)
    _require_version(rule)
    low, high = rule.port_range_min, rule.port_range_max
    if rule.protocol is None:
        if low is not None or high is not None:
            raise BadRequest(
                "Must also specify protocol if port range is given.", "SecurityGroupProtocolRequiredWithPorts"
            )
    elif rule.protocol in _ICMP:
        _require_icmp(low, high)
    elif rule.protocol in _WITH_PORTS:
        if (low is None) != (high is None) or (low is not None and high is not None and low > high):
            raise BadRequest(
                "For TCP/UDP protocols, port_range_min must be <= port_range_max", "SecurityGroupInvalidPortRange"
            )
    elif low is not None or high is not None:
        raise BadRequest(
            f"Invalid protocol {rule.protocol} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP.",
            "SecurityGroupInvalidProtocolForPort",
        )


def _require_icmp(icmp_type: int | None, code: int | None) -> None:
    for name, words, value in (("port_range_min", "type", icmp_type), ("port_range_max", "code", code)):
        if value is not None and value > 255:
            raise BadRequest(
                f"Invalid value for ICMP {words} ({name}) {value}. It must be 0 to 255.",
                "SecurityGroupInvalidIcmpValue",
            )
    if code is not None and icmp_type is None:
        raise BadRequest(
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing.",
            "SecurityGroupMissingIcmpType",
        )


def _require_one_remote(rule: SecurityGroupRule) -> None:
    if rule.remote_ip_prefix is not None and rule.remote_group_id is not None:
        raise BadRequest(
            "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
            "SecurityGroupMultipleRemoteEntites",
        )


def _require_version(rule: SecurityGroupRule) -> None:
    if rule.protocol is not None and rule.ethertype == "IPv4" and rule.protocol.startswith("ipv6-"):
        shown = "icmpv6" if rule.protocol == "ipv6-icmp" else rule.protocol
        raise BadRequest(f"Invalid ethertype IPv4 for protocol {shown}.", "SecurityGroupEthertypeConflictWithProtocol")
    if rule.remote_ip_prefix and f"IPv{parse_cidr(rule.remote_ip_prefix).version}" != rule.ethertype:
        raise BadRequest(
            f"Conflicting value ethertype {rule.ethertype} for CIDR {rule.remote_ip_prefix}",
            "SecurityGroupRuleParameterConflict",
        )
