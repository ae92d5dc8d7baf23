"""Values as they are kept, so that Python's equality is the language's: 1, 1.0 and true are three values.

Rows are tuples that are compared and hashed everywhere. Text, integers and null are kept as they are; a float is kept
as a `Real`, which equals no integer, a boolean as `TRUE` or `FALSE`, which equal no number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from suimon.policy.changes import Row, Value

Stored = Any
"""A value as it is kept."""
StoredRow = tuple[Stored, ...]

MAX_INTEGER = 2**63 - 1
MAX_TEXT = 65_536


class Real(float):
    """A float, unequal to the integer of the same size."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is Real and float(self) == float(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((Real, float(self)))


class Truth:
    """One of the two booleans: equal to itself alone."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value

    def __repr__(self) -> str:
        return str(self.value).lower()


TRUE, FALSE = Truth(True), Truth(False)


class NoValue(ValueError):
    """A number that is not one or too large, or text too long, for a row."""


def stored(value: object) -> Stored:
    """As it is kept. `NoValue` for what a row can't hold, `TypeError` for what is no value at all."""
    kind = type(value)
    if kind is str:
        if len(value) > MAX_TEXT:  # type: ignore[arg-type]
            raise NoValue("text too long")
    elif kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator]
            raise NoValue("integer too large")
    elif kind is bool:
        return TRUE if value else FALSE
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise NoValue("not a number")
        return Real(value + 0.0)  # Of the two zeros only one is kept.
    elif value is not None and kind is not Truth:
        raise TypeError(f"a row holds text, numbers, booleans and null, not {kind.__name__}")
    return value


def stored_row(row: Sequence[object]) -> StoredRow:
    """The row itself where it is kept as it is, as most are."""
    if type(row) is tuple:
        for value in row:
            kind = type(value)
            if kind is str:
                if len(value) > MAX_TEXT:
                    break
            elif value is not None and (kind is not int or not -MAX_INTEGER <= value <= MAX_INTEGER):
                break
        else:
            return row
    return tuple(map(stored, row))


def shown(value: Stored) -> Value:
    """As callers know it."""
    if type(value) is Real:
        return float(value)
    return value.value if type(value) is Truth else value


def shown_row(row: StoredRow) -> Row:
    for value in row:
        if type(value) is Real or type(value) is Truth:
            return tuple(map(shown, row))
    return row


def text(value: Stored) -> str:
    """As it is written in the language."""
    if isinstance(value, str):
        quote = '"' if '"' not in value or "'" in value else "'"
        return quote + value + quote
    if value is None:
        return "null"
    return repr(float(value)) if type(value) is Real else repr(value)


def order(value: Stored) -> tuple[int, Any, int]:
    """A key that puts all values in one order: null, booleans, numbers, text."""
    if value is None:
        return 0, 0, 0
    if type(value) is Truth:
        return 1, value.value, 0
    return (
        (3, value, 0)
        if isinstance(value, str)
        else (2, float(value) if type(value) is Real else value, type(value) is Real)
    )


def row_order(row: StoredRow) -> tuple[tuple[int, Any, int], ...]:
    return tuple(map(order, row))
