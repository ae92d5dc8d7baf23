"""Whose a resource is, and which change brought it: what an explanation says of the things that it names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from sqlalchemy import BindParameter, bindparam, func, select

from suimon.model import things
from suimon.store.tables import CHANGES, HOST_STATES
from suimon.store.tx import Tx

Named = tuple[str, str]
"""Kind and id of a resource, as the API calls them."""


class Provenance(msgspec.Struct, frozen=True):
    """`revision` is None when the change log no longer reaches back to the newest change of the resource."""

    project_id: str = ""
    revision: int | None = None
    request_id: str = ""


_KINDS: Final[dict[str, tuple[str, type[things.Thing]]]] = {
    "port": ("port", things.Port),
    "network": ("network", things.Network),
    "security_group": ("group", things.SecurityGroup),
    "security_group_rule": ("group_rule", things.SecurityGroupRule),
    "qos_policy": ("qos", things.QosPolicy),
    "port_block_rule": ("port_block_rule", things.PortBlockRule),
    "router": ("router", things.Router),
    "floating_ip": ("floating_ip", things.FloatingIp),
    "restriction": ("restriction", things.Restriction),
}
"""The API's kind → the change log's, and what is stored."""
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_NEWEST: Final = (
    select(CHANGES.c.kind, CHANGES.c.id, func.max(CHANGES.c.revision).label("revision"))
    .where(CHANGES.c.id.in_(_IDS))
    .group_by(CHANGES.c.kind, CHANGES.c.id)
    .cte("newest")
)
_CHANGES: Final = (
    select(CHANGES.c.kind, CHANGES.c.id, CHANGES.c.revision, func.max(CHANGES.c.request_id))
    .join(_NEWEST, (CHANGES.c.revision == _NEWEST.c.revision) & (CHANGES.c.id == _NEWEST.c.id))
    .where(CHANGES.c.kind == _NEWEST.c.kind)
    .group_by(CHANGES.c.kind, CHANGES.c.id, CHANGES.c.revision)
)
_NOTED: Final = select(HOST_STATES.c.state).where(HOST_STATES.c.host == bindparam("host"))
_WANTED: Final = select(func.max(CHANGES.c.revision)).where(
    CHANGES.c.kind == "port", CHANGES.c.id == bindparam("id"), CHANGES.c.scope == bindparam("scope")
)


def provenances(tx: Tx, named: Collection[Named]) -> dict[Named, Provenance]:
    """Of each that there is: one look through the log for all of them."""
    known = {each for each in named if each[0] in _KINDS and each[1]}
    if not known:
        return {}
    rows = tx.rows(_CHANGES, {"ids": sorted({id_ for _, id_ in known})})
    changed = {
        (str(kind), str(id_)): (int(revision), str(request)) for kind, id_, revision, request in map(tuple, rows)
    }
    found = {}
    for kind, id_ in known:
        logged, type_ = _KINDS[kind]
        thing = tx.get(type_, id_)
        if thing is not None:
            revision, request_id = changed.get((logged, id_), (None, ""))
            found[kind, id_] = Provenance(thing.project_id or "", revision, request_id)
    return found


def wanted_revision(tx: Tx, port_id: str, host: str) -> int | None:
    """Of the newest change that the port's host was told of the port; None when it was too long ago."""
    rows = tx.rows(_WANTED, {"id": port_id, "scope": f"host:{host}"})
    return None if rows[0][0] is None else int(rows[0][0])


def noted_state(tx: Tx, host: str) -> str:
    """What some controller noted of the host last, for `Distribution.state`; empty if nothing."""
    rows = tx.rows(_NOTED, {"host": host})
    return str(rows[0][0]) if rows else ""
