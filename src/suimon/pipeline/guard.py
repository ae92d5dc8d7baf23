"""Stage antispoof for IPv6: a guest sends from its own addresses, and tells of neighbours only what is its own.

With port security a packet passes from the port's MAC with one of its IPv6 addresses, its link-local address, or an
allowed address pair. Neighbour discovery is looked into: a solicitation's and an advertisement's link-layer address is
the sender's, an advertisement is about an address of its own, and only who looks for duplicates of that has no address
yet (RFC 4862, 5.4). A guest is no router and no DHCP server: router advertisements, redirects (RFC 6105) and what a
DHCPv6 server says are dropped, and with them headers that can't be read to their end (RFC 7113).

A guest without IPv6 whom no DHCP tells its IPv4 address has nothing but its link-local address to ask the services of
its host from, what its addresses are. It may: them, and nobody else.

None of this comes in fragments (RFC 6980). What a first fragment says is dropped as a whole packet would be. One that
hides its type in the next is, too: later ones that no first one came with are no packet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import ipv6
from suimon.pipeline.antispoof import leased
from suimon.pipeline.claims import onwards
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import NOT_LATER, SOURCE
from suimon.pipeline.flow import Action, Goto, flow
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.services import METADATA_IP6, SERVICES
from suimon.pipeline.tables import Stage

_NO_MAC: Final = 0
"""How a missing link-layer option looks."""
ROGUE: Final = (
    ipv6.ICMPV6 | {"icmpv6_type": ipv6.ROUTER_ADVERTISEMENT},
    ipv6.ICMPV6 | {"icmpv6_type": ipv6.REDIRECT},
    ipv6.DHCPV6_REPLY,
)
"""What routers and DHCP servers say; of who speaks no IPv6 everything is dropped."""


def bridge_flows(_facts: Facts, owner: Owner, _name: str) -> Iterator[Part]:
    """What no guest with port security may send, for all of them."""
    for dropped in (
        ipv6.IPV6 | {"ip_proto": 0},  # Headers cut off or too strange: else the last one's protocol stands here.
        ipv6.ICMPV6 | {"icmpv6_type": 0, "ip_frag": NOT_LATER},  # An ICMPv6 header that is cut off, or hidden.
        # A target of nobody is also how Open vSwitch shows a message with an option given twice.
        ipv6.ICMPV6 | {"icmpv6_type": ipv6.SOLICITATION, "icmpv6_code": 0, "nd_target": ipv6.NOBODY},
    ):
        yield flow(Stage.ANTISPOOF, 120, owner, dropped)
    for kind in (ipv6.ROUTER_SOLICITATION, ipv6.SOLICITATION, ipv6.ADVERTISEMENT):
        yield flow(Stage.ANTISPOOF, 105, owner, ipv6.ICMPV6 | {"icmpv6_type": kind})


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    if port.id not in facts.ofports or not port.security:
        return
    number = facts.number("port", port.id)
    if not _identities(port)[port.mac] and not leased(facts, port):
        yield from _asking_services(owner, {SOURCE: number, "eth_src": port.mac}, port.mac)
    for rogue in ROGUE if ipv6.speaks(port) else ():
        yield flow(Stage.ANTISPOOF, 120, owner, {SOURCE: number, **rogue})
    for mac, cidrs in _identities(port).items():
        if not cidrs:
            continue
        own: dict[str, object] = {SOURCE: number, "eth_src": mac}
        yield from _passing(owner, own, [*cidrs, ipv6.link_local(mac)])
        yield from _discovering(owner, own, mac, {cidr: onwards(facts, port, mac, cidr) for cidr in cidrs})
        asking = Goto(Stage.ANSWER if ipv6.advertised(facts, port) else Stage.LIMIT_OUT)
        solicitation = own | ipv6.ICMPV6 | ipv6.WHOLE | {"icmpv6_type": ipv6.ROUTER_SOLICITATION}
        for source in (ipv6.NOBODY, ipv6.link_local(mac)):
            yield flow(Stage.ANTISPOOF, 110, owner, solicitation | {"ipv6_src": source}, [asking])
        if ipv6.leased(facts, port):
            request = own | ipv6.DHCPV6_REQUEST | {"ipv6_src": ipv6.link_local(mac)}
            yield flow(Stage.ANTISPOOF, 110, owner, request, [Goto(Stage.ANSWER)])


def _asking_services(owner: Owner, own: dict[str, object], mac: str) -> Iterator[Part]:
    """By IPv6, from its link-local address: who has theirs, and then what they answer."""
    asking = own | ipv6.IPV6 | {"ipv6_src": ipv6.link_local(mac)}
    who_has = {"icmpv6_type": ipv6.SOLICITATION, "icmpv6_code": 0, "nd_target": METADATA_IP6, "nd_sll": mac}
    yield flow(Stage.ANTISPOOF, 110, owner, asking | ipv6.ICMPV6 | ipv6.WHOLE | who_has, [Goto(Stage.ANSWER)])
    for protocol, field, l4_port in SERVICES:
        asked = {"ipv6_dst": METADATA_IP6, "ip_proto": protocol, field: l4_port}
        yield flow(Stage.ANTISPOOF, 100, owner, asking | asked, [Goto(Stage.LIMIT_OUT)])


def _passing(owner: Owner, own: dict[str, object], cidrs: list[str]) -> Iterator[Part]:
    for cidr in cidrs:
        yield flow(Stage.ANTISPOOF, 100, owner, own | ipv6.IPV6 | {"ipv6_src": cidr}, [Goto(Stage.LIMIT_OUT)])
    # Who joins the group of an address that it doesn't have yet has none to send from (RFC 3590).
    for kind in (131, 143):
        joining = own | ipv6.ICMPV6 | {"icmpv6_type": kind, "ipv6_src": ipv6.NOBODY}
        yield flow(Stage.ANTISPOOF, 100, owner, joining, [Goto(Stage.LIMIT_OUT)])


def _discovering(
    owner: Owner, own: dict[str, object], mac: str, advertised: Mapping[str, list[Action]]
) -> Iterator[Part]:
    """`advertised` are its addresses, and what becomes of an advertisement of each."""
    solicitation = own | ipv6.ICMPV6 | ipv6.WHOLE | {"icmpv6_type": ipv6.SOLICITATION, "icmpv6_code": 0}
    advertisement = own | ipv6.ICMPV6 | ipv6.WHOLE | {"icmpv6_type": ipv6.ADVERTISEMENT, "icmpv6_code": 0}
    link_local = ipv6.link_local(mac)
    answered: list[Action] = [Goto(Stage.ANSWER)]
    for cidr, told_of in {**advertised, link_local: answered}.items():
        asking = solicitation | {"ipv6_src": cidr, "nd_sll": mac}
        yield flow(Stage.ANTISPOOF, 110, owner, asking, answered)
        probing = solicitation | {"ipv6_src": ipv6.NOBODY, "nd_target": cidr, "nd_sll": _NO_MAC}
        yield flow(Stage.ANTISPOOF, 110, owner, probing, answered)
        # An advertisement that was asked for by name may leave the option out (RFC 4861, 4.4).
        for told in (mac, _NO_MAC):
            for source in {cidr, link_local}:
                telling = advertisement | {"ipv6_src": source, "nd_target": cidr, "nd_tll": told}
                yield flow(Stage.ANTISPOOF, 110, owner, telling, told_of)


def _identities(port: view.Port) -> dict[str, list[str]]:
    """MAC → the IPv6 addresses and prefixes that it may use, but for the link-local one."""
    identities = {port.mac: {fixed.ip for fixed in port.fixed_ips}}
    for pair in port.pairs:
        identities.setdefault(pair.mac, set()).add(pair.cidr)
    return {
        mac: sorted({cidr for cidr in cidrs if ":" in cidr} - {ipv6.link_local(mac)})
        for mac, cidrs in identities.items()
    }


PRODUCERS: Final[Producers] = {"bridge": bridge_flows, "port": port_flows}
