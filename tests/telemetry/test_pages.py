"""Pages are the same with and without a compiler. That they are what was meant is DuckDB's to say: test_parquet.py."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from suimon.telemetry.history import pages
from tests.compiled import both as by_both
from tests.compiled import built

chance = np.random.default_rng(6)


@pytest.fixture(scope="module", autouse=True)
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "_LIBRARY", built(pages, tmp_path_factory.mktemp("pages")))
        yield


both = partial(by_both, pages)
"""By pages.c, then by numpy."""


@pytest.mark.parametrize("width", [*range(1, 33)])
def test_bits_in_a_row(width: int) -> None:
    for count in (0, 1, 8, 33, 100):
        values = np.frombuffer(chance.bytes(4 * count), np.uint32) >> np.uint32(32 - width)
        whole = sum(value << n * width for n, value in enumerate(values.tolist()))
        for found in both(lambda values=values: pages.packed(values, width)):
            assert found == whole.to_bytes(-(-count // 8) * width, "little")
    with pytest.raises(AssertionError, match="so many bits"):
        pages.packed(np.array([1 << (width - 1)], np.uint32), width - 1)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i8"])
def test_differences_of_numbers(kind: str) -> None:
    bits = np.dtype(kind).itemsize * 8
    for count in (1, 2, 32, 33, 128, 129, 130, 257, 1000):
        for shift in {0, *(each for each in (4, 10, 20, 31, 40, 63) if each < bits)}:
            values = np.frombuffer(chance.bytes(bits // 8 * count), kind) >> np.dtype(kind).type(shift)
            compiled, plain = both(lambda values=values: pages.deltas(values))
            assert compiled == plain


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i8"])
def test_what_is_in_a_column(kind: str) -> None:
    ends = np.iinfo(kind)
    for values in (
        np.array([ends.max], kind),
        np.full(100, ends.min, kind),
        np.array([ends.min, ends.max, ends.max, 0, 7, 0, ends.min], kind),
        chance.integers(ends.min, ends.max, 9000, kind, endpoint=True),
        chance.integers(max(ends.min, -50), 77, 9000, kind),
        np.tile(chance.integers(ends.min, ends.max, 4000, kind, endpoint=True), 3),
    ):
        order = [*dict.fromkeys(values.tolist())]
        for found in both(lambda values=values: pages.look(values)):
            assert (found.least, found.greatest) == (int(values.min()) % (1 << 64), int(values.max()) % (1 << 64))
            if len(order) > pages.FEW:
                assert found.known is None
            else:
                assert found.known.astype(kind).tolist() == order
                assert len(order) == 1 or [order[at] for at in found.which.tolist()] == values.tolist()


def test_what_a_table_says_of_keys() -> None:
    table = np.array([5, 7, -1, 7, 0], np.int32)[::2]
    for keys, said in ((np.array([2, 0, 1, 3, -1, 0], np.int32), [0, 5, None, None, None, 5]), (np.empty(0, "u4"), [])):
        for which, there in both(lambda keys=keys: pages.told(keys, table)):
            assert which.tolist() == [each for each in said if each is not None]
            assert there.tolist() == [each is not None for each in said]


def test_which_keys_there_are() -> None:
    for keys in ([], [-1], [2, 0, 2, 3, -1, 1 << 30], [0, 1, 2]):
        for found in both(lambda keys=keys: marked(keys, 3)):
            assert found == [each in keys for each in range(3)]
        for found in both(lambda keys=keys: marked(keys, 0)):
            assert found == []


def marked(keys: list[int], length: int) -> list[bool]:
    marks = np.zeros(length, bool)
    pages.mark(np.array(keys, np.int32), marks)
    return marks.tolist()


def test_times_are_within_bounds() -> None:
    begun = np.array([1.7e9, -1.0, 1e300, 0.0015])
    ended = begun + np.array([0.25, 1e-4, 0.0, 1e12])
    for begun_ms, duration_ms in both(lambda: pages.times(begun, ended, 1 << 52, (1 << 32) - 1)):
        assert begun_ms.tolist() == [1_700_000_000_000, 0, 1 << 52, 1]
        assert duration_ms.tolist() == [250, 0, 0, (1 << 32) - 1]
