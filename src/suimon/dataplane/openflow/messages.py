"""OpenFlow 1.5 messages as bytes: what we send, and what the switch answers (OpenFlow 1.5.1, section 7).

A `Message` is a type and a body: the connection adds the header with the transaction id. Decoders raise ValueError or
struct.error on a message that doesn't add up; they never return a part of one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from suimon.dataplane.openflow.actions import (
    decode_buckets,
    decode_instructions,
    encode_actions,
    encode_buckets,
    encode_instructions,
    stage_of,
    unknown,
)
from suimon.dataplane.openflow.oxm import decode_match, decode_values, encode_match
from suimon.pipeline.flow import Actions, Bucket, Entry, FlowKey, Match
from suimon.pipeline.meters import OURS

VERSION: Final = 6
HEADER: Final = struct.Struct("!BBHI")
MAX_LENGTH: Final = 0xFFFF
_BUNDLE_HEADERS: Final = 24
"""What a message grows by when it is put into a bundle: the outer header and the bundle's own fields."""


class Type(IntEnum):
    """ofp_type."""

    HELLO = 0
    ERROR = 1
    ECHO_REQUEST = 2
    ECHO_REPLY = 3
    EXPERIMENTER = 4
    GET_CONFIG_REQUEST = 7
    GET_CONFIG_REPLY = 8
    SET_CONFIG = 9
    PACKET_IN = 10
    PACKET_OUT = 13
    FLOW_MOD = 14
    GROUP_MOD = 15
    MULTIPART_REQUEST = 18
    MULTIPART_REPLY = 19
    BARRIER_REQUEST = 20
    METER_MOD = 29
    BUNDLE_CONTROL = 33
    BUNDLE_ADD = 34


class Bundle(IntEnum):
    """ofp_bundle_ctrl_type: each request's reply is one more."""

    CLOSE = 2
    COMMIT = 4
    DISCARD = 6


class MeterCommand(IntEnum):
    ADD = 0
    MODIFY = 1
    DELETE = 2


class Message(NamedTuple):
    kind: Type
    body: bytes


class GroupEntry(msgspec.Struct, frozen=True):
    """What the switch holds of a group under its id."""

    buckets: tuple[Bucket, ...]
    select: bool = False


class Fragments(IntEnum):
    """What flows see of fragments (ofp_config_flags; NX_MATCH: Open vSwitch's own, ovs-ofctl(8), set-frags)."""

    NORMAL = 0
    DROP = 1
    REASM = 2
    NX_MATCH = 3


class MeterEntry(msgspec.Struct, frozen=True):
    """What the switch holds of a meter under its id: kbit/s and kbit, or packets; -1 is what we never ask for."""

    rate: int
    burst: int
    packets: bool = False


class Groups(NamedTuple):
    """A dump of a bridge's groups: ours, and the ids of those without our mark."""

    ours: dict[int, GroupEntry]
    foreign: list[int]


class Meters(NamedTuple):
    """The same of its meters."""

    ours: dict[int, MeterEntry]
    foreign: list[int]


class Flows(msgspec.Struct, frozen=True):
    """A dump of a bridge's flows: ours, and how many bear no mark of ours."""

    ours: dict[FlowKey, Entry]
    foreign: int
    foreign_example: str = ""


class FlowCount(msgspec.Struct, frozen=True):
    """What a flow has counted in the `age_s` since it was put in. `matched` are the fields that it matches whole."""

    cookie: int
    matched: dict[str, int]
    bytes: int
    packets: int
    age_s: float


class InterfaceCount(msgspec.Struct, frozen=True):
    """What the device behind an OpenFlow port has counted, and for how long the switch has had the port: the device may
    be older. `received` is by the switch.
    """

    age_s: float
    received_packets: int
    sent_packets: int
    received_bytes: int
    sent_bytes: int


class PacketIn(msgspec.Struct, frozen=True):
    """A packet that a flow handed to us, with the cookie of that flow and the fields (registers, in_port …) it had."""

    stage: int
    cookie: int
    fields: dict[str, int]
    data: bytes


_FLOW_MOD = struct.Struct("!QQBBHHHIIIHH")
_ANY, _NO_BUFFER = 0xFFFFFFFF, 0xFFFFFFFF
_FLOW_ADD, _FLOW_DELETE_STRICT = 0, 4
_GROUP_DELETE, _GROUP_ADD_OR_MODIFY = 2, 0x8000
_GROUP_ALL, _GROUP_SELECT, _NO_BUCKET = 0, 1, 0xFFFFFFFF
_DP_HASH: Final = struct.pack("!HHIII16sQ", 0xFFFF, 40, 0x154D, 1, 0, b"dp_hash", 0)
"""NTR_SELECTION_METHOD: by the datapath's hash of the 5-tuple. Open vSwitch's own choice leaves UDP's ports out."""
_OUR_GROUPS: Final = 0x5A
_METER_KBPS, _METER_PACKETS, _METER_BURST = 1, 2, 4
_BAND_DROP: Final = 1
_BUNDLE_FLAGS: Final = 3
"""OFPBF_ATOMIC | OFPBF_ORDERED."""
_NICIRA, _FLUSH_ZONE = 0x2320, 29
_EMPTY_MATCH: Final = struct.pack("!HH4x", 1, 4)
_MULTIPART = struct.Struct("!HH4x")
_FLOW_DESC, _PORT_STATS, _GROUP_DESC, _METER_STATS, _METER_CONFIG = 1, 4, 7, 9, 10
_METER_ENTRY, _BAND_ENTRY = struct.Struct("!IH6xIQQII"), struct.Struct("!QQ")
_DURATION, _PACKET_COUNT, _BYTE_COUNT = 0x8002, 0x8002 << 16 | 4 << 9 | 8, 0x8002 << 16 | 5 << 9 | 8
"""OXS headers with their lengths (OpenFlow 1.5.1, 7.2.4.2); a duration is field 0."""
_PORT_ENTRY = struct.Struct("!4xIIIQQQQ")
_FLOW_ENTRY = struct.Struct("!H2xBxHHHHHQ")

DUMP_FLOWS: Final = Message(
    Type.MULTIPART_REQUEST,
    _MULTIPART.pack(_FLOW_DESC, 0) + struct.pack("!B3xII4xQQ", 0xFF, _ANY, _ANY, 0, 0) + _EMPTY_MATCH,
)
DUMP_GROUPS: Final = Message(Type.MULTIPART_REQUEST, _MULTIPART.pack(_GROUP_DESC, 0) + struct.pack("!I4x", 0xFFFFFFFC))
DUMP_METERS: Final = Message(Type.MULTIPART_REQUEST, _MULTIPART.pack(_METER_CONFIG, 0) + struct.pack("!I4x", _ANY))
DUMP_INTERFACES: Final = Message(Type.MULTIPART_REQUEST, _MULTIPART.pack(_PORT_STATS, 0) + struct.pack("!I4x", _ANY))
BARRIER: Final = Message(Type.BARRIER_REQUEST, b"")
CONFIGURE: Final = Message(Type.SET_CONFIG, struct.pack("!HH", Fragments.NX_MATCH, 0xFFFF))
"""Flows see the L4 header of a datagram's first fragment. And Open vSwitch sends packets to a management connection
only once that has set a miss_send_len.
"""
READ_CONFIGURATION: Final = Message(Type.GET_CONFIG_REQUEST, b"")


def dump_flows_of(cookie: int, stage: int = 0xFF) -> Message:
    """Ask for the flows with exactly this cookie, of one table or of all."""
    body = struct.pack("!B3xII4xQQ", stage, _ANY, _ANY, cookie, (1 << 64) - 1) + _EMPTY_MATCH
    return Message(Type.MULTIPART_REQUEST, _MULTIPART.pack(_FLOW_DESC, 0) + body)


def dump_flows_in(stage: int) -> Message:
    """Ask for the flows of one table."""
    body = struct.pack("!B3xII4xQQ", stage, _ANY, _ANY, 0, 0) + _EMPTY_MATCH
    return Message(Type.MULTIPART_REQUEST, _MULTIPART.pack(_FLOW_DESC, 0) + body)


def meter_stats_of(meter_id: int) -> Message:
    """Ask what a meter has counted."""
    return Message(Type.MULTIPART_REQUEST, _MULTIPART.pack(_METER_STATS, 0) + struct.pack("!I4x", meter_id))


def set_flow(key: FlowKey, entry: Entry) -> Message:
    """Add, which replaces whatever stands under the key, cookie included; a modify would keep the old cookie."""
    body = _flow_mod(key, _FLOW_ADD, entry.cookie) + encode_instructions(entry.actions)
    return _bounded(Type.FLOW_MOD, body)


def delete_flow(key: FlowKey) -> Message:
    """Delete strict: exactly this match at this priority. Deleting what isn't there is no error."""
    return _bounded(Type.FLOW_MOD, _flow_mod(key, _FLOW_DELETE_STRICT, 0))


def set_group(group_id: int, entry: GroupEntry) -> Message:
    """Make or change a group, in one (Open vSwitch's add-or-modify)."""
    kind = _GROUP_SELECT if entry.select else _GROUP_ALL
    buckets = encode_buckets(entry.buckets, weighed=entry.select)
    return _group_mod(_GROUP_ADD_OR_MODIFY, group_id, buckets, kind, _DP_HASH if entry.select else b"")


def delete_group(group_id: int) -> Message:
    """Delete a group, and with it every flow that still points at it."""
    return _group_mod(_GROUP_DELETE, group_id, b"")


def set_meter(command: MeterCommand, meter_id: int, entry: MeterEntry) -> Message:
    unit = _METER_PACKETS if entry.packets else _METER_KBPS
    band = struct.pack("!HHII4x", _BAND_DROP, 16, entry.rate, entry.burst)
    return Message(Type.METER_MOD, struct.pack("!HHI", command, unit | _METER_BURST, meter_id) + band)


def delete_meter(meter_id: int) -> Message:
    """Delete a meter, and with it every flow that still uses it."""
    return Message(Type.METER_MOD, struct.pack("!HHI", MeterCommand.DELETE, 0, meter_id))


def flush_zone(zone: int) -> Message:
    """Forget the tracked connections of a zone (NXT_CT_FLUSH_ZONE; ovs-ofctl(8), ct-flush-zone)."""
    return Message(Type.EXPERIMENTER, struct.pack("!II6xH", _NICIRA, _FLUSH_ZONE, zone))


def packet_out(actions: Actions, data: bytes, fields: Match) -> Message:
    """Let the switch treat `data` as if it had come with these fields (`in_port` at least), by these actions."""
    encoded = encode_actions(actions)
    body = struct.pack("!IH2x", _NO_BUFFER, len(encoded)) + _match(encode_match(fields)) + encoded + data
    return _bounded(Type.PACKET_OUT, body)


def bundle_control(command: Bundle, bundle_id: int) -> Message:
    return Message(Type.BUNDLE_CONTROL, struct.pack("!IHH", bundle_id, command, _BUNDLE_FLAGS))


def frame(message: Message, xid: int) -> bytes:
    return HEADER.pack(VERSION, message.kind, 8 + len(message.body), xid) + message.body


def bundle_frames(bundle_id: int, messages: Iterable[Message], first_xid: int) -> bytes:
    """The messages as additions to a bundle, with rising transaction ids (an error names the one it is about)."""
    pack = struct.Struct("!BBHIIHHBBHI").pack
    return b"".join(
        pack(
            VERSION,
            Type.BUNDLE_ADD,
            24 + len(body),
            xid,
            bundle_id,
            0,
            _BUNDLE_FLAGS,
            VERSION,
            kind,
            8 + len(body),
            xid,
        )
        + body
        for xid, (kind, body) in enumerate(messages, first_xid)
    )


def multipart_more(body: bytes) -> bool:
    """Whether further parts of this reply follow."""
    return bool(_MULTIPART.unpack_from(body)[1] & 1)


def without_statistics(flow: bytes) -> bytes:
    """What stays the same in an entry of a dump for as long as nobody touches the flow."""
    match_end, actions_at = _flow_parts(flow)
    return flow[4:match_end] + flow[actions_at:]


def decode_flow(flow: bytes) -> tuple[FlowKey, Entry]:
    """From an entry of a dump (`entries`)."""
    _, table, priority, idle_s, hard_s, flags, importance, cookie = _FLOW_ENTRY.unpack_from(flow)
    match = decode_match(flow[28 : 24 + int.from_bytes(flow[26:28])])
    actions = decode_instructions(flow[_flow_parts(flow)[1] :])
    if idle_s or hard_s or flags or importance:
        actions = (*actions, unknown(flow[8:16]))
    return FlowKey(stage_of(table), priority, match), Entry(cookie, actions)


def decode_packets(flow: bytes) -> int:
    """How many packets an entry of a dump has counted."""
    return int.from_bytes(_statistic(flow, _PACKET_COUNT))


def decode_drop(flow: bytes) -> tuple[int, FlowKey, int] | None:
    """The cookie, the key and the packets of an entry of a dump that does nothing; None for any other."""
    if len(flow) > _flow_parts(flow)[1]:
        return None
    return int.from_bytes(flow[16:24]), decode_flow(flow)[0], decode_packets(flow)


def decode_count(flow: bytes) -> FlowCount:
    """What an entry of a dump has counted."""
    duration = _statistic(flow, _DURATION << 16 | 8)
    match = decode_match(flow[28 : 24 + int.from_bytes(flow[26:28])])
    return FlowCount(
        int.from_bytes(flow[16:24]),
        {name: value for name, value, _ in match},
        int.from_bytes(_statistic(flow, _BYTE_COUNT)),
        int.from_bytes(_statistic(flow, _PACKET_COUNT)),
        int.from_bytes(duration[:4]) + int.from_bytes(duration[4:]) / 1e9,
    )


def decode_interfaces(parts: Iterable[bytes]) -> dict[int, InterfaceCount]:
    """By number, from the bodies of a complete reply to DUMP_INTERFACES."""
    counts = {}
    for entry in entries(parts):
        ofport, seconds, nanoseconds, *counted = _PORT_ENTRY.unpack_from(entry)
        counts[ofport] = InterfaceCount(seconds + nanoseconds / 1e9, *counted)
    return counts


def _statistic(flow: bytes, header: int) -> bytes:
    """The value of an OXS field of an entry."""
    match_end, _ = _flow_parts(flow)
    at, end = match_end + 4, match_end + int.from_bytes(flow[match_end + 2 : match_end + 4])
    while at + 4 <= end:
        if int.from_bytes(flow[at : at + 4]) == header:
            return flow[at + 4 : at + 4 + flow[at + 3]]
        at += 4 + flow[at + 3]
    raise ValueError("a flow that doesn't say what it counted")


class Metered(NamedTuple):
    """Packets that came to a meter, and those of them that its bands dropped."""

    came: int
    dropped: int


def decode_metered(parts: Iterable[bytes]) -> Metered:
    """What one meter has counted, from the complete reply to `meter_stats_of`."""
    came = dropped = 0
    for part in parts:
        at = _MULTIPART.size
        while at < len(part):
            _, length, _, packets, *_ = _METER_ENTRY.unpack_from(part, at)
            if length < _METER_ENTRY.size or at + length > len(part):
                raise ValueError(f"a meter's counters of {length} bytes")
            bands = range(at + _METER_ENTRY.size, at + length, _BAND_ENTRY.size)
            came += packets
            dropped += sum(_BAND_ENTRY.unpack_from(part, band)[0] for band in bands)
            at += length
    return Metered(came, dropped)


def _flow_parts(flow: bytes) -> tuple[int, int]:
    """Where the match ends and the instructions begin; between them stand the statistics (OXS): two reserved bytes,
    length, fields, padding.
    """
    match_end = 24 + _round_up(int.from_bytes(flow[26:28]))
    return match_end, match_end + _round_up(int.from_bytes(flow[match_end + 2 : match_end + 4]))


def decode_groups(parts: Iterable[bytes]) -> Groups:
    """From the bodies of a complete reply to DUMP_GROUPS."""
    groups, foreign = {}, []
    for entry in entries(parts):
        _, kind, group_id, buckets_length = struct.unpack_from("!HBxIH", entry)
        if group_id >> 24 != _OUR_GROUPS:
            foreign.append(group_id)
            continue
        select = kind == _GROUP_SELECT
        buckets = decode_buckets(entry[16 : 16 + buckets_length], weighed=select)
        properties = entry[16 + buckets_length :]
        if (kind, properties) not in ((_GROUP_ALL, b""), (_GROUP_SELECT, _DP_HASH)):
            buckets = (*buckets, Bucket((unknown(bytes([kind]) + properties),)))
        groups[group_id] = GroupEntry(buckets, select)
    return Groups(groups, foreign)


def decode_meters(parts: Iterable[bytes]) -> Meters:
    """From the bodies of a complete reply to DUMP_METERS."""
    meters, foreign = {}, []
    for entry in entries(parts):
        length, flags, meter_id = struct.unpack_from("!HHI", entry)
        if meter_id not in OURS:
            foreign.append(meter_id)
            continue
        rate = burst = -1
        if length == 24 and flags in (_METER_KBPS | _METER_BURST, _METER_PACKETS | _METER_BURST):
            kind, _, rate, burst = struct.unpack_from("!HHII", entry, 8)
            rate = rate if kind == _BAND_DROP else -1
        meters[meter_id] = MeterEntry(rate, burst, bool(flags & _METER_PACKETS))
    return Meters(meters, foreign)


def decode_fragments(parts: Iterable[bytes]) -> Fragments:
    """From the answer to READ_CONFIGURATION."""
    (flags, _), *more = (struct.unpack("!HH", part) for part in parts)
    if more:
        raise ValueError("a configuration in several parts")
    return Fragments(flags & Fragments.NX_MATCH)


def decode_packet_in(body: bytes) -> PacketIn:
    _, _, _, table, cookie, _, match_length = struct.unpack_from("!IHBBQHH", body)
    fields = decode_values(body[20 : 16 + match_length])
    data_at = 16 + _round_up(match_length) + 2
    if data_at > len(body):
        raise ValueError("packet-in ends before its packet")
    return PacketIn(table, cookie, fields, body[data_at:])


def _flow_mod(key: FlowKey, command: int, cookie: int) -> bytes:
    fixed = _FLOW_MOD.pack(cookie, 0, key.stage, command, 0, 0, key.priority, _NO_BUFFER, _ANY, _ANY, 0, 0)
    return fixed + _match(encode_match(key.match))


def _match(oxms: bytes) -> bytes:
    length = 4 + len(oxms)
    return struct.pack("!HH", 1, length) + oxms + bytes(-length % 8)


def _group_mod(command: int, group_id: int, buckets: bytes, kind: int = _GROUP_ALL, properties: bytes = b"") -> Message:
    if len(buckets) + len(properties) > MAX_LENGTH - 24 - _BUNDLE_HEADERS:
        raise ValueError(f"group {group_id:#x} has too many buckets for one message ({len(buckets)} bytes)")
    fixed = struct.pack("!HBxIH2xI", command, kind, group_id, len(buckets), _NO_BUCKET)
    return Message(Type.GROUP_MOD, fixed + buckets + properties)


def _bounded(kind: Type, body: bytes) -> Message:
    if len(body) > MAX_LENGTH - 8 - _BUNDLE_HEADERS:
        raise ValueError(f"{kind.name.lower()} of {len(body)} bytes is too long for one message")
    return Message(kind, body)


def entries(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The records of a multipart reply; each begins with its length."""
    for part in parts:
        at = _MULTIPART.size
        while at < len(part):
            length = int.from_bytes(part[at : at + 2])
            if length < 8 or at + length > len(part):
                raise ValueError(f"an entry of {length} bytes where {len(part) - at} are left")
            yield part[at : at + length]
            at += length


def _round_up(length: int) -> int:
    return (length + 7) // 8 * 8
