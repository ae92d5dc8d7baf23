"""What was used and how hosts are, as tables: sums don't depend on when they are asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from suimon.distribution.presence import HostState, NotedDrift
from suimon.enforcement.gathering import Gatherer, GathererConfig
from suimon.enforcement.host_states import HostStates, HostStatesConfig
from suimon.enforcement.usage import Usage, UsageConfig
from suimon.model.counts import Count, Metered, PortCounts, Reading
from suimon.model.fact_tables import Reading as Table
from suimon.model.fact_tables import Unread
from suimon.policy.changes import Row
from suimon.resources.hosts import note_states
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.history import Config, History
from suimon.telemetry.meter.ledger import Told
from suimon.telemetry.meter.meters import Config as MetersConfig
from suimon.telemetry.meter.meters import Meters
from tests.enforcement.policed import Policed
from tests.enforcement.test_gathering import Watch, tables

MIDNIGHT_S = datetime(2027, 1, 31, tzinfo=UTC).timestamp()
HOUR_S = 3600.0
WHOSE = {"p1": Metered("red", "net"), "p2": Metered("red", "net"), "p3": Metered("blue", "net")}


def counted(history: History, at_s: float, total: int) -> None:
    """Each port has got so many bytes by then, and sent a tenth."""
    ports = tuple(
        PortCounts(name, 0.0, received=Count("d", 0.0, total, 1), sent=Count("d", 0.0, total // 10, 1))
        for name in WHOSE
    )
    history.note([Told("h1", Reading("boot", at_s, ports), at_s, WHOSE)], at_s)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """1,000 bytes an hour before midnight and 10,000 a minute after it, then nothing more."""
    kept = History(Config(), Database(f"sqlite:///{tmp_path}/metering.db"))
    for at_s, total in ((-2 * HOUR_S, 0), (-HOUR_S, 1000), (0.0, 2000), (60.0, 12_000), (120.0, 22_000)):
        counted(kept, MIDNIGHT_S + at_s, total)
    return kept


def read(source: Usage) -> dict[str, list[Row]]:
    (batch,) = asyncio.run(source.read())
    return {one.name: list(one.rows) for one in batch if isinstance(one, Table)}


def usage(history: History, watch: Watch) -> Usage:
    return Usage(UsageConfig(), Meters(MetersConfig(), history), watch)


def test_bytes_of_the_day_and_the_month_and_the_rate(history: History) -> None:
    found = read(usage(history, Watch(MIDNIGHT_S + 120)))
    assert found["usage"][0] == ("p1", "red", 20_000, 2000, 22_000, 2200, 1, 0)
    assert found["project_usage"] == [
        ("blue", 20_000, 2000, 22_000, 2200, 1, 0), ("red", 40_000, 4000, 44_000, 4400, 3, 0)
    ]  # fmt: skip


def test_sums_are_the_same_whenever_they_were_asked_for_before(history: History) -> None:
    watch = Watch(MIDNIGHT_S + 120)
    followed = usage(history, watch)
    for step_s in (0.0, HOUR_S, 2 * HOUR_S, 24 * HOUR_S, -23 * HOUR_S, 25 * HOUR_S):
        watch.now_s += step_s
        while history.roll_up(watch.now_s):
            pass
        assert read(followed) == read(usage(history, watch)), step_s
    # By now it is February.
    assert read(followed)["usage"] == []


def test_a_day_later_only_the_month_has_it(history: History) -> None:
    watch = Watch(datetime(2027, 1, 31, 23, 59, 30, tzinfo=UTC).timestamp())
    followed = usage(history, watch)
    assert read(followed)["usage"][0][2:6] == (20_000, 2000, 22_000, 2200)
    watch.now_s += 60
    assert read(followed)["usage"] == []


def test_a_clock_that_goes_back_over_midnight_counts_nothing_twice(history: History) -> None:
    watch = Watch(MIDNIGHT_S + 3 * HOUR_S)
    followed = usage(history, watch)
    read(followed)
    watch.now_s -= 4 * HOUR_S
    assert read(followed)["usage"][0][2:6] == (1000, 100, 1000, 100)


def test_a_meter_that_is_away_changes_nothing(tmp_path: Path) -> None:
    broken = History(Config(), Database(f"sqlite:///{tmp_path}/none/metering.db"))
    (batch,) = asyncio.run(usage(broken, Watch(MIDNIGHT_S)).read())
    assert [type(one) for one in batch] == [Unread, Unread]


def test_hosts_with_drift_are_facts(policed: Policed) -> None:
    policed.host("h1")
    drift = NotedDrift(datetime(2027, 1, 1, tzinfo=UTC), "port", 1, 0, 2, "…", repaired=False, reason="")
    states = {"h1": msgspec.json.encode(HostState(host="h1", up=True, drifts=(drift,), failures={"a": "b"})).decode()}
    policed.write(lambda tx: note_states(tx, states))
    policed.policy("drift", "error(h, o) :- suimon:drifts(host=h, owner=o, repaired=false)")
    policed.policy("down", "error(h) :- suimon:host_states(host=h, up=true, refused=1)")
    source = HostStates(HostStatesConfig(), policed.store)
    assert policed.loop.run_until_complete(Gatherer(GathererConfig(), policed.store, [source]).round(source))
    assert policed.rows("drift") == [("h1", "port")] and policed.rows("down") == [("h1",)]
    policed.write(lambda tx: note_states(tx, {"h1": "{}"}))
    policed.loop.run_until_complete(Gatherer(GathererConfig(), policed.store, [source]).round(source))
    assert policed.rows("drift") == [("h1", "port")] and tables(policed)["suimon/drifts"].problem
