"""Small files as `parquet.Writer` made them, read again: only what it writes, anything else is `Unreadable`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suimon.telemetry.history.packing import SLACK, differences, indexed, spread

MOST_ROWS: Final = 1 << 20
"""Of a group: who says more is not believed."""
_MAGIC: Final = b"PAR1"
_BYTE_ARRAY: Final = 6
_RLE_DICTIONARY: Final = 8
_DELTAS: Final = 5
_TAIL: Final = 8
_DEEPEST: Final = 8
NONE: Final = (1 << 32) - 1
"""The number of no text."""
_SIZES: Final = {1: 4, 2: 8, _BYTE_ARRAY: 4}
"""Bytes of a physical type; of texts those of their numbers."""


class Unreadable(Exception):
    """It isn't a file of ours, or not whole; str() says which and why."""


class Numbers:
    """Different texts, numbered as they first come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._of_pages: dict[bytes, NDArray[np.uint32]] = {}

    def of(self, page: bytes, many: int) -> NDArray[np.uint32]:
        """The numbers of a dictionary's texts; most files have the same."""
        known = self._of_pages.get(page)
        if known is None:
            if many > len(page) // 4:
                raise ValueError("a dictionary of more texts than it has room for")
            texts, at = [], 0
            for _ in range(many):
                size = int.from_bytes(page[at : at + 4], "little")
                texts.append(page[at + 4 : at + 4 + size].decode())
                at += 4 + size
            if at != len(page):
                raise ValueError("a dictionary of other texts")
            known = np.array([self._numbers.setdefault(each, len(self._numbers)) for each in texts], np.uint32)
            self._of_pages = {**dict([*self._of_pages.items()][-7:]), page: known}
        return known

    @property
    def texts(self) -> list[str]:
        """By number."""
        return [*self._numbers]


class Part:
    """The groups of rows of a file with these columns."""

    def __init__(self, path: Path, columns: Mapping[str, np.dtype[Any]], texts: Mapping[str, Numbers]) -> None:
        """`columns` are read as these types; texts as their numbers, 2^32 - 1 for null. Raises OSError, Unreadable."""
        self._path, self._columns, self._texts = path, columns, texts
        size = path.stat().st_size
        self._bytes = np.empty(size + SLACK, np.uint8)
        with path.open("rb") as file:
            read = file.readinto(self._bytes[:size].data)
        self._view = self._bytes[:read].data
        self._groups = self._checked(self._footer)

    def _checked(self, act: Any, *arguments: Any) -> Any:
        """Whatever a file says that isn't so ends as one kind of error."""
        try:
            return act(*arguments)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
            raise Unreadable(f"{self._path}: {error or type(error).__name__}") from error

    def _footer(self) -> list[dict[int, Any]]:
        end = len(self._view) - _TAIL
        if bytes(self._view[:4]) != _MAGIC or bytes(self._view[-4:]) != _MAGIC:
            raise ValueError("not whole")
        begin = end - int.from_bytes(self._view[end : end + 4], "little")
        said, _ = _struct(self._view[: max(end, 0)], begin)
        names = [each[4].decode() for each in said[2][1:]]
        if names != [*self._columns]:
            raise ValueError("other columns")
        return list(said.get(4, []))

    def groups(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Rows, and what `read` takes. Raises Unreadable."""
        for group in self._groups:
            yield self._checked(self._group, group)

    def _group(self, group: dict[int, Any]) -> tuple[int, Mapping[str, Any]]:
        rows, chunks = group[3], dict(zip(self._columns, group[1], strict=True))
        if not 0 < rows <= MOST_ROWS or any(each[3][5] != rows or each[3][4] for each in chunks.values()):
            raise ValueError("groups of other lengths")
        return rows, chunks

    def read(self, chunk: Mapping[int, Any], name: str, into: NDArray[Any]) -> None:
        """A column of a group. Raises Unreadable."""
        self._checked(self._read, chunk[3], name, into)

    def _read(self, chunk: Mapping[int, Any], name: str, into: NDArray[Any]) -> None:
        physical, known = chunk[1], np.empty(0, np.uint32)
        size = _SIZES[physical]
        if 11 in chunk:
            page, about = self._page(chunk[11], 7)
            if physical == _BYTE_ARRAY:
                known = self._texts[name].of(bytes(page[:-SLACK]), about[1])
            else:
                known = page[:-SLACK].view(f"<u{size}").astype(into.dtype)
        page, about = self._page(chunk[9], 5)
        if about[1] != len(into):
            raise ValueError("a page of other length")
        if physical == _BYTE_ARRAY:
            whole = about[2] == _RLE_DICTIONARY and _texts(page, known, into)
        elif about[2] == _RLE_DICTIONARY:
            whole = indexed(page[1:], int(page[0]), known, into)
        else:
            whole = about[2] == _DELTAS and differences(page, into)
        if not whole:
            raise ValueError(f"{name} is not whole")

    def _page(self, at: int, kind: int) -> tuple[NDArray[np.uint8], Mapping[int, Any]]:
        """What is in it, with slack, and what its head says of it."""
        head, begin = _struct(self._view, at)
        end = begin + head[3]
        if not begin < end <= len(self._view):
            raise ValueError("a page beyond the end")
        return self._bytes[begin : end + SLACK], head[kind]


def _texts(page: NDArray[np.uint8], known: NDArray[np.uint32], into: NDArray[np.uint32]) -> bool:
    """Which rows have a text, then those that do."""
    size = int.from_bytes(page[:4].tobytes(), "little")
    levels, page = page[4 : 4 + size + SLACK], page[4 + size :]
    there = np.empty(len(into), np.uint8)
    if len(page) <= SLACK or not indexed(levels, 1, np.arange(2, dtype=np.uint8), there):
        return False
    have = int(np.count_nonzero(there))
    if not indexed(page[1:], int(page[0]), known, into[:have]):
        return False
    spread(into, have, there, NONE)
    return True


def _struct(view: memoryview, at: int, deep: int = 0) -> tuple[dict[int, Any], int]:
    """Thrift's compact protocol, as `parquet._struct` makes it: what fields say, and where it ends."""
    said: dict[int, Any] = {}
    field = 0
    if at < 0:
        raise ValueError("nothing of ours")
    while head := view[at]:
        field += head >> 4
        said[field], at = _value(view, at + 1, head & 15, deep)
    return said, at + 1


def _value(view: memoryview, at: int, kind: int, deep: int) -> tuple[Any, int]:
    if deep > _DEEPEST:
        raise ValueError("nothing of ours")
    match kind:
        case 5 | 6:
            number, at = _uleb(view, at)
            return number >> 1 ^ -(number & 1), at
        case 8:
            size, at = _uleb(view, at)
            return bytes(view[at : at + size]), at + size
        case 9:
            head, at = view[at], at + 1
            many, at = (head >> 4, at) if head < 0xF0 else _uleb(view, at)
            every = []
            for _ in range(many):
                value, at = _value(view, at, head & 15, deep + 1)
                every.append(value)
            return every, at
        case 12:
            return _struct(view, at, deep + 1)
    raise ValueError("nothing of ours")


def _uleb(view: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for bits in range(0, 64, 7):
        byte, at = view[at], at + 1
        number |= (byte & 0x7F) << bits
        if byte < 0x80:
            return number, at
    raise ValueError("a number too long")
