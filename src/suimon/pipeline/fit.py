"""Stage fit: a router tells a packet's sender why it does not carry it on (RFC 1812, 4.3.2 and 5.2; RFC 4443, 3).

Where a network takes smaller packets than another one of its router, the length is looked at in stage route, and the
flow that carries the packet on stands here. Packets that are too large for it, whose time to live is over or for which
there is no route go to the agent, which writes the ICMP message: those of a guest through a meter of its port, all
others through one together. Whatever the switch can do by itself, it does; what it can't is little.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import meters
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import ANY_COMPLAINT, COMPLAINT, EXPIRED, MTU, NO_ROUTE, SOURCE
from suimon.pipeline.flow import Actions, CheckLarger, Flow, Goto, Meter, ToController, UseMeter, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage

_COMPLAINED: Final = 400
_EXPIRED: Final = 280
"""Below the router's own addresses, which are no further hop."""
_NO_ROUTE: Final = 1
_ETHERNET_BYTES: Final = 14


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    for eth_type in (0x0800, 0x86DD):
        for ttl in (0, 1):
            over: dict[str, object] = {"eth_type": eth_type, "ip_ttl": ttl}
            yield flow(Stage.ROUTE, _EXPIRED, owner, over, [set_field(COMPLAINT, EXPIRED), Goto(Stage.FIT)])
        nowhere: Actions = (set_field(COMPLAINT, NO_ROUTE), Goto(Stage.FIT))
        yield flow(Stage.ROUTE, _NO_ROUTE, owner, {"eth_type": eth_type}, nowhere)
    yield Meter(meters.OTHERS_COMPLAINTS, owner, rate=100, burst=100, packets=True)
    # Also of a guest that has just gone: what went on both as too large and as not, would double with each hop of a
    # ring of routers, and the switch aborts where nested actions exceed 64 KiB (docs/decisions/0078).
    of_anybody: dict[str, object] = {COMPLAINT: ANY_COMPLAINT}
    telling: Actions = (UseMeter(meters.OTHERS_COMPLAINTS), ToController())
    yield flow(Stage.FIT, _COMPLAINED - 1, owner, of_anybody, telling)


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    told = facts.routed(port.network_id) or port.local_ips
    if port.id in facts.ofports and facts.network(port.network_id) and told:
        number = facts.number("port", port.id)
        yield Meter(meters.Range.COMPLAINTS | number, owner, rate=10, burst=20, packets=True)
        yield _told(owner, number, meters.Range.COMPLAINTS | number)


def widest(facts: Facts, router: view.Router) -> int:
    """The largest MTU of the router's networks: no packet that it gets is larger."""
    names = {leg.network_id for leg in router.interfaces} | ({router.gateway.network_id} if router.gateway else set())
    return max((network.mtu for network in map(facts.network, names) if network), default=0)


def fitting(routed: Flow, mtu: int, widest_mtu: int) -> Iterator[Flow]:
    """What carries packets on to a network of that MTU: `routed`, unless they may be too large."""
    if mtu >= widest_mtu:
        yield routed
        return
    yield msgspec.structs.replace(routed, actions=looked_at(mtu))
    yield msgspec.structs.replace(routed, key=msgspec.structs.replace(routed.key, stage=Stage.FIT))


def looked_at(mtu: int) -> Actions:
    """On to stage fit, where a packet that is larger goes no further."""
    return set_field(MTU, mtu), CheckLarger(_ETHERNET_BYTES + mtu, COMPLAINT), Goto(Stage.FIT)


def _told(owner: Owner, source: int, meter: int) -> Flow:
    matched: dict[str, object] = {SOURCE: source, COMPLAINT: ANY_COMPLAINT}
    return flow(Stage.FIT, _COMPLAINED, owner, matched, [UseMeter(meter), ToController()])


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "port": port_flows}
