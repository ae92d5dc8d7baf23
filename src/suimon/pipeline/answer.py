"""Stage answer: what the host answers itself, so that no broadcast crosses the cloud and no tenant needs a DHCP
process.

ARP for router and floating addresses is turned around here (RFC 826), that for ports in `who_has`; DHCP requests, and
ARP replies that the agent asked for, go to the agent, each through a meter of its own, so that no guest keeps the agent
busy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import meters
from suimon.pipeline.antispoof import DHCP_REQUEST, leased
from suimon.pipeline.count import counted
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import FROM_GUEST, FROM_PROVIDER, NET, ORIGIN, SENT_OUTSIDE, SOURCE
from suimon.pipeline.flow import (
    IN_PORT,
    Action,
    Flow,
    Goto,
    Meter,
    Move,
    Output,
    ToController,
    UseMeter,
    flow,
    set_field,
)
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.remote import tag
from suimon.pipeline.tables import Stage

_ARP_REQUEST: Final[dict[str, object]] = {"eth_type": 0x0806, "arp_op": 1}


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield Meter(meters.ARP, owner, rate=200, burst=200, packets=True)
    yield flow(Stage.ANSWER, 1, owner, {ORIGIN: FROM_GUEST}, [*counted(SENT_OUTSIDE), Goto(Stage.FLOATING_IN)])
    yield flow(Stage.ANSWER, 0, owner, {}, [Goto(Stage.FLOATING_IN)])


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    network = facts.network(port.network_id)
    if network is None or port.id not in facts.ofports:
        return
    number = facts.number("port", port.id)
    for fixed in port.fixed_ips:
        if ":" in fixed.ip:
            continue
        # Asking for its own address is how a guest looks for duplicates: the answer must not come from here.
        own: dict[str, object] = {SOURCE: number, **_ARP_REQUEST, "arp_tpa": fixed.ip}
        yield flow(Stage.ANSWER, 110, owner, own, [Goto(Stage.LOOKUP)])
    yield Meter(meters.Range.AGENT | number, owner, rate=10, burst=20, packets=True)
    if leased(facts, port):
        actions: list[Action] = [UseMeter(meters.Range.AGENT | number), ToController()]
        yield flow(Stage.ANSWER, 100, owner, {SOURCE: number, **DHCP_REQUEST}, actions)


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    for interface in router.interfaces if router.up else ():
        if ":" not in interface.ip and facts.network(interface.network_id):
            yield _answered(facts, owner, interface.network_id, interface.ip, interface.mac)


def floating_flows(facts: Facts, owner: Owner, floating: view.FloatingIp) -> Iterator[Part]:
    """Whoever asks on the external network, this host answers: the port behind the address is here."""
    network, port = facts.network(floating.network_id), facts.port(floating.port_id)
    if network is None or port is None or not facts.listens(port):
        return
    number = facts.number("network", network.id)
    yield _answered(facts, owner, network.id, floating.address, floating.mac)
    outside: dict[str, object] = {NET: number, ORIGIN: FROM_PROVIDER}
    yield unanswered(owner, outside, floating.mac)
    asked = outside | _ARP_REQUEST | {"arp_tpa": floating.address}
    yield flow(
        Stage.ANSWER, 100, owner, asked, [*arp_reply(floating.address, floating.mac), *tag(network), Output(IN_PORT)]
    )
    yield reply_heard(owner, outside, floating.address, floating.mac)


def _answered(facts: Facts, owner: Owner, network_id: str, ip: str, mac: str) -> Flow:
    asked = {NET: facts.number("network", network_id), ORIGIN: FROM_GUEST, **_ARP_REQUEST, "arp_tpa": ip}
    return flow(Stage.ANSWER, 100, owner, asked, [*arp_reply(ip, mac), Goto(Stage.REPLY)])


def unanswered(owner: Owner, outside: Mapping[str, object], mac: str) -> Flow:
    """Another host of ours announces that it has this MAC now: an answer would lead switches on the way back here."""
    own = {**outside, "eth_type": 0x0806, "arp_sha": mac}
    return flow(Stage.ANSWER, 110, owner, own, [Goto(Stage.FLOATING_IN)])


def reply_heard(owner: Owner, outside: Mapping[str, object], ip: str, mac: str) -> Flow:
    """What answers the agent's question for a next hop. A reply to others is theirs, whatever address it names."""
    reply = {**outside, "eth_type": 0x0806, "arp_op": 2, "arp_tpa": ip, "arp_tha": mac}
    return flow(Stage.ANSWER, 100, owner, reply, [UseMeter(meters.ARP), ToController()])


def arp_reply(ip: str, mac: str) -> list[Action]:
    """Turns a question for `ip` around (RFC 826); whoever uses it sends it back."""
    return [
        Move("eth_src", "eth_dst"),
        set_field("eth_src", mac),
        set_field("arp_op", 2),
        Move("arp_sha", "arp_tha"),
        set_field("arp_sha", mac),
        Move("arp_spa", "arp_tpa"),
        set_field("arp_spa", ip),
    ]


PRODUCERS: Final[Producers] = {
    "bridge": bridge_flows,
    "port": port_flows,
    "router": router_flows,
    "floating_ip": floating_flows,
}
