"""Memory that Python and C share: what lies where in it. folds.c has the same."""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np

from suimon.model.compiled import AT, NUMBER

ROW: Final = np.dtype([("key", "u8"), ("ended", "f8"), ("scale", "f8"), ("turn", "u4"), ("sides", "u4")])
ORIGIN: Final = np.dtype(
    [
        *(("begun", "f8"), ("port", "u8"), ("peer_high", "u8"), ("peer_low", "u8")),
        *(("own_l4", "u2"), ("peer_l4", "u2"), ("protocol", "u1"), ("out", "?"), ("ip_version", "u1"), ("none", "u1")),
    ]
)
"""Of the record that brought a row in; `port` is the key of its port."""
HIT_ROW: Final = np.dtype([("most", "i8"), ("parts", "u8")])
MOST_AMOUNTS: Final = 4
_LINE_BYTES: Final = 64
_HEAD_BYTES: Final = 48


def ring(slots: int, metrics: int) -> np.dtype[Any]:
    """What a row has in a ring: the second before which its `slots` seconds are, as much of each metric as there may be
    within a window, and amounts by second and metric.

    Rows are an odd number of the cache's lines apart: those a power of two apart would be in each other's way there.
    """
    assert slots & (slots - 1) == 0, "a power of two"
    assert metrics <= MOST_AMOUNTS, "folds.c has no room for more"
    apart = (-(-(_HEAD_BYTES + 4 * slots * metrics) // _LINE_BYTES) | 1) * _LINE_BYTES
    head = [("until", "i8"), ("most", "f8", (MOST_AMOUNTS,)), ("none", "f8")]
    amounts = ("amounts", "f4", (slots, metrics))
    return np.dtype([*head, amounts, ("rest", f"V{apart - _HEAD_BYTES - 4 * slots * metrics}")])


class Parts(ctypes.Structure):
    _fields_ = (("of", AT), ("lengths", AT), ("ends", AT), ("count", NUMBER))


class Look(ctypes.Structure):
    _fields_ = (
        *(("keys", AT), ("ports", NUMBER)),
        *((name, ctypes.c_double) for name in ("oldest", "latest", "several")),
        *(("salt", ctypes.c_uint64), ("kinds", AT), ("transport", ctypes.c_uint64)),
        *((name, AT) for name in ("by_kind", "by_own", "own_page", "by_peer", "peer_page")),
        ("listed", ctypes.c_uint64),
    )


class Recipe(ctypes.Structure):
    _fields_ = (("of", ctypes.c_uint64), ("letters", ctypes.c_char * 8), ("plus", ctypes.c_uint64))


class Hits(ctypes.Structure):
    _fields_ = (("cells", AT), ("thing", Recipe))


class Cells(ctypes.Structure):
    _fields_ = (("hit", AT), ("count", NUMBER), ("rows", AT), ("base", NUMBER))


class Tally(ctypes.Structure):
    _fields_ = (("of", AT), ("things", AT), ("least", ctypes.c_double), ("seen", ctypes.c_double))


class Rings(ctypes.Structure):
    _fields_ = (("rows", AT), *((name, NUMBER) for name in ("slots", "apart", "metrics", "oldest")))


class Peak(ctypes.Structure):
    _fields_ = (
        *((name, NUMBER) for name in ("side", "metric", "window")),
        ("least", ctypes.c_double),
    )


class Fold(ctypes.Structure):
    _fields_ = (
        *(("asked", ctypes.c_uint64), ("wanted", ctypes.c_uint64), ("own", AT), ("peer", AT), ("key", Recipe)),
        *(("table", AT), ("known", NUMBER), ("hit", AT), ("hit_count", NUMBER)),
        *(("ring", AT), ("amounts", AT), ("amount_count", NUMBER)),
    )
