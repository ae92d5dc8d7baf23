"""The engine: policies, facts, what follows from them, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from suimon.policy.changes import Difference, Event, Explanation, FactChange, Row
from suimon.policy.errors import PolicyError, TooMuch

__all__ = ["Difference", "Engine", "Event", "Explanation", "FactChange", "PolicyError", "Row", "TooMuch"]


class Engine:
    """Policies over the tables of `sources` (source → table → names of its columns). One thread, no I/O.

    Rows hold str, int, float, bool and None. Two values are the same when both type and value are: 1, 1.0 and true
    are three. All changes are all or nothing: what is refused (`PolicyError`) or grows too large (`TooMuch`) leaves
    nothing behind. `clock` gives seconds, for `limits`; without it only rows are bounded.
    """

    def __init__(
        self, sources: Mapping[str, Mapping[str, tuple[str, ...]]] = {}, clock: Callable[[], float] | None = None
    ) -> None:
        raise NotImplementedError

    def limits(self, max_rows: int, max_s: float) -> None:
        """What one change, question or trial may derive, and how long it may take; beyond, it raises `TooMuch`."""
        raise NotImplementedError

    def create_source(self, name: str, tables: Mapping[str, tuple[str, ...]]) -> None:
        """Adds a source, or further tables to one. Columns of a table that is there stay as they are."""
        raise NotImplementedError

    def create_policy(self, name: str, kind: str = "nonrecursive") -> None:
        """`kind`: nonrecursive, action (describes actions, for `simulate`), database (facts only), or recursive
        (also under Congress's names materialized and z3). `PolicyError` if there is a policy or source so called."""
        raise NotImplementedError

    def drop_policy(self, name: str) -> Difference:
        """With all its clauses and facts. Clauses elsewhere that read it go on, and find its tables empty."""
        raise NotImplementedError

    def change(self, events: Sequence[Event]) -> Difference:
        """Inserts and deletes clauses and facts, all or nothing. What is there already, or not, changes nothing."""
        raise NotImplementedError

    def facts(self, changes: Sequence[FactChange]) -> Difference:
        """Rows put into and dropped from sources' tables; a row that is there already, or not, changes nothing."""
        raise NotImplementedError

    @contextmanager
    def trial(self, changes: Sequence[FactChange]) -> Iterator[Difference]:
        """What `facts` would do; inside, `select` and `explain` see it done. Undone on exit. Trials don't nest."""
        raise NotImplementedError
        yield Difference()

    def select(self, policy: str, query: str) -> list[Row]:
        """The rows that match an atom as it would be written in `policy`, sorted: `error(x)`, `ports(id=x)`."""
        raise NotImplementedError

    def rows(self, policy: str, table: str) -> list[Row]:
        """All rows of a table of a policy or a source, sorted; none of one that nobody knows."""
        raise NotImplementedError

    def tables(self, policy: str) -> list[str]:
        """The tables that a policy's clauses and facts define, or a source has, sorted."""
        raise NotImplementedError

    def clauses(self, policy: str) -> list[str]:
        """A policy's clauses and facts as text, in the order in which they came."""
        raise NotImplementedError

    def explain(self, policy: str, table: str, row: Row) -> Explanation | None:
        """Why the row is there; None if it isn't."""
        raise NotImplementedError

    def simulate(self, policy: str, query: str, sequence: str, action_policy: str, delta: bool = False) -> list[Row]:
        """What `query` would find after `sequence`, a program of updates (`p+(1)`, `p-(x) :- q(x)`) and of actions
        that `action_policy` describes. The first value of each row is the table's name, with `delta` with + or -
        for rows that would appear or vanish. Nothing changes, nothing is called."""
        raise NotImplementedError
