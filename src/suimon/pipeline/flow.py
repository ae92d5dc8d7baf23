"""Flows as values: what a stage produces, what the switch is told, what tests and people read.

A `Flow` is an OpenFlow 1.5 entry. Its key (stage, priority, match) is what the switch tells entries apart by; the rest
is what it does. `Match` and the actions are plain data: `str()` gives the `ovs-ofctl` spelling with stage names instead
of table numbers, `dataplane.openflow` gives the wire form, `pipeline.simulate` executes them. Field names and their
widths are those of ovs-fields(7).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from suimon.model.owner import Owner
from suimon.pipeline.fields import FIELDS, Field
from suimon.pipeline.tables import Stage

Match = tuple[tuple[str, int, int], ...]
"""(field name, value, mask) triples sorted by name; the mask has every bit of the field set for an exact match."""


class FlowKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """What makes an entry the same entry to the switch."""

    stage: Stage
    priority: int
    match: Match


class Output(msgspec.Struct, frozen=True, gc=False, tag="output"):
    """Send the packet out of OpenFlow port `ofport`; IN_PORT sends it back where it came from."""

    ofport: int


class SetField(msgspec.Struct, frozen=True, gc=False, tag="set"):
    """Write `value` under `mask` into a field (OFPAT_SET_FIELD)."""

    field: str
    value: int
    mask: int


class Move(msgspec.Struct, frozen=True, gc=False, tag="move"):
    """Copy the low bits of `source` into those of `target`, as many as both have (OFPAT_COPY_FIELD)."""

    source: str
    target: str


class Goto(msgspec.Struct, frozen=True, gc=False, tag="goto"):
    """Go on in a later stage (the goto_table instruction): always a flow's last action."""

    stage: Stage


class Resubmit(msgspec.Struct, frozen=True, gc=False, tag="resubmit"):
    """Look the packet up in `stage`, do what is found there, and come back (NXAST_RESUBMIT_TABLE)."""

    stage: Stage


class Ct(msgspec.Struct, frozen=True, gc=False, tag="ct"):
    """Send the packet through the connection tracker, in the zone held by the 16 low bits of register `zone_field`.

    With `stage` the packet goes on there, tracked (recirculated); with `commit` the connection is remembered, and bears
    `mark`, if that isn't 0.
    Never with NAT: Open vSwitch 3.1 aborts when a TCP port is reused (docs/decisions).
    """

    zone_field: str
    stage: Stage | None = None
    commit: bool = False
    mark: int = 0


class ToController(msgspec.Struct, frozen=True, gc=False, tag="controller"):
    """Hand the whole packet to the agent."""

    max_len: int = 0xFFFF


class UseMeter(msgspec.Struct, frozen=True, gc=False, tag="meter"):
    """Drop the packet here if it exceeds meter `meter_id`."""

    meter_id: int


class UseGroup(msgspec.Struct, frozen=True, gc=False, tag="group"):
    """Hand copies to every bucket of group `group_id`, or the packet to one of them."""

    group_id: int


class Conjunction(msgspec.Struct, frozen=True, gc=False, tag="conjunction"):
    """This flow matches dimension `clause` (from 0) of the `clauses` dimensions of conjunction `conj_id`."""

    conj_id: int
    clause: int
    clauses: int


class DecTtl(msgspec.Struct, frozen=True, gc=False, tag="dec_ttl"):
    """Count the IP TTL down; stage `route` lets only packets with TTL > 1 come here."""


class CheckLarger(msgspec.Struct, frozen=True, gc=False, tag="check_larger"):
    """Write into the lowest bit of `field` whether the frame has more than `length` bytes (NXAST_CHECK_PKT_LARGER)."""

    length: int
    field: str


class PushVlan(msgspec.Struct, frozen=True, gc=False, tag="push_vlan"):
    """Put on an 802.1Q tag; a SetField of vlan_vid (with OFPVID_PRESENT, 0x1000) follows."""


class PopVlan(msgspec.Struct, frozen=True, gc=False, tag="pop_vlan"):
    """Take the 802.1Q tag off."""


Action = (
    Output
    | SetField
    | Move
    | Goto
    | Resubmit
    | Ct
    | ToController
    | UseMeter
    | UseGroup
    | Conjunction
    | DecTtl
    | CheckLarger
    | PushVlan
    | PopVlan
)
Actions = tuple[Action, ...]
"""No action means drop."""

IN_PORT = 0xFFFFFFF8


class Entry(msgspec.Struct, frozen=True, gc=False):
    """The value side of an installed flow: its mark and what it does."""

    cookie: int
    actions: Actions


class Flow(msgspec.Struct, frozen=True, gc=False):
    """One OpenFlow entry and the owner whose mark (cookie) it carries."""

    key: FlowKey
    owner: Owner
    actions: Actions = ()

    @property
    def entry(self) -> Entry:
        """What the switch holds under the key, to compare with what it says it holds."""
        return Entry(self.owner.cookie, self.actions)

    def __str__(self) -> str:
        key = self.key
        parts = [f"stage={key.stage.label}", f"priority={key.priority}", *map(_match_text, key.match)]
        return f"{','.join(parts)} actions={actions_text(self.actions)} owner={self.owner}"


class Bucket(msgspec.Struct, frozen=True, gc=False):
    """One copy's actions in a group."""

    actions: Actions


class Group(msgspec.Struct, frozen=True, gc=False):
    """An OpenFlow group of type ALL: every bucket gets a copy of the packet. A flooding network has one.

    With `select` it is of type SELECT: one bucket gets the packet, the same for all packets of a connection.
    """

    group_id: int
    owner: Owner
    buckets: tuple[Bucket, ...]
    select: bool = False

    def __str__(self) -> str:
        buckets = ",".join(f"bucket=({actions_text(bucket.actions)})" for bucket in self.buckets)
        return f"group={self.group_id},{'type=select,' if self.select else ''}{buckets} owner={self.owner}"


class Meter(msgspec.Struct, frozen=True, gc=False):
    """Drops above `rate` (kbit/s, or packets/s with `packets`), after a `burst` (kbit or packets)."""

    meter_id: int
    owner: Owner
    rate: int
    burst: int
    packets: bool = False


def flow(
    stage: Stage, priority: int, owner: Owner, matched: Mapping[str, object] | Match, actions: Iterable[Action] = ()
) -> Flow:
    """A flow, its match given as a mapping (see `match`)."""
    packed = matched if isinstance(matched, tuple) else match(matched)
    return Flow(FlowKey(stage, priority, packed), owner, tuple(actions))


def match(fields: Mapping[str, object]) -> Match:
    """Canonical form of {"nw_dst": "10.0.0.0/24", "tcp_dst": (22, 0xffff), "eth_src": "02:…", "metadata": 7}.

    A field whose mask comes out empty (a /0 prefix) is left out.
    """
    packed = [_packed(name, fields[name]) for name in sorted(fields)]
    return tuple([entry for entry in packed if entry[2]])


def set_field(name: str, value: object) -> SetField:
    """SetField with the value in any form that `match` takes."""
    return SetField(*_packed(name, value))


def actions_text(actions: Actions) -> str:
    """As `ovs-ofctl` writes them, with stage names; no action is `drop`."""
    return ",".join(map(_action_text, actions)) or "drop"


@lru_cache(maxsize=65536)
def _packed(name: str, value: object) -> tuple[str, int, int]:
    field = FIELDS[name]
    full = (1 << field.bits) - 1
    match value:
        case int():
            assert 0 <= value <= full, f"{name}={value} does not fit {field.bits} bits"
            return name, value, full
        case (int(bits), int(mask)):
            return name, bits & mask, mask
        case str():
            bits, mask = _parse(field.form, value)
            return name, bits & mask, mask
    raise TypeError(f"{name}: cannot match on {value!r}")


def _parse(form: str, text: str) -> tuple[int, int]:
    match form:
        case "mac":
            address, _, mask = text.partition("/")
            return int(address.replace(":", ""), 16), int(mask.replace(":", ""), 16) if mask else (1 << 48) - 1
        case "ipv4" if "/" not in text:
            return _ipv4(text), (1 << 32) - 1
        case "ipv4":
            network = ipaddress.IPv4Network(text, strict=False)
            return int(network.network_address), int(network.netmask)
        case "ipv6" if "/" not in text:
            return int(ipaddress.IPv6Address(text)), (1 << 128) - 1
        case "ipv6":
            network6 = ipaddress.IPv6Network(text, strict=False)
            return int(network6.network_address), int(network6.netmask)
    raise TypeError(f"{text!r} where a number is needed")


def _ipv4(text: str) -> int:
    """Most flows have one, and `ipaddress` takes four times as long. Raises ValueError."""
    octets = bytes(map(int, text.split(".")))
    if len(octets) != 4:
        raise ValueError(f"{text!r} is no IPv4 address")
    return int.from_bytes(octets)


def _match_text(entry: tuple[str, int, int]) -> str:
    name, value, mask = entry
    field = FIELDS[name]
    if mask == (1 << field.bits) - 1:
        return f"{name}={_value_text(field, value)}"
    if field.form in ("ipv4", "ipv6") and not name.startswith("xxreg"):
        return f"{name}={_value_text(field, value)}/{mask.bit_count()}"
    return f"{name}={_value_text(field, value)}/{_mask_text(field, mask)}"


def _mask_text(field: Field, mask: int) -> str:
    return _value_text(field, mask) if field.form == "mac" else f"{mask:#x}"


def _value_text(field: Field, value: int) -> str:
    match field.form:
        case "mac":
            return ":".join(f"{byte:02x}" for byte in value.to_bytes(6, "big"))
        case "ipv4":
            return str(ipaddress.IPv4Address(value))
        case "ipv6":
            return str(ipaddress.IPv6Address(value))
        case "hex":
            return f"{value:#x}"
    return str(value)


def _action_text(action: Action) -> str:
    match action:
        case Output(ofport):
            return "in_port" if ofport == IN_PORT else f"output:{ofport}"
        case SetField(name, value, mask):
            field = FIELDS[name]
            masked = "" if mask == (1 << field.bits) - 1 else f"/{_mask_text(field, mask)}"
            return f"set_field:{_value_text(field, value)}{masked}->{name}"
        case Move(source, target):
            return f"move:{source}->{target}"
        case Goto(stage):
            return f"goto:{stage.label}"
        case Resubmit(stage):
            return f"resubmit:{stage.label}"
        case Ct(zone_field, stage, commit, mark):
            inner = (["commit"] if commit else []) + ([f"stage={stage.label}"] if stage is not None else [])
            marking = [f"exec({_action_text(set_field('ct_mark', mark))})"] if mark else []
            return f"ct({','.join([*inner, f'zone={zone_field}', *marking])})"
        case ToController():
            return "controller"
        case UseMeter(meter_id):
            return f"meter:{meter_id}"
        case UseGroup(group_id):
            return f"group:{group_id}"
        case Conjunction(conj_id, clause, clauses):
            return f"conjunction({conj_id},{clause + 1}/{clauses})"
        case DecTtl():
            return "dec_ttl"
        case CheckLarger(length, name):
            return f"check_pkt_larger({length})->{name}[0]"
        case PushVlan():
            return "push_vlan:0x8100"
        case PopVlan():
            return "pop_vlan"
    return repr(action)  # What a switch holds though we never send it (dataplane.openflow.actions.Unknown).
