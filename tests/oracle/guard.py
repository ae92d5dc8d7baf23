"""What one port may send and be sent: anti-spoofing, port blocks and security groups, as the API reference has them.

Connections of stateful groups are remembered by the tuple that opened them. A packet of a connection is allowed as long
as a rule allows that tuple, whichever way it flies.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any, Final

from tests.oracle.frame import ECHO, ECHO_REPLY, ICMP, ICMPV6, TCP, UDP, Frame, link_local

Body = dict[str, Any]
PROTOCOLS: Final = {
    "icmp": (ICMP, ICMPV6),
    "ipv6-icmp": (ICMP, ICMPV6),
    "icmpv6": (ICMP, ICMPV6),
    "tcp": (TCP,),
    "udp": (UDP,),
}
NO_ADDRESS: Final = ("0.0.0.0", "::")


def within(ip: str, cidr: str) -> bool:
    network = ip_network(cidr, strict=False)
    return ip_address(ip).version == network.version and ip_address(ip) in network


def identities(port: Body) -> Iterator[tuple[str, str]]:
    """(MAC, address or CIDR) that the port may send from."""
    for fixed in port["fixed_ips"]:
        yield port["mac_address"], fixed["ip_address"]
    for pair in port["allowed_address_pairs"]:
        yield pair["mac_address"], pair["ip_address"]


def macs(port: Body) -> set[str]:
    return {port["mac_address"], *(pair["mac_address"] for pair in port["allowed_address_pairs"])}


def genuine(port: Body, frame: Frame) -> bool:
    """Whether the frame speaks for nobody but its port. A port with IPv6 also has a link-local address."""
    mine = {cidr for mac, cidr in identities(port) if mac == frame.eth_src}
    six = {cidr for cidr in mine if ":" in cidr}
    mine |= {link_local(frame.eth_src)} if six else set()
    own = any(within(frame.src, cidr) for cidr in mine) if frame.src else False
    match frame.what:
        case "arp":
            probe = frame.asks and frame.src == "0.0.0.0" and frame.eth_src in macs(port)
            return frame.mac == frame.eth_src and (own or probe)
        case "nd":
            about = [cidr for cidr in mine if within(frame.about, cidr)]
            if frame.asks:
                return (own and frame.mac == frame.eth_src) or (bool(about) and (frame.src, frame.mac) == ("::", ""))
            by = frame.src == link_local(frame.eth_src) or any(within(frame.src, cidr) for cidr in about)
            return bool(about) and by and frame.mac in (frame.eth_src, "")
        case "ip":
            lost = asks_for_lease(frame) and frame.src == "0.0.0.0" and frame.eth_src in macs(port)
            return (own or lost) and not _serves(frame)
    return False


def _serves(frame: Frame) -> bool:
    """A guest is no DHCP server: clients take what comes to their L4 port, from whichever it is (RFC 7610)."""
    return frame.protocol == UDP and frame.second == (546 if frame.ipv6 else 68)


def asks_for_lease(frame: Frame) -> bool:
    return frame.what == "ip" and frame.protocol == UDP and not frame.ipv6 and (frame.first, frame.second) == (68, 67)


def blocked(blocks: list[Body], direction: str, frame: Frame) -> bool:
    """A port block closes an L4 port, whatever the security groups say."""
    return frame.what == "ip" and any(
        block["direction"] == direction
        and PROTOCOLS[block["protocol"]] == (frame.protocol,)
        and block["port_range_min"] <= frame.second <= (block["port_range_max"] or block["port_range_min"])
        and _remote(block["remote_ip_prefix"], direction, frame)
        for block in blocks
    )


def _remote(prefix: str | None, direction: str, frame: Frame) -> bool:
    return not prefix or within(frame.dst if direction == "egress" else frame.src, prefix)


def may_open(frame: Frame) -> bool:
    """Of ICMP, only a query; a SYN+ACK answers, whatever else TCP sends is picked up in the middle."""
    if frame.protocol in ECHO:
        return frame.first == ECHO[frame.protocol]
    return frame.protocol != TCP or frame.opens


class Rules:
    """The security groups' rules of a cloud; `members` are the addresses of a remote or an address group."""

    def __init__(self, rules: list[Body], stateful: dict[str, bool], members: dict[str, set[str]]) -> None:
        self._rules, self._stateful, self._members = rules, stateful, members

    def stateful(self, port: Body) -> bool:
        return all(self._stateful[group] for group in port["security_groups"])

    def allow(self, port: Body, direction: str, frame: Frame) -> bool:
        return any(
            rule["security_group_id"] in port["security_groups"]
            and rule["direction"] == direction
            and self._speaks_of(rule, frame)
            for rule in self._rules
        )

    def _speaks_of(self, rule: Body, frame: Frame) -> bool:
        if (rule["ethertype"] == "IPv6") != frame.ipv6 or not self._service(rule, frame):
            return False
        remote = rule["remote_group_id"] or rule["remote_address_group_id"]
        far = frame.dst if rule["direction"] == "egress" else frame.src
        if remote and not any(within(far, cidr) for cidr in self._members.get(remote, ())):
            return False
        return _remote(rule["remote_ip_prefix"], rule["direction"], frame)

    @staticmethod
    def _service(rule: Body, frame: Frame) -> bool:
        if rule["protocol"] is None:
            return True
        protocols = PROTOCOLS.get(rule["protocol"]) or (int(rule["protocol"]),)
        low, high = rule["port_range_min"], rule["port_range_max"]
        if frame.protocol not in protocols:
            return False
        if frame.protocol in ECHO:
            # Of ICMP the range is type and code; Neutron's "no type" and "no code" is any.
            return low in (None, frame.first) and high in (None, frame.second)
        return low is None or low <= frame.second <= high


class Connections:
    """What the tracker of each port remembers."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str], set[Frame]] = {}
        """By port and host: nothing of it moves with the port."""

    def opener(self, port: Body, direction: str, frame: Frame) -> tuple[str, Frame] | None:
        """The direction and the packet that opened this packet's connection; itself if it opens one; None: neither."""
        known = self._opened.get(_seat(port), set())
        if frame.quoted:
            return _opener_of_quoted(known, direction, frame.quoted)
        tuple_, other = _tuple(frame), _tuple(_answer(frame))
        if tuple_ not in known and other in known:
            return ("ingress" if direction == "egress" else "egress"), other
        return (direction, tuple_) if tuple_ in known or may_open(frame) else None

    def remember(self, port: Body, opener: Frame) -> None:
        self._opened.setdefault(_seat(port), set()).add(opener)

    def forget_all_but(self, ports: list[Body]) -> None:
        """A port that went, or moved, took its connections with it."""
        seats = {_seat(port) for port in ports}
        self._opened = {seat: opened for seat, opened in self._opened.items() if seat in seats}


def _opener_of_quoted(known: set[Frame], direction: str, quoted: Frame) -> tuple[str, Frame] | None:
    """An error goes against what it quotes; about what nobody knows, it is nobody's business."""
    against = "ingress" if direction == "egress" else "egress"
    tuple_, answered = _tuple(quoted), _tuple(_answer(quoted))
    if tuple_ in known:
        return against, tuple_
    return (direction, answered) if answered in known else None


def _seat(port: Body) -> tuple[str, str]:
    return port["id"], port["binding:host_id"]


def _answer(frame: Frame) -> Frame:
    if frame.protocol in ECHO:
        other = {ECHO[frame.protocol]: ECHO_REPLY[frame.protocol], ECHO_REPLY[frame.protocol]: ECHO[frame.protocol]}
        return frame.but(src=frame.dst, dst=frame.src, first=other.get(frame.first, frame.first))
    return frame.but(src=frame.dst, dst=frame.src, first=frame.second, second=frame.first)


def _tuple(frame: Frame) -> Frame:
    """Only what tells connections apart."""
    return frame.but(eth_src="", eth_dst="", ttl=0, opens=True, mac="")
