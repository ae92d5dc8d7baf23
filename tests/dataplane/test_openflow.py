"""The wire form of flows, groups and meters: decoding gives back what was encoded, and any bytes are survived."""

import asyncio
import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suimon.dataplane.openflow import messages
from suimon.dataplane.openflow.actions import (
    Unknown,
    decode_actions,
    decode_buckets,
    decode_instructions,
    encode_actions,
    encode_buckets,
    encode_instructions,
)
from suimon.dataplane.openflow.errors import decode_error
from suimon.dataplane.openflow.flow_dump import FlowDump
from suimon.dataplane.openflow.messages import Flows, GroupEntry, MeterEntry
from suimon.dataplane.openflow.oxm import RAW, decode_match, encode_match
from suimon.pipeline.fields import FIELDS
from suimon.pipeline.flow import Action, Actions, Bucket, Entry, Flow, Goto, Match, Output, flow, match, set_field
from suimon.pipeline.tables import Stage
from tests.dataplane.values import GROUP, OWNER, action_lists, actions, every_flow, matches

CONNECTION_FIELDS = {"ct_nw_proto", "ct_nw_src", "ct_nw_dst", "ct_tp_src", "ct_tp_dst"}


def described(key_match: Match, wire_actions: bytes, cookie: int, table: int = 10, idle_s: int = 0) -> bytes:
    """An entry of a flow dump, as a switch writes it."""
    oxms = encode_match(key_match)
    padded = struct.pack("!HH", 1, 4 + len(oxms)) + oxms + bytes(-(4 + len(oxms)) % 8)
    stats = struct.pack("!HH", 0, 16) + struct.pack("!IQ", 0x80020008, 5)
    rest = struct.pack("!BxHHHHHQ", table, 100, idle_s, 0, 0, 0, cookie) + padded + stats + wire_actions
    return struct.pack("!H2x", 4 + len(rest)) + rest


def part(*entries: bytes, kind: int = 1) -> bytes:
    return struct.pack("!HH4x", kind, 0) + b"".join(entries)


def decode_flows(parts: list[bytes]) -> Flows:
    return asyncio.run(FlowDump().decoded(parts))


def test_a_flow_whose_bytes_are_known_is_not_decoded_again_and_one_that_differs_is() -> None:
    async def play() -> None:
        dump, flow = FlowDump(), described((), encode_instructions((Output(1),)), OWNER.cookie)
        later = flow.replace(struct.pack("!IQ", 0x80020008, 5), struct.pack("!IQ", 0x80020008, 99))
        changed = described((), encode_instructions((Output(2),)), OWNER.cookie)
        first, second, third = [await dump.decoded([part(each)]) for each in (flow, later, changed)]
        ((key, entry),) = first.ours.items()
        assert second.ours[key] is entry, "only its statistics moved"
        assert third.ours[key] != entry

    asyncio.run(play())


@given(matches)
def test_a_match_survives_the_wire(wanted: Match) -> None:
    assert decode_match(encode_match(wanted)) == wanted


@given(action_lists)
def test_actions_survive_the_wire(wanted: Actions) -> None:
    assert decode_instructions(encode_instructions(wanted)) == wanted


@given(st.lists(st.lists(actions, max_size=4).map(lambda chosen: Bucket(tuple(chosen))), max_size=4))
def test_buckets_survive_the_wire(wanted: list[Bucket]) -> None:
    assert decode_buckets(encode_buckets(tuple(wanted))) == tuple(wanted)


@given(matches, action_lists, st.integers(0, 2**56 - 1))
def test_a_dump_gives_back_what_was_installed(wanted: Match, does: Actions, cookie: int) -> None:
    marked = 0x5A << 56 | cookie
    flows = decode_flows([part(described(wanted, encode_instructions(does), marked))])
    (key,) = flows.ours
    assert (key.stage, key.priority, key.match) == (Stage.ANTISPOOF, 100, wanted)
    assert flows.ours[key] == Entry(marked, does)


@pytest.mark.parametrize("one", list(every_flow()), ids=str)
def test_prerequisites_stand_before_what_needs_them(one: Flow) -> None:
    """The switch reads a match from left to right and refuses a field whose prerequisite it hasn't seen yet."""
    wire, at, order = encode_match(one.key.match), 0, list[str]()
    while at < len(wire):
        end = at + 4 + wire[at + 3]
        order += [name for name, _, _ in decode_match(wire[at:end])]
        at = end
    for place, name in enumerate(order):
        needed = {need for need, _ in FIELDS[name].needs} | ({"ct_state"} if name in CONNECTION_FIELDS else set())
        assert needed <= set(order[:place]), f"{name} stands before what it needs: {order}"


def test_pairs_of_registers_are_split() -> None:
    """As Open vSwitch answers a 1.5 client: reg2 = 1 alone is the upper half of a masked xreg1."""
    xreg1 = struct.pack("!HBBQQ", 0x8001, 1 << 1 | 1, 16, 1 << 32, 0xFFFFFFFF << 32)
    assert decode_match(xreg1) == match({"reg2": 1})
    both = struct.pack("!HBBQ", 0x8001, 2 << 1, 8, 5 << 32 | 6)
    assert decode_match(both) == match({"reg4": 5, "reg5": 6})


def test_flows_without_our_mark_are_passed_by_and_counted() -> None:
    ours = described(match({"metadata": 1}), b"", OWNER.cookie)
    theirs = described(match({"metadata": 2}), b"\xff" * 8, 7)
    flows = decode_flows([part(theirs, ours), part(theirs)])
    assert flows.foreign == 2
    assert [key.match for key in flows.ours] == [match({"metadata": 1})]


def test_a_field_that_we_do_not_know_makes_a_key_that_can_be_deleted() -> None:
    unknown = struct.pack("!IQ", 0x8000_7008, 9)
    known = encode_match(match({"eth_type": 0x0800}))
    decoded = decode_match(known + unknown)
    assert decoded[0][0] == RAW
    assert encode_match(decoded) == known + unknown


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack("!HHI", 21, 8, 1),  # set_queue
        struct.pack("!HHIHxxI", 0xFFFF, 16, 0x2320, 99, 0),  # a Nicira action that nobody knows
        struct.pack("!HHIHHIHB3xH", 0xFFFF, 24, 0x2320, 35, 1, 0, 7, 255, 0),  # ct with a zone that is a constant
        struct.pack("!HHHHH2xII4x", 28, 24, 16, 0, 0, 0x00010204, 0x00010404),  # a move of half a register
        struct.pack("!HHI6xxx", 25, 16, 0x80007004)[:16],  # set_field of an unknown field
    ],
)
def test_an_action_that_we_never_send_differs_from_all_that_we_do(wire: bytes) -> None:
    decoded = decode_actions(wire + encode_actions((Output(1),)))
    assert isinstance(decoded[0], Unknown)
    assert decoded[1] == Output(1)


def test_timeouts_and_strange_instructions_make_a_flow_differ() -> None:
    wanted = flow(Stage.ANTISPOOF, 100, OWNER, {"metadata": 1}, (Output(1),))
    wire = encode_instructions(wanted.actions)
    clear = struct.pack("!HHI", 5, 8, 0)
    for entry in (
        described(wanted.key.match, wire, OWNER.cookie, idle_s=5),
        described(wanted.key.match, wire + clear, OWNER.cookie),
    ):
        assert decode_flows([part(entry)]).ours[wanted.key] != wanted.entry


def test_a_flow_in_a_table_without_a_stage_can_be_named() -> None:
    (key,) = decode_flows([part(described((), b"", OWNER.cookie, table=251))]).ours
    assert int(key.stage) == 251
    assert key.stage.label == "table_251"
    assert messages.delete_flow(key).body[16] == 251


def test_groups_and_meters_of_others_are_passed_by() -> None:
    def group(group_id: int, kind: int = 0) -> bytes:
        buckets = encode_buckets(GROUP.buckets)
        return struct.pack("!HBxIH6x", 16 + len(buckets), kind, group_id, len(buckets)) + buckets

    decoded, theirs = messages.decode_groups([part(group(GROUP.group_id), group(7), group(0x5A000008, kind=1))])
    assert theirs == [7]
    assert decoded[GROUP.group_id] == GroupEntry(GROUP.buckets)
    assert decoded[0x5A000008] != GroupEntry(GROUP.buckets)
    assert 7 not in decoded

    def meter(meter_id: int, flags: int) -> bytes:
        return struct.pack("!HHIHHII4x", 24, flags, meter_id, 1, 16, 1000, 100)

    told = [part(meter(1, 5), meter(0x10001, 5), meter(0x10002, 6), meter(0x10003, 1))]
    meters, theirs = messages.decode_meters(told)
    assert theirs == [1]
    assert meters == {
        0x10001: MeterEntry(1000, 100),
        0x10002: MeterEntry(1000, 100, packets=True),
        0x10003: MeterEntry(-1, -1),
    }


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_plain_error(noise: bytes) -> None:
    for decode in (
        lambda: decode_flows([part(noise)]),
        lambda: decode_flows([part(described((), noise, OWNER.cookie))]),
        lambda: messages.decode_groups([part(noise)]),
        lambda: messages.decode_meters([part(noise)]),
        lambda: messages.decode_packet_in(noise),
        lambda: decode_match(noise),
        lambda: decode_instructions(noise),
        lambda: decode_buckets(noise),
        lambda: decode_error(noise),
    ):
        with contextlib.suppress(ValueError, struct.error):
            decode()


def test_what_does_not_fit_a_message_is_refused_before_it_is_sent() -> None:
    bucket = Bucket((set_field("tun_dst", "192.0.2.1"), Output(1)))
    with pytest.raises(ValueError, match="too many buckets"):
        messages.set_group(GROUP.group_id, GroupEntry((bucket,) * 2000))
    many: tuple[Action, ...] = (*[Output(1)] * 5000, Goto(Stage.REMOTE))
    with pytest.raises(ValueError, match="too long"):
        key = flow(Stage.CLASSIFY, 1, OWNER, {}).key
        messages.set_flow(key, Entry(OWNER.cookie, many))


def test_errors_read_as_sentences() -> None:
    text = str(decode_error(struct.pack("!HH", 4, 9)))
    assert text == "bad match: a prerequisite of a field is missing (OpenFlow error 4,9)"
    assert "conjunction" in str(decode_error(struct.pack("!HHI", 0xFFFF, 15, 0x2320)))
    assert "77,3" in str(decode_error(struct.pack("!HH", 77, 3)))


def test_a_packet_comes_with_the_fields_we_know_even_beside_others() -> None:
    strange = struct.pack("!HBBH", 1, 106 << 1, 2, 7)  # conntrack zone
    oxms = strange + encode_match(match({"in_port": 4, "reg3": 9}))
    header = struct.pack("!IHBBQHH", 0xFFFFFFFF, 60, 1, 10, OWNER.cookie, 1, 4 + len(oxms))
    packet = messages.decode_packet_in(header + oxms + bytes(-(4 + len(oxms)) % 8) + bytes(2) + b"frame")
    assert packet == messages.PacketIn(10, OWNER.cookie, {"in_port": 4, "reg3": 9}, b"frame")
