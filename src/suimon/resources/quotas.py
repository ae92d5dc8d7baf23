"""Quotas: how much a project may have, and what it has.

What it has is counted by the store with each row that comes and goes. A limit holds for what somebody asks for
(`Tx.limit`); what Suimon makes by itself (a default group, a router's ports) is counted and never refused, as in
Neutron. Limits are above what is used when they are set, unless the operator says `force`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import bindparam, select, text, update

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.checks import having, schema_of, takes
from suimon.model.errors import BadRequest, Forbidden, NotFound
from suimon.model.specs.quotas import DEFAULTS, QUOTA, UNLIMITED
from suimon.model.things import Quota
from suimon.resources.persona import RULES, require
from suimon.resources.resource import Asked, Resource, View
from suimon.store.tables import QUOTAS as TABLE
from suimon.store.tx import Tx

SPEC: Final = QUOTA.governed_by(RULES)
MAX_PROJECT_ID: Final = 255
_OWN_LIMITS: Final = (
    select(TABLE.c.project_id, TABLE.c.resource, TABLE.c.most)
    .where(TABLE.c.most.is_not(None))
    .order_by(TABLE.c.project_id)
)
_RESET: Final = (
    update(TABLE).where(TABLE.c.project_id == bindparam("project"), TABLE.c.most.is_not(None)).values(most=None)
)


def limit_of(tx: Tx, project_id: str, resource: str) -> int:
    """How much the project may have; -1 is without end."""
    for own in tx.select(Quota, {"project_id": project_id, "resource": resource}):
        if own.most is not None:
            return own.most
    return _defaults(tx)[resource]


def _list(tx: Tx, actor: Actor, _asked: Asked) -> object:
    require(actor, "get_quota", Target(""))
    limits: dict[str, dict[str, object]] = {}
    for project_id, resource, most in tx.rows(_OWN_LIMITS, {}):
        own = {**_defaults(tx), "project_id": project_id, "tenant_id": project_id}
        limits.setdefault(project_id, own)[resource] = most
    return {"quotas": list(limits.values())}


def _show(tx: Tx, actor: Actor, asked: Asked) -> object:
    return {"quota": _limits(tx, _readable(actor, asked))}


def _show_default(tx: Tx, actor: Actor, asked: Asked) -> object:
    _readable(actor, asked)
    return {"quota": _defaults(tx)}


def _show_details(tx: Tx, actor: Actor, asked: Asked) -> object:
    (project_id,) = asked.ids
    if project_id != actor.project_id and not actor.admin:
        raise Forbidden(
            "User does not have admin privileges: Only admin is authorized to access quotas for another project.",
            "AdminRequired",
        )
    used = {one.resource: one.used for one in tx.select(Quota, {"project_id": project_id})}
    limits = _limits(tx, project_id)
    return {"quota": {name: {"limit": most, "used": used.get(name, 0), "reserved": 0} for name, most in limits.items()}}


def _show_own_project(key: str) -> Callable[[Tx, Actor, Asked], object]:
    return lambda _tx, actor, _asked: {key: {f"{key}_id": actor.project_id}}


@takes(having({"quota": having({it.name: schema_of(it.check) for it in QUOTA.attributes if it.put})}, "quota"))
def _update(tx: Tx, actor: Actor, asked: Asked) -> object:
    (project_id,) = asked.ids
    require(actor, "update_quota", Target(project_id))
    if len(project_id) > MAX_PROJECT_ID:
        raise BadRequest(f"'{project_id[:300]}' exceeds maximum length of {MAX_PROJECT_ID}.")
    items, _ = SPEC.unwrap(asked.body)
    given = dict(items[0])
    force = given.pop("force", None) is True
    given.pop("check_limit", None)
    wanted = SPEC.for_update(given, actor)
    if not force:
        _require_above_used(tx, project_id, wanted)
    if wanted:
        _set(tx, project_id, wanted)
    return {"quota": _limits(tx, project_id)}


def _delete(tx: Tx, actor: Actor, asked: Asked) -> None:
    (project_id,) = asked.ids
    require(actor, "delete_quota", Target(project_id))
    if not tx.run(_RESET, {"project": project_id}):
        raise NotFound(f"Quota for project {project_id} could not be found.", "TenantQuotaNotFound")


QUOTAS: Final = Resource(
    spec=SPEC,
    views={
        "GET ": View(_list),
        "GET project": View(_show_own_project("project")),
        "GET tenant": View(_show_own_project("tenant")),
        "GET {}": View(_show),
        "GET {}/default": View(_show_default),
        "GET {}/details": View(_show_details),
        "PUT {}": View(_update),
        "DELETE {}": View(_delete, 204),
    },
)


def _readable(actor: Actor, asked: Asked) -> str:
    """The project's id. Everybody may read his own project's quota."""
    (project_id,) = asked.ids
    if project_id != actor.project_id:
        require(actor, "get_quota", Target(project_id))
    return project_id


def _defaults(tx: Tx) -> dict[str, int]:
    return {**DEFAULTS, **tx.settings.quotas}


def _limits(tx: Tx, project_id: str) -> dict[str, int]:
    own = {one.resource: one.most for one in tx.select(Quota, {"project_id": project_id}) if one.most is not None}
    return {**_defaults(tx), **own}


def _require_above_used(tx: Tx, project_id: str, wanted: Mapping[str, int]) -> None:
    used = {one.resource: one.used for one in tx.select(Quota, {"project_id": project_id})}
    for name, most in wanted.items():
        if UNLIMITED < most < used.get(name, 0):
            raise BadRequest(
                f"Quota limit {most} for {name} must be greater than or equal to already used {used[name]}"
            )


def _set(tx: Tx, project_id: str, wanted: Mapping[str, int]) -> None:
    rows = ", ".join(f"(:project, :r{n}, 0, :m{n})" for n in range(len(wanted)))
    statement = text(
        f"INSERT INTO {TABLE.name} (project_id, resource, used, most) VALUES {rows} "  # noqa: S608 (only our own names)
        "ON CONFLICT (project_id, resource) DO UPDATE SET most = excluded.most"
    )
    values: dict[str, object] = {"project": project_id}
    for n, (name, most) in enumerate(sorted(wanted.items())):
        values |= {f"r{n}": name, f"m{n}": most}
    tx.run(statement, values)
