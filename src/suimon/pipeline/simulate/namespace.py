"""A router's namespace on its gateway host, as the kernel and nftables make it of a `Nat` (`dataplane.nat`).

Of a datagram in fragments each goes where the whole would go; in the kernel they wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Final, Literal

import msgspec

from suimon.model.view import PortForwarding
from suimon.pipeline.gateway import INSIDE, NAMESPACE, OUTSIDE
from suimon.pipeline.program import Nat
from suimon.pipeline.simulate.conntrack import Tuple, opens, tuple_of
from suimon.pipeline.simulate.packet import Packet

L4: Final = {6: "tcp", 17: "udp"}
Rewrite = dict[str, int]


class Crossing(msgspec.Struct, frozen=True):
    """What became of a packet in a router's namespace, in words; `packet` is what comes back to br-int of it."""

    router_id: str
    what: Literal["translated", "routed", "answered", "dropped"]
    words: str
    packet: Packet | None = None


class Namespace:
    """Remembers the connections that it let through, for their answers, and what it rewrote of them."""

    def __init__(self) -> None:
        self._answers: dict[Tuple, Rewrite] = {}

    def forward(self, nat: Nat, packet: Packet) -> Crossing:
        fields = packet.fields
        assert fields["eth_dst"] == _mac(NAMESPACE), "handed over to somebody else"
        known = self._answers.get(tuple_of(0, packet))
        rewrite = self._rewritten(nat, _whole(packet)) if known is None else known
        if isinstance(rewrite, str):
            return Crossing(nat.router_id, "dropped", rewrite)
        if fields["ip_ttl"] <= 1 and "ip_ttl" not in rewrite:
            return Crossing(nat.router_id, "dropped", "its time to live is over")
        # A later fragment has no L4 header to be rewritten.
        sent = packet.with_fields({"ip_ttl": fields["ip_ttl"] - 1, **_present(rewrite, fields)})
        inwards = _inwards(nat, sent.fields["ipv4_dst"])
        ends = {"eth_src": _mac(NAMESPACE), "eth_dst": _mac(INSIDE if inwards else OUTSIDE)}
        if "icmp_type" in rewrite:
            return Crossing(nat.router_id, "answered", "one of the router's own addresses", sent.with_fields(ends))
        if not rewrite:
            return Crossing(nat.router_id, "routed", "led through with its own addresses", sent.with_fields(ends))
        words = f"{'as its connection was: ' if known else ''}{_rewrite_words(rewrite)}"
        return Crossing(nat.router_id, "translated", words, sent.with_fields(ends))

    def _rewritten(self, nat: Nat, packet: Packet) -> Rewrite | str:
        """Or why it is dropped."""
        fields = packet.fields
        from_outside = fields["eth_src"] == _mac(OUTSIDE)
        to_itself = str(IPv4Address(fields["ipv4_dst"])) in nat.addresses
        if not opens(tuple_of(0, packet), packet):
            # To the kernel's tracker it is invalid, and no rule for addresses is asked.
            return "it belongs to no connection that the router knows" if nat.source or to_itself else {}
        found = next((each for each in nat.forwardings if _is_for(each, packet)), None)
        if found:
            shift = fields[f"{L4[found.protocol]}_dst"] - found.first if found.inner_first != found.inner_last else 0
            inner = {"ipv4_dst": int(IPv4Address(found.ip)), f"{L4[found.protocol]}_dst": found.inner_first + shift}
            # nft: "ct status dnat snat to" the first of its addresses, so that the answer comes back here.
            nearby = {} if from_outside else {"ipv4_src": int(IPv4Address(nat.addresses[0]))}
            return self._remembered(packet, inner | nearby)
        if to_itself:
            return _ping_answered(fields) or "one of the router's own addresses, and no L4 port that is forwarded"
        if from_outside and nat.source and not _in(fields["ipv4_dst"], nat.plain):
            return "the router lets in what belongs to a connection that was opened from inside"
        hidden = nat.source and not _inwards(nat, fields["ipv4_dst"]) and not _in(fields["ipv4_src"], nat.plain)
        return self._remembered(
            packet, {"ipv4_src": int(IPv4Address(nat.source))} if hidden and not from_outside else {}
        )

    def _remembered(self, packet: Packet, rewrite: Rewrite) -> Rewrite:
        changed = packet.with_fields(rewrite)
        undone = {_other(name): packet.fields[name] for name in rewrite}
        self._answers[tuple_of(0, changed).reversed()] = undone
        return rewrite


def _whole(packet: Packet) -> Packet:
    """A later fragment, as its datagram's first."""
    return packet if packet.first is None else packet.with_fields({**packet.first.fields, **packet.fields})


def _present(rewrite: Rewrite, fields: Mapping[str, int]) -> Rewrite:
    return {name: value for name, value in rewrite.items() if name in fields}


def _ping_answered(fields: dict[str, int]) -> Rewrite | None:
    """What its addresses answer is pings alone."""
    if (fields.get("icmp_type"), fields.get("icmp_code")) != (8, 0):
        return None
    return {"ipv4_src": fields["ipv4_dst"], "ipv4_dst": fields["ipv4_src"], "icmp_type": 0, "ip_ttl": 64}


def _rewrite_words(rewrite: Rewrite) -> str:
    said = []
    for end, name in (("ipv4_src", "source"), ("ipv4_dst", "destination")):
        if end in rewrite:
            l4 = next((f":{rewrite[each]}" for each in rewrite if each in (f"tcp{end[4:]}", f"udp{end[4:]}")), "")
            said.append(f"the {name} became {IPv4Address(rewrite[end])}{l4}")
    return ", ".join(said)


def _is_for(one: PortForwarding, packet: Packet) -> bool:
    fields = packet.fields
    here = (int(IPv4Address(one.address)), one.protocol)
    l4_port = fields.get(f"{L4[one.protocol]}_dst", -1)
    return (fields["ipv4_dst"], fields["ip_proto"]) == here and one.first <= l4_port <= one.last


def _other(name: str) -> str:
    return name.replace("_src", "_dst") if "_src" in name else name.replace("_dst", "_src")


def _inwards(nat: Nat, address: int) -> bool:
    """By the longest prefix."""
    ways = [("0.0.0.0/0", False), *((cidr, True) for cidr in nat.inside), *((cidr, False) for cidr in nat.outside)]
    return max((IPv4Network(cidr).prefixlen, inwards) for cidr, inwards in ways if _in(address, (cidr,)))[1]


def _in(address: int, cidrs: tuple[str, ...]) -> bool:
    return any(IPv4Address(address) in IPv4Network(cidr) for cidr in cidrs)


def _mac(text: str) -> int:
    return int(text.replace(":", ""), 16)
