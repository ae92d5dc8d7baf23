"""The rules of QoS policies, below their policy or, by an alias, without it; and the types of rules there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, func, select

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.errors import BadRequest, Conflict, Forbidden, NotFound, Unsupported
from suimon.model.query import Query, cut
from suimon.model.specs.qos import DIRECTIONS, RULE_TYPE, RuleType, alias
from suimon.model.things import (
    BandwidthLimitRule,
    DscpMarkingRule,
    MinimumBandwidthRule,
    MinimumPacketRateRule,
    PacketRateLimitRule,
    PortBlockRule,
    QosPolicy,
    Thing,
)
from suimon.resources.ids import new_id
from suimon.resources.persona import require
from suimon.resources.qos import QOS_POLICIES, RULE_SPECS, Rule, kind_of, rules_of
from suimon.resources.resource import Asked, Child, Resource
from suimon.store.tables import NETWORKS, PORTS
from suimon.store.tx import Tx

MAX_RULES: Final = 200
"""Rules of one policy: each block costs every port that has the policy a few flows."""
ENFORCED: Final = (BandwidthLimitRule, PacketRateLimitRule, DscpMarkingRule, PortBlockRule)
"""Types of rules that hosts carry out. What a minimum asks for is told to Nova, for Placement."""
_PLACED: Final = (MinimumBandwidthRule, MinimumPacketRateRule)
_INSTANCE: Final = (
    select(PORTS.c.id)
    .join(NETWORKS, NETWORKS.c.id == PORTS.c.network_id)
    .where(
        func.coalesce(PORTS.c.qos_policy_id, NETWORKS.c.qos_policy_id) == bindparam("policy"),
        PORTS.c.device_owner.startswith("compute:"),
    )
    .limit(1)
)
"""A port of an instance that the policy counts for."""


def create_rule(tx: Tx, actor: Actor, type_: type[Rule], policy_id: str, wanted: Mapping[str, Any]) -> Rule:
    """Raises NotFound, Forbidden, BadRequest, Conflict for a rule that contradicts another and for too many, and
    Unsupported for a guarantee that instances would already have to have got.

    Whose policy it is matters more than whether the actor can see it, as in Neutron.
    """
    policy = tx.get(QosPolicy, policy_id)
    if policy is None:
        raise QOS_POLICIES.missing(policy_id)
    require(actor, f"create_policy_{RULE_SPECS[type_].singular}", Target(policy.project_id))
    rules = rules_of(tx, [policy_id])[policy_id]
    if len(rules) >= MAX_RULES:
        raise Conflict(
            f"QoS Policy {policy_id} has {MAX_RULES} rules, which is the most that it can have.", "OverQuota"
        )
    values = {**wanted, "project_id": "", "policy_id": policy_id}
    rule = _sound(type_(id=new_id(), created_at=tx.now, updated_at=tx.now, **values), rules)
    _require_unplaced(tx, rule)
    tx.insert(rule)
    tx.change(policy)
    return rule


def update_rule(tx: Tx, actor: Actor, rule: Rule, wanted: Mapping[str, Any]) -> Rule:
    """Raises Forbidden, BadRequest, Conflict, Unsupported."""
    policy = _policy_of(tx, rule)
    require(actor, f"update_policy_{RULE_SPECS[type(rule)].singular}", Target(policy.project_id))
    if not wanted:
        return rule
    others = [one for one in rules_of(tx, [policy.id])[policy.id] if one.id != rule.id]
    after = _sound(msgspec.structs.replace(rule, **wanted), others)
    _require_unplaced(tx, rule)
    tx.update(rule, msgspec.structs.replace(after, revision_number=rule.revision_number + 1, updated_at=tx.now))
    tx.change(policy)
    return after


def delete_rule(tx: Tx, actor: Actor, rule: Rule) -> None:
    """Raises Forbidden, Unsupported."""
    policy = _policy_of(tx, rule)
    require(actor, f"delete_policy_{RULE_SPECS[type(rule)].singular}", Target(policy.project_id))
    _require_unplaced(tx, rule)
    tx.delete(rule)
    tx.change(policy)


def find_rule(tx: Tx, actor: Actor, type_: type[Rule], policy_id: str, id_: str) -> Rule:
    """Raises NotFound when the policy isn't visible, or the actor's, or has no such rule of this type."""
    policy = QOS_POLICIES.find(tx, actor, policy_id)
    found = tx.select(type_, {"policy_id": policy_id, "id": id_}) if _owns(actor, policy) else []
    if not found:
        raise _missing(id_, policy_id)
    return found[0]


def find_by_alias(tx: Tx, actor: Actor, type_: type[Rule], id_: str) -> Rule:
    """Raises NotFound when there is no such rule, or the actor can't see its policy."""
    rule = tx.get(type_, id_)
    if rule is None or not _owns(actor, _policy_of(tx, rule)):
        raise _missing(id_, "")
    return rule


def list_rules(tx: Tx, actor: Actor, type_: type[Rule], policy_id: str) -> list[Rule]:
    """Nothing of a policy that is only shared. Raises NotFound when the policy isn't visible."""
    policy = QOS_POLICIES.find(tx, actor, policy_id)
    if not _owns(actor, policy):
        return []
    return list(tx.select(type_, {"policy_id": policy_id}, order=("created_at", "id")))


def list_rule_types(_tx: Tx, _actor: Actor, query: Query) -> Sequence[Shown]:
    """All of them, whichever are asked for: there is one driver, which supports them all."""
    for flag in ("all_supported", "all_rules"):
        for text in query.filters.get(flag, ()):
            checks.boolean(text)
    return cut(RULE_TYPE, [Shown(RuleType(kind_of(type_))) for type_ in RULE_SPECS], query)


def show_rule_type(_tx: Tx, actor: Actor, asked: Asked) -> object:
    """With who carries it out, and what its parameters may be; for operators. Raises Forbidden, NotFound."""
    if not actor.admin:
        raise Forbidden("Not authorized.", "NotAuthorized")
    (kind,) = asked.ids
    types = {kind_of(type_): type_ for type_ in RULE_SPECS}
    if kind not in types:
        raise NotFound(f"QoS rule type {kind} could not be found.")
    type_ = types[kind]
    drivers = [{"name": "suimon", "supported_parameters": _parameters(type_)}] if type_ in ENFORCED else []
    shown = {"type": kind, "drivers": drivers}
    fields = [value for key, value in asked.query if key == "fields"]
    return {"rule_type": {name: value for name, value in shown.items() if not fields or name in fields}}


def _parameters(type_: type[Rule]) -> list[dict[str, object]]:
    """As Neutron tells them, from what each attribute's check takes."""
    found: list[dict[str, object]] = []
    for attribute in RULE_SPECS[type_].attributes:
        takes = checks.schema_of(attribute.check) or {}
        if "enum" in takes:
            found.append(_parameter(attribute.name, "choices", sorted(takes["enum"])))
        elif "maximum" in takes:
            found.append(_parameter(attribute.name, "range", {"start": takes["minimum"], "end": takes["maximum"]}))
    return found


def _parameter(name: str, kind: str, values: object) -> dict[str, object]:
    return {"parameter_name": name, "parameter_type": kind, "parameter_values": values}


def _policy_of(tx: Tx, rule: Rule) -> QosPolicy:
    policy = tx.get(QosPolicy, rule.policy_id)
    assert policy is not None
    return policy


def _owns(actor: Actor, policy: QosPolicy) -> bool:
    """Rules are for those who own the policy: who it is shared with reads them in the policy."""
    return actor.admin or policy.project_id == actor.viewer


def _missing(id_: str, policy_id: str) -> NotFound:
    return NotFound(f"QoS rule {id_} for policy {policy_id} could not be found.", "QosRuleNotFound")


def _require_unplaced(tx: Tx, rule: Rule) -> None:
    """Placement has promised to instances what their guarantees say: they can't change under them."""
    if isinstance(rule, _PLACED) and tx.rows(_INSTANCE, {"policy": rule.policy_id}):
        raise Unsupported("Cannot update QoS policies/rules backed by resources tracked in Placement")


def _sound(rule: Rule, others: Sequence[Rule]) -> Rule:
    """The rule with what follows from it. Raises BadRequest, Conflict."""
    if isinstance(rule, PortBlockRule):
        rule = _sound_block(rule)
    for other in others:
        _require_compatible(rule, other)
    for other in others:
        if type(other) is type(rule) and _place(other) == _place(rule):
            raise Conflict(
                f"Rule {kind_of(type(rule))} conflicts with rule {other.id} which already exists in QoS Policy "
                f"{rule.policy_id}.",
                "QoSRulesConflict",
            )
    return rule


def _sound_block(rule: PortBlockRule) -> PortBlockRule:
    if rule.port_range_max is None:
        rule = msgspec.structs.replace(rule, port_range_max=rule.port_range_min)
    if rule.port_range_min > rule.port_range_max:
        raise BadRequest("port_range_min must be <= port_range_max", "InvalidInput")
    if ":" in (rule.remote_ip_prefix or ""):
        raise BadRequest("Port blocks are for IPv4: remote_ip_prefix must be an IPv4 network.", "InvalidInput")
    return rule


def _require_compatible(rule: Rule, other: Rule) -> None:
    """No guarantee beyond a limit, and guaranteed packets either in each direction or in any."""
    match rule, other:
        case (MinimumBandwidthRule(min_kbps=value), BandwidthLimitRule(max_kbps=limit)) if (
            rule.direction == other.direction and value > limit
        ):
            raise _contradiction(rule, value, other, limit)
        case (BandwidthLimitRule(max_kbps=value), MinimumBandwidthRule(min_kbps=least)) if (
            rule.direction == other.direction and value < least
        ):
            raise _contradiction(rule, value, other, least)
        case (MinimumPacketRateRule(direction=one), MinimumPacketRateRule(direction=another)) if (
            one in DIRECTIONS
        ) != (another in DIRECTIONS):
            raise _contradiction(rule, one, other, another)


def _contradiction(rule: Rule, value: object, other: Rule, existing: object) -> Conflict:
    return Conflict(
        f"Unable to add the rule with value {value} to the policy {rule.policy_id} as the existing rule of type "
        f"{kind_of(type(other))} has value {existing}.",
        "QoSRuleParameterConflict",
    )


def _place(rule: Rule) -> tuple[object, ...]:
    """Of the rules of a type and a place, a policy has one. Blocks are one of a kind when they say the same."""
    if isinstance(rule, PortBlockRule):
        names = set(rule.__struct_fields__) - set(Thing.__struct_fields__)
        return tuple(getattr(rule, name) for name in sorted(names))
    return () if isinstance(rule, DscpMarkingRule) else (rule.direction,)


def _child(type_: type[Rule]) -> Child:
    spec = RULE_SPECS[type_]
    return Child(
        spec=spec,
        get=lambda tx, actor, policy_id, id_: Shown(find_rule(tx, actor, type_, policy_id, id_)),
        list=lambda tx, actor, policy_id, query: cut(spec, map(Shown, list_rules(tx, actor, type_, policy_id)), query),
        create=lambda tx, actor, policy_id, wanted: Shown(create_rule(tx, actor, type_, policy_id, wanted)),
        update=lambda tx, actor, policy_id, id_, wanted, _expected: Shown(
            update_rule(tx, actor, find_rule(tx, actor, type_, policy_id, id_), wanted)
        ),
        delete=lambda tx, actor, policy_id, id_, _expected: delete_rule(
            tx, actor, find_rule(tx, actor, type_, policy_id, id_)
        ),
    )


def _alias(type_: type[Rule]) -> Resource:
    return Resource(
        spec=alias(RULE_SPECS[type_]),
        get=lambda tx, actor, id_: Shown(find_by_alias(tx, actor, type_, id_)),
        update=lambda tx, actor, id_, wanted, _expected: Shown(
            update_rule(tx, actor, find_by_alias(tx, actor, type_, id_), wanted)
        ),
        delete=lambda tx, actor, id_, _expected: delete_rule(tx, actor, find_by_alias(tx, actor, type_, id_)),
    )


CHILDREN: Final[Mapping[str, Child]] = {spec.plural: _child(type_) for type_, spec in RULE_SPECS.items()}
"""The rules below a policy, by the collection's name."""
ALIASES: Final[Mapping[str, Resource]] = {
    path: _alias(type_)
    for type_ in (BandwidthLimitRule, DscpMarkingRule, MinimumBandwidthRule, MinimumPacketRateRule)
    for path in (alias(RULE_SPECS[type_]).path, f"qos/{alias(RULE_SPECS[type_]).plural}")
}
"""The rules that Neutron lets be found without their policy, by path; clients write the path both ways."""
