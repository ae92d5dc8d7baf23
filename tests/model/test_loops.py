"""The compiled loops and numpy's find the same, of whatever arrays."""

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suimon.model import loops
from suimon.model.compiled import digest
from tests.compiled import both as by_both
from tests.compiled import built

chance = np.random.default_rng(5)


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "_LIBRARY", built(loops, tmp_path_factory.mktemp("loops")))
        yield


both = partial(by_both, loops)
"""By loops.c, then by numpy."""


def test_what_is_no_library_of_these_is_left(tmp_path: Path) -> None:
    sources = {"old": "long suimon_loops(void) { return 7; }", "other": "long suimon_other(void) { return SOURCE; }"}
    of = digest(str(Path(loops.__file__).with_suffix(".c")))
    for name, text in (sources | {"text": ""}).items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "loops.c").write_text(text)
        made = ["-o", tmp_path / name / "libloops.so", tmp_path / name / "loops.c"]
        subprocess.run(["gcc", "-shared", f"-DSOURCE={of:#x}", *made], check=True)
    (tmp_path / "text" / "libloops.so").write_text("no library")
    assert [loops._loaded(str(tmp_path / name)) for name in ("old", "other", "text", "none")] == [None] * 4


@pytest.mark.parametrize("salt", [np.uint64(7), chance.integers(0, 1 << 63, 100).astype(np.uint64)])
def test_hashes(salt: Any) -> None:
    for values in (chance.integers(0, 255, 100).astype(np.uint8), chance.integers(0, 1 << 60, 100)[::-1]):
        compiled, plain = both(lambda values=values: loops.mixed(values, salt))
        assert (compiled == plain).all()
        assert len(np.unique(compiled)) == len(np.unique(values if isinstance(salt, np.uint64) else salt))


@pytest.mark.parametrize("most", [3, 1 << 63])
def test_the_first_of_equal_keys_is_found(most: int) -> None:
    for count in (0, 1, 7, 300):
        keys = chance.integers(0, most, count).astype(np.uint64)
        wanted = np.concatenate([chance.permutation(keys), chance.integers(0, most, 50).astype(np.uint64)])
        known = {key: at for at, key in reversed([*enumerate(keys.tolist())])}
        for found in both(lambda keys=keys, wanted=wanted: loops.Index(keys).find(wanted)):
            assert found.tolist() == [known.get(key, -1) for key in wanted.tolist()]


def test_different_numbers_as_they_come() -> None:
    for most, values in ((4, [9, 1 << 63, 9, 0, 7, 0]), (3, [9, 1 << 63, 9, 0, 7]), (4, []), (1, [5] * 9)):
        order = list(dict.fromkeys(values))
        for found in both(lambda values=values, most=most: loops.distinct(np.array(values, np.uint64), most)):
            if len(order) > most:
                assert found is None
            else:
                assert found is not None and found[0].tolist() == [values.index(each) for each in order]
                assert [order[at] for at in found[1].tolist()] == values
    values = chance.integers(0, 300, 5000)
    compiled, plain = both(lambda: loops.distinct(values, 300))
    assert all((one == other).all() for one, other in zip(compiled, plain, strict=True))
