"""A dry run says what would be done, asked or refused: no more than there would be if it acted."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from suimon.resources.breaker import open_breaker
from suimon.resources.remedies import approve, mark
from suimon.response.expiry import Expiry, ExpiryConfig
from tests.resources.world import ADMIN
from tests.response.cloud import SPAM, Cloud

Make = Callable[..., Cloud]
HOUR = timedelta(hours=1)


def test_a_dry_run_only_says_so(cloud: Make) -> None:
    c = cloud(mode="dry_run")
    c.find(c.ports[0])
    c.round()
    assert (c.active(), c.incident().state, c.incident().mode) == ([], "noted", "dry_run")
    c.write_rules(c.rules_text().replace("dry_run", "act"))
    c.round()
    assert len(c.active()) == 1


def test_a_dry_run_looks_twice_as_what_acts_does(cloud: Make) -> None:
    c = cloud(mode="dry_run")
    c.senses.stuck = True
    c.find(c.ports[0])
    c.round()
    assert c.incidents() == [], "what can't be looked at would not be acted on"
    c.senses.stuck, c.senses.holds = False, False
    c.round()
    c.round()
    assert c.incidents() == [], "it may have paused just then"
    c.round()
    assert (c.incident().state, c.report().dry_runs, c.report().dry_refusals) == ("noted", 0, 1)
    assert (c.incident().would or "").startswith("refuse: it did not hold at the second look: counters of now")
    c.write_rules(c.rules_text().replace("dry_run", "act"))
    c.round()
    assert len(c.incidents()) == 1, "it is looked at as often again"


def test_a_dry_run_tells_no_more_acts_than_there_would_be(cloud: Make) -> None:
    c = cloud(ports=500, mode="dry_run")
    for port in c.ports:
        c.find(port)
    c.round(c.another())
    would = [one.would or "" for one in c.incidents(state="noted")]
    assert would.count("act") == 10
    assert sum(one.startswith("ask: 10 ports were restricted") for one in would) == 490
    assert (c.active(), c.breaker_open()) == ([], False)
    figures = c.report()
    assert (figures.dry_runs, figures.dry_asks, figures.acts, figures.asked) == (10, 490, 0, 0)
    c.clock_ahead(timedelta(minutes=61))
    c.find(c.ports[0], 1)
    c.round()
    assert c.incidents(finding_id=f"{c.ports[0]}/1")[0].would == "act", "the hour is over"


def test_what_a_dry_run_would_have_restricted_it_does_not_restrict_again(cloud: Make) -> None:
    c = cloud(mode="dry_run")
    for number, hours in enumerate((1, 2, 4)):
        c.find(c.ports[0], number)
        c.round()
        c.clock_ahead((hours - 0.1) * HOUR)
        c.find(c.ports[0], number + 100)
        c.round()
        made = c.incidents()[-1]
        assert (len(c.incidents()), made.finding_id, made.would) == (number + 1, f"{c.ports[0]}/{number}", "act")
        assert made.closed_at == made.opened_at + hours * HOUR, "for longer each time"
        c.clock_ahead(0.2 * HOUR)


HARSHER = SPAM.replace(
    "    mode:",
    "    then: [{at: 2, do: {kind: rate_limit, rate_kbps: 64}}, {at: 3, do: {kind: quarantine}}]\n    mode:",
)


@pytest.mark.parametrize("mode", ["dry_run", "act"])
def test_whoever_does_it_again_is_restricted_more_harshly_in_dry_run_too(cloud: Make, mode: str) -> None:
    c = cloud(rules=HARSHER, mode=mode)
    kinds = []
    for number in range(4):
        c.find(c.ports[0], number)
        c.round()
        kinds.append(c.incidents()[-1].wanted["kind"])
        assert [one.kind for one in c.active()] == ([kinds[-1]] if mode == "act" else [])
        c.clock_ahead(2.1 * HOUR)
        c.round()
    assert kinds == ["port_block", "rate_limit", "quarantine", "quarantine"]
    lasted = [one.wanted["duration_s"] for one in c.incidents()]
    assert lasted == [3600, 3600, 3600, 7200], "each measure is doubled for itself"
    c.clock_ahead(timedelta(days=8))
    c.find(c.ports[0], 9)
    c.round()
    assert c.incidents()[-1].wanted["kind"] == "port_block", "that is forgotten"


def test_a_mistake_makes_nobody_s_next_measure_harsher(cloud: Make) -> None:
    c = cloud(rules=HARSHER)
    c.find(c.ports[0])
    c.round()
    id_ = c.incident().id
    c.write(lambda tx: mark(tx, ADMIN, id_, "it is a mail server", false_positive=True))
    c.find(c.ports[0], 1)
    c.round()
    assert [one.kind for one in c.active()] == ["port_block"]


def test_whoever_is_asked_is_asked_for_the_harsher_measure(cloud: Make) -> None:
    c = cloud(rules=HARSHER)
    c.find(c.ports[0])
    c.round()
    c.clock_ahead(1.1 * HOUR)
    c.round()
    c.write(lambda tx: open_breaker(tx, ADMIN, "maintenance"))
    c.find(c.ports[0], 1)
    c.round()
    (asked,) = c.incidents(state="waiting")
    assert asked.wanted["kind"] == "rate_limit"
    c.write(lambda tx: approve(tx, ADMIN, asked.id, "spam indeed"))
    assert [one.kind for one in c.active()] == ["rate_limit"]


def test_who_would_be_asked_about_is_not_asked_about_twice_meanwhile(cloud: Make) -> None:
    c = cloud(ports=6, mode="dry_run")
    c.find("red", kind="project")
    c.round()
    c.find("red", 1, kind="project")
    c.round()
    assert (c.incident().would or "").startswith("ask: 0 ports were restricted by rules within the hour")
    c.clock_ahead(timedelta(minutes=61))
    c.find("red", 2, kind="project")
    c.round()
    assert len(c.incidents()) == 2


def test_a_dry_run_of_who_is_never_touched_says_so_and_is_forgotten_as_any(cloud: Make) -> None:
    c = cloud(ports=2, mode="dry_run")
    c.write_rules(c.rules_text() + f"never: {{ports: ['{c.ports[1]}']}}\n")
    for port in c.ports:
        c.find(port)
    c.round()
    told = {one.subject_id: (one.state, one.would) for one in c.incidents()}
    assert told[c.ports[1]] == ("closed", f"refuse: {c.ports[1]} is never to be touched")
    assert told[c.ports[0]] == ("noted", "act")
    c.clock_ahead(timedelta(days=440))
    c.loop.run_until_complete(Expiry(ExpiryConfig(), c.store).forget())
    assert c.incidents() == []
