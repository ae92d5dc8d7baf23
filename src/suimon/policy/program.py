"""Policies as they are written: their clauses and facts, and the clauses that the engine makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from suimon.policy.changes import Table
from suimon.policy.errors import NOWHERE, Place, PolicyError
from suimon.policy.strata import HIDDEN
from suimon.policy.terms import Aggregate, Atom, Clause, Fact, Test, Variable, variables


class Policy:
    """`clauses` and `facts` in the order in which they came; facts with their place, for messages."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.clauses: dict[Clause, None] = {}
        self.facts: dict[Fact, None] = {}


def evaluated(clauses: Iterable[Clause]) -> Counter[Clause]:
    """What the engine computes for these clauses: they themselves, and hidden tables for what one loop can't do.

    A negated atom with `_` asks whether there is any such row: it becomes the negation of a table of the columns that
    are given. Aggregates are of a table of the body's solutions. What several clauses need is there once.
    """
    found: Counter[Clause] = Counter()
    for clause in clauses:
        if not is_inventing(clause):
            found.update(_parts(clause))
    return found


def is_inventing(clause: Clause) -> bool:
    """An action's update may have values that are only made when the action is tried (`whatif`)."""
    bound = {v for part in clause.body for v in variables(part.arguments if isinstance(part, Atom) else part.outputs)}
    return not set(variables(clause.head.arguments)) <= bound


def _parts(clause: Clause) -> Iterator[Clause]:
    body: list[Atom | Test] = []
    for part in clause.body:
        if (
            isinstance(part, Atom)
            and part.negated
            and any(isinstance(t, Variable) and t.anonymous for t in part.arguments)
        ):
            kept = [i for i, t in enumerate(part.arguments) if not (isinstance(t, Variable) and t.anonymous)]
            some = _projection(part, kept)
            yield some
            body.append(Atom(some.head.table, tuple(part.arguments[i] for i in kept), negated=True))
        else:
            body.append(part)
    if not any(isinstance(term, Aggregate) for term in clause.head.arguments):
        yield Clause(clause.head, tuple(body), clause.text, clause.place)
        return
    solutions = _solutions(clause, tuple(body))
    yield solutions
    yield Clause(clause.head, (solutions.head,), clause.text, clause.place)


def _projection(atom: Atom, kept: list[int]) -> Clause:
    terms = tuple(Variable(f"x{i}") if i in kept else Variable(f"?{i}") for i in range(len(atom.arguments)))
    name = f"{atom.table[1]}/{len(terms)}/{','.join(map(str, kept))}"
    head = Atom((HIDDEN + atom.table[0], name), tuple(terms[i] for i in kept))
    return Clause(head, (Atom(atom.table, terms),), "")


def _solutions(clause: Clause, body: tuple[Atom | Test, ...]) -> Clause:
    """The different ways in which a body holds, told apart by its variables that have names."""
    parts = [
        v for part in body for v in variables(part.arguments if isinstance(part, Atom) else part.inputs + part.outputs)
    ]
    named = tuple(dict.fromkeys(v for v in parts if not v.anonymous))
    head = Atom((HIDDEN + clause.head.table[0], f"{clause.head.table[1]} of {named!r} {body!r}"), named)
    return Clause(head, body, clause.text, clause.place)


def widths(clauses: Iterable[Clause], known: dict[Table, tuple[int, Place]]) -> dict[Table, tuple[int, Place]]:
    """How many columns each table has; `PolicyError` where two places disagree."""
    for clause in clauses:
        for atom in (clause.head, *clause.atoms):
            check_width(atom.table, len(atom.arguments), clause.place, known)
    return known


def check_width(table: Table, width: int, place: Place, known: dict[Table, tuple[int, Place]]) -> None:
    before, first = known.setdefault(table, (width, place))
    if before != width:
        where = f", line {first.line}" if first != NOWHERE else ""
        name = table[1] if table[0].startswith(HIDDEN) else f"{table[0]}:{table[1]}"
        raise PolicyError(f"{name} has {before} columns elsewhere{where}, not {width}", place)
