from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from suimon.pipeline.ranges import masks

PORTS = st.integers(0, 65535)


@given(PORTS, PORTS)
def test_blocks_cover_the_range_once_and_nothing_else(one: int, other: int) -> None:
    first, last = sorted((one, other))
    covered = [(value, value | (~mask & 0xFFFF)) for value, mask in masks(first, last)]
    assert covered[0][0] == first
    assert covered[-1][1] == last
    assert all(end + 1 == start for (_, end), (start, _) in pairwise(covered))
    assert len(covered) <= 30


def test_a_whole_space_is_one_block() -> None:
    assert list(masks(0, 65535)) == [(0, 0)]
    assert list(masks(25, 25)) == [(25, 0xFFFF)]
