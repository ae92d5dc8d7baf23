"""A router's NAT namespace as the kernel and nftables would be one: enough of it for the simulated switches."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from suimon.model.view import PortForwarding
from suimon.pipeline.gateway import INSIDE, NAMESPACE, OUTSIDE
from suimon.pipeline.program import Nat
from suimon.pipeline.simulate import Packet

L4 = {6: "tcp", 17: "udp"}
Rewrite = dict[str, int]


class Namespace:
    """Remembers the connections that it rewrote; `forward` gives the packet as it comes back to br-int."""

    def __init__(self) -> None:
        self._back: dict[tuple[int, ...], Rewrite] = {}

    def forward(self, nat: Nat, packet: Packet) -> Packet | None:
        fields = packet.fields
        assert fields["eth_dst"] == _mac(NAMESPACE), "handed over to somebody else"
        rewrite = self._back.get(_tuple(packet)) or self._rewritten(nat, packet)
        if rewrite is None or (fields["ip_ttl"] <= 1 and "ip_ttl" not in rewrite):
            return None
        sent = packet.with_fields({"ip_ttl": fields["ip_ttl"] - 1, **rewrite})
        inside = _in(sent.fields["ipv4_dst"], nat.inside)
        ends = {"eth_src": _mac(NAMESPACE), "eth_dst": _mac(INSIDE if inside else OUTSIDE)}
        return sent.with_fields(ends)

    def _rewritten(self, nat: Nat, packet: Packet) -> Rewrite | None:
        fields = packet.fields
        from_outside = fields["eth_src"] == _mac(OUTSIDE)
        found = next((each for each in nat.forwardings if _is_for(each, packet)), None)
        if found:
            shift = fields[f"{L4[found.protocol]}_dst"] - found.first if found.inner_first != found.inner_last else 0
            inner = {"ipv4_dst": int(IPv4Address(found.ip)), f"{L4[found.protocol]}_dst": found.inner_first + shift}
            # nft: "ct status dnat snat to" the first of its addresses, so that the answer comes back here.
            nearby = {} if from_outside else {"ipv4_src": int(IPv4Address(nat.addresses[0]))}
            return self._remembered(packet, inner | nearby)
        if str(IPv4Address(fields["ipv4_dst"])) in nat.addresses:
            return _ping_answered(fields)
        hidden = nat.source and not _in(fields["ipv4_dst"], nat.inside) and not _in(fields["ipv4_src"], nat.plain)
        if hidden and not from_outside:
            return self._remembered(packet, {"ipv4_src": int(IPv4Address(nat.source))})
        refused = from_outside and nat.source and not _in(fields["ipv4_dst"], nat.plain)
        return None if refused else {}

    def _remembered(self, packet: Packet, rewrite: Rewrite) -> Rewrite:
        changed = packet.with_fields(rewrite)
        undone = {_other(name): packet.fields[name] for name in rewrite}
        self._back[_tuple(_turned(changed))] = undone
        return rewrite


def _ping_answered(fields: dict[str, int]) -> Rewrite | None:
    """What its addresses answer is pings alone."""
    if (fields.get("icmp_type"), fields.get("icmp_code")) != (8, 0):
        return None
    return {"ipv4_src": fields["ipv4_dst"], "ipv4_dst": fields["ipv4_src"], "icmp_type": 0, "ip_ttl": 64}


def _is_for(one: PortForwarding, packet: Packet) -> bool:
    fields = packet.fields
    here = (int(IPv4Address(one.address)), one.protocol)
    l4_port = fields.get(f"{L4[one.protocol]}_dst", -1)
    return (fields["ipv4_dst"], fields["ip_proto"]) == here and one.first <= l4_port <= one.last


def _turned(packet: Packet) -> Packet:
    fields = packet.fields
    names = [name for name in fields if name.startswith(("ipv4_", "tcp_", "udp_"))]
    return packet.with_fields({_other(name): fields[name] for name in names})


def _other(name: str) -> str:
    return name.replace("_src", "_dst") if "_src" in name else name.replace("_dst", "_src")


def _tuple(packet: Packet) -> tuple[int, ...]:
    names = ("ip_proto", "ipv4_src", "ipv4_dst", "tcp_src", "tcp_dst", "udp_src", "udp_dst")
    return tuple(packet.fields.get(name, 0) for name in names)


def _in(address: int, cidrs: tuple[str, ...]) -> bool:
    return any(IPv4Address(address) in IPv4Network(cidr) for cidr in cidrs)


def _mac(text: str) -> int:
    return int(text.replace(":", ""), 16)
