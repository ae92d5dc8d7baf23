"""The engine: policies, facts, what follows from them, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from suimon.policy import explanation, whatif
from suimon.policy.changes import Call, Difference, Event, Explanation, FactChange, Row, Shown, Table, owned
from suimon.policy.checks import KINDS
from suimon.policy.errors import PolicyError, TooMuch
from suimon.policy.evaluation import Changed
from suimon.policy.program import Policy
from suimon.policy.terms import fact_text
from suimon.policy.values import row_order, shown_row, stored_row
from suimon.policy.workspace import Workspace

__all__ = ["Call", "Difference", "Engine", "Event", "Explanation", "FactChange", "PolicyError", "Row", "TooMuch"]


class Engine:
    """Policies over the tables of `sources` (source → table → names of its columns). One thread, no I/O.

    Rows hold str, int, float, bool and None. Two values are the same when both type and value are: 1, 1.0 and true
    are three. All changes are all or nothing: what is refused (`PolicyError`) or grows too large (`TooMuch`) leaves
    nothing behind. `clock` gives seconds, for `limits`; without it only rows are bounded.
    """

    def __init__(
        self, sources: Mapping[str, Mapping[str, tuple[str, ...]]] = {}, clock: Callable[[], float] | None = None
    ) -> None:
        self._clock = clock
        self._max_s, self._deadline_s = 60.0, 0.0
        self._workspace = Workspace(self._check_time)
        self._evaluation = self._workspace.evaluation
        self._busy = False
        for name, tables in sources.items():
            self.create_source(name, tables)

    def limits(self, max_rows: int, max_s: float) -> None:
        """What one change, question or trial may derive, and how long it may take; beyond, it raises `TooMuch`."""
        self._evaluation.limit(max_rows)
        self._max_s = max_s

    def create_source(self, name: str, tables: Mapping[str, tuple[str, ...]]) -> None:
        """Adds a source, or further tables to one. Columns of a table that is there stay as they are."""
        if name not in self._workspace.sources:
            self._workspace.check_new_name(name)
        self._workspace.add_source(name, tables)

    def create_policy(self, name: str, kind: str = "nonrecursive") -> None:
        """`kind`: nonrecursive, action (describes actions, for `simulate`), database (facts only), or recursive
        (also under Congress's names materialized and z3). `PolicyError` if there is a policy or source so called."""
        self._workspace.check_new_name(name)
        if kind not in KINDS:
            raise PolicyError(f"there is no kind {kind!r} of policy", hint=", ".join(KINDS))
        self._workspace.policies[name] = Policy(kind)

    def drop_policy(self, name: str) -> Difference:
        """With all its clauses and facts. Clauses elsewhere that read it go on, and find its tables empty."""
        policy = self._workspace.policy(name)
        with self._changing():
            self._workspace.delete(name, [*policy.clauses, *policy.facts])
            changed = self._evaluation.settle()
        del self._workspace.policies[name]
        return _difference(changed)

    def change(self, events: Sequence[Event]) -> Difference:
        """Inserts and deletes clauses and facts, all or nothing. What is there already, or not, changes nothing."""
        with self._changing():
            self._workspace.apply(events)
            changed = self._evaluation.settle()
        self._evaluation.make_room()
        return _difference(changed)

    def facts(self, changes: Sequence[FactChange]) -> Difference:
        """Rows put into and dropped from sources' tables; a row that is there already, or not, changes nothing."""
        assert not self._busy, "a change within a trial"
        self._begin()
        try:
            relations = self._workspace.put(changes)
            changed = self._evaluation.settle()
        except BaseException:
            self._evaluation.undo()
            raise
        self._evaluation.keep()
        self._evaluation.replan(relations)
        return _difference(changed)

    @contextmanager
    def trial(self, changes: Sequence[FactChange] = (), events: Sequence[Event] = ()) -> Iterator[Difference]:
        """What `facts` and `change` would do together; inside, questions see it done. Undone on exit, which no limit
        hinders. Trials don't nest.
        """
        with self._trying():
            self._workspace.put(changes)
            self._workspace.apply(events)
            yield _difference(self._evaluation.settle())

    def select(self, policy: str, query: str) -> list[Row]:
        """The rows that match an atom as it would be written in `policy`, sorted: `error(x)`, `ports(id=x)`."""
        self._begin()
        return [shown_row(row) for row in self._workspace.matches(policy, query)]

    def rows(self, policy: str, table: str) -> list[Row]:
        """All rows of a table of a policy or a source, sorted; none of one that nobody knows."""
        relation = self._evaluation.relations.get((policy, table))
        return [shown_row(row) for row in sorted(relation.rows, key=row_order)] if relation else []

    def tables(self, policy: str) -> list[str]:
        """The tables that a policy's clauses and facts define, or a source has, sorted."""
        if policy in self._workspace.sources:
            return sorted(self._workspace.sources[policy])
        found = self._workspace.policy(policy)
        return sorted({c.head.table[1] for c in found.clauses} | {fact.table[1] for fact in found.facts})

    def reads(self, policy: str, table: str) -> set[Table]:
        """The table, and all others that what is in it may follow from."""
        return self._workspace.reads((policy, table))

    def clauses(self, policy: str) -> list[str]:
        """A policy's clauses, then its facts, as text, each in the order in which they came."""
        found = self._workspace.policy(policy)
        return [*(clause.text for clause in found.clauses), *map(fact_text, found.facts)]

    def explain(self, policy: str, table: str, row: Row) -> Explanation | None:
        """Why the row is there; None if it isn't."""
        self._begin()
        return explanation.explain(self._evaluation, (policy, table), stored_row(row))

    def simulate(self, policy: str, query: str, sequence: str, action_policy: str, delta: bool = False) -> list[Row]:
        """What `query` would find after `sequence`, a program of updates (`p+(1)`, `p-(x) :- q(x)`) and of actions
        that `action_policy` describes. The first value of each row is the table's name, with `delta` with + or -
        for rows that would appear or vanish. Nothing changes, nothing is called."""
        with self._trying():
            before = set(self._workspace.matches(policy, query))
            whatif.project(self._workspace, policy, sequence, action_policy)
            after = set(self._workspace.matches(policy, query))
        name = whatif.table_name(query)
        rows = [(name, row) for row in after]
        if delta:
            rows = [(f"{name}+", row) for row in after - before] + [(f"{name}-", row) for row in before - after]
        return [(name, *shown_row(row)) for name, row in sorted(rows, key=lambda r: (r[0], row_order(r[1])))]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """What is done inside stays, or none of it."""
        self._begin()
        assert not self._busy, "a change within a trial"
        try:
            yield
        except BaseException:
            self._evaluation.undo()
            raise
        self._evaluation.keep()

    @contextmanager
    def _trying(self) -> Iterator[None]:
        """What is done inside is undone."""
        self._begin()
        assert not self._busy, "a trial within a trial"
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self._evaluation.undo()

    def _begin(self) -> None:
        self._deadline_s = 0.0

    def _check_time(self) -> None:
        """It counts from the first look, before which there is little: most changes never look at the clock."""
        if self._clock:
            now = self._clock()
            self._deadline_s = self._deadline_s or now + self._max_s
            if now > self._deadline_s:
                raise TooMuch(f"this takes longer than {self._max_s} s")


def _difference(changed: Changed) -> Difference:
    appeared = Shown(changed.came, shown_row)
    calls = []
    for policy, name in changed.came:
        if name[-1] == "]":
            service, action = owned(name[len("execute[") : -1], policy)
            calls += [Call(policy, service, action, row) for row in sorted(appeared[policy, name], key=str)]
    return Difference(appeared, Shown(changed.went, shown_row), calls)
