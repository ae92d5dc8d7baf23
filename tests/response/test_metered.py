"""The meter as senses: what was counted, by whom, and when nobody knows."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from suimon.model.counts import Count, PortCounts, Reading
from suimon.model.counts import Metered as Whose
from suimon.model.findings import Finding, Subject
from suimon.model.rulebook import Measure, Place, UsageRule
from suimon.response.metered import Metered
from suimon.response.senses import Rate
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.history import Config, History
from suimon.telemetry.meter.ledger import Told
from suimon.telemetry.meter.meters import Config as MetersConfig
from suimon.telemetry.meter.meters import Meters

T = TypeVar("T")
BEGAN_S = 1_800_000_000.0
PORTS = frozenset({"p1", "p2"})
RULE = UsageRule(name="heavy", more_than_gb=1, do=Measure(kind="rate_limit", rate_kbps=1))
with_ = msgspec.structs.replace


def place(kind: str, id_: str) -> Place:
    return Place(target=Subject(kind, id_), port_ids=PORTS if kind != "port" else frozenset({id_}))  # type: ignore[arg-type]


def finding(role: str = "source", detector: str = "mass_mail", since_s: float = 0.0, **numbers: float) -> Finding:
    said = {"sessions": 40.0, "window_s": 1.0, "l4_port": 25.0, "kbps": 1.0, "packets_per_s": 1.0}
    return Finding(
        id="f", detector=detector, subject=Subject("port", "p1"), role=role, since_s=since_s, seen_s=0, confidence=1,  # type: ignore[arg-type]
        numbers=numbers or said, words="", evidence=(),
    )  # fmt: skip


@pytest.fixture
def history(tmp_path: Path) -> History:
    """p1 sends ten packets of 100 bytes and gets thirty every second, of which a half is outside; p2 is silent."""
    kept = History(Config(), Database(f"sqlite:///{tmp_path}/metering.db"))
    for at in range(0, 130, 10):
        counted = {"p1": 10 * at, "p2": 0}
        ports = tuple(
            PortCounts(
                name, 100.0,
                received=Count("d", 0.0, 300 * n, 3 * n), sent=Count("d", 0.0, 100 * n, n),
                received_outside=Count("f", 0.0, 150 * n, n), sent_outside=Count("g", 0.0, 50 * n, n),
            )
            for name, n in counted.items()
        )  # fmt: skip
        whose = {name: Whose("red", "net") for name in counted}
        kept.note([Told("h1", Reading("boot", at + 100.0, ports), BEGAN_S + at, whose)], BEGAN_S + at)
    return kept


def asked(history: History, question: Callable[[Metered], T], now_s: float = BEGAN_S + 125) -> T:
    return question(Metered(Meters(MetersConfig(), history, lambda: now_s), lambda: now_s))


@pytest.mark.parametrize(("kind", "id_"), [("port", "p1"), ("project", "red"), ("network", "net"), ("address", "x")])
def test_rates(history: History, kind: str, id_: str) -> None:
    def rates(direction: str) -> list[Rate]:
        return asked(
            history,
            lambda m: asyncio.run(m.rates(place(kind, id_), direction, BEGAN_S + 30, BEGAN_S + 95)),  # type: ignore[arg-type]
        )

    silent = [] if kind == "port" else [Rate(0.0, 0.0)]
    assert rates("ingress") == [Rate(24.0, 0.03), *silent]
    assert rates("egress") == [with_(one, direction="egress") for one in (Rate(8.0, 0.01), *silent)]


def test_of_a_trunk_s_parent_it_is_said_that_others_are_in_it(history: History) -> None:
    trunk = with_(place("project", "red"), trunks=frozenset({"p1"}))
    found = asked(history, lambda m: asyncio.run(m.rates(trunk, "ingress", BEGAN_S + 30, BEGAN_S + 95)))
    assert found == [Rate(24.0, 0.03, shared=True), Rate(0.0, 0.0)]


def test_what_sends_too_little_does_not_hold_and_what_is_not_counted_is_not_known(history: History) -> None:
    def holds(port: str, now_s: float = BEGAN_S + 125, **of: str | float) -> bool | None:
        look = asked(history, lambda m: asyncio.run(m.look(finding(**of), place("port", port))), now_s)  # type: ignore[arg-type]
        return look.holds

    assert holds("p1") is True
    assert holds("p1", role="victim") is True
    assert holds("p2") is False
    assert holds("p3") is None
    assert holds("p1", BEGAN_S + 1000) is None
    assert holds("p3", detector="usage:heavy") is True
    # A quarter of what is said is needed, and what the detector calls an attack; of what has no figures, nothing holds.
    assert holds("p1", sessions=41.0, window_s=1.0, l4_port=25.0) is False
    assert holds("p1", detector="forging") is True
    assert holds("p1", detector="udp_flood") is holds("p1", detector="heavy_traffic") is False
    assert holds("p1", detector="mass_mail", servers=50.0) is holds("p1", detector="of_somebody_else") is False
    # What was counted before it began is none of it.
    assert holds("p1", since_s=BEGAN_S + 105) is True
    assert holds("p1", since_s=BEGAN_S + 115) is None


def test_of_what_is_sent_and_still_reported_samples_say_whether_it_goes_on(history: History) -> None:
    def goes_on(port: str, *, reported: bool = True, **of: str) -> bool | None:
        said = finding(**of)  # type: ignore[arg-type]
        return asked(history, lambda m: asyncio.run(m.goes_on(said, place("port", port), {}, reported=reported)))

    assert (goes_on("p1"), goes_on("p2"), goes_on("p3")) == (True, False, None)
    assert goes_on("p1", reported=False) is goes_on("p1", detector="of_somebody_else") is None
    # What it gets is counted behind what restricts it.
    assert goes_on("p1", role="victim") is None


@pytest.mark.parametrize(
    ("rule", "used"),
    [
        ({}, {"p1": 2000 * 60}),
        ({"outside": False}, {"p1": 4000 * 60}),
        ({"direction": "egress"}, {"p1": 500 * 60}),
        ({"direction": "ingress", "per": "project"}, {"red": 1500 * 60}),
    ],
)
def test_sums_as_the_rule_counts_from_the_first_full_minute(
    history: History, rule: dict[str, object], used: dict[str, int]
) -> None:
    now_s = BEGAN_S + 15 + 3600
    found = asked(history, lambda m: asyncio.run(m.used(with_(RULE, within_h=1, **rule), now_s)))
    assert dict(found) == used


def test_sums_of_one_since_a_limit_are_from_the_next_full_minute(history: History) -> None:
    def since(rule: UsageRule, id_: str, since_s: float) -> int:
        return asked(history, lambda m: asyncio.run(m.used_since(rule, id_, since_s, BEGAN_S + 120)))

    assert [since(RULE, "p1", BEGAN_S + 15), since(RULE, "p1", BEGAN_S + 61)] == [2000 * 60, 0]
    assert [since(with_(RULE, per="project"), "red", BEGAN_S + 15), since(RULE, "p2", BEGAN_S)] == [2000 * 60, 0]


def test_sums_are_kept_while_somebody_asks_for_them(history: History) -> None:
    metered = Metered(Meters(MetersConfig(), history, lambda: BEGAN_S), lambda: BEGAN_S)
    for ahead_s in (120, 180, 240):
        asyncio.run(metered.used(RULE, BEGAN_S + ahead_s))
        asyncio.run(metered.used_since(RULE, "p1", BEGAN_S + 15, BEGAN_S + ahead_s))
    assert len(metered._windows) == 2
    asyncio.run(metered.used(RULE, BEGAN_S + 7200))
    assert len(metered._windows) == 1


def test_a_meter_that_is_away_is_not_known(tmp_path: Path) -> None:
    away = History(Config(), Database(f"sqlite:///{tmp_path}/nowhere/metering.db"))
    assert asked(away, lambda m: asyncio.run(m.look(finding(), place("port", "p1")))).holds is None
    with pytest.raises(TimeoutError):
        asked(away, lambda m: asyncio.run(m.used(RULE, BEGAN_S + 60)))
