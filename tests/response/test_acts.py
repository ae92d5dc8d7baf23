"""What is decided is decided again in the transaction that does it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from suimon.model.actor import SYSTEM
from suimon.model.incidents import ALARMS, Incident, NotedFinding
from suimon.resources.breaker import open_breaker
from suimon.resources.findings import drop_surplus
from suimon.resources.remedies import mark
from suimon.resources.subscribers import add_subscriber, due
from suimon.response.acts import Seen, settle
from suimon.response.senses import Looked
from tests.resources.world import ADMIN
from tests.response.cloud import Cloud
from tests.test_tidy import ROOT

Make = Callable[..., Cloud]
HOLDS = Seen(Looked(True, "counters of now"))


def settled(c: Cloud, finding: str, rule: str = "spam", seen: Seen = HOLDS) -> Incident | None:
    return c.write(lambda tx: settle(tx, finding, rule, seen))


def test_there_is_nothing_to_decide(cloud: Make) -> None:
    c = cloud()
    id_ = c.find(c.ports[0]).id
    assert settled(c, "gone") is None
    assert settled(c, id_, "another") is None
    assert settled(c, id_, seen=Seen(None)) is None
    assert c.incidents() == []


def test_what_two_saw_one_does(cloud: Make) -> None:
    c = cloud()
    id_ = c.find(c.ports[0]).id
    assert settled(c, id_)
    assert settled(c, id_) is None
    assert settled(c, c.find(c.ports[0], 1).id) is None
    assert len(c.active()) == 1


def test_what_was_closed_is_not_begun_again_by_the_same_finding(cloud: Make) -> None:
    c = cloud()
    id_ = c.find(c.ports[0]).id
    assert settled(c, id_)
    begun = c.incident().id
    c.write(lambda tx: mark(tx, ADMIN, begun, "it is a mail server", false_positive=True))
    assert settled(c, id_) is None
    assert c.active() == []


def test_what_changed_since_the_second_look_counts(cloud: Make) -> None:
    c = cloud(ports=3)
    stale, asked, off = (c.find(port).id for port in c.ports)
    c.write(lambda tx: open_breaker(tx, ADMIN, "wait"))
    assert [one and one.state for one in (settled(c, asked), settled(c, off))] == ["waiting", "waiting"]
    c.clock_ahead(timedelta(minutes=3))
    assert settled(c, stale) is None
    assert c.active() == []


def test_that_a_person_opened_the_breaker_is_told(cloud: Make) -> None:
    c = cloud()
    c.write(lambda tx: add_subscriber(tx, ADMIN, "https://192.0.2.1/", "0" * 64))
    c.write(lambda tx: open_breaker(tx, ADMIN, "maintenance"))
    ((delivery, _),) = c.read(lambda tx: due(tx, 10))
    assert "the breaker opens: maintenance" in delivery.body


def test_the_breaker_is_told_once(cloud: Make) -> None:
    c = cloud()
    for why in ("first", "second"):
        c.write(lambda tx, why=why: open_breaker(tx, SYSTEM, why))  # type: ignore[misc]
    assert [c.words(one.id, "breaker") for one in c.incidents(rule="breaker")] == [["the breaker opens: first"]]


@pytest.mark.parametrize("alarm", [*ALARMS, "usage"])
def test_each_alarm_has_its_runbook(alarm: str) -> None:
    sections = (ROOT / "docs/guide/runbooks.md").read_text().splitlines()
    assert f'## <a name="{alarm}"></a>' in [line[: len(f'## <a name="{alarm}"></a>')] for line in sections]


def test_of_too_many_findings_those_seen_longest_ago_go(cloud: Make) -> None:
    c = cloud(ports=5)
    for port in c.ports:
        c.find(port)
        c.clock_ahead(timedelta(seconds=1))
    assert c.write(lambda tx: (drop_surplus(tx, 5), drop_surplus(tx, 3))) == (0, 2)
    assert {one.subject_id for one in c.read(lambda tx: tx.select(NotedFinding))} == set(c.ports[2:])
