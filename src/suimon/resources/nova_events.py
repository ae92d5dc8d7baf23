"""What Nova has to be told of its instances' ports: the difference between what they are and what it was told last.

The events are Nova's (Compute API, `os-server-external-events`). What Nova was told is kept, so that a restart, a log
that was shortened or a Nova that was away for a day cost one look at the ports, and nothing is said twice but what was
on its way when we died.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, delete, or_, select

from suimon.model.things import FloatingIp, NovaPort, NovaPosition, Port
from suimon.store.changes import Change
from suimon.store.errors import Stale, Taken
from suimon.store.tables import FLOATING_IPS, KEPT, NOVA_PORTS, PORTS
from suimon.store.tx import Tx

PLUGGED: Final = "network-vif-plugged"
UNPLUGGED: Final = "network-vif-unplugged"
DELETED: Final = "network-vif-deleted"
CHANGED: Final = "network-changed"
_INSTANCES: Final = "compute:"
"""How the device owners of instances' ports begin."""
_ALL: Final = select(*PORTS.columns).where(
    or_(PORTS.c.device_owner.startswith(_INSTANCES, autoescape=True), PORTS.c.id.in_(select(NOVA_PORTS.c.port_id)))
)
_ASSOCIATED: Final = select(*FLOATING_IPS.columns).where(FLOATING_IPS.c.port_id.is_not(None))
_MANY: Final = 5_000
"""Ports of which it is better to read all than to name each."""
_FORGET: Final = delete(NOVA_PORTS).where(NOVA_PORTS.c.port_id.in_(bindparam("ids", expanding=True)))


class Event(msgspec.Struct, frozen=True):
    """One event as Nova reads it; `tag` is the port's id."""

    name: str
    server_uuid: str
    tag: str
    status: str = "completed"


class Notice(msgspec.Struct, frozen=True):
    """What to say of one port, and what Nova knows of it afterwards."""

    port_id: str
    events: tuple[Event, ...]
    after: NovaPort | None


class Owed(msgspec.Struct, frozen=True):
    """All that Nova hasn't been told up to `revision`."""

    notices: tuple[Notice, ...]
    revision: int


def begin(tx: Tx) -> int:
    """The revision up to which Nova was told. Who never told it anything begins with what there is now."""
    position = tx.get(NovaPosition, "only")
    if position is not None:
        return position.revision
    revision = tx.position()[2]
    states = _states(tx, [KEPT[Port].codec.decode(row) for row in tx.rows(_ALL, {})])
    tx.insert_many(list(states.values()))
    tx.insert(NovaPosition(revision=revision))
    return revision


def owed(tx: Tx, revision: int, *, restless: bool) -> Owed:
    """What happened after `revision`, or, when the log doesn't reach back to it, all that is different now.

    A port that is up and changed more than once may have been down in between; with `restless` it is reported again: an
    event too many is nothing to Nova, and for one too few it waits.
    """
    newest = tx.position()[2]
    changes = tx.changes_after(revision)
    times = Counter(_ports_of(changes or ()))
    if changes is None or len(times) > _MANY:
        ports = [KEPT[Port].codec.decode(row) for row in tx.rows(_ALL, {})]
        told, moved = tx.select(NovaPort), set[str]()
    else:
        ports = tx.select(Port, {"id": times.keys()}) if times else []
        told = tx.select(NovaPort, {"port_id": times.keys()}) if times else []
        moved = {id_ for id_, count in times.items() if count > 1} if restless else set()
    return Owed(tuple(_notices(tx, ports, told, moved)), newest)


def settle(tx: Tx, notices: Sequence[Notice], revision: int | None) -> None:
    """Nova was told these; with `revision`, all up to it."""
    if notices:
        tx.run(_FORGET, {"ids": [notice.port_id for notice in notices]})
        try:
            tx.insert_many([notice.after for notice in notices if notice.after])
        except Taken as taken:
            raise Stale from taken  # Another controller thought that it was its turn.
    position = tx.get(NovaPosition, "only")
    if revision is not None and position is not None:
        tx.update(position, NovaPosition(revision=revision))


def _ports_of(changes: Iterable[Change]) -> Iterable[str]:
    for change in changes:
        if change.kind == "port" and change.scope == "":
            yield change.id
        elif change.kind == "floating_ip" and change.scope.startswith("port:"):
            yield change.scope.removeprefix("port:")


def _notices(tx: Tx, ports: Sequence[Port], told: Sequence[NovaPort], moved: Collection[str]) -> Iterable[Notice]:
    now, before = _states(tx, ports), {one.port_id: one for one in told}
    there = {port.id for port in ports}
    for id_ in sorted(now.keys() | before.keys()):
        old, new = before.get(id_), now.get(id_)
        events = tuple(_events(old, new, gone=id_ not in there, moved=id_ in moved))
        if events or old != new:
            yield Notice(id_, events, new)


def _states(tx: Tx, ports: Sequence[Port]) -> dict[str, NovaPort]:
    """Of those that are instances' ports."""
    instances = [port for port in ports if port.device_owner.startswith(_INSTANCES) and _is_uuid(port.device_id)]
    floating: dict[str, list[tuple[str, str | None]]] = {}
    for one in _floating_ips(tx, {port.id for port in instances}):
        floating.setdefault(one.port_id or "", []).append((one.floating_ip_address, one.fixed_ip_address))
    return {port.id: _state(port, floating) for port in instances}


def _floating_ips(tx: Tx, port_ids: Collection[str]) -> Sequence[FloatingIp]:
    """Those of these ports, and perhaps of others."""
    if len(port_ids) > _MANY:
        return [KEPT[FloatingIp].codec.decode(row) for row in tx.rows(_ASSOCIATED, {})]
    return tx.select(FloatingIp, {"port_id": port_ids}) if port_ids else []


def _state(port: Port, floating: Mapping[str, list[tuple[str, str | None]]]) -> NovaPort:
    seen = (port.mac_address, port.fixed_ips, sorted(floating.get(port.id, ())), port.binding_vnic_type, port.trusted)
    digest = hashlib.sha256(msgspec.json.encode(seen)).hexdigest()
    return NovaPort(
        port_id=port.id, server_id=port.device_id, host=port.binding_host, status=port.status, addresses=digest
    )


def _events(old: NovaPort | None, new: NovaPort | None, *, gone: bool, moved: bool) -> Iterable[Event]:
    if old and gone:
        yield Event(DELETED, old.server_id, old.port_id)
        return
    same = old is not None and new is not None and old.server_id == new.server_id
    was_up = old is not None and old.status == "ACTIVE"
    if old and was_up and not (same and new and new.status == "ACTIVE"):
        yield Event(UNPLUGGED, old.server_id, old.port_id)
    if new and new.status == "ACTIVE" and not (same and old and was_up and old.host == new.host and not moved):
        yield Event(PLUGGED, new.server_id, new.port_id)
    if old and new and same and old.addresses != new.addresses:
        yield Event(CHANGED, new.server_id, new.port_id)


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
