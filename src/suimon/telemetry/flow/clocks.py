"""When a record was, in UTC seconds, whatever the exporter's clock says."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.telemetry.flow.layout import Columns

Times = NDArray[np.float64]
BOUND_S: Final = 60.0
"""A clock that is farther from ours than this isn't believed: then what is said counts from the time of arrival."""
LONGEST_S: Final = 3600.0
"""A record that says it took longer has begun so long before its end."""
_NTP_EPOCH_S: Final = 2_208_988_800


class Header(NamedTuple):
    """What a datagram says of its own time, of each record."""

    arrived_s: Times
    exported_s: Times
    uptime_ms: NDArray[np.int64]

    def some(self, which: NDArray[np.int64]) -> "Header":
        return Header(self.arrived_s[which], self.exported_s[which], self.uptime_ms[which])


def said(columns: Columns, header: Header) -> tuple[Times, Times]:
    """When records began and ended by the exporter's clock. What says neither was when it was exported."""
    ended = _said(columns, header, "ended")
    begun = _said(columns, header, "begun")
    if ended is None:
        ended = _observed(columns, header)
    return ended if begun is None else begun, ended


def _observed(columns: Columns, header: Header) -> Times:
    if "observed_ms" in columns:
        return columns["observed_ms"] / 1e3
    return columns["observed_s"].astype(np.float64) if "observed_s" in columns else header.exported_s


def _said(columns: Columns, header: Header, name: str) -> Times | None:
    """RFC 7011, section 6.1.7 to 6.1.10: micro- and nanoseconds are NTP's seconds and 32 bits of their fraction."""
    for unit in ("ns", "us"):
        if (stamp := columns.get(f"{name}_{unit}")) is not None:
            whole, fraction = stamp.astype(np.uint64) >> np.uint64(32), stamp.astype(np.uint64) & np.uint64(0xFFFFFFFF)
            found: Times = whole.astype(np.float64) - _NTP_EPOCH_S + fraction.astype(np.float64) / (1 << 32)
            return found
    if (ms := columns.get(f"{name}_ms")) is not None:
        return ms / 1e3
    if (seconds := columns.get(f"{name}_s")) is not None:
        return seconds.astype(np.float64)
    if (ago := columns.get(f"{name}_ago_us")) is not None:
        return header.exported_s - ago / 1e6
    if (uptime := columns.get(f"{name}_uptime_ms")) is not None:
        return _by_uptime(uptime, columns, header)
    return None


def _by_uptime(uptime: NDArray[np.uint32], columns: Columns, header: Header) -> Times:
    if "booted_ms" in columns:
        return columns["booted_ms"] / 1e3 + uptime / 1e3
    # Both counters wrap after 49 days, so only their difference means something.
    ago = (header.uptime_ms - uptime.astype(np.int64)).astype(np.uint32).astype(np.int32)
    found: Times = header.exported_s - ago / 1e3
    return found


def believed(begun: Times, ended: Times, header: Header) -> tuple[Times, Times, NDArray[np.bool_]]:
    """The times by our clock, and of which records they are not what was said."""
    if _plausible(begun, ended, header):
        return begun, ended, np.zeros(len(begun), bool)
    wrong = np.abs(header.exported_s - header.arrived_s) > BOUND_S
    shift = np.where(wrong, header.arrived_s - header.exported_s, 0.0)
    begun, ended = begun + shift, ended + shift
    outside = ~((ended <= header.arrived_s + BOUND_S) & (ended >= header.arrived_s - LONGEST_S))
    begun = np.where(outside, header.arrived_s - np.clip(ended - begun, 0.0, LONGEST_S), begun)
    ended = np.where(outside, header.arrived_s, ended)
    backwards = ~(begun <= ended)
    long = ended - begun > LONGEST_S
    begun = np.where(backwards, ended, np.where(long, ended - LONGEST_S, begun))
    return begun, ended, wrong | outside | backwards | long


def _plausible(begun: Times, ended: Times, header: Header) -> bool:
    """Whether all that is said can be believed as it is: nearly always so, and told with a few passes over it."""
    if not len(begun):
        return True
    took, late = ended - begun, header.arrived_s - ended
    off = header.exported_s - header.arrived_s
    # What is no number compares as false.
    return bool(
        (took.min() >= 0.0 and took.max() <= LONGEST_S)
        and (late.min() > -BOUND_S and late.max() < LONGEST_S)
        and (off.min() > -BOUND_S and off.max() < BOUND_S)
    )
