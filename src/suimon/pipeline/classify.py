"""Stage classify (and tunnel): where a packet comes in decides its network and, from a guest, its port.

What comes in by a port that nobody plugged, with a VLAN tag from a guest, from an unknown tunnel endpoint or on an
unknown segment matches nothing and is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.facts import Facts, set_name
from suimon.pipeline.fields import FROM_GUEST, FROM_PROVIDER, FROM_TUNNEL, GROUP_SET, NET, ORIGIN, SOURCE, ZONE
from suimon.pipeline.flow import Action, Flow, Goto, PopVlan, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage

NO_TAG: Final = 0
TAG_PRESENT: Final = 0x1000
"""OFPVID_PRESENT: with it, vlan_vid matches a tagged frame."""


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    ofport = facts.ofports.get(port.id)
    network = facts.network(port.network_id)
    if ofport is None or network is None or not (port.up and network.up):
        return
    number = facts.number("port", port.id)
    group_set = facts.number("set", set_name(port)) if port.security else 0
    yield flow(
        Stage.CLASSIFY,
        100,
        owner,
        {"in_port": ofport, "vlan_vid": NO_TAG},
        [
            set_field(NET, facts.number("network", network.id)),
            set_field(ORIGIN, FROM_GUEST),
            set_field(SOURCE, number),
            set_field(ZONE, number),
            set_field(GROUP_SET, group_set),
            Goto(Stage.BLOCK_OUT),
        ],
    )


def network_flows(facts: Facts, owner: Owner, network: view.Network) -> Iterator[Part]:
    if not network.up:
        return
    number = facts.number("network", network.id)
    if network.kind == "vxlan":
        assert network.segment is not None
        actions: list[Action] = [set_field(NET, number), set_field(ORIGIN, FROM_TUNNEL), Goto(Stage.LOOKUP)]
        yield flow(Stage.TUNNEL, 100, owner, {"tun_id": network.segment}, actions)
        return
    ofport = facts.physnets.get(network.physnet or "")
    if ofport is not None:
        yield _from_provider(network, owner, number, ofport)


def vtep_flows(facts: Facts, owner: Owner, vtep: str) -> Iterator[Part]:
    """Only endpoints that hold a peer of ours may send through the tunnel."""
    if facts.tunnel_ofport is not None and facts.has("vtep", vtep):
        yield flow(Stage.CLASSIFY, 100, owner, {"in_port": facts.tunnel_ofport, "tun_src": vtep}, [Goto(Stage.TUNNEL)])


def _from_provider(network: view.Network, owner: Owner, number: int, ofport: int) -> Flow:
    tagged = network.kind == "vlan"
    untag: list[Action] = [PopVlan()] if tagged else []
    vlan_vid = TAG_PRESENT | (network.segment or 0) if tagged else NO_TAG
    actions: list[Action] = [*untag, set_field(NET, number), set_field(ORIGIN, FROM_PROVIDER), Goto(Stage.ANSWER)]
    return flow(Stage.CLASSIFY, 100, owner, {"in_port": ofport, "vlan_vid": vlan_vid}, actions)


PRODUCERS: Final[Producers] = {"port": port_flows, "network": network_flows, "vtep": vtep_flows}
