"""Where records are looked at, and where folds find what they find: memory that C writes, and that is kept."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suimon.detection.choices import Choice, Columns, Hashes, Integers, Rows
from suimon.model.compiled import AT, place

_SEEN: Final = np.dtype(
    [
        *((name, "f8") for name in ("begun", "ended", "packets", "bytes")),
        *(("key", "u8"), ("peer", "u8"), ("sampling", "u4"), ("kinds", "u4"), ("service", "u2")),
        *(("protocol", "u1"), ("flags", "u1"), ("ip_version", "u1"), ("out", "?"), ("none", "V2")),
    ]
)
"""Most of what C has of a record, in a line of the cache; besides, there are columns."""
_BESIDES: Final = {
    **{"own_l4": "u2", "peer_l4": "u2", "peer_high": "u8", "peer_low": "u8"},
    **{"who": "u2", "choices": "u2", "places": "u4"},
}
_MOST_CHOICES: Final = 15
_LEAST_ROOM: Final = 4096
_APART_BYTES: Final = 5 * 64


class Room:
    """Where records are looked at, step after step: memory that is asked for anew each time costs more than to use it.

    It grows with what is seen at once, and who looks there ends what was seen there before.
    """

    def __init__(self, salt: int = 0) -> None:
        """Who doesn't know the salt can't choose addresses of one hash."""
        self.at, self.size, self.salt, self.turn = 0, 0, salt, 0
        self._choices: list[tuple[int, int, bytes | None, bytes | None, bool]] = []
        self._listed = 0
        self._kinds: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._by_kind, self._by_own, self._by_peer = (np.zeros(count, np.uint16) for count in (0, 1 << 16, 1 << 16))
        self._pages: list[NDArray[Any]] = []
        self._chosen: tuple[int, ...] = ()
        self.counts, self._filled = np.zeros(_MOST_CHOICES, np.int64), np.zeros(1, np.int64)
        self.make(_LEAST_ROOM)

    def choice(self, choice: Choice, listed: bool) -> int:
        """Its number here from the next records on, -1 if there is no room for more; lists are made of the `listed`."""
        own, peer = (None if each is None else each.tobytes() for each in (choice.own, choice.peer))
        key = choice.wanted, choice.but, own, peer, listed
        if key in self._choices:
            return self._choices.index(key)
        number = len(self._choices)
        if number == _MOST_CHOICES:
            return -1
        self._choices.append(key)
        self._listed |= listed << number
        for by_l4, each in ((self._by_own, choice.own), (self._by_peer, choice.peer)):
            those = True if each is None else np.unpackbits(each, bitorder="little").astype(np.bool_)
            by_l4[those] |= np.uint16(1 << number)
        self._kinds = self._kinds[:0]
        return number

    def chosen(self, kinds: NDArray[np.uint32]) -> tuple[int, ...]:
        """Where C finds which choices take what, by its classes and transport ports; and which are listed."""
        if kinds is not self._kinds:
            flat, self._kinds = np.ravel(kinds), kinds
            self._by_kind = np.zeros(len(flat), np.uint16)
            for number, (wanted, but, *_) in enumerate(self._choices):
                held = (flat & np.uint32(wanted | but)) == wanted
                self._by_kind |= np.where(held, np.uint16(1 << number), np.uint16(0))
            self._pages = [self._by_kind, *_pages(self._by_own), *_pages(self._by_peer)]
            self._chosen = *map(place, self._pages), self._listed
        self.counts[:] = 0
        return self._chosen

    def known(self) -> int:
        """How many choices there are."""
        return len(self._choices)

    def make(self, count: int) -> None:
        """For so many records."""
        if count <= self.size:
            return
        self.size = 1 << (count - 1).bit_length()
        self._seen = np.empty(self.size, _SEEN)
        self._others = dict(zip(_BESIDES, _apart(tuple(_BESIDES.values()), self.size), strict=True))
        self._lists = np.empty((_MOST_CHOICES, self.size), np.uint32)
        parts = self._seen, *self._others.values(), self._filled, self._lists, self.counts
        self._parts = np.array([*map(place, parts), self.size, 0, 0], np.int64)
        self.at = place(self._parts)
        self.lanes = Lane(self.size), Lane(self.size)

    def tell(self, parts: int, how: int) -> int:
        """Where C finds what is looked at, and how; until `turn` isn't what is returned."""
        self._parts[-2:] = parts, how
        self.turn += 1
        return self.turn

    def columns(self, count: int) -> Columns:
        """The first so many places."""
        found = {name: self._seen[name] for name in _SEEN.names or ()} | self._others
        return Columns(**{name: found[name][:count] for name in Columns._fields})


def _pages(by_l4: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """The different ones of its 256 pages, and which each is: so few that they stay in the nearest cache."""
    different, which = np.unique(by_l4.reshape(256, 256), axis=0, return_inverse=True)
    return np.ascontiguousarray(different), which.reshape(256).astype(np.uint8)


def _apart(kinds: Sequence[str], size: int) -> list[NDArray[Any]]:
    """So many of each kind. What lies a power of two apart would be in each other's way in the cache."""
    widths = np.array([np.dtype(kind).itemsize for kind in kinds])
    ends = np.cumsum(widths * size + _APART_BYTES) // _APART_BYTES * _APART_BYTES
    block = np.empty(int(ends[-1]), np.uint8)
    begins = [0, *ends[:-1].tolist()]
    return [np.frombuffer(block, kind, size, at) for kind, at in zip(kinds, begins, strict=True)]


class Lane:
    """Where one fold after the other finds what it finds: in the nearest cache, as the one before it did."""

    def __init__(self, size: int) -> None:
        *self._made, self._keys = _apart((*["i8"] * 5, "u8"), size + 1)
        self.counts = np.zeros(3, np.int64)
        self.given, *groups, slots = _apart((*["i8"] * 4, "u8", "u8"), size + 1)
        """`given` are the rows of those who were welcomed last."""
        self._groups = (*groups, slots)
        self._so = _Found(*map(place, (*self._made, self._keys, self.counts, self.given, *self._groups)))
        self.at = ctypes.addressof(self._so)
        self.exchanged = Exchanged()
        """What was asked for last of it."""
        self.exchanged_at = ctypes.addressof(self.exchanged)

    def found(self) -> tuple[Rows, Integers, Hashes]:
        """As `Fold.find` gives it."""
        count, known, lacking = self.counts.tolist()
        chosen, of, own, first, missed = self._made
        rows = Rows(chosen[:count], of[:count], own[:known], first[:known])
        return rows, missed[:lacking], self._keys[:count]


class Exchanged(ctypes.Structure):
    """With which address a row exchanged most, how much that was, and how much with all; as folds.c has it."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("ip_version", "high", "low")),
        *((name, ctypes.c_double) for name in ("most", "all")),
    )
    ip_version: int
    high: int
    low: int
    most: float
    all: float


class _Found(ctypes.Structure):
    _fields_ = tuple((name, AT) for name in ("chosen", "rows", "own", "first", "missed", "keys", "counts")) + tuple(
        (name, AT) for name in ("given", "which", "heads", "many", "order", "slots")
    )
