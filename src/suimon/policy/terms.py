"""What a program is made of: as it was read (`Statement`), and as the engine takes it (`Clause`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from suimon.policy.changes import Table
from suimon.policy.errors import NOWHERE, Place
from suimon.policy.values import Stored, StoredRow, text


class Variable(NamedTuple):
    """`name` begins with `?` for one that nobody can refer to: `_`, or a column that was not named."""

    name: str

    @property
    def anonymous(self) -> bool:
        return self.name[0] == "?"

    def __str__(self) -> str:
        return "_" if self.anonymous else self.name


class Aggregate(NamedTuple):
    """In a head: `count(x)`."""

    function: str
    variable: Variable

    def __str__(self) -> str:
        return f"{self.function}({self.variable})"


Term = Variable | Aggregate | Stored


@dataclass(frozen=True, slots=True)
class Literal:
    """As it was read. `modal` is what stands before brackets (`execute[…]`), `update` the sign after the name."""

    name: str
    arguments: tuple[Term, ...] = ()
    columns: tuple[tuple[str, Term], ...] = ()
    negated: bool = False
    modal: str = ""
    update: str = ""
    place: Place = field(default=NOWHERE, compare=False)

    def __str__(self) -> str:
        inside = [shown(a) for a in self.arguments] + [f"{c}={shown(a)}" for c, a in self.columns]
        atom = f"{self.name}{self.update}({', '.join(inside)})"
        return ("not " if self.negated else "") + (f"{self.modal}[{atom}]" if self.modal else atom)


@dataclass(frozen=True, slots=True)
class Statement:
    """`heads :- body`; `body` is None for what has no `:-`. `text` is what was written."""

    heads: tuple[Literal, ...]
    body: tuple[Literal, ...] | None
    text: str = field(compare=False)

    @property
    def place(self) -> Place:
        return self.heads[0].place


@dataclass(frozen=True, slots=True)
class Atom:
    """A table of a policy or a source, with a term for each of its columns."""

    table: Table
    arguments: tuple[Term, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Test:
    """A builtin: from `inputs`, which are bound, follow `outputs`."""

    builtin: str
    inputs: tuple[Term, ...]
    outputs: tuple[Term, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    """A rule that was checked: safe, its columns in their places, its tables with their policies."""

    head: Atom
    body: tuple[Atom | Test, ...]
    text: str = field(compare=False)
    place: Place = field(default=NOWHERE, compare=False)

    @property
    def atoms(self) -> list[Atom]:
        return [part for part in self.body if isinstance(part, Atom)]


@dataclass(frozen=True, slots=True)
class Fact:
    """A row that a policy states."""

    table: Table
    row: StoredRow
    place: Place = field(default=NOWHERE, compare=False)


def variables(terms: tuple[Term, ...]) -> list[Variable]:
    """Those among `terms`, each once, in their order."""
    found = [t.variable if isinstance(t, Aggregate) else t for t in terms if isinstance(t, Variable | Aggregate)]
    return list(dict.fromkeys(found))


def shown(term: Term) -> str:
    return str(term) if isinstance(term, Variable | Aggregate) else text(term)


def fact_text(fact: Fact) -> str:
    name = fact.table[1]
    inside = f"({', '.join(map(text, fact.row))})"
    return f"{name[:-1]}{inside}]" if name.endswith("]") else name + inside
