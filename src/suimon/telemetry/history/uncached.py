"""Files past the page cache (open(2), O_DIRECT), for what goes to disk at once and is read again as a whole: a copy in
memory takes CPU, and the place of others' pages. Where that can't be, they are written and read like any other.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import F_GETFL, F_SETFL, fcntl
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from suimon.telemetry.history.pages import Bytes

_BLOCK: Final = 4096
"""Memory, places in a file and lengths have to be multiples of a device's block, which isn't larger."""
_ROOM_BYTES: Final = 4 << 20


class Room:
    """Memory that begins where a block may, for one file at a time."""

    def __init__(self) -> None:
        self._memory = memoryview(mmap.mmap(-1, _ROOM_BYTES))

    @contextmanager
    def file(self, path: Path) -> Iterator[File]:
        """A new file, or an old one anew; all of it is written once this ends. Raises OSError."""
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            made = File(opened, self._memory)
            yield made
            made.finish()
        finally:
            os.close(opened)


class File:
    """What is written is gathered, and handed over in whole blocks."""

    def __init__(self, opened: int, room: memoryview) -> None:
        self._opened, self._room, self._filled = opened, room, 0
        _past_cache(opened, True)

    def write(self, piece: Bytes) -> None:
        """Raises OSError."""
        while self._filled + len(piece) >= len(self._room):
            fits = len(self._room) - self._filled
            self._room[self._filled :] = piece[:fits]
            self._put(self._room)
            self._filled, piece = 0, piece[fits:]
        self._room[self._filled : self._filled + len(piece)] = piece
        self._filled += len(piece)

    def finish(self) -> None:
        """What is left, of which the end may be no whole block. Raises OSError."""
        whole = self._filled // _BLOCK * _BLOCK
        self._put(self._room[:whole])
        _past_cache(self._opened, False)
        self._put(self._room[whole : self._filled])

    def _put(self, view: memoryview) -> None:
        while len(view):
            view = view[_tried(os.write, self._opened, view) :]


def read(path: Path, slack: int) -> tuple[NDArray[np.uint8], int]:
    """The bytes of a file and so many more of whatever; how many the file's are. Raises OSError."""
    opened = os.open(path, os.O_RDONLY)
    try:
        size, done = os.fstat(opened).st_size, 0
        memory = np.empty(size + slack + 2 * _BLOCK, np.uint8)
        found = memory[-memory.ctypes.data % _BLOCK :]
        blocks = found[: -(-size // _BLOCK) * _BLOCK].data
        _past_cache(opened, True)
        while done < size and (count := _tried(_read, opened, blocks[done:])):
            done += count
        return found[: size + slack], min(done, size)
    finally:
        os.close(opened)


def _read(opened: int, into: memoryview) -> int:
    return os.readv(opened, [into])


def _tried(act: Callable[[int, memoryview], int], opened: int, view: memoryview) -> int:
    """How many bytes were moved; a device may have larger blocks after all."""
    try:
        return act(opened, view)
    except OSError:
        _past_cache(opened, False)
        return act(opened, view)


def _past_cache(opened: int, wanted: bool) -> None:
    flags = fcntl(opened, F_GETFL) & ~os.O_DIRECT
    with suppress(OSError):  # Some file systems know of no such thing.
        fcntl(opened, F_SETFL, flags | (os.O_DIRECT if wanted else 0))
