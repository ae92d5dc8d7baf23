"""Stage remote: out of this host, by tunnel or by a provider network.

A router's MAC is on every host: what each of them sends by a provider network carries a MAC of the host's own instead,
or the switches there would learn the router now here, now there (docs/decisions/0018). A
probe that is waited for outside goes to the agent instead (docs/decisions/0026).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import meters
from suimon.pipeline.classify import TAG_PRESENT
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import NET
from suimon.pipeline.flow import IN_PORT, Action, Meter, Output, PushVlan, ToController, UseMeter, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage


def bridge_flows(facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    if any(place.startswith("provider/") for place in facts.probes):
        yield Meter(meters.PROBES, owner, rate=100, burst=100, packets=True)


def network_flows(facts: Facts, owner: Owner, network: view.Network) -> Iterator[Part]:
    """For a tunnel, `lookup` or the flood group has set the endpoint (tun_dst) before."""
    on_network: dict[str, object] = {NET: facts.number("network", network.id)}
    if network.tunnelled:
        tunnel = facts.tunnel(network)
        if tunnel is not None:
            assert network.segment is not None
            actions: list[Action] = [set_field("tun_id", network.segment), Output(tunnel)]
            yield flow(Stage.REMOTE, 100, owner, on_network, actions)
        return
    ofport = facts.physnets.get(network.physnet or "")
    if ofport is not None:
        yield flow(Stage.REMOTE, 100, owner, on_network, [*tag(network), Output(ofport)])
        if probe := facts.probes.get(f"provider/{network.physnet}"):
            caught: list[Action] = [UseMeter(meters.PROBES), ToController()]
            yield flow(Stage.REMOTE, 200, owner, on_network | probe.looks(), caught)


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    for leg in {(leg.network_id, leg.mac): leg for leg in router.interfaces}.values() if router.up else ():
        network = facts.network(leg.network_id)
        ofport = facts.physnets.get(network.physnet or "") if network else None
        if network is not None and ofport is not None:
            routed: dict[str, object] = {NET: facts.number("network", network.id), "eth_src": leg.mac}
            actions = [set_field("eth_src", host_mac(facts.host)), *tag(network)]
            yield flow(Stage.REMOTE, 110, owner, routed, [*actions, Output(ofport)])
            # What a gateway host routes in may leave by where it came from, which only the name IN_PORT allows.
            if router.gateway and router.gateway.ip6:
                yield flow(Stage.REMOTE, 120, owner, routed | {"in_port": ofport}, [*actions, Output(IN_PORT)])


def host_mac(host: str) -> str:
    """A locally administered address (IEEE 802c) that no port gets: their prefixes have other first octets."""
    return f"0e:{blake2b(host.encode(), digest_size=5).digest().hex(':')}"


def tag(network: view.Network) -> list[Action]:
    """Put on the VLAN tag that frames of the network carry outside br-int, if any."""
    if network.kind != "vlan":
        return []
    return [PushVlan(), set_field("vlan_vid", TAG_PRESENT | (network.segment or 0))]


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "network": network_flows, "router": router_flows}
