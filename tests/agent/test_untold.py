"""What the controller doesn't know yet outlives the agent, is bounded, and has the same id however often it is told."""

import pytest
from structlog.testing import capture_logs

from suimon.agent.saved import StateDirectory
from suimon.agent.untold import MOST_AT_ONCE, MOST_KEPT, Untold
from suimon.model.view import Drift


class Clocks:
    def __init__(self):
        self.passed_s, self.wall_s = 50.0, 1e9

    def untold(self, file=None):
        return Untold(file, lambda: self.passed_s, lambda: self.wall_s)

    def pass_(self, seconds):
        self.passed_s += seconds
        self.wall_s += seconds


@pytest.fixture
def file(tmp_path):
    return StateDirectory(tmp_path).untold


def test_the_next_agent_tells_it_under_the_same_id_with_its_age(file):
    clocks = Clocks()
    first = clocks.untold(file)
    first.add([Drift("port/p", missing=3)])
    clocks.pass_(10)
    (told,) = first.next()
    assert (told.owner, told.missing, told.age_s) == ("port/p", 3, 10.0) and len(told.id) == 32
    clocks.pass_(60)
    clocks.passed_s = 7.0  # The machine was started anew.
    (again,) = clocks.untold(file).next()
    assert (again.id, again.age_s) == (told.id, 70.0)


def test_what_was_told_is_told_no_more_and_what_came_meanwhile_is(file):
    clocks = Clocks()
    one = clocks.untold(file)
    one.add([Drift("port/p"), Drift("port/q")])
    told = one.next()
    one.add([Drift("port/r")])
    one.told(told)
    assert one and [each.owner for each in one.next()] == ["port/r"]
    assert [each.owner for each in clocks.untold(file).next()] == ["port/r"]
    one.told(one.next())
    assert not one and not clocks.untold(file)


def test_a_clock_on_the_wall_that_was_set_back_makes_no_age_negative(file):
    clocks = Clocks()
    clocks.untold(file).add([Drift("port/p")])
    clocks.wall_s -= 3600
    assert [each.age_s for each in clocks.untold(file).next()] == [0.0]


def test_too_many_are_summed_up_the_oldest_first_and_come_in_parts(file):
    one = Clocks().untold(file)
    for number in range(MOST_KEPT + 5):
        one.add([Drift(f"port/{number}", missing=2, repaired=number != 1)])
    told = []
    while one:
        told.append(one.next())
        one.told(told[-1])
    assert [len(part) for part in told] == [MOST_AT_ONCE] * (MOST_KEPT // MOST_AT_ONCE)
    summed, *others = [each for part in told for each in part]
    assert (summed.owner, summed.missing, summed.repaired) == ("", 12, False)
    assert [each.owner for each in others] == [f"port/{number}" for number in range(6, MOST_KEPT + 5)]


def test_without_a_disk_it_is_told_all_the_same(file, monkeypatch):
    def full(_value, *, durable):
        raise OSError("no space left")

    monkeypatch.setattr(file, "save", full)
    one = Clocks().untold(file)
    with capture_logs() as lines:
        one.add([Drift("port/p")])
    assert [line["event"] for line in lines] == ["untold_not_saved"]
    assert [each.owner for each in one.next()] == ["port/p"]
