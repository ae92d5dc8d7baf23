"""Actions, instructions and group buckets on the wire (OpenFlow 1.5.1, 5.10 and 7.2.6; ovs-actions(7) for Nicira's).

Decoding gives exactly the values that were encoded. What we never send decodes to `Unknown`, which equals nothing that
is wanted, so that the entry is replaced.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, cast

import msgspec

from suimon.dataplane.openflow.oxm import FIELD_BY_HEADER, decode_field, encode_oxm, header
from suimon.pipeline.fields import FIELDS
from suimon.pipeline.flow import (
    Action,
    Actions,
    Bucket,
    CheckLarger,
    Conjunction,
    Ct,
    DecTtl,
    Goto,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToController,
    UseGroup,
    UseMeter,
    set_field,
)
from suimon.pipeline.tables import Stage

_OUTPUT, _PUSH_VLAN, _POP_VLAN, _GROUP, _DEC_TTL, _SET_FIELD, _COPY_FIELD, _METER = 0, 17, 18, 22, 24, 25, 28, 29
_EXPERIMENTER, _NICIRA = 0xFFFF, 0x2320
_RESUBMIT_TABLE, _CONJUNCTION, _CT, _CHECK_LARGER = 14, 34, 35, 49
_GOTO_TABLE, _APPLY_ACTIONS = 1, 4
_CONTROLLER: Final = 0xFFFFFFFD
_IN_PORT_16: Final = 0xFFF8
"""OFPP_IN_PORT in the 16 bits of Nicira's resubmit: the packet keeps its in_port."""
_NO_RECIRCULATION: Final = 0xFF
_ZONE_BITS: Final = 15
"""Offset 0 and 16 bits, as nicira-ext.h packs them: offset << 6 | bits - 1."""
_VLAN: Final = 0x8100
_WEIGHT: Final = struct.pack("!HHH2x", 0, 8, 1)
"""OFPGBPT_WEIGHT: a bucket of a SELECT group has one."""
_MOST_ACTIONS: Final = 0xFF00
"""Bytes of actions that a length of 16 bits can announce."""


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """Something that the switch does and that we never asked for."""

    wire: bytes


def encode_instructions(actions: Actions) -> bytes:
    """What a flow does: one apply-actions instruction, and goto-table where the actions end in one."""
    goto = b""
    if actions and isinstance(last := actions[-1], Goto):
        goto = struct.pack("!HHB3x", _GOTO_TABLE, 8, last.stage)
        actions = actions[:-1]
    if not actions:
        return goto
    body = encode_actions(actions)
    if len(body) > _MOST_ACTIONS:
        raise ValueError(f"{len(actions)} actions are too long for one message")
    return struct.pack("!HH4x", _APPLY_ACTIONS, 8 + len(body)) + body + goto


def decode_instructions(wire: bytes) -> Actions:
    """The inverse of `encode_instructions`. Raises ValueError when the lengths don't add up."""
    applied: list[Action] = []
    goto: list[Action] = []
    for kind, instruction in _split(wire):
        if kind == _APPLY_ACTIONS:
            applied += decode_actions(instruction[8:])
        elif kind == _GOTO_TABLE:
            goto.append(Goto(stage_of(instruction[4])))
        else:
            goto.append(unknown(instruction))
    return (*applied, *goto)


def encode_actions(actions: Actions) -> bytes:
    return b"".join(map(_encode, actions))


def decode_actions(wire: bytes) -> Actions:
    return tuple(_decode(action) for _, action in _split(wire))


def encode_buckets(buckets: tuple[Bucket, ...], *, weighed: bool = False) -> bytes:
    """A group's buckets, numbered from 0, all of the same weight if they are `weighed` (a group of type SELECT)."""
    end = _WEIGHT if weighed else b""
    encoded = (encode_actions(bucket.actions) for bucket in buckets)
    return b"".join(
        struct.pack("!HHI", 8 + len(body) + len(end), len(body), at) + body + end for at, body in enumerate(encoded)
    )


def decode_buckets(wire: bytes, *, weighed: bool = False) -> tuple[Bucket, ...]:
    """The inverse of `encode_buckets`; a property that we never set (watched port) makes the bucket differ."""
    expected = _WEIGHT if weighed else b""
    buckets = []
    while wire:
        length, actions_length, _ = struct.unpack_from("!HHI", wire)
        if not 8 + actions_length <= length <= len(wire):
            raise ValueError(f"bucket of {length} bytes where {len(wire)} are left")
        actions = decode_actions(wire[8 : 8 + actions_length])
        properties = wire[8 + actions_length : length]
        buckets.append(Bucket(actions if properties == expected else (*actions, unknown(properties))))
        wire = wire[length:]
    return tuple(buckets)


def unknown(wire: bytes) -> Action:
    """`Unknown` in the place of an action: it is one that only the switch ever produces."""
    return cast(Action, Unknown(wire))


@lru_cache(maxsize=256)
def stage_of(table: int) -> Stage:
    """The stage with this table number; a nameless one for a table that this version doesn't use.

    Such a flow may be an older version's of ours: it has to be named to be deleted.
    """
    if table in Stage.__members__.values():
        return Stage(table)
    stage = int.__new__(Stage, table)
    stage._name_, stage._value_ = f"TABLE_{table}", table
    return stage


@lru_cache(maxsize=65536)
def _encode(action: Action) -> bytes:
    match action:
        case Output(ofport):
            return struct.pack("!HHIH6x", _OUTPUT, 16, ofport, 0)
        case ToController(max_len):
            return struct.pack("!HHIH6x", _OUTPUT, 16, _CONTROLLER, max_len)
        case SetField(field, value, mask):
            return _padded(_SET_FIELD, encode_oxm(field, value, mask))
        case Move(source, target):
            bits = min(FIELDS[source].bits, FIELDS[target].bits)
            fields = header(FIELDS[source]) + header(FIELDS[target])
            return _padded(_COPY_FIELD, struct.pack("!HHH2x", bits, 0, 0) + fields)
        case UseMeter(number):
            return struct.pack("!HHI", _METER, 8, number)
        case UseGroup(number):
            return struct.pack("!HHI", _GROUP, 8, number)
        case PushVlan():
            return struct.pack("!HHH2x", _PUSH_VLAN, 8, _VLAN)
        case PopVlan():
            return struct.pack("!HH4x", _POP_VLAN, 8)
        case DecTtl():
            return struct.pack("!HH4x", _DEC_TTL, 8)
        case CheckLarger(length, field):
            return _nicira(_CHECK_LARGER, struct.pack("!HH4s6x", length, 0, header(FIELDS[field])))
        case Resubmit(stage):
            return _nicira(_RESUBMIT_TABLE, struct.pack("!HB3x", _IN_PORT_16, stage))
        case Conjunction(conj_id, clause, clauses):
            return _nicira(_CONJUNCTION, struct.pack("!BBI", clause, clauses, conj_id))
        case Ct(zone_field, stage, commit, mark):
            table = _NO_RECIRCULATION if stage is None else stage
            zone = header(FIELDS[zone_field])
            marking = _encode(set_field("ct_mark", mark)) if mark else b""
            return _nicira(_CT, struct.pack("!H4sHB3xH", commit, zone, _ZONE_BITS, table, 0) + marking)
    raise AssertionError(f"{action!r} can't stand here")


@lru_cache(maxsize=65536)
def _decode(wire: bytes) -> Action:
    """One action. Whatever does not encode to the very same bytes is not one of ours, however alike it looks."""
    try:
        action = _decode_known(wire)
        if action is not None and _encode(action) == wire:
            return action
    except (struct.error, ValueError, KeyError, IndexError):
        pass
    return unknown(wire)


def _decode_known(wire: bytes) -> Action | None:
    match int.from_bytes(wire[:2]):
        case 0:
            port, max_len = struct.unpack_from("!IH", wire, 4)
            return ToController(max_len) if port == _CONTROLLER else Output(port)
        case 25:
            field = decode_field(wire[4 : 8 + wire[7]])
            return None if field is None else SetField(*field)
        case 28:
            source, target = (FIELD_BY_HEADER[number] for number in struct.unpack_from("!II", wire, 12))
            return Move(source, target)
        case 29:
            return UseMeter(int.from_bytes(wire[4:8]))
        case 22:
            return UseGroup(int.from_bytes(wire[4:8]))
        case 17:
            return PushVlan()
        case 18:
            return PopVlan()
        case 24:
            return DecTtl()
        case 0xFFFF:
            return _decode_nicira(wire)
    return None


def _decode_nicira(wire: bytes) -> Action | None:
    match struct.unpack_from("!IH", wire, 4):
        case (0x2320, 14):
            return Resubmit(stage_of(wire[12]))
        case (0x2320, 34):
            clause, clauses, conj_id = struct.unpack_from("!BBI", wire, 10)
            return Conjunction(conj_id, clause, clauses)
        case (0x2320, 49):
            length, _, field = struct.unpack_from("!HHI", wire, 10)
            return CheckLarger(length, FIELD_BY_HEADER[field])
        case (0x2320, 35):
            flags, zone, _, table = struct.unpack_from("!HIHB", wire, 10)
            stage = None if table == _NO_RECIRCULATION else stage_of(table)
            marking = _decode_known(wire[24:]) if len(wire) > 24 else None
            mark = marking.value if isinstance(marking, SetField) else 0
            return Ct(FIELD_BY_HEADER[zone], stage, bool(flags), mark)
    return None


def _split(wire: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut a list of (type, length, …) records; both actions and instructions are one."""
    at = 0
    while at < len(wire):
        kind, length = struct.unpack_from("!HH", wire, at)
        if length < 8 or at + length > len(wire):
            raise ValueError(f"a record of {length} bytes where {len(wire) - at} are left")
        yield kind, wire[at : at + length]
        at += length


def _padded(kind: int, body: bytes) -> bytes:
    length = (4 + len(body) + 7) // 8 * 8
    return struct.pack("!HH", kind, length) + body + bytes(length - 4 - len(body))


def _nicira(subtype: int, body: bytes) -> bytes:
    length = 10 + len(body)
    return struct.pack("!HHIH", _EXPERIMENTER, length, _NICIRA, subtype) + body
