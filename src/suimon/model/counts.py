"""What a host's switch has counted of its ports: totals that only grow, each with what it counts since.

The agent reads them, `telemetry` turns two readings into what passed between them. A counter that was made anew is
another one: whoever compares must see that, so a value alone says nothing.
"""

from __future__ import annotations

import msgspec


class Count(msgspec.Struct, frozen=True, gc=False):
    """`counter` names what counts; of a flow, `born_s` is when it was put in, by the host's own clock since its boot.

    Two readings are of one counter if the names are equal and the births nearly: an age is told with some delay.
    """

    counter: str
    born_s: float
    bytes: int
    packets: int


class PortCounts(msgspec.Struct, frozen=True, gc=False):
    """Of one port: `received` by the guest and `sent` by it, and the part of each that is from or to the outside.

    What is None can't be told now. `plugged_s` is since when the switch has the interface, by the clock of `born_s`.
    `parent` is whose interface a trunk's subport has: that one's device counts it, too.
    """

    port_id: str
    plugged_s: float
    received: Count | None = None
    sent: Count | None = None
    received_outside: Count | None = None
    sent_outside: Count | None = None
    parent: str = ""


class Drops(msgspec.Struct, frozen=True, gc=False):
    """So many packets that a port sent were dropped for this reason (a key of `pipeline.drops.WORDS`) in `span_s`."""

    port_id: str
    reason: str
    packets: int
    span_s: float


class Reading(msgspec.Struct, frozen=True):
    """All ports of a host at once. `boot` names the host's life, `clock_s` is its time since; `age_s` before it is
    told, the counters were read, so that the hour can be the controller's: a host's own may be wrong.
    """

    boot: str
    clock_s: float
    ports: tuple[PortCounts, ...]
    age_s: float = 0.0
    dropped: tuple[Drops, ...] = ()
    """What anti-spoofing dropped since the last reading, where it was anything; lost with a reading that isn't told."""


class Activity(msgspec.Struct, frozen=True):
    """What one port did within `span_s`, counted by its host just now.

    `sent` is what the guest sent, whatever was dropped of it; `received` is what came to it. `sessions` are the
    connections which were asked about and were opened meanwhile, with so many `peers`; None: they can't be looked at
    one by one, for there are too many `connections`, or none are tracked. What was dropped is None when nobody asked.
    """

    span_s: float
    sent_packets: int
    sent_bytes: int
    received_packets: int
    received_bytes: int
    sessions: int | None = None
    peers: int = 0
    connections: int | None = None
    restricted_out: int | None = None
    """Packets of the guest that restrictions, blocks and limits dropped; `restricted_in` of those to it."""
    restricted_in: int | None = None
    forged: int | None = None
    """Packets of the guest that anti-spoofing dropped."""
    let_on: int | None = None
    """Packets of the guest that the switch took and nothing of the above dropped. A flood loses some before."""
    let_in: int | None = None
    """Packets to the guest that its limits let through, by this port alone: `received` is what its interface got, of a
    trunk's parent what its subports got, too. None where no packets are limited.
    """


class Metered(msgspec.Struct, frozen=True):
    """Whose traffic a port's is, and whether it is bound to the host that read it, active or not: one that has just
    left isn't.
    """

    project_id: str
    network_id: str
    bound: bool = True
