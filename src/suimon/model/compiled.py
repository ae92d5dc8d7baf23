"""C beside Python: `.ci/bootstrap` compiles each `name.c` to `libname.so`, and what has none does without.

A library says by `suimon_name()` which interface it has: another file's functions may want other arguments.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

NUMBER: Final = ctypes.c_int64
AT: Final = ctypes.c_void_p
"""Where an array begins: `place(array)`."""


class Function(NamedTuple):
    """What a function takes, and what it returns if it does."""

    takes: Sequence[Any]
    gives: Any = None


def library(path: Path, interface: int, functions: Mapping[str, Function]) -> ctypes.CDLL | None:
    """The library at `path` (…/libname.so); None when it isn't there, isn't ours, or has another interface."""
    try:
        found = ctypes.CDLL(str(path))
        suits = getattr(found, f"suimon_{path.stem.removeprefix('lib')}")() == interface
    except (OSError, AttributeError):
        return None
    if not suits:
        return None
    for name, function in functions.items():
        each = getattr(found, name)
        each.argtypes, each.restype = function
    return found


def place(array: NDArray[Any]) -> int:
    """Its first byte; whoever gives it to C keeps the array, and knows it to be contiguous."""
    return int(array.ctypes.data)
