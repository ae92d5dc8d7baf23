"""Who serves as a gateway: lost, replaced, back after a while; and what two that lost sight of each other agree on."""

import asyncio

import pytest
from msgspec.structs import replace

from suimon.agent.gateways import Config, Gateways, Liveness, Mattering, Verdict
from suimon.model.gateways import ranked
from suimon.model.owner import Owner
from suimon.model.view import GatewayHost, Snapshot
from suimon.model.view import Gateways as GatewayHosts
from suimon.pipeline.gateway import MOST_REFUSALS, REPLACED, SERVING, WAITING, device, refusal
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.world import World
from suimon.reconcile import Failure
from tests.agent.parts import FakeSwitch, Parts, at
from tests.agent.test_outside import EXTERNAL, ROUTER, VIEW

CONFIG = Config(interval_s=1, pressing_s=1, pressed=2, return_after_s=10)
ONE, TWO = "172.16.0.1", "172.16.0.2"


def matter(own, other=TWO):
    return Mattering(frozenset({other}), frozenset({other} if own else ()), own)


def after(liveness, answers, *, own=ONE, other=TWO, start=0, heard=lambda now: 0):
    """What holds after questions at one a second, each answered as given (None: not at all)."""
    for now, answer in enumerate([*answers, None], start):
        counted = {vtep: heard(now) for vtep in liveness.doubted(now)}
        liveness.ask(matter(own, other), counted, now)
        if answer:
            liveness.answered(other, answer, now)
    return liveness.verdict()


def test_three_silences_and_a_host_is_away():
    assert not after(Liveness(CONFIG), [SERVING, None, None]).away
    assert after(Liveness(CONFIG), [SERVING, None, None, None]).away == {TWO}


def test_one_that_other_packets_come_from_is_not_away_until_they_end():
    liveness = Liveness(CONFIG)
    assert not after(liveness, [SERVING] + [None] * 20, heard=lambda now: now).away
    assert after(liveness, [None] * 3, start=22, heard=lambda now: 21).away == {TWO}


def test_nobody_is_away_while_nothing_can_come():
    assert not after(Liveness(CONFIG), [None] * 20, heard=lambda now: None).away


def test_who_does_not_answer_is_pressed_and_others_are_not():
    liveness, both = Liveness(Config(interval_s=1, pressing_s=0.25, pressed=3)), Mattering(frozenset({ONE, TWO}))
    now, asked = 0.0, []
    while now < 3:
        asked += ((now, each) for each in liveness.ask(both, dict.fromkeys(liveness.doubted(now), 0), now))
        liveness.answered(ONE, SERVING, now)
        now = liveness.next_at(now)
    assert [at for at, each in asked if each == ONE] == [0, 1, 2]
    assert [at for at, each in asked if each == TWO] == [0, 1, 1.25, 1.5, 1.75, 2.75], "lost after the fourth"
    assert liveness.verdict().away == {TWO}


def test_one_that_this_host_does_not_replace_serves_as_soon_as_it_says_so():
    liveness = Liveness(CONFIG)
    verdict = after(liveness, [None] * 3, own="")
    assert (verdict.away, verdict.replaced) == ({TWO}, set())
    assert after(liveness, [SERVING] * 2, own="", start=4).away == {TWO}, "it may not have been told yet"
    assert not after(liveness, [SERVING], own="", start=7).away


def test_hosts_replace_each_other_if_they_share_a_router():
    hosts = tuple(GatewayHost(f"h{number}", f"172.16.0.{number}") for number in range(1, 9))
    ranks = {name: {each.vtep for each in ranked(name, hosts)} for name in (f"r{number}" for number in range(40))}
    ours = next(name for name, vteps in ranks.items() if ONE in vteps)
    alien = next(name for name, vteps in ranks.items() if not vteps & {ONE, *ranks[ours]})
    world = World("h1", Numbers())
    for thing in (EXTERNAL, GatewayHosts("public", hosts), *(replace(ROUTER, id=name) for name in (ours, alien))):
        world.set(thing)
    found = Gateways(CONFIG, world)._matter()
    assert found == Mattering(frozenset((ranks[ours] | ranks[alien]) - {ONE}), frozenset(ranks[ours] - {ONE}), ONE)


def test_one_that_waits_is_away_but_nobody_replaced_it():
    verdict = after(Liveness(CONFIG), [WAITING])
    assert verdict.away == {TWO}
    assert not verdict.replaced


def test_one_that_comes_back_serves_after_a_while_without_a_gap():
    liveness = Liveness(CONFIG)
    after(liveness, [None] * 3)
    verdict = after(liveness, [SERVING] * 8, start=4)
    assert (verdict.away, verdict.replaced, verdict.returned) == ({TWO}, {TWO}, 1)
    after(liveness, [None] * 3, start=12)
    assert after(liveness, [SERVING] * 8, start=15).away == {TWO}, "the gap counts from its end"
    verdict = after(liveness, [SERVING] * 4, start=23)
    assert not verdict.away
    assert not verdict.replaced


def test_one_that_was_replaced_does_not_serve_until_the_other_lets_it_or_dies():
    liveness = Liveness(CONFIG)
    verdict = after(liveness, [REPLACED], own=ONE)
    assert (verdict.serving, verdict.away) == (False, {ONE})
    assert after(liveness, [SERVING], own=ONE, start=2).serving
    assert not after(liveness, [REPLACED], own=ONE, start=4).serving
    verdict = after(liveness, [None] * 3, own=ONE, start=6)
    assert (verdict.serving, verdict.away) == (True, {TWO})


def test_of_two_that_replaced_each_other_the_lower_address_stays():
    low, high = Liveness(CONFIG), Liveness(CONFIG)
    after(low, [None] * 3, own=ONE, other=TWO)
    after(high, [None] * 3, own=TWO, other=ONE)
    assert after(low, [REPLACED], own=ONE, other=TWO, start=4).serving
    assert not after(high, [REPLACED], own=TWO, other=ONE, start=4).serving


def test_what_another_refuses_is_believed_as_long_as_it_says_so():
    liveness = Liveness(CONFIG)
    assert refusing(liveness, [True, True]).refused == {(TWO, "ext")}
    verdict = refusing(liveness, [False, True, False, False], start=2)
    assert verdict.refused == {(TWO, "ext")}, "one answer may be lost"
    assert (verdict.away, verdict.serving) == (set(), True)
    assert not refusing(liveness, [False, False], start=6).refused


def test_what_this_host_cannot_serve_it_refuses_until_it_could_for_a_while():
    liveness = Liveness(CONFIG)
    for now, unable in enumerate([{"ext"}, *[set()] * 5, {"ext"}, *[set()] * 9]):
        liveness.ask(replace(matter(ONE), unable=frozenset(unable)), {}, now)
        liveness.answered(TWO, SERVING, now)
        assert liveness.verdict() == Verdict(refused=frozenset({("", "ext")})), now
    liveness.ask(matter(ONE), {}, 16)
    assert liveness.verdict() == Verdict()


def test_a_host_that_cannot_serve_much_does_not_serve():
    liveness = Liveness(CONFIG)
    for more in (0, 1):
        unable = frozenset(map(str, range(MOST_REFUSALS + more)))
        liveness.ask(replace(matter(ONE), unable=unable), {}, more)
        verdict = liveness.verdict()
        assert (verdict.serving, verdict.away) == (not more, {ONE} if more else set())


def test_a_restart_ends_no_refusal():
    before, begun = Liveness(CONFIG), Liveness(CONFIG)
    refusing(before, [True], unable={"other"})
    begun.recall(before.known(), matter(ONE), 5)
    assert begun.verdict() == before.verdict() == Verdict(refused=frozenset({(TWO, "ext"), ("", "other")}))


def refusing(liveness, answers, *, start=0, unable=()):
    """What holds after questions at one a second, answered that it serves, and all but ext where that is so."""
    for now, refuses in enumerate(answers, start):
        liveness.ask(replace(matter(ONE), unable=frozenset(unable)), {}, now)
        for said in ["ext"] * refuses + [SERVING]:
            liveness.answered(TWO, said, now)
    return liveness.verdict()


def test_a_host_says_that_it_leads_out_once_it_would_have_been_told_that_it_was_replaced():
    """The controller lets nobody stand by for it any more then."""
    liveness = Liveness(CONFIG)
    said = []
    for answer in (SERVING, SERVING, SERVING, REPLACED, SERVING):
        after(liveness, [answer], start=len(said))
        said.append(liveness.leads_out)
    assert said == [False, False, True, False, True]
    liveness.begin()
    assert not liveness.leads_out, "what it was told meanwhile it hasn't heard"
    refusing(liveness, [False] * 4, start=10, unable=frozenset({"ext"}))
    assert not liveness.leads_out
    after(liveness, [SERVING], own="", start=14)
    assert liveness.leads_out, "nobody waits for one that is no gateway host"


def test_a_host_knows_that_it_was_not_replaced_once_all_have_answered_or_had_the_time_to():
    def known(other, *answers):
        liveness = Liveness(CONFIG)
        liveness.recall((), matter(ONE, other), 0)
        told = [liveness.told]
        for now, answer in enumerate(answers):
            after(liveness, [answer], other=other, start=now)
            told.append(liveness.told)
        liveness.begin()
        return told, liveness.told

    assert known(TWO, None, SERVING) == ([False, False, True], False)
    assert known(TWO, None, None, None) == ([False, False, False, True], False)


def test_a_host_is_unable_where_its_uplink_is_cut_or_a_namespace_cannot_be_made():
    world = World("h1", Numbers())
    for thing in (EXTERNAL, GatewayHosts("public", (GatewayHost("h1", ONE), GatewayHost("h2", TWO))), ROUTER):
        world.set(thing)
    gateways, name = Gateways(CONFIG, world), device(ROUTER.id)
    mac = ROUTER.gateway.mac

    def unable(cut=(), unmade=(), nats=()):
        gateways.cut, gateways.unmade = frozenset(cut), frozenset(unmade)
        world.wire_nats(dict.fromkeys(nats, 5))
        return gateways._matter().unable

    assert unable() == set()
    assert unable(cut=["public"]) == {refusal("public")}
    assert unable(unmade=[name]) == unable(unmade=["all"]) == {mac}
    assert unable(unmade=["smnother"]) == set()
    assert unable(unmade=[name], nats=[name]) == set(), "it could only not be changed"


def test_answers_that_nobody_asked_for_are_not_believed():
    liveness = Liveness(CONFIG)
    liveness.answered(TWO, WAITING, 0)
    liveness.ask(matter(""), {}, 0)
    liveness.answered(ONE, WAITING, 0)
    liveness.answered(TWO, "02:00:00:00:00:01", 0)
    assert not liveness.verdict().away


@pytest.mark.parametrize(("answers", "own"), [([None] * 3, ""), ([None] * 3, ONE), ([WAITING], ""), ([REPLACED], ONE)])
def test_an_agent_that_begins_knows_what_the_one_before_knew(answers, own):
    before, begun = Liveness(CONFIG), Liveness(CONFIG)
    held = after(before, answers, own=own)
    begun.recall(before.known(), matter(own), 5)
    assert begun.verdict() == held != Verdict()


def test_a_restart_does_not_make_one_that_came_back_wait_for_longer():
    before, begun = Liveness(CONFIG), Liveness(CONFIG)
    after(before, [None] * 3)
    after(before, [SERVING] * 5, start=4)
    begun.recall(before.known(), matter(ONE), 9)
    assert after(begun, [SERVING] * 4, start=9).away == {TWO}
    assert not after(begun, [SERVING] * 2, start=13).away
    assert begun.known() == ()


def test_after_a_reboot_one_that_came_back_waits_anew():
    before, begun = Liveness(CONFIG), Liveness(CONFIG)
    after(before, [None] * 3)
    after(before, [SERVING] * 5, start=4)
    begun.recall(before.known(), matter(ONE), 1)
    assert after(begun, [SERVING] * 9, start=1).away == {TWO}
    assert not after(begun, [SERVING] * 3, start=10).away


def test_what_is_known_is_on_disk_before_the_switch_is_told_and_in_the_first_flows_of_the_next_agent(tmp_path):
    candidates = GatewayHosts("public", (GatewayHost("h1", ONE), GatewayHost("h2", TWO)))

    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        parts.enforcer.wire({"vxlan": 8}, {"public": 9})
        async with parts.enforcing(switch):
            parts.take(Snapshot(at(1), (*VIEW, candidates)))
            await parts.in_force(1)
            liveness = parts.enforcer.gateways._liveness
            known = []
            switch.bridge.before_apply = lambda: known.append(Parts(tmp_path).memory.load_gateways())
            parts.enforcer.round_done.clear()
            parts.enforcer.judge(after(liveness, [None] * (Config().pressed + 2), own=ONE))
            async with asyncio.timeout(5):
                await parts.enforcer.round_done.wait()
        assert known[0] == liveness.known()
        begun = Parts(tmp_path)
        begun.enforcer.wire({"vxlan": 8}, {"public": 9})
        assert (begun.world.away, begun.world.replaced) == ({TWO}, {TWO})
        left = dict(switch.bridge.held)
        async with begun.enforcing(switch):
            await begun.in_force(1)
        assert switch.bridge.held == left

    asyncio.run(play())


def test_a_namespace_that_cannot_be_made_is_told_as_long_as_it_is_so(tmp_path):
    async def play():
        parts, unmade = Parts(tmp_path), {Owner("namespace", "smnr"): Failure("nft(8) is missing")}
        async with parts.enforcing(FakeSwitch()):
            parts.enforcer.note_unmade("namespaces", unmade)
            parts.take(Snapshot(at(1), VIEW))
            await parts.in_force(1)
            assert parts.desk.failures == {"namespace/smnr": "nft(8) is missing"}
            parts.enforcer.note_unmade("namespaces", {})
            assert parts.desk.failures == {}

    asyncio.run(play())
