"""QoS policies: limits, marks, guarantees and blocks for ports, networks, floating IPs and routers' gateways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import BindParameter, bindparam, literal, select, union_all

from suimon.model.actor import Actor
from suimon.model.attributes import Spec, Target
from suimon.model.errors import Conflict, Forbidden
from suimon.model.specs import qos as specs
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
from suimon.resources import sharing
from suimon.resources.collection import Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.store.errors import Stale, Taken
from suimon.store.tables import FLOATING_IPS, NETWORKS, PORTS, ROUTERS
from suimon.store.tables import QOS_POLICIES as TABLE
from suimon.store.tx import Tx

Rule = (
    BandwidthLimitRule
    | PacketRateLimitRule
    | DscpMarkingRule
    | MinimumBandwidthRule
    | MinimumPacketRateRule
    | PortBlockRule
)
KIND: Final = "qos_policy"
SPEC: Final = specs.QOS_POLICY.governed_by(RULES)
RULE_SPECS: Final[dict[type[Rule], Spec]] = {
    BandwidthLimitRule: specs.BANDWIDTH_LIMIT_RULE.governed_by(RULES),
    PacketRateLimitRule: specs.PACKET_RATE_LIMIT_RULE.governed_by(RULES),
    DscpMarkingRule: specs.DSCP_MARKING_RULE.governed_by(RULES),
    MinimumBandwidthRule: specs.MINIMUM_BANDWIDTH_RULE.governed_by(RULES),
    MinimumPacketRateRule: specs.MINIMUM_PACKET_RATE_RULE.governed_by(RULES),
    PortBlockRule: specs.PORT_BLOCK_RULE.governed_by(RULES),
}
_NOBODY: Final = Actor("", "", frozenset({"admin"}))
_ID: Final[BindParameter[str]] = bindparam("id")
_THESE: Final = select(TABLE.c.id).where(TABLE.c.id.in_(bindparam("ids", expanding=True)))
_USERS: Final = union_all(
    select(literal("port"), PORTS.c.id, PORTS.c.project_id).where(PORTS.c.qos_policy_id == _ID),
    select(literal("network"), NETWORKS.c.id, NETWORKS.c.project_id).where(NETWORKS.c.qos_policy_id == _ID),
    select(literal("fip"), FLOATING_IPS.c.id, FLOATING_IPS.c.project_id).where(FLOATING_IPS.c.qos_policy_id == _ID),
    select(literal("router"), ROUTERS.c.id, ROUTERS.c.project_id).where(ROUTERS.c.gateway_qos_policy_id == _ID),
)
_ONE_USER: Final = _USERS.limit(1)


def kind_of(type_: type[Rule]) -> str:
    """What the API calls a type of rules: `bandwidth_limit`."""
    return RULE_SPECS[type_].singular.removesuffix("_rule")


def rules_of(tx: Tx, policy_ids: Sequence[str]) -> dict[str, list[Rule]]:
    """By policy, in the order in which they were made."""
    found: dict[str, list[Rule]] = defaultdict(list)
    for type_ in RULE_SPECS:
        for rule in tx.select(type_, {"policy_id": policy_ids}, order=("created_at", "id")):
            found[rule.policy_id].append(rule)
    return found


def _shown_rules(tx: Tx, policies: Sequence[Thing]) -> dict[str, dict[str, object]]:
    found = rules_of(tx, [policy.id for policy in policies])
    return {policy.id: {"rules": [_shown(rule) for rule in found[policy.id]]} for policy in policies}


def _shown(rule: Rule) -> dict[str, object]:
    body = RULE_SPECS[type(rule)].render(rule, _NOBODY)
    return {**body, "qos_policy_id": rule.policy_id, "type": kind_of(type(rule))}


QOS_POLICIES: Final = Collection(
    spec=SPEC,
    type=QosPolicy,
    not_found=("QosPolicyNotFound", "QoS policy {} could not be found."),
    visible=sharing.visible(KIND, TABLE),
    extras=(sharing.shared_extra(KIND, TABLE),),
    special={"shared": lambda texts: sharing.by_shared(KIND, TABLE, texts)},
    attach=_shown_rules,
    strict_marker=False,
)


def require_policy(tx: Tx, actor: Actor, id_: str | None, replaces: str | None = None) -> None:
    """Something is to have this policy instead of that. Raises NotFound when the actor can't see the new one.

    An operator's policy that isn't shared with the tenant is not for him to take off: Raises Forbidden.
    """
    ids = {one for one in (id_, replaces) if one is not None}
    if id_ == replaces or not ids:
        return
    statement = _THESE if actor.admin else _THESE.where(QOS_POLICIES.visible)
    found = {one for (one,) in tx.rows(statement, {"ids": list(ids), "viewer": actor.viewer})}
    if replaces is not None and replaces not in found:
        raise Forbidden(
            f"Failed to remove provided policy {replaces} because you are not authorized.",
            "PolicyRemoveAuthorizationError",
        )
    if id_ is not None and id_ not in found:
        raise QOS_POLICIES.missing(id_)


def default_policy(tx: Tx, project_id: str) -> str | None:
    """The policy that a project's new networks have when nobody names another."""
    found = tx.select(QosPolicy, {"project_id": project_id, "is_default": True}, limit=1)
    return found[0].id if found else None


def projects_using(tx: Tx, policy_id: str) -> set[str]:
    """The projects whose ports, networks, floating IPs or routers have the policy."""
    return {project_id for _, _, project_id in tx.rows(_USERS, {"id": policy_id})}


def create_policy(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> QosPolicy:
    """Raises Forbidden, Conflict for a second default policy of a project."""
    return create_policies(tx, actor, [wanted])[0]


def create_policies(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[QosPolicy]:
    """All or none."""
    policies = []
    for one in wanted:
        require_act(actor, "create_policy", SPEC, one, Target(one["project_id"]))
        values = {name: value for name, value in one.items() if name != "shared"}
        policies.append(QosPolicy(id=new_id(), created_at=tx.now, updated_at=tx.now, **values))
    _require_one_default(tx, policies)
    try:
        tx.insert_many(policies)
    except Taken as taken:
        # Another writer was faster with a default policy.
        raise Stale from taken
    for policy, one in zip(policies, wanted, strict=True):
        if one["shared"]:
            sharing.share_with_all(tx, KIND, policy)
    return policies


def update_policy(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> QosPolicy:
    """Raises NotFound, Forbidden, PreconditionFailed, and Conflict for a second default policy of a project, and when
    others use what they are to see no longer.
    """
    policy = QOS_POLICIES.find(tx, actor, id_)
    require_act(actor, "update_policy", SPEC, wanted, Target(policy.project_id))
    require_revision(policy, expected_revision)
    if not wanted:
        return policy
    values = {name: value for name, value in wanted.items() if name != "shared"}
    _require_one_default(tx, [msgspec.structs.replace(policy, **values)])
    if wanted.get("shared"):
        sharing.share_with_all(tx, KIND, policy)
    elif "shared" in wanted:
        _unshare(tx, policy)
    return tx.change(policy, **values)


def delete_policy(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """With its rules. Raises NotFound, Forbidden, PreconditionFailed, Conflict while something has it."""
    policy = QOS_POLICIES.find(tx, actor, id_)
    require_act(actor, "delete_policy", SPEC, {}, Target(policy.project_id))
    require_revision(policy, expected_revision)
    for words, user, _ in tx.rows(_ONE_USER, {"id": id_}):
        raise Conflict(f"QoS Policy {id_} is used by {words} {user}.", "QosPolicyInUse")
    rules = rules_of(tx, [id_])[id_]
    for type_ in RULE_SPECS:
        tx.delete_many([rule for rule in rules if type(rule) is type_])
    sharing.forget(tx, id_)
    tx.delete(policy)


def _unshare(tx: Tx, policy: QosPolicy) -> None:
    """As in Neutron, the policy's own project counts as well."""
    targets = sharing.shared_with(tx, policy.id)
    if sharing.EVERYBODY in targets:
        if projects_using(tx, policy.id) - targets:
            raise Conflict(
                f"RBAC policy on object {policy.id} cannot be removed because other objects depend on it.\n"
                f"Details: project_id={sharing.EVERYBODY}",
                "RbacPolicyInUse",
            )
        sharing.unshare(tx, policy.id, sharing.AS_SHARED, sharing.EVERYBODY)


def _require_one_default(tx: Tx, policies: Sequence[QosPolicy]) -> None:
    wanted = {policy.id: policy.project_id for policy in policies if policy.is_default}
    if not wanted:
        return
    there = tx.select(QosPolicy, {"project_id": set(wanted.values()), "is_default": True})
    projects = [other.project_id for other in there if other.id not in wanted] + list(wanted.values())
    for project_id in projects:
        if projects.count(project_id) > 1:
            raise Conflict(f"A default QoS policy exists for project {project_id}.", "QoSPolicyDefaultAlreadyExists")
