"""All engines, at one revision of the log; what they find wrong, as news; and what they forbid.

Whoever has a transaction brings the world up to it first, and asks then, so that an answer is of the transaction's own
revision. What a transaction did that isn't committed yet is only ever tried.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final, NamedTuple, TypeVar

import msgspec
import structlog

from suimon.enforcement.ages import stale_below
from suimon.enforcement.forbidding import consequences, judge, refuse
from suimon.enforcement.past import Past
from suimon.enforcement.purse import Purse
from suimon.enforcement.reading import POLICY_TYPES, all_shared, read, shared
from suimon.enforcement.scope import FACT_TYPES, OF_PROJECTS, Key, Limits, Scope, Sources, Told, keyed, sources_of
from suimon.enforcement.words import account
from suimon.model.actor import SYSTEM
from suimon.model.errors import Forbidden, TooManyRequests, Unavailable
from suimon.model.fact_tables import KIND, FactTable
from suimon.model.policies import CLOUD, Clause, Evaluation, News, Policy
from suimon.policy.engine import TooMuch
from suimon.policy.facts import SOURCES
from suimon.resources.evaluations import note_evaluations
from suimon.resources.fact_tables import list_tables, told_tables
from suimon.store.changes import Change
from suimon.store.tx import Tx

T = TypeVar("T")
_FACT_KINDS: Final = FACT_TYPES.keys() | {KIND}
_MOST_NEWS: Final = 100_000
"""That wait to be recorded; of more, what is so now is compared with what was recorded."""
_MOST_REFUSED: Final = 10_000
"""Refusals that wait to be written down; what is more is only in the log."""
_MANY: Final = 10_000
"""Things of an engine that the collector is told to leave alone."""
_MOST_EXPLAINED: Final = 100
"""Violations of one revision."""
_TOO_LONG: Final = "The policies of this project took more than their share of time"
log = structlog.get_logger()


class Cause(NamedTuple):
    """The change that something follows from."""

    revision: int
    request_id: str = ""


class World:
    """`hidden` are the names of the API's rules that a project's readers don't pass (`get_port:binding:host_id`)."""

    def __init__(
        self,
        hidden: Collection[str],
        limits: Limits,
        of_projects: Limits = OF_PROJECTS,
        purse: Purse | None = None,
    ) -> None:
        self._hidden = frozenset(hidden)
        self._purse = purse or Purse()
        self._limits, self._of_projects = limits, of_projects
        self._lock = Lock()
        self._revision: int | None = None
        self._scopes: dict[str, Scope] = {}
        self._behind: set[Key] = set()
        """What a transaction changed while it looked, and may not have committed."""
        self._news: list[News] | None = None
        self._refused: list[Evaluation] = []
        self.on_refusal: Callable[[], None] = lambda: None
        """Called in the writer's thread when there is more for `refused`."""

    @property
    def revision(self) -> int:
        """Up to where the log is known."""
        return self._revision or 0

    @property
    def idle(self) -> bool:
        """Whether nobody has clauses: what changes, but for policies, is looked at when somebody asks."""
        return not any(scope.clauses for scope in tuple(self._scopes.values()))

    def catch_up(self, tx: Tx) -> None:
        """To the revision that a reading transaction sees."""
        with self._lock:
            self._catch_up(tx, frozenset())

    def ask(self, tx: Tx, project_id: str, question: Callable[[Scope], T]) -> T:
        """Of a project's policies, or the cloud's, in a reading transaction. Raises Unavailable, TooManyRequests."""
        with self._lock:
            self._catch_up(tx, frozenset())
            scope = self._scope(tx, project_id, frozenset())
            if scope.stale:
                raise Unavailable(scope.stale)
            with self._paid(project_id):
                return question(scope)

    def sources(self, tx: Tx, project_id: str) -> Sources:
        """Whose tables its policies can ask: source → table → columns."""
        return sources_of(project_id, self._hidden, list_tables(tx))

    def stale(self, tx: Tx, asked: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[FactTable]]:
        """By project and policy, which facts from elsewhere its violations rest on that are older than was promised."""
        found: dict[tuple[str, str], list[FactTable]] = {}
        by_project: dict[str, set[str]] = {}
        for project_id, policy in asked:
            by_project.setdefault(project_id, set()).add(policy)
        with self._lock:
            self._catch_up(tx, frozenset())
            for project_id in by_project.keys() & self._scopes.keys():
                below = stale_below(tx, self._scopes[project_id], by_project[project_id])
                found |= {(project_id, policy): tables for policy, tables in below.items()}
        return found

    def past(self, tables: Iterable[tuple[str, str]], project_id: str, sources: Sources = SOURCES) -> Past:
        """Of these tables, as its policies would have had them; `sources` are its own."""
        return Past(tables, project_id, self._hidden, sources)

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
        force, TooManyRequests for a project's that took too long lately, and Forbidden for what a proactive policy
        forbids.

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
                self._judge(tx, watchful, facts)

    def refused(self) -> list[Evaluation]:
        """What policies had against transactions that were refused, since the last time."""
        with self._lock:
            told, self._refused = self._refused, []
            return told

    def foresee(self, tx: Tx) -> list[str]:
        """What the cloud's policies would find wrong, and no longer, if what this transaction did were committed. The
        caller undoes it.
        """
        keys = frozenset((kind, id_) for kind, id_, scope in tx.touched if not scope)
        facts = {key for key in keys if key[0] in FACT_TYPES}
        with self._lock:
            self._catch_up(tx, keys)
            scope = self._scopes.get(CLOUD)
            if scope is None or scope.stale:
                return []
            return consequences(scope, read(tx, facts), shared(tx, facts))

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

    def _judge(self, tx: Tx, scopes: Collection[Scope], facts: Collection[Key]) -> None:
        things, public = read(tx, facts), shared(tx, facts)
        found: list[Evaluation] = []
        for scope in scopes:
            if self._purse.is_empty(scope.project_id):
                # As with a clause that is too much: it must not stop everybody's work.
                log.warning("policy_not_asked", project=scope.project_id, reason="its policies took too long lately")
                continue
            with self._purse.spending(scope.project_id):
                found += judge(tx, scope, things, public)
        try:
            refuse({policy.id: policy for scope in scopes for policy in scope.watchful}, found)
        except Forbidden:
            # Nothing that this transaction writes will stay: another one has to write it down.
            self._refused += found[: _MOST_REFUSED - len(self._refused)]
            self.on_refusal()
            raise
        # Kept if, and only if, what the policies had something against is kept.
        note_evaluations(tx, found)

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
        things = read(tx, [key for key in keys if key[0] in _FACT_KINDS]) if self._scopes else {}
        public = shared(tx, things)
        for scope in tuple(self._scopes.values()):
            if scope.stale:
                continue
            if scope.outdated(things):
                # What is wrong now is compared with what was known to be.
                self._load(tx, scope.project_id, ours)
                self._news = None
                continue
            try:
                with self._purse.spending(scope.project_id):
                    told = [*scope.take_policies(policies), *scope.take(things, public)]
            except TooMuch as error:
                # Nobody is kept from changing his network by a clause; whoever mends the clause brings it back.
                _stand_still(scope, cause, error.message)
                continue
            self._tell(scope, told, cause)
            if self._purse.is_empty(scope.project_id):
                _stand_still(scope, cause, _TOO_LONG)

    def _load_more(self, tx: Tx, changed: Iterable[msgspec.Struct | None], cause: Cause, ours: Collection[Key]) -> None:
        """Who has clauses now, and whoever stands still, since what he has too much of may be gone."""
        having = {policy.project_id for one in changed if isinstance(one, Clause) and (policy := _policy_of(tx, one))}
        standing = {
            project_id
            for project_id, scope in self._scopes.items()
            if scope.stale and not self._purse.is_empty(project_id)
        }
        for project_id in (having - self._scopes.keys()) | standing:
            self._load(tx, project_id, ours)
            if project_id in having and not self._scopes[project_id].stale:
                self._tell(self._scopes[project_id], self._scopes[project_id].wrong(), cause)

    def _tell(self, scope: Scope, told: Iterable[Told], cause: Cause) -> None:
        if self._news is None:
            return
        for number, one in enumerate(told):
            explained = one.appeared and number < _MOST_EXPLAINED
            why = account(scope.engine, scope.sources, one.policy.name, one.table, one.row) if explained else ""
            self._news.append(News(scope.project_id, one.policy.name, one.row, one.appeared, *cause, why, one.action))
        if len(self._news) > _MOST_NEWS:
            self._news = None

    def _scope(self, tx: Tx, project_id: str, ours: Collection[Key]) -> Scope:
        known = self._scopes.get(project_id)
        if known is None or (known.stale and self._purse.is_full(project_id)):
            self._load(tx, project_id, ours)
        return self._scopes[project_id]

    def _load(self, tx: Tx, project_id: str, ours: Collection[Key]) -> None:
        """All but what the transaction itself did, which is read when it is committed."""
        with _collector_off():
            scope = self._scopes[project_id] = self._loaded(tx, project_id, ours)
        if scope.size > _MANY:
            # It would be looked through at each full collection, which takes 160 ms for 50,000 ports and 100,000 rules.
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def _loaded(self, tx: Tx, project_id: str, ours: Collection[Key]) -> Scope:
        scope = Scope(project_id, self._hidden)
        public = all_shared(tx)
        where = {} if project_id == CLOUD else {"project_id": project_id}
        for type_ in scope.types:
            things = keyed(tx.select(type_, where))
            scope.take({key: thing for key, thing in things.items() if key not in ours}, public)
        outside = {(KIND, id_): told for id_, told in told_tables(tx).items()}
        scope.take({key: told for key, told in outside.items() if key not in ours}, public)
        # Facts are as many as there are; what follows from them is bounded.
        limits = self._limits if project_id == CLOUD else self._of_projects
        scope.engine.limits(limits.max_rows, limits.max_s)
        policies = tx.select(Policy, {"project_id": project_id})
        clauses = tx.select(Clause, {"policy_id": [one.id for one in policies]}) if policies else []
        kept: list[msgspec.Struct] = [*policies, *sorted(clauses, key=lambda one: (one.made_at, one.id))]
        for key, thing in keyed(kept).items():
            if self._purse.is_empty(project_id):
                _stand_still(scope, Cause(self.revision), _TOO_LONG)
                break
            if key not in ours:
                with self._purse.spending(project_id):
                    scope.take_policies({key: thing})
        self._behind.update(key for key in ours if key[0] in _FACT_KINDS or key[0] in POLICY_TYPES)
        return scope

    def _try(self, tx: Tx, policies: Collection[Key], ours: Collection[Key]) -> None:
        """The transaction's own policies and clauses; nothing of them stays."""
        things = read(tx, policies)
        came = [thing for thing in things.values() if isinstance(thing, Clause)]
        if came:
            found = {policy.id: policy for clause in came if (policy := _policy_of(tx, clause))}
            project_id = next(iter(found.values())).project_id
            gone = [id_ for (kind, id_), thing in things.items() if kind == "clause" and thing is None]
            scope = self._scope(tx, project_id, ours)
            with self._paid(project_id):
                scope.try_clauses(found.values(), came, gone)

    @contextmanager
    def _paid(self, project_id: str) -> Iterator[None]:
        """What is done inside is taken from a project's time. Raises TooManyRequests when it has none."""
        if self._purse.is_empty(project_id):
            raise TooManyRequests(f"{_TOO_LONG}: again in {self._purse.full_in_s(project_id):.0f} s.")
        with self._purse.spending(project_id):
            yield


def _stand_still(scope: Scope, cause: Cause, reason: str) -> None:
    scope.stale = f"Policies stand still since revision {cause.revision}: {reason}"
    log.error("policies_stand_still", project=scope.project_id, **cause._asdict(), reason=reason)


@contextmanager
def _collector_off() -> Iterator[None]:
    """Rows are no cycles: looking for some while they come takes a fifth of the time that loading takes."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _policy_of(tx: Tx, clause: Clause) -> Policy | None:
    return tx.get(Policy, clause.policy_id)
