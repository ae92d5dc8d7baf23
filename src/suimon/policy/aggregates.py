"""Aggregates, kept per group: what comes and goes changes the group's row, whatever the group's size."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from heapq import heappop, heappush
from typing import Any

from suimon.policy.compile import Out
from suimon.policy.terms import Aggregate, Atom, Clause, Variable
from suimon.policy.values import NoValue, Real, Stored, StoredRow, order, stored


class Aggregator:
    """A clause with aggregates in its head. Its body is one atom, whose rows are the solutions, each once.

    `count` counts different values; `min` and `max` are by the order of all values; `sum` and `avg` add once a
    solution, exactly, and pass over what is no number. A group without a value for each of its aggregates has no row.
    """

    def __init__(self, clause: Clause) -> None:
        solution = clause.body[0]
        assert isinstance(solution, Atom)
        places = {term: i for i, term in enumerate(solution.arguments) if isinstance(term, Variable)}
        self._head = clause.head.arguments
        self._places = places
        self._group = tuple(places[term] for term in self._head if isinstance(term, Variable))
        self._aggregates = [term for term in self._head if isinstance(term, Aggregate)]
        self._states: dict[StoredRow, list[_State]] = {}

    def step(self, row: StoredRow, sign: int, gains: Out, losses: Out) -> None:
        """A solution came or went: its group's row goes, and another comes."""
        key = self.group(row)
        before = self.head(key)
        self.count(row, sign)
        after = self.head(key)
        if before is not None:
            losses[before] = losses.get(before, 0) - 1
        if after is not None:
            gains[after] = gains.get(after, 0) + 1

    def whole(self, out: Out, sign: int) -> None:
        """All rows of all groups."""
        for key in self._states:
            row = self.head(key)
            if row is not None:
                out[row] = out.get(row, 0) + sign

    def count(self, row: StoredRow, sign: int) -> None:
        key = self.group(row)
        states = self._states.get(key)
        if states is None:
            states = self._states[key] = [_STATES[term.function]() for term in self._aggregates]
        for term, state in zip(self._aggregates, states, strict=True):
            state.add(row[self._places[term.variable]], sign)
        if not states[0].solutions:
            del self._states[key]

    def group(self, row: StoredRow) -> StoredRow:
        return tuple([row[i] for i in self._group])

    def group_of_head(self, head: StoredRow) -> StoredRow:
        return tuple([v for v, term in zip(head, self._head, strict=True) if isinstance(term, Variable)])

    def head(self, key: StoredRow) -> StoredRow | None:
        """The row of a group."""
        states = self._states.get(key)
        if states is None:
            return None
        results, group = iter(states), iter(key)
        row = []
        for term in self._head:
            if isinstance(term, Aggregate):
                try:
                    row.append(next(results).result())
                except NoValue:
                    return None
            else:
                row.append(next(group) if isinstance(term, Variable) else term)
        return tuple(row)


class _State:
    """Of one aggregate of one group."""

    def __init__(self) -> None:
        self.solutions = 0

    def add(self, value: Stored, sign: int) -> None:
        self.solutions += sign

    def result(self) -> Stored:
        raise NotImplementedError


class _Count(_State):
    def __init__(self) -> None:
        super().__init__()
        self.values: Counter[Stored] = Counter()

    def add(self, value: Stored, sign: int) -> None:
        super().add(value, sign)
        self.values[value] += sign
        if not self.values[value]:
            del self.values[value]

    def result(self) -> Stored:
        return len(self.values)


class _Sum(_State):
    """Integers and floats apart, both exactly: added in any order the sum is the same."""

    def __init__(self) -> None:
        super().__init__()
        self._integers, self._floats, self.numbers, self._reals = 0, Fraction(), 0, 0

    def add(self, value: Stored, sign: int) -> None:
        super().add(value, sign)
        if type(value) is int:
            self._integers += sign * value
            self.numbers += sign
        elif type(value) is Real:
            self._floats += sign * Fraction(float(value))
            self.numbers += sign
            self._reals += sign

    def total(self) -> Fraction | int:
        if not self.numbers:
            raise NoValue
        return self._integers + self._floats if self._reals else self._integers

    def result(self) -> Stored:
        return _number(self.total())


class _Average(_Sum):
    def result(self) -> Stored:
        return _number(Fraction(self.total()) / self.numbers)


def _number(exact: Fraction | int) -> Stored:
    try:
        return stored(float(exact) if isinstance(exact, Fraction) else exact)
    except OverflowError as error:
        raise NoValue from error


class _Least(_Count):
    """A heap of the values; one that went stays in it until it comes to the top."""

    def __init__(self) -> None:
        super().__init__()
        self._heap: list[tuple[Any, Stored]] = []
        self._in_heap: set[Stored] = set()

    def add(self, value: Stored, sign: int) -> None:
        super().add(value, sign)
        if value in self.values and value not in self._in_heap:
            self._in_heap.add(value)
            heappush(self._heap, (self.key(value), value))

    def key(self, value: Stored) -> Any:
        return order(value)

    def result(self) -> Stored:
        while self._heap[0][1] not in self.values:
            self._in_heap.discard(heappop(self._heap)[1])
        return self._heap[0][1]


class _Greatest(_Least):
    def key(self, value: Stored) -> Any:
        return _Down(order(value))


class _Down(tuple[Any, ...]):
    """A key in the opposite order."""

    __slots__ = ()

    def __lt__(self, other: tuple[Any, ...]) -> bool:
        return tuple.__gt__(self, other)


_STATES: dict[str, type[_State]] = {"count": _Count, "sum": _Sum, "min": _Least, "max": _Greatest, "avg": _Average}
