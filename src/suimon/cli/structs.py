"""Structs that data is read into, made ready while a daemon has but one thread.

msgspec looks at a struct's fields when it first reads one, and keeps what it finds: it does so before it has found all
(`StructInfo_Convert` in msgspec 0.22), and another thread that reads the same struct meanwhile ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec


def make_ready() -> set[type[msgspec.Struct]]:
    """All that are loaded and can be read: those that it returns. Nothing can be read into the others, which hold
    functions and the like, or have names that only type checkers see.
    """
    ready = set()
    for each in set(_below(msgspec.Struct)):
        with suppress(TypeError, NameError):
            msgspec.json.Decoder(each)
            ready.add(each)
    return ready


def _below(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in struct.__subclasses__():
        yield each
        yield from _below(each)
