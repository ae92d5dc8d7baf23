"""Metering labels, and the rules that say which traffic of a router counts under one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final, NamedTuple

from sqlalchemy import or_

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.metering import METERING_LABEL, METERING_LABEL_RULE
from suimon.model.things import MeteringLabel, MeteringLabelRule
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.store.tables import METERING_LABEL_RULES as RULE_TABLE
from suimon.store.tables import METERING_LABELS as TABLE
from suimon.store.tx import Tx

_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
SPEC: Final = METERING_LABEL.governed_by(RULES)
RULE_SPEC: Final = METERING_LABEL_RULE.governed_by(RULES)
METERING_LABELS: Final = Collection(
    spec=SPEC,
    type=MeteringLabel,
    not_found=("MeteringLabelNotFound", "Metering label '{}' does not exist."),
    visible=or_(TABLE.c.project_id == VIEWER, TABLE.c.shared),
)
METERING_LABEL_RULES: Final = Collection(
    spec=RULE_SPEC,
    type=MeteringLabelRule,
    not_found=("MeteringLabelRuleNotFound", "Metering label rule '{}' does not exist."),
    visible=RULE_TABLE.c.project_id == VIEWER,
)


def create_labels(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[MeteringLabel]:
    """All or none. Raises Forbidden."""
    for one in wanted:
        require_act(actor, "create_metering_label", SPEC, one, Target(one["project_id"]))
    labels = [MeteringLabel(id=new_id(), created_at=tx.now, updated_at=tx.now, **one) for one in wanted]
    tx.insert_many(labels)
    return labels


def delete_label(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """With its rules. Raises NotFound, Forbidden, PreconditionFailed."""
    label = METERING_LABELS.find(tx, actor, id_)
    require_act(actor, "delete_metering_label", SPEC, {}, Target(label.project_id))
    require_revision(label, expected_revision)
    for rule in tx.select(MeteringLabelRule, {"metering_label_id": id_}):
        tx.delete(rule)
    tx.delete(label)


def create_label_rules(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[MeteringLabelRule]:
    """All or none. Raises NotFound for the label, Forbidden, BadRequest for prefixes that don't go together, Conflict
    for one that overlaps another of the label.
    """
    rules: list[MeteringLabelRule] = []
    for label_id in {one["metering_label_id"] for one in wanted}:
        METERING_LABELS.find(tx, actor, label_id)
        rules += tx.select(MeteringLabelRule, {"metering_label_id": label_id})
    made: list[MeteringLabelRule] = []
    for one in wanted:
        require_act(actor, "create_metering_label_rule", RULE_SPEC, one, Target(one["project_id"]))
        rule = MeteringLabelRule(id=new_id(), created_at=tx.now, updated_at=tx.now, **one)
        _require_sound(rule)
        _require_apart(rule, [*rules, *made])
        made.append(rule)
    tx.insert_many(made)
    return made


class Counted(NamedTuple):
    """What is metered of a label: the directions that its rules count, and the ids of rules that can't be."""

    label: MeteringLabel
    ways: frozenset[str]
    uncounted: tuple[str, ...]


def counted_by(tx: Tx, actor: Actor, label_id: str) -> Counted:
    """Ports are metered by inside and outside, so a rule is about all of the outside; what a prefix had, or all without
    it, only flow records know. Raises NotFound, and BadRequest when no rule of several can be counted.
    """
    label = METERING_LABELS.find(tx, actor, label_id)
    rules = tx.select(MeteringLabelRule, {"metering_label_id": label_id})
    whole = [rule for rule in rules if not rule.excluded and rule.remote_ip_prefix in _EVERYWHERE]
    if rules and not whole:
        raise BadRequest(
            f"All rules of the label are about a prefix ({rules[0].id}): only those for {_EVERYWHERE[0]} are metered.",
            "Invalid",
        )
    uncounted = tuple(sorted(rule.id for rule in rules if rule not in whole))
    return Counted(label, frozenset(rule.direction for rule in whole), uncounted)


def delete_label_rule(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    rule = METERING_LABEL_RULES.find(tx, actor, id_)
    require_act(actor, "delete_metering_label_rule", RULE_SPEC, {}, Target(rule.project_id))
    require_revision(rule, expected_revision)
    tx.delete(rule)


def _require_sound(rule: MeteringLabelRule) -> None:
    """`remote_ip_prefix` is the old word for one end; a rule names it, or the ends themselves. Raises BadRequest."""
    ends = rule.source_ip_prefix or rule.destination_ip_prefix
    if rule.remote_ip_prefix and ends:
        raise BadRequest(
            "Cannot use 'remote-ip-prefix' in conjunction with 'source-ip-prefix' or 'destination-ip-prefix'.",
            "Invalid",
        )
    if not rule.remote_ip_prefix and not ends:
        raise BadRequest(
            "You must define at least one of the following parameters 'remote_ip_prefix', or 'source_ip_prefix' or "
            "'destination_ip_prefix'.",
            "Invalid",
        )


def _require_apart(rule: MeteringLabelRule, others: Sequence[MeteringLabelRule]) -> None:
    """Else the same bytes would be counted twice. Raises Conflict."""
    if not rule.remote_ip_prefix:
        return
    said = (rule.metering_label_id, rule.direction, rule.excluded)
    mine = ip_network(rule.remote_ip_prefix)
    for other in others:
        if other.remote_ip_prefix and (other.metering_label_id, other.direction, other.excluded) == said:
            theirs = ip_network(other.remote_ip_prefix)
            if mine.version == theirs.version and mine.overlaps(theirs):
                raise Conflict(
                    f"Metering label rule with remote_ip_prefix {rule.remote_ip_prefix} overlaps another.",
                    "MeteringLabelRuleOverlaps",
                )
