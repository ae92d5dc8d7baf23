"""Local IPs, in stages answer, floating_in and local_back: an address that means, on each host, a port of that host.

Guests of the port's network on this host, the port itself excepted, find it at its local IP: ARP is answered with its
MAC and what they send there is rewritten to its own address. So that only answers to that, and nothing else that the
port sends them, come from the local IP again, each connection is remembered in a conntrack zone of the port's own, with
the local IP as its mark; the rewriting is done by flows (docs/decisions/0025). Where several ports of a host stand for
one address, the first does. What is announced of the address elsewhere reaches no guest here, and the port announces it
to nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import meters
from suimon.pipeline.answer import arp_reply
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import CT_REPLY, CT_TRACKED, FROM_GUEST, NET, ORIGIN, SOURCE, ZONE
from suimon.pipeline.flow import Action, Ct, Goto, Move, flow, set_field
from suimon.pipeline.numbers import LOCAL_ZONES
from suimon.pipeline.program import Part, Producers, Zone
from suimon.pipeline.quoting import quotes, quoting
from suimon.pipeline.tables import Stage

_ARP: Final[dict[str, object]] = {"eth_type": 0x0806}
_IPV4: Final[dict[str, object]] = {"eth_type": 0x0800}
_ANSWER: Final = (CT_TRACKED | CT_REPLY, CT_TRACKED | CT_REPLY)


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    answered = _IPV4 | {"ct_state": _ANSWER}
    yield flow(Stage.LOCAL_BACK, 100, owner, answered, [Move("ct_mark", "ipv4_src"), Goto(Stage.LOOKUP)])
    yield flow(Stage.LOCAL_BACK, 0, owner, {}, [Goto(Stage.LOOKUP)])


def stands_for(facts: Facts, name: str) -> view.Port | None:
    """The port that an address means on this host; `name` is "network id/address"."""
    ports = filter(None, map(facts.port, facts.found("local", name)))
    return next((port for port in ports if port.id in facts.ofports and port.up and port.active), None)


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    """What the port sends may be the answer to a guest who found it at a local IP."""
    if port.id not in facts.ofports or facts.network(port.network_id) is None:
        return
    number = facts.number("port", port.id)
    meant = sorted({local.fixed_ip for local in port.local_ips if _translated(port, local)})
    if meant:
        yield Zone(LOCAL_ZONES | number)
        answer = flow(Stage.LOCAL_BACK, 100, owner, {SOURCE: number, **_IPV4, "ct_state": _ANSWER})
        yield from quoting(answer, meters.Range.COMPLAINTS | number, (Move("ct_mark", "ipv4_src"),))
    for ip in meant:
        asking: list[Action] = [set_field(ZONE, LOCAL_ZONES | number), Ct(ZONE, Stage.LOCAL_BACK)]
        yield flow(Stage.FLOATING_IN, 70, owner, {SOURCE: number, **_IPV4, "ipv4_src": ip}, asking)


def address_flows(facts: Facts, owner: Owner, name: str) -> Iterator[Part]:
    """For all who may ask for a local IP on its network; `name` is "network id/address"."""
    network_id, _, address = name.partition("/")
    network = facts.network(network_id)
    port = stands_for(facts, name)
    if network is None or not network.up or port is None:
        return
    number, here = facts.number("port", port.id), {NET: facts.number("network", network_id)}
    asked = {ORIGIN: FROM_GUEST, **_ARP, "arp_op": 1, "arp_tpa": address}
    yield flow(Stage.ANSWER, 105, owner, here | asked, [*arp_reply(address, port.mac), Goto(Stage.REPLY)])
    yield flow(Stage.ANSWER, 106, owner, {SOURCE: number, **asked}, [Goto(Stage.LOOKUP)])
    announced = _ARP | {"arp_spa": address, "arp_tpa": address}
    yield flow(Stage.LOOKUP, 120, owner, {SOURCE: number, **announced})
    yield flow(Stage.BLOCK_IN, 200, owner, here | announced)
    local = next(local for local in port.local_ips if local.address == address)
    if not _translated(port, local):
        return
    to_local = here | {ORIGIN: FROM_GUEST, **_IPV4, "ipv4_dst": address}
    translated: list[Action] = [
        set_field("eth_dst", port.mac),
        set_field("ipv4_dst", local.fixed_ip),
        set_field(ZONE, LOCAL_ZONES | number),
        Ct(ZONE, commit=True, mark=int(IPv4Address(address))),
        Goto(Stage.LOOKUP),
    ]
    arriving = flow(Stage.FLOATING_IN, 80, owner, to_local, translated)
    yield arriving
    yield (quoted := quotes(facts, owner))
    yield from quoting(arriving, quoted.meter_id)
    yield flow(Stage.FLOATING_IN, 81, owner, to_local | {SOURCE: number}, [Goto(Stage.LOOKUP)])


def _translated(port: view.Port, local: view.LocalIp) -> bool:
    """Otherwise the guest itself has the address."""
    own = local.fixed_ip in {fixed.ip for fixed in port.fixed_ips}
    return local.translated and own and ":" not in local.address + local.fixed_ip


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "port": port_flows, "local_ip": address_flows}
