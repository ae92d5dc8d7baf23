"""Conntrack helpers of routers: which connections are looked into for the others that they open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.errors import BadRequest, NotFound
from suimon.model.specs.conntrack_helpers import CONNTRACK_HELPER
from suimon.model.things import ConntrackHelper, Router
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require
from suimon.resources.routers import ROUTERS
from suimon.store.tx import Tx

SPEC: Final = CONNTRACK_HELPER.governed_by(RULES)
PROTOCOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "amanda": ("tcp",),
    "ftp": ("tcp",),
    "h323": ("udp", "tcp"),
    "irc": ("tcp",),
    "netbios-ns": ("udp",),
    "pptp": ("tcp",),
    "sane": ("tcp",),
    "sip": ("udp", "tcp"),
    "snmp": ("udp",),
    "tftp": ("udp",),
}
"""Helpers and the protocols that each knows (Neutron's default of `allowed_conntrack_helpers`)."""


def list_conntrack_helpers(tx: Tx, actor: Actor, router_id: str) -> list[Shown]:
    """All of a router. Raises NotFound."""
    ROUTERS.find(tx, actor, router_id)
    return [Shown(one) for one in _of(tx, router_id)]


def get_conntrack_helper(tx: Tx, actor: Actor, router_id: str, id_: str) -> Shown:
    """Raises NotFound."""
    ROUTERS.find(tx, actor, router_id)
    return Shown(_one(_of(tx, router_id), id_))


def create_conntrack_helper(tx: Tx, actor: Actor, router_id: str, wanted: Mapping[str, Any]) -> Shown:
    """Raises NotFound, Forbidden, BadRequest for a helper that there isn't, or is already."""
    router = _router(tx, actor, router_id, "create_router_conntrack_helper")
    said = {name: wanted[name] for name in ("protocol", "l4_port", "module")}
    one = ConntrackHelper(
        id=new_id(), project_id=router.project_id, created_at=tx.now, updated_at=tx.now, router_id=router_id, **said
    )
    _require_sound(one, _of(tx, router_id))
    tx.insert(one)
    tx.change(router)
    return Shown(one)


def update_conntrack_helper(tx: Tx, actor: Actor, router_id: str, id_: str, wanted: Mapping[str, Any]) -> Shown:
    """Raises NotFound, Forbidden, BadRequest."""
    router = _router(tx, actor, router_id, "update_router_conntrack_helper")
    others = _of(tx, router_id)
    one = _one(others, id_)
    if not wanted:
        return Shown(one)
    _require_sound(msgspec.structs.replace(one, **wanted), others)
    changed = tx.change(one, **wanted)
    tx.change(router)
    return Shown(changed)


def delete_conntrack_helper(tx: Tx, actor: Actor, router_id: str, id_: str, _expected: int | None = None) -> None:
    """Raises NotFound, Forbidden."""
    router = _router(tx, actor, router_id, "delete_router_conntrack_helper")
    tx.delete(_one(_of(tx, router_id), id_))
    tx.change(router)


def _router(tx: Tx, actor: Actor, id_: str, act: str) -> Router:
    router = ROUTERS.find(tx, actor, id_)
    require(actor, act, Target(router.project_id))
    return router


def _of(tx: Tx, router_id: str) -> list[ConntrackHelper]:
    return tx.select(ConntrackHelper, {"router_id": router_id}, order=("created_at", "id"))


def _one(there: list[ConntrackHelper], id_: str) -> ConntrackHelper:
    for one in there:
        if one.id == id_:
            return one
    raise NotFound(f"Conntrack Helper {id_} could not be found.", "ConntrackHelperNotFound")


def _require_sound(one: ConntrackHelper, others: list[ConntrackHelper]) -> None:
    if one.module not in PROTOCOLS:
        raise BadRequest(f"Conntrack Helper {one.module} is not allowed.", "ConntrackHelperNotAllowed")
    protocols = PROTOCOLS[one.module]
    if one.protocol not in protocols:
        raise BadRequest(
            f"Conntrack Helper {one.module} does not support: {one.protocol}. Supported protocols are: "
            f"{', '.join(protocols)}",
            "InvalidProtocolForHelper",
        )
    said = {"router_id": one.router_id, "protocol": one.protocol, "port": one.l4_port, "helper": one.module}
    for other in others:
        same = (other.protocol, other.l4_port, other.module) == (one.protocol, one.l4_port, one.module)
        if same and other.id != one.id:
            raise BadRequest(
                "Bad conntrack_helper request: A duplicate conntrack helper entry with same attributes already exists, "
                f"conflicting values are {said}.",
                "BadRequest",
            )
