"""The ids of our meters: the one place where a range has a number. A test holds them apart.

What is within `OURS` is ours to change and to delete. Linux knows no meter from 200,000 on (DP_METER_NUM_MAX in
net/openvswitch/meter.h), Open vSwitch's own datapath none from 2^18 on.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from suimon.pipeline.facts import Facts

OURS: Final = range(0x10000, 0x40000)


class Range(IntEnum):
    """Where each range starts; it ends where the next one starts."""

    NUMBERED = 0x10000  # + a number of its own: those that few things have, the limits of QoS policies above all
    COMPLAINTS = 0x18000  # + a port's number: what routers complain about to it, and it to others (`quoting`)
    AGENT = 0x20000  # + a port's number: what is handed to the agent for it
    SERVICES = 0x28000  # + a port's number: what it asks the services of its host
    HOST = 0x30000  # one each for the whole host: those below


def numbered(facts: Facts, name: str) -> int:
    """The id of a meter that not everything has; the name says whose it is and what it counts."""
    return Range.NUMBERED | facts.number("meter", name)


ARP: Final = Range.HOST + 0
"""What is answered to us on provider networks."""
NEIGHBOUR: Final = Range.HOST + 1
"""Packets that wait for an external next hop and come by no router that has a meter of its own."""
ALIVE: Final = Range.HOST + 4
"""What gateway hosts answer about themselves."""
OTHERS_COMPLAINTS: Final = Range.HOST + 5
"""What routers complain about to others than ports of this host."""
PROBES: Final = Range.HOST + 6
"""What looks like a probe that is waited for on a provider network."""
