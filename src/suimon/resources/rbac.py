"""RBAC policies: the owner of a thing, or an operator, lets other projects use it, and takes that back when none does.

A network is external while any entry lets somebody reach outside by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Select, bindparam, select, union

from suimon.model import checks
from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.rbac import EVERYBODY, RBAC_POLICY, require_action
from suimon.model.things import AddressScope, Network, RbacPolicy, SubnetPool, Thing
from suimon.resources import sharing
from suimon.resources.address_groups import ADDRESS_GROUPS
from suimon.resources.address_scopes import ADDRESS_SCOPES
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.networks import NETWORKS
from suimon.resources.persona import RULES, require_act
from suimon.resources.qos import QOS_POLICIES, projects_using
from suimon.resources.security_groups import SECURITY_GROUPS
from suimon.resources.sharing import AS_EXTERNAL
from suimon.resources.subnet_pools import SUBNET_POOLS
from suimon.store import tables
from suimon.store.errors import Taken
from suimon.store.tables import RBAC_POLICIES as TABLE
from suimon.store.tx import Tx

SPEC: Final = RBAC_POLICY.governed_by(RULES)
ENTRIES: Final = Collection(
    spec=SPEC,
    type=RbacPolicy,
    not_found=("RbacPolicyNotFound", "RBAC policy of type unknown with ID {} not found"),
    visible=TABLE.c.project_id == VIEWER,
)
_OBJECTS: Final[Mapping[str, Collection[Any]]] = {
    "network": NETWORKS,
    "qos_policy": QOS_POLICIES,
    "security_group": SECURITY_GROUPS,
    "address_scope": ADDRESS_SCOPES,
    "address_group": ADDRESS_GROUPS,
    "subnetpool": SUBNET_POOLS,
}


def _projects(table: Any, column: str) -> Select[Any]:
    return select(table.c.project_id).where(table.c[column] == bindparam("id"))


_USERS: Final[Mapping[tuple[str, str], Any]] = {
    ("network", sharing.AS_SHARED): _projects(tables.PORTS, "network_id").distinct(),
    ("network", AS_EXTERNAL): union(
        _projects(tables.ROUTERS, "gateway_network_id"), _projects(tables.FLOATING_IPS, "floating_network_id")
    ),
    ("security_group", sharing.AS_SHARED): select(tables.PORTS.c.project_id)
    .where(tables.PORT_SECURITY_GROUPS.c.group_id == bindparam("id"))
    .join_from(tables.PORT_SECURITY_GROUPS, tables.PORTS, tables.PORTS.c.id == tables.PORT_SECURITY_GROUPS.c.port_id)
    .distinct(),
    ("address_scope", sharing.AS_SHARED): _projects(tables.SUBNET_POOLS, "address_scope_id").distinct(),
    ("address_group", sharing.AS_SHARED): _projects(tables.SECURITY_GROUP_RULES, "remote_address_group_id").distinct(),
    ("subnetpool", sharing.AS_SHARED): _projects(tables.SUBNETS, "subnetpool_id").distinct(),
}
"""(object type, action) → the projects that use an object so; of QoS policies `resources.qos` knows."""


def create_entries(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[RbacPolicy]:
    """All or none. Raises Forbidden, NotFound for the object, BadRequest, Conflict for one that there is."""
    return [_create(tx, actor, one) for one in wanted]


def update_entry(
    tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None
) -> RbacPolicy:
    """Raises NotFound, Forbidden, PreconditionFailed, BadRequest, Conflict for one that there is, and while somebody
    who would lose the object uses it.
    """
    entry = ENTRIES.find(tx, actor, id_)
    require_act(actor, "update_rbac_policy", SPEC, wanted, Target(entry.project_id, values=_asked(wanted)))
    require_revision(entry, expected_revision)
    target = wanted.get("target_project", entry.target_project)
    thing = _object(tx, actor, entry)
    if target == entry.target_project:
        return entry
    _require_unused(tx, entry, thing, target)
    _raise_revision(tx, thing)
    try:
        return tx.change(entry, target_project=target)
    except Taken as taken:
        raise _duplicate() from taken


def delete_entry(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed, Conflict while somebody who would lose the object uses it."""
    entry = ENTRIES.find(tx, actor, id_)
    require_act(actor, "delete_rbac_policy", SPEC, {}, Target(entry.project_id))
    require_revision(entry, expected_revision)
    thing = tx.get(_OBJECTS[entry.object_type].type, entry.object_id)
    assert thing is not None
    _require_unused(tx, entry, thing)
    tx.delete(entry)
    if entry.action == AS_EXTERNAL and not sharing.shared_with(tx, thing.id, AS_EXTERNAL):
        tx.change(thing, external=False, is_default=False)
    else:
        _raise_revision(tx, thing)


def _create(tx: Tx, actor: Actor, wanted: Mapping[str, Any]) -> RbacPolicy:
    if "target_project" not in wanted:
        raise BadRequest("Failed to parse request. Required attribute 'target_tenant' not specified")
    require_act(actor, "create_rbac_policy", SPEC, wanted, Target(wanted["project_id"], values=_asked(wanted)))
    require_action(wanted["object_type"], wanted["action"])
    entry = RbacPolicy(id=new_id(), created_at=tx.now, updated_at=tx.now, **wanted)
    thing = _object(tx, actor, entry)
    if isinstance(thing, SubnetPool):
        _require_scope(tx, thing, entry.target_project)
    try:
        tx.insert(entry)
    except Taken as taken:
        raise _duplicate() from taken
    if entry.action == AS_EXTERNAL:
        tx.change(thing, external=True)
    else:
        _raise_revision(tx, thing)
    return entry


def _asked(wanted: Mapping[str, Any]) -> dict[str, object]:
    """What the rules look at."""
    return {name: wanted.get("target_project") for name in ("target_tenant", "target_project")}


def _object(tx: Tx, actor: Actor, entry: RbacPolicy) -> Thing:
    """What the entry is about, for who may decide about it. Raises NotFound, BadRequest."""
    thing: Thing = _OBJECTS[entry.object_type].find(tx, actor, entry.object_id)
    if not actor.admin and thing.project_id != actor.project_id:
        words = "networks" if entry.object_type == "network" else "objects"
        raise checks.invalid(f"Only admins can manipulate policies on {words} they do not own")
    return thing


def _require_scope(tx: Tx, pool: SubnetPool, target: str) -> None:
    """Who is to use the pool may use its address scope, too. Raises BadRequest."""
    scope = tx.get(AddressScope, pool.address_scope_id) if pool.address_scope_id else None
    if scope and not {target, EVERYBODY} & {scope.project_id, *sharing.shared_with(tx, scope.id)}:
        raise checks.invalid(
            f"Failed to create RBAC policy on object {pool.id} because target project doesn't have access to "
            "associated address scope"
        )


def _require_unused(tx: Tx, entry: RbacPolicy, thing: Thing, instead: str | None = None) -> None:
    """Raises Conflict when a project uses the object that neither owns it nor has another entry.

    The entry's new target, `instead`, counts for networks only, unless it is everybody, as in Neutron.
    """
    everybodys = entry.target_project == EVERYBODY
    if everybodys and entry.action == AS_EXTERNAL and isinstance(thing, Network) and thing.is_default:
        raise _in_use(entry, "Default external networks must be shared to everyone.")
    left = sharing.shared_with(tx, thing.id, entry.action) - {entry.target_project}
    if instead is not None and (instead == EVERYBODY or isinstance(thing, Network)):
        left.add(instead)
    if EVERYBODY in left:
        return
    stranded = _users(tx, entry) - left - {"", thing.project_id}
    if stranded if everybodys else entry.target_project in stranded:
        raise _in_use(entry, f"project_id={entry.target_project}")


def _users(tx: Tx, entry: RbacPolicy) -> set[str]:
    if entry.object_type == "qos_policy":
        return projects_using(tx, entry.object_id)
    statement = _USERS[entry.object_type, entry.action]
    return {project for (project,) in tx.rows(statement, {"id": entry.object_id})}


def _raise_revision(tx: Tx, thing: Thing) -> None:
    """Who may use a network is part of it; of the other kinds Neutron doesn't say so."""
    if isinstance(thing, Network):
        tx.change(thing)


def _in_use(entry: RbacPolicy, details: str) -> Conflict:
    return Conflict(
        f"RBAC policy on object {entry.object_id} cannot be removed because other objects depend on it.\n"
        f"Details: {details}",
        "RbacPolicyInUse",
    )


def _duplicate() -> Conflict:
    return Conflict("An RBAC policy already exists with those values.", "DuplicateRbacPolicy")
