"""What an hour is packed with, in C (packing.c): pages into columns, and columns into order; and the system's zstd.

Unless both are there (`ready`), DuckDB packs. Arrays are contiguous, of 1, 2, 4 or 8 bytes an element.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suimon.model.compiled import AT, NUMBER, Function, library, place
from suimon.telemetry.history.pages import Bytes

SLACK: Final = 8
"""Bytes behind a page that are there, whatever they say."""
_PARTS: Final = 128
"""Into which records are parted before they are put into order: a column of a part fits the second cache."""
_WORTH: Final = 1 << 14
"""Records that are worth a part."""
_SAMPLED: Final = 64
"""Records a part, by which it is chosen what parts them."""
_LEVEL: Final = 1

Key = NDArray[Any]
"""A column of unsigned numbers."""


def indexed(page: NDArray[np.uint8], width: int, known: NDArray[Any], into: NDArray[Any]) -> bool:
    """Which of the `known` each is, by a page (and its slack) of numbers of so many bits, in runs. False: it isn't
    one of so many.
    """
    if not 0 <= width <= 32:
        return False
    length = len(page) - SLACK
    found = (place(known), len(known), into.itemsize, len(into), place(into))
    return bool(_LIBRARY.suimon_indexed(place(page), length, width, *found)) if _LIBRARY else False


def differences(page: NDArray[np.uint8], into: NDArray[Any]) -> bool:
    """The numbers of a page (and its slack) of differences. False: it isn't one of so many."""
    length = len(page) - SLACK
    return bool(_LIBRARY and _LIBRARY.suimon_differences(place(page), length, into.itemsize, len(into), place(into)))


def spread(values: NDArray[np.uint32], have: int, there: NDArray[np.uint8], none: int) -> None:
    """So many values go to where something is there, in place."""
    assert _LIBRARY is not None
    _LIBRARY.suimon_spread(place(values), have, place(there), len(values), none)


def arrange(keys: Sequence[Key], others: Sequence[NDArray[Any]], spare: NDArray[np.uint64]) -> None:
    """All columns into the order of the keys, the first first, in place; `spare` is as long as they are at least.

    In two steps that both stay in the caches: into parts by what is between the records of a sample, then each part.
    """
    assert _LIBRARY is not None
    count = len(keys[0])
    part, ends = _parted(keys)
    sizes = np.diff(ends, prepend=0)
    places, order, swap = (np.empty(many, np.uint32) for many in (count, count, int(sizes.max())))
    _LIBRARY.suimon_places(place(part), count, place((ends - sizes).astype(np.uint32)), place(places))
    for key in keys:
        key[:] = _scattered(key, places, spare)
    _LIBRARY.suimon_ordered(*_keys(keys), place(ends), len(ends), place(order), place(swap))
    for values in (*keys, *others):
        parted = spare.view(values.dtype)[:count]
        if any(values is key for key in keys):
            parted[:] = values
        else:
            _scattered(values, places, spare)
        arrays = place(parted), values.itemsize, place(order), place(ends)
        _LIBRARY.suimon_gathered(*arrays, len(ends), place(values))


def _parted(keys: Sequence[Key]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Which part each record belongs to, and where parts end."""
    assert _LIBRARY is not None
    count = len(keys[0])
    step = -(-count // (min(_PARTS, 1 + count // _WORTH) * _SAMPLED))
    sample = [key[::step].astype(np.uint64) for key in keys]
    between = np.lexsort(sample[::-1])[_SAMPLED::_SAMPLED]
    parting = np.ascontiguousarray([each[between] for each in sample])
    part, parts = np.empty(count, np.uint8), len(between) + 1
    _LIBRARY.suimon_parted(*_keys(keys), place(parting), parts, count, place(part))
    return part, np.cumsum(np.bincount(part, minlength=parts))


def _scattered(values: NDArray[Any], places: NDArray[np.uint32], spare: NDArray[np.uint64]) -> NDArray[Any]:
    assert _LIBRARY is not None
    into = spare.view(values.dtype)[: len(values)]
    _LIBRARY.suimon_scattered(place(values), values.itemsize, place(places), len(values), place(into))
    return into


def _keys(keys: Sequence[Key]) -> tuple[Any, int]:
    """As C has them: where each is, and the bytes of an element."""
    return (ctypes.c_int64 * (2 * len(keys)))(*(part for key in keys for part in (place(key), key.itemsize))), len(keys)


def squeezed(pieces: Sequence[Bytes]) -> bytes:
    """As one frame of zstd (RFC 8878)."""
    assert _ZSTD is not None
    plain = b"".join(pieces)
    into = ctypes.create_string_buffer(_ZSTD.ZSTD_compressBound(len(plain)))
    size = _ZSTD.ZSTD_compress(into, len(into), plain, len(plain), _LEVEL)
    assert not _ZSTD.ZSTD_isError(size), "there is room for what it may become"
    return ctypes.string_at(into, size)


_FUNCTIONS: Final = {
    "suimon_indexed": Function((AT, NUMBER, NUMBER, AT, NUMBER, NUMBER, NUMBER, AT), NUMBER),
    "suimon_differences": Function((AT, NUMBER, NUMBER, NUMBER, AT), NUMBER),
    "suimon_spread": Function((AT, NUMBER, AT, NUMBER, ctypes.c_uint32)),
    "suimon_parted": Function((AT, NUMBER, AT, NUMBER, NUMBER, AT)),
    "suimon_places": Function((AT, NUMBER, AT, AT)),
    "suimon_scattered": Function((AT, NUMBER, AT, NUMBER, AT)),
    "suimon_gathered": Function((AT, NUMBER, AT, AT, NUMBER, AT)),
    "suimon_ordered": Function((AT, NUMBER, AT, NUMBER, AT, AT)),
}


def _loaded(folder: str) -> ctypes.CDLL | None:
    return library(folder, __file__, _FUNCTIONS)


def _zstd() -> ctypes.CDLL | None:
    """Its simple functions, which are the same in all of version 1."""
    try:
        found = ctypes.CDLL("libzstd.so.1")
    except OSError:
        return None
    size = ctypes.c_size_t
    found.ZSTD_compressBound.argtypes, found.ZSTD_compressBound.restype = [size], size
    found.ZSTD_compress.argtypes = [AT, size, ctypes.c_char_p, size, ctypes.c_int]
    found.ZSTD_compress.restype = size
    found.ZSTD_isError.argtypes, found.ZSTD_isError.restype = [size], ctypes.c_uint
    return found


_LIBRARY, _ZSTD = _loaded(__file__.rpartition("/")[0]), _zstd()


def ready() -> bool:
    """Whether there is what packing needs."""
    return _LIBRARY is not None and _ZSTD is not None
