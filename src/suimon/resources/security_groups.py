"""Security groups: what each project starts with, and who is in a group."""

from __future__ import annotations

from collections.abc import Collection as Several
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, select

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import Conflict
from suimon.model.query import Query
from suimon.model.specs.security_groups import DEFAULT, PARENT, SECURITY_GROUP, SECURITY_GROUP_RULE
from suimon.model.things import DefaultGroupRule, Port, SecurityGroup, SecurityGroupRule, Thing
from suimon.resources import sharing
from suimon.resources.collection import Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.store.errors import Stale, Taken
from suimon.store.tables import DEFAULT_GROUP_RULES, PORT_SECURITY_GROUPS
from suimon.store.tables import SECURITY_GROUPS as TABLE
from suimon.store.tx import Tx

KIND: Final = "security_group"
SPEC: Final = SECURITY_GROUP.governed_by(RULES)
RULE_SPEC: Final = SECURITY_GROUP_RULE.governed_by(RULES)
_LEAVE: Final = PORT_SECURITY_GROUPS.delete().where(PORT_SECURITY_GROUPS.c.port_id == bindparam("port"))
_MEMBER: Final = PORT_SECURITY_GROUPS.select().where(PORT_SECURITY_GROUPS.c.group_id == bindparam("group")).limit(1)
_FORGET: Final = delete(DEFAULT_GROUP_RULES).where(DEFAULT_GROUP_RULES.c.remote_group_id == bindparam("group"))
_THESE: Final = select(TABLE.c.id).where(TABLE.c.id.in_(bindparam("ids", expanding=True)))
_ANYBODY: Final = Actor("", "", frozenset({"admin"}))


def _rules_of(tx: Tx, groups: Sequence[Thing]) -> dict[str, dict[str, object]]:
    shown: dict[str, list[dict[str, object]]] = {group.id: [] for group in groups}
    defaults = {group.id: {"belongs_to_default_sg": getattr(group, "is_default", False)} for group in groups}
    for rule in tx.select(SecurityGroupRule, {"security_group_id": list(shown)}, order=("created_at", "id")):
        group_id = rule.security_group_id
        shown[group_id].append({**RULE_SPEC.render(rule, _ANYBODY), **defaults[group_id]})
    return {id_: {"security_group_rules": rules} for id_, rules in shown.items()}


SECURITY_GROUPS: Final = Collection(
    spec=SPEC,
    type=SecurityGroup,
    not_found=("SecurityGroupNotFound", "Security group {} does not exist"),
    visible=sharing.visible(KIND, TABLE),
    extras=(sharing.shared_extra(KIND, TABLE),),
    special={"shared": lambda texts: sharing.by_shared(KIND, TABLE, texts)},
    attach=_rules_of,
)


def create_security_group(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> SecurityGroup:
    """Raises Forbidden."""
    return create_security_groups(tx, actor, [wanted])[0]


def create_security_groups(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[SecurityGroup]:
    """All or none, each with the default rules; a project's first comes with its default group."""
    for one in wanted:
        require_act(actor, "create_security_group", SPEC, one, Target(one["project_id"]))
    tx.limit(SecurityGroupRule)
    groups = [SecurityGroup(id=new_id(), **_fresh(tx), **one) for one in wanted]
    _make(tx, [*_missing_defaults(tx, {group.project_id for group in groups}), *groups])
    return groups


def update_security_group(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> SecurityGroup:
    """Raises NotFound, Forbidden, PreconditionFailed, and Conflict for the default group's name, and for making a
    group stateless, or stateful, that ports are in.
    """
    group = SECURITY_GROUPS.find(tx, actor, id_)
    require_act(actor, "update_security_group", SPEC, wanted, Target(group.project_id))
    require_revision(group, expected_revision)
    if wanted.get("stateful", group.stateful) != group.stateful:
        _require_unused(tx, id_)
    if group.is_default and "name" in wanted:
        raise Conflict("Updating default security group not allowed.", "SecurityGroupCannotUpdateDefault")
    return tx.change(group, **wanted) if wanted else group


def delete_security_group(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """With its rules and those that name it. Raises NotFound, Forbidden, PreconditionFailed, Conflict in use."""
    group = SECURITY_GROUPS.find(tx, actor, id_)
    require_act(actor, "delete_security_group", SPEC, {}, Target(group.project_id))
    require_revision(group, expected_revision)
    _require_unused(tx, id_)
    if group.is_default and not actor.admin:
        raise Conflict("Insufficient rights for removing default security group.", "SecurityGroupCannotRemoveDefault")
    own = tx.select(SecurityGroupRule, {"security_group_id": id_})
    naming = tx.select(SecurityGroupRule, {"remote_group_id": id_})
    tx.delete_many(list({rule.id: rule for rule in (*own, *naming)}.values()))
    tx.run(_FORGET, {"group": id_})
    sharing.forget(tx, id_)
    tx.delete(group)


def default_group(tx: Tx, project_id: str) -> SecurityGroup:
    """The project's default group, made when first asked for."""
    found = tx.select(SecurityGroup, {"project_id": project_id, "is_default": True})
    return found[0] if found else _make(tx, [_default(tx, project_id)])[0]


def lacks_default(tx: Tx, actor: Actor, query: Query) -> bool:
    """Whether the project whose groups are asked for has no default group yet."""
    project_id = _asked_project(actor, query)
    return bool(project_id) and not tx.select(SecurityGroup, {"project_id": project_id, "is_default": True})


def ensure_default(tx: Tx, actor: Actor, query: Query) -> None:
    """That project has a default group afterwards."""
    if project_id := _asked_project(actor, query):
        default_group(tx, project_id)


def groups_for(tx: Tx, actor: Actor, ids: Several[str]) -> None:
    """Raises NotFound when the actor can't see one of them."""
    if not ids:
        return
    statement = _THESE if actor.admin else _THESE.where(SECURITY_GROUPS.visible)
    found = {id_ for (id_,) in tx.rows(statement, {"ids": list(set(ids)), "viewer": actor.viewer})}
    if missing := [id_ for id_ in dict.fromkeys(ids) if id_ not in found]:
        raise SECURITY_GROUPS.missing(", ".join(missing))


def enter(tx: Tx, ports: Sequence[Port]) -> None:
    """New members of the groups that their ports name. Raises Conflict when a port's are not all of one sort."""
    _require_one_sort(tx, [port.security_groups for port in ports if len(port.security_groups) > 1])
    tx.insert_rows(
        PORT_SECURITY_GROUPS,
        [{"port_id": port.id, "group_id": group} for port in ports for group in port.security_groups],
    )


def leave(tx: Tx, port: Port) -> None:
    """The port is a member of nothing."""
    tx.run(_LEAVE, {"port": port.id})


def _require_one_sort(tx: Tx, together: Sequence[Sequence[str]]) -> None:
    if not together:
        return
    groups = tx.select(SecurityGroup, {"id": {id_ for ids in together for id_ in ids}})
    stateful = {group.id: group.stateful for group in groups}
    if any(len({stateful[id_] for id_ in ids}) > 1 for ids in together):
        raise Conflict(
            "Error Cannot apply both stateful and stateless security groups on the same port at the same time while "
            "attempting the operation.",
            "SecurityGroupConflict",
        )


def _require_unused(tx: Tx, group_id: str) -> None:
    if tx.rows(_MEMBER, {"group": group_id}):
        raise Conflict(f"Security Group {group_id} in use.", "SecurityGroupInUse")


def _asked_project(actor: Actor, query: Query) -> str:
    """An operator may ask for another project's groups, and then those are to be there."""
    asked = query.filters.get("project_id") or query.filters.get("tenant_id") or [actor.project_id]
    return asked[0][:255] if actor.admin else actor.project_id


def _missing_defaults(tx: Tx, project_ids: Iterable[str]) -> list[SecurityGroup]:
    there = tx.select(SecurityGroup, {"project_id": set(project_ids), "is_default": True})
    return [_default(tx, project_id) for project_id in sorted({*project_ids} - {one.project_id for one in there})]


def _default(tx: Tx, project_id: str) -> SecurityGroup:
    told: dict[str, Any] = {"name": DEFAULT, "description": "Default security group", **_fresh(tx)}
    return SecurityGroup(id=new_id(), project_id=project_id, is_default=True, **told)


def _fresh(tx: Tx) -> dict[str, Any]:
    """Its rules count as a first change of it."""
    return {"created_at": tx.now, "updated_at": tx.now, "revision_number": 1}


def _make(tx: Tx, groups: list[SecurityGroup]) -> list[SecurityGroup]:
    templates = tx.select(DefaultGroupRule, order=("created_at", "id"))
    try:
        tx.insert_many(groups)
    except Taken as taken:
        # Another writer was faster with a default group.
        raise Stale from taken
    tx.insert_many([rule for group in groups for rule in _first_rules(tx, group, templates)])
    return groups


def _first_rules(tx: Tx, group: SecurityGroup, templates: Sequence[DefaultGroupRule]) -> Iterable[SecurityGroupRule]:
    for template in templates:
        if template.used_in_default_sg if group.is_default else template.used_in_non_default_sg:
            said = {name: getattr(template, name) for name in _SAID}
            if template.remote_group_id == PARENT:
                said["remote_group_id"] = group.id
            yield SecurityGroupRule(
                id=new_id(),
                project_id=group.project_id,
                created_at=tx.now,
                updated_at=tx.now,
                security_group_id=group.id,
                **said,
            )


_SAID: Final = tuple(
    field.name
    for field in msgspec.structs.fields(SecurityGroupRule)
    if field.name not in {*Thing.__struct_fields__, "security_group_id"}
)
"""The fields that a rule has in common with those that it may come from."""
