"""Restrictions in force as hosts are told them: of a port where it is bound, of others by what they are about."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Select, bindparam, literal, or_, select, union_all
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.expression import CompoundSelect

from suimon.model import things, view
from suimon.model.specs.security_groups import PROTOCOLS
from suimon.model.touches import UNPLUGGED
from suimon.store.tables import KEPT, PORT_BINDINGS, PORTS
from suimon.store.tables import RESTRICTIONS as TABLE
from suimon.store.tx import Tx

_SCOPES: Final = ("host", "project", "network", "cloud")


def restrictions(tx: Tx, scopes: Mapping[str, Collection[str]], ids: Collection[str]) -> Iterator[view.Restriction]:
    """All of these scopes (kind → ids), and those of these ids in whatever scope."""
    wanted = {name: sorted(scopes.get(name, ())) for name in _SCOPES} | {"ids": sorted(ids)}
    if not any(wanted.values()):
        return
    codec = KEPT[things.Restriction].codec
    for row in tx.rows(_WANTED, wanted):
        *columns, host = row
        yield _told(codec.decode(columns), str(host))


def _told(one: things.Restriction, host: str) -> view.Restriction:
    return view.Restriction(
        id=one.id,
        kind=one.kind,  # type: ignore[arg-type]
        target_kind=one.target_kind,  # type: ignore[arg-type]
        target=one.target,
        project_id=one.project_id,
        host=host,
        direction=one.direction,  # type: ignore[arg-type]
        rate_kbps=one.rate_kbps or 0,
        rate_kpps=one.rate_kpps or 0,
        protocol=PROTOCOLS[one.protocol] if one.protocol else 0,
        port_min=one.port_min or 0,
        port_max=one.port_max or 0,
        allowed=one.allowed,
        reason=one.reason,
        expires_s=one.expires_at.timestamp() if one.expires_at else None,
    )


def _of_ports(host: ColumnElement[str]) -> Select[Any]:
    bound = select(*TABLE.columns, host).join(PORTS, PORTS.c.id == TABLE.c.target)
    return bound.where(
        _ACTIVE,
        TABLE.c.target_kind == "port",
        PORTS.c.binding_host != "",
        PORTS.c.device_owner.not_in(UNPLUGGED),
        or_(host.in_(bindparam("host", expanding=True)), _NAMED),
    )


_ACTIVE: Final = TABLE.c.state == "active"
_NAMED: Final = TABLE.c.id.in_(bindparam("ids", expanding=True))
_WAITING: Final = _of_ports(PORT_BINDINGS.c.host).join(PORT_BINDINGS, PORT_BINDINGS.c.port_id == PORTS.c.id)
_OTHERS: Final = select(*TABLE.columns, literal("")).where(
    _ACTIVE,
    or_(
        TABLE.c.target_kind.in_(("project", "address")) & TABLE.c.project_id.in_(bindparam("project", expanding=True)),
        (TABLE.c.target_kind == "network") & TABLE.c.target.in_(bindparam("network", expanding=True)),
        (TABLE.c.target_kind == "outside_address") & literal("all").in_(bindparam("cloud", expanding=True)),
        (TABLE.c.target_kind != "port") & _NAMED,
    ),
)
_WANTED: Final[CompoundSelect[Any]] = union_all(_of_ports(PORTS.c.binding_host), _WAITING, _OTHERS)
