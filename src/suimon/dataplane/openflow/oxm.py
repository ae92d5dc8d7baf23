"""Packet fields on the wire: OXM triples (OpenFlow 1.5.1, 7.2.3; ovs-fields(7)).

A header is class (16 bits), field (7), has-mask (1) and payload length (8). Open vSwitch answers a 1.5 client with
registers in pairs (`xreg`), although it takes them singly, so decoding splits those.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from suimon.pipeline.fields import FIELDS, Field
from suimon.pipeline.flow import Match

RAW: Final = "oxm"
"""Pseudo field of a match that holds fields we don't know: its value is the whole wire form, its mask the length.

Such a match equals none of ours, and yet encodes to what the switch holds, so that the flow can be deleted.
"""
_FIRST: Final = ("eth_type", "ip_proto", "icmpv6_type", "icmpv6_code", "ct_state")
"""What other fields need (their prerequisites) has to stand before them, or the switch refuses the match."""
_RANK: Final = {name: _FIRST.index(name) if name in _FIRST else len(_FIRST) for name in FIELDS} | {RAW: 0}
_PACKET_TYPE: Final = 0x8000 << 16 | 44 << 9 | 4
_XREG_CLASS: Final = 0x8001


class _Known(NamedTuple):
    """What a header announces: a field of ours, or the xreg of that number."""

    name: str
    size: int
    full: int
    masked: bool


def header(field: Field, masked: bool = False) -> bytes:
    """The four bytes that name a field."""
    size = _size(field)
    return _header(field, size * 2 if masked else size, masked).to_bytes(4)


def encode_match(match: Match) -> bytes:
    """The match's OXMs, prerequisites first, without the ofp_match header and padding."""
    order = _order(tuple([name for name, _, _ in match]))
    return b"".join([encode_oxm(*match[at]) for at in order])


def decode_match(wire: bytes) -> Match:
    """The inverse of `encode_match`, in canonical order.

    Raises ValueError when the lengths don't add up. A match with an unknown field comes back as one RAW entry.
    """
    entries: list[tuple[str, int, int]] = []
    for oxm in _split(wire):
        decoded = _decode_oxm(oxm)
        if decoded is None:
            return ((RAW, int.from_bytes(wire), len(wire)),)
        entries += decoded
    entries.sort()
    return tuple(entries)


def decode_values(wire: bytes) -> dict[str, int]:
    """The values of those fields that we know; for a packet's metadata, where others may stand beside them."""
    return {name: value for oxm in _split(wire) for name, value, _ in _decode_oxm(oxm) or ()}


@lru_cache(maxsize=65536)
def encode_oxm(name: str, value: int, mask: int) -> bytes:
    """One field; the mask is left out when it covers the whole field."""
    if name == RAW:
        return value.to_bytes(mask)
    field = FIELDS[name]
    size = _size(field)
    if mask == (1 << field.bits) - 1:
        return _header(field, size, masked=False).to_bytes(4) + value.to_bytes(size)
    return _header(field, size * 2, masked=True).to_bytes(4) + value.to_bytes(size) + mask.to_bytes(size)


@lru_cache(maxsize=65536)
def decode_field(wire: bytes) -> tuple[str, int, int] | None:
    """One OXM as (field name, value, mask); None when it is not exactly one field that we know."""
    decoded = _decode_oxm(wire)
    return decoded[0] if decoded is not None and len(decoded) == 1 else None


@lru_cache(maxsize=65536)
def _decode_oxm(wire: bytes) -> tuple[tuple[str, int, int], ...] | None:
    """The fields that one OXM speaks of: one, or two for a pair of registers; None for a field that we don't know."""
    number = int.from_bytes(wire[:4])
    if number == _PACKET_TYPE and not any(wire[4:]):
        # "It is Ethernet": Open vSwitch says so where no other field implies it.
        return ()
    known = _KNOWN.get(number)
    if known is None or len(wire) != 4 + known.size * (2 if known.masked else 1):
        return None
    value = int.from_bytes(wire[4 : 4 + known.size])
    mask = int.from_bytes(wire[4 + known.size :]) & known.full if known.masked else known.full
    if not known.name.startswith("xreg"):
        return ((known.name, value, mask),)
    high = 2 * int(known.name.removeprefix("xreg"))
    halves = ((f"reg{high}", value >> 32, mask >> 32), (f"reg{high + 1}", value & 0xFFFFFFFF, mask & 0xFFFFFFFF))
    return tuple(half for half in halves if half[2])


def _split(wire: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(wire):
        end = at + 4 + wire[at + 3] if at + 4 <= len(wire) else len(wire) + 1
        if end > len(wire):
            raise ValueError("match ends in the middle of a field")
        yield wire[at:end]
        at = end


@lru_cache(maxsize=4096)
def _order(names: tuple[str, ...]) -> tuple[int, ...]:
    """In which order fields that stand in this one are written."""
    return tuple(sorted(range(len(names)), key=lambda at: _RANK[names[at]]))


def _size(field: Field) -> int:
    return (field.bits + 7) // 8


def _header(field: Field, length: int, masked: bool) -> int:
    return field.oxm_class << 16 | field.oxm_field << 9 | masked << 8 | length


def _known_headers() -> dict[int, _Known]:
    xregs = {f"xreg{number}": Field(_XREG_CLASS, number, 64) for number in range(8)}
    return {
        _header(field, _size(field) * (2 if masked else 1), masked): _Known(
            name, _size(field), (1 << field.bits) - 1, masked
        )
        for name, field in (FIELDS | xregs).items()
        for masked in (False, True)
    }


_KNOWN: Final = _known_headers()
FIELD_BY_HEADER: Final = {number: known.name for number, known in _KNOWN.items() if known.name in FIELDS}
"""Field names by the header of their unmasked form (and the masked one)."""
