"""Puts inputs to a parser, and looks at what became of it."""

from __future__ import annotations

import itertools
import resource
from collections import Counter

import msgspec

from tests.fuzz.branches import Branches
from tests.fuzz.mutation import mutated
from tests.fuzz.parsers import Parser

MOST_GROWTH_KIB = 64 << 10
WATCHED = 4000
"""Of so many inputs, the branches that they take are looked at."""


class Ran(msgspec.Struct, frozen=True):
    """`outcomes` counts values, nothing, and errors by name."""

    outcomes: Counter[str]
    share: float
    untaken: list[str]


def run(parser: Parser, inputs: int, seed: int, watched: int = WATCHED) -> Ran:
    """Raises AssertionError, or what the parser should never raise, with the input in its notes."""
    branches, outcomes = Branches(parser.functions), Counter[str]()
    every = mutated(parser.valid, inputs, seed)
    for function in parser.functions:
        if (forget := getattr(function, "cache_clear", None)) is not None:
            forget()  # What another test asked for would not be looked at again.
    before_kib = _peak_kib()
    with branches.watched():
        for raw in itertools.islice(every, watched):
            outcomes[_outcome(parser, raw)] += 1
    for raw in every:
        outcomes[_outcome(parser, raw)] += 1
    assert _peak_kib() - before_kib < MOST_GROWTH_KIB, f"{parser.name} grew by {_peak_kib() - before_kib} KiB"
    return Ran(outcomes, branches.share, branches.untaken())


def _outcome(parser: Parser, raw: bytes) -> str:
    try:
        found = parser.parse(raw)
    except parser.errors as error:
        return type(error).__name__
    except Exception as error:
        error.add_note(f"{parser.name}: {raw.hex()}")
        raise
    if isinstance(found, bytes):
        assert len(found) <= parser.most_bytes, f"{parser.name}: {len(found)} bytes for {raw.hex()}"
    return "nothing" if found in (None, b"") else "value"


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
