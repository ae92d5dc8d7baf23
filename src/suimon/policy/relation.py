"""A table's rows, with hash indexes over the columns that clauses look it up by."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from operator import itemgetter
from typing import Any

from suimon.policy.changes import Table
from suimon.policy.values import StoredRow

Columns = tuple[int, ...]
Index = dict[Any, set[StoredRow]]
"""Value of the one column, or tuple of several → the rows that have it."""

_SAMPLE = 1000


class Relation:
    """`rows` says of each row how many derivations it has; a row of a source has one.

    `gains` and `losses` are derivations that came and went, and are not yet counted; they are the same dictionary
    unless the table is recursive, where a row that lost a derivation must be looked at even if it gained another.
    `rows` and the indexes are never replaced, as generated functions hold them.
    """

    __slots__ = ("asserted", "gains", "indexes", "losses", "planned_rows", "queued", "rank", "rows", "table")

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

    def add(self, row: StoredRow, count: int) -> None:
        self.rows[row] = count
        for index, key_of in self.indexes.values():
            key = key_of(row)
            found = index.get(key)
            if found is None:
                index[key] = {row}
            else:
                found.add(row)

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


def _build(index: Index, key_of: Callable[[StoredRow], Any], rows: dict[StoredRow, int]) -> None:
    get = index.get
    for row in rows:
        key = key_of(row)
        found = get(key)
        if found is None:
            index[key] = {row}
        else:
            found.add(row)
