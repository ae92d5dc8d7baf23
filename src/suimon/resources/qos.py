"""QoS policies: limits and blocks that an operator puts on ports and networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import or_

from suimon.model.actor import Actor
from suimon.model.attributes import Spec, Target
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.specs.qos import BANDWIDTH_LIMIT_RULE, PORT_BLOCK_RULE, QOS_POLICY
from suimon.model.things import BandwidthLimitRule, Network, Port, PortBlockRule, QosPolicy, Thing
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require, require_act
from suimon.store.tables import QOS_POLICIES as TABLE
from suimon.store.tx import Tx

Rule = BandwidthLimitRule | PortBlockRule
SPEC: Final = QOS_POLICY.governed_by(RULES)
RULE_SPECS: Final[dict[type[Rule], Spec]] = {
    BandwidthLimitRule: BANDWIDTH_LIMIT_RULE.governed_by(RULES),
    PortBlockRule: PORT_BLOCK_RULE.governed_by(RULES),
}
MAX_RULES: Final = 200
"""Rules of one policy: each block costs every port that has the policy a few flows."""
_NOBODY: Final = Actor("", "", frozenset({"admin"}))


def _rules_of(tx: Tx, policies: Sequence[Thing]) -> dict[str, dict[str, object]]:
    shown: dict[str, list[dict[str, object]]] = {policy.id: [] for policy in policies}
    for type_, spec in RULE_SPECS.items():
        for rule in tx.select(type_, {"policy_id": list(shown)}, order=("created_at", "id")):
            kind = spec.singular.removesuffix("_rule")
            shown[rule.policy_id].append({**spec.render(rule, _NOBODY), "qos_policy_id": rule.policy_id, "type": kind})
    return {id_: {"rules": rules} for id_, rules in shown.items()}


QOS_POLICIES: Final = Collection(
    spec=SPEC,
    type=QosPolicy,
    not_found=("QosPolicyNotFound", "QoS policy {} could not be found."),
    visible=or_(TABLE.c.project_id == VIEWER, TABLE.c.shared),
    attach=_rules_of,
)


def require_policy(tx: Tx, actor: Actor, id_: str | None, replaces: str | None = None) -> None:
    """A port or network is to have this policy. Raises NotFound when the actor can't see it.

    An operator's policy is not for the tenant that it limits to take off: Raises Forbidden.
    """
    if id_ == replaces:
        return
    if replaces is not None:
        old = tx.get(QosPolicy, replaces)
        if old is not None:
            require(actor, "detach_qos_policy", Target(old.project_id))
    if id_ is not None:
        QOS_POLICIES.find(tx, actor, id_)


def create_policy(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> QosPolicy:
    """Raises Forbidden, Conflict for a second default policy of a project."""
    require_act(actor, "create_policy", SPEC, wanted, Target(wanted["project_id"]))
    policy = QosPolicy(id=new_id(), created_at=tx.now, updated_at=tx.now, **wanted)
    _require_one_default(tx, policy)
    tx.insert(policy)
    return policy


def create_policies(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[QosPolicy]:
    """All or none."""
    return [create_policy(tx, actor, one) for one in wanted]


def update_policy(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> QosPolicy:
    """Raises NotFound, Forbidden, PreconditionFailed, Conflict."""
    policy = QOS_POLICIES.find(tx, actor, id_)
    require_act(actor, "update_policy", SPEC, wanted, Target(policy.project_id))
    require_revision(policy, expected_revision)
    if not wanted:
        return policy
    _require_one_default(tx, msgspec.structs.replace(policy, **wanted))
    return tx.change(policy, **wanted)


def delete_policy(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """With its rules. Raises NotFound, Forbidden, PreconditionFailed, Conflict while a port or network has it."""
    policy = QOS_POLICIES.find(tx, actor, id_)
    require_act(actor, "delete_policy", SPEC, {}, Target(policy.project_id))
    require_revision(policy, expected_revision)
    for words, type_ in (("port", Port), ("network", Network)):
        users: Sequence[Thing] = tx.select(type_, {"qos_policy_id": id_}, limit=1)
        if users:
            raise Conflict(f"QoS Policy {id_} is used by {words} {users[0].id}.", "QosPolicyInUse")
    for rule in _all_rules(tx, id_):
        tx.delete(rule)
    tx.delete(policy)


def create_rule(tx: Tx, actor: Actor, policy_id: str, type_: type[Rule], wanted: Mapping[str, Any]) -> Rule:
    """Raises NotFound, Forbidden, BadRequest, Conflict for a second limit of one direction and for too many."""
    policy = QOS_POLICIES.find(tx, actor, policy_id)
    require(actor, f"create_policy_{RULE_SPECS[type_].singular}", Target(policy.project_id))
    rules = _all_rules(tx, policy_id)
    if len(rules) >= MAX_RULES:
        raise Conflict(
            f"QoS Policy {policy_id} has {MAX_RULES} rules, which is the most that it can have.", "OverQuota"
        )
    rule = type_(id=new_id(), created_at=tx.now, updated_at=tx.now, policy_id=policy_id, **_without_project(wanted))
    rule = _sound(rule, rules)
    tx.insert(rule)
    tx.change(policy)
    return rule


def update_rule(tx: Tx, actor: Actor, policy_id: str, rule: Rule, wanted: Mapping[str, Any]) -> Rule:
    """Raises NotFound, Forbidden, BadRequest, Conflict."""
    policy = QOS_POLICIES.find(tx, actor, policy_id)
    require(actor, f"update_policy_{RULE_SPECS[type(rule)].singular}", Target(policy.project_id))
    if not wanted:
        return rule
    after = _sound(
        msgspec.structs.replace(rule, **wanted), [one for one in _all_rules(tx, policy_id) if one.id != rule.id]
    )
    tx.update(rule, msgspec.structs.replace(after, revision_number=rule.revision_number + 1, updated_at=tx.now))
    tx.change(policy)
    return after


def delete_rule(tx: Tx, actor: Actor, policy_id: str, rule: Rule) -> None:
    """Raises NotFound, Forbidden."""
    policy = QOS_POLICIES.find(tx, actor, policy_id)
    require(actor, f"delete_policy_{RULE_SPECS[type(rule)].singular}", Target(policy.project_id))
    tx.delete(rule)
    tx.change(policy)


def find_rule(tx: Tx, actor: Actor, policy_id: str, type_: type[Rule], id_: str) -> Rule:
    """Raises NotFound when the policy isn't visible or has no such rule of this type."""
    QOS_POLICIES.find(tx, actor, policy_id)
    found = tx.select(type_, {"policy_id": policy_id, "id": id_})
    if not found:
        raise NotFound(f"QoS rule {id_} for policy {policy_id} could not be found.", "QosRuleNotFound")
    return found[0]


def list_rules(tx: Tx, actor: Actor, policy_id: str, type_: type[Rule]) -> list[Rule]:
    """Raises NotFound when the policy isn't visible."""
    QOS_POLICIES.find(tx, actor, policy_id)
    return list(tx.select(type_, {"policy_id": policy_id}, order=("created_at", "id")))


def _all_rules(tx: Tx, policy_id: str) -> list[Rule]:
    rules: list[Rule] = []
    for type_ in RULE_SPECS:
        rules += tx.select(type_, {"policy_id": policy_id})
    return rules


def _without_project(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A rule's project is its policy's: what a rule says of it is nothing."""
    return {**wanted, "project_id": ""}


def _sound(rule: Rule, others: Sequence[Rule]) -> Rule:
    """The rule with what follows from it. Raises BadRequest, Conflict."""
    if isinstance(rule, PortBlockRule):
        if rule.port_range_max is None:
            rule = msgspec.structs.replace(rule, port_range_max=rule.port_range_min)
        if rule.port_range_min > rule.port_range_max:
            raise BadRequest("port_range_min must be <= port_range_max", "InvalidInput")
        if ":" in (rule.remote_ip_prefix or ""):
            raise BadRequest("Port blocks are for IPv4: remote_ip_prefix must be an IPv4 network.", "InvalidInput")
    for other in others:
        same_limit = isinstance(rule, BandwidthLimitRule) and other.direction == rule.direction
        if type(other) is type(rule) and (same_limit or _said(other) == _said(rule)):
            kind = RULE_SPECS[type(rule)].singular.removesuffix("_rule")
            raise Conflict(
                f"Rule {kind} conflicts with rule {other.id} which already exists in QoS Policy {rule.policy_id}.",
                "QoSRulesConflict",
            )
    return rule


def _said(rule: Rule) -> tuple[object, ...]:
    names = set(rule.__struct_fields__) - set(Thing.__struct_fields__)
    return tuple(getattr(rule, name) for name in sorted(names))


def _require_one_default(tx: Tx, policy: QosPolicy) -> None:
    if not policy.is_default:
        return
    for other in tx.select(QosPolicy, {"project_id": policy.project_id, "is_default": True}):
        if other.id != policy.id:
            raise Conflict(
                f"A default QoS policy exists for project {policy.project_id}: {other.id}.",
                "QoSPolicyDefaultAlreadyExists",
            )
