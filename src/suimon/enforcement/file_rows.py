"""A file's text as a table: CSV with a first line of columns, or YAML, a list of mappings that have the same keys.

CSV knows only texts; a column `vlan:int`, `load:float` or `up:bool` holds numbers or truths, null where it is empty.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Final

from suimon.model.errors import BadRequest
from suimon.model.fact_tables import Row
from suimon.resources.yaml_text import nearest, read_yaml, wrong_at

MOST_YAML_BYTES: Final = 256 << 10
"""Reading it takes about a second then. CSV is for more."""
Table = tuple[tuple[str, ...], Sequence[Row]]
"""Columns, rows."""
_Cell = str | int | float | bool | None


def table_of(name: str, content: bytes) -> Table:
    """`name` is the file's. Raises BadRequest with line and column."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadRequest(f"line {line}: this is not UTF-8") from None
    if "\0" in text:
        raise BadRequest(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1}: a NUL character")
    return _from_csv(text) if name.endswith(".csv") else _from_yaml(text)


def _from_csv(text: str) -> Table:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        head = next(reader, [])
        names, kinds = zip(*(cell.strip().partition(":")[::2] for cell in head), strict=True) if head else ((), ())
        if odd := [kind for kind in kinds if kind not in _KINDS]:
            raise BadRequest(f"line 1: there is no kind {odd[0][:20]!r} of column: {', '.join(filter(None, _KINDS))}")
        rows = []
        for cells in reader:
            if cells:
                rows.append(_row(cells, names, kinds, reader.line_num))
    except csv.Error as error:
        raise BadRequest(f"line {reader.line_num}: {error}") from None
    if not names:
        raise BadRequest("line 1: there are no columns")
    return tuple(names), rows


def _row(cells: Sequence[str], names: Sequence[str], kinds: Sequence[str], line: int) -> Row:
    if len(cells) != len(names):
        raise BadRequest(f"line {line}: {len(cells)} values for {len(names)} columns")
    row: list[_Cell] = []
    for place, (cell, kind) in enumerate(zip(cells, kinds, strict=True), 1):
        try:
            row.append(_KINDS[kind](cell))
        except (ValueError, KeyError):
            raise BadRequest(f"line {line}, column {place}: {cell[:40]!r} is no {kind}") from None
    return tuple(row)


def _real(cell: str) -> float:
    number = float(cell)
    if not isfinite(number):
        raise ValueError
    return number


def _unless_empty(kind: Callable[[str], _Cell]) -> Callable[[str], _Cell]:
    return lambda cell: kind(cell.strip()) if cell.strip() else None


_KINDS: Final[Mapping[str, Callable[[str], _Cell]]] = {
    "": str,
    "int": _unless_empty(int),
    "float": _unless_empty(_real),
    "bool": _unless_empty({"true": True, "false": False}.__getitem__),
}


def _from_yaml(text: str) -> Table:
    if len(text.encode()) > MOST_YAML_BYTES:
        raise BadRequest(f"YAML has at most {MOST_YAML_BYTES} bytes here: write CSV")
    plain, marks = read_yaml(text)
    if not isinstance(plain, list) or not plain:
        raise wrong_at(nearest(marks, ()), "this is no list of rows")
    columns: tuple[str, ...] = ()
    rows = []
    for number, row in enumerate(plain):
        if not isinstance(row, dict) or not row:
            raise wrong_at(nearest(marks, (number,)), "a row is a mapping of columns to values")
        columns = columns or tuple(row)
        if odd := sorted(row.keys() ^ {*columns}):
            raise wrong_at(nearest(marks, (number,)), f"{odd[0][:40]!r} is not in all rows")
        for column, value in row.items():
            if not isinstance(value, str | int | float | None):
                raise wrong_at(nearest(marks, (number, column)), "a value is a text, a number, true, false or null")
        rows.append(tuple(row[column] for column in columns))
    return columns, rows
