"""Chaos condemns what it must: losses outside of gaps, long gaps, forbidden packets, touched and left-over flows."""

import pytest

from suimon.lab.guests import Guest
from suimon.model.owner import Owner
from tests.chaos import verdict
from tests.chaos.streams import Gap, Outcome, Way

A, B, C = (
    Guest(name, host, f"port-{name}", "02:00:00:00:00:01", name) for name, host in zip("abc", "114", strict=True)
)
LOCAL, REMOTE = Way("local", A, B, 100), Way("remote", A, C, 100)
COOKIE = f"{Owner('port', 'port-a').cookie:#x}"
OTHER = f"{Owner('port', 'churned').cookie:#x}"


class Happened:
    def __init__(self, *gaps, restarts=()):
        self.gaps, self.switch_restarts = list(gaps), dict(restarts)


def lost(way, *times, gap=None):
    outcome = Outcome(way, 1000, 1000 - len(times), times)
    return list(verdict.lost([outcome], Happened(*([gap] if gap else [])), 400))


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
    ],
)
def test_losses(way, times, gap, broken):
    assert bool(lost(way, *times, gap=gap)) is broken


def test_a_forbidden_packet_that_arrived_is_wrong_and_one_that_did_not_is_right():
    shut = Way("shut", A, B, 100, allowed=False)
    assert list(verdict.lost([Outcome(shut, 10, 1, ())], Happened(), 400))
    assert not list(verdict.lost([Outcome(shut, 10, 0, (1.0,))], Happened(), 400))


def flow(cookie, out=1):
    return f"cookie={cookie}, table=74, priority=100 actions=output:{out}"


@pytest.mark.parametrize(
    ("after", "restarts", "broken"),
    [
        ({flow(COOKIE): 10.0}, {}, False),
        ({flow(COOKIE): 12.0}, {}, True),
        ({flow(COOKIE): 10.0, flow(OTHER): 11.0}, {}, True),
        ({}, {}, True),
        ({flow(COOKIE, out=2): 20.0}, {"1": 20.0}, False),
        ({flow(COOKIE): 25.0}, {"1": 20.0}, True),
        ({flow(COOKIE): 20.0, flow(OTHER): 20.0}, {"1": 20.0}, True),
    ],
)
def test_flows(after, restarts, broken):
    found = verdict.touched({"1": {flow(COOKIE): 10.0}}, {"1": after}, ["port-a"], Happened(restarts=restarts))
    assert bool(list(found)) is broken
