"""Flows that use every field and every action, as a switch accepts them, and strategies for random ones."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import strategies as st

from suimon.model.owner import Owner
from suimon.pipeline.fields import FIELDS
from suimon.pipeline.flow import (
    IN_PORT,
    Action,
    Bucket,
    CheckLarger,
    Conjunction,
    Ct,
    DecTtl,
    Flow,
    Goto,
    Group,
    Match,
    Meter,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToController,
    UseGroup,
    UseMeter,
    flow,
    set_field,
)
from suimon.pipeline.tables import Stage

OWNER = Owner("port", "one")
TRACKED = {"eth_type": 0x0800, "ct_state": (0x20, 0x30), "ct_nw_proto": 6}
GROUP = Group(
    0x5A000007,
    OWNER,
    (
        Bucket((set_field("tun_id", 100), set_field("tun_dst", "192.0.2.1"), Output(3))),
        Bucket((PushVlan(), set_field("vlan_vid", 0x1000 | 7), Output(4))),
        Bucket((Output(IN_PORT),)),
    ),
)
METERS = (Meter(0x10001, OWNER, 10_000, 2_000), Meter(0x3FFFF, OWNER, 300, 30, packets=True))

FIELD_VALUES: dict[str, tuple[object, ...]] = {
    "in_port": (7, IN_PORT),
    "metadata": (7, (0x500000001, 0xF0000000F)),
    "eth_dst": ("02:00:00:00:00:01", "01:00:00:00:00:00/01:00:00:00:00:00"),
    "eth_src": ("02:00:00:00:00:02", "fe:ff:00:00:00:00/ff:ff:00:00:00:00"),
    "eth_type": (0x0806, 0x86DD, 0x0800),
    "vlan_vid": (0x1064, (0x1000, 0x1000), 0),
    "ip_proto": (1, 6, 17, 132),
    "ipv4_src": ("192.0.2.1", "192.0.2.0/24"),
    "ipv4_dst": ("192.0.2.1", "128.0.0.0/1"),
    "tcp_src": (1, (0x400, 0xFC00)),
    "tcp_dst": (22, (0x400, 0xFC00)),
    "udp_src": (67, (0x400, 0xFC00)),
    "udp_dst": (68, (0x8000, 0x8000)),
    "icmp_type": (0, 8),
    "icmp_code": (0, 4),
    "arp_op": (1, 2),
    "arp_spa": ("192.0.2.1", "192.0.2.0/28"),
    "arp_tpa": ("192.0.2.1", "192.0.0.0/16"),
    "arp_sha": ("02:00:00:00:00:01",),
    "arp_tha": ("02:00:00:00:00:01", "00:00:00:00:00:00"),
    "ipv6_src": ("2001:db8::1", "2001:db8::/32"),
    "ipv6_dst": ("2001:db8::1", "fe80::/10"),
    "icmpv6_type": (128, 135),
    "icmpv6_code": (0, 4),
    "nd_target": ("2001:db8::1", "2001:db8::/64"),
    "nd_sll": ("02:00:00:00:00:01", "00:00:00:00:00:00"),
    "nd_tll": ("02:00:00:00:00:01",),
    "tun_id": (100, (0x64, 0xFFFFFF)),
    "ip_ttl": (1, 64),
    "tun_src": ("192.0.2.9", "192.0.2.0/24"),
    "tun_dst": ("192.0.2.9",),
    "conj_id": (5, 0x7FFFFFFF),
    "ct_state": ((0x21, 0x21), (0x20, 0x30)),
    "ct_nw_proto": (6,),
    "ct_nw_src": ("192.0.2.1", "192.0.2.0/24"),
    "ct_nw_dst": ("192.0.2.1", "192.0.0.0/13"),
    "ct_ipv6_src": ("2001:db8::1", "2001:db8::/64"),
    "ct_ipv6_dst": ("2001:db8::1",),
    "ct_tp_src": (1024, (0x400, 0xFC00)),
    "ct_tp_dst": (22, (0x400, 0xFC00)),
    **{f"reg{number}": (number, (0x50, 0xF0), 0xFFFFFFFF) for number in range(16)},
}
"""For each field, values (and masks) that the switch takes."""

ACTIONS: tuple[tuple[Action, ...], ...] = (
    (),
    (Output(1), Output(IN_PORT)),
    (Goto(Stage.REMOTE),),
    (set_field("metadata", 0x1_0000_0001), Goto(Stage.LOOKUP)),
    (set_field("metadata", (1, 0xFF)), set_field("reg7", (0x10, 0xF0)), set_field("reg15", 0xFFFFFFFF)),
    (set_field("eth_src", "02:00:00:00:00:01"), set_field("eth_dst", "02:00:00:00:00:02"), Output(2)),
    (set_field("tun_id", 4096), set_field("tun_src", "192.0.2.1"), set_field("tun_dst", "192.0.2.2"), Output(2)),
    (Resubmit(Stage.RULES_OUT), Output(2)),
    (CheckLarger(1464, "reg12"), Goto(Stage.FIT)),
    (Resubmit(Stage.CLASSIFY), Goto(Stage.ALLOW_OUT)),
    (ToController(),),
    (ToController(128), Output(1)),
    (UseMeter(METERS[0].meter_id), Goto(Stage.TRACK_OUT)),
    (set_field("reg1", 5), UseMeter(METERS[1].meter_id), Output(1)),
    (UseGroup(GROUP.group_id),),
    (PushVlan(), set_field("vlan_vid", 0x1064), Output(3)),
    (Conjunction(9, 0, 2),),
    (Conjunction(9, 1, 2), Conjunction(10, 2, 3)),
    (Move("reg1", "reg2"), Move("eth_src", "eth_dst"), Move("metadata", "tun_id"), Move("eth_dst", "metadata")),
)
"""Action lists that fit any match."""
CT_ACTIONS: tuple[tuple[Action, ...], ...] = (
    (Ct("reg3", Stage.GROUP_OUT),),
    (Ct("reg3", commit=True), Output(2)),
    (Ct("reg2", Stage.DELIVER, commit=True),),
    (Ct("reg3"),),
    (Ct("reg3", commit=True, mark=0x0A000001), Output(2)),
)
IP_ACTIONS: tuple[Action, ...] = (
    DecTtl(),
    set_field("ipv4_src", "192.0.2.1"),
    set_field("ipv4_dst", "192.0.2.1"),
    set_field("ip_ttl", 64),
    Move("ipv4_src", "reg7"),
    Move("ipv4_dst", "ipv4_src"),
    Move("reg7", "ipv4_dst"),
    Output(IN_PORT),
)
ICMP_ACTIONS: tuple[Action, ...] = (set_field("icmp_type", 0), set_field("icmp_code", 0))
IPV6_ACTIONS: tuple[Action, ...] = (
    DecTtl(),
    set_field("ip_ttl", 255),
    Move("ipv6_src", "ipv6_dst"),
    set_field("ipv6_src", "2001:db8::1"),
    Move("ipv6_dst", "xxreg2"),
    set_field("xxreg2", "2001:db8::2"),
)
NS_ACTIONS: tuple[Action, ...] = (
    set_field("icmpv6_type", 136),
    Move("reg7", "nd_reserved"),
    Move("reg7", "nd_options_type"),
    Resubmit(Stage.REMOTE),
)
ARP_ACTIONS: tuple[Action, ...] = (
    set_field("arp_op", 2),
    Move("arp_sha", "arp_tha"),
    set_field("arp_sha", "02:00:00:00:00:01"),
    Move("arp_tpa", "reg7"),
    Move("arp_spa", "arp_tpa"),
    Move("reg7", "arp_spa"),
    Output(IN_PORT),
)


def every_flow() -> Iterator[Flow]:
    """One flow for each field value and one for each list of actions."""
    priority = 0
    for name, values in FIELD_VALUES.items():
        for value in values:
            needs = TRACKED if name.startswith("ct_nw") or name.startswith("ct_tp") else _needed(name)
            priority += 1
            yield flow(Stage.RULES_IN, priority, OWNER, {**needs, name: value}, (Output(1),))
    for number, actions in enumerate(ACTIONS):
        yield flow(Stage.ANTISPOOF, number, OWNER, {"metadata": number}, actions)
    ip, icmp = {"eth_type": 0x0800}, {"eth_type": 0x0800, "ip_proto": 1}
    for number, actions in enumerate(CT_ACTIONS):
        yield flow(Stage.TRACK_OUT, number, OWNER, ip, actions)
    yield flow(Stage.ROUTE, 1, OWNER, ip, IP_ACTIONS)
    yield flow(Stage.ANSWER, 1, OWNER, icmp, ICMP_ACTIONS)
    yield flow(Stage.ROUTE, 2, OWNER, {"eth_type": 0x86DD}, IPV6_ACTIONS)
    yield flow(Stage.ANSWER, 2, OWNER, _needed("nd_sll") | {"nd_sll": "02:00:00:00:00:01"}, NS_ACTIONS)
    yield flow(Stage.ANSWER, 2, OWNER, _needed("nd_tll"), (Move("eth_src", "nd_tll"), Output(IN_PORT)))
    yield flow(Stage.ANSWER, 1, OWNER, {"eth_type": 0x0806, "arp_op": 1, "arp_tpa": "192.0.2.1"}, ARP_ACTIONS)
    yield flow(Stage.DELIVER, 1, OWNER, {"vlan_vid": (0x1000, 0x1000)}, (PopVlan(), Output(1)))
    yield flow(Stage.CLASSIFY, 0, OWNER, {}, ())
    yield flow(Stage.GROUP_IN, 65535, OWNER, {**TRACKED, **{f"reg{number}": number for number in range(16)}})


def _needed(name: str) -> dict[str, object]:
    if name.startswith("ct_ipv6"):
        return {"eth_type": 0x86DD, "ct_state": (0x20, 0x30)}
    return {needed: values[0] for needed, values in FIELDS[name].needs}


@st.composite
def fields(draw: st.DrawFn) -> tuple[str, int, int]:
    name = draw(st.sampled_from(sorted(FIELDS)))
    full = (1 << FIELDS[name].bits) - 1
    mask = draw(st.one_of(st.just(full), st.integers(1, full)))
    return name, draw(st.integers(0, full)) & mask, mask


matches: st.SearchStrategy[Match] = st.lists(fields(), unique_by=lambda field: field[0], max_size=8).map(
    lambda chosen: tuple(sorted(chosen))
)
numbers = st.integers(0, 0xFFFFFFFF)
names = st.sampled_from(sorted(FIELDS))
registers = st.sampled_from([f"reg{number}" for number in range(16)])
stages = st.sampled_from(Stage)
actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(Output, numbers.filter(lambda port: port != 0xFFFFFFFD)),
    fields().map(lambda field: SetField(*field)),
    st.builds(Move, names, names),
    st.builds(Resubmit, stages),
    st.builds(Ct, registers, st.none() | stages, st.booleans()),
    st.builds(ToController, st.integers(0, 0xFFFF)),
    st.builds(UseMeter, numbers),
    st.builds(UseGroup, numbers),
    st.builds(Conjunction, numbers, st.integers(0, 63), st.integers(2, 64)),
    st.sampled_from([DecTtl(), PushVlan(), PopVlan(), CheckLarger(1514, "reg12")]),
)
action_lists = st.tuples(st.lists(actions, max_size=6), st.lists(st.builds(Goto, stages), max_size=1)).map(
    lambda parts: (*parts[0], *parts[1])
)
