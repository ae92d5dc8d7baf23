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
"""Group ids of ours. A network has two: twice its number floods everywhere, one more floods to local ports only, by a
group for each part of them (`flood_part`).
"""
_FURTHER: Final = 0x5A800000
_MOST_BUCKETS: Final = 1000
"""Tunnel endpoints in one group: about 1,300 fit an OpenFlow message. What is more stands in further groups, one behind
the other."""
_MANY: Final = "01:00:00:00:00:00/01:00:00:00:00:00"
"""The group bit: every broadcast and multicast address has it."""


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    network = facts.network(port.network_id)
    if network is not None and facts.found_here(port.id):
        matched: dict[str, object] = {NET: facts.number("network", network.id), "eth_dst": port.mac}
        yield flow(Stage.LOOKUP, 100, owner, matched, [to_port(facts, port.id), Goto(Stage.BLOCK_IN)])


def peer_flows(facts: Facts, owner: Owner, peer: view.Peer) -> Iterator[Part]:
    network = facts.network(peer.network_id)
    if network is None or not network.tunnelled or peer.host == facts.host or peer.vtep is None:
        return
    matched = {NET: facts.number("network", network.id), ORIGIN: FROM_GUEST, "eth_dst": peer.mac}
    yield flow(Stage.LOOKUP, 90, owner, matched, [set_field("tun_dst", peer.vtep), Goto(Stage.REMOTE)])


def mac_flows(facts: Facts, owner: Owner, claim: str) -> Iterator[Part]:
    """A MAC that ports may use besides their own: all that claim it get the frame, for only they know who has it."""
    network_id, _, mac = claim.partition("/")
    network = facts.network(network_id)
    claimants = facts.found("claim", claim)
    if network is None or not claimants:
        return
    matched: dict[str, object] = {NET: facts.number("network", network_id), "eth_dst": mac}
    here: list[Action] = []
    for port_id in claimants:
        if facts.found_here(port_id):
            here += [to_port(facts, port_id), Resubmit(Stage.BLOCK_IN)]
    there: list[Action] = []
    if network.tunnelled:
        for vtep in sorted({peer.vtep for peer in map(facts.peer, claimants) if peer and peer.vtep}):
            there += [set_field("tun_dst", vtep), Resubmit(Stage.REMOTE)]
    elif here:
        # Others may claim it on other hosts: on a provider network nobody tells.
        there.append(Resubmit(Stage.REMOTE))
    if here or there:
        yield flow(Stage.LOOKUP, 81, owner, matched | {ORIGIN: FROM_GUEST}, [*here, *there])
    if here:
        yield flow(Stage.LOOKUP, 80, owner, matched, here)


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    # A leg may have several addresses.
    for network_id, mac in dict.fromkeys((leg.network_id, leg.mac) for leg in router.interfaces if router.up):
        if facts.network(network_id):
            number = facts.number("network", network_id)
            matched: dict[str, object] = {NET: number, ORIGIN: FROM_GUEST, "eth_dst": mac}
            actions: list[Action] = [set_field(ROUTER, facts.number("router", router.id)), Goto(Stage.ROUTE)]
            yield flow(Stage.LOOKUP, 110, owner, matched, actions)


def network_flows(facts: Facts, owner: Owner, network: view.Network) -> Iterator[Part]:
    number = facts.number("network", network.id)
    everywhere, here = GROUP | number << 1, GROUP | number << 1 | 1
    remote = list(_remote_buckets(facts, network))
    for number_of_group in range((len(remote) - 1) // _MOST_BUCKETS, 0, -1):
        further = further_group(facts.number("group", f"{network.id}/{number_of_group}"))
        yield Group(further, owner, tuple(remote[number_of_group * _MOST_BUCKETS :]))
        remote[number_of_group * _MOST_BUCKETS :] = [Bucket((UseGroup(further),))]
    parts = facts.found("flood@network", network.id)
    yield Group(here, owner, tuple(Bucket((UseGroup(_part_group(facts, part)),)) for part in parts))
    yield Group(everywhere, owner, (Bucket((UseGroup(here),)), *remote))
    many: dict[str, object] = {NET: number, "eth_dst": _MANY}
    yield flow(Stage.LOOKUP, 60, owner, many | {ORIGIN: FROM_GUEST}, [UseGroup(everywhere)])
    yield flow(Stage.LOOKUP, 50, owner, many, [UseGroup(here)])
    if not network.tunnelled:
        yield flow(Stage.LOOKUP, 10, owner, {NET: number, ORIGIN: FROM_GUEST}, [Goto(Stage.REMOTE)])


def further_group(number: int) -> int:
    """The id of a group that no network's number stands for."""
    return _FURTHER | number


def flood_flows(facts: Facts, owner: Owner, part: str) -> Iterator[Part]:
    """The ports of this host in one part of a network's broadcasts."""
    ports = facts.found("flood", part)
    if ports:
        buckets = (Bucket((to_port(facts, port_id), Resubmit(Stage.BLOCK_IN))) for port_id in ports)
        yield Group(_part_group(facts, part), owner, tuple(buckets))


def _part_group(facts: Facts, part: str) -> int:
    return further_group(facts.number("group", part))


def _remote_buckets(facts: Facts, network: view.Network) -> Iterator[Bucket]:
    if not network.tunnelled:
        yield Bucket((Resubmit(Stage.REMOTE),))
        return
    for vtep in facts.found("vtep@network", network.id):
        yield Bucket((set_field("tun_dst", vtep), Resubmit(Stage.REMOTE)))


def to_port(facts: Facts, port_id: str) -> Action:
    """Says for which port of this host the packet is."""
    return set_field(TARGET, facts.number("port", port_id))


PRODUCERS: Final[Producers] = {
    "port": port_flows,
    "peer": peer_flows,
    "mac": mac_flows,
    "router": router_flows,
    "network": network_flows,
    "flood": flood_flows,
}
