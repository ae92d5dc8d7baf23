"""Policies with their evaluation: statements go in, rows come out, and all of it can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from suimon.policy.changes import Event, FactChange, Row, Table
from suimon.policy.checks import NAMESPACE, Scope
from suimon.policy.errors import NOWHERE, Place, PolicyError
from suimon.policy.evaluation import Evaluation
from suimon.policy.program import Policy, check_width, evaluated, widths
from suimon.policy.relation import Relation
from suimon.policy.strata import HIDDEN, Strata
from suimon.policy.syntax import read, read_query
from suimon.policy.terms import Atom, Clause, Fact, Test
from suimon.policy.values import NoValue, StoredRow, row_order, stored_row

_ANSWER: Table = (HIDDEN, "answer")


class Workspace:
    """Nothing of what goes in shows before `evaluation.settle`; `evaluation.undo` takes it all back."""

    def __init__(self, check_time: Callable[[], None]) -> None:
        self.sources: dict[str, dict[str, tuple[str, ...]]] = {}
        self.policies: dict[str, Policy] = {}
        self.evaluation = Evaluation(check_time)

    def policy(self, name: str) -> Policy:
        found = self.policies.get(name)
        if found is None:
            raise PolicyError(f"there is no policy {name}")
        return found

    def check_new_name(self, name: str) -> None:
        if name in self.policies or name in self.sources or name == NAMESPACE:
            raise PolicyError(f"there is already something called {name}")
        if not (name.replace("-", "_").isidentifier() and name.isascii()):
            raise PolicyError(f"{name!r} can't be a name", hint="letters, digits and _")

    def scope(self, policy: str) -> Scope:
        return Scope(policy, self.policy(policy).kind, self.sources)

    def add_source(self, name: str, tables: Mapping[str, tuple[str, ...]]) -> None:
        known = {**self.sources.get(name, {})}
        for table, columns in tables.items():
            known.setdefault(table, tuple(columns))
        sources = {**self.sources, name: known}
        self._widths(sources, [c for policy in self.policies.values() for c in policy.clauses])
        self.sources = sources
        for table in known:
            self.evaluation.relation((name, table)).is_told = False

    # Policies' clauses and facts.

    def apply(self, events: Sequence[Event]) -> None:
        parsed = []
        for event in events:
            scope = self.scope(event.policy)
            parsed.append((event.policy, event.insert, [scope.resolved(statement) for statement in read(event.text)]))
        for policy, insert, found in parsed:
            self._edit(policy, found, insert)
        self._rewire([part for _, insert, found in parsed if insert for part in found])

    def insert(self, policy: str, parts: Sequence[Clause | Fact]) -> None:
        self._edit(policy, parts, insert=True)
        self._rewire(parts)

    def delete(self, policy: str, parts: Sequence[Clause | Fact]) -> None:
        self._edit(policy, parts, insert=False)
        self._rewire(())

    def _edit(self, name: str, parts: Iterable[Clause | Fact], insert: bool) -> None:
        policy = self.policy(name)
        clauses, facts = {**policy.clauses}, {**policy.facts}
        for part in parts:
            if isinstance(part, Clause):
                clauses.setdefault(part) if insert else clauses.pop(_written(part, clauses), None)
            else:
                facts.setdefault(part) if insert else facts.pop(part, None)
                self.evaluation.assert_row(self.evaluation.relation(part.table), part.row, insert)
        self.evaluation.on_undo(_setter(policy, policy.clauses, policy.facts))
        policy.clauses, policy.facts = clauses, facts

    def _rewire(self, new: Sequence[Clause | Fact]) -> None:
        clauses = [c for policy in self.policies.values() for c in policy.clauses]
        self._check_widths(clauses, new)
        counted = evaluated(clauses)
        if counted.keys() == self.evaluation.wiring.clauses.keys():
            return
        strata = Strata(counted)
        kinds = {name: policy.kind for name, policy in self.policies.items()}
        strata.check(kinds, [part for part in new if isinstance(part, Clause)])
        self.evaluation.rewire(counted, strata)

    def _check_widths(self, clauses: Sequence[Clause], new: Sequence[Clause | Fact]) -> None:
        fresh = {part for part in new if isinstance(part, Clause)}
        # Where the others were written is another text's matter.
        others = self._widths(self.sources, [c for c in clauses if c not in fresh])
        known = {table: (width, NOWHERE) for table, (width, _) in others.items()}
        facts = {part for part in new if isinstance(part, Fact)}
        for relation in self.evaluation.relations.values():
            for row in relation.asserted:
                if Fact(relation.table, row) not in facts:
                    check_width(relation.table, len(row), NOWHERE, known)
                    break
        for part in new:
            if isinstance(part, Clause):
                widths([part], known)
            else:
                check_width(part.table, len(part.row), part.place, known)

    def _widths(
        self, sources: Mapping[str, Mapping[str, tuple[str, ...]]], clauses: Iterable[Clause]
    ) -> dict[Table, tuple[int, Place]]:
        known = {(s, t): (len(columns), NOWHERE) for s, tables in sources.items() for t, columns in tables.items()}
        return widths(clauses, known)

    def reads(self, table: Table) -> set[Table]:
        """The table, and all others that its clauses lead to."""
        bodies: dict[Table, set[Table]] = {}
        for policy in self.policies.values():
            for clause in policy.clauses:
                bodies.setdefault(clause.head.table, set()).update(atom.table for atom in clause.atoms)
        found, left = {table}, [table]
        while left:
            new = bodies.get(left.pop(), set()) - found
            found |= new
            left += new
        return found

    # Sources' rows.

    def put(self, changes: Sequence[FactChange]) -> list[Relation]:
        """Says of which tables there were changes."""
        changed = []
        for change in changes:
            columns = self.sources.get(change.source, {}).get(change.table)
            if columns is None:
                raise PolicyError(f"there is no table {change.table} of a source {change.source}")
            relation = self.evaluation.relations[change.source, change.table]
            changed.append(relation)
            put = _rows(change.put, len(columns), relation.table)
            drop = _rows(change.drop, len(columns), relation.table)
            if change.whole:
                whole = set(put)
                drop = [row for row in {**relation.rows, **relation.gains} if row not in whole]
            self._exchange(relation, put, drop)
        return changed

    def _exchange(self, relation: Relation, put: Iterable[StoredRow], drop: Iterable[StoredRow]) -> None:
        """A source's row has one derivation: what is pending is what is not so yet."""
        rows, gains = relation.rows, relation.gains
        for row in drop:
            if row in rows:
                gains[row] = -1
            else:
                gains.pop(row, None)
        for row in put:
            if row not in rows:
                gains[row] = 1
            else:
                gains.pop(row, None)
        if gains:
            self.evaluation.queue(relation)

    # Questions.

    def matches(self, policy: str, query: str) -> list[StoredRow]:
        """The rows of an atom's table that match it, sorted."""
        literal = read_query(query)
        return sorted(self.answers(self.scope(policy).query(literal)), key=row_order)

    def answers(self, part: Atom | Test) -> list[StoredRow]:
        arguments = part.arguments if isinstance(part, Atom) else part.inputs + part.outputs
        if isinstance(part, Atom):
            relation = self.evaluation.relations.get(part.table)
            if relation is None or len(next(iter(relation.rows), ())) != len(arguments):
                return []
        return list(self.evaluation.solve(Clause(Atom(_ANSWER, arguments), (part,), "")))


def _setter(policy: Policy, clauses: dict[Clause, None], facts: dict[Fact, None]) -> Callable[[], None]:
    def undo() -> None:
        policy.clauses, policy.facts = clauses, facts

    return undo


def _written(clause: Clause, clauses: Mapping[Clause, None]) -> Clause:
    """The clause as it came: its body may have stood in another order."""
    body = frozenset(clause.body)
    same = (one for one in clauses if one.head == clause.head and frozenset(one.body) == body)
    return clause if clause in clauses else next(same, clause)


def _rows(rows: Sequence[Row], width: int, table: Table) -> Sequence[StoredRow]:
    if not rows:
        return ()
    try:
        stored = list(map(stored_row, rows))
    except (NoValue, TypeError) as error:
        raise PolicyError(f"a row of {table[0]}:{table[1]}: {error}") from error
    for row in stored:
        if len(row) != width:
            raise PolicyError(f"{table[0]}:{table[1]} has {width} columns, not {len(row)}")
    return stored
