"""Explanations as text: each line a row, below it what it follows from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from suimon.enforcement.scope import Sources
from suimon.policy.changes import Explanation, Row, Value
from suimon.policy.engine import Engine

_MOST_LINES: Final = 40
_MOST_COLUMNS: Final = 8
"""Of a fact; the first ones say most."""
NO_SOURCES: Final[Sources] = {}


def account(engine: Engine, sources: Sources, policy: str, table: str, row: Row) -> str:
    """Why a row is in a policy's table, in at most 40 lines; "" if it isn't there."""
    found = engine.explain(policy, table, row)
    return spelled(found, sources) if found else ""


def spelled(found: Explanation, sources: Sources) -> str:
    """An explanation in at most 40 lines."""
    lines = list(_lines(found, sources, 0))
    return "\n".join(lines[:_MOST_LINES] + ["…"] * (len(lines) > _MOST_LINES))


def atom(table: tuple[str, str], row: Row, sources: Sources = NO_SOURCES) -> str:
    """A row as it would be written in a clause."""
    columns = sources.get(table[0], {}).get(table[1])
    if columns is None:
        name, end = (table[1][:-1], "]") if table[1].endswith("]") else (table[1], "")
        return f"{name}({', '.join(map(_value, row))}){end}"
    named = [
        f"{column}={_value(value)}" for column, value in zip(columns, row, strict=False) if value not in (None, "")
    ]
    return f"{table[0]}:{table[1]}({', '.join(named[:_MOST_COLUMNS])}{', …' * (len(named) > _MOST_COLUMNS)})"


def _lines(found: Explanation, sources: Sources, depth: int) -> Iterator[str]:
    by = f"    by {found.clause}" if found.clause else ""
    yield f"{'  ' * depth}{atom(found.table, found.row, sources)}{by}"
    for below in found.because:
        yield from _lines(below, sources, depth + 1)
    for words in found.absent:
        yield f"{'  ' * (depth + 1)}{words}"
    if found.cut:
        yield f"{'  ' * (depth + 1)}…"


def _value(value: Value) -> str:
    match value:
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
    return repr(value)
