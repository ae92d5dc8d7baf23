"""Statements to clauses and facts: what a policy may say, and where it is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import NoReturn

from suimon.policy.builtins import BUILTINS, fits
from suimon.policy.changes import Table, owned
from suimon.policy.compile import MAX_JOINS
from suimon.policy.errors import PolicyError
from suimon.policy.terms import Aggregate, Atom, Clause, Fact, Literal, Statement, Term, Test, Variable, variables

NAMESPACE = "builtin"
KINDS = ("nonrecursive", "action", "database", "recursive", "materialized", "z3")
RECURSIVE_KINDS = ("recursive", "materialized", "z3")
_CONSTANTS = {"true": "write true", "false": "write false", "null": "write null", "none": "write null"}
_KIND_NAMES = {"n": "a number", "t": "text", "o": "text or a number"}

Sources = Mapping[str, Mapping[str, tuple[str, ...]]]


class Scope:
    """What a statement of a policy is read against: the policy's kind, and the columns of sources."""

    def __init__(self, policy: str, kind: str, sources: Sources) -> None:
        self.policy, self._kind, self._sources = policy, kind, sources
        self._unnamed = 0

    def resolved(self, statement: Statement) -> Clause | Fact:
        self._unnamed = 0
        head = self._head(statement)
        body = [self._part(literal) for literal in statement.body or () if not _is_true(literal)]
        if not body:
            return self._fact(statement, head)
        if self._kind == "database":
            _refuse(statement.heads[0], "a policy of kind database holds facts only")
        clause = Clause(head, tuple(body), statement.text, statement.place)
        self._check_safety(clause, statement)
        if sum(isinstance(part, Atom) and not part.negated for part in body) > MAX_JOINS:
            _refuse(
                statement.heads[0], f"more than {MAX_JOINS} tables in one body", "put some into a table of their own"
            )
        return clause

    def query(self, literal: Literal) -> Atom | Test:
        """The atom of a question."""
        if literal.modal and literal.modal != "execute":
            _refuse(literal, f"{literal.modal}[…] is no table")
        if literal.modal:
            return Atom(self._action_table(literal), self._plain(literal))
        part = self._part(literal)
        if isinstance(part, Test) and variables(part.inputs):
            _refuse(literal, f"{part.builtin} needs values for what goes in", "only what comes out may be a variable")
        return part

    def table_of(self, literal: Literal) -> Table:
        """With the sign of an update."""
        owner, name = owned(literal.name, self.policy)
        return owner, name + literal.update

    def _head(self, statement: Statement) -> Atom:
        head, *others = statement.heads
        if others:
            _refuse(others[0], "a clause has one head", "write one clause for each")
        if head.negated:
            _refuse(head, "a head is not negated")
        if head.modal:
            return self._modal_head(head, statement)
        if _builtin_name(head):
            _refuse(head, f"{head.name} is a builtin", "give the table another name")
        if head.update and self._kind != "action":
            _refuse(
                head, f"{head.name}{head.update} describes an action", "such clauses go into a policy of kind action"
            )
        if ":" in head.name and not (head.update and statement.body):
            _refuse(head, f"{head.name} is not this policy's", "a head names no policy")
        if head.name == "true":
            _refuse(head, "true is not a table")
        table = (self.policy, head.name + head.update)
        return Atom(table, self._plain(head))

    def _modal_head(self, head: Literal, statement: Statement) -> Atom:
        if head.modal != "execute":
            _refuse(head, f"{head.modal}[…] can't be concluded", "only execute[service:action(…)] can")
        if statement.body is None:
            _refuse(head, f"{head} follows from nothing", "an action is called for by a clause")
        return Atom(self._action_table(head), self._plain(head))

    def _action_table(self, literal: Literal) -> Table:
        return self.policy, f"execute[{literal.name}{literal.update}]"

    def _plain(self, literal: Literal) -> tuple[Term, ...]:
        if literal.columns:
            _refuse(literal, f"the columns of {literal.name} have no names here", "give all values by position")
        return literal.arguments

    def _fact(self, statement: Statement, head: Atom) -> Fact:
        free = variables(head.arguments)
        if free and statement.body is not None:
            _refuse(statement.heads[0], f"{free[0]} is in the head, and nowhere in the body")
        if free:
            hint = _CONSTANTS.get(str(free[0]).lower(), "text stands in quotes, and literals of a body between commas")
            _refuse(statement.heads[0], f"a fact has no variables: {free[0]}", hint)
        return Fact(head.table, head.arguments, statement.place)

    def _part(self, literal: Literal) -> Atom | Test:
        if literal.modal:
            _refuse(literal, f"{literal.modal}[…] stands only in a head")
        for term in (*literal.arguments, *(term for _, term in literal.columns)):
            if isinstance(term, Aggregate):
                _refuse(literal, f"{term.function}(…) stands only in a head")
        name = _builtin_name(literal)
        if name:
            return _test(literal, name)
        if literal.name == "true":
            _refuse(literal, "true is not a table", "alone it always holds")
        if literal.update and self._kind != "action":
            _refuse(literal, f"{literal.name}{literal.update} has no rows outside a policy of kind action")
        table = self.table_of(literal)
        return Atom(table, self._arguments(literal, table), literal.negated)

    def _arguments(self, literal: Literal, table: Table) -> tuple[Term, ...]:
        tables = self._sources.get(table[0])
        if tables is None:
            return self._plain(literal)
        columns = tables.get(table[1])
        if columns is None:
            _refuse(literal, f"{table[0]} has no table {table[1]}", _near(table[1], tables))
        if len(literal.arguments) > len(columns):
            hint = f"its columns are {', '.join(columns)}; name those you need: {literal.name}({columns[0]}=x)"
            _refuse(literal, f"{literal.name} has {len(columns)} columns, not {len(literal.arguments)}", hint)
        return self._placed(literal, columns)

    def _placed(self, literal: Literal, columns: tuple[str, ...]) -> tuple[Term, ...]:
        """Positions first; columns that are not given are as good as `_`, each by itself."""
        given = dict(enumerate(literal.arguments))
        for name, term in literal.columns:
            if name.isdigit():
                place = int(name) if len(name) < 6 else len(columns)
            else:
                place = columns.index(name) if name in columns else len(columns)
            if place >= len(columns):
                hint = _near(name, columns) or f"its columns are {', '.join(columns)}"
                _refuse(literal, f"{literal.name} has no column {name}", hint)
            if place in given:
                _refuse(literal, f"the column {columns[place]} of {literal.name} is given twice")
            given[place] = term
        self._unnamed += 1
        return tuple(given.get(i, Variable(f"?{self._unnamed}.{i}")) for i in range(len(columns)))

    def _check_safety(self, clause: Clause, statement: Statement) -> None:
        body = statement.body or ()
        literals = [literal for literal in body if not _is_true(literal)]
        known: set[Variable] = set()
        left = list(zip(clause.body, literals, strict=True))
        while ready := [pair for pair in left if _needs(pair[0]) <= known]:
            for pair in ready:
                left.remove(pair)
                part = pair[0]
                known |= set(variables(part.arguments if isinstance(part, Atom) else part.outputs))
        if left:
            part, literal = left[0]
            unbound = sorted(str(v) for v in _needs(part) - known)
            _refuse(literal, f"nothing gives {', '.join(unbound)} a value in {literal}", "some table in the body must")
        for variable in variables(clause.head.arguments):
            if variable not in known and not (self._kind == "action" and clause.head.table[1].endswith("+")):
                _refuse(statement.heads[0], f"{variable} is in the head, and nowhere in the body")


def _test(literal: Literal, name: str) -> Test:
    builtin = BUILTINS.get(name)
    if builtin is None:
        hint = "time comes as a table of the source clock" if name == "now" else _near(name, BUILTINS)
        _refuse(literal, f"there is no builtin {name}", hint)
    if literal.columns or literal.update:
        _refuse(literal, f"the arguments of {name} have no names")
    width = builtin.inputs + builtin.outputs
    if len(literal.arguments) != width:
        hint = f"{builtin.inputs} in, {builtin.outputs} out"
        _refuse(literal, f"{name} takes {width} arguments, not {len(literal.arguments)}", hint)
    inputs, outputs = literal.arguments[: builtin.inputs], literal.arguments[builtin.inputs :]
    for kind, term in zip(builtin.kinds, inputs, strict=True):
        if not isinstance(term, Variable) and not fits(kind, term):
            _refuse(literal, f"{name} takes {_KIND_NAMES[kind]} there", f"in {literal}")
    return Test(name, inputs, outputs, literal.negated)


def _builtin_name(literal: Literal) -> str:
    """The builtin that a name means, or that it would have to mean; "" for a table."""
    if literal.name.startswith(f"{NAMESPACE}:"):
        return literal.name.partition(":")[2]
    return literal.name if literal.name in BUILTINS or literal.name == "now" else ""


def _is_true(literal: Literal) -> bool:
    return literal == Literal("true")


def _needs(part: Atom | Test) -> set[Variable]:
    """What must be known before the part can be looked at."""
    if isinstance(part, Test):
        return set(variables(part.inputs + part.outputs if part.negated else part.inputs))
    return {v for v in variables(part.arguments) if not v.anonymous} if part.negated else set()


def _near(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name[:100], list(names), 1)
    return f"is it {close[0]}?" if close else ""


def _refuse(literal: Literal, reason: str, hint: str = "") -> NoReturn:
    raise PolicyError(reason, literal.place, hint)
