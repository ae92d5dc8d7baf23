"""Stage lookup: the destination MAC decides where a frame goes on its network.

Known MACs only: to a local port, to the tunnel endpoint of a peer, to a router. What a guest sends to an unknown MAC
leaves by the provider network if there is one, and is dropped on a tunnelled network, whose ports are all known.
Broadcast and multicast go to the network's local ports and to those hosts that have ports on it; what came in from
outside goes to local ports only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import FROM_GUEST, NET, ORIGIN, ROUTER, TARGET
from suimon.pipeline.flow import Action, Bucket, Goto, Group, Resubmit, UseGroup, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage

GROUP: Final = 0x5A000000
"""Group ids of ours. A network has two: twice its number floods everywhere, one more floods to local ports only."""
_MANY: Final = "01:00:00:00:00:00/01:00:00:00:00:00"
"""The group bit: every broadcast and multicast address has it."""


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    network = facts.network(port.network_id)
    if network is None or port.id not in facts.ofports:
        return
    actions: list[Action] = [set_field(TARGET, facts.number("port", port.id)), Goto(Stage.BLOCK_IN)]
    for mac in sorted({port.mac, *(pair.mac for pair in port.pairs)}):
        yield flow(Stage.LOOKUP, 100, owner, {NET: facts.number("network", network.id), "eth_dst": mac}, actions)


def peer_flows(facts: Facts, owner: Owner, peer: view.Peer) -> Iterator[Part]:
    network = facts.network(peer.network_id)
    if network is None or network.kind != "vxlan" or peer.host == facts.host or peer.vtep is None:
        return
    number = facts.number("network", network.id)
    actions: list[Action] = [set_field("tun_dst", peer.vtep), Goto(Stage.REMOTE)]
    for mac in sorted({peer.mac, *peer.macs}):
        yield flow(Stage.LOOKUP, 90, owner, {NET: number, ORIGIN: FROM_GUEST, "eth_dst": mac}, actions)


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    for interface in router.interfaces if router.up else ():
        if facts.network(interface.network_id):
            number = facts.number("network", interface.network_id)
            matched: dict[str, object] = {NET: number, ORIGIN: FROM_GUEST, "eth_dst": interface.mac}
            actions: list[Action] = [set_field(ROUTER, facts.number("router", router.id)), Goto(Stage.ROUTE)]
            yield flow(Stage.LOOKUP, 110, owner, matched, actions)


def network_flows(facts: Facts, owner: Owner, network: view.Network) -> Iterator[Part]:
    number = facts.number("network", network.id)
    everywhere, here = GROUP | number << 1, GROUP | number << 1 | 1
    local = tuple(_local_buckets(facts, network))
    yield Group(everywhere, owner, (*local, *_remote_buckets(facts, network)))
    yield Group(here, owner, local)
    many: dict[str, object] = {NET: number, "eth_dst": _MANY}
    yield flow(Stage.LOOKUP, 60, owner, many | {ORIGIN: FROM_GUEST}, [UseGroup(everywhere)])
    yield flow(Stage.LOOKUP, 50, owner, many, [UseGroup(here)])
    if network.kind != "vxlan":
        yield flow(Stage.LOOKUP, 10, owner, {NET: number, ORIGIN: FROM_GUEST}, [Goto(Stage.REMOTE)])


def _local_buckets(facts: Facts, network: view.Network) -> Iterator[Bucket]:
    for port_id in facts.found("port@network", network.id):
        if port_id in facts.ofports:
            yield Bucket((set_field(TARGET, facts.number("port", port_id)), Resubmit(Stage.BLOCK_IN)))


def _remote_buckets(facts: Facts, network: view.Network) -> Iterator[Bucket]:
    if network.kind != "vxlan":
        yield Bucket((Resubmit(Stage.REMOTE),))
        return
    for vtep in facts.found("vtep@network", network.id):
        yield Bucket((set_field("tun_dst", vtep), Resubmit(Stage.REMOTE)))


PRODUCERS: Final[Producers] = {"port": port_flows, "peer": peer_flows, "router": router_flows, "network": network_flows}
