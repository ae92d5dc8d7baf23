"""The stages of br-int, in order: the one place where a stage has a number.

A packet enters at CLASSIFY and only moves on to later stages, but for RULES_OUT and RULES_IN, which are asked by
resubmit from both security-group stages, for COUNT, which counts and comes back, and for routing, which goes back to
LOOKUP on the other network, as does a question for an address.
Numbers leave room for later stages; a test holds them unique and rising.
"""

from enum import IntEnum
from typing import Final


class Stage(IntEnum):
    """OpenFlow table numbers by what happens there."""

    CLASSIFY = 0  # in_port, tunnel id or VLAN → network, source port
    TUNNEL = 2  # a known tunnel endpoint's VNI → network
    BLOCK_OUT = 6  # port blocks on what a guest sends
    ANTISPOOF = 10  # MAC, IP, ARP as the port has them; everything else is dropped
    LIMIT_OUT = 14  # meters on what a guest sends, its DSCP mark
    TRACK_OUT = 18  # into the source port's conntrack zone
    GROUP_OUT = 22  # ask the rules
    ALLOW_OUT = 26  # verdict: remember the connection, or drop
    COUNT = 27  # asked by resubmit: is the other address outside? Counted for the port if it is
    INSIDE = 28  # the prefixes that are not outside
    TALLY = 29  # the flows that count, one of each port and direction
    RULES_OUT = 30  # rules for connections that the guest opened
    RULES_IN = 31  # rules for connections opened towards the guest
    SERVICE_OUT = 32  # to the services of this host: the source address becomes one that tells who asks
    ANSWER = 34  # ARP and ND for routers, DHCP: answered here; who asks for a port, goes to NEIGHBOUR
    ADVERTISE = 36  # a neighbour solicitation that became its answer gets the link-layer address
    FLOATING_IN = 38  # arriving at a floating IP: rewritten to the port behind it
    LOCAL_BACK = 40  # answers to who found a port at a local IP: from the local IP again
    LOOKUP = 42  # destination MAC on this network → local port, tunnel, provider, router, flood
    ROUTE = 46  # longest prefix of a router
    FIT = 48  # what is too large for the next network, or can't go on, is told to its sender; the rest goes on
    FLOATING_OUT = 50  # leaving for the outside: rewritten to the floating IP
    LEAVE = 52  # back from a router's namespace on its gateway host: the next hop on the external network
    NEIGHBOUR = 54  # address of a next hop, or of whom a guest asks for → MAC, then LOOKUP again
    BLOCK_IN = 58  # port blocks on what goes to a guest
    TRACK_IN = 62  # into the target port's conntrack zone
    GROUP_IN = 66
    ALLOW_IN = 70
    SERVICE_IN = 72  # from the services of this host: that address becomes the guest
    DELIVER = 74  # to the local port
    REPLY = 76  # back to the guest that asked, under its tag if it is a trunk's subport
    REMOTE = 78  # to a tunnel or a provider network

    @property
    def label(self) -> str:
        return self.name.lower()


ASIDE: Final = frozenset({Stage.COUNT, Stage.INSIDE, Stage.TALLY})
"""Asked on the way, and left again as the packet came: none of them says where it ends."""
