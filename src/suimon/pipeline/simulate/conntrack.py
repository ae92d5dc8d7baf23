"""The connection tracker of the simulated switch: one table of connections per zone.

What counts as new follows Open vSwitch's userspace tracker: a TCP packet without a connection is picked up as new even
in mid-stream, but SYN+ACK and impossible flags are invalid; of ICMP only queries open a connection; of all other
protocols, SCTP with its ports too, what two addresses say to each other is one connection. A connection is
established once it was seen in both directions (ovs-fields(7), ct_state): until then what its opener sends is new. A
later fragment belongs to the connection of its datagram, but its packet is told no ports, as in userspace. The
userspace tracker calls some of that established already, so no flow may give the two different fates.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from suimon.pipeline.fields import CT_ESTABLISHED, CT_INVALID, CT_NEW, CT_RELATED, CT_REPLY, CT_TRACKED
from suimon.pipeline.simulate.packet import ACK, FIN, ICMP_REPLY, ICMPV6_REPLY, PSH, RST, SYN, URG, Packet

_IP: Final = (0x0800, 0x86DD)
_ADDRESSES: Final = ("ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst")
UNTRACKED: Final = dict.fromkeys(("ct_state", "ct_mark", "ct_nw_proto", *_ADDRESSES, "ct_tp_src", "ct_tp_dst"), 0)
"""The conntrack fields of a packet that no `ct` action has tracked (or not since the last one)."""

_INVALID: Final = {**UNTRACKED, "ct_state": CT_TRACKED | CT_INVALID}
_ICMP_REPLIES: Final = {1: ICMP_REPLY, 58: ICMPV6_REPLY}
_ICMP_OTHER: Final = {
    protocol: replies | {reply: query for query, reply in replies.items()}
    for protocol, replies in _ICMP_REPLIES.items()
}
"""Protocol → ICMP type of a query or a reply → type of the other one."""
_OPENING: Final = {1: (8, 13, 15), 58: (128,)}
"""The ICMP queries that open a connection."""
_IDS: Final = {
    1: ("icmp_type", "icmp_code"),
    6: ("tcp_src", "tcp_dst"),
    17: ("udp_src", "udp_dst"),
    58: ("icmpv6_type", "icmpv6_code"),
}


class Tuple(NamedTuple):
    """What tells connections apart, as one direction sees it; for ICMP the "ports" are type and code."""

    zone: int
    protocol: int
    src: int
    dst: int
    version: int
    src_id: int
    dst_id: int
    icmp_id: int

    def reversed(self) -> Tuple:
        if types := _ICMP_OTHER.get(self.protocol):
            return self._replace(src=self.dst, dst=self.src, src_id=types.get(self.src_id, self.src_id))
        return self._replace(src=self.dst, dst=self.src, src_id=self.dst_id, dst_id=self.src_id)


class Connection(msgspec.Struct):
    """A committed connection, by the tuple of the packet that was committed first."""

    original: Tuple
    replied: bool = False
    mark: int = 0


def tuple_of(zone: int, packet: Packet) -> Tuple:
    """Of a later fragment that of its datagram."""
    fields = packet.fields if packet.first is None else packet.first.fields | packet.fields
    first, second = _IDS.get(fields["ip_proto"], ("", ""))
    version = 6 if fields["eth_type"] == 0x86DD else 4
    return Tuple(
        zone,
        fields["ip_proto"],
        fields[f"ipv{version}_src"],
        fields[f"ipv{version}_dst"],
        version,
        fields.get(first, 0),
        fields.get(second, 0),
        packet.icmp_id,
    )


def opens(seen: Tuple, packet: Packet) -> bool:
    """Whether a packet without a connection begins one; else it is invalid."""
    if seen.protocol in _OPENING:
        return seen.src_id in _OPENING[seen.protocol]
    if seen.protocol == 6:
        return not _impossible(packet.tcp_flags) and packet.tcp_flags & (SYN | ACK) != SYN | ACK
    return True


class Conntrack:
    """All zones of one switch. Nothing expires."""

    def __init__(self) -> None:
        self._connections: dict[Tuple, Connection] = {}

    def track(self, zone: int, packet: Packet, *, commit: bool, mark: int = 0) -> dict[str, int]:
        """The conntrack fields that `packet` has after `ct(zone=…)`; with `commit` a new connection is remembered, and
        a connection gets the mark, if it is one.
        """
        fields = self._track(zone, packet, commit=commit)
        about = packet.quoted or packet
        connection = self._connections.get(tuple_of(zone, about)) if packet.fields.get("eth_type") in _IP else None
        if connection is not None:
            connection.mark = mark or connection.mark
            fields |= {"ct_mark": connection.mark}
        return fields if packet.first is None else fields | {"ct_tp_src": 0, "ct_tp_dst": 0}

    def flush(self, zone: int) -> None:
        """Forget all connections of a zone."""
        self._connections = {seen: each for seen, each in self._connections.items() if seen.zone != zone}

    def _track(self, zone: int, packet: Packet, *, commit: bool) -> dict[str, int]:
        if packet.fields.get("eth_type") not in _IP:
            return _INVALID
        if packet.quoted is not None:
            return self._related(zone, packet.quoted)
        seen = tuple_of(zone, packet)
        connection = self._connections.get(seen)
        if connection is None:
            return self._new(seen, packet, commit=commit)
        if seen.protocol == 6 and _impossible(packet.tcp_flags):
            return _INVALID
        reply = connection.original != seen
        connection.replied |= reply
        state = CT_ESTABLISHED if connection.replied else CT_NEW
        return _fields(state | (CT_REPLY if reply else 0), connection.original)

    def _new(self, seen: Tuple, packet: Packet, *, commit: bool) -> dict[str, int]:
        if not opens(seen, packet):
            return _INVALID
        if commit:
            self._connections[seen] = self._connections[seen.reversed()] = Connection(seen)
        return _fields(CT_NEW, seen)

    def _related(self, zone: int, quoted: Packet) -> dict[str, int]:
        """An ICMP error goes against the packet that it quotes."""
        about = tuple_of(zone, quoted)
        connection = self._connections.get(about)
        if connection is None:
            return _INVALID
        return _fields(CT_RELATED | (CT_REPLY if connection.original == about else 0), connection.original)


def _impossible(flags: int) -> bool:
    """Flag combinations that no TCP sends (RFC 9293, 3.10.7)."""
    if flags & SYN:
        return bool(flags & (RST | FIN)) or (not flags & ACK and bool(flags & (PSH | URG)))
    return not flags & (ACK | RST) or (not flags & ACK and bool(flags & (FIN | PSH | URG)))


def _fields(state: int, original: Tuple) -> dict[str, int]:
    kind = "ipv6" if original.version == 6 else "nw"
    return {
        "ct_state": CT_TRACKED | state,
        "ct_mark": 0,
        "ct_nw_proto": original.protocol,
        **dict.fromkeys(_ADDRESSES, 0),
        f"ct_{kind}_src": original.src,
        f"ct_{kind}_dst": original.dst,
        "ct_tp_src": original.src_id,
        "ct_tp_dst": original.dst_id,
    }
