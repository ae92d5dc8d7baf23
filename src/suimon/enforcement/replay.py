"""A policy over the recorded past: what it would have found wrong, denied and called for, had it been there.

What it would have denied happened all the same: the replay goes on with what was.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import merge
from typing import Final, Literal

import msgspec

from suimon.enforcement.past import Past, Table, gap_words, known_at
from suimon.enforcement.scope import Sources
from suimon.enforcement.timed import Timed
from suimon.enforcement.words import atom
from suimon.model.errors import BadRequest
from suimon.model.fact_history import FactVersion, Moment
from suimon.model.fact_tables import id_of
from suimon.model.policies import CLOUD, EXECUTE, VIOLATIONS, Clause, Policy
from suimon.policy.changes import Difference, Event, FactChange, Row
from suimon.policy.engine import Engine, TooMuch
from suimon.policy.facts import own_rows, types_of
from suimon.resources.fact_history import moments
from suimon.resources.fact_tables import told_tables
from suimon.store.tx import Tx

What = Literal["appeared", "vanished", "called"]


class ReplayLimits(msgspec.Struct, frozen=True):
    """What one replay may take; one that needs more is refused, or ends early and says so."""

    most_versions: int = 200_000
    most_found: int = 1_000
    """Listed; all are counted."""
    max_rows: int = 1_000_000
    """That follow from one change."""
    max_s: float = 60.0


OF_CLOUD: Final = ReplayLimits()
OF_PROJECT: Final = ReplayLimits(most_versions=20_000, max_rows=100_000, max_s=5.0)
"""Who asks for one has a thread of a controller that long."""


class Drafted(msgspec.Struct, frozen=True):
    """A policy to be tried: its clauses, and those of the other policies that they ask, by policy."""

    name: str
    clauses: Mapping[str, Sequence[str]]


class Happened(msgspec.Struct, frozen=True):
    """Something that a change would have brought."""

    what: What
    row: str
    revision: int
    at: datetime
    request_id: str
    denied: bool = False
    """The call that made it would have been refused, if the policy were proactive."""


class Replayed(msgspec.Struct):
    """What came of it."""

    begins: datetime
    first_revision: int
    last_revision: int
    changes: int
    gaps: list[Moment]
    as_now: list[str]
    """Tables whose past isn't known: their rows of today stood for it."""
    missing: list[str]
    """What isn't known of others, and of when."""
    wrong_before: int = 0
    """Violations at its beginning."""
    appeared: int = 0
    vanished: int = 0
    called: int = 0
    denied: int = 0
    found: list[Happened] = []
    ended_early: str = ""


class Recorded(msgspec.Struct, frozen=True):
    """What is replayed: the facts at a beginning, and the changes after it."""

    past: Past
    begins: Moment
    start: Sequence[FactVersion]
    changes: Sequence[FactVersion]
    moments: Sequence[Moment]
    outside: Sequence[FactChange]
    """What stands for tables of which nothing is known."""
    unread: Sequence[Table]
    """Those that nobody read, not until now either."""
    missing: Sequence[str]
    since: datetime
    timed: Sequence[Timed] = ()
    """What tables held that the store has no history of."""

    def timed_by(self, known: Iterable[Timed], missing: Iterable[str] = ()) -> Recorded:
        """With that, too, in place of what stood for these tables."""
        timed = sorted([*self.timed, *known], key=lambda one: one.at)
        tables = {(change.source, change.table) for one in timed for change in one.changes}
        outside = [change for change in self.outside if (change.source, change.table) not in tables]
        unread = [table for table in self.unread if table not in tables]
        said = [*self.missing, *missing]
        return msgspec.structs.replace(self, timed=timed, outside=outside, unread=unread, missing=said)


def drafted(policies: Iterable[Policy], clauses: Iterable[Clause], name: str, texts: Sequence[str] | None) -> Drafted:
    """The policy `name` as it is, or of these texts, with what it asks of other policies, and these of others."""
    by_id = {policy.id: policy.name for policy in policies}
    written: dict[str, list[str]] = {}
    for clause in clauses:
        written.setdefault(by_id[clause.policy_id], []).append(clause.text)
    needed = {name: list(texts) if texts is not None else written.get(name, [])}
    waiting = [name]
    while waiting:
        asking = needed[waiting.pop()]
        for other in written.keys() - needed.keys():
            if any(f"{other}:" in text for text in asking):
                needed[other] = written[other]
                waiting.append(other)
    return Drafted(name, needed)


def asked_tables(draft: Drafted, sources: Sources) -> list[Table]:
    """Those that its clauses may read."""
    texts = [text for clauses in draft.clauses.values() for text in clauses]
    return [
        (source, table)
        for source, tables in sources.items()
        for table in tables
        if any(f"{source}:{table}" in text for text in texts)
    ]


def recorded(
    tx: Tx, past: Past, span: tuple[datetime, datetime], outside: Sequence[FactChange], limits: ReplayLimits
) -> Recorded:
    """What is known of that time; `outside` stands for tables of which nothing is. Raises BadRequest when nothing is
    known at all, or more than is replayed at once.
    """
    since, until = span
    if since >= until:
        raise BadRequest("A replay's beginning is before its end.")
    begins, ends = known_at(tx, since), known_at(tx, until)
    start = past.at(tx, begins.revision, limits.most_versions)
    revisions = (begins.revision + 1, ends.revision)
    changes = past.between(tx, revisions, limits.most_versions - len(start))
    unknown = past.unknown(tx, ends.revision)
    as_now = [change for change in outside if (change.source, change.table) in unknown]
    unread = sorted(unknown - {(change.source, change.table) for change in as_now})
    missing = [gap_words(name, gap) for name, gap in past.gaps(tx, (begins.revision, ends.revision))]
    return Recorded(past, begins, start, changes, moments(tx, *revisions), as_now, unread, missing, since)


def outside(tx: Tx, tables: Iterable[Table], project_id: str) -> list[FactChange]:
    """What those of these tables that are read elsewhere hold now."""
    ids = [id_of(*table) for table in tables if not types_of(*table)]
    found = []
    for told in told_tables(tx, ids).values() if ids else ():
        name, columns, rows = told.table.name, told.table.columns, told.rows
        own = rows if project_id == CLOUD else own_rows(told.table.source, columns, rows, project_id)
        found.append(FactChange(told.table.source, name, put=tuple(own or ())))
    return found


def replay(
    draft: Drafted, sources: Sources, told: Recorded, limits: ReplayLimits, clock: Callable[[], float]
) -> Iterator[Replayed]:
    """Steps through it in an engine of its own, and yields what was found so far after each change; the last is all.
    Raises PolicyError for clauses that can't be.
    """
    engine = Engine(sources, clock)
    deadline_s = clock() + limits.max_s
    engine.limits(limits.max_rows, limits.max_s)
    engine.facts([*_changes(told.past, told.start, ()), *told.outside])
    for one in told.timed:
        if one.at <= told.since:
            engine.facts(one.changes)
    for name in draft.clauses:
        engine.create_policy(name, "materialized")
    engine.change([Event(name, text) for name, texts in draft.clauses.items() for text in texts])
    last = told.moments[-1].revision if told.moments else told.begins.revision
    as_now = [f"{change.source}:{change.table}" for change in told.outside]
    gaps = [each for each in told.moments if each.gap]
    missing = [*told.missing, *(f"{source}:{table}: nobody read it" for source, table in told.unread)]
    found = Replayed(told.begins.at, told.begins.revision, last, 0, gaps, as_now, missing)
    found.wrong_before = len(engine.rows(draft.name, VIOLATIONS))
    yield found
    for moment, changes, is_recorded in _steps(told):
        try:
            difference = engine.facts(changes)
            if clock() > deadline_s:
                raise TooMuch(f"this takes longer than {limits.max_s} s")
        except TooMuch as error:
            found.ended_early = f"At {moment.at.isoformat()}, revision {moment.revision}: {error.message}"
            return
        found.changes += is_recorded
        _note(found, draft.name, difference, moment, limits.most_found)
        yield found


def _note(found: Replayed, policy: str, difference: Difference, moment: Moment, most: int) -> None:
    appeared = difference.appeared.get((policy, VIOLATIONS), [])
    # What Suimon does by itself has no request, and is never refused.
    denied = bool(appeared and moment.request_id and not moment.gap)
    found.denied += denied
    happened: list[tuple[What, str, Row]] = [("appeared", VIOLATIONS, row) for row in appeared]
    happened += [("vanished", VIOLATIONS, row) for row in difference.vanished.get((policy, VIOLATIONS), [])]
    for (owner, table), rows in difference.appeared.items():
        if owner == policy and table.startswith(EXECUTE):
            happened += [("called", table[len(EXECUTE) : -1], row) for row in rows]
    for what, table, row in happened:
        setattr(found, what, getattr(found, what) + 1)
        if len(found.found) < most:
            of = (moment.revision, moment.at, moment.request_id)
            found.found.append(Happened(what, atom(("", table), row), *of, denied and what == "appeared"))


def _steps(told: Recorded) -> Iterator[tuple[Moment, Sequence[FactChange], bool]]:
    """In order of time: what changed at a moment that is recorded, or (False) with time alone."""
    last = told.begins
    recorded = ((moment.at, moment, _changes(told.past, *versions)) for moment, *versions in _moments(told))
    timed = ((one.at, None, one.changes) for one in told.timed if one.at > told.since)
    for at, moment, changes in merge(recorded, timed, key=lambda step: step[0]):
        last = moment or Moment(revision=last.revision, at=at)
        yield last, changes, moment is not None


def _moments(told: Recorded) -> Iterator[tuple[Moment, list[FactVersion], list[FactVersion]]]:
    """By moment, what began and what ended."""
    revisions = [moment.revision for moment in told.moments]
    steps: dict[int, tuple[list[FactVersion], list[FactVersion]]] = {}
    for version in told.changes:
        for revision, place in ((version.revision, 0), (version.until_revision, 1)):
            if revision is not None and told.begins.revision < revision <= (revisions[-1] if revisions else 0):
                # One that was written without its moment is seen at the next: its writer died between the two.
                steps.setdefault(bisect_left(revisions, revision), ([], []))[place].append(version)
    for place in sorted(steps):
        yield told.moments[place], *steps[place]


def _changes(past: Past, began: Collection[FactVersion], ended: Collection[FactVersion]) -> list[FactChange]:
    put: dict[Table, list[Row]] = {}
    drop: dict[Table, list[Row]] = {}
    for versions, into in ((began, put), (ended, drop)):
        for fact in (fact for version in versions for fact in past.facts(version)):
            into.setdefault((fact.source, fact.table), []).append(fact.row)
    return [
        FactChange(*table, put=tuple(put.get(table, ())), drop=tuple(drop.get(table, ()))) for table in {**drop, **put}
    ]
