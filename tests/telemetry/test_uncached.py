"""Files past the page cache are what was written, whatever their length and the file system."""

import os
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from suimon.telemetry.history import uncached
from suimon.telemetry.history.uncached import Room, read

BLOCK, ROOM = 4096, 4 << 20
SIZES = (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, ROOM - 1, ROOM, ROOM + 1, 2 * ROOM + 3 * BLOCK + 5)
SLACK = 16


@pytest.fixture(params=["past it", "of larger blocks", "never past it"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Also where the kernel refuses what isn't a block of the device's, or to go past the cache at all."""
    if request.param == "of larger blocks":
        monkeypatch.setattr(uncached, "_BLOCK", 8)
    elif request.param == "never past it":
        monkeypatch.setattr(os, "O_DIRECT", 0)
    return str(request.param)


def of_length(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


@pytest.mark.usefixtures("kind")
def test_what_was_written_is_read(tmp_path: Path) -> None:
    room = Room()
    for size in SIZES:
        whole, path = of_length(size), tmp_path / str(size)
        path.write_bytes(b"what was there before")
        with room.file(path) as file:
            for begin, end in pairwise([0, size // 3, size // 2, size]):
                file.write(memoryview(whole)[begin:end])
        assert path.read_bytes() == whole
        found, length = read(path, SLACK)
        assert (found[:length].tobytes(), len(found)) == (whole, size + SLACK)


def test_no_copy_is_left_in_memory(tmp_path: Path) -> None:
    def cached(path: Path) -> bool:
        """Whether its last block is there without asking the disk. To ask may bring it there."""
        opened = os.open(path, os.O_RDONLY)
        try:
            return os.preadv(opened, [bytearray(BLOCK)], path.stat().st_size - BLOCK, os.RWF_NOWAIT) > 0
        except BlockingIOError:
            return False
        finally:
            os.close(opened)

    usual, written, found = (tmp_path / name for name in ("usual", "written", "read"))
    usual.write_bytes(of_length(BLOCK))
    assert cached(usual), "as files are that were just written"
    with usual.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached(usual):
        pytest.skip("this file system is in memory")
    for path in (written, found):
        with Room().file(path) as made:
            made.write(of_length(ROOM + BLOCK))
    assert not cached(written)
    read(found, SLACK)
    assert not cached(found)


def test_what_ends_sooner_than_it_was_long_is_read_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(of_length(100))
    monkeypatch.setattr(os, "fstat", lambda _: SimpleNamespace(st_size=9000))
    found, length = read(path, SLACK)
    assert found[:length].tobytes() == of_length(100)


def test_what_can_not_be_written_is_an_error() -> None:
    with pytest.raises(OSError, match="No space"), Room().file(Path("/dev/full")) as file:
        file.write(of_length(10))
