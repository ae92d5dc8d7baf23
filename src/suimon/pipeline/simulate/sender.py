"""What a guest would send to an address: by the MAC that ARP or a solicitation tells it, from its own addresses or
others that it claims.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal

import msgspec

from suimon.model.view import Peer, Port
from suimon.pipeline.facts import Facts
from suimon.pipeline.simulate.packet import ACK, SYN, Ends, Packet, icmp_echo, tcp, udp


class QuestionError(ValueError):
    """The question has no answer here; says why, and what to ask."""


class Wanted(msgspec.Struct, frozen=True):
    """What is sent. `as_mac` and `as_ip` are what the guest claims to be; empty for what its port really is."""

    protocol: str = "icmp"
    l4_port: int = 0
    as_mac: str = ""
    as_ip: str = ""
    size: int = 64
    """Of the IP packet, in bytes."""
    l4_source: int = 40000


def leaving(facts: Facts, port: Port, to: str, wanted: Wanted) -> Packet:
    """What opens a connection from the port to `to`, as its interface hands it over. Raises QuestionError."""
    to = address(to)
    source, _ = first_address(port, 6 if ":" in to else 4)
    mac = next_mac(facts, port, to)
    claimed = claimed_mac(wanted.as_mac) or port.mac, address(wanted.as_ip) if wanted.as_ip else source
    return opening(Ends(claimed[0], mac, claimed[1], to), wanted)


def next_mac(facts: Facts, port: Port, to: str) -> str:
    """Of the destination if it is on the port's subnet, of the subnet's gateway otherwise. Raises QuestionError."""
    to = address(to)
    _, subnet_id = first_address(port, 6 if ":" in to else 4)
    subnet = facts.subnet(subnet_id)
    on_link = subnet is not None and ip_address(to) in ip_network(subnet.cidr)
    nexthop = to if on_link or subnet is None else subnet.gateway_ip
    if nexthop is None:
        raise QuestionError(f"{to} is not on the port's subnet, which has no gateway: the guest has no route to it")
    mac = found_mac(facts, port.network_id, nexthop)
    if mac is None:
        raise QuestionError(
            f"nobody has {nexthop} on the port's network, as far as this host knows: "
            f"{'a solicitation' if ':' in nexthop else 'ARP'} gets no answer"
        )
    return mac


def found_mac(facts: Facts, network_id: str, ip: str) -> str | None:
    """Who answers ARP, or neighbour solicitations, for `ip` on the network."""
    for name in facts.found("port@network", network_id):
        port = facts.port(name)
        if port and ip in [each.ip for each in port.fixed_ips]:
            return port.mac
        if held := _held_mac(port, ip):
            return held
    for name in facts.found("peer@network", network_id):
        peer = facts.peer(name)
        if peer and ip in peer.ips:
            return peer.mac
        if held := _held_mac(peer, ip):
            return held
    for name in facts.found("router@network", network_id):
        router = facts.router(name)
        for interface in router.interfaces if router else ():
            if interface.network_id == network_id and interface.ip == ip:
                return interface.mac
    return facts.neighbours.get((network_id, ip))


def _held_mac(port: Port | Peer | None, ip: str) -> str | None:
    """By which its guest answers for a virtual address."""
    return next((held.mac for held in port.holds if held.cidr == ip), None) if port else None


def opening(ends: Ends, wanted: Wanted) -> Packet:
    """The first packet of a connection between these ends. Raises QuestionError."""
    packet = _first(ends, wanted)
    return msgspec.structs.replace(packet, size=wanted.size)


def _first(ends: Ends, wanted: Wanted) -> Packet:
    match wanted.protocol:
        case "icmp":
            return icmp_echo(ends)
        case "tcp" if wanted.l4_port:
            return tcp(ends, wanted.l4_port, wanted.l4_source)
        case "udp" if wanted.l4_port:
            return udp(ends, wanted.l4_port, wanted.l4_source)
        case "tcp" | "udp":
            raise QuestionError(f"{wanted.protocol} needs --port")
    raise QuestionError(f"protocol {wanted.protocol!r} is none of icmp, tcp, udp")


def answering(packet: Packet, eth_dst: str) -> Packet:
    """What whoever got the packet sends back, to the MAC that it has for the way back."""
    fields = packet.fields
    swapped = dict(fields) | {
        "eth_src": fields["eth_dst"],
        "eth_dst": int(eth_dst.replace(":", ""), 16),
        "ip_ttl": 64,
    }
    for pair in ("ipv4", "ipv6", "tcp", "udp"):
        if f"{pair}_src" in fields:
            swapped |= {f"{pair}_src": fields[f"{pair}_dst"], f"{pair}_dst": fields[f"{pair}_src"]}
    swapped |= {name: reply for name, reply in (("icmp_type", 0), ("icmpv6_type", 129)) if name in fields}
    flags = SYN | ACK if "tcp_src" in fields else 0
    return msgspec.structs.replace(packet, fields=swapped, tcp_flags=flags)


def address(text: str) -> str:
    """Raises QuestionError for what is none."""
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise QuestionError(f"{text!r} is not an IP address") from error


def packet_ip(packet: Packet, end: Literal["src", "dst"]) -> str:
    """As text."""
    fields = packet.fields
    if "ipv6_src" in fields:
        return str(IPv6Address(fields[f"ipv6_{end}"]))
    return str(IPv4Address(fields.get(f"ipv4_{end}", 0)))


def claimed_mac(text: str) -> str:
    """In lower case. Raises QuestionError for what is none."""
    if text and not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
        raise QuestionError(f"{text!r} is not a MAC address like fa:16:3e:00:00:01")
    return text.lower()


def first_address(port: Port, version: int = 4) -> tuple[str, str]:
    """The port's first address of that IP version and its subnet. Raises QuestionError."""
    for fixed in port.fixed_ips:
        if (":" in fixed.ip) == (version == 6):
            return fixed.ip, fixed.subnet_id
    raise QuestionError(f"port {port.id} has no IPv{version} address")
