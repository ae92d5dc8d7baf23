"""Stages answer and advertise for IPv6: who has that address is answered on the host, as with ARP.

A solicitation for a router's leg or its link-local address is made into the advertisement (RFC 4861, 7.2.4) and sent
back, one for a port in `who_has`: no multicast crosses the cloud. It takes two stages, because the switch
lets an advertisement's option be written only where a flow matches an advertisement. Who looks for duplicates
(RFC 4862, 5.4) asks from no address, and is answered by nobody but its rival. Router solicitations and DHCPv6 messages
go to the agent, by the port's meter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import ipv6, meters
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import ANSWERING, FROM_GUEST, NET, ORIGIN, SOURCE
from suimon.pipeline.flow import Action, Goto, Move, Resubmit, ToController, UseMeter, flow, set_field
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage

SOLICITED: Final = ipv6.ICMPV6 | {"icmpv6_type": ipv6.SOLICITATION, "icmpv6_code": 0}
ADVERTISED: Final = ipv6.ICMPV6 | {"icmpv6_type": ipv6.ADVERTISEMENT, "icmpv6_code": 0}
OF_ROUTER: Final = 0xE0000000
OF_HOST: Final = 0x60000000
"""The flags R, S and O of an advertisement: of a router, asked for, and it replaces what was known."""
_TARGET_OPTION: Final = 2


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    yield flow(Stage.ANSWER, 110, owner, SOLICITED | {"ipv6_src": ipv6.NOBODY}, [Goto(Stage.LOOKUP)])
    yield flow(Stage.ADVERTISE, 100, owner, ADVERTISED, [Move("eth_src", "nd_tll"), Goto(Stage.REPLY)])


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    if port.id not in facts.ofports or facts.network(port.network_id) is None:
        return
    number = facts.number("port", port.id)
    for ip in ipv6.port_addresses(port):
        # As with ARP: who asks for its own address must not find itself.
        own = {SOURCE: number, **SOLICITED, "nd_target": ip}
        yield flow(Stage.ANSWER, 105, owner, own, [Goto(Stage.LOOKUP)])
    asking: list[Action] = [UseMeter(meters.Range.AGENT | number), ToController()]
    if ipv6.advertised(facts, port):
        solicitation = {SOURCE: number, **ipv6.ICMPV6, "icmpv6_type": ipv6.ROUTER_SOLICITATION}
        yield flow(Stage.ANSWER, 100, owner, solicitation, asking)
    if ipv6.leased(facts, port):
        yield flow(Stage.ANSWER, 100, owner, {SOURCE: number, **ipv6.DHCPV6_REQUEST}, asking)


def router_flows(facts: Facts, owner: Owner, router: view.Router) -> Iterator[Part]:
    legs: dict[tuple[str, str], tuple[str, ...]] = {}
    for interface in router.interfaces if router.up else ():
        place = (interface.network_id, interface.mac)
        legs[place] = (*legs.get(place, ()), interface.ip)
    for (network_id, mac), ips in legs.items():
        if facts.network(network_id):
            network = facts.number("network", network_id)
            for ip in ipv6.addresses(mac, ips):
                asked = {NET: network, ORIGIN: FROM_GUEST, **SOLICITED, "nd_target": ip}
                yield flow(Stage.ANSWER, 100, owner, asked, advertisement(mac, ip))


def advertisement(mac: str, ip: str) -> list[Action]:
    """Turns a solicitation for `ip` around, as a router."""
    turned: list[Action] = [Move("eth_src", "eth_dst"), set_field("eth_src", mac)]
    return [*turned, Move("ipv6_src", "ipv6_dst"), set_field("ipv6_src", ip), *answering(OF_ROUTER)]


def answering(flags: int) -> list[Action]:
    """What makes a solicitation whose addresses are turned around an advertisement; stage advertise does the rest and
    sends it.

    The flags and the option's type come from a register: with the kernel's datapath the switch refuses to set them,
    which that can't do, and moves them nevertheless, as it makes answers itself (docs/decisions/0014).
    """
    return [
        set_field("ip_ttl", 255),
        set_field("icmpv6_type", ipv6.ADVERTISEMENT),
        set_field(ANSWERING, flags),
        Move(ANSWERING, "nd_reserved"),
        set_field(ANSWERING, _TARGET_OPTION),
        Move(ANSWERING, "nd_options_type"),
        Resubmit(Stage.ADVERTISE),
    ]


PRODUCERS: Final[Producers] = {
    "bridge": bridge_flows,
    "port": port_flows,
    "router": router_flows,
}
