"""What hosts ask gateway hosts, and how their switches answer by themselves; how routers are spread over hosts."""

from collections import Counter
from ipaddress import IPv4Address

import pytest

from suimon.model.gateways import candidates, ranked
from suimon.model.view import Gateways
from suimon.pipeline.gateway import (
    ALIVE,
    ANSWERED,
    ASKED,
    MOST_REFUSALS,
    REPLACED,
    SERVING,
    VNI,
    WAITING,
    refusal,
)
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.simulate import Conntrack, Packet, Switch
from suimon.pipeline.world import World

ONE, TWO = "172.16.0.1", "172.16.0.2"
TUNNEL = 100
HOSTS = candidates((f"h{n}", f"172.16.0.{n}") for n in range(1, 11))


def number(mac):
    return int(mac.replace(":", ""), 16)


def sent_to(eth_dst, away=(), replaced=(), refused=(), *, serving=True):
    """What the switch of h1 makes of a question or an answer from h2."""
    world = World("h1", Numbers())
    world.set(Gateways("ext", candidates((("h1", ONE), ("h2", TWO)))))
    world.wire({"vxlan": TUNNEL}, {})
    world.judge(frozenset(away), frozenset(replaced), frozenset(refused), serving=serving)
    programs = [world.compile(owner) for owner in world.owners()]
    flows = [flow for program in programs for flow in program.flows]
    ends = {"tun_src": int(IPv4Address(TWO)), "tun_dst": int(IPv4Address(ONE)), "tun_id": VNI}
    fields = {"in_port": TUNNEL, "vlan_vid": 0, "eth_src": 1, "eth_dst": number(eth_dst), "eth_type": ALIVE, **ends}
    return Switch(flows, [], Conntrack()).process(Packet(fields))


@pytest.mark.parametrize(
    ("judged", "said"),
    [({}, SERVING), ({"serving": False}, WAITING), ({"away": [TWO], "replaced": [TWO]}, REPLACED)],
)
def test_a_switch_answers_for_its_host(judged, said):
    ((_, packet),) = sent_to(ASKED, **judged).outputs
    expected = {"eth_src": number(said), "eth_dst": number(ANSWERED), "tun_dst": int(IPv4Address(TWO)), "tun_id": VNI}
    assert {name: packet.fields[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("judged", "said"), [({}, SERVING), ({"away": [TWO], "replaced": [TWO]}, REPLACED), ({"serving": False}, WAITING)]
)
def test_what_its_host_refuses_is_said_before_and_what_others_do_is_not(judged, said):
    refused = [("", refusal("ext")), ("", "02:00:00:00:fe:03"), (TWO, refusal("other"))]
    answers = [packet.fields for _, packet in sent_to(ASKED, refused=refused, **judged).outputs]
    own = sorted(number(what) for who, what in refused if not who)
    assert [each["eth_src"] for each in answers] == [*own, number(said)]
    assert {(each["eth_dst"], each["tun_dst"]) for each in answers} == {(number(ANSWERED), int(IPv4Address(TWO)))}


def test_an_answer_stays_small():
    refused = {("", f"02:00:00:00:{n:02x}:00") for n in range(MOST_REFUSALS + 5)}
    assert len(sent_to(ASKED, refused=refused).outputs) == MOST_REFUSALS + 1


def test_the_answer_gets_to_the_agent():
    assert sent_to(ANSWERED).to_controller


def test_routers_are_spread_and_a_host_that_goes_moves_only_its_own():
    before = {f"r{n}": ranked(f"r{n}", HOSTS) for n in range(1000)}
    firsts = Counter(ranks[0].host for ranks in before.values())
    assert len(firsts) == 10
    assert max(firsts.values()) < 2 * min(firsts.values())
    gone = HOSTS[0]
    for router, ranks in before.items():
        if gone not in ranks:
            assert ranked(router, HOSTS[1:]) == ranks


def test_a_host_without_tunnels_is_no_candidate():
    assert candidates([("h1", None)]) == ()


def test_behind_hosts_that_are_silent_others_stand_by_and_nobody_loses_a_place() -> None:
    attached = [(each.host, each.vtep) for each in HOSTS[:5]]
    for router in (f"r{number}" for number in range(200)):
        before = [each.host for each in ranked(router, candidates(attached))]
        for silent in ({before[0]}, {before[1]}, set(before)):
            after = ranked(router, candidates(attached, silent=silent))
            assert [each.host for each in after[:2]] == before, "its agent alone may be dead"
            assert [each.silent for each in after[2:]] == [False] * len(silent)
        everybody = {host for host, _ in attached}
        assert [each.host for each in ranked(router, candidates(attached, silent=everybody))] == before


def test_a_drained_host_leads_nothing_that_another_can_and_stands_by_for_what_it_had() -> None:
    routers = [f"r{number}" for number in range(200)]
    drained = candidates(((each.host, each.vtep) for each in HOSTS), {"h3"})
    for router in routers:
        before, after = ranked(router, HOSTS), ranked(router, drained)
        hosts = [each.host for each in after]
        assert hosts[0] != "h3" and [each.drained for each in after[:2]] == [False, False]
        if "h3" in [each.host for each in before]:
            others = [each.host for each in before if each.host != "h3"]
            assert others[0] in hosts[:2] and hosts[2:] == ["h3"], "nobody else's place is another"
        else:
            assert after == before
    alone = candidates([("h3", "172.16.0.3")], {"h3"})
    assert [each.host for each in ranked("r1", alone)] == ["h3"], "better than nobody"
