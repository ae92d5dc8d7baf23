"""What would be, after updates and actions that are described and not done.

An action is described by clauses of a policy of kind action: `p+(x) :- act(x)` and `p-(x) :- act(x), q(x)`. They read
the tables of the policy that is asked about as if they were their own, as the steps before left them.
"""

from __future__ import annotations

from itertools import count

from suimon.policy.changes import FactChange, Table, owned
from suimon.policy.errors import PolicyError
from suimon.policy.program import Policy, is_inventing
from suimon.policy.strata import HIDDEN
from suimon.policy.syntax import read, read_query
from suimon.policy.terms import Atom, Clause, Fact, Literal, Statement, Term, Variable, variables
from suimon.policy.values import Stored, StoredRow, row_order, shown_row
from suimon.policy.workspace import Workspace

MAX_STEPS = 1000
RESULT = "result"
TRIAL = HIDDEN + "trial"

_Update = tuple[str, StoredRow]
"""A table as the action policy calls it, and a row."""


def table_name(query: str) -> str:
    """What rows of a question's answer are called."""
    return read_query(query).name


def project(workspace: Workspace, policy: str, sequence: str, action_policy: str) -> None:
    """Changes the workspace as the sequence would; the caller undoes it."""
    workspace.policy(policy)
    statements = read(sequence)
    if len(statements) > MAX_STEPS:
        raise PolicyError(f"more than {MAX_STEPS} steps")
    actions = _Actions(workspace, policy, action_policy)
    for statement in statements:
        head = statement.heads[0]
        if head.update and not head.modal:
            _update(workspace, policy, statement)
        elif head.name in actions.names:
            actions.take(statement)
        else:
            hint = f'{head.name}+(…) adds a row; actions are declared by action("{head.name}")'
            raise PolicyError(f"{head.name} is neither an action nor an update", head.place, hint)


def _update(workspace: Workspace, policy: str, statement: Statement) -> None:
    """`p+(1)`, `p-(x) :- q(x)`: the row or the clause comes or goes."""
    head = statement.heads[0]
    target, name = owned(head.name, policy)
    plain = Literal(name, head.arguments, head.columns, place=head.place)
    text = statement.text.replace(f"{head.name}{head.update}", name, 1)
    if target in workspace.sources:
        row = workspace.scope(policy).query(Literal(head.name, head.arguments, head.columns, place=head.place))
        if statement.body is not None or not isinstance(row, Atom) or variables(row.arguments):
            raise PolicyError(f"{target} is a source: its rows have no variables", head.place)
        _change(workspace, Fact(row.table, row.arguments), head.update == "+")
    else:
        part = workspace.scope(target).resolved(Statement((plain,), statement.body, text))
        (workspace.insert if head.update == "+" else workspace.delete)(target, [part])
    workspace.evaluation.settle()


def _change(workspace: Workspace, fact: Fact, insert: bool) -> None:
    """A row of a policy or a source comes or goes."""
    owner, table = fact.table
    if owner in workspace.sources:
        rows = (shown_row(fact.row),)
        workspace.put([FactChange(owner, table, put=rows) if insert else FactChange(owner, table, drop=rows)])
    else:
        (workspace.insert if insert else workspace.delete)(owner, [fact])


class _Actions:
    """The clauses of an action policy, in a policy of their own for the time being."""

    def __init__(self, workspace: Workspace, policy: str, action_policy: str) -> None:
        self._workspace, self._policy = workspace, policy
        source = workspace.policy(action_policy)
        self.names = {fact.row[0] for fact in source.facts if fact.table[1] == "action" and len(fact.row) == 1}
        self._fresh = count(1)
        self._inventing: list[tuple[Clause, Atom]] = []
        workspace.policies[TRIAL] = Policy("action")
        workspace.evaluation.on_undo(self._forget)
        clauses = [self._moved(clause, action_policy) for clause in source.clauses]
        self._insert(clauses)
        self._change([Fact((TRIAL, fact.table[1]), fact.row) for fact in source.facts], insert=True)

    def _forget(self) -> None:
        del self._workspace.policies[TRIAL]
        self._workspace.evaluation.forget(TRIAL)

    def take(self, statement: Statement) -> None:
        """One action: what it says is stated, its updates are found and made, its results left to the next."""
        said = self._said(statement)
        if said is None:
            return
        self._change(said, insert=True)
        added, removed = self._updates()
        stated = [Fact((TRIAL, f"{name}+"), row) for name, row in added]
        self._change(stated, insert=True)
        results = [Fact((TRIAL, RESULT), row) for row in self._rows((TRIAL, RESULT))]
        self._change([*stated, *said], insert=False)
        self._change([fact for fact in self._workspace.policy(TRIAL).facts if fact.table[1] == RESULT], insert=False)
        self._change(results, insert=True)
        for name, row in removed:
            _change(self._workspace, self._target(name, row), insert=False)
        for name, row in added:
            _change(self._workspace, self._target(name, row), insert=True)
        self._workspace.evaluation.settle()

    def _target(self, name: str, row: StoredRow) -> Fact:
        return Fact(owned(name, self._policy), row)

    def _said(self, statement: Statement) -> list[Fact] | None:
        """The action, and what else is said of it, for the first way in which the body holds; None if it doesn't."""
        for head in statement.heads:
            if head.modal or head.negated or head.columns or head.update or ":" in head.name:
                raise PolicyError(f"{head} can't be done in a sequence", head.place)
        terms = variables(tuple(term for head in statement.heads for term in head.arguments))
        asked = Statement((Literal("asked", tuple(terms), place=statement.place),), statement.body, statement.text)
        asking = self._workspace.scope(TRIAL).resolved(asked)
        values: StoredRow = ()
        if isinstance(asking, Clause):
            self._insert([asking])
            rows = self._rows(asking.head.table)
            self._workspace.delete(TRIAL, [asking])
            if not rows:
                return None
            values = rows[0]
        bound = dict(zip(terms, values, strict=True))
        heads = [
            (head.name, [bound.get(t, t) if isinstance(t, Variable) else t for t in head.arguments])
            for head in statement.heads
        ]
        return [Fact((TRIAL, name), tuple(row), statement.place) for name, row in heads]

    def _updates(self) -> tuple[list[_Update], list[_Update]]:
        """Rows to add and rows to remove; what is both is added."""
        added, removed = [], []
        for table in sorted({c.head.table for c in self._workspace.policy(TRIAL).clauses}):
            if table[1].endswith("+"):
                added += [(table[1][:-1], row) for row in self._rows(table)]
            elif table[1].endswith("-"):
                removed += [(table[1][:-1], row) for row in self._rows(table)]
        for clause, asked in self._inventing:
            for row in self._rows(asked.table):
                bound = dict(zip(asked.arguments, row, strict=True))
                added.append(
                    (clause.head.table[1][:-1], tuple(self._value(term, bound) for term in clause.head.arguments))
                )
        return added, [update for update in removed if update not in added]

    def _value(self, term: Term, bound: dict[Term, Stored]) -> Stored:
        """A variable that nothing binds is a thing that the action makes: it gets a name that nothing has."""
        if isinstance(term, Variable) and term not in bound:
            bound[term] = f"new {next(self._fresh)}"
        return bound[term] if isinstance(term, Variable) else term

    def _moved(self, clause: Clause, action_policy: str) -> Clause:
        def moved(atom: Atom) -> Atom:
            owner, name = atom.table
            return Atom((TRIAL, name), atom.arguments, atom.negated) if owner == action_policy else atom

        body = tuple(moved(part) if isinstance(part, Atom) else part for part in clause.body)
        head = moved(clause.head)
        if is_inventing(clause):
            given = {v for part in body for v in variables(part.arguments if isinstance(part, Atom) else part.outputs)}
            asked = Atom(
                (TRIAL, f"made {len(self._inventing)}"), tuple(v for v in variables(head.arguments) if v in given)
            )
            self._inventing.append((clause, asked))
            head = asked
        return Clause(head, body, clause.text, clause.place)

    def _insert(self, clauses: list[Clause]) -> None:
        """With the tables of the policy that is asked about, for all that they read."""
        included = []
        for atom in {atom for clause in clauses for atom in clause.atoms if atom.table[0] == TRIAL}:
            terms = tuple(Variable(f"x{i}") for i in range(len(atom.arguments)))
            source = Atom((self._policy, atom.table[1]), terms)
            included.append(Clause(Atom(atom.table, terms), (source,), ""))
        self._workspace.insert(TRIAL, [*clauses, *included])
        self._workspace.evaluation.settle()

    def _change(self, facts: list[Fact], insert: bool) -> None:
        (self._workspace.insert if insert else self._workspace.delete)(TRIAL, facts)
        self._workspace.evaluation.settle()

    def _rows(self, table: Table) -> list[StoredRow]:
        return sorted(self._workspace.evaluation.relation(table).rows, key=row_order)
