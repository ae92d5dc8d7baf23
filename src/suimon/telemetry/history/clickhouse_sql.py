"""What is said to a ClickHouse server and how it answers: texts of SQL, and rows of tab-separated values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

Texts = list[list[str]]
"""Rows, as the server writes them."""
Ask = Callable[[str], tuple[Texts, Texts]]
"""Rows of a SELECT, and the totals of them all."""

_ESCAPED: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "N": ""}


def literal(value: object) -> str:
    """Of a whole number or a text, which can't be anything else in SQL."""
    if isinstance(value, int):
        return f"{int(value):d}"
    assert isinstance(value, str), "a condition's values are numbers and texts"
    return f"unhex('{value.encode().hex()}')"


def spliced(sql: str, values: Sequence[object]) -> str:
    """With each `?` replaced by its value; the SQL has no texts in which one could stand."""
    parts = sql.split("?")
    assert len(parts) == len(values) + 1 and "'" not in sql, "a value for each question mark"
    return parts[0] + "".join(literal(value) + part for value, part in zip(values, parts[1:], strict=True))


def rows_of(tsv: str) -> tuple[Texts, Texts]:
    """Rows, and those after an empty line: the totals."""
    found: tuple[Texts, Texts] = ([], [])
    after = 0
    for line in tsv.removesuffix("\n").split("\n") if tsv else ():
        if line:
            found[after].append([_ESCAPED.sub(_unescaped, each) for each in line.split("\t")])
        else:
            after = 1
    return found


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[1])
