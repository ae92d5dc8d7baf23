"""Stage remote: out of this host, by tunnel or by a provider network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.classify import TAG_PRESENT
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import NET
from suimon.pipeline.flow import Action, Output, PushVlan, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage


def network_flows(facts: Facts, owner: Owner, network: view.Network) -> Iterator[Part]:
    """For a tunnel, `lookup` or the flood group has set the endpoint (tun_dst) before."""
    on_network: dict[str, object] = {NET: facts.number("network", network.id)}
    if network.kind == "vxlan":
        if facts.tunnel_ofport is not None:
            assert network.segment is not None
            actions: list[Action] = [set_field("tun_id", network.segment), Output(facts.tunnel_ofport)]
            yield flow(Stage.REMOTE, 100, owner, on_network, actions)
        return
    ofport = facts.physnets.get(network.physnet or "")
    if ofport is not None:
        yield flow(Stage.REMOTE, 100, owner, on_network, [*tag(network), Output(ofport)])


def tag(network: view.Network) -> list[Action]:
    """Put on the VLAN tag that frames of the network carry outside br-int, if any."""
    if network.kind != "vlan":
        return []
    return [PushVlan(), set_field("vlan_vid", TAG_PRESENT | (network.segment or 0))]


PRODUCERS: Final[Producers] = {"network": network_flows}
