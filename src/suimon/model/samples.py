"""What went through a port in a while, as it was metered: what telemetry keeps, and detectors and usage rules judge."""

from __future__ import annotations

import msgspec


class Sample(msgspec.Struct, frozen=True, gc=False):
    """Bytes and packets of one port on one host from `begun_s` to `ended_s` (UTC, seconds).

    `in` is towards the guest, `out` is what it sent; `outside` is the part of either whose other address is in no
    network that the port's network or its routers reach. Bytes are those of frames. A port that moves has samples of
    two hosts, and is their sum. `begun_s` is when the counters were read before: long ago, if nobody heard of the host.
    """

    port_id: str
    project_id: str
    network_id: str
    host: str
    begun_s: float
    ended_s: float
    in_bytes: int = 0
    in_packets: int = 0
    out_bytes: int = 0
    out_packets: int = 0
    in_outside_bytes: int = 0
    in_outside_packets: int = 0
    out_outside_bytes: int = 0
    out_outside_packets: int = 0
    in_unsplit_bytes: int = 0
    out_unsplit_bytes: int = 0
    """Of the total, what may have been outside or not: it passed while the switch lost its count of the split."""


class Dropped(msgspec.Struct, frozen=True, gc=False):
    """So many packets of a port were dropped for this reason (a key of `pipeline.drops.WORDS`) in that time."""

    port_id: str
    project_id: str | None
    reason: str
    packets: int
    begun_s: float
    ended_s: float
