"""Only what was made of the C beside is used, and what it is given are arrays that lie in one piece."""

import ctypes
import shutil
from pathlib import Path

import numpy as np
import pytest

import suimon
from suimon.model import loops
from suimon.model.compiled import MISSING, library, place
from tests.compiled import built

SOURCES = sorted(Path(suimon.__file__).parent.rglob("*.c"))


def test_an_array_is_where_its_first_byte_is() -> None:
    for array in (np.arange(7, 20), np.frombuffer(bytes([7, 8]), np.uint8)):
        assert ctypes.c_uint8.from_address(place(array)).value == 7
    assert place(np.empty(0)) > 0


def test_what_lies_in_pieces_is_nowhere() -> None:
    for array in (np.arange(9)[::2], np.arange(9).reshape(3, 3)[:, 0], np.broadcast_to(np.int64(1), 9)):
        with pytest.raises(AssertionError, match="one number after the other"):
            place(array)


@pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])
def test_no_library_is_older_than_its_source(source: Path) -> None:
    """Then numpy would do its work, more slowly, and nobody would notice: run .ci/bootstrap."""
    made = source.with_name(f"lib{source.stem}.so")
    assert not made.exists() or library(str(made.parent), str(source), {}) is not None


def test_a_library_is_left_when_its_source_was_changed_since(tmp_path: Path) -> None:
    source = tmp_path / "loops.c"
    shutil.copy(Path(loops.__file__).with_suffix(".c"), source)
    built(loops, tmp_path)
    assert library(str(tmp_path), str(source), {}) is not None and "loops" not in MISSING
    source.write_bytes(source.read_bytes() + b"\n")
    assert library(str(tmp_path), str(source), {}) is None and "loops" in MISSING
    source.unlink()
    assert library(str(tmp_path), str(source), {}) is None, "nor is one whose source isn't there"
