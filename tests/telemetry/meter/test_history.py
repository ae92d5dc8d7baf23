"""What was metered is kept exactly: through roll-ups, crashes in the middle of them, and two controllers at once."""

import asyncio
import math
import random
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import event

from suimon.model.counts import Count, Metered, PortCounts, Reading
from suimon.model.samples import Sample
from suimon.telemetry.meter.database import Database, Trouble
from suimon.telemetry.meter.history import Config, History
from suimon.telemetry.meter.ledger import FIGURES, Told, figures
from suimon.telemetry.meter.meters import Config as MetersConfig
from suimon.telemetry.meter.meters import Meters
from suimon.telemetry.meter.usage import percentiles, steps, totals
from tests.postgresql import cluster

BEGAN_S = 1_800_000_000.0
HOUR_S = 3600


def history(path: Path) -> History:
    return History(Config(), Database(f"sqlite:///{path / 'metering.db'}"))


def told(host: str, at_s: float, counted: dict[str, int]) -> Told:
    """Each port belongs to a project of its first letter and a network of its second."""
    ports = tuple(
        PortCounts(name, 100.0, Count("device 1", 0.0, value * 2, value), Count("device 1", 0.0, value, value))
        for name, value in counted.items()
    )
    whose = {name: Metered(f"project-{name[0]}", f"network-{name[1]}") for name in counted}
    return Told(host, Reading("boot", at_s - BEGAN_S + 100, ports), at_s, whose)


def sums(samples: list[Sample]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*map(figures, samples), strict=True)))


def two_hours(kept: History, *, until: int = 2 * HOUR_S) -> list[Sample]:
    """Of three ports on two hosts; what was noted, as it came."""
    drawn, counts, noted = random.Random(5), {"ax1": 0, "ay2": 0, "bx3": 0}, []
    kept.note([told("h0", BEGAN_S, {})], BEGAN_S)
    for at_s in range(30, until + 30, 30):
        counts = {name: value + drawn.randrange(10**6) for name, value in counts.items()}
        here = [told("h1", BEGAN_S + at_s, {"ax1": counts["ax1"]})]
        here += [told("h2", BEGAN_S + at_s, {"ay2": counts["ay2"], "bx3": counts["bx3"]})] if at_s % 150 else []
        noted += kept.note(here, BEGAN_S + at_s)
    return noted


def test_a_clock_that_was_ahead_for_a_while_costs_nothing(tmp_path: Path) -> None:
    kept = history(tmp_path)
    noted = two_hours(kept, until=HOUR_S)
    while kept.roll_up(BEGAN_S + HOUR_S + 3 * HOUR_S):
        pass
    kept.forget(BEGAN_S + HOUR_S + 3 * HOUR_S)
    total = {"ax1": 10**8}
    for at_s in range(HOUR_S + 30, 3 * HOUR_S, 30):
        total = {name: value + 1000 for name, value in total.items()}
        noted += kept.note([told("h1", BEGAN_S + at_s, total)], BEGAN_S + at_s)
        kept.roll_up(BEGAN_S + at_s)
    while kept.roll_up(BEGAN_S + 5 * HOUR_S):
        pass
    for grain_s in (60, 300, HOUR_S):
        assert sums(kept.samples("", BEGAN_S - HOUR_S, BEGAN_S + 5 * HOUR_S, grain_s)) == sums(noted), grain_s


def test_roll_ups_are_the_sum_of_their_parts_and_are_done_once(tmp_path: Path) -> None:
    kept = history(tmp_path)
    noted = two_hours(kept)
    end_s = BEGAN_S + 2 * HOUR_S
    asked = [("", HOUR_S), ("", 60), ("", 10), ("ax1", 60), ("project-a", 60), ("network-x", HOUR_S), ("nobody", 60)]
    before = [sums(kept.samples(subject, BEGAN_S, end_s, grain)) for subject, grain in asked]
    assert before[0] == sums(noted) and before[1] == before[0]
    assert kept.roll_up(end_s + 120), "an hour of minutes at once, and there are two"
    for _ in range(3):
        while kept.roll_up(end_s + 120):
            pass
    assert [sums(kept.samples(subject, BEGAN_S, end_s, grain)) for subject, grain in asked] == before
    mine = [each for each in noted if each.project_id == "project-a"]
    assert before[4] == sums(mine) and before[6] == ()
    assert len(kept.samples("ax1", BEGAN_S, end_s, HOUR_S)) == 2
    assert len(kept.samples("ax1", BEGAN_S, end_s, 60)) == 120
    kept.forget(end_s + 30 * 86400)
    assert sums(kept.samples("", BEGAN_S, end_s, HOUR_S)) == before[0]
    assert kept.samples("", BEGAN_S, end_s, 10) == [], "minutes and readings are gone, hours are not"
    kept.forget(end_s + 4 * 366 * 86400)
    assert kept.samples("", BEGAN_S, end_s, HOUR_S) == []


def test_a_roll_up_that_is_interrupted_anywhere_is_done_again_whole(tmp_path: Path) -> None:
    kept = history(tmp_path)
    noted = two_hours(kept, until=HOUR_S)
    engine = kept._database._engine
    statements = iter(range(0))

    def crash(*_: object) -> None:
        if next(statements, None) == 0:
            raise sqlite3.OperationalError("killed")

    event.listen(engine, "before_cursor_execute", crash)
    crashes = 0
    for statement in (3, 20, 40, 60, 80):
        statements = iter(range(statement, -1, -1))
        try:
            kept.roll_up(BEGAN_S + HOUR_S + 120)
        except Trouble:
            crashes += 1
    statements = iter(range(0))
    while kept.roll_up(BEGAN_S + HOUR_S + 120):
        pass
    assert crashes >= 2
    for grain in (10, 60, HOUR_S):
        assert sums(kept.samples("", BEGAN_S, BEGAN_S + HOUR_S, grain)) == sums(noted)


def test_forgetting_waits_for_the_roll_up(tmp_path: Path) -> None:
    kept = history(tmp_path)
    noted = two_hours(kept, until=HOUR_S)
    kept.forget(BEGAN_S + 10 * 86400)
    assert sums(kept.samples("", BEGAN_S, BEGAN_S + HOUR_S, 10)) == sums(noted)


def test_a_reading_that_comes_after_its_minute_is_rolled_up_is_in_a_later_one(tmp_path: Path) -> None:
    kept = history(tmp_path)
    two_hours(kept, until=600)
    kept.roll_up(BEGAN_S + 900)
    kept.note([told("h3", BEGAN_S + 100, {"cz9": 0})], BEGAN_S + 1000)
    kept.note([told("h3", BEGAN_S + 300, {"cz9": 5000})], BEGAN_S + 1000)
    while kept.roll_up(BEGAN_S + 8000):
        pass
    for grain in (10, 60, HOUR_S):
        assert totals(steps(kept.samples("cz9", BEGAN_S, BEGAN_S + 7200, grain), BEGAN_S, BEGAN_S + 7200, 3600))[
            "out_bytes"
        ] in (0, 5000)
        assert sums(kept.samples("cz9", BEGAN_S, BEGAN_S + 7200, grain))[FIGURES.index("out_bytes")] == 5000


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_last_reading_counts_once_though_another_controller_has_written_newer_ones(kind: str, tmp_path: Path) -> None:
    """One controller was told, and its database is away; the agent turned to the other one, which is told again."""
    url = cluster().url() if kind == "postgresql" else f"sqlite:///{tmp_path / 'metering.db'}"
    one, other = (History(Config(), Database(url)) for _ in range(2))
    one.note([told("h0", BEGAN_S, {})], BEGAN_S)
    one.note([told("h1", BEGAN_S + 10, {"ax1": 1000, "ay2": 10})], BEGAN_S + 10)
    last = told("h1", BEGAN_S + 15, {"ax1": 1700})
    last = Told(last.host, last.reading, last.read_s, last.ports, last=True)
    deleted = Told(last.host, last.reading, last.read_s, {}, last=True)
    newer = told("h1", BEGAN_S + 20, {"ay2": 30})
    noted = [*other.note([newer], BEGAN_S + 20), *other.note([deleted], BEGAN_S + 21), *one.note([last], BEGAN_S + 25)]
    assert [(each.port_id, each.out_bytes) for each in noted] == [("ay2", 20), ("ax1", 700)]
    assert one.heads()["h1"].totals["project-a"][2] == 1730


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_report_that_two_controllers_get_counts_once(kind: str, tmp_path: Path) -> None:
    url = cluster().url() if kind == "postgresql" else f"sqlite:///{tmp_path / 'metering.db'}"
    one, other = (History(Config(), Database(url)) for _ in range(2))
    one.note([told("h0", BEGAN_S, {})], BEGAN_S)
    noted = []
    for at, keeper in enumerate((one, other, other, one, one), 1):
        report = told("h1", BEGAN_S + 10 * at, {"ax1": 1000 * at})
        noted += keeper.note([report], BEGAN_S + 10 * at)
        noted += (other if keeper is one else one).note([report], BEGAN_S + 10 * at)
    assert [each.out_bytes for each in noted] == [1000] * 5
    while other.roll_up(BEGAN_S + 8000):
        pass
    assert sums(one.samples("ax1", BEGAN_S, BEGAN_S + HOUR_S, HOUR_S))[2] == 5000
    one.forget(BEGAN_S + 86400)
    assert one.heads()["h1"].totals["project-a"][2] == 5000


def test_steps_and_the_95th_percentile_are_those_of_an_offline_computation(tmp_path: Path) -> None:
    kept = history(tmp_path)
    noted = two_hours(kept)
    end_s = BEGAN_S + 2 * HOUR_S
    taken = steps(kept.samples("", BEGAN_S, end_s, 60), BEGAN_S, end_s, 300)
    offline = [
        sum(each.out_bytes for each in noted if at < each.ended_s <= at + 300) * 8 / 300
        for at in (BEGAN_S + 300 * number for number in range(24))
    ]
    assert [step.sums[2] * 8 / 300 for step in taken] == offline
    assert percentiles(taken)["out_bps"] == sorted(offline)[math.ceil(0.95 * 24) - 1]
    assert percentiles([])["out_bps"] == 0.0
    assert totals(taken)["out_bytes"] == sum(each.out_bytes for each in noted)


def test_a_database_in_trouble_stops_history_and_nothing_else(tmp_path: Path) -> None:
    async def scene() -> None:
        now_s = BEGAN_S
        folder = tmp_path / "away"
        kept = history(folder)
        meters = Meters(MetersConfig(), kept, lambda: now_s)
        heard: list[Sample] = []

        def broken(_: object) -> None:
            raise RuntimeError("a listener's fault")

        meters.listen(broken)
        meters.listen(heard.extend)
        meters.take("h0", Reading("boot", 100.0, ()), {})
        assert not await meters.write()
        assert "unable to open" in meters.trouble or "No such file" in meters.trouble
        folder.mkdir()
        assert await meters.write() and meters.trouble == ""
        for at in (10, 20):
            now_s = BEGAN_S + at + 0.2  # A little late on its way: it was read at the tenth second.
            report = told("h1", BEGAN_S + at, {"ax1": 500 * at})
            meters.take("h1", report.reading, report.ports)
        assert await meters.write(), "of a host only the newest waits"
        assert [(each.out_bytes, each.ended_s) for each in heard] == [(10_000, BEGAN_S + 20)]

    asyncio.run(scene())


def test_last_readings_wait_each_and_come_in_turn(tmp_path: Path) -> None:
    """Also while the database is in trouble: `ax1` and `ay2` go between two readings that know nothing of them."""

    async def scene() -> None:
        now_s = BEGAN_S
        folder = tmp_path / "away"
        meters = Meters(MetersConfig(), history(folder), lambda: now_s)
        heard: list[Sample] = []
        meters.listen(heard.extend)
        meters.take("h0", Reading("boot", 100.0, ()), {})
        folder.mkdir()
        assert await meters.write()
        first = told("h1", BEGAN_S + 10, {"ax1": 100, "ay2": 100, "bx3": 100})
        meters.take("h1", first.reading, first.ports)
        assert await meters.write()
        heard.clear()
        folder.rename(tmp_path / "elsewhere")
        meters = Meters(MetersConfig(), history(folder), lambda: now_s)
        meters.listen(heard.extend)
        for at, name in ((14, "ax1"), (12, "ay2")):
            now_s = BEGAN_S + at
            last = told("h1", now_s, {name: 100 + at})
            meters.take_last("h1", last.reading, {} if name == "ax1" else last.ports)
            newest = told("h1", now_s + 1, {"bx3": 100 + at})
            meters.take("h1", newest.reading, newest.ports)
            assert not await meters.write()
        (tmp_path / "elsewhere").rename(folder)
        now_s = BEGAN_S + 20
        newest = told("h1", now_s, {"bx3": 120})
        meters.take("h1", newest.reading, newest.ports)
        assert await meters.write()
        assert [(each.port_id, each.out_bytes) for each in heard] == [("ay2", 12), ("ax1", 14), ("bx3", 20)]

    asyncio.run(scene())


def test_while_it_is_doubted_what_time_it_is_nothing_is_forgotten_or_closed(tmp_path: Path) -> None:
    async def scene() -> None:
        kept, doubts = history(tmp_path), [True]
        done: list[str] = []
        config = MetersConfig(tidy_s=0.001)
        meters = Meters(config, kept, lambda: BEGAN_S, lambda: bool(doubts))
        for what, where in (("roll_up", kept), ("forget", kept), ("close", meters.months)):
            setattr(where, what, lambda _now_s, what=what: done.append(what))
        tidying = asyncio.create_task(meters.tidy())
        async with asyncio.timeout(10):
            while done.count("roll_up") < 3:  # noqa: ASYNC110 (threads ring no bell)
                await asyncio.sleep(0.001)
            assert set(done) == {"roll_up"}
            doubts.clear()
            while not {"forget", "close"} <= set(done):  # noqa: ASYNC110 (as above)
                await asyncio.sleep(0.001)
        tidying.cancel()

    asyncio.run(scene())
