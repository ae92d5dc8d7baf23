"""C beside Python: `.ci/bootstrap` compiles each `name.c` to `libname.so`, and what has none does without.

A library says by `suimon_name()` which interface it has: another file's functions may want other arguments.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

NUMBER: Final = ctypes.c_int64
AT: Final = ctypes.c_void_p
"""Where an array begins: `place(array)`."""
_BYTE: Final = ctypes.c_char


class Function(NamedTuple):
    """What a function takes, and what it returns if it does."""

    takes: Sequence[Any]
    gives: Any = None


def library(folder: str, name: str, interface: int, functions: Mapping[str, Function]) -> ctypes.CDLL | None:
    """The one of that folder and name; None when it isn't there, isn't ours, or has another interface."""
    try:
        found = ctypes.CDLL(f"{folder}/lib{name}.so")
        suits = getattr(found, f"suimon_{name}")() == interface
    except (OSError, AttributeError):
        return None
    if not suits:
        return None
    for each_name, function in functions.items():
        each = getattr(found, each_name)
        each.argtypes, each.restype = function
    return found


def place(array: NDArray[Any]) -> int:
    """Its first byte; whoever gives it to C keeps the array. It has to be contiguous."""
    try:
        return ctypes.addressof(_BYTE.from_buffer(array.data))  # A third of what numpy takes to say it.
    except (TypeError, ValueError, BufferError):  # It is empty, nobody may write into it, or it is in pieces.
        assert array.flags.c_contiguous, "C reads one number after the other"
        return int(array.ctypes.data)
