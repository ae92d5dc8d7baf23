"""A table's rows, with hash indexes over the columns that clauses look it up by."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from operator import itemgetter
from typing import Any

from suimon.policy.changes import Table
from suimon.policy.values import StoredRow

Columns = tuple[int, ...]
Index = dict[Any, list[StoredRow] | set[StoredRow]]
"""Value of the one column, or tuple of several → the rows that have it: a list, or a set of many."""

MANY = 32
LARGE = 10_000
FEW = 16
"""Rows that may be looked through rather than found by an index of their own."""

_SAMPLE = 1000


class Relation:
    """`rows` says of each row how many derivations it has; a row of a source has one.

    `gains` and `losses` are derivations that came and went, and are not yet counted; they are the same dictionary
    unless the table is recursive, where a row that lost a derivation must be looked at even if it gained another.
    `rows` and the indexes are never replaced, as generated functions hold them.
    """

    __slots__ = (
        *("asserted", "gains", "indexes", "losses", "planned_rows", "queued", "rank", "roomy_rows", "rows", "table"),
    )

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows: dict[StoredRow, int] = {}
        self.asserted: set[StoredRow] = set()
        self.indexes: dict[Columns, tuple[Index, Callable[[StoredRow], Any]]] = {}
        self.gains: dict[StoredRow, int] = {}
        self.losses = self.gains
        self.rank = -1
        self.queued = False
        self.planned_rows = 0
        self.roomy_rows = 0

    def add(self, row: StoredRow, count: int) -> None:
        self.rows[row] = count
        for index, key_of in self.indexes.values():
            key = key_of(row)
            found = index.get(key)
            if found is None:
                index[key] = [row]
            elif isinstance(found, set):
                found.add(row)
            elif len(found) < MANY:
                found.append(row)
            else:
                index[key] = {*found, row}

    def remove(self, row: StoredRow) -> None:
        del self.rows[row]
        for index, key_of in self.indexes.values():
            key = key_of(row)
            found = index[key]
            found.remove(row)
            if not found:
                del index[key]

    def fill(self, rows: dict[StoredRow, int]) -> None:
        """Into an empty relation, all at once."""
        self.rows.update(rows)
        for index, key_of in self.indexes.values():
            _build(index, key_of, self.rows)

    def clear(self) -> None:
        self.rows.clear()
        for index, _ in self.indexes.values():
            index.clear()

    def set_count(self, row: StoredRow, count: int) -> None:
        if not count:
            self.remove(row)
        elif row in self.rows:
            self.rows[row] = count
        else:
            self.add(row, count)

    def index(self, columns: Columns) -> Index:
        """Made when first asked for, kept up to date from then on."""
        if columns not in self.indexes:
            index: Index = {}
            key_of = itemgetter(*columns)
            _build(index, key_of, self.rows)
            self.indexes[columns] = index, key_of
        return self.indexes[columns][0]

    def make_room(self) -> None:
        """Python copies a dictionary that is full, which takes 20 ms for 500,000 rows: better now than at a change."""
        if len(self.rows) > max(LARGE, 2 * self.roomy_rows):
            self.roomy_rows = len(self.rows)
            _grow(self.rows)
            for index, _ in self.indexes.values():
                _grow(index)

    def best_index(self, columns: Columns) -> Columns:
        """As few of these columns as tell rows apart well: indexes cost memory, and time at every change."""
        chosen: Columns = ()
        left = float(len(self.rows)) or 1.0
        while len(chosen) < len(columns) and (left > FEW or not chosen):
            found, column = min((self.matches((*chosen, c)), c) for c in columns if c not in chosen)
            if chosen and found * 2 > left:
                break
            chosen, left = tuple(sorted((*chosen, column))), found
        return chosen

    def matches(self, columns: Columns) -> float:
        """How many rows a lookup by these columns may find, from a sample and as if columns were independent."""
        size = len(self.rows)
        found = float(size)
        step = max(1, size // _SAMPLE)
        sample = list(islice(self.rows, 0, None, step)) if columns and size else []
        for column in columns:
            if sample:
                distinct = len({row[column] for row in sample})
                found /= distinct * step if distinct * 2 > len(sample) else distinct
        return found


def _grow(mapping: dict[Any, Any]) -> None:
    """Until it was copied to twice the room. No row is like these keys."""
    size, keys = mapping.__sizeof__(), 0
    while mapping.__sizeof__() == size:
        mapping[_grow, keys] = 0
        keys += 1
    for key in range(keys):
        del mapping[_grow, key]


def _build(index: Index, key_of: Callable[[StoredRow], Any], rows: dict[StoredRow, int]) -> None:
    get = index.get
    for row in rows:
        key = key_of(row)
        found = get(key)
        if found is None:
            index[key] = [row]
        else:
            found.append(row)  # type: ignore[union-attr]
    for key, found in index.items():
        if len(found) > MANY:
            index[key] = set(found)
