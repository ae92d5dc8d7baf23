"""Restrictions end in the record at their time, give or take a minute, over restarts of the controller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from suimon.model.actor import SYSTEM, Actor
from suimon.model.findings import Finding, Subject
from suimon.model.incidents import Entry, Incident, KeptReport
from suimon.model.months import Month
from suimon.model.things import Port, Restriction
from suimon.resources import restrictions
from suimon.resources.alarms import tell_detector
from suimon.resources.findings import list_findings, note_findings
from suimon.resources.incidents import Line, add_lines, close, find_incident, month_report, open_incident
from suimon.resources.remedies import restrict, rule_actor
from suimon.response.expiry import Expiry, ExpiryConfig
from suimon.store import Store, StoreConfig
from suimon.store.tx import Tx
from tests.databases import empty_database
from tests.distribution.world import make
from tests.response.conftest import Resting

ADMIN = Actor("root", "operators", frozenset({"admin"}))
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PORT = make(Port, network_id="n", mac_address="02:00:00:00:00:01", project_id="red")


class Controller:
    """One life of a controller after the other, on one database, by a clock that a test sets."""

    def __init__(self, url: str) -> None:
        self.now = BEGAN
        self._url = url
        self.store = self._opened()

    def restart(self) -> None:
        self.store.close()
        self.store = self._opened()

    async def state_after(self, passed: timedelta, id_: str) -> str:
        self.now = BEGAN + passed
        await Expiry(ExpiryConfig(), self.store).look()
        found = await self.store.read(lambda tx: tx.get(Restriction, id_))
        return found.state if found else "forgotten"

    def _opened(self) -> Store:
        store = Store(StoreConfig(self._url), lambda: self.now)
        store.open()
        return store


@pytest.fixture
def controller() -> Iterator[Controller]:
    with empty_database() as url:
        made = Controller(url)
        yield made
        made.store.close()


async def restricted(controller: Controller) -> str:
    body = {"kind": "quarantine", "target_kind": "project", "target": "red", "reason": "x", "duration_s": 86_400}
    wanted = restrictions.SPEC.for_create(body, ADMIN)
    made = await controller.store.write(lambda tx: restrictions.create_restrictions(tx, ADMIN, [wanted])[0], ADMIN)
    return made.id


def test_after_a_day_it_is_over_and_not_a_minute_before(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        monkeypatch.setattr(restrictions, "_target", lambda _tx, _kind, target: (target, target))
        id_ = await restricted(controller)
        controller.restart()
        day, minute = timedelta(days=1), timedelta(minutes=1)
        assert await controller.state_after(day - minute, id_) == "active"
        controller.restart()
        assert await controller.state_after(day + minute, id_) == "expired"
        await Expiry(ExpiryConfig(keep_days=7), controller.store).forget()
        assert await controller.state_after(timedelta(days=6), id_) == "expired"
        controller.now = BEGAN + timedelta(days=9)
        await Expiry(ExpiryConfig(keep_days=7), controller.store).forget()
        assert await controller.state_after(timedelta(days=9), id_) == "forgotten"

    asyncio.run(play())


def test_what_a_clock_that_was_ahead_has_ended_is_in_force_again_until_its_end(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        monkeypatch.setattr(restrictions, "_target", lambda _tx, _kind, target: (target, target))
        store, hour = controller.store, timedelta(hours=1)
        body = {"kind": "quarantine", "target_kind": "project", "target": "red", "reason": "x"}
        long, short, released, endless = [
            (await store.write(lambda tx: restrict(tx, ADMIN, [wanted]), ADMIN))[0].id
            for lasts_s in (24 * 3600, 3600, 24 * 3600, None)
            if (wanted := restrictions.SPEC.for_create({**body, "duration_s": lasts_s}, ADMIN))
        ]
        await store.write(lambda tx: restrictions.release(tx, ADMIN, released, "a mistake"), ADMIN)

        async def all_after(passed: timedelta) -> list[str]:
            return [await controller.state_after(passed, id_) for id_ in (long, short, released, endless)]

        async def told() -> list[str]:
            found = await store.read(lambda tx: tx.select(Incident, {"restriction_id": long}))
            entries = await store.read(lambda tx: tx.select(Entry, {"incident_id": found[0].id}, order=("number",)))
            return [found[0].state, *(line.kind for line in entries[4:])]

        assert await all_after(30 * hour) == ["expired", "expired", "released", "active"]
        assert await told() == ["closed", "release"]
        assert await all_after(2 * hour) == ["active", "expired", "released", "active"]
        assert await told() == ["restricted", "release", "restriction"]
        assert await all_after(25 * hour) == ["expired", "expired", "released", "active"]
        assert await told() == ["closed", "release", "restriction", "release"]

    asyncio.run(play())


def test_a_month_s_report_outlives_its_incidents(controller: Controller) -> None:
    """Also one that an incident is about which was closed, or marked as a mistake, in a later month."""

    async def play() -> None:
        store, day = controller.store, timedelta(days=1)

        def opened(tx: Tx, name: str) -> Incident:
            made = Incident(
                id=name, rule=f"rule-{name[0]}", rulebook_version=1, finding_id="f", subject_kind="port",
                subject_id="p", project_id=None, state="restricted", mode="act", opened_at=tx.now, weight=1, wanted={},
                restricted_at=tx.now,
            )  # fmt: skip
            details = {"ports": 1, "took_s": 4.5}
            return open_incident(tx, rule_actor(made.rule), made, [Line("restriction", "restricted", details)])

        async def reported(name: str) -> KeptReport:
            return await store.read(lambda tx: month_report(tx, ADMIN, Month.named(name)))

        async def known() -> set[str]:
            return {one.id for one in await store.read(lambda tx: tx.select(Incident))}

        for name, lasts in (("a1", 1), ("a2", 40), ("b1", 1)):
            made = await store.write(lambda tx: opened(tx, name), ADMIN)  # noqa: B023 (awaited at once)
            controller.now += lasts * day
            await store.write(lambda tx: close(tx, ADMIN, made, Line("release", "over")), ADMIN)  # noqa: B023
        controller.now = BEGAN + 100 * day
        marked = await store.read(lambda tx: find_incident(tx, "b1"))
        line = Line("mark", "a mistake", {"false_positive": True})
        await store.write(lambda tx: add_lines(tx, ADMIN, marked, [line]), ADMIN)
        months = ("2025-12", "2026-01", "2026-02", "2026-04")
        asked: list[str] = []
        store.trace(asked.append)
        before = [await reported(name) for name in months]
        store.trace(None)
        assert asked and not any("'a1'" in each for each in asked), "a statement takes 65,535 ids, a month has more"
        assert [each.figures["acts"] for each in before] == [0, 2, 1, 0]
        assert before[-1].figures["false_positives"] == 1 and set(before[1].rules) == {"rule-a"}
        for forgotten_at, left in (
            (BEGAN + 407 * day, {"a1", "a2", "b1"}),
            (BEGAN + 433 * day, {"a2", "b1"}),
            (BEGAN + 464 * day, {"b1"}),
            (BEGAN + 530 * day, set()),
        ):
            controller.now = forgotten_at
            await Expiry(ExpiryConfig(), store).forget()
            assert await known() == left, forgotten_at
            assert [await reported(name) for name in months] == before, forgotten_at

    asyncio.run(play())


def test_so_many_findings_are_kept_those_seen_last(controller: Controller) -> None:
    async def play() -> None:
        for number in range(5):
            finding = Finding(
                id=f"f{number}", detector="mass_mail", subject=Subject("port", "p"), role="source", project_id=None,
                since_s=0.0, seen_s=10.0 * number, confidence=0.5, numbers={}, words="", evidence=(),
            )  # fmt: skip
            await controller.store.write(lambda tx: note_findings(tx, SYSTEM, [finding]), SYSTEM)  # noqa: B023
        await Expiry(ExpiryConfig(most_findings=3), controller.store).look()
        assert {one.id for one in await controller.store.read(lambda tx: list_findings(tx, ADMIN))} == {
            "f2",
            "f3",
            "f4",
        }

    asyncio.run(play())


def test_what_is_too_old_is_looked_for_at_first_and_then_seldom(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, resting: Resting
) -> None:
    async def play() -> None:
        monkeypatch.setattr(restrictions, "_target", lambda _tx, _kind, target: (target, target))
        states = []
        expiry = Expiry(ExpiryConfig(keep_days=7, forget_every=3, look_every_s=resting.pause_s), controller.store)
        id_ = await restricted(controller)

        async def later() -> None:
            found = await controller.store.read(lambda tx: tx.get(Restriction, id_))
            states.append(found.state if found else "forgotten")
            controller.now += timedelta(days=8)

        await resting.times(4, expiry.run(), later)
        assert states == ["active", "expired", "expired", "forgotten"]

    asyncio.run(play())


def test_an_alarm_of_what_goes_on_is_cleared_when_it_has_not_been_so_for_an_hour(controller: Controller) -> None:
    async def play() -> None:
        store, minute = controller.store, timedelta(minutes=1)

        async def after(minutes: int, *failing: str) -> list[tuple[str, str]]:
            """By detector what was told by then, in its order."""
            controller.now = BEGAN + minutes * minute
            for name in failing:
                await store.write(lambda tx: tell_detector(tx, name, ("collector", "c1"), 5, "x"), ADMIN)  # noqa: B023
            await Expiry(ExpiryConfig(), store).look()
            entries, rules = await store.read(
                lambda tx: (tx.select(Entry, order=("at", "number")), tx.select(Incident))
            )
            of = {one.id: one.rule.removeprefix("detector:") for one in rules}
            return [(of[line.incident_id], line.kind) for line in entries]

        told = [("udp_flood", "alarm"), ("mass_mail", "alarm")]
        assert sorted(await after(0, "udp_flood", "mass_mail")) == sorted(told)
        for minutes in range(5, 60, 5):
            assert len(await after(minutes, "udp_flood")) == 2, "once, while it goes on"
        assert len(await after(74)) == 2
        assert (await after(75))[2:] == [("mass_mail", "cleared")]
        assert len(await after(114)) == 3
        assert (await after(115))[3:] == [("udp_flood", "cleared")]
        assert (await after(120, "udp_flood"))[4:] == [("udp_flood", "alarm")], "it throws again"
        states = await store.read(lambda tx: [one.state for one in tx.select(Incident, order=("opened_at",))])
        assert states == ["closed", "closed", "alarm"]

    asyncio.run(play())
