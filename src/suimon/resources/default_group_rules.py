"""Default rules: what every new security group starts with, as the operator has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import true

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import Conflict
from suimon.model.specs.security_groups import DEFAULT_SECURITY_GROUP_RULE
from suimon.model.things import DefaultGroupRule
from suimon.resources.collection import Collection
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.resources.security_group_rules import require_remotes, said, sound
from suimon.store.tx import Tx

SPEC: Final = DEFAULT_SECURITY_GROUP_RULE.governed_by(RULES)
DEFAULT_GROUP_RULES: Final = Collection(
    spec=SPEC,
    type=DefaultGroupRule,
    not_found=("DefaultSecurityGroupRuleNotFound", "Default Security Group rule {} does not exist"),
    visible=true(),
    after_write=lambda tx, rules: [{} for _ in rules],
)
MAX_RULES: Final = 100
"""Each is a row of every new group."""


def create_default_rules(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[DefaultGroupRule]:
    """All or none. Raises Forbidden, BadRequest for what no packet could match, NotFound for a remote group that isn't
    there, and Conflict for a rule that there is for the same groups, and for too many.
    """
    for one in wanted:
        require_act(actor, "create_default_security_group_rule", SPEC, one, Target(""))
    rules = [
        sound(DefaultGroupRule(id=new_id(), created_at=tx.now, updated_at=tx.now, **{**one, "project_id": ""}))
        for one in wanted
    ]
    require_remotes(tx, actor, rules)
    known = tx.select(DefaultGroupRule)
    for rule in rules:
        for other in known:
            if said(other) == said(rule) and _share_groups(rule, other):
                raise Conflict(
                    f"Default Security group rule already exists. Rule id is {other.id}.",
                    "DefaultSecurityGroupRuleExists",
                )
        known.append(rule)
    if len(known) > MAX_RULES:
        raise Conflict(f"There can be {MAX_RULES} default security group rules at most.", "OverQuota")
    tx.insert_many(rules)
    return rules


def delete_default_rule(tx: Tx, actor: Actor, id_: str, _expected_revision: int | None = None) -> None:
    """Groups that there are keep their rules. Raises NotFound, Forbidden."""
    rule = DEFAULT_GROUP_RULES.find(tx, actor, id_)
    require_act(actor, "delete_default_security_group_rule", SPEC, {}, Target(""))
    tx.delete(rule)


def _share_groups(one: DefaultGroupRule, other: DefaultGroupRule) -> bool:
    return (one.used_in_default_sg and other.used_in_default_sg) or (
        one.used_in_non_default_sg and other.used_in_non_default_sg
    )
