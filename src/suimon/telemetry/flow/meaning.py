"""What the columns of a template say, as records; and what options say about sampling."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suimon.model.records import Batch, batch_of
from suimon.telemetry.flow.clocks import Header, believed, said
from suimon.telemetry.flow.elements import COUNTS, TAKEN
from suimon.telemetry.flow.layout import Columns

_SAMPLING: Final = {"sampled_packets", "sampler_interval", "sampling_interval"}
_MOST_SAMPLING: Final = (1 << 32) - 1


def meant(columns: Columns, header: Header) -> tuple[Batch, NDArray[np.bool_]]:
    """Records, without exporter; `sampling` is what they say themselves. Then, of which the time was not believed."""
    batch = batch_of(len(header.arrived_s))
    for name in TAKEN:
        if name in columns:
            batch[name] = columns[name]
    for name, candidates in COUNTS.items():
        for candidate in candidates:
            if candidate in columns:
                batch[name] = columns[candidate]
                break
    for name in ("source", "destination"):
        _address(batch, columns, name)
    _version(batch, columns)
    _icmp(batch, columns)
    if (told := sampling(columns, len(batch))) is not None:
        batch["sampling"] = told
    batch["begun"], batch["ended"], doubted = believed(*said(columns, header), header)
    return batch, doubted


def _address(batch: Batch, columns: Columns, name: str) -> None:
    four = columns.get(f"{name}_ip4")
    if f"{name}_ip6_high" in columns:
        high, low = columns[f"{name}_ip6_high"], columns[f"{name}_ip6_low"]
        # A template may have both kinds of address, one of them empty.
        batch[f"{name}_high"], batch[f"{name}_low"] = high, low if four is None else np.where(high | low, low, four)
    elif four is not None:
        batch[f"{name}_low"] = four
    if f"{name}_mac" in columns:
        batch[f"{name}_mac"] = columns[f"{name}_mac"]


def _version(batch: Batch, columns: Columns) -> None:
    six, four = "source_ip6_high" in columns, "source_ip4" in columns
    if six and four:
        batch["ip_version"] = np.where(batch["source_high"] | batch["destination_high"], 6, 4)
    elif six or four or "ip_version" in columns:
        batch["ip_version"] = 6 if six else 4 if four else columns["ip_version"]


def _icmp(batch: Batch, columns: Columns) -> None:
    """Type and code are where NetFlow v5 has them, in the destination port."""
    for name in ("icmp4", "icmp6"):
        both: NDArray[Any] | None = columns.get(name)
        if both is None and f"{name}_type" in columns and f"{name}_code" in columns:
            both = columns[f"{name}_type"].astype(np.uint16) << 8 | columns[f"{name}_code"]
        if both is not None:
            batch["destination_port"] = np.where(batch["destination_port"], batch["destination_port"], both)


def sampling(columns: Columns, length: int) -> NDArray[np.int64] | None:
    """1 of how many packets, by each record itself; 0 when it doesn't say, None when none of them can."""
    if not _SAMPLING & columns.keys():
        return None
    found = np.zeros(length, np.int64)
    if "sampled_packets" in columns and "skipped_packets" in columns:
        sampled, skipped = (columns[name].astype(np.float64) for name in ("sampled_packets", "skipped_packets"))
        rate = np.rint((sampled + skipped) / np.maximum(sampled, 1.0))
        found = np.where(sampled > 0, np.minimum(rate, _MOST_SAMPLING), 0).astype(np.int64)
    for name in ("sampler_interval", "sampling_interval"):
        if name in columns:
            found = np.where(
                found > 0, found, np.minimum(columns[name].astype(np.uint64), _MOST_SAMPLING).astype(np.int64)
            )
    return found


def samplers(columns: Columns) -> NDArray[np.int64] | None:
    """Which of its exporter's samplers took each record, if it says so."""
    name = next((name for name in ("sampler", "selector") if name in columns), None)
    return None if name is None else columns[name].astype(np.uint64).astype(np.int64)


def sampling_options(columns: Columns, owner: NDArray[np.int64]) -> Iterator[tuple[int, int | None, int]]:
    """Records of an options template that tell a rate: (owner, sampler, 1 of how many packets)."""
    rates, which = sampling(columns, len(owner)), samplers(columns)
    if rates is None:
        return
    for at in np.flatnonzero(rates).tolist():
        yield int(owner[at]), None if which is None else int(which[at]), int(rates[at])
