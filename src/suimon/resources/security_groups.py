"""Security groups: what each project starts with, and who is in a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import bindparam

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import Conflict
from suimon.model.specs.security_groups import SECURITY_GROUP, SECURITY_GROUP_RULE
from suimon.model.things import Port, SecurityGroup, SecurityGroupRule, Thing
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.store.errors import Stale, Taken
from suimon.store.tables import PORT_SECURITY_GROUPS
from suimon.store.tables import SECURITY_GROUPS as TABLE
from suimon.store.tx import Tx

DEFAULT: Final = "default"
SPEC: Final = SECURITY_GROUP.governed_by(RULES)
RULE_SPEC: Final = SECURITY_GROUP_RULE.governed_by(RULES)
_LEAVE: Final = PORT_SECURITY_GROUPS.delete().where(PORT_SECURITY_GROUPS.c.port_id == bindparam("port"))
_MEMBER: Final = PORT_SECURITY_GROUPS.select().where(PORT_SECURITY_GROUPS.c.group_id == bindparam("group")).limit(1)
_ANYBODY: Final = Actor("", "", frozenset({"admin"}))


def _rules_of(tx: Tx, groups: Sequence[Thing]) -> dict[str, dict[str, object]]:
    shown: dict[str, list[dict[str, object]]] = {group.id: [] for group in groups}
    for rule in tx.select(SecurityGroupRule, {"security_group_id": list(shown)}, order=("created_at", "id")):
        shown[rule.security_group_id].append(RULE_SPEC.render(rule, _ANYBODY))
    return {id_: {"security_group_rules": rules} for id_, rules in shown.items()}


SECURITY_GROUPS: Final = Collection(
    spec=SPEC,
    type=SecurityGroup,
    not_found=("SecurityGroupNotFound", "Security group {} does not exist"),
    visible=TABLE.c.project_id == VIEWER,
    attach=_rules_of,
)


def create_security_group(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> SecurityGroup:
    """With rules that let everything out. Raises Forbidden, Conflict for a second default group."""
    require_act(actor, "create_security_group", SPEC, wanted, Target(wanted["project_id"]))
    if wanted["name"] == DEFAULT:
        raise _default_exists()
    default_group(tx, wanted["project_id"])
    group = SecurityGroup(id=new_id(), created_at=tx.now, updated_at=tx.now, **wanted)
    _insert(tx, group)
    return group


def create_security_groups(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[SecurityGroup]:
    """All or none."""
    return [create_security_group(tx, actor, one) for one in wanted]


def update_security_group(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> SecurityGroup:
    """Raises NotFound, Forbidden, PreconditionFailed, and Conflict for the default group's name or a name like it."""
    group = SECURITY_GROUPS.find(tx, actor, id_)
    require_act(actor, "update_security_group", SPEC, wanted, Target(group.project_id))
    require_revision(group, expected_revision)
    if group.is_default and (not actor.admin or wanted.get("name", DEFAULT) != DEFAULT):
        raise Conflict("Updating default security group not allowed.", "SecurityGroupCannotUpdateDefault")
    if not group.is_default and wanted.get("name") == DEFAULT:
        raise _default_exists()
    return tx.change(group, **wanted) if wanted else group


def delete_security_group(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """With its rules and those that name it. Raises NotFound, Forbidden, PreconditionFailed, Conflict in use."""
    group = SECURITY_GROUPS.find(tx, actor, id_)
    require_act(actor, "delete_security_group", SPEC, {}, Target(group.project_id))
    require_revision(group, expected_revision)
    if group.is_default and not actor.admin:
        raise Conflict("Insufficient rights for removing default security group.", "SecurityGroupCannotRemoveDefault")
    if _in_use(tx, id_):
        raise Conflict(f"Security Group {id_} in use.", "SecurityGroupInUse")
    own = tx.select(SecurityGroupRule, {"security_group_id": id_})
    naming = tx.select(SecurityGroupRule, {"remote_group_id": id_})
    for rule in {rule.id: rule for rule in (*own, *naming)}.values():
        tx.delete(rule)
    tx.delete(group)


def default_group(tx: Tx, project_id: str) -> SecurityGroup:
    """The project's default group, made when first asked for: its members may talk to each other and the world."""
    found = tx.select(SecurityGroup, {"project_id": project_id, "is_default": True})
    if found:
        return found[0]
    group = SecurityGroup(
        id=new_id(),
        project_id=project_id,
        name=DEFAULT,
        description="Default security group",
        is_default=True,
        created_at=tx.now,
        updated_at=tx.now,
    )
    try:
        _insert(tx, group)
    except Taken as taken:
        raise Stale from taken
    return group


def lacks_default(tx: Tx, actor: Actor) -> bool:
    """Whether the actor's project has no default group yet."""
    return bool(actor.project_id) and not tx.select(SecurityGroup, {"project_id": actor.project_id, "is_default": True})


def ensure_default(tx: Tx, actor: Actor) -> None:
    """The actor's project has a default group afterwards."""
    if actor.project_id:
        default_group(tx, actor.project_id)


def groups_for(tx: Tx, actor: Actor, ids: Sequence[str]) -> None:
    """Raises NotFound when the actor can't see one of them."""
    if not ids:
        return
    found = {group.id: group for group in tx.select(SecurityGroup, {"id": set(ids)})}
    for id_ in ids:
        if id_ not in found or not (actor.admin or found[id_].project_id == actor.project_id):
            raise SECURITY_GROUPS.missing(id_)


def enter(tx: Tx, ports: Sequence[Port]) -> None:
    """New members of the groups that their ports name."""
    tx.insert_rows(
        PORT_SECURITY_GROUPS,
        [{"port_id": port.id, "group_id": group} for port in ports for group in port.security_groups],
    )


def leave(tx: Tx, port: Port) -> None:
    """The port is a member of nothing."""
    tx.run(_LEAVE, {"port": port.id})


def _insert(tx: Tx, group: SecurityGroup) -> None:
    tx.insert(group)
    rules = [_rule(tx, group, "egress", ethertype, None) for ethertype in ("IPv6", "IPv4")]
    if group.is_default:
        rules += [_rule(tx, group, "ingress", ethertype, group.id) for ethertype in ("IPv6", "IPv4")]
    tx.insert_many(rules)


def _rule(tx: Tx, group: SecurityGroup, direction: str, ethertype: str, remote: str | None) -> SecurityGroupRule:
    return SecurityGroupRule(
        id=new_id(),
        project_id=group.project_id,
        created_at=tx.now,
        updated_at=tx.now,
        security_group_id=group.id,
        direction=direction,
        ethertype=ethertype,
        remote_group_id=remote,
    )


def _in_use(tx: Tx, group_id: str) -> bool:
    return bool(tx.rows(_MEMBER, {"group": group_id}))


def _default_exists() -> Conflict:
    return Conflict("Default security group already exists.", "SecurityGroupDefaultAlreadyExists")
