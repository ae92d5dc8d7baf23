"""Loops over arrays of records: compiled (loops.c) where there was a compiler, by numpy where not, with equal results.

`.ci/bootstrap` compiles them. Like `records.py`, for telemetry and detection only.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suimon.model.compiled import AT, NUMBER, Function, library, place

Places = NDArray[np.int64]
Keys = NDArray[np.uint64]
_SALT: Final = int(np.random.default_rng().integers(1 << 63))
"""Who doesn't know it can't choose addresses that meet in a hash table. What is found is the same by any."""


def compiled() -> bool:
    """Whether these are those of loops.c."""
    return _LIBRARY is not None


def mixed(values: NDArray[Any], salt: Keys | np.uint64) -> Keys:
    """Hashes of values and of what they are to be told apart by (the finalizer of splitmix64)."""
    if _LIBRARY is None:
        with np.errstate(over="ignore"):
            x: Keys = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + salt
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            return x ^ (x >> np.uint64(31))
    plain, salts = np.ascontiguousarray(values, np.uint64), np.ascontiguousarray(salt, np.uint64)
    assert salts.size in (1, len(plain)), "a salt for each, or one for all"
    found = np.empty(len(plain), np.uint64)
    _LIBRARY.suimon_mix(place(plain), place(salts), int(salts.size > 1), len(plain), place(found))
    return found


class Index:
    """Where in an array of keys a key is."""

    def __init__(self, keys: Keys) -> None:
        self._keys = np.ascontiguousarray(keys)
        self._library, self._order, self._slots = _LIBRARY, np.empty(0, np.int64), np.empty(0, np.int32)
        if self._library is None:
            self._order = np.argsort(self._keys, kind="stable")
            self._keys = self._keys[self._order]
        else:
            self._slots = np.full(1 << max(4, (4 * len(keys)).bit_length()), -1, np.int32)
            self._library.suimon_index(place(self._keys), len(keys), place(self._slots), len(self._slots))

    @property
    def table(self) -> tuple[Keys, NDArray[np.int32]]:
        """The keys and slots that hashing.h reads; there are none without a compiler."""
        return self._keys, self._slots

    def find(self, wanted: Keys) -> Places:
        """The first that is equal, -1 for none."""
        if self._library is None:
            if not len(self._keys):
                return np.full(len(wanted), -1, np.int64)
            at = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
            return np.where(self._keys[at] == wanted, self._order[at], -1)
        plain, found = np.ascontiguousarray(wanted, np.uint64), np.empty(len(wanted), np.int64)
        slots = place(self._slots), len(self._slots)
        self._library.suimon_find(place(self._keys), *slots, place(plain), len(plain), place(found))
        return found


def distinct(values: NDArray[Any], most: int) -> tuple[Places, Places] | None:
    """Of different numbers, as they come, where each is first, and which of them each value is. None when there are
    more than `most`.
    """
    plain = np.ascontiguousarray(values).astype(np.uint64, copy=False)
    if _LIBRARY is None:
        if len(np.unique(plain[: 2 * most])) > most:
            return None
        _, first, which = np.unique(plain, return_index=True, return_inverse=True)
        order = np.argsort(first)
        return (first[order], np.argsort(order)[which]) if len(first) <= most else None
    first, which = np.empty(most, np.int64), np.empty(len(plain), np.int64)
    slots = np.full(1 << (2 * most).bit_length(), -1, np.int32)
    told = (_SALT, place(slots), len(slots), place(first), place(which))
    count = _LIBRARY.suimon_distinct(place(plain), len(plain), most, *told)
    return None if count < 0 else (first[:count], which)


def groups(values: NDArray[Any]) -> tuple[Places, Places]:
    """As `distinct`, however many they are."""
    found = distinct(values, len(values))
    assert found is not None, "there are no more different values than values"
    return found


_FUNCTIONS: Final = {
    "suimon_mix": Function((AT, AT, NUMBER, NUMBER, AT)),
    "suimon_index": Function((AT, NUMBER, AT, NUMBER)),
    "suimon_find": Function((AT, AT, NUMBER, AT, NUMBER, AT)),
    "suimon_distinct": Function((AT, NUMBER, NUMBER, ctypes.c_uint64, AT, NUMBER, AT, AT), NUMBER),
}


def _loaded(folder: str) -> ctypes.CDLL | None:
    return library(folder, __file__, _FUNCTIONS)


_LIBRARY = _loaded(__file__.rpartition("/")[0])
