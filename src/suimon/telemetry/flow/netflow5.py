"""NetFlow v5: one fixed layout, so datagrams of all exporters are decoded together."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.model.records import Batch, batch_of
from suimon.telemetry.flow.clocks import Header, believed, said
from suimon.telemetry.flow.datagrams import Bytes, Places, read, within

HEADER_BYTES: Final = 24
_RECORD: Final = np.dtype(
    [
        ("source_low", ">u4"),
        ("destination_low", ">u4"),
        ("next_hop", ">u4"),
        ("input", ">u2"),
        ("output", ">u2"),
        ("packets", ">u4"),
        ("bytes", ">u4"),
        ("begun_uptime_ms", ">u4"),
        ("ended_uptime_ms", ">u4"),
        ("source_port", ">u2"),
        ("destination_port", ">u2"),
        ("padding", "u1"),
        ("tcp_flags", "u1"),
        ("protocol", "u1"),
        ("service", "u1"),
        ("systems", ">u4"),
        ("masks", ">u4"),
    ]
)
_TAKEN: Final = (
    *("source_low", "destination_low", "input", "output", "packets", "bytes", "source_port", "destination_port"),
    *("tcp_flags", "protocol"),
)
_INTERVAL: Final = 0x3FFF
"""The rest of the header's last field is the mode of sampling."""


class Decoded(NamedTuple):
    """`owner` is the datagram of each record; `broken` are datagrams that were not what they said."""

    batch: Batch
    owner: Places
    broken: NDArray[np.bool_]
    doubted: NDArray[np.bool_]
    """Records whose time was not believed."""


def decode(flat: Bytes, begins: Places, lengths: Places, arrived_s: NDArray[np.float64]) -> Decoded:
    """Each datagram has a whole header. `sampling` is what it says there, `exporter` is left to the caller."""
    said_count = read(flat, ">u2", begins + 2).astype(np.int64)
    counts = np.minimum(said_count, (lengths - HEADER_BYTES) // _RECORD.itemsize)
    owner, at = within(begins + HEADER_BYTES, counts, _RECORD.itemsize)
    # Copied as plain bytes: as records they would be copied field by field.
    rows = read(flat, f"V{_RECORD.itemsize}", at).view(_RECORD)
    batch = batch_of(len(rows))
    for name in _TAKEN:
        batch[name] = rows[name]
    batch["ip_version"] = 4
    batch["sampling"] = (read(flat, ">u2", begins + 22) & _INTERVAL)[owner]
    exported_s = read(flat, ">u4", begins + 8) + read(flat, ">u4", begins + 12) / 1e9
    header = Header(arrived_s[owner], exported_s[owner], read(flat, ">u4", begins + 4).astype(np.int64)[owner])
    columns = {name: rows[name] for name in ("begun_uptime_ms", "ended_uptime_ms")}
    batch["begun"], batch["ended"], doubted = believed(*said(columns, header), header)
    return Decoded(batch, owner, (counts < said_count) | (said_count == 0), doubted)
