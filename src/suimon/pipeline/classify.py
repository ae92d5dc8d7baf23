"""Stage classify (and tunnel): where a packet comes in decides its network and, from a guest, its port.

What a trunk's guest sends under a tag of the trunk is its subport's. What comes in by a port that nobody plugged, with
any other VLAN tag or with two, from an unknown tunnel endpoint or on an unknown segment is dropped. A number means a
network of the tunnel's own kind only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.count import sent
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import FROM_GUEST, FROM_PROVIDER, FROM_TUNNEL, GROUP_SET, NET, ORIGIN, SOURCE, ZONE
from suimon.pipeline.flow import Action, Flow, Goto, PopVlan, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.shared import set_name
from suimon.pipeline.tables import Stage

NO_TAG: Final = 0
TAG_PRESENT: Final = 0x1000
"""OFPVID_PRESENT: with it, vlan_vid matches a tagged frame."""
_TAGS: Final = (0x8100, 0x88A8)
"""802.1Q and 802.1ad."""


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    """A tag below the one that was taken off is nobody's: on a provider network it would be the outer one.

    Open vSwitch shows it as the Ethernet type or, with other_config:vlan-limit above 1, as a tag.
    """
    yield flow(Stage.BLOCK_OUT, 300, owner, {"vlan_vid": (TAG_PRESENT, TAG_PRESENT)})
    for eth_type in _TAGS:
        yield flow(Stage.BLOCK_OUT, 300, owner, {"vlan_vid": NO_TAG, "eth_type": eth_type})


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    ofport = facts.ofports.get(port.id)
    network = facts.network(port.network_id)
    if ofport is None or network is None or not (port.up and network.up):
        return
    number = facts.number("port", port.id)
    group_set = facts.number("set", set_name(port)) if port.security else 0
    untag: list[Action] = [PopVlan()] if port.vlan else []
    yield flow(
        Stage.CLASSIFY,
        100,
        owner,
        {"in_port": ofport, "vlan_vid": TAG_PRESENT | port.vlan if port.vlan else NO_TAG},
        [
            *untag,
            set_field(NET, facts.number("network", network.id)),
            set_field(ORIGIN, FROM_GUEST),
            set_field(SOURCE, number),
            set_field(ZONE, number),
            set_field(GROUP_SET, group_set),
            *sent(port),
            Goto(Stage.BLOCK_OUT),
        ],
    )


def network_flows(facts: Facts, owner: Owner, network: view.Network) -> Iterator[Part]:
    if not network.up:
        return
    number = facts.number("network", network.id)
    if network.tunnelled:
        tunnel = facts.tunnel(network)
        if tunnel is None:
            return
        assert network.segment is not None
        actions: list[Action] = [set_field(NET, number), set_field(ORIGIN, FROM_TUNNEL), Goto(Stage.LOOKUP)]
        yield flow(Stage.TUNNEL, 100, owner, {"in_port": tunnel, "tun_id": network.segment}, actions)
        return
    ofport = facts.physnets.get(network.physnet or "")
    if ofport is not None:
        yield _from_provider(network, owner, number, ofport)


def vtep_flows(facts: Facts, owner: Owner, vtep: str) -> Iterator[Part]:
    """Only endpoints that hold a peer of ours may send through the tunnel."""
    for tunnel in facts.tunnels.values() if facts.has("vtep", vtep) else ():
        yield flow(Stage.CLASSIFY, 100, owner, {"in_port": tunnel, "tun_src": vtep}, [Goto(Stage.TUNNEL)])


def _from_provider(network: view.Network, owner: Owner, number: int, ofport: int) -> Flow:
    tagged = network.kind == "vlan"
    untag: list[Action] = [PopVlan()] if tagged else []
    vlan_vid = TAG_PRESENT | (network.segment or 0) if tagged else NO_TAG
    actions: list[Action] = [*untag, set_field(NET, number), set_field(ORIGIN, FROM_PROVIDER), Goto(Stage.ANSWER)]
    return flow(Stage.CLASSIFY, 100, owner, {"in_port": ofport, "vlan_vid": vlan_vid}, actions)


PRODUCERS: Final[Producers] = {
    "bridge": bridge_flows,
    "port": port_flows,
    "network": network_flows,
    "vtep": vtep_flows,
}
