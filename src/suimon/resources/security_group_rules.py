"""Rules of security groups: what is allowed, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import bindparam, select

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.checks import parse_cidr
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.specs.security_groups import PARENT, PROTOCOLS
from suimon.model.things import DefaultGroupRule, SecurityGroup, SecurityGroupRule
from suimon.resources import sharing
from suimon.resources.collection import VIEWER, Collection, Extra, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import require_act
from suimon.resources.security_groups import RULE_SPEC, SECURITY_GROUPS, groups_for
from suimon.store.tables import ADDRESS_GROUPS
from suimon.store.tables import SECURITY_GROUP_RULES as TABLE
from suimon.store.tables import SECURITY_GROUPS as GROUPS
from suimon.store.tx import Tx

Rule = SecurityGroupRule | DefaultGroupRule
RuleT = TypeVar("RuleT", SecurityGroupRule, DefaultGroupRule)
_OF_DEFAULT: Final = select(GROUPS.c.is_default).where(GROUPS.c.id == TABLE.c.security_group_id).scalar_subquery()


def _after_write(tx: Tx, rules: Sequence[SecurityGroupRule]) -> list[dict[str, object]]:
    groups = [tx.get(SecurityGroup, rule.security_group_id) for rule in rules]
    return [{"belongs_to_default_sg": bool(group and group.is_default)} for group in groups]


SECURITY_GROUP_RULES: Final = Collection(
    spec=RULE_SPEC,
    type=SecurityGroupRule,
    not_found=("SecurityGroupRuleNotFound", "Security group rule {} does not exist"),
    visible=TABLE.c.security_group_id.in_(select(GROUPS.c.id).where(GROUPS.c.project_id == VIEWER)),
    extras=(Extra(_OF_DEFAULT, lambda _, value: {"belongs_to_default_sg": bool(value)}),),
    special={"belongs_to_default_sg": lambda texts: _OF_DEFAULT.in_([checks.boolean(text) for text in texts])},
    after_write=_after_write,
)
MAX_RULES: Final = 1000
"""Rules of one group: they are flows on every host that has a port in it."""
_WITH_PORTS: Final = frozenset({6, 17, 33, 132, 136})
_ICMP, _ICMPV6 = 1, 58
_IPV6_ONLY: Final = frozenset({41, 43, 44, _ICMPV6, 59, 60})
_OLD_ICMPV6: Final = {"icmp": "ipv6-icmp", "icmpv6": "ipv6-icmp", str(_ICMP): str(_ICMPV6)}
_ADDRESS_GROUPS: Final = select(ADDRESS_GROUPS.c.id).where(ADDRESS_GROUPS.c.id.in_(bindparam("ids", expanding=True)))
_VISIBLE_ADDRESSES: Final = sharing.visible("address_group", ADDRESS_GROUPS)
_ALL_PORTS: Final = (1, 65535)
_EVERYTHING: Final = ("0.0.0.0/0", "::/0")


def create_rule(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> SecurityGroupRule:
    """Raises NotFound, Forbidden, BadRequest for what no packet could match, Conflict for a rule that exists."""
    return create_rules(tx, actor, [wanted])[0]


def create_rules(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[SecurityGroupRule]:
    """All or none, of one group. Raises as `create_rule`."""
    _require_together(wanted)
    group = SECURITY_GROUPS.find(tx, actor, wanted[0]["security_group_id"])
    for one in wanted:
        require_act(actor, "create_security_group_rule", RULE_SPEC, one, Target(group.project_id))
    rules = [sound(SecurityGroupRule(id=new_id(), created_at=tx.now, updated_at=tx.now, **one)) for one in wanted]
    require_remotes(tx, actor, rules)
    _require_new(tx, group.id, rules)
    tx.change(group)
    tx.insert_many(rules)
    return rules


def delete_rule(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    rule = SECURITY_GROUP_RULES.find(tx, actor, id_)
    group = tx.get(SecurityGroup, rule.security_group_id)
    assert group is not None
    require_act(actor, "delete_security_group_rule", RULE_SPEC, {}, Target(group.project_id))
    require_revision(rule, expected_revision)
    tx.delete(rule)
    tx.change(group)


def restore_rule(tx: Tx, actor: Actor, rule: SecurityGroupRule) -> SecurityGroupRule:
    """One that was deleted, as it was, under its id. Raises as `create_rule`."""
    group = SECURITY_GROUPS.find(tx, actor, rule.security_group_id)
    require_act(actor, "create_security_group_rule", RULE_SPEC, {}, Target(group.project_id))
    tx.limit(SecurityGroupRule, {group.project_id: 1})
    require_remotes(tx, actor, [rule])
    _require_new(tx, group.id, [rule])
    tx.change(group)
    tx.insert(rule)
    return rule


def sound(rule: RuleT) -> RuleT:
    """The rule in its usual spelling. Raises BadRequest for what no packet could match."""
    rule = _spelled(rule)
    _require_ports(rule)
    _require_version(rule)
    remotes = (rule.remote_ip_prefix, rule.remote_group_id, rule.remote_address_group_id)
    if len([remote for remote in remotes if remote is not None]) > 1:
        raise BadRequest(
            "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
            "SecurityGroupMultipleRemoteEntites",
        )
    return rule


def require_remotes(tx: Tx, actor: Actor, rules: Sequence[Rule]) -> None:
    """Raises NotFound for a remote group, or address group, that the actor can't see."""
    groups_for(tx, actor, [id_ for rule in rules if (id_ := rule.remote_group_id) not in (None, PARENT) and id_])
    ids = {id_ for rule in rules if (id_ := rule.remote_address_group_id)}
    if not ids:
        return
    statement = _ADDRESS_GROUPS if actor.admin else _ADDRESS_GROUPS.where(_VISIBLE_ADDRESSES)
    found = {id_ for (id_,) in tx.rows(statement, {"ids": list(ids), "viewer": actor.viewer})}
    if missing := sorted(ids - found):
        raise NotFound(f"Address group {missing[0]} could not be found.", "AddressGroupNotFound")


def said(rule: Rule) -> tuple[object, ...]:
    """What a rule allows, spelled in one way."""
    prefix = str(parse_cidr(rule.remote_ip_prefix)) if rule.remote_ip_prefix else None
    return (
        rule.direction,
        rule.ethertype,
        _number(rule.protocol),
        (rule.port_range_min, rule.port_range_max),
        None if prefix in _EVERYTHING else prefix,
        rule.remote_group_id,
        rule.remote_address_group_id,
    )


def _require_together(wanted: Sequence[Mapping[str, Any]]) -> None:
    if len({one["security_group_id"] for one in wanted}) > 1:
        raise BadRequest(
            "Only allowed to update rules for one security profile at a time", "SecurityGroupNotSingleGroupRules"
        )
    if len({one["project_id"] for one in wanted}) > 1:
        raise BadRequest(
            "Multiple project_ids in bulk security group rule create not allowed", "SecurityGroupRulesNotSingleProject"
        )


def _require_new(tx: Tx, group_id: str, rules: Sequence[SecurityGroupRule]) -> None:
    new = {said(rule) for rule in rules}
    if len(new) < len(rules):
        raise Conflict("Duplicate Security Group Rule in POST.", "DuplicateSecurityGroupRuleInPost")
    known = {said(rule): rule.id for rule in tx.select(SecurityGroupRule, {"security_group_id": group_id})}
    if twins := new & set(known):
        twin = known[min(twins, key=str)]
        raise Conflict(f"Security group rule already exists. Rule id is {twin}.", "SecurityGroupRuleExists")
    if len(known) + len(rules) > MAX_RULES:
        raise Conflict(f"Security group {group_id} can have {MAX_RULES} rules at most.", "OverQuota")


def _number(protocol: str | None) -> int | None:
    """Its IP protocol number: specs let nothing through but known names and numbers."""
    if protocol is None:
        return None
    return PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)


def _spelled(rule: RuleT) -> RuleT:
    """ICMP means ICMPv6 in a rule for IPv6, and all ports are the same as none."""
    changes: dict[str, Any] = {}
    if rule.ethertype == "IPv6" and rule.protocol in _OLD_ICMPV6:
        changes["protocol"] = _OLD_ICMPV6[rule.protocol]
    if (rule.port_range_min, rule.port_range_max) == _ALL_PORTS:
        changes |= {"port_range_min": None, "port_range_max": None}
    return msgspec.structs.replace(rule, **changes)


def _require_ports(rule: Rule) -> None:
    low, high, protocol = rule.port_range_min, rule.port_range_max, _number(rule.protocol)
    if low is None and high is None:
        return
    if protocol is None:
        raise BadRequest("Must also specify protocol if port range is given.", "SecurityGroupProtocolRequiredWithPorts")
    if protocol in (_ICMP, _ICMPV6):
        _require_icmp(low, high)
    elif protocol not in _WITH_PORTS:
        raise BadRequest(
            f"Ports cannot be specified for protocol {protocol}. Ports are only supported for DCCP, SCTP, TCP, UDP, "
            "UDPLITE.",
            "SecurityGroupInvalidProtocolForPort",
        )
    elif 0 in (low, high):
        raise BadRequest("Invalid value for port 0", "SecurityGroupInvalidPortValue")
    elif low is None or high is None or low > high:
        raise BadRequest(
            "For TCP/UDP protocols, port_range_min must be <= port_range_max", "SecurityGroupInvalidPortRange"
        )


def _require_icmp(icmp_type: int | None, code: int | None) -> None:
    for name, words, value in (("port_range_min", "type", icmp_type), ("port_range_max", "code", code)):
        if value is not None and value > 255:
            raise BadRequest(
                f"Invalid value for ICMP {words} ({name}) {value}. It must be 0 to 255.",
                "SecurityGroupInvalidIcmpValue",
            )
    if icmp_type is None:
        raise BadRequest(
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing.",
            "SecurityGroupMissingIcmpType",
        )


def _require_version(rule: Rule) -> None:
    if rule.remote_ip_prefix and f"IPv{parse_cidr(rule.remote_ip_prefix).version}" != rule.ethertype:
        raise BadRequest(
            f"Conflicting value ethertype {rule.ethertype} for CIDR {rule.remote_ip_prefix}",
            "SecurityGroupRuleParameterConflict",
        )
    if rule.ethertype == "IPv4" and _number(rule.protocol) in _IPV6_ONLY:
        raise BadRequest(
            f"Invalid ethertype IPv4 for protocol {rule.protocol}.", "SecurityGroupEthertypeConflictWithProtocol"
        )
