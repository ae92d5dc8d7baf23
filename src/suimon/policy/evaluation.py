"""What follows from the rows that are there, kept up to date as rows and clauses come and go.

A row that comes or goes is taken to all places of all bodies where its table stands; the functions there (`compile`)
say which heads gain or lose a derivation. Tables are settled by rank, each after all that it reads. A row is there as
long as it has derivations; in a recursive table these may hold up each other, so that all rows that lose one are taken
away first, with what follows from them, and those that still have one come back.

Whatever is done is noted in a journal, and undone by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from suimon.policy.aggregates import Aggregator
from suimon.policy.changes import Table
from suimon.policy.compile import Out, Steps, Writer, meets_itself
from suimon.policy.errors import TooMuch
from suimon.policy.relation import Relation
from suimon.policy.strata import HIDDEN, Strata
from suimon.policy.terms import Aggregate, Atom, Clause
from suimon.policy.values import StoredRow

REPLAN_FACTOR = 4
"""A table that grew so many times since the clauses that read it were compiled has them compiled again."""
REPLAN_ROWS = 1000
BULK_ROWS = 200
UNLOOKED_ROWS = 64
"""That may be derived between two looks at the limits: a change of few rows costs none."""

_Noted = tuple[Relation, Collection[tuple[StoredRow, int]]]
"""Rows of a relation, and how many derivations each had before."""


class Consumer(NamedTuple):
    """A place in a clause's body. `sign` is -1 where the row's absence counts; `alone` is each row told by itself."""

    steps: Steps
    head: Relation
    sign: int
    clause: Clause
    alone: bool


class Wiring(NamedTuple):
    """What depends on the clauses alone. Replaced as a whole, so that an old one can be put back."""

    clauses: Counter[Clause]
    consumers: dict[Table, list[Consumer]]
    aggregators: dict[Clause, Aggregator]
    strata: Strata


class Changed(NamedTuple):
    """Rows that came and went, by table."""

    came: dict[Table, list[StoredRow]]
    went: dict[Table, list[StoredRow]]


class Evaluation:
    """`check_time` is called now and then, and raises when it is too late."""

    def __init__(self, check_time: Callable[[], None]) -> None:
        self.relations: dict[Table, Relation] = {}
        self.wiring = Wiring(Counter(), {}, {}, Strata(()))
        self._check_time = check_time
        self._journal: list[_Noted] = []
        self._counted: list[tuple[Aggregator, StoredRow, int]] = []
        self._undo: list[Callable[[], object]] = []
        self._waiting: dict[Table, list[Clause]] = {}
        self._heap: list[tuple[int, Table]] = []
        self._max_rows = 10_000_000
        self._derived = 0
        self._look_at = UNLOOKED_ROWS
        self._proofs: dict[Clause, Callable[[StoredRow, list[tuple[StoredRow, ...]]], None]] = {}

    def limit(self, max_rows: int) -> None:
        """Rows that one change may derive; of more, `TooMuch` is raised."""
        self._max_rows = max_rows
        self._look_at = min(max_rows, UNLOOKED_ROWS)

    def relation(self, table: Table) -> Relation:
        found = self.relations.get(table)
        if found is None:
            found = self.relations[table] = Relation(table, is_told=not table[0].startswith(HIDDEN))
            found.rank = self.wiring.strata.rank.get(table, -1)
        return found

    # What comes in. Nothing of it shows before `settle`.

    def gain(self, relation: Relation, row: StoredRow) -> None:
        relation.gains[row] = relation.gains.get(row, 0) + 1
        self.queue(relation)

    def lose(self, relation: Relation, row: StoredRow) -> None:
        relation.losses[row] = relation.losses.get(row, 0) - 1
        self.queue(relation)

    def assert_row(self, relation: Relation, row: StoredRow, there: bool) -> None:
        """A policy states a row, or no longer does. Again changes nothing."""
        if (row in relation.asserted) == there:
            return
        if there:
            relation.asserted.add(row)
            self._undo.append(lambda: relation.asserted.discard(row))
            self.gain(relation, row)
        else:
            relation.asserted.discard(row)
            self._undo.append(lambda: relation.asserted.add(row))
            self.lose(relation, row)

    def rewire(self, clauses: Counter[Clause], strata: Strata) -> None:
        """From now on these clauses hold, of these strata."""
        old = self.wiring
        self._proofs.clear()
        gone = [clause for clause in old.clauses if clause not in clauses]
        new = [clause for clause in clauses if clause not in old.clauses]
        for clause in gone:
            head = self.relation(clause.head.table)
            self._whole(clause, head.losses, -1)
            self.queue(head)
        consumers = (
            {t: [c for c in found if c.clause in clauses] for t, found in old.consumers.items()}
            if gone
            else {t: [*found] for t, found in old.consumers.items()}
        )
        aggregators = {clause: a for clause, a in old.aggregators.items() if clause in clauses}
        self.wiring = Wiring(clauses, consumers, aggregators, strata)
        self._undo.append(lambda: self._put_back(old))
        self._rank()
        for clause in new:
            self._waiting.setdefault(clause.head.table, []).append(clause)
            self.queue(self.relation(clause.head.table))

    def _put_back(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self._rank()

    def _rank(self) -> None:
        strata = self.wiring.strata
        recursive = {table for group in strata.recursive.values() for table in group}
        for table in strata.rank:
            self.relation(table)
        for relation in self.relations.values():
            relation.rank = strata.rank.get(relation.table, -1)
            self._part_losses(relation, relation.table in recursive)
        self._heap = sorted((r.rank, r.table) for r in self.relations.values() if r.queued)

    def _part_losses(self, relation: Relation, recursive: bool) -> None:
        """Losses of a recursive table are kept apart from its gains, those of others with them."""
        apart = relation.losses is not relation.gains
        if recursive and not apart:
            relation.losses = {row: count for row, count in relation.gains.items() if count < 0}
            relation.gains = {row: count for row, count in relation.gains.items() if count > 0}
        elif apart and not recursive:
            for row, count in relation.losses.items():
                relation.gains[row] = relation.gains.get(row, 0) + count
            relation.losses = relation.gains

    def queue(self, relation: Relation) -> None:
        if not relation.queued:
            relation.queued = True
            heappush(self._heap, (relation.rank, relation.table))

    # What follows.

    def settle(self) -> Changed:
        """Makes it all show, with what follows."""
        changed = Changed({}, {})
        heap = self._heap
        while heap:
            rank, table = heappop(heap)
            relation = self.relations[table]
            relation.queued = False
            if rank in self.wiring.strata.recursive:
                self._settle_recursive(self.wiring.strata.recursive[rank], changed)
                continue
            if self._waiting:
                self._start([relation])
            if relation.gains:
                self._settle_one(relation, changed)
        return changed

    def _start(self, relations: list[Relation]) -> None:
        """Evaluates what is new among the clauses of these tables; then their places in bodies are told of changes."""
        for relation in relations:
            for clause in self._waiting.pop(relation.table, ()):
                if relation.gains or _aggregates(clause):
                    self._whole(clause, relation.gains, 1)
                else:
                    relation.gains.update(self.solve(clause))
                self._wire(clause)

    def _settle_one(self, relation: Relation, changed: Changed) -> None:
        pending, relation.gains = relation.gains, {}
        relation.losses = relation.gains
        rows = relation.rows
        consumers = self.wiring.consumers.get(relation.table, ())
        if not rows and not consumers and len(pending) > BULK_ROWS:
            self._settle_bulk(relation, pending, changed)
            return
        self._count_rows(len(pending))
        came: list[StoredRow] = []
        went: list[StoredRow] = []
        alone = len(pending) > 1 and any(consumer.alone for consumer in consumers)
        for some in [(one,) for one in pending.items()] if alone else (pending.items(),):
            self._move(relation, some, came, went)
            if alone:  # What there is to do for one may be much, though less than what is done between two looks.
                self._look(self._derived)
        if relation.is_told:
            if came:
                changed.came[relation.table] = came
            if went:
                changed.went[relation.table] = went

    def _move(
        self, relation: Relation, some: Iterable[tuple[StoredRow, int]], came: list[StoredRow], went: list[StoredRow]
    ) -> None:
        """Rows with the derivations that each gains or loses. One by itself is in its table while it is told."""
        new, gone = [], []
        befores: list[tuple[StoredRow, int]] = []
        self._journal.append((relation, befores))
        rows = relation.rows
        for row, more in some:
            if more:
                before = rows.get(row, 0)
                befores.append((row, before))
                count = before + more
                assert count >= 0, "more derivations went than there were"
                if not count:
                    gone.append(row)
                    continue
                rows[row] = count
                if not before:
                    new.append(row)
        consumers = self.wiring.consumers.get(relation.table, ())
        if new:
            relation.note(new)
            self._tell(consumers, new, 1)
            came += new
        if gone:
            self._tell(consumers, gone, -1)
            relation.remove(gone)
            went += gone

    def _settle_bulk(self, relation: Relation, pending: Out, changed: Changed) -> None:
        """Into an empty table that nothing reads yet."""
        found = pending if all(pending.values()) else {row: count for row, count in pending.items() if count}
        self._count_rows(len(found))
        self._undo.append(relation.clear)
        relation.fill(found)
        if relation.is_told:
            changed.came[relation.table] = list(found)

    def _tell(self, consumers: Iterable[Consumer], rows: Sequence[StoredRow], sign: int) -> None:
        for steps, head, direction, _, _ in consumers:
            effect = sign * direction
            out = head.gains if effect > 0 else head.losses
            steps(rows, out, effect)
            if out and not head.queued:
                head.queued = True
                heappush(self._heap, (head.rank, head.table))

    def _count_rows(self, more: int) -> None:
        self._derived += more
        if self._derived > self._look_at:
            self._look(self._derived)
            self._look_at = min(self._max_rows, self._derived + UNLOOKED_ROWS)

    def _count_one(self) -> None:
        self._derived += 1
        self._look(self._derived)

    def _look(self, rows: int) -> None:
        if rows > self._max_rows:
            raise TooMuch(f"more than {self._max_rows} rows follow from this")
        self._check_time()

    # Recursive tables.

    def _settle_recursive(self, tables: list[Table], changed: Changed) -> None:
        group = [self.relation(table) for table in tables]
        self._start(group)
        recursion = _Recursion(group, self._journal)
        for relation in group:
            relation.queued = True  # Its own changes are seen to here, not by way of the heap.
        work: list[tuple[Relation, StoredRow]] = []
        recursion.take_losses(work)
        while work:
            relation, row = work.pop()
            if row in relation.rows:
                self._tell(self.wiring.consumers.get(relation.table, ()), (row,), -1)
                recursion.hide(relation, row)
                recursion.take_losses(work)
                self._count_one()
        recursion.take_gains(work)
        work = recursion.hidden()
        while work:
            relation, row = work.pop()
            if recursion.show(relation, row):
                self._tell(self.wiring.consumers.get(relation.table, ()), (row,), 1)
                recursion.take_gains(work)
                self._count_one()
        for relation in group:
            relation.queued = False
        recursion.report(changed)

    # Clauses.

    def clauses_of(self, table: Table) -> list[Clause]:
        return [clause for clause in self.wiring.clauses if clause.head.table == table]

    def proofs(self, clause: Clause, head: StoredRow) -> list[tuple[StoredRow, ...]]:
        """Some ways in which the clause gives this head: the rows of its positive atoms."""
        if clause not in self._proofs:
            self._proofs[clause] = Writer(clause, self._of, self._look).proof()
        found: list[tuple[StoredRow, ...]] = []
        self._proofs[clause](head, found)
        return found

    def forget(self, owner: str) -> None:
        """Drops the tables of an owner that has no rows and no clauses any more."""
        for table in [t for t in self.relations if t[0].lstrip(HIDDEN) == owner.lstrip(HIDDEN)]:
            del self.relations[table]

    def _whole(self, clause: Clause, out: Out, sign: int) -> None:
        if _aggregates(clause):
            aggregator = self.wiring.aggregators.get(clause)
            if aggregator is None:
                aggregator = self.wiring.aggregators[clause] = Aggregator(clause)
                for row in self.relation(clause.atoms[0].table).rows:
                    aggregator.count(row, 1)
            aggregator.whole(out, sign)
        else:
            for row, count in self.solve(clause).items():
                out[row] = out.get(row, 0) + sign * count

    def solve(self, clause: Clause) -> Counter[StoredRow]:
        """The heads that a clause gives now, and in how many ways it gives each."""
        found: Counter[StoredRow] = Counter()

        def emit(heads: list[StoredRow]) -> None:
            found.update(heads)
            self._look(len(found))

        Writer(clause, self._of, self._look).whole()(emit)
        return found

    def _of(self, atom: Atom) -> Relation:
        return self.relation(atom.table)

    def _wire(self, clause: Clause) -> None:
        head = self.relation(clause.head.table)
        for at, part in enumerate(clause.body):
            if isinstance(part, Atom):
                relation = self.relation(part.table)
                relation.planned_rows = len(relation.rows)
                sign = -1 if part.negated else 1
                if _aggregates(clause):
                    steps = self._counting(clause, head)
                else:
                    steps = Writer(clause, self._of, self._look).steps(at)
                consumer = Consumer(steps, head, sign, clause, meets_itself(clause, part.table))
                self.wiring.consumers.setdefault(part.table, []).append(consumer)

    def _counting(self, clause: Clause, head: Relation) -> Steps:
        aggregator, counted = self.wiring.aggregators[clause], self._counted

        def steps(rows: Iterable[StoredRow], _: Out, sign: int) -> None:
            for row in rows:
                counted.append((aggregator, row, sign))
                aggregator.step(row, sign, head.gains, head.losses)
            self.queue(head)  # A group's row gives way to another: it both gains and loses.

        return steps

    def replan(self, relations: Iterable[Relation]) -> None:
        """Compiles anew what reads those of the tables that have grown much since. Changes no row."""
        for relation in relations:
            if len(relation.rows) > REPLAN_ROWS + REPLAN_FACTOR * relation.planned_rows:
                self._replan(relation)

    def _replan(self, relation: Relation) -> None:
        stale = {c.clause for c in self.wiring.consumers.get(relation.table, ())}
        relation.planned_rows = len(relation.rows)
        relation.make_room()
        for table, found in self.wiring.consumers.items():
            self.wiring.consumers[table] = [c for c in found if c.clause not in stale]
        for clause in stale:
            self._wire(clause)

    def make_room(self) -> None:
        """For rows to come, after a change that may have brought many."""
        for relation in self.relations.values():
            relation.make_room()

    # Undoing.

    def on_undo(self, action: Callable[[], object]) -> None:
        """What else is to be done if this is undone."""
        self._undo.append(action)

    def keep(self) -> None:
        """What was done stays."""
        self._journal.clear()
        self._counted.clear()
        self._undo.clear()
        self._derived = 0
        self._look_at = min(self._max_rows, UNLOOKED_ROWS)

    def undo(self) -> None:
        """Everything since the last `keep`, also of a change that broke off in the middle."""
        for relation in self.relations.values():
            if relation.gains or relation.losses or relation.queued:
                relation.gains, relation.queued = {}, False
                relation.losses = relation.gains
        self._heap.clear()
        self._waiting.clear()
        for relation, befores in reversed(self._journal):
            relation.put_back(befores)
        for aggregator, row, sign in reversed(self._counted):
            aggregator.count(row, -sign)
        for undo in reversed(self._undo):
            undo()
        self._part_all()
        self.keep()

    def _part_all(self) -> None:
        for group in self.wiring.strata.recursive.values():
            for table in group:
                self._part_losses(self.relation(table), True)


class _Recursion:
    """A group of tables that read each other, while it is settled: the derivations of rows that don't show."""

    def __init__(self, group: list[Relation], journal: list[_Noted]) -> None:
        self._group = group
        self._hidden: dict[Table, Out] = {relation.table: {} for relation in group}
        self._befores: dict[Table, Out] = {relation.table: {} for relation in group}
        journal += [(relation, self._befores[relation.table].items()) for relation in group]

    def take_losses(self, work: list[tuple[Relation, StoredRow]]) -> None:
        """Counts derivations that went. All rows that lost one are to be taken away."""
        for relation in self._group:
            if relation.losses:
                pending, relation.losses = relation.losses, {}
                work += [(relation, row) for row in self._count(relation, pending)]

    def take_gains(self, work: list[tuple[Relation, StoredRow]]) -> None:
        for relation in self._group:
            if relation.gains:
                pending, relation.gains = relation.gains, {}
                self._count(relation, pending)
                work += [(relation, row) for row in pending if row not in relation.rows]

    def _count(self, relation: Relation, pending: Out) -> list[StoredRow]:
        shown, hidden, befores = [], self._hidden[relation.table], self._befores[relation.table]
        for row, more in pending.items():
            if row in relation.rows:
                befores.setdefault(row, relation.rows[row])
                relation.rows[row] += more
                shown.append(row)
            else:
                hidden[row] = hidden.get(row, 0) + more
        return shown

    def hide(self, relation: Relation, row: StoredRow) -> None:
        hidden = self._hidden[relation.table]
        hidden[row] = hidden.get(row, 0) + relation.rows[row]
        relation.remove((row,))

    def show(self, relation: Relation, row: StoredRow) -> bool:
        if row in relation.rows or self._hidden[relation.table].get(row, 0) <= 0:
            return False
        self._befores[relation.table].setdefault(row, 0)
        relation.add((row,), {row: self._hidden[relation.table].pop(row)})
        return True

    def hidden(self) -> list[tuple[Relation, StoredRow]]:
        return [(relation, row) for relation in self._group for row in self._hidden[relation.table]]

    def report(self, changed: Changed) -> None:
        for relation in self._group:
            befores = self._befores[relation.table]
            assert not any(self._hidden[relation.table].values()), "a row with derivations does not show"
            came = [row for row, count in befores.items() if not count and row in relation.rows]
            went = [row for row, count in befores.items() if count and row not in relation.rows]
            if came and relation.is_told:
                changed.came[relation.table] = came
            if went and relation.is_told:
                changed.went[relation.table] = went


def _aggregates(clause: Clause) -> bool:
    return any(isinstance(term, Aggregate) for term in clause.head.arguments)
