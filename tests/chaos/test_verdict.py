"""Chaos condemns what it must: losses outside of gaps, long gaps, forbidden packets, touched and left-over flows."""

import random
from types import SimpleNamespace

import msgspec
import pytest

from suimon.lab.guests import Guest
from suimon.model.owner import Owner
from tests.chaos import summary, verdict
from tests.chaos.faults import GATEWAY_BACK, GATEWAY_LOST, VSWITCHD_KILLED, Faults
from tests.chaos.ledger import Ledger
from tests.chaos.streams import Gap, Outcome, Way

A, B, C = (
    Guest(name, host, f"port-{name}", "02:00:00:00:00:01", name) for name, host in zip("abc", "114", strict=True)
)
LOCAL, REMOTE = Way("local", A, B, 100), Way("remote", A, C, 100)
OUT = Way("out", A, Guest("internet", "", "", "", "internet"), 100, through=frozenset("14"))
WELL = {"1": [(0.0, 0.0), (9.0, 0.0)], "4": []}
COOKIE = f"{Owner('port', 'port-a').cookie:#x}"
OTHER = f"{Owner('port', 'churned').cookie:#x}"


class Happened:
    def __init__(self, *gaps, restarts=()):
        self.gaps, self.switch_restarts = list(gaps), dict(restarts)


def lost(way, *times, gap=None):
    outcomes, happened = [Outcome(way, 1000, 1000 - len(times), times)], Happened(*([gap] if gap else []))
    bounds_ms = {VSWITCHD_KILLED: 400, GATEWAY_LOST: 2500, GATEWAY_BACK: 30}
    return [*verdict.lost(outcomes, happened, WELL), *verdict.too_long(outcomes, happened, bounds_ms)]


@pytest.mark.parametrize(
    ("way", "times", "gap", "broken"),
    [
        (LOCAL, (), None, False),
        (LOCAL, (5.0,), None, True),
        (LOCAL, (5.0,), Gap("vswitchd killed", "1", 4.9, 5.2), False),
        (LOCAL, (5.0,), Gap("vswitchd killed", "4", 4.9, 5.2), True),
        (LOCAL, (5.0,), Gap("tunnels cut", "1", 4.9, 5.2, tunnels_only=True), True),
        (REMOTE, (5.0,), Gap("tunnels cut", "1", 4.9, 5.2, tunnels_only=True), False),
        (REMOTE, (5.0, 5.5), Gap("vswitchd killed", "4", 4.9, 5.6), True),
        (REMOTE, (5.0, 5.5), Gap("tunnels cut", "4", 4.9, 5.6, tunnels_only=True), False),
        (REMOTE, (5.0, 8.0), Gap("gateway host lost", "4", 4.9, 8.1), False),
        (OUT, (5.0, 7.0), Gap("gateway host lost", "4", 4.9, 8.1), False),
        (OUT, (5.0, 8.0), Gap("gateway host lost", "4", 4.9, 8.1), True),
        (OUT, (5.0,), Gap("tunnels cut", "4", 4.9, 8.1, tunnels_only=True), False),
        (OUT, (5.0, 5.01), Gap("gateway host back", "4", 4.9, 5.2, gateways_only=True), False),
        (OUT, (5.0, 5.1), Gap("gateway host back", "4", 4.9, 5.2, gateways_only=True), True),
        (REMOTE, (5.0,), Gap("gateway host back", "4", 4.9, 5.2, gateways_only=True), True),
    ],
)
def test_losses(way, times, gap, broken):
    assert bool(lost(way, *times, gap=gap)) is broken


def test_a_forbidden_packet_that_arrived_is_wrong_and_one_that_did_not_is_right():
    shut = msgspec.structs.replace(OUT, allowed=False)
    assert list(verdict.mistaken(None, [Outcome(shut, 10, 1, ())]))
    outcomes = [Outcome(shut, 10, 0, (1.0,))]
    assert not [*verdict.mistaken(None, outcomes), *verdict.lost(outcomes, Happened(), WELL)]


def flow(cookie, out=1):
    return f"cookie={cookie}, table=74, priority=100 actions=output:{out}"


@pytest.mark.parametrize(
    ("after", "restarts", "broken"),
    [
        ({flow(COOKIE): 10.0}, {}, False),
        ({flow(COOKIE): 10.4}, {}, True),
        ({flow(COOKIE): 10.0, flow(OTHER): 11.0}, {}, True),
        ({}, {}, True),
        ({flow(COOKIE, out=2): 20.0}, {"1": 20.0}, False),
        ({flow(COOKIE): 25.0}, {"1": 20.0}, True),
        ({flow(COOKIE): 20.0, flow(OTHER): 20.0}, {"1": 20.0}, True),
    ],
)
def test_flows(after, restarts, broken):
    now = {"1": {text: (at - 0.2, at) for text, at in after.items()}}
    found = verdict.touched({"1": {flow(COOKIE): (9.9, 10.1)}}, now, ["port-a"], Happened(restarts=restarts))
    assert bool(list(found)) is broken


def test_too_little_says_nothing():
    enough = {"faults": 10, "changes": 100, "packets": 100_000, "migrations": 2}
    assert summary.too_few(enough, 60) == []
    assert len(summary.too_few(enough, 600)) == 4
    assert summary.too_few(enough | {"packets": 99_000}, 60) == ["99000 packets, of at least 100000"]


def test_every_lost_packet_is_told_with_its_gap():
    happened = Happened(Gap(VSWITCHD_KILLED, "1", 4.9, 5.2))
    lines = summary.losses([Outcome(LOCAL, 10, 8, (5.0, 6.0))], happened)
    assert lines[1:] == ["5.0000,local,4.900,vswitchd killed,1", "6.0000,local,,,"]


@pytest.mark.parametrize(
    ("samples", "starved"),
    [
        ([(4.0, 0.0), (4.5, 0.0), (5.0, 0.5)], True),
        ([(4.0, 0.0), (4.5, 0.0), (5.0, 0.2)], False),
        ([(1.0, 0.0), (2.0, 0.9), (4.5, 0.9), (5.0, 0.9)], False),
        ([(4.0, 7.0), (4.5, 0.1), (5.0, 0.2)], False),
    ],
)
def test_what_a_switch_had_no_turn_for_says_nothing(samples, starved):
    outcomes, waits = [Outcome(LOCAL, 10, 9, (5.0,))], {"1": samples}
    assert bool(list(verdict.unserved(outcomes, Happened(), waits))) is starved
    assert bool(list(verdict.lost(outcomes, Happened(), waits))) is not starved


@pytest.mark.parametrize(
    ("found", "lost"),
    [
        ({("group", "a"): {"description": "new", "name": "n"}}, 0),
        ({("group", "a"): {"description": "old", "name": "n"}}, 1),
        ({}, 1),
        ({("group", "a"): {"description": "new"}, ("port", "unanswered"): {}, ("port", "unasked"): {}}, 0),
        ({("group", "a"): {"description": "new"}, ("port", "gone"): {}}, 1),
    ],
)
def test_no_acknowledged_write_is_lost(found, lost):
    ledger = Ledger()
    ledger.made(("group", "a"), {"description": "old"})
    ledger.made(("group", "a"), {"description": "new"})
    for port in ("gone", "unanswered"):
        ledger.made(("port", port), {})
        ledger.deleting(("port", port))
    ledger.deleted(("port", "gone"))
    ledger.compare(found)
    assert len(ledger.lost) == lost


def test_a_gateway_host_is_back_when_agents_say_that_nobody_is_away(monkeypatch):
    said = "timestamp=2026-11-23T03:53:54.{}Z level=info event=gateways_judged away={} serving refused=[]"
    lines = {"1": [said.format("1", "[]"), said.format("2", "['x']"), said.format("7", "[]")], "4": []}
    monkeypatch.setattr("tests.chaos.faults.time", SimpleNamespace(time=lambda: 1795406035.0, monotonic=lambda: 5.0))
    lab = SimpleNamespace(cloud=SimpleNamespace(judgements=lambda: lines))
    faults = Faults(lab, None, random.Random(1), "4")
    faults.note_returns()
    (gap,) = faults.gaps
    assert (gap.fault, gap.host, round(gap.begun, 2), round(gap.ended, 2)) == (GATEWAY_BACK, "4", 4.65, 4.9)
