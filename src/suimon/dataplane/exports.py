"""What br-int exports of the packets that pass: sFlow samples to a collector, as one row of the database.

sFlow, for it tells most: the guest's interface by its index, flags, MACs, and at once (docs/decisions/0046). The row is
ours when it bears our mark; one of somebody else's on our bridge stays, and nothing of ours is exported then. A row
that no bridge refers to is gone by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from suimon.dataplane.mirror import OWNER_KEY, Mirror, Sflow
from suimon.dataplane.ovsdb import Operation, as_map, as_set, named, where_uuid
from suimon.model.owner import Owner


class Export(msgspec.Struct, frozen=True):
    """To `collector` (`IP:PORT`), one of `sampling` packets and the counters every `polling_s`.

    `agent` is the address by which the collector knows this host, that of what it gets; without one, Open vSwitch
    chooses.
    """

    collector: str
    agent: str = ""
    sampling: int = 400
    polling_s: int = 10
    header_bytes: int = 128


def export_changes(bridge_name: str, wanted: Export | None, mirror: Mirror) -> Iterator[Operation]:
    """What to do to the database so that the bridge exports just that; nothing when somebody else's is there."""
    bridge = mirror.bridge(bridge_name)
    present = mirror.sflow.rows.get(bridge.sflow) if bridge else None
    if present is not None and not present.owner:
        return
    where = [["name", "==", bridge_name]]
    if wanted is None:
        if present is not None:
            yield {"op": "update", "table": "Bridge", "where": where, "row": {"sflow": as_set([])}}
        return
    row = {
        "targets": wanted.collector,
        "agent": wanted.agent or as_set([]),
        "sampling": wanted.sampling,
        "polling": wanted.polling_s,
        "header": wanted.header_bytes,
    }
    if present is None:
        mark = as_map({OWNER_KEY: str(Owner("export", bridge_name))})
        yield {"op": "insert", "table": "sFlow", "uuid-name": "export", "row": {**row, "external_ids": mark}}
        yield {"op": "update", "table": "Bridge", "where": where, "row": {"sflow": named("export")}}
    elif not _as_wanted(present, wanted):
        yield {"op": "update", "table": "sFlow", "where": where_uuid(present.uuid), "row": row}


def obstacle(bridge_name: str, wanted: Export | None, mirror: Mirror) -> str:
    """Why what is wanted is not exported; nothing when it is."""
    bridge = mirror.bridge(bridge_name)
    present = mirror.sflow.rows.get(bridge.sflow) if bridge else None
    if wanted is None or present is None or present.owner:
        return ""
    remedy = f"ovs-vsctl clear bridge {bridge_name} sflow"
    return f"bridge {bridge_name} has an sFlow that is not ours: remove it with `{remedy}`"


def _as_wanted(present: Sflow, wanted: Export) -> bool:
    return present.targets == (wanted.collector,) and (
        (present.agent, present.sampling, present.polling_s, present.header_bytes)
        == (wanted.agent, wanted.sampling, wanted.polling_s, wanted.header_bytes)
    )
