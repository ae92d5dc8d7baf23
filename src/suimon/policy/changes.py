"""What goes into an engine and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

Value = str | int | float | bool | None
Row = tuple[Value, ...]
Table = tuple[str, str]
"""(policy or source, table): `("neutronv2", "ports")`. Rows of `execute[nova:pause(x)]` in the policy `main` are those
of `("main", "execute[nova:pause]")`."""


def owned(name: str, owner: str) -> Table:
    """Whose table, or action, a name means: what stands before its first colon says it, or else it is `owner`'s."""
    first, _, rest = name.partition(":")
    return (first, rest) if rest else (owner, name)


class Event(msgspec.Struct, frozen=True):
    """Clauses and facts that a policy gains or loses: `text` may hold any number of them."""

    policy: str
    text: str
    insert: bool = True


class FactChange(msgspec.Struct, frozen=True):
    """Rows that a source's table gains and loses. `whole`: `put` is all that the table holds from now on."""

    source: str
    table: str
    put: tuple[Row, ...] = ()
    drop: tuple[Row, ...] = ()
    whole: bool = False


class Call(msgspec.Struct, frozen=True, order=True):
    """An action that a policy calls for, by a row of `execute[service:action(arguments)]` that wasn't there before."""

    policy: str
    service: str
    action: str
    arguments: Row


class Shown(Mapping[Table, list[Row]]):
    """Rows by table, of which each list is made when it is asked for: a change may move many that nobody asks for."""

    def __init__(self, kept: dict[Table, list[Any]], shown: Callable[[Any], Row]) -> None:
        self._kept, self._shown = kept, shown

    def __getitem__(self, table: Table) -> list[Row]:
        return [self._shown(row) for row in self._kept[table]]

    def __iter__(self) -> Iterator[Table]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


class Difference(msgspec.Struct):
    """What a change made of the policies' tables (not of the sources', which the caller knows).

    A row that came and went within the change is in neither. `tables()` are those that changed.
    """

    appeared: Mapping[Table, list[Row]] = {}
    vanished: Mapping[Table, list[Row]] = {}
    calls: list[Call] = []

    def tables(self) -> Iterator[Table]:
        yield from {**self.appeared, **self.vanished}

    def __bool__(self) -> bool:
        return bool(self.appeared or self.vanished)


class Explanation(msgspec.Struct, frozen=True):
    """Why a row is in a table: the clause that gave it, and why each row that this clause used is in its table.

    `clause` is "" for a fact, of a source or written in a policy. `absent` are the literals that had to be false,
    and the conditions that held, as text. `cut` means that what is below was left out, for its depth or its size.
    """

    table: Table
    row: Row
    clause: str = ""
    because: tuple[Explanation, ...] = ()
    absent: tuple[str, ...] = ()
    cut: bool = False
