"""The token bucket for snapshots."""

from suimon.distribution.admission import Admission


def test_a_burst_comes_in_and_the_rest_get_slots_one_after_another() -> None:
    admission = Admission(rate_per_s=10, burst=3)
    assert [round(admission.ask(100.0), 3) for _ in range(6)] == [0, 0, 0, 0.1, 0.2, 0.3]


def test_those_who_come_back_in_their_slots_come_in() -> None:
    admission = Admission(rate_per_s=10, burst=1)
    waits = [admission.ask(100.0) for _ in range(4)]
    assert [admission.ask(100.0 + 1.01 * wait) for wait in waits[1:]] == [0, 0, 0]


def test_what_is_not_used_is_saved_up_to_the_burst() -> None:
    admission = Admission(rate_per_s=10, burst=2)
    for now_s in (100.0, 200.0):
        assert [admission.ask(now_s) == 0 for _ in range(3)] == [True, True, False]
