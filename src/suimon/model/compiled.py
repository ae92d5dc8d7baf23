"""C beside Python: `.ci/bootstrap` compiles each `name.c` to `libname.so`, and what has none does without.

A library says by `suimon_name()` which source it was made of: functions of another one may want other arguments.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

NUMBER: Final = ctypes.c_int64
AT: Final = ctypes.c_void_p
"""Where an array begins: `place(array)`."""
_BYTE: Final = ctypes.c_char
_DIGITS: Final = 15
"""Of the hash of a source, hexadecimal: as many as a signed number of 64 bits has room for."""


class Function(NamedTuple):
    """What a function takes, and what it returns if it does."""

    takes: Sequence[Any]
    gives: Any = None


def library(folder: str, module: str, functions: Mapping[str, Function]) -> ctypes.CDLL | None:
    """The one of that folder that was made of the C beside this file of Python; None when it isn't there, isn't ours, or
    is of another source, as after a change that nobody has compiled yet.
    """
    source = Path(module).with_suffix(".c")
    try:
        found = ctypes.CDLL(f"{folder}/lib{source.stem}.so")
        says = getattr(found, f"suimon_{source.stem}")
        says.restype = NUMBER
        suits = says() == digest(source)
    except (OSError, AttributeError):
        return None
    if not suits:
        return None
    for each_name, function in functions.items():
        each = getattr(found, each_name)
        each.argtypes, each.restype = function
    return found


def digest(source: Path) -> int:
    """What a library of this source says it is made of: it and the headers, which all lie here. Raises OSError."""
    headers = sorted(Path(__file__).parent.glob("*.h"))
    return int(sha256(b"".join(each.read_bytes() for each in (source, *headers))).hexdigest()[:_DIGITS], 16)


def place(array: NDArray[Any]) -> int:
    """Its first byte; whoever gives it to C keeps the array. It has to be contiguous."""
    try:
        return ctypes.addressof(_BYTE.from_buffer(array.data))  # A third of what numpy takes to say it.
    except (TypeError, ValueError, BufferError):  # It is empty, nobody may write into it, or it is in pieces.
        assert array.flags.c_contiguous, "C reads one number after the other"
        return int(array.ctypes.data)
