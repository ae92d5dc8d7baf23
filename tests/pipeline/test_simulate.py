"""The simulated switch does what ovs-actions(7) and ovs-fields(7) say."""

from collections.abc import Iterable, Mapping

import pytest

from suimon.model.owner import Owner
from suimon.pipeline.fields import CT_ESTABLISHED, CT_INVALID, CT_NEW, CT_RELATED, CT_REPLY, CT_TRACKED
from suimon.pipeline.flow import (
    IN_PORT,
    Action,
    Bucket,
    Conjunction,
    Ct,
    DecTtl,
    Flow,
    Goto,
    Group,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    ToController,
    UseGroup,
    UseMeter,
    flow,
    set_field,
)
from suimon.pipeline.simulate import (
    Conntrack,
    Ends,
    Packet,
    Switch,
    arp,
    explain,
    icmp_echo,
    icmp_error,
    tcp,
    trace_text,
    udp,
)
from suimon.pipeline.simulate.packet import ACK, FIN, RST, SYN
from suimon.pipeline.tables import Stage

ONE = Owner("port", "one")
TWO = Owner("port", "two")
THERE = Ends("02:00:00:00:00:01", "02:00:00:00:00:02", "10.0.0.1", "10.0.0.2")
BACK = Ends("02:00:00:00:00:02", "02:00:00:00:00:01", "10.0.0.2", "10.0.0.1")
IP = {"eth_type": 0x0800}
TCP = {**IP, "ip_proto": 6}


def entry(stage: Stage, priority: int, matched: Mapping[str, object], *actions: Action, owner: Owner = ONE) -> Flow:
    return flow(stage, priority, owner, matched, actions)


def outputs(flows: Iterable[Flow], packet: Packet, groups: Iterable[Group] = ()) -> list[int]:
    return [ofport for ofport, _ in Switch(flows, groups).process(packet.arriving(1)).outputs]


def test_highest_priority_wins_and_masks_count() -> None:
    flows = [
        entry(Stage.CLASSIFY, 1, {}, Output(9)),
        entry(Stage.CLASSIFY, 5, {**IP, "ipv4_dst": "10.0.0.0/24"}, Output(5)),
        entry(Stage.CLASSIFY, 7, {**TCP, "tcp_dst": (0x0010, 0xFFF0)}, Output(7)),
    ]
    assert outputs(flows, tcp(THERE, 0x1F)) == [7]
    assert outputs(flows, tcp(THERE, 0x20)) == [5]
    assert outputs(flows, arp(THERE)) == [9]


def test_a_field_that_the_packet_lacks_never_matches() -> None:
    assert outputs([entry(Stage.CLASSIFY, 1, {"udp_dst": 0}, Output(2))], tcp(THERE, 22)) == []
    assert outputs([entry(Stage.CLASSIFY, 1, {"reg3": 0, "vlan_vid": 0}, Output(2))], tcp(THERE, 22)) == [2]


def test_a_miss_drops_and_says_where() -> None:
    result = Switch([entry(Stage.CLASSIFY, 1, {}, Goto(Stage.LOOKUP))]).process(tcp(THERE, 22).arriving(1))
    assert result.drop is not None
    assert (result.drop.stage, result.drop.owner) == (Stage.LOOKUP, None)
    assert explain(result) == "Dropped in lookup: nothing matched."


def test_a_drop_names_its_owner() -> None:
    flows = [
        entry(Stage.CLASSIFY, 1, {}, set_field("metadata", 7), Goto(Stage.ANTISPOOF)),
        entry(Stage.ANTISPOOF, 1, {"metadata": 7}, owner=TWO),
    ]
    result = Switch(flows).process(tcp(THERE, 22).arriving(1))
    assert result.drop is not None and result.drop.owner == TWO
    assert explain(result) == "Dropped in antispoof by port/two: dropped there."
    assert "antispoof [set_field:0x7->metadata]: stage=antispoof" in trace_text(result)


def test_resubmit_comes_back_with_what_was_written() -> None:
    flows = [
        entry(Stage.CLASSIFY, 1, {}, Resubmit(Stage.RULES_IN), Goto(Stage.ALLOW_IN)),
        entry(Stage.RULES_IN, 1, {}, set_field("reg5", 1), Goto(Stage.ANSWER)),
        entry(Stage.ANSWER, 1, {}, set_field("reg6", 2)),
        entry(Stage.ALLOW_IN, 1, {"reg5": 1, "reg6": 2}, Output(2)),
    ]
    assert outputs(flows, tcp(THERE, 22)) == [2]


def test_resubmitting_forever_sends_nothing() -> None:
    result = Switch([entry(Stage.CLASSIFY, 1, {}, Output(2), Resubmit(Stage.CLASSIFY))]).process(
        udp(THERE, 1).arriving(1)
    )
    assert result.outputs == ()
    assert "gives up" in explain(result)
    assert len(result.steps) == 65


def test_output_never_goes_back_unless_told() -> None:
    assert outputs([entry(Stage.CLASSIFY, 1, {}, Output(1), Output(2))], udp(THERE, 1)) == [2]
    assert outputs([entry(Stage.CLASSIFY, 1, {}, Output(IN_PORT))], udp(THERE, 1)) == [1]


def test_each_bucket_has_its_own_copy() -> None:
    buckets = (Bucket((set_field("tun_id", 5), Output(2))), Bucket((Output(3),)))
    flows = [entry(Stage.CLASSIFY, 1, {}, UseGroup(1), Output(4))]
    result = Switch(flows, [Group(1, ONE, buckets)]).process(udp(THERE, 1).arriving(1))
    assert [(ofport, packet.fields.get("tun_id", 0)) for ofport, packet in result.outputs] == [(2, 5), (3, 0), (4, 0)]


def test_an_exceeded_meter_drops_what_follows() -> None:
    flows = [entry(Stage.CLASSIFY, 1, {}, UseMeter(7), Goto(Stage.DELIVER)), entry(Stage.DELIVER, 1, {}, Output(2))]
    packet = udp(THERE, 1).arriving(1)
    assert [ofport for ofport, _ in Switch(flows).process(packet).outputs] == [2]
    result = Switch(flows, exceeded={7}).process(packet)
    assert explain(result) == "Dropped in classify by port/one: meter 7 exceeded."


def test_ttl_vlan_and_copied_fields() -> None:
    flows = [
        entry(Stage.CLASSIFY, 2, IP, DecTtl(), PushVlan(), set_field("vlan_vid", 0x1064), Goto(Stage.REMOTE)),
        entry(
            Stage.CLASSIFY, 2, {"eth_type": 0x0806}, Move("eth_src", "eth_dst"), set_field("arp_op", 2), Output(IN_PORT)
        ),
        entry(Stage.REMOTE, 1, {"vlan_vid": (0x1000, 0x1000)}, Output(2), PopVlan(), Output(3)),
    ]
    switch = Switch(flows)
    (_, tagged), (_, plain) = switch.process(udp(THERE, 1).arriving(1)).outputs
    assert (tagged.fields["vlan_vid"], tagged.fields["ip_ttl"], plain.fields["vlan_vid"]) == (0x1064, 63, 0)
    old = udp(THERE, 1).with_fields({"ip_ttl": 1}).arriving(1)
    assert explain(switch.process(old)) == "Dropped in classify by port/one: TTL expired."
    ((_, answer),) = switch.process(arp(THERE).arriving(1)).outputs
    assert (answer.fields["eth_dst"], answer.fields["arp_op"]) == (0x020000000001, 2)


def test_a_field_takes_the_low_bits_of_a_wider_one() -> None:
    flows = [entry(Stage.CLASSIFY, 1, IP, set_field("reg7", 0x1FF40), Move("reg7", "ip_ttl"), Output(2))]
    ((_, packet),) = Switch(flows).process(udp(THERE, 1).arriving(1)).outputs
    assert packet.fields["ip_ttl"] == 0x40


def test_the_way_is_told_with_what_others_see_of_the_packet() -> None:
    flows = [
        entry(Stage.CLASSIFY, 1, {}, set_field("metadata", 7), DecTtl(), set_field("tun_id", 5), Output(9), owner=TWO),
    ]
    result = Switch(flows).process(udp(THERE, 1).arriving(1))
    assert explain(result) == "Sent out of port 9 in classify by port/two [set_field:63->ip_ttl,set_field:0x5->tun_id]."


def test_the_agent_gets_what_is_handed_to_it() -> None:
    result = Switch([entry(Stage.CLASSIFY, 1, {}, ToController())]).process(udp(THERE, 67, 68).arriving(1))
    assert result.drop is None and len(result.to_controller) == 1
    assert explain(result) == "Handed to the agent in classify by port/one."


def conjunction(owner: Owner = TWO) -> list[Flow]:
    """From 10.0.0.1 or .3, to tcp/22 or 80."""
    sources = [
        entry(Stage.CLASSIFY, 5, {**IP, "ipv4_src": f"10.0.0.{n}"}, Conjunction(9, 0, 2), owner=owner) for n in (1, 3)
    ]
    targets = [entry(Stage.CLASSIFY, 5, {**TCP, "tcp_dst": port}, Conjunction(9, 1, 2)) for port in (22, 80)]
    return [*sources, *targets, entry(Stage.CLASSIFY, 5, {**IP, "conj_id": 9}, Output(2))]


def test_a_conjunction_needs_every_dimension() -> None:
    flows = [*conjunction(), entry(Stage.CLASSIFY, 1, {}, Output(8))]
    assert outputs(flows, tcp(THERE, 22)) == [2]
    assert outputs(flows, tcp(THERE, 80)) == [2]
    assert outputs(flows, tcp(THERE, 81)) == [8]
    assert outputs(flows, tcp(BACK, 22)) == [8]
    step = Switch(flows).process(tcp(THERE, 22).arriving(1)).steps[0]
    assert {clause.owner for clause in step.clauses} == {ONE, TWO}


def test_a_plain_flow_of_higher_priority_beats_a_conjunction() -> None:
    assert outputs([*conjunction(), entry(Stage.CLASSIFY, 6, {**TCP, "tcp_dst": 22}, Output(8))], tcp(THERE, 22)) == [8]
    # At the same priority Open vSwitch prefers the plain flow, too.
    assert outputs([*conjunction(), entry(Stage.CLASSIFY, 5, {**TCP, "tcp_src": 1}, Output(8))], tcp(THERE, 22, 1)) == [
        8
    ]


def test_a_conjunction_that_leads_nowhere_falls_through() -> None:
    flows = [*conjunction()[:-1], entry(Stage.CLASSIFY, 4, {**IP, "conj_id": 8}, Output(8))]
    assert outputs(flows, tcp(THERE, 22)) == []
    lower = [
        entry(Stage.CLASSIFY, 3, {**IP, "ipv4_src": "10.0.0.1"}, Conjunction(8, 0, 2)),
        entry(Stage.CLASSIFY, 3, {**IP, "ipv4_dst": "10.0.0.2"}, Conjunction(8, 1, 2)),
    ]
    assert outputs([*flows, *lower], tcp(THERE, 22)) == [8]


def test_rivals_are_noticed() -> None:
    flows = [
        entry(Stage.CLASSIFY, 1, {"reg1": 0}, Output(2)),
        entry(Stage.CLASSIFY, 1, {"reg2": 0}, Output(3)),
        entry(Stage.CLASSIFY, 1, {"reg3": 0}, Output(2)),
    ]
    assert Switch(flows).process(udp(THERE, 1).arriving(1)).steps[0].rivals == (flows[1],)


def test_ct_goes_on_tracked_and_leaves_the_rest_untracked() -> None:
    flows = [
        entry(Stage.CLASSIFY, 1, {}, set_field("reg3", 0x10004), Ct("reg3", Stage.GROUP_IN), Goto(Stage.ANSWER)),
        entry(Stage.GROUP_IN, 1, {"ct_state": (CT_NEW, CT_NEW), **IP, "ct_nw_src": "10.0.0.1"}, Output(2)),
        entry(Stage.ANSWER, 1, {"ct_state": 0}, Output(3)),
    ]
    assert sorted(outputs(flows, udp(THERE, 53))) == [2, 3]


def track(conntrack: Conntrack, packet: Packet, zone: int = 1, *, commit: bool = False) -> int:
    state = conntrack.track(zone, packet, commit=commit)["ct_state"]
    assert state & CT_TRACKED
    return state & ~CT_TRACKED


def test_a_connection_through_its_states() -> None:
    table = Conntrack()
    assert track(table, tcp(THERE, 22)) == CT_NEW
    assert track(table, tcp(THERE, 22), commit=True) == CT_NEW
    assert track(table, tcp(THERE, 22)) == CT_NEW, "nobody answered yet"
    assert track(table, tcp(BACK, 40000, 22, SYN | ACK)) == CT_ESTABLISHED | CT_REPLY
    assert track(table, tcp(THERE, 22, flags=ACK)) == CT_ESTABLISHED
    assert track(table, tcp(THERE, 22), zone=2) == CT_NEW, "zones don't know of each other"
    assert track(table, tcp(THERE, 22, 40001)) == CT_NEW, "another connection"


@pytest.mark.parametrize(
    ("packet", "state"),
    [
        (tcp(THERE, 22, flags=ACK), CT_NEW),
        (tcp(THERE, 22, flags=SYN | ACK), CT_INVALID),
        (tcp(THERE, 22, flags=SYN | FIN), CT_INVALID),
        (tcp(THERE, 22, flags=FIN), CT_INVALID),
        (tcp(THERE, 22, flags=RST), CT_NEW),
        (icmp_echo(THERE), CT_NEW),
        (icmp_echo(THERE, reply=True), CT_INVALID),
        (udp(THERE, 53), CT_NEW),
        (icmp_error(THERE, udp(BACK, 53)), CT_INVALID),
        (arp(THERE), CT_INVALID),
    ],
)
def test_what_may_open_a_connection(packet: Packet, state: int) -> None:
    assert track(Conntrack(), packet) == state


def test_replies_and_errors_carry_the_original_tuple() -> None:
    table = Conntrack()
    table.track(1, udp(THERE, 53), commit=True)
    original = {
        "ct_nw_proto": 17,
        "ct_nw_src": 0x0A000001,
        "ct_nw_dst": 0x0A000002,
        "ct_ipv6_src": 0,
        "ct_ipv6_dst": 0,
        "ct_tp_src": 40000,
        "ct_tp_dst": 53,
        "ct_mark": 0,
    }
    reply = table.track(1, udp(BACK, 40000, 53), commit=False)
    error = table.track(1, icmp_error(BACK, udp(THERE, 53)), commit=False)
    assert reply == {"ct_state": CT_TRACKED | CT_ESTABLISHED | CT_REPLY, **original}
    assert error == {"ct_state": CT_TRACKED | CT_RELATED | CT_REPLY, **original}


def test_a_ping_is_known_by_its_id_and_reported_by_type_and_code() -> None:
    table = Conntrack()
    table.track(1, icmp_echo(THERE, 7), commit=True)
    assert track(table, icmp_echo(BACK, 8, reply=True)) == CT_INVALID
    answer = table.track(1, icmp_echo(BACK, 7, reply=True), commit=False)
    assert answer["ct_state"] == CT_TRACKED | CT_ESTABLISHED | CT_REPLY
    assert (answer["ct_tp_src"], answer["ct_tp_dst"], answer["ct_nw_src"]) == (8, 0, 0x0A000001)


def test_connections_outlive_a_change_of_flows() -> None:
    remember = entry(Stage.CLASSIFY, 1, {}, Ct("reg3", commit=True))
    first = Switch([remember])
    first.process(udp(THERE, 53).arriving(1))
    ask = [
        entry(Stage.CLASSIFY, 1, {}, Ct("reg3", Stage.GROUP_IN)),
        entry(Stage.GROUP_IN, 1, {"ct_state": (CT_REPLY, CT_REPLY)}, Output(2)),
    ]
    second = Switch(ask, conntrack=first.conntrack)
    assert [ofport for ofport, _ in second.process(udp(BACK, 40000, 53).arriving(3)).outputs] == [2]
