"""ICMP errors where addresses are rewritten (stages floating_in, local_back and floating_out): they quote the packet
that they are about (RFC 792) with the address that it had on the other side, and no flow writes into that.

They go to the agent, which translates what they quote and sends them on from the same stage (RFC 3022, 4.3;
docs/decisions/0042): all else is done by the flows that every packet meets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model.owner import Owner
from suimon.pipeline import meters
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import QUOTED
from suimon.pipeline.flow import Actions, Flow, FlowKey, Meter, ToController, UseMeter, match

ERRORS: Final = (3, 11, 12)
"""Destination unreachable, "fragmentation needed" among it; time exceeded; parameter problem (RFC 5508, 3)."""
_ABOVE: Final = 5


def quotes(facts: Facts, owner: Owner) -> Meter:
    """Bounds what is handed up of what comes to an address; what a guest sends counts as its port's complaints do.

    A traceroute over 30 hops gets 90 answers.
    """
    return Meter(meters.numbered(facts, f"quoted/{owner}"), owner, rate=20, burst=100, packets=True)


def quoting(usual: Flow, meter_id: int, first: Actions = ()) -> Iterator[Flow]:
    """Hands up the errors among the IPv4 packets that are for `usual`, until they were translated; `first` is done
    before.
    """
    key = usual.key
    for kind in ERRORS:
        about = (*key.match, *match({"ip_proto": 1, "icmp_type": kind, QUOTED: 0}))
        taken = FlowKey(key.stage, key.priority + _ABOVE, tuple(sorted(about)))
        yield Flow(taken, usual.owner, (*first, UseMeter(meter_id), ToController()))
