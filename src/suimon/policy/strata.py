"""In which order tables are computed: each after all that it reads, those that read each other together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from suimon.policy.changes import Table
from suimon.policy.checks import RECURSIVE_KINDS
from suimon.policy.errors import PolicyError
from suimon.policy.terms import Aggregate, Clause

HIDDEN = "?"
"""A table that the engine made for itself; what follows in its first name is the policy's."""


class Strata:
    """`rank` of each table, and the groups of tables that are recursive, by rank."""

    def __init__(self, clauses: Iterable[Clause]) -> None:
        self._reads: dict[Table, list[tuple[Table, bool, Clause]]] = defaultdict(list)
        for clause in clauses:
            whole = any(isinstance(term, Aggregate) for term in clause.head.arguments)
            self._reads[clause.head.table] += [(a.table, a.negated or whole, clause) for a in clause.atoms]
        self.rank: dict[Table, int] = {}
        self.recursive: dict[int, list[Table]] = {}
        for rank, group in enumerate(_components({t: [r[0] for r in reads] for t, reads in self._reads.items()})):
            self.rank.update(dict.fromkeys(group, rank))
            if len(group) > 1 or any(read[0] == group[0] for read in self._reads.get(group[0], ())):
                self.recursive[rank] = group

    def check(self, kinds: Mapping[str, str], new: Iterable[Clause]) -> None:
        """`PolicyError` if a policy that must not recurse does, or tables that read each other do so by `not`."""
        places = {clause.text: clause.place for clause in new}
        for group in self.recursive.values():
            inside = set(group)
            edges = [(not_only, clause) for t in group for read, not_only, clause in self._reads[t] if read in inside]
            edges.sort(key=lambda edge: edge[1].text not in places)
            names = " → ".join(f"{policy}:{name}" for policy, name in sorted(group) if not policy.startswith(HIDDEN))
            for not_only, clause in edges:
                place = places.get(clause.text, clause.place)
                if not_only:
                    raise PolicyError(f"{names}: rows would depend on their own absence", place, f"in {clause.text}")
                if any(kinds.get(policy.lstrip(HIDDEN)) not in RECURSIVE_KINDS for policy, _ in group):
                    hint = "recursion needs policies of kind recursive"
                    raise PolicyError(f"{names}: the table depends on itself", place, hint)


def _components(reads: Mapping[Table, list[Table]]) -> list[list[Table]]:
    """Strongly connected, what is read first (Tarjan's algorithm, with a stack of its own instead of the caller's)."""
    number: dict[Table, int] = {}
    low: dict[Table, int] = {}
    path: list[Table] = []
    found: list[list[Table]] = []
    for start in reads:
        visits = [] if start in number else [(start, iter(reads[start]))]
        while visits:
            table, left = visits[-1]
            if table not in number:
                number[table] = low[table] = len(number)
                path.append(table)
            for read in left:
                if read not in number:
                    visits.append((read, iter(reads.get(read, ()))))
                    break
                if low.get(read, -1) >= 0:
                    low[table] = min(low[table], low[read])
            else:
                visits.pop()
                if visits:
                    above = visits[-1][0]
                    low[above] = min(low[above], low[table])
                if low[table] == number[table]:
                    group = path[path.index(table) :]
                    del path[path.index(table) :]
                    low.update(dict.fromkeys(group, -1))
                    found.append(group)
    return found
