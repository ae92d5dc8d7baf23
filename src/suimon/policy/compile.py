"""Clauses to functions: one per place where a row of a body may come or go, generated as Python's source.

For `r(x, z) :- e(x, y), f(y, z), not g(z)` and a row of `e`:

    def steps(rows, out, sign):
        for row in rows:
            v0, v1 = row[0], row[1]
            for r1 in index1.get(v1, ()):
                v2 = r1[1]
                if (v2,) in rows2: continue
                head = (v0, v2)
                out[head] = out.get(head, 0) + sign

A function is called while the rows are in their table. Where the table stands at several places of a body
(`meets_itself`), each derivation must be found once: rows come and go one at a time, and places before the function's
own are looked up as if the row were not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from suimon.policy.builtins import BUILTINS
from suimon.policy.changes import Table
from suimon.policy.plan import bound_columns, is_known, order
from suimon.policy.relation import Columns, Relation
from suimon.policy.terms import Atom, Clause, Term, Test, Variable
from suimon.policy.values import StoredRow

MAX_JOINS = 16
"""Tables in one body: Python nests no more than 20 loops."""
MAX_PROOFS = 64
WORK = 20_000
"""Rows looked at between two looks at the limits."""

Out = dict[StoredRow, int]
Steps = Callable[[Iterable[StoredRow], Out, int], None]
Check = Callable[[int], None]
"""Told how many rows were found; raises when that, or the time, is too much."""
Relations = Callable[[Atom], Relation]


class Writer:
    """The source of one function of a clause, and the objects that it names."""

    def __init__(self, clause: Clause, relations: Relations, check: Check) -> None:
        self._clause, self._relations = clause, relations
        self._names: dict[str, Any] = {"check": check}
        self._lines: list[str] = []
        self._depth = 1
        self._known: dict[Variable, str] = {}
        self._used = _used(clause)
        self._is_whole = False
        self._read: tuple[Atom, int] | None = None
        """What a whole evaluation reads through, and its place, until the next lookup."""

    def steps(self, at: int) -> Steps:
        """`steps(rows, out, sign)`: the heads that the rows at this place of the body give, each with `sign`."""
        place = self._clause.body[at]
        assert isinstance(place, Atom)
        self._line("for row in rows:")
        self._depth += 1
        self._match(place.arguments, "row")
        self._join(at)
        self._line(f"head = {self._head()}")
        self._line("out[head] = out.get(head, 0) + sign")
        return self._function("steps(rows, out, sign)", "check(len(out))")  # type: ignore[no-any-return]

    def whole(self) -> Callable[[Callable[[list[StoredRow]], None]], None]:
        """`whole(emit)`: all heads that the clause gives now, some at a time. It is called once."""
        self._is_whole = True
        self._line("heads = []")
        self._join(None)
        self._line(f"heads.append({self._head()})")
        source = "emit(heads); heads.clear()"
        self._depth = 1
        self._line(source)
        return self._function("whole(emit)", source)  # type: ignore[no-any-return]

    def proof(self) -> Callable[[StoredRow, list[tuple[StoredRow, ...]]], None]:
        """`proof(row, out)`: for some ways in which the clause gives this head, the rows of its positive atoms."""
        self._match(self._clause.head.arguments, "row")
        self._join(None)
        rows = [f"r{i}" for i, part in enumerate(self._clause.body) if isinstance(part, Atom) and not part.negated]
        self._line(f"out.append(({''.join(f'{r}, ' for r in rows)}))")
        self._line(f"if len(out) >= {MAX_PROOFS}: return")
        return self._function("proof(row, out)", "check(0)")  # type: ignore[no-any-return]

    def _function(self, signature: str, pause: str) -> Any:
        """`pause` is what is done when some work was done: a look at the limits."""
        source = "\n".join([f"def {signature}:", f"    work = {WORK}", *self._lines]).replace("PAUSE", pause)
        exec(compile(source, "<clause>", "exec"), self._names)  # noqa: S102 (our own text; values come in by name)
        return self._names[signature.partition("(")[0]]

    def _line(self, text: str) -> None:
        self._lines.append("    " * self._depth + text)

    def _unless(self, condition: str) -> None:
        self._line(f"if {condition}: {'continue' if self._depth > 1 else 'return'}")

    def _estimate(self, atom: Atom, columns: tuple[int, ...]) -> float:
        return self._relations(atom).matches(columns)

    def _join(self, at: int | None) -> None:
        body = self._clause.body
        own = body[at] if at is not None else None
        for place in order(body, self._known, at, self._estimate):
            part = body[place]
            if isinstance(part, Test):
                self._test(part, place)
            else:
                # The row itself is not there for places before its own, see above.
                without = isinstance(own, Atom) and own.table == part.table and at is not None and place < at
                self._lookup(part, place, without)

    def _lookup(self, atom: Atom, place: int, without: bool) -> None:
        relation = self._relations(atom)
        columns = bound_columns(atom, set(self._known))
        if len(columns) == len(atom.arguments):
            self._names[f"rows{place}"] = relation.rows
            self._line(f"r{place} = ({''.join(f'{self._term(t)}, ' for t in atom.arguments)})")
            there = f"r{place} in rows{place}" + (f" and r{place} != row" if without else "")
            self._unless(there if atom.negated else f"not ({there})")
            return
        columns = self._indexed(atom, relation, columns)
        if columns:
            self._names[f"index{place}"] = relation.index(columns)
            self._read_together(atom, columns)
            terms = [self._term(atom.arguments[c]) for c in columns]
            key = terms[0] if len(terms) == 1 else f"({', '.join(terms)})"
            self._line(f"found{place} = index{place}.get({key})")
            self._unless(f"found{place} is None")
        else:
            self._names[f"found{place}"] = self._names[f"each{place}"] = relation.rows
            self._read = (atom, place) if self._is_whole and self._depth == 1 else None
        self._line(f"work -= len(found{place})")
        self._line(f"if work < 0: PAUSE; work = {WORK}")
        self._line(f"for r{place} in {'found' if columns else 'each'}{place}:")
        self._depth += 1
        if without:
            self._unless(f"r{place} == row")
        self._match(atom.arguments, f"r{place}", skip=columns)

    def _indexed(self, atom: Atom, relation: Relation, columns: Columns) -> Columns:
        """Which index to look up; none for what is read through once, unless there is one already."""
        chosen = relation.best_index(columns) if columns else ()
        once = self._depth == 1 and not any(isinstance(atom.arguments[c], Variable) for c in chosen)
        return () if self._is_whole and once and chosen not in relation.indexes else chosen

    def _read_together(self, atom: Atom, columns: Columns) -> None:
        """Rows that the lookup takes to the same rows are read one after the other, if there is an index that has them
        together: what they meet is then in the processor's cache."""
        if self._read is None:
            return
        (read, place), self._read = self._read, None
        terms = [atom.arguments[c] for c in columns if atom.arguments[c] in read.arguments]
        found = self._relations(read).indexes.get(tuple(read.arguments.index(term) for term in terms))
        if found is not None:
            self._names[f"each{place}"] = chain.from_iterable(found[0].values())

    def _match(self, terms: tuple[Term, ...], row: str, skip: tuple[int, ...] = ()) -> None:
        """Binds the variables of `terms` to the columns of `row`, and compares what is known."""
        for column, term in enumerate(terms):
            if column in skip:
                continue
            if is_known(term, set(self._known)):
                self._unless(f"{row}[{column}] != {self._term(term)}")
            elif term in self._used:
                self._known[term] = f"v{len(self._known)}"
                self._line(f"{self._known[term]} = {row}[{column}]")

    def _test(self, test: Test, place: int) -> None:
        self._names[f"builtin{place}"] = BUILTINS[test.builtin].answer
        self._line(f"t{place} = builtin{place}({', '.join(map(self._term, test.inputs))})")
        if test.negated:
            same = [f"t{place}[{i}] == {self._term(term)}" for i, term in enumerate(test.outputs)]
            self._unless(" and ".join([f"t{place} is not None", *same]))
            return
        self._unless(f"t{place} is None")
        self._match(test.outputs, f"t{place}")

    def _head(self) -> str:
        return f"({''.join(f'{self._term(t)}, ' for t in self._clause.head.arguments)})"

    def _term(self, term: Term) -> str:
        """What the source calls a term: a variable's name, or that of a constant, which is never part of the text."""
        if isinstance(term, Variable):
            return self._known[term]
        name = f"c{len(self._names)}"
        self._names[name] = term
        return name


def meets_itself(clause: Clause, table: Table) -> bool:
    """Whether rows of the table may meet others of it in the clause's body."""
    return sum(atom.table == table for atom in clause.atoms) > 1


def _used(clause: Clause) -> set[Variable]:
    """The variables that occur more than once: no other is worth a name."""
    terms = [*clause.head.arguments]
    for part in clause.body:
        terms += part.arguments if isinstance(part, Atom) else part.inputs + part.outputs
    return {v for v, count in Counter(t for t in terms if isinstance(t, Variable)).items() if count > 1}
