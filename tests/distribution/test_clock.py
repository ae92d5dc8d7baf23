"""The time that a controller goes by, while clocks are set: its own, hosts', and all of them."""

import pytest
from structlog.testing import capture_logs

from suimon.distribution.clock import Clock

AT_S = 1_800_000_000.0
HOUR_S = 3600.0
Hosts = dict[str, float]


class World:
    """True time passes; each clock is some seconds ahead of it. `hosts` say every ten seconds what time it is there."""

    def __init__(self, hosts: Hosts, ahead_s: float = 0.0) -> None:
        self.passed_s, self.ahead_s, self.hosts = 5.0, ahead_s, hosts
        self.clock = Clock(lambda: AT_S + self.passed_s + self.ahead_s, lambda: self.passed_s)
        self.later(100.0)

    def later(self, seconds: float) -> float:
        """By how much the controller is ahead of true time then."""
        for _ in range(int(seconds // 10)):
            self.passed_s += 10.0
            for host, ahead_s in self.hosts.items():
                self.clock.hear(host, AT_S + self.passed_s + ahead_s)
            self.clock.now_s()
        return self.now_s()

    def now_s(self) -> float:
        return round(self.clock.now_s() - AT_S - self.passed_s, 3)


@pytest.mark.parametrize("set_s", [3 * HOUR_S, -3 * HOUR_S, 40.0, -400 * 24 * HOUR_S])
@pytest.mark.parametrize("hosts", [{"h1": 0.0}, {"h1": 0.2, "h2": -0.4, "h3": 9 * HOUR_S}])
def test_a_clock_that_hosts_contradict_is_not_followed(hosts: Hosts, set_s: float) -> None:
    world = World(hosts)
    assert world.clock.off_s() == 0.0
    world.ahead_s = set_s
    with capture_logs() as logs:
        assert world.now_s() == 0.0, "not even for a moment"
        assert world.later(2 * HOUR_S) == 0.0
    assert [log["event"] for log in logs] == ["clock_not_followed"], "once"
    assert round(world.clock.off_s(), 3) == set_s and world.clock.doubted()
    world.ahead_s = 0.2
    assert (world.later(10.0), world.clock.off_s(), world.clock.doubted()) == (0.2, 0.0, False)


@pytest.mark.parametrize("set_s", [3 * HOUR_S, -3 * HOUR_S])
@pytest.mark.parametrize("hosts", [{}, {"h1": 0.0, "h2": 0.0, "h3": 50 * HOUR_S}])
def test_a_clock_that_is_set_right_is_followed_at_once(hosts: Hosts, set_s: float) -> None:
    world = World(hosts, set_s)
    world.ahead_s = 0.0
    assert (world.now_s(), world.clock.off_s()) == (0.0, 0.0)


def test_all_clocks_that_are_set_are_followed_once_most_of_them_said_so() -> None:
    world = World({"h1": 0.0, "h2": 0.0, "h3": 0.0})
    world.ahead_s = world.hosts["h1"] = HOUR_S
    assert world.later(60.0) == 0.0
    world.hosts["h2"] = HOUR_S
    assert world.later(60.0) == HOUR_S


def test_what_was_said_long_ago_holds_nobody_back() -> None:
    world = World({"h1": 0.0})
    world.hosts.clear()
    world.ahead_s = HOUR_S
    assert (world.later(500.0), world.later(110.0)) == (0.0, HOUR_S)


def test_little_is_followed_and_so_is_what_goes_on_for_long() -> None:
    world = World({"h1": 0.0, "h2": 0.0})
    for _ in range(10):
        world.ahead_s += 25.0
        assert world.now_s() == world.ahead_s


def test_hosts_lead_no_controller() -> None:
    world = World(dict.fromkeys("abcdef", 0.0))
    world.hosts = dict.fromkeys(world.hosts, -HOUR_S)
    assert world.later(60.0) == 0.0
    world.ahead_s = 5 * HOUR_S
    assert world.later(60.0) == 5 * HOUR_S, "they say neither"


@pytest.mark.parametrize(
    ("hosts", "differs_s"),
    [
        ({}, 0.0),
        ({"h1": -HOUR_S}, 0.0),
        ({"h1": -HOUR_S, "h2": -HOUR_S}, -HOUR_S),
        ({"h1": -HOUR_S, "h2": -HOUR_S - 25, "h3": 0.0}, 0.0),
        ({"h1": -HOUR_S, "h2": -HOUR_S - 25, "h3": -HOUR_S + 5, "h4": 0.0, "h5": 0.0}, 0.0),
        ({"h1": HOUR_S, "h2": HOUR_S, "h3": HOUR_S, "h4": 0.0}, HOUR_S),
        ({"h1": HOUR_S, "h2": -HOUR_S, "h3": 3 * HOUR_S}, 0.0),
        ({"h1": 29.0, "h2": 29.0}, 0.0),
    ],
)
def test_most_clocks_ours_among_them_say_whether_it_is_ours(hosts: Hosts, differs_s: float) -> None:
    world = World(hosts)
    assert round(world.clock.differs_s()) == differs_s and world.clock.doubted() is (differs_s != 0.0)
    world.later(10.0)
    assert world.now_s() == 0.0, "they lead nobody"


def test_who_just_began_and_who_was_just_set_does_nothing_for_good() -> None:
    young = Clock(lambda: AT_S, lambda: 7.0)
    assert young.doubted()
    world = World({})
    assert not world.clock.doubted()
    world.ahead_s = HOUR_S
    world.later(HOUR_S)
    assert world.clock.doubted() and world.clock.off_s() == 0.0
    world.later(20.0)
    assert not world.clock.doubted()


def test_a_process_that_was_stopped_between_two_looks_looks_again() -> None:
    passed = iter([0.0, 0.0, 0.0, 0.0, 50.0, 50.0, 50.0, 50.0])
    walls = iter([AT_S, AT_S, AT_S + 50.0])
    clock = Clock(lambda: next(walls), lambda: next(passed))
    assert clock.now_s() == AT_S + 50.0
