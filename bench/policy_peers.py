"""clingo and DuckDB on the clauses and rows of `policy_world`: the clauses become theirs, the rows their facts."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping
from pathlib import Path

import clingo
import duckdb

from bench.policy_world import COLUMNS, DERIVED, NAMES, SOURCE, VIOLATIONS, Row
from suimon.policy.checks import Scope
from suimon.policy.syntax import read
from suimon.policy.terms import Atom, Clause, Term, Test, Variable

_COMPARED = {"lt": "<", "lteq": "<=", "gteq": ">=", "equal": "="}


def clauses() -> list[Clause]:
    scope = Scope("main", "nonrecursive", {SOURCE: COLUMNS})
    found = [scope.resolved(statement) for statement in read(DERIVED + VIOLATIONS)]
    return [clause for clause in found if isinstance(clause, Clause)]


class Clingo:
    """Grounds and solves all of it for every answer."""

    def load(self, rows: Mapping[str, list[Row]]) -> None:
        self._program = "\n".join(map(_rule, clauses()))
        self._facts = {table: dict.fromkeys(found) for table, found in rows.items()}

    def change(self, table: str, row: Row, comes: bool) -> None:
        if comes:
            self._facts[table][row] = None
        else:
            del self._facts[table][row]

    def violations(self) -> dict[str, int]:
        control = clingo.Control(["-Wnone"])
        facts = [f"{table}({', '.join(map(_constant, row))})." for table, rows in self._facts.items() for row in rows]
        control.add("base", [], "\n".join([self._program, *facts]))
        control.ground([("base", [])])
        control.solve()
        shapes = {name: arity for name, arity, _ in control.symbolic_atoms.signatures}
        return {
            name: sum(1 for _ in control.symbolic_atoms.by_signature(name, shapes[name])) if name in shapes else 0
            for name in NAMES
        }


def _rule(clause: Clause) -> str:
    return f"{_atom(clause.head)} :- {', '.join(map(_literal, clause.body))}."


def _literal(part: Atom | Test) -> str:
    if isinstance(part, Atom):
        return ("not " if part.negated else "") + _atom(part)
    left, right = map(_term, part.inputs)
    return f"{left} {'!=' if part.negated else _COMPARED[part.builtin]} {right}"


def _atom(atom: Atom) -> str:
    return f"{atom.table[1]}({', '.join(map(_term, atom.arguments))})"


def _term(term: Term) -> str:
    if isinstance(term, Variable):
        return "_" if term.anonymous else f"V{term.name}"
    return _constant(term)


def _constant(value: str | int) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


class DuckDB:
    """Views over tables, asked again for every answer."""

    def load(self, rows: Mapping[str, list[Row]]) -> None:
        self._database = duckdb.connect()
        for table, found in rows.items():
            kinds = ["BIGINT" if isinstance(value, int) else "TEXT" for value in found[0]]
            columns = ", ".join(f"c{i} {kind}" for i, kind in enumerate(kinds))
            self._database.execute(f'CREATE TABLE "{table}" ({columns})')
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "rows.csv"
                with file.open("w", newline="") as out:
                    csv.writer(out).writerows(found)
                self._database.execute(f"COPY \"{table}\" FROM '{file}' (HEADER false)")
        for clause in clauses():
            self._database.execute(f'CREATE VIEW "{clause.head.table[1]}" AS {_select(clause)}')

    def change(self, table: str, row: Row, comes: bool) -> None:
        if comes:
            self._database.execute(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(row))})', row)
        else:
            same = " AND ".join(f"c{i} = ?" for i in range(len(row)))
            self._database.execute(f'DELETE FROM "{table}" WHERE {same}', row)

    def violations(self) -> dict[str, int]:
        return {name: len(self._database.execute(f'SELECT * FROM "{name}"').fetchall()) for name in NAMES}


def _select(clause: Clause) -> str:
    places: dict[Variable, str] = {}
    tables, conditions = [], []
    for number, atom in enumerate(atom for atom in clause.atoms if not atom.negated):
        tables.append(f'"{atom.table[1]}" a{number}')
        for column, term in enumerate(atom.arguments):
            here = f"a{number}.c{column}"
            if isinstance(term, Variable) and term not in places:
                places[term] = here
            else:
                conditions.append(f"{here} = {_sql(term, places)}")
    for part in clause.body:
        if isinstance(part, Test):
            left, right = (_sql(term, places) for term in part.inputs)
            conditions.append(f"{'NOT ' if part.negated else ''}({left} {_COMPARED[part.builtin]} {right})")
        elif part.negated:
            same = " AND ".join(f"n.c{i} = {_sql(term, places)}" for i, term in enumerate(part.arguments))
            conditions.append(f'NOT EXISTS (SELECT 1 FROM "{part.table[1]}" n WHERE {same})')
    heads = ", ".join(f"{_sql(term, places)} AS c{i}" for i, term in enumerate(clause.head.arguments))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT DISTINCT {heads} FROM {', '.join(tables)}{where}"


def _sql(term: Term, places: Mapping[Variable, str]) -> str:
    if isinstance(term, Variable):
        return places[term]
    return str(term) if isinstance(term, int) else f"'{term}'"


PEERS = {"DuckDB": DuckDB, "clingo": Clingo}
