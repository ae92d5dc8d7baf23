"""Flow records as numpy arrays: what the collector decodes, the store keeps and the detectors fold over.

A batch is one structured array of RECORD. This is the only module of `model` that needs numpy, and nothing outside
telemetry and detection may import it: numpy may be missing where those are left out (docs/decisions/0045).
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

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

Batch = NDArray[np.void]
"""An array of RECORD."""

FROM_GUEST: Final = 1
TO_GUEST: Final = 2
"""What `direction` says; 0 when unknown."""
_CUTS_AT_ONCE: Final = 1 << 18


class Cuts(NamedTuple):
    """Records cut at the bounds of equal steps of time; four arrays of one length."""

    record: NDArray[np.int64]
    """Index into the batch."""
    at_s: NDArray[np.float64]
    """UTC seconds at which the step begins."""
    packets: NDArray[np.uint64]
    bytes: NDArray[np.uint64]


def batch_of(length: int) -> Batch:
    """So many empty records: of no cloud port, with no time, everything else 0."""
    batch: Batch = np.zeros(length, RECORD)
    batch["port"] = -1
    return batch


def scaled(batch: Batch, column: str) -> NDArray[np.uint64]:
    """`packets` or `bytes` times the sampling; as reported where that is unknown, so then a lower bound."""
    found: NDArray[np.uint64] = batch[column] * np.maximum(batch["sampling"], 1)
    return found


def spread(batch: Batch, since_s: float, until_s: float, step_s: float = 1.0) -> Iterator[Cuts]:
    """The packets and bytes (as reported) of each record, laid evenly over its duration and cut every `step_s`.

    Steps begin at multiples of `step_s`; those that begin in [since_s, until_s) are given, in pieces of bounded size.
    The cuts of a record add up to exactly what it reported when the window covers it. A record without duration is
    one cut.
    """
    first = np.floor(batch["begun"] / step_s)
    # What ends at the very beginning of a step has no share in it, unless it began there.
    last = np.maximum(np.ceil(batch["ended"] / step_s) - 1, first)
    first = np.maximum(first, np.ceil(since_s / step_s))
    last = np.minimum(last, np.ceil(until_s / step_s) - 1)
    counts = np.maximum(last - first + 1, 0).astype(np.int64)
    sums = np.cumsum(counts)
    start = 0
    while start < len(batch):
        done = sums[start - 1] if start else 0
        end = max(int(np.searchsorted(sums, done + _CUTS_AT_ONCE, "right")), start + 1)
        yield _cut(batch[start:end], start, first[start:end], counts[start:end], step_s)
        start = end


def _cut(batch: Batch, offset: int, first: NDArray[Any], counts: NDArray[np.int64], step_s: float) -> Cuts:
    record = np.repeat(np.arange(len(batch)), counts)
    begins = np.cumsum(counts) - counts
    step = first[record] + (np.arange(len(record)) - begins[record])
    begun, ended = batch["begun"][record], batch["ended"][record]
    # Neighbouring cuts have the same share at their common bound, so rounding loses nothing.
    shares = [_share(at_s, begun, ended) for at_s in (step * step_s, (step + 1) * step_s)]
    packets, octets = (_between(shares, batch[name][record]) for name in ("packets", "bytes"))
    return Cuts(record + offset, step * step_s, packets, octets)


def _share(at_s: NDArray[Any], begun: NDArray[Any], ended: NDArray[Any]) -> NDArray[Any]:
    """How much of each record was over at `at_s`; what has no duration is over once that is past."""
    share = (at_s - begun) / np.where(ended > begun, ended - begun, 1.0)
    return np.where(at_s <= begun, 0.0, np.where(at_s >= ended, 1.0, np.minimum(share, 1.0)))


def _between(shares: list[NDArray[Any]], total: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # A float has not all digits of a large number, so the whole is taken as it is.
    before, after = (np.where(share < 1.0, (total * share).astype(np.uint64), total) for share in shares)
    found: NDArray[np.uint64] = after - before
    return found
