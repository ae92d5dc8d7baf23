"""The first bytes of packets, parsed to their ports: of many packets at once, and as far as each goes."""

from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.model.records import Batch
from suimon.telemetry.flow.datagrams import Bytes, Places, Rows, any_of, read


class Kind(IntEnum):
    """What a sampled packet begins with. Of what is none of these, nothing is read."""

    ETHERNET = 1
    IPV4 = 2
    IPV6 = 3


_TYPES: Final = {0x0800: Kind.IPV4, 0x86DD: Kind.IPV6}
_ARP: Final = 0x0806
_VLANS: Final = (0x8100, 0x88A8, 0x9100)
_MOST_VLANS: Final = 2
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51
_EXTENSIONS: Final = (0, 43, 60, _FRAGMENT, _AUTHENTICATION)
"""Headers between that of IPv6 and its payload (RFC 8200, section 4) through which we look; at most so many:"""
_MOST_EXTENSIONS: Final = 4
_TCP, _UDP, _SCTP, _ICMP, _ICMP6 = 6, 17, 132, 1, 58


def parse(flat: Bytes, begins: Places, ends: Places, kind: NDArray[np.int64], batch: Batch) -> None:
    """Fills MACs, addresses, protocol, ports and TCP flags of the packets in `flat` into the rows of `batch`."""
    every = np.arange(len(begins))
    ethernet = every[(kind == Kind.ETHERNET) & (ends - begins >= 14)]
    inner, at = kind.copy(), begins.copy()
    inner[kind == Kind.ETHERNET] = 0
    if len(ethernet):
        inner[ethernet], at[ethernet] = _ethernet(flat, begins[ethernet], ends[ethernet], ethernet, batch)
    four = every[(inner == Kind.IPV4) & (ends - at >= 20)]
    six = every[(inner == Kind.IPV6) & (ends - at >= 40)]
    if len(four):
        _ipv4(flat, at[four], ends[four], four, batch)
    if len(six):
        _ipv6(flat, at[six], ends[six], six, batch)


def _ethernet(flat: Bytes, at: Places, ends: Places, rows: Places, batch: Batch) -> tuple[NDArray[np.int64], Places]:
    """What is inside, and where it begins."""
    head = Rows(flat, 14, at)
    for name, offset in (("destination_mac", 0), ("source_mac", 6)):
        batch[name][rows] = head.field(">u2", offset).astype(np.uint64) << np.uint64(32) | head.field(">u4", offset + 2)
    kind_at, ether_type = at + 12, head.field(">u2", 12)
    for _ in range(_MOST_VLANS):
        tagged = any_of(ether_type, _VLANS) & (kind_at + 6 <= ends)
        if not tagged.any():
            break
        kind_at = kind_at + np.where(tagged, 4, 0)
        ether_type = read(flat, ">u2", kind_at)
    arp = np.flatnonzero((ether_type == _ARP) & (ends - kind_at >= 30))
    batch["source_low"][rows[arp]] = read(flat, ">u4", kind_at[arp] + 16)
    batch["destination_low"][rows[arp]] = read(flat, ">u4", kind_at[arp] + 26)
    inner = np.zeros(len(at), np.int64)
    for wire, kind in _TYPES.items():
        inner[ether_type == wire] = kind
    return inner, kind_at + 2


def _ipv4(flat: Bytes, at: Places, ends: Places, rows: Places, batch: Batch) -> None:
    first = read(flat, "u1", at)
    right = first >> 4 == 4
    at, ends, rows, header = at[right], ends[right], rows[right], (first[right] & 15).astype(np.int64) * 4
    fields = Rows(flat, 20, at)
    batch["ip_version"][rows] = 4
    batch["protocol"][rows] = protocol = fields.field("u1", 9)
    batch["source_low"][rows] = fields.field(">u4", 12)
    batch["destination_low"][rows] = fields.field(">u4", 16)
    # Only the first fragment has ports, and a header is at least 20 bytes.
    opened = ((fields.field(">u2", 6) & 0x1FFF) == 0) & (header >= 20)
    _ports(flat, _Payloads(at + header, ends, protocol, rows).some(opened), batch)


def _ipv6(flat: Bytes, at: Places, ends: Places, rows: Places, batch: Batch) -> None:
    right = read(flat, "u1", at) >> 4 == 6
    at, ends, rows = at[right], ends[right], rows[right]
    batch["ip_version"][rows] = 6
    for name, offset in (("source", 8), ("destination", 24)):
        batch[f"{name}_high"][rows] = read(flat, ">u8", at + offset)
        batch[f"{name}_low"][rows] = read(flat, ">u8", at + offset + 8)
    protocol, place = read(flat, "u1", at + 6).astype(np.int64), at + 40
    later = np.zeros(len(rows), bool)
    for _ in range(_MOST_EXTENSIONS):
        extension = any_of(protocol, _EXTENSIONS) & (place + 8 <= ends) & ~later
        if not extension.any():
            break
        here = np.where(extension, place, at)
        units = read(flat, "u1", here + 1).astype(np.int64)
        length = np.where(protocol == _FRAGMENT, 8, np.where(protocol == _AUTHENTICATION, 4 * units + 8, 8 * units + 8))
        later |= extension & (protocol == _FRAGMENT) & (read(flat, ">u2", here + 2) >> 3 != 0)
        protocol = np.where(extension, read(flat, "u1", here), protocol)
        place = place + np.where(extension, length, 0)
    batch["protocol"][rows] = protocol
    _ports(flat, _Payloads(place, ends, protocol, rows).some(~later), batch)


class _Payloads(NamedTuple):
    """What is behind IP's header."""

    begins: Places
    ends: Places
    protocol: NDArray[Any]
    rows: Places

    def some(self, which: NDArray[np.bool_]) -> "_Payloads":
        return _Payloads(*(column[which] for column in self))


def _ports(flat: Bytes, packets: _Payloads, batch: Batch) -> None:
    """Ports, and type and code of ICMP where NetFlow v5 has them: in the destination port."""
    packets = packets.some(packets.ends > packets.begins)
    fields, protocol, room = Rows(flat, 14, packets.begins), packets.protocol, packets.ends - packets.begins
    first = np.where(room >= 2, fields.field(">u2", 0), 0)
    ported = any_of(protocol, (_TCP, _UDP, _SCTP)) & (room >= 4)
    icmp = any_of(protocol, (_ICMP, _ICMP6))
    batch["source_port"][packets.rows] = np.where(ported, first, 0)
    batch["destination_port"][packets.rows] = np.where(ported, fields.field(">u2", 2), np.where(icmp, first, 0))
    batch["tcp_flags"][packets.rows] = np.where((protocol == _TCP) & (room >= 14), fields.field("u1", 13), 0)
