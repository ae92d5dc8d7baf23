"""What br-int exports of the packets that pass, to a collector: one row of the database.

sFlow unless said otherwise, for it tells most: the guest's interface by its index, flags, MACs, and at once
(docs/decisions/0046). The row is ours when it bears our mark; one of somebody else's on our bridge stays, and nothing
of ours is exported that way then. A row that no bridge refers to is gone by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from suimon.dataplane.mirror import EXPORTS, OWNER_KEY, ExportRow, Mirror
from suimon.dataplane.ovsdb import Operation, Row, as_map, as_set, mapping, members, named, where_uuid
from suimon.model.owner import Owner

Protocol = Literal["sflow", "ipfix", "netflow"]
_MOST_FLOWS: Final = 1 << 16
"""That Open vSwitch adds up before it tells of them; without a bound it adds up nothing (seen in 3.1)."""
_INPUT_ONLY: Final = {"enable-output-sampling": "true"}
"""Each packet once, where it comes in. Open vSwitch means the opposite of what it says (seen in 3.1)."""


class Export(msgspec.Struct, frozen=True):
    """To `collector` (`IP:PORT`). sFlow and IPFIX tell of one of `sampling` packets, NetFlow (v5) of all.

    `every_s`: how often sFlow has the counters of interfaces; how long the other two add up a flow that goes on.
    `agent` is the address by which the collector knows this host, that of what it gets; without one, Open vSwitch
    chooses.
    """

    collector: str
    agent: str = ""
    protocol: Protocol = "sflow"
    sampling: int = 400
    every_s: int = 10

    @property
    def names_by_ofport(self) -> bool:
        """Whether interfaces are told by their OpenFlow ports, and not by the kernel's index."""
        return self.protocol == "netflow"


def export_changes(bridge_name: str, wanted: Export | None, mirror: Mirror) -> Iterator[Operation]:
    """What to do to the database so that the bridge exports just that; nothing where somebody else's is there."""
    where = [["name", "==", bridge_name]]
    for table, column in EXPORTS.items():
        present = _present(bridge_name, table, mirror)
        if present is not None and not present.owner:
            continue
        if wanted is None or wanted.protocol != column:
            if present is not None:
                yield {"op": "update", "table": "Bridge", "where": where, "row": {column: as_set([])}}
            continue
        row = _row(wanted)
        if present is None:
            mark = as_map({OWNER_KEY: str(Owner("export", bridge_name))})
            yield {"op": "insert", "table": table, "uuid-name": "export", "row": {**row, "external_ids": mark}}
            yield {"op": "update", "table": "Bridge", "where": where, "row": {column: named("export")}}
        elif any(_plain(row, name) != _plain(present.settings, name) for name in row):
            yield {"op": "update", "table": table, "where": where_uuid(present.uuid), "row": row}


def obstacle(bridge_name: str, wanted: Export | None, mirror: Mirror) -> str:
    """Why what is wanted is not exported; nothing when it is."""
    for table, column in EXPORTS.items():
        present = _present(bridge_name, table, mirror)
        if wanted is not None and wanted.protocol == column and present is not None and not present.owner:
            remedy = f"ovs-vsctl clear bridge {bridge_name} {column}"
            return f"bridge {bridge_name} has {table} that is not ours: remove it with `{remedy}`"
    return ""


def _present(bridge_name: str, table: str, mirror: Mirror) -> ExportRow | None:
    bridge = mirror.bridge(bridge_name)
    return mirror.exports[table].rows.get(bridge.exports.get(table, "")) if bridge else None


def _row(wanted: Export) -> Row:
    """As in ovs-vswitchd.conf.db(5), the tables sFlow, IPFIX and NetFlow."""
    match wanted.protocol:
        case "sflow":
            own: Row = {"agent": wanted.agent or as_set([]), "sampling": wanted.sampling, "polling": wanted.every_s}
            own |= {"header": 128}
        case "ipfix":
            own = {"sampling": wanted.sampling, "cache_active_timeout": wanted.every_s}
            own |= {"cache_max_flows": _MOST_FLOWS, "other_config": as_map(_INPUT_ONLY)}
        case "netflow":
            own = {"active_timeout": wanted.every_s}
    return {"targets": wanted.collector, **own}


def _plain(row: Row, column: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Whichever way it is written."""
    pairs = mapping(row, column)
    return (() if pairs else members(row, column)), pairs
