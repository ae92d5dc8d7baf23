"""Tables of facts that are not the store's own: read elsewhere, whole, or pushed, and kept with their age."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

import msgspec

Driver = Literal["push", "file"]
Row = tuple[str | int | float | bool | None, ...]
KIND: Final = "fact_table"
"""What the log calls them."""


class FactSource(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tables come as they are told: pushed by whoever has an operator's token, or read from files.

    `max_age_s` is what it promises: 0, nothing.
    """

    name: str
    driver: Driver
    description: str = ""
    max_age_s: int = 0
    made_at: datetime
    author: str


class FactTable(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a table but its rows. `read_at` is when it was complete last; `problem` says why it isn't since.

    `id` is `source/name`. Without columns it was never complete. `digest` is of columns and rows.
    """

    id: str
    source: str
    name: str
    columns: tuple[str, ...] = ()
    many: int = 0
    digest: str = ""
    max_age_s: int = 0
    read_at: datetime | None = None
    problem: str = ""

    def age_s(self, now: datetime) -> float | None:
        """Since it was complete last; None: it never was."""
        return None if self.read_at is None else max((now - self.read_at).total_seconds(), 0.0)

    def stale(self, now: datetime) -> bool:
        """Whether it is older than was promised, or something else is there by now that can't be read."""
        return bool(self.problem) or 0 < self.max_age_s < (self.age_s(now) or 0.0)


class FactRows(msgspec.Struct, frozen=True, kw_only=True):
    """A table's rows, as JSON: a list of lists, sorted, each once."""

    id: str
    rows: str


class Told(msgspec.Struct, frozen=True):
    """A table as engines are given it."""

    table: FactTable
    rows: tuple[Row, ...]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A table, complete. `max_age_s`: within that time there will be another reading, if all is well. `driver`: what
    its source has to be; None for one that is always there.
    """

    source: str
    name: str
    columns: tuple[str, ...]
    rows: Iterable[Row]
    max_age_s: int = 0
    driver: Driver | None = None


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """A table that could not be read, or not completely: it stays as it was, and grows old."""

    source: str
    name: str
    problem: str
    driver: Driver | None = None


def id_of(source: str, name: str) -> str:
    """Of a table."""
    return f"{source}/{name}"
