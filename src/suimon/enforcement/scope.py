"""One engine: the cloud's, with all facts, or a project's, with those of its own things."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from suimon.model import fact_tables
from suimon.model.errors import Conflict
from suimon.model.fact_tables import FactTable
from suimon.model.policies import CLOUD, EXECUTE, VIOLATIONS, Clause, Policy
from suimon.model.touches import KIND_OF, identity_of
from suimon.policy.changes import Difference, Event, FactChange, Row
from suimon.policy.engine import Engine, PolicyError, TooMuch
from suimon.policy.facts import OUTSIDE, SOURCES, TENANTS_TYPES, TYPES, Fact, own_rows, rows_of, seen_columns

Key = tuple[str, str]
"""(kind, id), as in the log."""
Things = Mapping[Key, msgspec.Struct | None]
"""What is so; None: there is no such thing any more."""
FACT_TYPES: Final = {KIND_OF[type_]: type_ for type_ in TYPES}
"""By kind, of what there are facts."""


class Limits(msgspec.Struct, frozen=True):
    """What one change may make an engine derive, and how long that may take. A clause that is more is refused."""

    max_rows: int = 1_000_000
    max_s: float = 5.0


OF_PROJECTS: Final = Limits(100_000, 0.5)
"""Others wait meanwhile: for the cloud's sake that is an operator's choice, and not any tenant's."""


log = structlog.get_logger()


Sources = Mapping[str, Mapping[str, tuple[str, ...]]]


class Told(NamedTuple):
    """A violation, or a call of an action, and whether it appeared."""

    policy: Policy
    table: str
    row: Row
    appeared: bool

    @property
    def action(self) -> str:
        """As in `suimon:quarantine`; "" for a violation. An action without a source is the policy's own."""
        if self.table == VIOLATIONS:
            return ""
        name = self.table[len(EXECUTE) : -1]
        return name if ":" in name else f"{self.policy.name}:{name}"


class Scope:
    """What it holds is changed by who has the world's lock."""

    def __init__(self, project_id: str, hidden: Collection[str]) -> None:
        self.project_id = project_id
        self.types = TYPES if project_id == CLOUD else tuple(type_ for type_ in TYPES if type_ in TENANTS_TYPES)
        self._seen = {} if project_id == CLOUD else seen_columns(hidden)
        self.sources = {source: dict(tables) for source, tables in sources_of(project_id, hidden).items()}
        self.engine = Engine(self.sources, time.thread_time)
        self.policies: dict[str, Policy] = {}
        self.clauses: dict[str, Clause] = {}
        self.faults: dict[str, str] = {}
        """By clause, why it is not in force."""
        self.stale = ""
        """Why it is no longer told of changes."""
        self._facts: dict[Key, tuple[Fact, ...]] = {}

    @property
    def size(self) -> int:
        """Things of which it has facts."""
        return len(self._facts)

    @property
    def watchful(self) -> list[Policy]:
        """Its policies that look at transactions before they are committed."""
        return [one for one in self.policies.values() if one.proactive and one.mode != "draft"]

    def fact_changes(self, things: Things, shared: Collection[str]) -> list[FactChange]:
        """What the engine has to be told when these things are so, or (None) are no more."""
        put: dict[tuple[str, str], list[Row]] = {}
        drop: dict[tuple[str, str], list[Row]] = {}
        whole = []
        for key, thing in things.items():
            if isinstance(thing, fact_tables.Told):
                whole += self._whole(thing)
                continue
            after, before = self._facts_of(key, thing, shared), self._facts.get(key, ())
            for facts, others, into in ((before, after, drop), (after, before, put)):
                for fact in facts:
                    if fact not in others:
                        into.setdefault((fact.source, fact.table), []).append(fact.row)
        changes = [
            FactChange(*table, put=tuple(put.get(table, ())), drop=tuple(drop.get(table, ())))
            for table in {**drop, **put}
        ]
        return changes + whole

    def outdated(self, things: Things) -> bool:
        """Whether only an engine made anew can know these: a table went, or one came that clauses had missed."""
        for (kind, id_), thing in things.items():
            if kind == fact_tables.KIND:
                source, _, name = id_.partition("/")
                known = name in self.sources.get(source, {})
                if (thing is None and known) or (thing is not None and not known and self.faults):
                    return True
        return False

    def take(self, things: Things, shared: Collection[str]) -> list[Told]:
        """They are so from now on. Raises TooMuch, and nothing is taken."""
        difference = self.engine.facts(self.fact_changes(things, shared))
        for key, thing in things.items():
            if not isinstance(thing, fact_tables.Told) and (facts := self._facts_of(key, thing, shared)):
                self._facts[key] = facts
            else:
                self._facts.pop(key, None)
        return self._told(difference)

    def take_policies(self, changed: Things) -> list[Told]:
        """Policies and clauses are so from now on, or (None) are no more; those of others are left alone."""
        told: list[Told] = []
        for thing in changed.values():
            if isinstance(thing, Policy) and thing.project_id == self.project_id:
                told += self._take_policy(thing)
        for (kind, id_), thing in changed.items():
            if isinstance(thing, Clause):
                told += self._take_clause(thing) if thing.policy_id in self.policies else []
            elif kind == "clause" and id_ in self.clauses:
                told += self._drop_clause(id_)
        for (kind, id_), thing in changed.items():
            if kind == "policy" and thing is None and id_ in self.policies:
                told += self._told(self.engine.drop_policy(self.policies[id_].name))
                del self.policies[id_]
        return told

    def wrong(self) -> list[Told]:
        """All that is wrong, or called for, and isn't only a draft's opinion."""
        return [
            one for policy in self.policies.values() if policy.mode != "draft" for one in self._all_of(policy, True)
        ]

    def calls_for(self, policy: str, action: str, row: Row) -> bool:
        """Whether the policy calls for the action now; `action` as `Told` says it."""
        own = action.removeprefix(f"{policy}:")
        tables = {f"{EXECUTE}{name}]" for name in (action, own)}
        return any(self.engine.explain(policy, table, row) is not None for table in tables)

    def try_clauses(self, policies: Iterable[Policy], came: Iterable[Clause], gone: Iterable[str]) -> None:
        """Whether these can be in force, and those not: raises PolicyError, TooMuch, and Conflict for what is there
        already. Nothing changes.
        """
        new = [policy for policy in policies if policy.id not in self.policies]
        left = [self.clauses[id_] for id_ in gone if id_ in self.clauses and id_ not in self.faults]
        try:
            for policy in new:
                self._take_policy(policy)
            events = [self._event(one, insert=False) for one in left] + [self._event(one) for one in came]
            before = self._size()
            with self.engine.trial(events=events):
                if self._size() - before + len(left) < len(events) - len(left):
                    raise Conflict(f"Rule already exists in policy {events[-1].policy}: {events[-1].text}")
        finally:
            self.take_policies({("policy", policy.id): None for policy in new})

    def _size(self) -> int:
        return sum(len(self.engine.clauses(policy.name)) for policy in self.policies.values())

    def _take_policy(self, policy: Policy) -> list[Told]:
        before = self.policies.get(policy.id)
        self.policies[policy.id] = policy
        if before is None:
            self.engine.create_policy(policy.name, policy.kind)
            return []
        if (before.mode == "draft") == (policy.mode == "draft"):
            return []
        return self._all_of(policy, before.mode == "draft")

    def _take_clause(self, clause: Clause) -> list[Told]:
        if clause.id in self.clauses:  # A clause is never changed.
            return []
        self.clauses[clause.id] = clause
        try:
            return self._told(self.engine.change([self._event(clause)]))
        except (PolicyError, TooMuch) as error:
            self.faults[clause.id] = error.message
            log.error("clause_not_in_force", project=self.project_id, clause=clause.id, reason=error.message)
            return []

    def _drop_clause(self, id_: str) -> list[Told]:
        clause = self.clauses.pop(id_)
        if self.faults.pop(id_, None) is not None:
            return []
        return self._told(self.engine.change([self._event(clause, insert=False)]))

    def _told(self, difference: Difference) -> list[Told]:
        told = {policy.name: policy for policy in self.policies.values() if policy.mode != "draft"}
        return [
            Told(told[name], table, row, appeared)
            for tables, appeared in ((difference.vanished, False), (difference.appeared, True))
            for (name, table), rows in tables.items()
            if name in told and self._tells(table)
            for row in rows
        ]

    def _all_of(self, policy: Policy, appeared: bool) -> list[Told]:
        tables = [table for table in self.engine.tables(policy.name) if self._tells(table)]
        return [Told(policy, table, row, appeared) for table in tables for row in self.engine.rows(policy.name, table)]

    def _tells(self, table: str) -> bool:
        """What others do by themselves is for the cloud's operators to say."""
        return table == VIOLATIONS or (table.startswith(EXECUTE) and self.project_id == CLOUD)

    def _event(self, clause: Clause, *, insert: bool = True) -> Event:
        return Event(self.policies[clause.policy_id].name, clause.text, insert)

    def _facts_of(self, key: Key, thing: msgspec.Struct | None, shared: Collection[str]) -> tuple[Fact, ...]:
        if thing is None or not self._concerns(thing):
            return ()
        facts = rows_of(thing, shared=key[1] in shared)
        if not self._seen:
            return facts
        return tuple(
            Fact(fact.source, fact.table, tuple(fact.row[place] for place in self._seen[fact.source, fact.table]))
            for fact in facts
        )

    def _whole(self, told: fact_tables.Told) -> list[FactChange]:
        """All that a table from elsewhere holds now, which is new to the engine, or has the columns it had."""
        table, rows = told.table, told.rows
        if self.project_id != CLOUD:
            own = own_rows(table.source, table.columns, rows, self.project_id)
            if own is None:
                return []
            rows = tuple(own)
        known = self.sources.setdefault(table.source, {})
        if table.name not in known:
            known[table.name] = table.columns
            self.engine.create_source(table.source, {table.name: table.columns})
        if known[table.name] != table.columns:  # Of another release: it will be read again.
            return []
        return [FactChange(table.source, table.name, put=rows, whole=True)]

    def _concerns(self, thing: msgspec.Struct) -> bool:
        if self.project_id == CLOUD:
            return True
        return type(thing) in TENANTS_TYPES and getattr(thing, "project_id", "") == self.project_id


def sources_of(project_id: str, hidden: Collection[str], tables: Iterable[FactTable] = ()) -> Sources:
    """What a project's policies, or the cloud's, can ask: source → table → columns. `tables` are those from elsewhere
    that there are besides our own.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    if project_id == CLOUD:
        found = {source: dict(columns) for source, columns in SOURCES.items()}
    else:
        for (source, table), places in seen_columns(hidden).items():
            found.setdefault(source, {})[table] = tuple(SOURCES[source][table][place] for place in places)
        for source, outside in OUTSIDE.items():
            for table, columns in outside.items():
                if own_rows(source, columns, (), project_id) is not None:
                    found.setdefault(source, {})[table] = columns
    for one in tables:
        if one.columns and (project_id == CLOUD or own_rows(one.source, one.columns, (), project_id) is not None):
            found.setdefault(one.source, {}).setdefault(one.name, one.columns)
    return found


def keyed(things: Sequence[msgspec.Struct]) -> dict[Key, msgspec.Struct | None]:
    """By their keys in the log."""
    return {(KIND_OF[type(thing)], identity_of(thing)): thing for thing in things}
