"""Findings through the gate and back, over a real store."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from suimon.model.actor import SYSTEM
from suimon.model.incidents import Entry, NotedFinding
from suimon.model.things import Collector, Port, Restriction
from suimon.resources import collectors, restrictions
from suimon.resources.breaker import close_breaker
from suimon.resources.findings import note_findings
from suimon.resources.incidents import get_incident, list_incidents
from suimon.resources.places import count_ports
from suimon.resources.remedies import approve, deny, mark
from suimon.response.expiry import Expiry, ExpiryConfig
from suimon.response.responder import Responder, ResponderConfig
from suimon.response.senses import Rate, Verification
from suimon.store.changes import Change
from suimon.store.store import Subscription
from suimon.store.tx import Tx
from tests.resources.world import ADMIN, ALICE, BOB, refused
from tests.response.cloud import Cloud

Make = Callable[..., Cloud]
HOUR = timedelta(hours=1)


def test_found_looked_at_blocked_verified_released(cloud: Make) -> None:
    c = cloud()
    c.senses.bitten = Verification(bites=True, words="1.0 sessions a second pass; 49 packets dropped")
    c.find(c.ports[0])
    c.round()
    (block,) = c.active()
    assert (block.kind, block.target, block.port_min, block.protocol) == ("port_block", c.ports[0], 25, "tcp")
    assert (block.author, block.author_kind, block.finding_id) == ("spam", "rule", f"{c.ports[0]}/0")
    assert block.evidence == ("src port 10.0.0.5 and dst port 25",)
    c.round()
    assert len(c.active()) == 1
    c.clock_ahead(timedelta(seconds=90))
    c.round()
    assert c.incident().bites is True
    c.clock_ahead(HOUR)
    c.round()
    assert c.active() == []
    told = c.timeline(c.incident().id)
    assert told == ["finding", "evidence", "evidence", "decision", "restriction", "verification", "release"]


def test_a_collector_that_is_silent_is_an_alarm_once_each_time(cloud: Make) -> None:
    c = cloud()
    joined = Collector(name="c1", url="http://192.0.2.9:9698", key="k", credential_hash="h", joined_at=c.now())
    c.write(lambda tx: tx.insert(joined))

    def alarms() -> list[str]:
        c.round()
        return [one.subject_id for one in c.incidents(rule="collector")]

    for seconds, told in ((100, []), (100, ["c1"]), (100, ["c1"])):
        c.clock_ahead(timedelta(seconds=seconds))
        assert alarms() == told
    c.write(lambda tx: collectors.note_heard(tx, "c1"))
    c.restart()
    for seconds, told in ((110, ["c1"]), (110, ["c1", "c1"])):
        c.clock_ahead(timedelta(seconds=seconds))
        assert alarms() == told
    c.clock_ahead(HOUR)
    c.write(lambda tx: collectors.note_heard(tx, "c1"))
    c.clock_ahead(HOUR)
    c.restart()
    assert len(alarms()) == 2, "while no controller was there it could not be heard"
    (_, line) = c.incidents(rule="collector")
    assert "c1" in c.words(line.id, "alarm")[0]


def test_what_does_not_hold_at_the_second_look(cloud: Make) -> None:
    c = cloud()
    c.senses.holds = False
    c.find(c.ports[0])
    c.round()
    c.round()
    assert (c.active(), c.incidents()) == ([], []), "it may have paused just then"
    c.round()
    assert (c.active(), c.incident().state) == ([], "closed")
    assert "second look" in c.words(c.incident().id, "decision")[0]


def test_counters_that_cannot_be_read_are_waited_for(cloud: Make) -> None:
    c = cloud()
    c.senses.stuck = True
    c.find(c.ports[0])
    c.round()
    assert (c.active(), c.incidents()) == ([], [])
    c.clock_ahead(timedelta(seconds=10))
    c.senses.stuck = False
    c.round()
    assert len(c.active()) == 1
    told = c.report()
    assert told.to_find.median_s == pytest.approx(20, abs=5), "it was heard of when it had gone on for that long"
    assert told.to_act.median_s == pytest.approx(30, abs=5)


def test_exempted_listed_and_the_clouds_own(cloud: Make) -> None:
    c = cloud(ports=3)
    leg = c.port(c.net, ADMIN, project_id="red", device_owner="network:dhcp")["id"]
    c.update("ports", c.ports[0], {"description": "x"})
    c.write_rules(c.rules_text() + f"never: {{ports: ['{c.ports[1]}']}}\n")
    for each in (c.ports[1], leg):
        c.find(each)
    c.round()
    assert c.active() == []
    assert {one.state for one in c.incidents()} == {"closed"}


def test_a_tenant_s_port_that_he_calls_the_clouds_own_is_restricted_as_any(cloud: Make) -> None:
    c = cloud(ports=2)
    for port, owner in zip(c.ports, ("network:dhcp", "neutron:x"), strict=True):
        c.update("ports", port, {"device_owner": owner})
        c.find(port)
    c.round()
    assert {one.target for one in c.active()} == set(c.ports)
    assert c.read(count_ports) == 2


def test_who_numbers_his_network_by_addresses_that_are_never_touched_is_no_exception(cloud: Make) -> None:
    """Only what operators hand out counts: a floating IP, or an address of an external or a shared network."""
    c = cloud()
    prefix = "192.0.2.0/24"
    c.write_rules(c.rules_text() + f"never: {{addresses: ['{prefix}']}}\n")
    own, outside, shared = c.subnet(c.net, prefix), c.outside(), c.network(ADMIN, shared=True)
    c.subnet(shared, prefix, ADMIN)
    handed, behind = c.port(shared)["id"], c.port(c.net)["id"]
    c.update("ports", c.ports[0], {"fixed_ips": [{"subnet_id": own}]})
    router = c.router(external_gateway_info={"network_id": outside})
    plain = next(one["id"] for one in c.list("subnets", f"network_id={c.net}") if one["id"] != own)
    c.act(router, "add_router_interface", {"subnet_id": plain})
    c.create("floatingips", floating_network_id=outside, port_id=behind)
    for port in (*c.ports, behind, handed):
        c.find(port)
    c.round()
    assert [one.target for one in c.active()] == [c.ports[0]]


def test_an_address_is_no_routers_because_a_router_has_it_elsewhere(cloud: Make) -> None:
    c = cloud()
    (fixed,) = c.get("ports", c.ports[0])["fixed_ips"]
    elsewhere = c.network()
    c.subnet(elsewhere, "10.0.0.0/16", gateway_ip=fixed["ip_address"])
    (subnet,) = c.get("networks", elsewhere)["subnets"]
    c.act(c.router(), "add_router_interface", {"subnet_id": subnet})
    c.find(fixed["ip_address"], kind="address")
    c.round()
    assert [(one.target_kind, one.target) for one in c.active()] == [("address", fixed["ip_address"])]


def test_asked_approved_denied_and_not_answered(cloud: Make) -> None:
    c = cloud(ports=3, mode="approve")
    for port in c.ports:
        c.find(port)
    c.round()
    assert c.active() == []
    first, second, third = c.incidents(state="waiting")
    with refused("PolicyNotAuthorized"):
        c.write(lambda tx: approve(tx, ALICE, first.id, "please"), ALICE)
    with refused("HTTPBadRequest"):
        c.write(lambda tx: approve(tx, ADMIN, first.id, " "))
    c.write(lambda tx: approve(tx, ADMIN, first.id, "spam indeed"))
    c.write(lambda tx: deny(tx, ADMIN, second.id, "a newsletter"))
    assert [(one.target, one.author_kind, one.author) for one in c.active()] == [(first.subject_id, "person", "root")]
    c.clock_ahead(timedelta(minutes=61))
    with refused("HTTPConflict"):
        c.write(lambda tx: approve(tx, ADMIN, third.id, "too late"))
    c.round()
    assert {one.id: one.state for one in c.incidents()}[third.id] == "closed"
    assert c.words(third.id, "answer") == ["nobody answered in time"]


def test_forged_findings_of_500_ports_open_the_breaker_and_one_command_undoes_all(cloud: Make) -> None:
    c = cloud(ports=500)
    for port in c.ports:
        c.find(port)
    c.round(c.another())
    assert len(c.active()) == 10
    assert c.breaker_open()
    assert len(c.incidents(state="waiting")) == 490
    c.restart()
    c.clock_ahead(timedelta(minutes=1))
    c.find(c.ports[0], number=1)
    c.round()
    assert len(c.active()) == 10
    c.write(lambda tx: restrictions.release_all(tx, ADMIN, tx.now - HOUR, "forged"))
    c.round()
    assert c.active() == []
    assert c.incidents(state="restricted") == []
    assert [one for one in c.incidents() if one.acted_at and "forged" not in c.words(one.id, "decision")[-1]] == []


def test_a_closed_breaker_forgets_nothing(cloud: Make) -> None:
    c = cloud(ports=8)
    for port in c.ports[:6]:
        c.find(port)
    c.round()
    assert (len(c.active()), c.breaker_open()) == (5, True)
    with refused("PolicyNotAuthorized"):
        c.write(lambda tx: close_breaker(tx, ALICE, "why"), ALICE)
    c.close_breaker()
    c.find(c.ports[6])
    c.round()
    assert (len(c.active()), c.breaker_open()) == (5, True)
    c.close_breaker()
    c.clock_ahead(timedelta(minutes=61))
    c.find(c.ports[7])
    c.round()
    assert (c.active()[0].target, c.breaker_open()) == (c.ports[7], False)


def test_a_wide_target_counts_all_its_ports(cloud: Make) -> None:
    c = cloud(ports=6)
    c.find("red", kind="project")
    c.round()
    assert (c.active(), c.breaker_open()) == ([], True)


def test_a_clock_that_is_off_asks(cloud: Make) -> None:
    c = cloud()
    c.senses.clocks |= {"h1": -45.0, "h2": 2.0}
    c.find(c.ports[0])
    c.round()
    c.clock_ahead(timedelta(minutes=2))
    c.round()
    (asked,) = c.incidents(rule="spam")
    assert (c.active(), asked.state) == ([], "waiting")
    (alarm,) = c.incidents(rule="clock")
    assert (alarm.subject_id, c.words(alarm.id, "alarm")) == ("h1", ["the clock of host h1 is 45 s behind"])


def test_a_controllers_clock_that_is_set_opens_the_breaker(cloud: Make) -> None:
    c = cloud()
    c.round()
    c.set_clock(timedelta(minutes=61))
    c.find(c.ports[0])
    c.round()
    assert (c.active(), c.breaker_open()) == ([], True)


def test_what_goes_on_is_prolonged(cloud: Make) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    end = c.active()[0].expires_at
    assert end
    c.clock_ahead(HOUR - timedelta(seconds=20))
    c.senses.tries = True
    c.find(c.ports[0])
    c.round()
    (block,) = c.active()
    assert block.expires_at and timedelta(minutes=59) < block.expires_at - end < timedelta(minutes=61)
    assert "prolonged" in c.timeline(c.incident().id)
    c.senses.tries = False
    c.clock_ahead(HOUR + timedelta(seconds=20))
    c.round()
    assert c.active() == []


def test_who_goes_on_trying_is_not_released_though_nobody_reports_it(cloud: Make) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    (block,) = c.active()
    c.senses.tries = True
    c.clock_ahead(HOUR / 2)
    c.round()
    assert c.senses.asked == 0, "it has time yet"
    c.clock_ahead(HOUR / 2 - timedelta(seconds=20))
    c.round()
    assert c.senses.asked == 1 and c.active()[0].expires_at == block.expires_at + HOUR  # type: ignore[operator]
    c.senses.tries = False
    c.clock_ahead(HOUR + timedelta(seconds=20))
    c.round()
    assert c.active() == []


def test_of_a_finding_that_is_gone_nobody_is_asked(cloud: Make) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    c.write(lambda tx: tx.delete_many(tx.select(NotedFinding)))
    c.clock_ahead(HOUR - timedelta(seconds=20))
    c.round()
    assert c.senses.asked == 0 and len(c.active()) == 1


def test_a_host_that_was_asked_says_whether_it_bites(cloud: Make) -> None:
    c = cloud()
    c.senses.bitten = Verification(bites=False, words="50.0 sessions a second pass")
    c.senses.counted = [Rate(800.0, 1.0), Rate(8.0, 0.01)]
    c.find(c.ports[0])
    c.round()
    c.clock_ahead(timedelta(seconds=90))
    c.round()
    assert c.incident().bites is False
    (alarm,) = c.words(c.incident().id, "alarm")
    assert "50.0 sessions" in alarm


def test_what_goes_on_though_its_restriction_ran_out_while_nobody_looked(cloud: Make) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    c.clock_ahead(2 * HOUR)
    c.loop.run_until_complete(_expire(c))
    assert c.active() == []
    c.restart()
    c.senses.tries = True
    c.round()
    assert len(c.active()) == 1


@pytest.mark.parametrize(
    ("tries", "words"),
    [
        (False, "the time is over, and it has stopped"),
        (None, "the time is over, and it is still reported, but can't be counted now"),
    ],
)
def test_what_is_only_told_again_is_released_on_time(cloud: Make, *, tries: bool | None, words: str) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    c.senses.tries, c.senses.holds = tries, False
    c.clock_ahead(HOUR - timedelta(seconds=30))
    for _ in range(3):
        c.clock_ahead(timedelta(seconds=11))
        c.find(c.ports[0])
        c.round()
    assert (c.active(), c.words(c.incident().id, "release"), c.senses.asked) == ([], [words], 3)


def test_who_goes_on_after_his_time_was_over_is_looked_at_anew(cloud: Make) -> None:
    """Though the detector never stopped telling of it, so that the finding is the same."""
    c = cloud()
    c.find(c.ports[0])
    c.round()
    c.senses.tries = False
    c.clock_ahead(HOUR + timedelta(seconds=1))
    c.round()
    assert c.active() == []
    c.round()
    assert (c.active(), len(c.incidents())) == ([], 1), "it was seen last when it was restricted"
    c.clock_ahead(timedelta(seconds=5))
    c.find(c.ports[0])
    c.round()
    (block,) = c.active()
    assert block.expires_at and block.expires_at - block.created_at == 2 * HOUR
    c.clock_ahead(2 * HOUR + timedelta(seconds=1))
    c.senses.holds = False
    for _ in range(5):
        c.find(c.ports[0])
        c.round()
    assert c.active() == []
    assert [one.restriction_id is None for one in c.incidents()] == [False, False, True], (
        "it is only told: once refused"
    )


@pytest.mark.parametrize("by", ["release", "mark"])
def test_what_a_person_ended_is_not_begun_again_while_its_finding_goes_on(cloud: Make, by: str) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    made, (block,) = c.incident(), c.active()
    if by == "release":
        c.write(lambda tx: restrictions.release(tx, ADMIN, block.id, "enough"))
    else:
        c.write(lambda tx: mark(tx, ADMIN, made.id, "it is a mail server", false_positive=True))
    c.round()
    c.clock_ahead(timedelta(seconds=5))
    c.find(c.ports[0])
    c.round()
    assert (c.active(), c.incident().state) == ([], "closed")


def test_whoever_does_it_again_is_restricted_for_twice_as_long(cloud: Make) -> None:
    c = cloud()
    for number, hours in enumerate((1, 2, 4)):
        c.find(c.ports[0], number)
        c.round()
        (block,) = c.active()
        assert block.expires_at and block.expires_at - block.created_at == hours * HOUR
        c.clock_ahead((hours + 0.1) * HOUR)
        c.round()
        assert c.active() == []


def test_a_mistake_is_released_and_does_not_count_as_an_offence(cloud: Make) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    id_ = c.incident().id
    c.write(lambda tx: mark(tx, ADMIN, id_, "it is a mail server", false_positive=True))
    assert (c.active(), c.incident().state, c.incident().false_positive) == ([], "closed", True)
    c.find(c.ports[0], 1)
    c.round()
    (block,) = c.active()
    assert block.expires_at and block.expires_at - block.created_at == HOUR


@pytest.mark.parametrize(
    ("rates", "goes_on", "bites"),
    [
        ([Rate(900.0, 1.0), Rate(9.0, 0.01)], True, True),
        ([Rate(900.0, 1.0), Rate(900.0, 0.9)], True, False),
        ([Rate(900.0, 1.0), Rate(9.0, 0.01)], False, None),
        ([Rate(900.0, 1.0), Rate(900.0, 0.9)], False, None),
        ([None, None], True, False),
        ([None, None], False, None),
    ],
)
def test_what_does_not_bite_is_an_alarm(
    cloud: Make, rates: list[Rate | None], goes_on: bool, bites: bool | None
) -> None:
    c = cloud()
    c.senses.counted = rates
    c.find(c.ports[0])
    c.round()
    c.clock_ahead(timedelta(seconds=70))
    if goes_on:
        c.find(c.ports[0])
    c.round()
    assert c.incident().bites is bites
    assert ("alarm" in c.timeline(c.incident().id)) == (bites is False)


def test_a_tenant_sees_his_half(cloud: Make) -> None:
    c = cloud()
    c.find(c.ports[0])
    c.round()
    id_ = c.incident().id
    _, entries = c.read(lambda tx: get_incident(tx, ALICE, id_))
    assert [entry.kind for entry in entries] == ["finding", "restriction"]
    assert [one.id for one in c.read(lambda tx: list_incidents(tx, ALICE))] == [id_]
    assert c.read(lambda tx: list_incidents(tx, BOB)) == []
    with refused("IncidentNotFound"):
        c.read(lambda tx: get_incident(tx, BOB, id_))


def test_two_rules_and_one_that_throws_hold_up_nothing(cloud: Make) -> None:
    c = cloud(ports=2)
    gone = c.ports[1]
    c.find(gone)
    c.find(c.ports[0])
    c.write(lambda tx: tx.delete(next(p for p in tx.select(Port) if p.id == gone)))
    c.round()
    assert [one.target for one in c.active()] == [c.ports[0]]


def test_many_findings_hold_up_none(cloud: Make) -> None:
    c = cloud(ports=5)
    for port in c.ports:
        c.find(port)
    few = Responder(ResponderConfig(findings_at_once=2), c.store, c.senses, monotonic=c.monotonic)
    c.loop.run_until_complete(few.round())
    assert len(c.active()) == 5


async def _expire(c: Cloud) -> None:
    await Expiry(ExpiryConfig(), c.store).look()


def test_what_is_over_for_long_is_forgotten_and_what_is_not_stays(cloud: Make) -> None:
    c = cloud(ports=2)
    for port in c.ports:
        c.find(port)
        c.round()
        c.clock_ahead(2 * HOUR)
        c.round()
        c.clock_ahead(timedelta(days=200))
    assert {one.state for one in c.incidents()} == {"closed"}
    c.loop.run_until_complete(Expiry(ExpiryConfig(keep_days=300), c.store).forget())
    (kept,) = c.incidents()
    assert kept.subject_id == c.ports[1] and c.timeline(kept.id)
    assert [one.id for one in c.read(lambda tx: tx.select(NotedFinding))] == [kept.finding_id]
    assert {entry.incident_id for entry in c.read(lambda tx: tx.select(Entry))} == {kept.id}


def test_a_finding_wakes_it(cloud: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    c = cloud()
    hourly = Responder(ResponderConfig(round_s=3600.0, pause_s=0.0), c.store, c.senses, monotonic=c.monotonic)

    async def restricted() -> None:
        with c.store.subscribe() as changed:
            while not await c.store.read(lambda tx: tx.select(Restriction)):
                await changed.wait()
                changed.clear()

    async def body() -> None:
        looked, look, rounds = asyncio.Event(), hourly.round, []
        loop, told, asked, changes_after = asyncio.get_running_loop(), asyncio.Event(), [], Tx.changes_after
        ring = Subscription.ring

        def asks(tx: Tx, revision: int) -> list[Change] | None:
            asked.append(revision)
            loop.call_soon_threadsafe(told.set)
            return changes_after(tx, revision)

        async def round_() -> None:
            rounds.append(1)
            await look()
            looked.set()

        monkeypatch.setattr(hourly, "round", round_)
        monkeypatch.setattr(Tx, "changes_after", asks)
        # As if all were other controllers' commits, of which it isn't known what they changed.
        monkeypatch.setattr(Subscription, "ring", lambda subscription, _: ring(subscription, None))
        running = asyncio.create_task(hourly.run())
        # Its first round finds nothing, and then it waits; what else changes is none of its business.
        await looked.wait()
        await c.store.write(lambda tx: tx.change(tx.select(Port)[0], name="another"), SYSTEM)
        await told.wait()
        finding = c.finding(c.ports[0])
        await c.store.write(lambda tx: note_findings(tx, SYSTEM, [finding]), SYSTEM)
        async with asyncio.timeout(10):
            await restricted()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert len(rounds) == 2
        assert asked == sorted({*asked}), "what it has read of the log it doesn't read again"

    c.loop.run_until_complete(body())
