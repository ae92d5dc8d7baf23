"""A simulated switch: says what Open vSwitch would do with a packet, and why.

In come the flows and groups of a host and a `Packet`; out comes a `Result`: where it went or which stage dropped it,
and every lookup on the way. Tests ask whether one guest reaches another, `suimon why` asks why not. It follows
ovs-actions(7) and ovs-fields(7); a system test holds it to what `ofproto/trace` of a real switch says. It leaves out
time (connections don't expire, meters let everything pass unless told), TCP sequence numbers, and how fragments wait
for each other.
"""

from suimon.pipeline.simulate.conntrack import Conntrack
from suimon.pipeline.simulate.packet import (
    Ends,
    Packet,
    arp,
    icmp_echo,
    icmp_error,
    icmpv6,
    later_fragment,
    neighbour_advertisement,
    neighbour_solicitation,
    sctp,
    tcp,
    udp,
)
from suimon.pipeline.simulate.switch import Drop, Result, Sent, Step, Switch
from suimon.pipeline.simulate.text import explain, trace_text

__all__ = [
    "Conntrack",
    "Drop",
    "Ends",
    "Packet",
    "Result",
    "Sent",
    "Step",
    "Switch",
    "arp",
    "explain",
    "icmp_echo",
    "icmp_error",
    "icmpv6",
    "later_fragment",
    "neighbour_advertisement",
    "neighbour_solicitation",
    "sctp",
    "tcp",
    "trace_text",
    "udp",
]
