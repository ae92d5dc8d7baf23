"""Why a row is there: the clause that gives it, what that clause found, and why that is there in turn."""

from __future__ import annotations

from itertools import islice

from suimon.policy.changes import Explanation, Table
from suimon.policy.evaluation import Evaluation
from suimon.policy.strata import HIDDEN
from suimon.policy.terms import Atom, Clause, Term, Test, Variable, shown
from suimon.policy.values import Stored, StoredRow, row_order, shown_row

MAX_DEPTH = 12
MAX_ROWS = 400
"""Rows that one explanation looks at."""
MAX_SOLUTIONS = 10
"""Rows of a group that the explanation of an aggregate shows."""

_Step = tuple[Table, StoredRow]


def explain(evaluation: Evaluation, table: Table, row: StoredRow) -> Explanation | None:
    """None if the row isn't there."""
    relation = evaluation.relations.get(table)
    if relation is None or row not in relation.rows:
        return None
    return _Search(evaluation).why((table, row), ())


class _Search:
    """A row that holds itself up is no reason; so a proof never comes by the same row twice."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._left = MAX_ROWS

    def why(self, step: _Step, path: tuple[_Step, ...]) -> Explanation | None:
        table, row = step
        self._left -= 1
        clauses = self._evaluation.clauses_of(table)
        if not clauses or row in self._evaluation.relation(table).asserted:
            return Explanation(table, shown_row(row))
        if len(path) >= MAX_DEPTH or self._left <= 0:
            return Explanation(table, shown_row(row), cut=True)
        for clause in clauses:
            found = self._by(clause, row, (*path, step))
            if found is not None:
                return found
        return None

    def _by(self, clause: Clause, row: StoredRow, path: tuple[_Step, ...]) -> Explanation | None:
        aggregator = self._evaluation.wiring.aggregators.get(clause)
        if aggregator is not None:
            return self._of_group(clause, row, path)
        atoms = [part for part in clause.body if isinstance(part, Atom) and not part.negated]
        for proof in sorted(self._evaluation.proofs(clause, row), key=lambda rows: [row_order(r) for r in rows]):
            steps = [(atom.table, found) for atom, found in zip(atoms, proof, strict=True)]
            if any(step in path for step in steps):
                continue
            reasons = []
            for step in steps:
                reason = self.why(step, path)
                if reason is None:
                    break
                reasons.append(reason)
            else:
                return Explanation(
                    clause.head.table, shown_row(row), clause.text, tuple(reasons), _absent(clause, row, proof)
                )
        return None

    def _of_group(self, clause: Clause, row: StoredRow, path: tuple[_Step, ...]) -> Explanation | None:
        """An aggregate is explained by solutions of its group, or the first of them."""
        aggregator = self._evaluation.wiring.aggregators[clause]
        solutions = clause.atoms[0].table
        rows = self._evaluation.relation(solutions).rows
        group = aggregator.group_of_head(row)
        found = sorted(islice((r for r in rows if aggregator.group(r) == group), MAX_SOLUTIONS + 1), key=row_order)
        if not found or aggregator.head(group) != row:
            return None
        reasons = [reason for r in found[:MAX_SOLUTIONS] if (reason := self.why((solutions, r), path))]
        because = tuple(dict.fromkeys(one for reason in reasons for one in reason.because))
        cut = len(found) > MAX_SOLUTIONS
        return Explanation(clause.head.table, shown_row(row), clause.text, because, cut=cut)


def _absent(clause: Clause, head: StoredRow, proof: tuple[StoredRow, ...]) -> tuple[str, ...]:
    """The negated literals and the builtins of a body, with the values for which they held."""
    values: dict[Variable, Stored] = {}
    atoms = [part for part in clause.body if isinstance(part, Atom) and not part.negated]
    for terms, row in [(clause.head.arguments, head), *((a.arguments, r) for a, r in zip(atoms, proof, strict=True))]:
        values |= {term: value for term, value in zip(terms, row, strict=True) if isinstance(term, Variable)}
    return tuple(_text(part, values) for part in clause.body if isinstance(part, Test) or part.negated)


def _text(part: Atom | Test, values: dict[Variable, Stored]) -> str:
    def inside(terms: tuple[Term, ...]) -> str:
        return ", ".join(shown(values.get(t, t) if isinstance(t, Variable) else t) for t in terms)

    sign = "not " if part.negated else ""
    if isinstance(part, Test):
        return f"{sign}builtin:{part.builtin}({inside(part.inputs + part.outputs)})"
    owner, name = part.table
    arguments = part.arguments
    if owner.startswith(HIDDEN):  # A table of some columns of another: see `program`.
        name, width, kept = name.rsplit("/", 2)
        given = dict(zip(map(int, filter(None, kept.split(","))), arguments, strict=True))
        owner, arguments = owner[1:], tuple(given.get(i, Variable("?")) for i in range(int(width)))
    return f"{sign}{owner}:{name}({inside(arguments)})"
