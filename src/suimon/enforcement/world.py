"""All engines, at one revision of the log; what they find wrong, as news; and what they forbid.

Whoever has a transaction brings the world up to it first, and asks then, so that an answer is of the transaction's own
revision. What a transaction did that isn't committed yet is only ever tried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from threading import Lock
from typing import Final, NamedTuple, TypeVar

import msgspec
import structlog

from suimon.enforcement.forbidding import forbid
from suimon.enforcement.reading import POLICY_TYPES, all_shared, read, shared
from suimon.enforcement.scope import FACT_TYPES, OF_PROJECTS, Key, Limits, Scope, Sources, Told, keyed, sources_of
from suimon.enforcement.words import account
from suimon.model.actor import SYSTEM
from suimon.model.errors import Unavailable
from suimon.model.policies import CLOUD, VIOLATIONS, Clause, News, Policy
from suimon.policy.engine import TooMuch
from suimon.store.changes import Change
from suimon.store.tx import Tx

T = TypeVar("T")
_MOST_NEWS: Final = 100_000
"""That wait to be recorded; of more, what is so now is compared with what was recorded."""
_MOST_EXPLAINED: Final = 100
"""Violations of one revision."""
log = structlog.get_logger()


class Cause(NamedTuple):
    """The change that something follows from."""

    revision: int
    request_id: str = ""


class World:
    """`hidden` are the names of the API's rules that a project's readers don't pass (`get_port:binding:host_id`)."""

    def __init__(self, hidden: Collection[str], limits: Limits, of_projects: Limits = OF_PROJECTS) -> None:
        self._hidden = frozenset(hidden)
        self._limits, self._of_projects = limits, of_projects
        self._lock = Lock()
        self._revision: int | None = None
        self._scopes: dict[str, Scope] = {}
        self._behind: set[Key] = set()
        """What a transaction changed while it looked, and may not have committed."""
        self._news: list[News] | None = None

    @property
    def revision(self) -> int:
        """Up to where the log is known."""
        return self._revision or 0

    def catch_up(self, tx: Tx) -> None:
        """To the revision that a reading transaction sees."""
        with self._lock:
            self._catch_up(tx, frozenset())

    def ask(self, tx: Tx, project_id: str, question: Callable[[Scope], T]) -> T:
        """Of a project's policies, or the cloud's, within a reading transaction. Raises Unavailable."""
        with self._lock:
            self._catch_up(tx, frozenset())
            scope = self._scope(tx, project_id, frozenset())
            if scope.stale:
                raise Unavailable(scope.stale)
            return question(scope)

    def sources(self, project_id: str) -> Sources:
        """Whose tables its policies can ask: source → table → columns."""
        return sources_of(project_id, self._hidden)

    def status(self, tx: Tx, project_id: str) -> dict[str, object]:
        """Up to which revision its policies know the facts, and why not up to the newest."""
        with self._lock:
            self._catch_up(tx, frozenset())
            scope = self._scopes.get(project_id)
            faults = dict(scope.faults) if scope else {}
            stale = scope.stale if scope else ""
            return {"revision": self.revision, "last_error": stale or "None", "rules_not_in_force": faults}

    def check(self, tx: Tx) -> None:
        """Before a transaction is committed. Raises PolicyError, TooMuch and Conflict for clauses that can't be in
        force, and Forbidden for what a proactive policy forbids.

        What Suimon does by itself is forbidden nothing: it reports how things are, or undoes what is wrong.
        """
        keys = frozenset((kind, id_) for kind, id_, scope in tx.touched if not scope)
        policies = {key for key in keys if key[0] in POLICY_TYPES}
        facts = {key for key in keys if key[0] in FACT_TYPES} if tx.actor.user_id != SYSTEM.user_id else set()
        known = self._revision is not None and not self._behind
        if not policies and not (facts and (not known or self._watchful())):
            return
        with self._lock:
            self._catch_up(tx, keys)
            if policies:
                self._try(tx, policies, keys)
                self._behind |= policies
            if facts and (watchful := self._watchful()):
                forbid(watchful, read(tx, facts), shared(tx, facts))

    def listen(self, tx: Tx) -> list[News]:
        """All that is wrong now, as if it had appeared just now; from here on `news` has what is new."""
        with self._lock:
            self._catch_up(tx, frozenset())
            self._news = []
            for scope in self._scopes.values():
                self._tell(scope, scope.wrong(), Cause(self.revision))
            return self._drained() or []

    def news(self) -> list[News] | None:
        """What there was since the last time; None when it was too much to keep, or nobody listened."""
        with self._lock:
            return self._drained()

    def _drained(self) -> list[News] | None:
        told, self._news = self._news, None if self._news is None else []
        return told

    def _watchful(self) -> list[Scope]:
        return [scope for scope in tuple(self._scopes.values()) if scope.watchful and not scope.stale]

    def _catch_up(self, tx: Tx, ours: Collection[Key]) -> None:
        """`ours` is what the transaction itself did."""
        changes = None if self._revision is None else tx.changes_after(self._revision)
        if changes is not None:
            self._take(tx, changes, ours)
            return
        revision = tx.position()[2]
        if self._revision is None or revision > self._revision:
            if self._revision is not None:
                log.warning("policies_read_anew", revision=revision, reason="the log doesn't reach back")
            self._revision, self._scopes, self._news = revision, {}, None
            with_clauses = {clause.policy_id for clause in tx.select(Clause)}
            for project_id in {one.project_id for one in tx.select(Policy) if one.id in with_clauses}:
                self._load(tx, project_id, ours)
        # Otherwise a reader's state is older than what we know.

    def _take(self, tx: Tx, changes: Iterable[Change], ours: Collection[Key]) -> None:
        """Each thing at the revision that changed it last: what follows is known to come of that one."""
        newest = self.revision
        last: dict[Key, Cause] = dict.fromkeys(self._behind, Cause(newest))
        for change in changes:
            newest = change.revision
            if not change.scope:
                last[change.kind, change.id] = Cause(change.revision, change.request_id)
        self._behind = {key for key in last if key in ours}
        # Policies go with their clauses, whichever of them changed last.
        together = max((cause for key, cause in last.items() if key[0] in POLICY_TYPES), default=Cause(newest))
        by_cause: dict[Cause, list[Key]] = {}
        for key, cause in last.items():
            if key not in ours:
                by_cause.setdefault(together if key[0] in POLICY_TYPES else cause, []).append(key)
        for cause in sorted(by_cause):
            self._settle(tx, by_cause[cause], cause, ours)
        self._revision = newest

    def _settle(self, tx: Tx, keys: Collection[Key], cause: Cause, ours: Collection[Key]) -> None:
        policies = read(tx, [key for key in keys if key[0] in POLICY_TYPES])
        late = {key for key, one in policies.items() if isinstance(one, Clause) and ("policy", one.policy_id) in ours}
        self._behind |= late
        policies = {key: thing for key, thing in policies.items() if key not in late}
        if policies:
            self._load_more(tx, policies.values(), cause, ours)
        things = read(tx, [key for key in keys if key[0] in FACT_TYPES]) if self._scopes else {}
        public = shared(tx, things)
        for scope in self._scopes.values():
            if scope.stale:
                continue
            try:
                self._tell(scope, [*scope.take_policies(policies), *scope.take(things, public)], cause)
            except TooMuch as error:
                # Nobody is kept from changing his network by a clause; whoever mends the clause brings it back.
                scope.stale = f"Policies stand still since revision {cause.revision}: {error.message}"
                log.error("policies_stand_still", project=scope.project_id, **cause._asdict(), reason=error.message)

    def _load_more(self, tx: Tx, changed: Iterable[msgspec.Struct | None], cause: Cause, ours: Collection[Key]) -> None:
        """Who has clauses now, and whoever stands still, since what he has too much of may be gone."""
        having = {policy.project_id for one in changed if isinstance(one, Clause) and (policy := _policy_of(tx, one))}
        standing = {project_id for project_id, scope in self._scopes.items() if scope.stale}
        for project_id in (having - self._scopes.keys()) | standing:
            self._load(tx, project_id, ours)
            if project_id in having:
                self._tell(self._scopes[project_id], self._scopes[project_id].wrong(), cause)

    def _tell(self, scope: Scope, told: Iterable[Told], cause: Cause) -> None:
        if self._news is None:
            return
        for number, (policy, row, appeared) in enumerate(told):
            explained = appeared and number < _MOST_EXPLAINED
            why = account(scope.engine, scope.sources, policy.name, VIOLATIONS, row) if explained else ""
            self._news.append(News(scope.project_id, policy.name, row, appeared, *cause, why))
        if len(self._news) > _MOST_NEWS:
            self._news = None

    def _scope(self, tx: Tx, project_id: str, ours: Collection[Key]) -> Scope:
        if project_id not in self._scopes:
            self._load(tx, project_id, ours)
        return self._scopes[project_id]

    def _load(self, tx: Tx, project_id: str, ours: Collection[Key]) -> None:
        """All but what the transaction itself did, which is read when it is committed."""
        scope = Scope(project_id, self._hidden)
        public = all_shared(tx)
        where = {} if project_id == CLOUD else {"project_id": project_id}
        for type_ in scope.types:
            things = keyed(tx.select(type_, where))
            scope.take({key: thing for key, thing in things.items() if key not in ours}, public)
        # Facts are as many as there are; what follows from them is bounded.
        limits = self._limits if project_id == CLOUD else self._of_projects
        scope.engine.limits(limits.max_rows, limits.max_s)
        policies = tx.select(Policy, {"project_id": project_id})
        clauses = tx.select(Clause, {"policy_id": [one.id for one in policies]}) if policies else []
        kept: list[msgspec.Struct] = [*policies, *sorted(clauses, key=lambda one: (one.made_at, one.id))]
        list(scope.take_policies({key: thing for key, thing in keyed(kept).items() if key not in ours}))
        self._behind.update(key for key in ours if key[0] in FACT_TYPES or key[0] in POLICY_TYPES)
        self._scopes[project_id] = scope

    def _try(self, tx: Tx, policies: Collection[Key], ours: Collection[Key]) -> None:
        """The transaction's own policies and clauses; nothing of them stays."""
        things = read(tx, policies)
        came = [thing for thing in things.values() if isinstance(thing, Clause)]
        if came:
            found = {policy.id: policy for clause in came if (policy := _policy_of(tx, clause))}
            project_id = next(iter(found.values())).project_id
            gone = [id_ for (kind, id_), thing in things.items() if kind == "clause" and thing is None]
            self._scope(tx, project_id, ours).try_clauses(found.values(), came, gone)


def _policy_of(tx: Tx, clause: Clause) -> Policy | None:
    return tx.get(Policy, clause.policy_id)
