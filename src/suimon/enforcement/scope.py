"""One engine: the cloud's, with all facts, or a project's, with those of its own things."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from suimon.model.errors import Conflict
from suimon.model.policies import CLOUD, VIOLATIONS, Clause, Policy
from suimon.model.touches import KIND_OF, identity_of
from suimon.policy.changes import Difference, Event, FactChange, Row
from suimon.policy.engine import Engine, PolicyError, TooMuch
from suimon.policy.facts import SOURCES, TENANTS_TYPES, TYPES, Fact, rows_of, seen_columns

Key = tuple[str, str]
"""(kind, id), as in the log."""
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
Told = tuple[Policy, Row, bool]
"""A violation, and whether it appeared."""


class Scope:
    """What it holds is changed by who has the world's lock."""

    def __init__(self, project_id: str, hidden: Collection[str]) -> None:
        self.project_id = project_id
        self.types = TYPES if project_id == CLOUD else tuple(type_ for type_ in TYPES if type_ in TENANTS_TYPES)
        self._seen = {} if project_id == CLOUD else seen_columns(hidden)
        self.sources = sources_of(project_id, hidden)
        self.engine = Engine(self.sources, time.monotonic)
        self.policies: dict[str, Policy] = {}
        self.clauses: dict[str, Clause] = {}
        self.faults: dict[str, str] = {}
        """By clause, why it is not in force."""
        self.stale = ""
        """Why it is no longer told of changes."""
        self._facts: dict[Key, tuple[Fact, ...]] = {}

    @property
    def watchful(self) -> list[Policy]:
        """Its policies that look at transactions before they are committed."""
        return [one for one in self.policies.values() if one.proactive and one.mode != "draft"]

    def fact_changes(self, things: Mapping[Key, msgspec.Struct | None], shared: Collection[str]) -> list[FactChange]:
        """What the engine has to be told when these things are so, or (None) are no more."""
        put: dict[tuple[str, str], list[Row]] = {}
        drop: dict[tuple[str, str], list[Row]] = {}
        for key, thing in things.items():
            after, before = self._facts_of(key, thing, shared), self._facts.get(key, ())
            for facts, others, into in ((before, after, drop), (after, before, put)):
                for fact in facts:
                    if fact not in others:
                        into.setdefault((fact.source, fact.table), []).append(fact.row)
        return [
            FactChange(*table, put=tuple(put.get(table, ())), drop=tuple(drop.get(table, ())))
            for table in {**drop, **put}
        ]

    def take(self, things: Mapping[Key, msgspec.Struct | None], shared: Collection[str]) -> list[Told]:
        """They are so from now on. Raises TooMuch, and nothing is taken."""
        if not things:
            return []
        difference = self.engine.facts(self.fact_changes(things, shared))
        for key, thing in things.items():
            if facts := self._facts_of(key, thing, shared):
                self._facts[key] = facts
            else:
                self._facts.pop(key, None)
        return self._told(difference)

    def take_policies(self, changed: Mapping[Key, msgspec.Struct | None]) -> list[Told]:
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
        """All that is wrong and isn't only a draft's opinion."""
        return [
            (policy, row, True)
            for policy in self.policies.values()
            if policy.mode != "draft"
            for row in self.engine.rows(policy.name, VIOLATIONS)
        ]

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
        return [(policy, row, before.mode == "draft") for row in self.engine.rows(policy.name, VIOLATIONS)]

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
        return [
            (policy, row, appeared)
            for policy in self.policies.values()
            if policy.mode != "draft"
            for rows, appeared in ((difference.vanished, False), (difference.appeared, True))
            for row in rows.get((policy.name, VIOLATIONS), ())
        ]

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

    def _concerns(self, thing: msgspec.Struct) -> bool:
        if self.project_id == CLOUD:
            return True
        return type(thing) in TENANTS_TYPES and getattr(thing, "project_id", "") == self.project_id


def sources_of(project_id: str, hidden: Collection[str]) -> Sources:
    """What a project's policies, or the cloud's, can ask: source → table → columns."""
    if project_id == CLOUD:
        return SOURCES
    cut: dict[str, dict[str, tuple[str, ...]]] = {}
    for (source, table), places in seen_columns(hidden).items():
        cut.setdefault(source, {})[table] = tuple(SOURCES[source][table][place] for place in places)
    return cut


def keyed(things: Sequence[msgspec.Struct]) -> dict[Key, msgspec.Struct | None]:
    """By their keys in the log."""
    return {(KIND_OF[type(thing)], identity_of(thing)): thing for thing in things}
