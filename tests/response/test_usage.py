"""Usage rules with a clock that the test moves: throttled, warned, released, over restarts of everything."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from suimon.model.incidents import Incident
from suimon.model.things import Restriction
from suimon.resources.remedies import deny
from suimon.response.senses import Rate
from tests.patience import patient
from tests.resources.world import ADMIN
from tests.response.cloud import SPAM, Cloud

Make = Callable[..., Cloud]
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
HEAVY = """
usage:
  - name: heavy
    per: PER
    more_than_gb: 50
    within_h: 24
    for: {everyone: true}
    do: {kind: rate_limit, rate_kbps: 10000, direction: both, lasts_h: 24}
    mode: MODE
"""
MONTHLY = HEAVY.replace("PER", "port").replace("within_h: 24", "within_h: 720").replace("lasts_h: 24", "lasts_h: 1")
GB = 10**9


def uses(c: Cloud, id_: str, gb: float) -> None:
    c.senses.bytes.setdefault(id_, []).append((c.now().timestamp(), int(gb * GB)))


def minutes(c: Cloud, count: int) -> None:
    for _ in range(count):
        c.clock_ahead(MINUTE)
        c.round()


def warned(c: Cloud) -> list[Incident]:
    return c.incidents(mode="warn")


def test_50_gb_in_a_day_are_10_mbits_for_24_hours_and_then_nothing(cloud: Make) -> None:
    c = cloud(rules=HEAVY.replace("PER", "port"))
    port = c.ports[0]
    uses(c, port, 39)
    minutes(c, 1)
    assert (c.active(), warned(c)) == ([], [])
    uses(c, port, 2)
    minutes(c, 2)
    assert (c.active(), len(warned(c))) == ([], 1)
    uses(c, port, 10)
    minutes(c, 1)
    (limit,) = c.active()
    told = c.report()
    assert (told.acts, told.to_find.count, told.to_act.count) == (1, 0, 0), "nobody knows since when it was too much"
    assert (limit.kind, limit.rate_kbps, limit.direction, limit.target) == ("rate_limit", 10000, None, port)
    began = limit.created_at
    for hour in range(24):
        assert len(c.active()) == 1, hour
        uses(c, port, 4.5)
        c.restart()
        c.clock_ahead(began + (hour + 1) * HOUR - c.now() - MINUTE)
        c.round()
    assert len(c.active()) == 1
    minutes(c, 2)
    assert c.active() == []
    (incident,) = c.incidents(mode="act")
    assert incident.closed_at
    assert abs(incident.closed_at - began - 24 * HOUR) <= MINUTE
    minutes(c, 5)
    assert c.active() == []


def test_after_a_limit_counting_begins_anew_and_the_second_time_is_longer(cloud: Make) -> None:
    c = cloud(rules=HEAVY.replace("PER", "port"))
    uses(c, c.ports[0], 51)
    minutes(c, 1)
    c.clock_ahead(25 * HOUR)
    c.round()
    uses(c, c.ports[0], 49)
    minutes(c, 1)
    assert c.active() == []
    uses(c, c.ports[0], 2)
    minutes(c, 1)
    (limit,) = c.active()
    assert limit.expires_at and limit.expires_at - limit.created_at == 48 * HOUR


@pytest.mark.parametrize("restart", [False, True])
def test_within_the_same_month_whoever_goes_on_after_a_limit_is_limited_again(cloud: Make, *, restart: bool) -> None:
    c = cloud(rules=MONTHLY)
    for times in range(1, 4):
        uses(c, c.ports[0], 51)
        minutes(c, 1)
        (limit,) = c.active()
        assert limit.expires_at
        c.clock_ahead(limit.expires_at - c.now() + MINUTE)
        if restart:
            c.restart()
        minutes(c, 5)
        assert (c.active(), len(c.incidents(mode="act"))) == ([], times)
        uses(c, c.ports[0], 41)
        minutes(c, 2)
        assert (c.active(), len(warned(c))) == ([], times)


def test_who_was_asked_in_vain_or_said_no_is_asked_again_about_as_much_once_more(cloud: Make) -> None:
    c = cloud(rules=MONTHLY, mode="approve")
    uses(c, c.ports[0], 51)
    minutes(c, 1)
    c.clock_ahead(2 * HOUR)
    minutes(c, 2)
    assert [one.state for one in c.incidents(mode="approve")] == ["closed"]
    uses(c, c.ports[0], 49)
    minutes(c, 2)
    assert c.incidents(state="waiting") == []
    uses(c, c.ports[0], 2)
    minutes(c, 1)
    (waits,) = c.incidents(state="waiting")
    c.write(lambda tx: deny(tx, ADMIN, waits.id, "a backup"))
    uses(c, c.ports[0], 49)
    minutes(c, 2)
    assert c.incidents(state="waiting") == []
    uses(c, c.ports[0], 2)
    minutes(c, 1)
    assert len(c.incidents(state="waiting")) == 1


def test_a_rule_that_acts_now_acts_on_what_nobody_answered(cloud: Make) -> None:
    c = cloud(rules=MONTHLY, mode="approve")
    uses(c, c.ports[0], 51)
    minutes(c, 1)
    c.clock_ahead(2 * HOUR)
    minutes(c, 1)
    c.write_rules(MONTHLY.replace("MODE", "act"))
    minutes(c, 1)
    assert len(c.active()) == 1


def test_what_was_used_longer_ago_does_not_count(cloud: Make) -> None:
    c = cloud(rules=HEAVY.replace("PER", "port"))
    uses(c, c.ports[0], 30)
    c.clock_ahead(25 * HOUR)
    uses(c, c.ports[0], 30)
    minutes(c, 1)
    assert c.active() == []


def test_of_a_project_all_ports_are_limited(cloud: Make) -> None:
    c = cloud(ports=3, rules=HEAVY.replace("PER", "project"))
    uses(c, "red", 60)
    minutes(c, 1)
    assert [(one.target_kind, one.target) for one in c.active()] == [("project", "red")]


@pytest.mark.parametrize(
    ("sent", "got", "bites"), [(0.0, 9_700.0, True), (9_700.0, 0.0, True), (0.0, 90_000.0, False), (40.0, 90.0, None)]
)
def test_whether_it_bites_is_measured_both_ways(cloud: Make, sent: float, got: float, *, bites: bool | None) -> None:
    c = cloud(rules=HEAVY.replace("PER", "port"))
    uses(c, c.ports[0], 51)
    minutes(c, 1)
    before = Rate(50_000.0, 5.0)
    c.senses.counted = [before, before, Rate(sent, 1.0, direction="egress"), Rate(got, 1.0)]
    c.clock_ahead(timedelta(seconds=90))
    c.round()
    (incident,) = c.incidents(mode="act")
    assert incident.bites is bites and c.senses.counted == []


def test_in_dry_run_nobody_is_warned_or_limited(cloud: Make) -> None:
    c = cloud(ports=2, rules=HEAVY.replace("PER", "port"), mode="dry_run")
    uses(c, c.ports[0], 45)
    uses(c, c.ports[1], 60)
    minutes(c, 2)
    assert (c.active(), warned(c)) == ([], [])
    assert [one.state for one in c.incidents()] == ["noted"]


def test_whom_a_dry_run_would_have_limited_it_tells_of_again_when_that_would_be_over(cloud: Make) -> None:
    c = cloud(rules=HEAVY.replace("PER", "port"), mode="dry_run")
    uses(c, c.ports[0], 60)
    minutes(c, 1)
    for _ in range(25):
        assert [one.would for one in c.incidents()] == ["act"], "what it used meanwhile is paid for"
        c.clock_ahead(HOUR)
        uses(c, c.ports[0], 4)
        c.round()
    uses(c, c.ports[0], 60)
    minutes(c, 1)
    assert [one.would for one in c.incidents()] == ["act"] * 2


def test_who_was_not_chosen_is_left_alone_until_an_operator_chooses_him(cloud: Make) -> None:
    rules = HEAVY.replace("PER", "port").replace("everyone: true", "tags: ['operator:metered']")
    c = cloud(ports=2, rules=rules)
    uses(c, c.ports[0], 60)
    uses(c, c.ports[1], 45)
    minutes(c, 2)
    assert (c.active(), c.incidents()) == ([], [])
    c.view("ports", "PUT {}/tags/{}", c.ports[0], "operator:metered")
    minutes(c, 1)
    assert [one.target for one in c.active()] == [c.ports[0]]


def test_sums_that_never_come_keep_no_restriction_from_going_on(cloud: Make) -> None:
    c = cloud(rules=SPAM + HEAVY.replace("PER", "port"))
    c.senses.never_summed = c.senses.tries = True
    c.find(c.ports[0])
    c.loop.run_until_complete(c.responder.round())
    (block,) = c.active()
    assert block.expires_at
    c.clock_ahead(block.expires_at - c.now() - timedelta(seconds=20))

    async def follow() -> None:
        running = asyncio.create_task(c.responder.run())
        try:
            with c.store.subscribe() as changed:
                async with asyncio.timeout(patient(20)):
                    while (await c.store.read(lambda tx: tx.get(Restriction, block.id))) == block:
                        await changed.wait()
                        changed.clear()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    c.loop.run_until_complete(follow())
    assert [one.state for one in c.active()] == ["active"]
    assert "prolonged" in c.timeline(c.incident().id)


def test_sums_that_come_late_are_an_alarm_once_a_day(cloud: Make) -> None:
    c = cloud(rules=HEAVY.replace("PER", "port"))
    c.senses.away = True
    minutes(c, 10)
    assert c.incidents(rule="usage-late") == []
    minutes(c, 5)
    (late,) = c.incidents(rule="usage-late")
    assert "not been looked at" in c.words(late.id, "alarm")[0]
    c.senses.away = False
    uses(c, c.ports[0], 51)
    minutes(c, 1)
    assert len(c.active()) == 1
    c.clock_ahead(24 * HOUR)
    minutes(c, 15)
    assert len(c.incidents(rule="usage-late")) == 1


def test_without_usage_rules_no_sums_are_missed(cloud: Make) -> None:
    c = cloud()
    c.senses.away = True
    minutes(c, 15)
    assert c.incidents() == []


def test_alarms_are_looked_for_no_more_often_than_usage(cloud: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    c, looks = cloud(), list[int]()

    async def offsets() -> dict[str, float]:
        looks.append(1)
        return {}

    monkeypatch.setattr(c.senses, "offsets", offsets)
    for ahead, times in ((0 * MINUTE, 1), (MINUTE / 2, 1), (MINUTE, 2)):
        c.clock_ahead(ahead)
        c.loop.run_until_complete(c.responder.mind())
        assert len(looks) == times
