"""What the numbers tell: lost, late, or begun anew."""

import pytest

from suimon.telemetry.flow.sequence import Sequence


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ([5, 6, 7], (0, 0, 0)),
        ([5, 7, 8], (1, 0, 0)),
        ([5, 7, 6, 8], (0, 1, 0)),
        ([5, 5, 6], (0, 1, 0)),
        ([2**32 - 1, 0, 1], (0, 0, 0)),
        ([2**32 - 1, 1], (1, 0, 0)),
        ([1000, 0, 1, 2], (0, 0, 1)),
        ([5000, 5001 + 2**24], (0, 0, 1)),
        ([50, *range(30)], (0, 16, 1)),
    ],
)
def test_numbers(numbers: list[int], told: tuple[int, int, int]) -> None:
    sequence = Sequence(reach=100)
    for number in numbers:
        sequence.take(number, 1)
    assert (sequence.lost, sequence.late, sequence.resets) == told


def test_after_an_unknown_step_the_next_number_is_believed() -> None:
    sequence = Sequence(reach=100)
    for number, step in ((5, 10), (15, None), (40, 1), (42, 1)):
        sequence.take(number, step)
    assert sequence.lost == 1
