"""What Parquet's pages are made of: different numbers and which of them each is, bits, differences, texts by tables.

Compiled (pages.c) where there was a compiler, by numpy where not, with equal results. Arrays of unsigned numbers of 8
to 64 bits, or signed ones of 64; none is empty. https://parquet.apache.org/docs/file-format/data-pages/encodings.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.model.compiled import AT, NUMBER, Function, library, place

Which = NDArray[np.uint32]
Bytes = bytes | memoryview
"""What is written at once is not copied before."""
FEW: Final = 4096
"""So many different numbers are worth a dictionary: they are read several times faster than differences."""
_BLOCK: Final = 128
_MOST_OF_BLOCK: Final = 10 + 4 + 8 * _BLOCK
_ROOM: Final = 512
"""For the heads of a chunk's pages, and what is said of it."""
_MOST: Final = (1 << 63) - 1
_WORD: Final = np.uint64(0xFFFFFFFF)
_LONG: Final = (1 << 64) - 1
_ODD: Final = int(np.random.default_rng().integers(1 << 63)) << 1 | 1
"""Who doesn't know it can't choose addresses that meet in a hash table. What is found is the same by any."""
_POWERS: Final = np.uint64(1) << np.arange(64, dtype=np.uint64)


class Look(NamedTuple):
    """Of a column: extremes as their 64 bits are; the different numbers as they come, and which of them each is. No
    `known` when they are more than FEW, no `which` when there is but one.
    """

    least: int
    greatest: int
    known: NDArray[np.uint64] | None
    which: Which


def look(column: NDArray[Any]) -> Look:
    if _LIBRARY is None:
        return _look(column)
    plain = np.ascontiguousarray(column)
    known, which, told = np.empty(FEW, np.uint64), np.empty(len(plain), np.uint32), np.empty(3, np.uint64)
    flip = 1 << 63 if plain.dtype.kind == "i" else 0
    found = place(known), place(which), place(told)
    _LIBRARY.suimon_look(place(plain), plain.itemsize, flip, len(plain), FEW, _ODD, *found)
    least, greatest, different = told.tolist()
    return Look(least, greatest, known[:different] if different else None, which if different > 1 else which[:0])


def _look(column: NDArray[Any]) -> Look:
    extremes = int(column.min()) & _LONG, int(column.max()) & _LONG
    plain = column.astype(np.uint64)
    if extremes[0] == extremes[1]:
        return Look(*extremes, plain[:1], np.empty(0, np.uint32))
    if len(np.unique(plain[: 2 * FEW])) > FEW:
        return Look(*extremes, None, np.empty(0, np.uint32))
    known, first, which = np.unique(plain, return_index=True, return_inverse=True)
    if len(known) > FEW:
        return Look(*extremes, None, np.empty(0, np.uint32))
    order = np.argsort(first)
    return Look(*extremes, known[order], np.argsort(order)[which].astype(np.uint32))


def told(keys: NDArray[Any], table: NDArray[np.int32]) -> tuple[Which, NDArray[np.bool]]:
    """What the table says of those keys (of 32 bits) of which it says something other than -1; and which they are."""
    keys, table = np.ascontiguousarray(keys).view(np.uint32), np.ascontiguousarray(table)
    if _LIBRARY is None:
        said = np.append(table, -1)[np.minimum(keys, len(table))]
        return said[said >= 0].astype(np.uint32), said >= 0
    there, which = np.empty(len(keys), np.bool), np.empty(len(keys), np.uint32)
    left = _LIBRARY.suimon_told(place(keys), len(keys), place(table), len(table), place(there), place(which))
    return which[:left], there


def mark(keys: NDArray[np.int32], marks: NDArray[np.bool]) -> None:
    """Says of each that there is a key of it; other keys are passed by."""
    keys = np.ascontiguousarray(keys)
    if _LIBRARY is not None:
        _LIBRARY.suimon_mark(place(keys), len(keys), place(marks), len(marks))
    else:
        marks[keys[keys.view(np.uint32) < len(marks)]] = True


def packed(values: Which, width: int) -> Bytes:
    """The lower `width` bits (1 to 32) of each, the first in the lowest bits of the first byte, to eights of values."""
    assert 0 < width <= 32 and int(values.max(initial=0)) >> width == 0, "numbers of so many bits"
    plain, words = np.ascontiguousarray(values, np.uint32), -(-len(values) // 32)
    found = np.empty(4 * words * width, np.uint8)
    if _LIBRARY is not None:
        _LIBRARY.suimon_packed(place(plain), len(plain), width, place(found))
    else:
        padded = np.zeros(32 * words, np.uint64)
        padded[: len(plain)] = plain
        found[:] = _words(padded.reshape(-1, 32), width).reshape(-1).view(np.uint8)
    return found[: -(-len(values) // 8) * width].data


def deltas(column: NDArray[Any]) -> Bytes:
    """DELTA_BINARY_PACKED: in blocks of 128, by 32 of one width; in the file of 64 bits if here, otherwise of 32."""
    plain = np.ascontiguousarray(column)
    blocks = -(-(len(plain) - 1) // _BLOCK)
    if _LIBRARY is not None:
        found = np.empty(32 + blocks * _MOST_OF_BLOCK, np.uint8)
        return found[: _LIBRARY.suimon_deltas(place(plain), plain.itemsize, len(plain), place(found))].data
    bits = 64 if plain.itemsize == 8 else 32
    plain, signed = plain.astype(np.uint64), np.dtype(f"i{bits // 8}")
    head = uleb(_BLOCK) + uleb(4) + uleb(len(plain)) + _signed(int(plain[0].astype(signed)))
    steps = np.diff(plain).astype(signed).astype(np.int64)
    every = np.append(steps, np.full(blocks * _BLOCK - len(steps), steps[(blocks - 1) * _BLOCK :].min(initial=_MOST)))
    rows = every.reshape(blocks, _BLOCK)
    least = rows.min(axis=1)
    above = (rows - least[:, None]).view(np.uint64) & np.uint64((1 << bits) - 1)
    parts = above.reshape(-1, 32)
    widths = np.searchsorted(_POWERS, parts.max(axis=1), side="right").astype(np.uint8)
    words = [b""] * len(parts)
    for width in set(widths.tolist()):
        wide = np.flatnonzero(widths == width)
        for at, row in zip(wide.tolist(), _words(parts[wide], width), strict=True):
            words[at] = row.tobytes()
    return head + b"".join(
        _signed(int(least[n])) + widths[4 * n : 4 * n + 4].tobytes() + b"".join(words[4 * n : 4 * n + 4])
        for n in range(blocks)
    )


def _words(parts: NDArray[np.uint64], width: int) -> NDArray[np.uint32]:
    """Each row's 32 numbers in so many words, as `packed` says."""
    found = np.zeros((len(parts), width + 3), np.uint64)
    for n in range(32):
        for half, at in ((parts[:, n] & _WORD, n * width), (parts[:, n] >> np.uint64(32), n * width + 32)):
            shifted = half << np.uint64(at % 32)
            found[:, at // 32] |= shifted & _WORD
            found[:, at // 32 + 1] |= shifted >> np.uint64(32)
    return found[:, :width].astype("<u4")


class Of(NamedTuple):
    """A column of a part of the file: its name, its type of Parquet's, and where in the file it begins."""

    name: bytes
    physical: int
    at: int


class Texts(NamedTuple):
    """So many are `known`, `page` is their dictionary, and the table says which of them a key means."""

    known: int
    page: bytes
    table: NDArray[np.int32]


class Chunk(NamedTuple):
    """So many bytes of pages, and what the file's end says of them (`parquet`)."""

    length: int
    about: bytes


def compiled() -> bool:
    """Whether there is what pages.c was made to: then `chunk_of_…` may be asked."""
    return _LIBRARY is not None


def room(of: Of, rows: int, page: bytes = b"") -> int:
    """Bytes that so many rows take at most."""
    return _ROOM + len(of.name) + len(page) + 8 * FEW + -(-rows // _BLOCK) * _MOST_OF_BLOCK


def chunk_of_numbers(of: Of, column: NDArray[Any], into: NDArray[np.uint8]) -> Chunk:
    """Its pages, at the begin of what has `room` for it."""
    assert _LIBRARY is not None, "there is no pages.c"
    assert len(into) >= room(of, len(column)), "there is room"
    plain, rows = np.ascontiguousarray(column), len(column)
    known, which, told = np.empty(FEW, np.uint64), np.empty(rows, np.uint32), np.empty(2, np.int64)
    flip = 1 << 63 if plain.dtype.kind == "i" else 0
    values, found = (place(plain), plain.itemsize, flip, rows), (place(known), place(which), place(into), place(told))
    _LIBRARY.suimon_numbers(of.physical, of.name, len(of.name), of.at, *values, FEW, _ODD, *found)
    return _made(into, told)


def chunk_of_texts(of: Of, texts: Texts, keys: NDArray[Any], into: NDArray[np.uint8]) -> Chunk:
    """What `told` says of keys and of that table."""
    assert _LIBRARY is not None, "there is no pages.c"
    assert len(into) >= room(of, len(keys), texts.page), "there is room"
    keys, table, rows = np.ascontiguousarray(keys).view(np.uint32), np.ascontiguousarray(texts.table), len(keys)
    said, told = (place(table), len(table), texts.known, texts.page, len(texts.page)), np.empty(2, np.int64)
    values = place(keys), rows, *said, place(into), place(told)
    _LIBRARY.suimon_texts(of.physical, of.name, len(of.name), of.at, *values)
    return _made(into, told)


def _made(into: NDArray[np.uint8], told: NDArray[np.int64]) -> Chunk:
    length, said = told.tolist()
    return Chunk(length, into[length : length + said].tobytes())


def times(
    begun: NDArray[np.float64], ended: NDArray[np.float64], latest: int, longest: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Seconds as milliseconds, at most `latest`; and how long it was, at most `longest`."""
    if _LIBRARY is None:
        begun_ms = np.clip(begun * 1000, 0, latest).astype(np.int64)
        return begun_ms, np.clip((ended - begun) * 1000, 0, longest).astype(np.uint32)
    begun, ended = np.ascontiguousarray(begun), np.ascontiguousarray(ended)
    begun_ms, duration_ms = np.empty(len(begun), np.int64), np.empty(len(begun), np.uint32)
    into = place(begun_ms), place(duration_ms)
    _LIBRARY.suimon_times(place(begun), place(ended), len(begun), latest, longest, *into)
    return begun_ms, duration_ms


def uleb(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def _signed(number: int) -> bytes:
    return uleb(number << 1 if number >= 0 else (-number << 1) - 1)


_CHUNK: Final = (NUMBER, AT, NUMBER, NUMBER)
"""Parquet's type of it, its name, and where it begins."""
_FUNCTIONS: Final = {
    "suimon_look": Function((AT, NUMBER, ctypes.c_uint64, NUMBER, NUMBER, ctypes.c_uint64, AT, AT, AT)),
    "suimon_told": Function((AT, NUMBER, AT, NUMBER, AT, AT), NUMBER),
    "suimon_mark": Function((AT, NUMBER, AT, NUMBER)),
    "suimon_packed": Function((AT, NUMBER, NUMBER, AT)),
    "suimon_deltas": Function((AT, NUMBER, NUMBER, AT), NUMBER),
    "suimon_numbers": Function((*_CHUNK, AT, NUMBER, ctypes.c_uint64, NUMBER, NUMBER, ctypes.c_uint64, AT, AT, AT, AT)),
    "suimon_texts": Function((*_CHUNK, AT, NUMBER, AT, NUMBER, NUMBER, AT, NUMBER, AT, AT)),
    "suimon_times": Function((AT, AT, NUMBER, ctypes.c_double, ctypes.c_double, AT, AT)),
}


def _loaded(folder: str) -> ctypes.CDLL | None:
    return library(folder, __file__, _FUNCTIONS)


_LIBRARY = _loaded(__file__.rpartition("/")[0])
