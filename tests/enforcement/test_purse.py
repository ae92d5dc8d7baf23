"""Projects' policies take a bounded share of everybody's time, whatever is written into them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from suimon.enforcement.purse import Purse
from suimon.model.policies import CLOUD
from suimon.resources import policies
from tests.enforcement.policed import LIMITS, Policed
from tests.resources.world import ALICE, BOB, refused

HEAVY_S = 0.5


class Clocks:
    """A purse of its own time. `work_s` is what each evaluation takes, whatever it does."""

    def __init__(self) -> None:
        self.now_s, self.cpu_s, self.work_s, self.looks = 0.0, 0.0, 0.0, 0
        self.purse = Purse(lambda: self.now_s, self._cpu)

    def _cpu(self) -> float:
        """Each is looked at when it begins and when it ends."""
        self.looks += 1
        if self.looks % 2 == 0:
            self.cpu_s += self.work_s
            self.now_s += self.work_s
        return self.cpu_s


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def policed(clocks: Clocks) -> Iterator[Policed]:
    made = Policed(LIMITS, clocks.purse)
    yield made
    made.close()


def spend(clocks: Clocks, project: str) -> None:
    with clocks.purse.spending(project):
        pass


def test_each_project_has_its_share_and_no_more(clocks: Clocks) -> None:
    clocks.work_s = HEAVY_S
    taken = 0.0
    while clocks.now_s < 1000:
        if clocks.purse.is_empty("red"):
            clocks.now_s += 1.0
        else:
            spend(clocks, "red")
            taken += HEAVY_S
    assert 5 + 0.05 * 990 <= taken <= 5 + 0.05 * 1000 + HEAVY_S
    assert not clocks.purse.is_empty("blue") and clocks.purse.is_full("blue")
    clocks.now_s += clocks.purse.full_in_s("red")
    assert clocks.purse.is_full("red") and clocks.purse.full_in_s("red") == 0
    for _ in range(100):
        spend(clocks, CLOUD)
    assert not clocks.purse.is_empty(CLOUD)


def test_who_is_interrupted_pays_all_the_same_and_many_are_few(clocks: Clocks) -> None:
    clocks.work_s = 6.0
    with pytest.raises(RuntimeError), clocks.purse.spending("red"):
        raise RuntimeError
    assert clocks.purse.is_empty("red")
    clocks.work_s = 0.0
    for number in range(2000):
        spend(clocks, f"p{number}")
    assert clocks.purse.is_empty("red") and len(clocks.purse._left) <= 1001


def test_a_project_that_posts_heavy_clauses_has_to_wait_and_nobody_else(policed: Policed, clocks: Clocks) -> None:
    policed.policy("mine", by=ALICE)
    policed.policy("theirs", by=BOB)
    clocks.work_s = HEAVY_S
    posted = 0
    with refused("TooManyRequests", "again in "):
        for number in range(100):
            policed.insert("mine", f"p({number})", ALICE)
            posted += 1
    assert 3 <= posted <= 10
    looks = clocks.looks
    for number in range(100, 150):
        with refused("TooManyRequests"):
            policed.insert("mine", f"p({number})", ALICE)
    assert clocks.looks == looks, "nothing was worked out for those"
    clocks.work_s = 0.0
    policed.insert("theirs", "p(1)", BOB)
    policed.policy("ours", "p(1)")
    assert policed.rows("ours", "p") == [(1,)] and policed.rows("theirs", "p", "blue") == [(1,)]
    clauses = policed.read(lambda tx: policies.list_clauses(tx, ALICE, "mine"))
    policed.write(lambda tx: policies.delete_clause(tx, ALICE, "mine", clauses[0].id), ALICE)
    clocks.now_s += clocks.purse.full_in_s("red")
    policed.insert("mine", "p(200)", ALICE)
    assert len(policed.rows("mine", "p", "red")) == posted


def test_questions_are_paid_as_well(policed: Policed, clocks: Clocks) -> None:
    policed.policy("mine", "p(1)", by=ALICE)
    clocks.work_s = HEAVY_S
    with refused("TooManyRequests"):
        for _ in range(100):
            policed.rows("mine", "p", "red")
    policed.rows("none")
    clocks.now_s += clocks.purse.full_in_s("red")
    assert policed.rows("mine", "p", "red") == [(1,)]


def test_policies_that_take_too_long_to_follow_stand_still_and_come_back(policed: Policed, clocks: Clocks) -> None:
    policed.policy("mine", "error(x) :- neutronv2:networks(id=x)", by=ALICE, mode="enforced")
    assert policed.rows("mine", project="red") == []
    clocks.work_s = 6.0
    made = policed.network()
    policed.read(policed.engines.catch_up)
    clocks.work_s = 0.0
    with refused("ServiceUnavailable", "more than their share"):
        policed.rows("mine", project="red")
    other = policed.network()
    clocks.now_s += clocks.purse.full_in_s("red")
    assert sorted(policed.rows("mine", project="red")) == sorted([(made,), (other,)])


def test_policies_that_take_too_long_to_load_stand_still_and_come_back(policed: Policed, clocks: Clocks) -> None:
    policed.policy("mine", "p(1)", "p(2)", by=ALICE)
    clocks.work_s = 6.0
    policed.engines = policed.fresh()
    policed.read(policed.engines.catch_up)
    clocks.work_s = 0.0
    with refused("ServiceUnavailable", "more than their share"):
        policed.rows("mine", "p", "red")
    clocks.now_s += clocks.purse.full_in_s("red")
    assert policed.rows("mine", "p", "red") == [(1,), (2,)]


def test_a_project_without_time_left_forbids_nothing(policed: Policed, clocks: Clocks) -> None:
    policed.policy("mine", "error(x) :- neutronv2:networks(id=x)", by=ALICE, mode="enforced", proactive=True)
    policed.rows("mine", project="red")
    with refused("PolicyForbids"):
        policed.network()
    clocks.work_s = 6.0
    spend(clocks, "red")
    clocks.work_s = 0.0
    policed.network()
