"""C beside Python: `.ci/bootstrap` compiles each `name.c` to `libname.so`, and what has none does without.

A library says by `suimon_name()` which source it was made of: functions of another one may want other arguments.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

NUMBER: Final = ctypes.c_int64
AT: Final = ctypes.c_void_p
"""Where an array begins: `place(array)`."""
_BYTE: Final = ctypes.c_char
_FOLDER: Final = __file__.rpartition("/")[0]
_HEADERS: Final = ("elements.h", "hashing.h")
"""All that there are; they lie here."""
_DIGITS: Final = 15
"""Of the hash of a source, hexadecimal: as many as a signed number of 64 bits has room for."""
MISSING: Final[set[str]] = set()
"""By name what was asked for and could not be had: numpy does the same for several times the CPU."""


class Function(NamedTuple):
    """What a function takes, and what it returns if it does."""

    takes: Sequence[Any]
    gives: Any = None


def library(folder: str, module: str, functions: Mapping[str, Function]) -> ctypes.CDLL | None:
    """The one of that folder that was made of the C beside this file of Python; None when it isn't there, isn't ours,
    or is of another source, as after a change that nobody has compiled yet.
    """
    name = module.rpartition("/")[2].partition(".")[0]
    MISSING.add(name)
    try:
        found = ctypes.CDLL(f"{folder}/lib{name}.so")
        says = getattr(found, f"suimon_{name}")
        says.restype = NUMBER
        suits = says() == digest(f"{module.rpartition('.')[0]}.c")
    except (OSError, AttributeError):
        return None
    if not suits:
        return None
    for each_name, function in functions.items():
        each = getattr(found, each_name)
        each.argtypes, each.restype = function
    MISSING.remove(name)
    return found


def digest(source: str) -> int:
    """What a library of this file says it is made of: it, and the headers, whichever it includes. Raises OSError."""
    made = sha256()
    for name in (source, *(f"{_FOLDER}/{header}" for header in _HEADERS)):
        with open(name, "rb") as file:  # noqa: PTH123 (model reads no other file, and has no pathlib)
            made.update(file.read())
    return int(made.hexdigest()[:_DIGITS], 16)


def place(array: NDArray[Any]) -> int:
    """Its first byte; whoever gives it to C keeps the array. It has to be contiguous."""
    try:
        return ctypes.addressof(_BYTE.from_buffer(array.data))  # A third of what numpy takes to say it.
    except (TypeError, ValueError, BufferError):  # It is empty, nobody may write into it, or it is in pieces.
        assert array.flags.c_contiguous, "C reads one number after the other"
        return int(array.ctypes.data)
