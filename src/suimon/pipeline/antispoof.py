"""Stage antispoof: a guest speaks only as itself.

With port security, a frame passes only from the port's MAC with one of its addresses (IPv4 source; ARP sender, or none
in a probe, RFC 5227), or from an allowed address pair. It may ask for a lease: here, where the agent answers, and
otherwise like anybody who has no address yet. It may not answer as a DHCP server. All else is dropped. IPv6
is in `guard`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.claims import onwards
from suimon.pipeline.facts import Facts
from suimon.pipeline.fields import SOURCE
from suimon.pipeline.flow import Goto, flow
from suimon.pipeline.program import Part, Producers
from suimon.pipeline.tables import Stage

DHCP_REQUEST: Final[dict[str, object]] = {"eth_type": 0x0800, "ip_proto": 17, "udp_src": 68, "udp_dst": 67}
RARP: Final = 0x8035
BROADCAST: Final = "ff:ff:ff:ff:ff:ff"
DHCP_REPLY: Final[dict[str, object]] = {"eth_type": 0x0800, "ip_proto": 17, "udp_dst": 68}
"""Whatever it comes from: clients take an offer from any L4 port (as RFC 7610 has it for DHCPv6)."""


def port_flows(facts: Facts, owner: Owner, port: view.Port) -> Iterator[Part]:
    if port.id not in facts.ofports:
        return
    source: dict[str, object] = {SOURCE: facts.number("port", port.id)}
    if not port.security:
        yield flow(Stage.ANTISPOOF, 130, owner, source, [Goto(Stage.LIMIT_OUT)])
        return
    yield flow(Stage.ANTISPOOF, 120, owner, source | DHCP_REPLY)
    # A flow of the port's own, so that its owner can be told how many there were.
    yield flow(Stage.ANTISPOOF, 10, owner, source)
    network = facts.network(port.network_id)
    for mac, cidrs in _identities(port).items():
        own = source | {"eth_src": mac}
        if network is not None and not network.tunnelled:
            # QEMU announces by RARP (RFC 903) where a guest came to: a provider network's switches learn it.
            yield flow(
                Stage.ANTISPOOF, 100, owner, own | {"eth_type": RARP, "eth_dst": BROADCAST}, [Goto(Stage.ANSWER)]
            )
        if leased(facts, port):
            yield flow(Stage.ANTISPOOF, 110, owner, own | DHCP_REQUEST, [Goto(Stage.ANSWER)])
        else:
            yield flow(Stage.ANTISPOOF, 110, owner, own | DHCP_REQUEST | {"ipv4_src": 0}, [Goto(Stage.LIMIT_OUT)])
        arp = own | {"eth_type": 0x0806, "arp_sha": mac}
        yield flow(Stage.ANTISPOOF, 100, owner, arp | {"arp_spa": 0, "arp_op": 1}, [Goto(Stage.ANSWER)])
        for cidr in cidrs:
            yield flow(Stage.ANTISPOOF, 100, owner, arp | {"arp_spa": cidr}, onwards(facts, port, mac, cidr))
            ip = own | {"eth_type": 0x0800, "ipv4_src": cidr}
            yield flow(Stage.ANTISPOOF, 100, owner, ip, [Goto(Stage.LIMIT_OUT)])


def leased(facts: Facts, port: view.Port) -> bool:
    """Whether the agent answers the port's DHCP requests."""
    subnets = (facts.subnet(fixed.subnet_id) for fixed in port.fixed_ips if ":" not in fixed.ip)
    return any(subnet is not None and subnet.dhcp for subnet in subnets)


def _identities(port: view.Port) -> dict[str, list[str]]:
    """MAC → the IPv4 addresses and prefixes that it may use."""
    identities = {port.mac: [fixed.ip for fixed in port.fixed_ips]}
    for pair in port.pairs:
        identities.setdefault(pair.mac, []).append(pair.cidr)
    return {mac: sorted({cidr for cidr in cidrs if ":" not in cidr}) for mac, cidrs in identities.items()}


PRODUCERS: Final[Producers] = {"port": port_flows}
