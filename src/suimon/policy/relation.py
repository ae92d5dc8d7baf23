"""A table's rows, with hash indexes over the columns that clauses look it up by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import islice
from operator import itemgetter
from typing import Any

from suimon.policy.changes import Table
from suimon.policy.values import StoredRow

Columns = tuple[int, ...]
Index = dict[Any, list[StoredRow] | set[StoredRow]]
"""Value of the one column, or tuple of several → the rows that have it: a list, or a set of many."""

MANY = 32
LARGE = 100_000
FEW = 16
"""Rows that may be looked through rather than found by an index of their own."""

_SAMPLE = 1000
_FULL_BYTES = 34
"""A row's share of a dictionary of many that has an eighth of its room left; 30 when it is full, 60 when it grew."""


class Rows(dict[StoredRow, int]):
    """Of another type than dict, so that the garbage collector goes on knowing it.

    It forgets dictionaries of nothing but text, and takes them for new at the next row that comes: it would look
    through all rows two or three times, which takes 25 ms for 500,000, although they were frozen (`gc.freeze`).
    """

    __slots__ = ()


class Relation:
    """`rows` says of each row how many derivations it has; a row of a source has one.

    `gains` and `losses` are derivations that came and went, and are not yet counted; they are the same dictionary
    unless the table is recursive, where a row that lost a derivation must be looked at even if it gained another.
    `rows` and the indexes are never replaced, as generated functions hold them. `is_told`: others are
    to know of changes.
    """

    __slots__ = (
        *("asserted", "gains", "indexes", "is_told", "losses", "planned_rows", "queued", "rank", "rows", "table"),
        *("_sample", "_sampled_rows"),
    )

    def __init__(self, table: Table, is_told: bool) -> None:
        self.table = table
        self.is_told = is_told
        self.rows = Rows()
        self.asserted: set[StoredRow] = set()
        self.indexes: dict[Columns, tuple[Index, Callable[[StoredRow], Any]]] = {}
        self.gains: dict[StoredRow, int] = {}
        self.losses = self.gains
        self.rank = -1
        self.queued = False
        self.planned_rows = 0
        self._sample: list[StoredRow] = []
        self._sampled_rows = 0

    def add(self, new: Collection[StoredRow], counts: Mapping[StoredRow, int]) -> None:
        rows = self.rows
        for row in new:
            rows[row] = counts[row]
        self.note(new)

    def note(self, new: Collection[StoredRow]) -> None:
        """In the indexes, what is among `rows` already."""
        for index, key_of in self.indexes.values():
            for row in new:
                key = key_of(row)
                found = index.get(key)
                if found is None:
                    index[key] = [row]
                elif type(found) is set:
                    found.add(row)
                elif len(found) < MANY:
                    found.append(row)  # type: ignore[union-attr]
                else:
                    index[key] = {*found, row}

    def remove(self, gone: Collection[StoredRow]) -> None:
        for row in gone:
            del self.rows[row]
        for index, key_of in self.indexes.values():
            for row in gone:
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

    def put_back(self, counts: Collection[tuple[StoredRow, int]]) -> None:
        """Each row to its count, where 0 means that it isn't there. Which rows had it already doesn't matter."""
        rows = self.rows
        self.remove([row for row, count in counts if not count and row in rows])
        self.add([row for row, count in counts if count and row not in rows], dict(counts))
        rows.update((row, count) for row, count in counts if count)

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
        if len(self.rows) > LARGE and self.rows.__sizeof__() < _FULL_BYTES * len(self.rows):
            _grow(self.rows)

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
        if not size or not columns:
            return found
        step = max(1, size // _SAMPLE)
        if self._sampled_rows != size:
            self._sample, self._sampled_rows = list(islice(self.rows, 0, None, step)), size
        for column in columns:
            distinct = len({row[column] for row in self._sample})
            found /= distinct * step if distinct * 2 > len(self._sample) else distinct
        return found


def _grow(rows: Rows) -> None:
    """Until it was copied to twice the room. No row is like these keys."""
    size, keys = rows.__sizeof__(), 0
    while rows.__sizeof__() == size:
        rows[_grow, keys] = 0
        keys += 1
    for key in range(keys):
        del rows[_grow, key]


def _build(index: Index, key_of: Callable[[StoredRow], Any], rows: dict[StoredRow, int]) -> None:
    get = index.get
    for key, row in zip(map(key_of, rows), rows, strict=True):
        found = get(key)
        if found is None:
            index[key] = [row]
        else:
            found.append(row)  # type: ignore[union-attr]
    for key, found in index.items():
        if len(found) > MANY:
            index[key] = set(found)
