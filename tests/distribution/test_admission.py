"""The token bucket for snapshots."""

from suimon.distribution.admission import Admission


def test_a_burst_comes_in_and_the_rest_get_slots_one_after_another() -> None:
    admission = Admission(rate_per_s=10, burst=3, pause_s=5)
    assert [round(admission.ask(f"h{n}", 100.0), 3) for n in range(6)] == [0, 0, 0, 0.1, 0.2, 0.3]


def test_those_who_come_back_in_their_slots_come_in() -> None:
    admission = Admission(rate_per_s=10, burst=1, pause_s=5)
    waits = [admission.ask(f"h{n}", 100.0) for n in range(4)]
    assert [admission.ask(f"h{n}", 100.0 + 1.01 * waits[n]) for n in (1, 2, 3)] == [0, 0, 0]


def test_what_is_not_used_is_saved_up_to_the_burst() -> None:
    admission = Admission(rate_per_s=10, burst=2, pause_s=5)
    for now_s in (100.0, 200.0):
        assert [admission.ask(f"h{n}", now_s) == 0 for n in range(3)] == [True, True, False]


def test_who_asks_without_end_delays_nobody() -> None:
    admission = Admission(rate_per_s=10, burst=1, pause_s=5)
    assert admission.ask("greedy", 100.0) == 0
    assert {admission.ask("greedy", 100.0 + n / 1000) > 4 for n in range(900)} == {True}
    assert admission.ask("h1", 101.0) == 0
    waits = {round(admission.ask("h2", 101.0), 3) for _ in range(1000)}
    assert waits == {0.1}
    assert round(admission.ask("h3", 101.0), 3) == 0.2
