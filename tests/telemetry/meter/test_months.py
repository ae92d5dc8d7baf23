"""A month that is closed is what an offline computation says of it, stays so, and is there for good."""

from __future__ import annotations

import math
import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event

from suimon.model.months import Month
from suimon.model.samples import Sample
from suimon.telemetry.meter.closing import Months
from suimon.telemetry.meter.database import Database, Trouble
from suimon.telemetry.meter.history import Config, History
from suimon.telemetry.meter.ledger import FIGURES, figures
from suimon.telemetry.meter.months import RATED, STEP_S, Fold, Line, Statement, Whose
from suimon.telemetry.meter.usage import percentiles, steps
from tests.postgresql import cluster
from tests.telemetry.meter.test_history import told

FEBRUARY = Month.named("2027-02")
BEGIN_S, END_S = FEBRUARY.begin_s, FEBRUARY.end_s
DAY_S = 86400
AT_ANY_TIME = Config(latest_s=math.inf)
"""Readings count when they were made, though a test tells many at once."""


def history(path: Path) -> History:
    return History(AT_ANY_TIME, Database(f"sqlite:///{path / 'metering.db'}"))


def metered(kept: History, *, every_s: int = 3600, seed: int = 7, until_s: int = END_S + 2 * 3600) -> list[Sample]:
    """From the last day of January on, three ports on two hosts, one of which moves; what was noted, as it came."""
    drawn, noted = random.Random(seed), list[Sample]()
    counts = {"ax1": 0, "ay2": 0, "bx3": 0}
    kept.note([told("h0", BEGIN_S - DAY_S, {})], BEGIN_S - DAY_S)
    at_s, waiting = BEGIN_S - DAY_S, []
    while at_s < until_s:
        at_s += drawn.choice((10, 300, every_s, 2 * every_s))
        counts = {name: value + round(drawn.paretovariate(1.2) * 10**5) for name, value in counts.items()}
        moved = at_s > BEGIN_S + 14 * DAY_S
        here = {"ax1", "ay2"} if moved else {"ax1"}
        waiting += [
            told("h1", at_s, {name: counts[name] for name in here}),
            told("h2", at_s, {name: counts[name] for name in counts.keys() - here}),
        ]
        if len(waiting) > 200:
            noted += kept.note(waiting, at_s)
            waiting = []
    noted += kept.note(waiting, at_s)
    rolled(kept, at_s + 3600)
    return noted


def rolled(kept: History, now_s: float) -> None:
    while kept.roll_up(now_s):
        pass


def closed(kept: History, now_s: float) -> Months:
    """Two months have fewer pieces than this."""
    months = Months(kept)
    assert any(not months.close(now_s) for _ in range(2000)), "it never ends"
    return months


def of(statement: Statement | None) -> dict[Whose, Line]:
    assert statement is not None
    return {line.whose: line for line in statement.lines}


def offline(samples: Iterable[Sample], month: Month, chosen: Callable[[Sample], bool]) -> tuple[list[int], list[float]]:
    """Sums, and the percentile by the definition of nearest rank, of all five minutes of the month."""
    own = [one for one in samples if chosen(one) and month.begin_s < one.ended_s <= month.end_s]
    parts: dict[int, list[int]] = defaultdict(lambda: [0] * len(FIGURES))
    for one in own:
        number = math.ceil((one.ended_s - month.begin_s) / 300)
        parts[number] = [a + b for a, b in zip(parts[number], figures(one), strict=True)]
    count = (month.end_s - month.begin_s) // 300
    rates = []
    for name in RATED:
        at = FIGURES.index(f"{name}_bytes")
        every = sorted([part[at] for part in parts.values()] + [0] * (count - len(parts)))
        rates.append(every[math.ceil(0.95 * count) - 1] * 8 / 300)
    return [sum(part[at] for part in parts.values()) for at in range(len(FIGURES))], rates


def test_a_month_s_sums_and_95th_percentiles_are_those_of_an_offline_computation(tmp_path: Path) -> None:
    kept = history(tmp_path)
    noted = metered(kept)
    lines = of(closed(kept, END_S + DAY_S).closed(FEBRUARY))
    asked: dict[Whose, Callable[[Sample], bool]] = {
        Whose("project-a"): lambda one: one.project_id == "project-a",
        Whose("project-a", "network-x"): lambda one: one.port_id == "ax1",
        Whose("project-a", "network-x", "ax1"): lambda one: one.port_id == "ax1",
        Whose("project-a", "network-y"): lambda one: one.port_id == "ay2",
        Whose("project-a", "network-y", "ay2"): lambda one: one.port_id == "ay2",
        Whose("project-b"): lambda one: one.project_id == "project-b",
        Whose("project-b", "network-x"): lambda one: one.port_id == "bx3",
        Whose("project-b", "network-x", "bx3"): lambda one: one.port_id == "bx3",
    }
    assert list(lines) == sorted(asked)
    for whose, chosen in asked.items():
        sums, rates = offline(noted, FEBRUARY, chosen)
        assert (list(lines[whose].sums), list(lines[whose].billed_bps)) == (sums, rates), whose
    assert lines[Whose("project-a")].billed_bps[0] > 0
    found = kept.samples("project-a", BEGIN_S, END_S, STEP_S)
    shown = percentiles(steps(found, BEGIN_S, END_S, STEP_S))
    assert lines[Whose("project-a")].billed_bps == tuple(shown[f"{name}_bps"] for name in RATED), "suimon usage"


@pytest.mark.parametrize("share", [0.0, 0.049, 0.05, 0.051, 1.0])
def test_the_percentile_is_one_of_the_steps_own_by_nearest_rank(share: float) -> None:
    drawn = random.Random(3)
    count = (END_S - BEGIN_S) // STEP_S
    busy = sorted(drawn.sample(range(1, count + 1), round(share * count)))
    samples = [
        Sample("p", "a", "n", "h", at - STEP_S, at, in_bytes=drawn.randrange(1, 10**12), out_outside_bytes=7)
        for at in (BEGIN_S + number * STEP_S for number in busy)
    ]
    fold = Fold(FEBRUARY)
    for begin_s in range(BEGIN_S, END_S, 3600):
        fold.take([one for one in samples if begin_s < one.ended_s <= begin_s + 3600], begin_s + 3600)
    lines = of(fold.statement())
    assert bool(lines) == bool(busy)
    for line in lines.values():
        sums, rates = offline(samples, FEBRUARY, lambda _: True)
        assert (list(line.sums), list(line.billed_bps)) == (sums, rates)
        assert line.billed_bps[-1] == (7 * 8 / STEP_S if share > 0.05 else 0.0)


def test_nothing_that_comes_later_changes_a_month_that_is_closed(tmp_path: Path) -> None:
    kept = history(tmp_path)
    metered(kept, every_s=7200)
    assert kept.closed_month("2027-02") is None
    closed(kept, END_S + DAY_S)
    before = kept.closed_month("2027-02")
    assert before is not None
    late = kept.note([told("h3", END_S - 700, {"cz9": 10}), told("h3", END_S - 600, {"cz9": 5000})], END_S + DAY_S)
    assert late and late[-1].ended_s < END_S, "by the config of this test; else it would be of this minute"
    rolled(kept, END_S + 2 * DAY_S)
    months = closed(kept, END_S + 3 * DAY_S)
    kept.close_month("2027-02", b"another", END_S)
    assert kept.closed_month("2027-02") == before
    assert months.known() == [("2027-01", True), ("2027-02", True), ("2027-03", False)]


def test_a_month_is_kept_for_good_and_its_five_minutes_until_it_is_closed(tmp_path: Path) -> None:
    kept = history(tmp_path)
    metered(kept, every_s=7200)
    long_after_s = END_S + 200 * DAY_S
    kept.forget(long_after_s)
    months = Months(kept)
    half = 0
    while half < 300 and months.close(long_after_s):
        half += 1
    kept.forget(long_after_s)
    assert kept.samples("", BEGIN_S - DAY_S, BEGIN_S, STEP_S) == [] and months.known()[0] == ("2027-01", True)
    sums = [sum(each) for each in zip(*map(figures, kept.samples("", BEGIN_S, END_S, STEP_S)), strict=True)]
    whole = closed(kept, long_after_s).closed(FEBRUARY)
    ports = [line.sums for line in of(whole).values() if line.whose.kind == "port"]
    assert sums == [sum(each) for each in zip(*ports, strict=True)]
    kept.forget(END_S + 5 * 366 * DAY_S)
    assert kept.samples("", BEGIN_S, END_S, 3600) == []
    assert Months(kept).closed(FEBRUARY) == whole


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_of_two_that_close_a_month_the_first_one_s_words_stay(kind: str, tmp_path: Path) -> None:
    url = cluster().url() if kind == "postgresql" else f"sqlite:///{tmp_path / 'metering.db'}"
    one, other = (History(AT_ANY_TIME, Database(url)) for _ in range(2))
    assert (one.closed_s(), one.closed_month("2027-02"), one.closed_months()) == (0, None, [])
    one.close_month("2027-02", b"first", END_S)
    other.close_month("2027-02", b"second", END_S)
    other.close_month("2027-01", b"of January", BEGIN_S)
    assert (other.closed_s(), other.closed_months()) == (END_S, ["2027-01", "2027-02"])
    assert other.closed_month("2027-02") == b"first"


def test_closing_that_is_interrupted_is_begun_anew_and_says_the_same(tmp_path: Path) -> None:
    kept = history(tmp_path)
    metered(kept, every_s=14400)
    months = Months(kept)
    broken, left = kept._database._engine, [0]

    def crash(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise sqlite3.OperationalError("killed")

    event.listen(broken, "before_cursor_execute", crash)
    crashes = 0
    for statement in (5, 90, 700):
        left[0] = statement
        try:
            while months.close(END_S + DAY_S):
                pass
        except Trouble:
            crashes += 1
        months = months if statement == 90 else Months(kept)
    left[0] = 0
    assert crashes >= 2
    resumed = closed(kept, END_S + DAY_S).closed(FEBRUARY)
    again = Fold(FEBRUARY)
    again.take(kept.samples("", BEGIN_S, END_S, STEP_S), END_S)
    assert resumed == again.statement(closed_s=END_S + DAY_S)


def test_how_complete_a_month_is(tmp_path: Path) -> None:
    """A day is told each five minutes, the next week in one go, and nothing after that."""
    kept = history(tmp_path)
    kept.note([told("h0", BEGIN_S - 10, {}), told("h1", BEGIN_S, {"ax1": 0})], BEGIN_S)
    day_s, week_s = BEGIN_S + DAY_S, BEGIN_S + 8 * DAY_S
    waiting = [told("h1", at_s, {"ax1": at_s - BEGIN_S}) for at_s in range(BEGIN_S + 300, day_s + 300, 300)]
    kept.note(waiting, day_s)
    kept.note([told("h1", week_s, {"ax1": 10**9})], week_s)
    rolled(kept, day_s + 200)
    months = Months(kept)
    so_far = months.so_far(FEBRUARY, None)
    assert so_far is not None and so_far.closed_s is None
    assert (so_far.complete, so_far.until_s) == (round(1 / 28, 6), day_s)
    assert not months.close(day_s + 200), "it is not over"
    assert months.so_far(FEBRUARY, "project-b") == msgspec.structs.replace(so_far, lines=())
    assert months.so_far(Month.named("2026-12"), None) is None and months.so_far(Month.named("2027-03"), None) is None
    rolled(kept, END_S + 3600)
    line = of(closed(kept, END_S + 3600).closed(FEBRUARY))[Whose("project-a", "network-x", "ax1")]
    assert (line.metered_s, line.late_s) == (8 * DAY_S, 7 * DAY_S - 300)
    whole = months.closed(FEBRUARY)
    assert whole is not None
    assert whole.complete == round(1 - (7 * DAY_S - 300) / (8 * DAY_S), 6)
