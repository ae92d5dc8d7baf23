"""NetFlow v5: one fixed layout, so datagrams of all exporters are decoded together."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.model.records import Batch, batch_of
from suimon.telemetry.flow.clocks import Header, believed, said
from suimon.telemetry.flow.datagrams import Bytes, Places, read, within
from suimon.telemetry.flow.decoding import of_layout

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
PROGRAM: Final = of_layout(_RECORD, 4)
_INTERVAL: Final = 0x3FFF
"""The rest of the header's last field is the mode of sampling."""


class Decoded(NamedTuple):
    """`doubted` are records whose time was not believed."""

    batch: Batch
    doubted: NDArray[np.bool_]


class Headers(NamedTuple):
    """What datagrams say before their records; each has a whole header.

    `counts` are records that are there, `broken` datagrams that say something else.
    """

    begins: Places
    """Of the first record."""
    counts: Places
    sampling: NDArray[np.int64]
    times: Header
    broken: NDArray[np.bool_]


def headers(flat: Bytes, begins: Places, lengths: Places, arrived_s: NDArray[np.float64]) -> Headers:
    said_count = read(flat, ">u2", begins + 2).astype(np.int64)
    counts = np.minimum(said_count, (lengths - HEADER_BYTES) // _RECORD.itemsize)
    exported_s = read(flat, ">u4", begins + 8) + read(flat, ">u4", begins + 12) / 1e9
    uptime_ms = read(flat, ">u4", begins + 4).astype(np.int64)
    sampling = (read(flat, ">u2", begins + 22) & _INTERVAL).astype(np.int64)
    times = Header(arrived_s, exported_s, uptime_ms)
    return Headers(begins + HEADER_BYTES, counts, sampling, times, (counts < said_count) | (said_count == 0))


def decode(flat: Bytes, of: Headers) -> Decoded:
    """`exporter` is left to the caller."""
    owner, at = within(of.begins, of.counts, _RECORD.itemsize)
    # Copied as plain bytes: as records they would be copied field by field.
    rows = read(flat, f"V{_RECORD.itemsize}", at).view(_RECORD)
    batch = batch_of(len(rows))
    for name in _TAKEN:
        batch[name] = rows[name]
    batch["ip_version"] = 4
    batch["sampling"] = of.sampling[owner]
    header = of.times.some(owner)
    columns = {name: rows[name] for name in ("begun_uptime_ms", "ended_uptime_ms")}
    batch["begun"], batch["ended"], doubted = believed(*said(columns, header), header)
    return Decoded(batch, doubted)
