"""Flow records as numpy arrays: what the collector decodes, the store keeps and the detectors fold over.

A batch is one structured array of RECORD. Of `model` only this and `loops.py` need numpy, and nothing outside
telemetry and detection may import them: numpy may be missing where those are left out (docs/decisions/0045).
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RECORD: Final = np.dtype(
    [
        ("begun", "f8"),  # UTC seconds of the first packet.
        ("ended", "f8"),  # UTC seconds of the last packet, never before `begun`.
        ("exporter", "u4"),  # Index into the collector's exporters.
        ("ip_version", "u1"),  # 4, 6, or 0 when it is no IP packet.
        ("protocol", "u1"),
        ("tcp_flags", "u1"),  # Of all packets, or-ed.
        ("direction", "u1"),  # One of Direction.
        ("source_high", "u8"),  # IPv4: 0.
        ("source_low", "u8"),
        ("destination_high", "u8"),
        ("destination_low", "u8"),
        ("source_port", "u2"),
        ("destination_port", "u2"),
        ("packets", "u8"),  # As reported: see `scaled`.
        ("bytes", "u8"),
        ("sampling", "u4"),  # 1 of so many packets; 0 when unknown.
        ("input", "u4"),  # Interface index, or OpenFlow port where the exporter says that.
        ("output", "u4"),
        ("source_mac", "u8"),  # 0 when unknown.
        ("destination_mac", "u8"),
        ("port", "i4"),  # Index into a table of cloud ports, -1 for none.
    ]
)

_BYTES: Final = np.dtype(f"V{RECORD.itemsize}")
"""A record as plain bytes: as a record it would be copied field by field."""

Batch = NDArray[np.void]
"""An array of RECORD."""

FROM_GUEST: Final = 1
TO_GUEST: Final = 2
"""What `direction` says; 0 when unknown."""


def batch_of(length: int) -> Batch:
    """So many empty records: of no cloud port, with no time, everything else 0."""
    batch: Batch = np.zeros(length, RECORD)
    batch["port"] = -1
    return batch


def joined(batches: Sequence[Batch]) -> Batch:
    """All of them in one array; at least one."""
    if len(batches) == 1:
        return batches[0]
    found: Batch = np.concatenate([each.view(_BYTES) for each in batches]).view(RECORD)
    return found


def some(batch: Batch, which: NDArray[Any]) -> Batch:
    """Copies of those records, by their indexes or a bool for each."""
    found: Batch = batch.view(_BYTES)[which].view(RECORD)
    return found


def scaled(batch: Batch, column: str) -> NDArray[np.uint64]:
    """`packets` or `bytes` times the sampling; as reported where that is unknown, so then a lower bound."""
    found: NDArray[np.uint64] = batch[column] * np.maximum(batch["sampling"], 1)
    return found
