"""Logging resources: what an operator, or a project's manager, wants logged of security groups. They are kept and
checked; nothing is logged by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.errors import BadRequest, Conflict, Forbidden, NotFound
from suimon.model.query import Query, cut
from suimon.model.specs.logs import LOG, LOGGABLE, LOGGABLE_RESOURCE, LoggableResource
from suimon.model.things import Log, Port, SecurityGroup
from suimon.resources.collection import VIEWER, Collection, require_revision
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require_act
from suimon.store.tables import LOGS as TABLE
from suimon.store.tx import Tx

T = TypeVar("T", SecurityGroup, Port)
SPEC: Final = LOG.governed_by(RULES)
LOGS: Final = Collection(
    spec=SPEC,
    type=Log,
    not_found=("LogResourceNotFound", "Log resource {} could not be found."),
    visible=TABLE.c.project_id == VIEWER,
    after_write=lambda tx, logs: [{} for _ in logs],
)


def get_log(tx: Tx, actor: Actor, id_: str) -> Shown:
    """Raises NotFound, also for those who don't manage the project."""
    return Shown(_find(tx, actor, id_, "get_log", {}))


def list_logs(tx: Tx, actor: Actor, query: Query) -> Sequence[Shown]:
    """Nothing for those who don't manage the project."""
    return LOGS.page(tx, actor, query) if _reads(actor, "get_log") else []


def list_loggable(_tx: Tx, actor: Actor, query: Query) -> Sequence[Shown]:
    """The kinds of resources that a log may be about."""
    kinds = LOGGABLE if _reads(actor, "get_loggable_resource") else ()
    return cut(LOGGABLE_RESOURCE, [Shown(LoggableResource(kind)) for kind in kinds], query)


def create_logs(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Log]:
    """All or none. Raises Forbidden, BadRequest for a kind that can't be logged and for a port that isn't in the
    group, NotFound for a group or a port that the actor can't see, Conflict for a port of special hardware.
    """
    for one in wanted:
        require_act(actor, "create_log", SPEC, one, Target(one["project_id"]))
        if one["resource_type"] not in LOGGABLE:
            raise BadRequest(f"Invalid log resource_type: {one['resource_type']}.", "InvalidLogResourceType")
    logs = [Log(id=new_id(), created_at=tx.now, updated_at=tx.now, **one) for one in wanted]
    groups = _theirs(tx, actor, SecurityGroup, {log.resource_id for log in logs})
    ports = _theirs(tx, actor, Port, {log.target_id for log in logs})
    for log in logs:
        _require_there(log, groups, ports)
    tx.insert_many(logs)
    return logs


def update_log(tx: Tx, actor: Actor, id_: str, wanted: Mapping[str, Any], expected_revision: int | None = None) -> Log:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    log = _find(tx, actor, id_, "update_log", wanted)
    require_revision(log, expected_revision)
    return tx.change(log, **wanted) if wanted else log


def delete_log(tx: Tx, actor: Actor, id_: str, expected_revision: int | None = None) -> None:
    """Raises NotFound, Forbidden, PreconditionFailed."""
    log = _find(tx, actor, id_, "delete_log", {})
    require_revision(log, expected_revision)
    tx.delete(log)


def _reads(actor: Actor, rule: str) -> bool:
    return RULES[rule](actor, Target(actor.project_id))


def _find(tx: Tx, actor: Actor, id_: str, act: str, wanted: Mapping[str, Any]) -> Log:
    """The log, for who may do this with it: who may not even read it isn't told that it is there."""
    log = LOGS.find(tx, actor, id_)
    try:
        require_act(actor, act, SPEC, wanted, Target(log.project_id))
    except Forbidden:
        if _reads(actor, "get_log"):
            raise
        raise LOGS.missing(id_) from None
    return log


def _theirs(tx: Tx, actor: Actor, type_: type[T], ids: set[str | None]) -> dict[str, T]:
    """Those of these ids that belong to the actor's project; all, for an operator."""
    named = ids - {None}
    found = tx.select(type_, {"id": named}) if named else []
    return {thing.id: thing for thing in found if actor.admin or thing.project_id == actor.project_id}


def _require_there(log: Log, groups: Mapping[str, SecurityGroup], ports: Mapping[str, Port]) -> None:
    if log.resource_id and log.resource_id not in groups:
        raise NotFound(f"Resource {log.resource_id} could not be found.", "ResourceNotFound")
    if log.target_id is None:
        return
    if log.target_id not in ports:
        raise NotFound(f"Target resource {log.target_id} could not be found.", "TargetResourceNotFound")
    port = ports[log.target_id]
    if port.binding_vnic_type != "normal":
        raise Conflict(
            f"Logging type {log.resource_type} is not supported on port {port.id}.", "LoggingTypeNotSupported"
        )
    if log.resource_id and log.resource_id not in port.security_groups:
        raise BadRequest(
            f"Invalid resource constraint between resource ({log.resource_type} {log.resource_id}) and target resource "
            f"(port {port.id}).",
            "InvalidResourceConstraint",
        )
