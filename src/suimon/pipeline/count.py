"""Stages count, inside and tally: how much of a port's traffic is with the outside (docs/decisions/0044).

The other address of a packet is inside if a subnet of the port's network has it, or a leg of one of the network's
routers, or if no packet with it ever leaves its link. What is left is counted by two flows of the port, one for each
direction, which do nothing else; a trunk's subport, which has no interface of its own, has two more for all its
traffic. All three stages are asked by resubmit, so a packet that none of them knows goes on uncounted; in the datapath
nothing of them is left but the bits of the address that they had to look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import (
    COUNTING,
    NET,
    RECEIVED,
    RECEIVED_OUTSIDE,
    ROUTER,
    SENT,
    SENT_OUTSIDE,
    SOURCE,
    TARGET,
)
from suimon.pipeline.flow import Action, Resubmit, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage

_IP: Final = (0x0800, 0x86DD)
_LINK: Final = ("169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "fe80::/10", "ff00::/8")
"""What stays on its link, or is of this host (RFC 3927, RFC 4291): the services that guests ask, too."""

_DONE: Final = (set_field(COUNTING, 0),)


def counted(way: int) -> tuple[Action, ...]:
    """What counts a packet of a port, `SENT_OUTSIDE` or `RECEIVED_OUTSIDE`, if that is what it is."""
    return (set_field(COUNTING, way), Resubmit(Stage.COUNT))


def sent(port: view.Port) -> tuple[Action, ...]:
    """What counts all that a subport sends."""
    return (set_field(COUNTING, SENT), Resubmit(Stage.TALLY)) if port.parent else ()


def received(port: view.Port) -> tuple[Action, ...]:
    """What counts what a guest is given: of a subport all, of any port what is from outside."""
    everything = (set_field(COUNTING, RECEIVED), Resubmit(Stage.TALLY)) if port.parent else ()
    return (*everything, *counted(RECEIVED_OUTSIDE))


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield from _inside(owner, {}, _LINK, 80)


def network_flows(facts: Facts, owner: Owner, network: view.Network) -> Iterator[Part]:
    here: dict[str, object] = {NET: facts.number("network", network.id)}
    asked: list[Action] = [Resubmit(Stage.INSIDE)]
    routers = [name for name in facts.found("router@network", network.id) if _has_leg(facts.router(name), network)]
    if routers:
        asked = [act for name in routers for act in (set_field(ROUTER, facts.number("router", name)), *asked)]
        asked.append(set_field(ROUTER, 0))
    for eth_type in _IP:
        yield flow(Stage.COUNT, 100, owner, here | {"eth_type": eth_type}, [*asked, Resubmit(Stage.TALLY)])
    subnets = map(facts.subnet, facts.found("subnet@network", network.id))
    yield from _inside(owner, here, {subnet.cidr for subnet in subnets if subnet}, 100)


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    behind: dict[str, object] = {ROUTER: facts.number("router", router.id)}
    yield from _inside(owner, behind, {interface.cidr for interface in router.interfaces}, 90)


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    if port.id not in facts.ofports:
        return
    number = facts.number("port", port.id)
    ways = {SENT_OUTSIDE: SOURCE, RECEIVED_OUTSIDE: TARGET} | ({SENT: SOURCE, RECEIVED: TARGET} if port.parent else {})
    for way, end in ways.items():
        yield flow(Stage.TALLY, 100, owner, {COUNTING: way, end: number}, _DONE)


def _has_leg(router: view.Router | None, network: view.Network) -> bool:
    """A router's gateway leads outside: it is no leg."""
    return router is not None and any(leg.network_id == network.id for leg in router.interfaces)


def _inside(owner: Owner, where: dict[str, object], cidrs: Iterable[str], priority: int) -> Iterator[Part]:
    """Each kind of owner has a priority of its own: a prefix may be known to several, and one flow counts it off."""
    for cidr in sorted(cidrs):
        eth_type, family = (0x86DD, "ipv6") if ":" in cidr else (0x0800, "ipv4")
        for way, end in ((SENT_OUTSIDE, "dst"), (RECEIVED_OUTSIDE, "src")):
            matched = where | {COUNTING: way, "eth_type": eth_type, f"{family}_{end}": cidr}
            yield flow(Stage.INSIDE, priority, owner, matched, _DONE)


PRODUCERS: Final[Producers] = {
    "bridge": bridge_flows,
    "network": network_flows,
    "router": router_flows,
    "port": port_flows,
}
