"""Limits on what goes to a guest: linux-htb on its interface, through the database's QoS and Queue tables.

Measured in the userspace datapath at 10 Mbit/s: TCP gets 9.5, UDP 9.7, with a burst and without. Rows of these tables
stay when nothing points at them any more, so taking a limit away deletes them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from suimon.dataplane.layout import owner_mark
from suimon.dataplane.mirror import BridgePort, Mirror, Qos
from suimon.dataplane.ovsdb import Operation, TransactionRefused, as_map, as_set, named, where_uuid
from suimon.dataplane.switch import Switch
from suimon.model.owner import Owner
from suimon.reconcile import Changes, Failure

_TYPE: Final = "linux-htb"


class Shape(msgspec.Struct, frozen=True):
    """The most that goes to a guest. `burst_kbits` 0 leaves the burst to Open vSwitch."""

    rate_kbps: int
    burst_kbits: int = 0


class ShapingTarget:
    """`reconcile.Target` of the guests' shapes by port id, for the ports that are plugged.

    When a guest is plugged anew its limit is gone with its old port: observe again.
    """

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    async def observe(self) -> dict[str, Shape]:
        await self._switch.ready()
        return {owner.removeprefix("port/"): _shape(rows, self._switch) for owner, rows in self._ours().items()}

    async def apply(self, changes: Changes[str, Shape]) -> dict[str, Failure]:
        """One transaction a port, so that one port's trouble is its own."""
        failed: dict[str, Failure] = {}
        for port_id in changes.keys:
            try:
                operations = self._operations(port_id, changes.set.get(port_id))
                if operations:
                    await self._switch.transact(operations)
            except (_NotShapeable, TransactionRefused) as error:
                failed[port_id] = Failure(f"limit on port {port_id}: {error}")
        return failed

    def _ours(self) -> dict[str, list[Qos]]:
        """Our QoS rows by their mark; a crash between two versions may have left several."""
        rows: dict[str, list[Qos]] = {}
        for qos in self._switch.mirror.qos:
            if qos.owner.startswith("port/"):
                rows.setdefault(qos.owner, []).append(qos)
        return rows

    def _operations(self, port_id: str, shape: Shape | None) -> list[Operation]:
        """The new rows replace the old ones in one transaction."""
        mirror = self._switch.mirror
        owner = Owner("port", port_id)
        old = self._ours().get(str(owner), [])
        port = _port(mirror, self._switch, port_id)
        operations: list[Operation] = []
        if shape is not None:
            if port is None:
                raise _NotShapeable("it is not plugged")
            if port.qos and (qos := mirror.qos.rows.get(port.qos)) and not qos.owner:
                raise _NotShapeable(f"interface {port.name} has a QoS that is not ours; remove it")
            operations += _insertion(shape, owner)
            operations.append(_update(port.uuid, named("qos")))
        else:
            ours = {qos.uuid for qos in old}
            operations += [_update(one.uuid, as_set([])) for one in mirror.ports if one.qos in ours]
        return operations + list(_deletion(old))


class _NotShapeable(Exception):
    """Why a port can't have a limit now."""


def _shape(rows: list[Qos], switch: Switch) -> Shape:
    """What the rows say; a shape that nobody wants (rate -1) when they aren't exactly one that is in force."""
    mirror, wrong = switch.mirror, Shape(-1)
    qos = rows[0]
    queues = [mirror.queues.rows[uuid] for uuid in qos.queues if uuid in mirror.queues.rows]
    port = _port(mirror, switch, qos.owner.removeprefix("port/"))
    if len(rows) != 1 or qos.type != _TYPE or len(queues) != 1 or port is None or port.qos != qos.uuid:
        return wrong
    rate, burst = qos.settings.get("max-rate", ""), queues[0].settings.get("burst", "0")
    if not (rate.isdecimal() and burst.isdecimal()) or queues[0].settings.get("max-rate") != rate:
        return wrong
    return Shape(int(rate) // 1000, int(burst) // 1000)


def _port(mirror: Mirror, switch: Switch, port_id: str) -> BridgePort | None:
    plugged = switch.plugged.get(port_id)
    return mirror.port(plugged.interface) if plugged else None


def _insertion(shape: Shape, owner: Owner) -> Iterator[Operation]:
    """All goes through queue 0: only a queue can be given a burst, in bits (ovs-vswitchd.conf.db(5), linux-htb)."""
    rate = {"max-rate": str(shape.rate_kbps * 1000)}
    burst = {"burst": str(shape.burst_kbits * 1000)} if shape.burst_kbits else {}
    mark = owner_mark(owner)
    queue: dict[str, Any] = {"other_config": as_map(rate | burst), "external_ids": mark}
    yield {"op": "insert", "table": "Queue", "uuid-name": "queue", "row": queue}
    row = {"type": _TYPE, "other_config": as_map(rate), "queues": ["map", [[0, named("queue")]]], "external_ids": mark}
    yield {"op": "insert", "table": "QoS", "uuid-name": "qos", "row": row}


def _deletion(old: list[Qos]) -> Iterator[Operation]:
    for qos in old:
        yield {"op": "delete", "table": "QoS", "where": where_uuid(qos.uuid)}
        for queue in qos.queues:
            yield {"op": "delete", "table": "Queue", "where": where_uuid(queue)}


def _update(port_uuid: str, qos: list[Any]) -> Operation:
    return {"op": "update", "table": "Port", "where": where_uuid(port_uuid), "row": {"qos": qos}}
