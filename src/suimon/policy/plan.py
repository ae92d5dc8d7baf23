"""In which order a clause's body is evaluated: what finds fewest rows first, what only tests as soon as it can."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from suimon.policy.relation import Columns
from suimon.policy.terms import Atom, Term, Test, Variable, variables

Estimate = Callable[[Atom, Columns], float]
"""How many rows of the atom's table a lookup by these columns may find."""


def order(body: tuple[Atom | Test, ...], bound: Iterable[Variable], first: int | None, estimate: Estimate) -> list[int]:
    """Positions in `body`, without `first`, whose variables `bound` holds already. The body is safe.

    Among joins the one that finds least comes first; tests, negations and rows that are all known come before joins.
    """
    known = set(bound)
    left = [i for i in range(len(body)) if i != first]
    ordered = []
    while left:
        following = min(left, key=lambda i: (_cost(body[i], known, estimate), i))
        assert _cost(body[following], known, estimate) < _NEVER, "an unsafe body"
        left.remove(following)
        ordered.append(following)
        part = body[following]
        known |= set(variables(part.arguments if isinstance(part, Atom) else part.outputs))
    return ordered


_NEVER = float("inf")


def _cost(part: Atom | Test, known: set[Variable], estimate: Estimate) -> float:
    if isinstance(part, Test):
        needed = part.inputs + part.outputs if part.negated else part.inputs
        return -1 if set(variables(needed)) <= known else _NEVER
    if part.negated:
        return -1 if set(variables(part.arguments)) <= known else _NEVER
    columns = bound_columns(part, known)
    return -2 if len(columns) == len(part.arguments) else estimate(part, columns)


def bound_columns(atom: Atom, known: set[Variable]) -> Columns:
    """The columns whose terms are known before the atom is looked up."""
    return tuple(i for i, term in enumerate(atom.arguments) if is_known(term, known))


def is_known(term: Term, known: set[Variable]) -> bool:
    return not isinstance(term, Variable) or term in known
