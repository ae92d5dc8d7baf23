"""What bears our mark in the database and belongs to nobody any more: left by a crash, or by an agent of another setup.

Flows, groups, meters and limits are not meant: whatever of those nobody wants follows from our own work alone, and goes
away with the next round. An orphan is a thing that somebody may have built on, so only an operator's word removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from suimon.dataplane.layout import TUNNELS, Layout, wanted_ports
from suimon.dataplane.mirror import Bridge, Mirror
from suimon.dataplane.ovsdb import Operation, as_set, reference, where_uuid


class Orphan(msgspec.Struct, frozen=True):
    """`table` is that of the database; `removal` takes the row away."""

    table: str
    name: str
    owner: str
    removal: Operation

    def __str__(self) -> str:
        return f"{self.table.lower()} {self.name} of {self.owner}"


def orphans(layout: Layout, mirror: Mirror, known: Callable[[str], bool]) -> Iterator[Orphan]:
    """Bridges and ports that are not in the layout, limits that nothing uses; `known` says whether an owner exists.

    A port of a bridge that is an orphan goes with it. A tunnel without a network stays for the next one.
    """
    names = {port.name for port in wanted_ports(layout)} | set(layout.bridges) | set(TUNNELS.values())
    for bridge in mirror.bridges:
        if bridge.owner and bridge.name not in names:
            removal = _mutation("Open_vSwitch", [], "bridges", bridge.uuid)
            yield Orphan("Bridge", bridge.name, bridge.owner, removal)
            continue
        for port in (mirror.ports.rows[uuid] for uuid in bridge.ports if uuid in mirror.ports.rows):
            gone = port.owner.startswith("bridge/") or not known(port.owner)
            if port.owner and port.name not in names and port.name != bridge.name and gone:
                yield Orphan(
                    "Port", port.name, port.owner, _mutation("Bridge", where_uuid(bridge.uuid), "ports", port.uuid)
                )
    used = {port.qos for port in mirror.ports}
    queued = {uuid for qos in mirror.qos for uuid in qos.queues}
    for qos in mirror.qos:
        if qos.owner and not qos.owner.startswith("port/") and qos.uuid not in used:
            yield Orphan("QoS", qos.uuid, qos.owner, _deletion("QoS", qos.uuid))
    for queue in mirror.queues:
        if queue.owner and queue.uuid not in queued:
            yield Orphan("Queue", queue.uuid, queue.owner, _deletion("Queue", queue.uuid))


def foreign_ports(layout: Layout, bridge: Bridge, mirror: Mirror) -> list[str]:
    """Names of the ports on a bridge of ours that aren't ours, nor a guest's, nor an uplink that we adopted."""
    names = {port.name for port in wanted_ports(layout) if port.bridge == bridge.name} | {bridge.name}
    guests = bridge.name == layout.integration
    found = mirror.interfaces_on(bridge)
    return sorted(
        {port.name for port, one in found if not port.owner and port.name not in names and not (guests and one.port_id)}
    )


def _mutation(table: str, where: list[object], column: str, uuid: str) -> Operation:
    return {
        "op": "mutate",
        "table": table,
        "where": where,
        "mutations": [[column, "delete", as_set([reference(uuid)])]],
    }


def _deletion(table: str, uuid: str) -> Operation:
    return {"op": "delete", "table": table, "where": where_uuid(uuid)}
