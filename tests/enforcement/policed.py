"""A world of acts whose transactions are checked by policies."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from suimon.enforcement.purse import Purse
from suimon.enforcement.scope import OF_PROJECTS, Limits
from suimon.enforcement.world import World as Engines
from suimon.model.actor import Actor
from suimon.model.policies import CLOUD, News
from suimon.policy.changes import Row
from suimon.resources import policies
from suimon.resources.persona import hidden_from_projects
from suimon.resources.registry import RESOURCES
from suimon.store import Tx
from tests.resources.world import ADMIN, ALICE, World

OPEN = 'error(rule) :- neutronv2:security_group_rules(id=rule, direction="ingress", remote_ip_prefix="0.0.0.0/0")'

LIMITS = Limits(max_s=60)


class _Undone(Exception):
    """Whoever only looked."""


class Policed(World):
    def __init__(self, limits: Limits = LIMITS, purse: Purse | None = None) -> None:
        super().__init__()
        self._limits, self._purse = limits, purse
        self.engines = self.fresh()
        self.store.guard(self.engines.check)

    def fresh(self) -> Engines:
        """What knows nothing yet."""
        of_projects = Limits(OF_PROJECTS.max_rows, self._limits.max_s)
        return Engines(hidden_from_projects(), self._limits, of_projects, self._purse)

    def policy(self, name: str, *clauses: str, by: Actor = ADMIN, **mode: object) -> None:
        wanted = policies.Wanted(name=name, clauses=tuple(policies.WantedClause(text=text) for text in clauses))
        self.write(lambda tx: policies.create_policy(tx, by, wanted), by)
        if mode:
            self.write(lambda tx: policies.change_policy(tx, by, name, msgspec.convert(mode, policies.Ways)), by)

    def insert(self, name: str, text: str, by: Actor = ADMIN) -> str:
        return self.write(lambda tx: policies.insert_clause(tx, by, name, policies.WantedClause(text=text)), by).id

    def rows(self, name: str, table: str = "error", project: str = CLOUD) -> list[Row]:
        return self.read(lambda tx: self.engines.ask(tx, project, lambda scope: scope.engine.rows(name, table)))

    def foreseen(self, name: str) -> list[str]:
        """By a network of that name, which isn't made."""
        networks, told = RESOURCES["networks"], []

        def act(tx: Tx) -> None:
            networks.create(tx, ALICE, networks.spec.for_create({"name": name}, ALICE))
            told.extend(self.engines.foresee(tx))
            raise _Undone

        with suppress(_Undone):
            self.write(act, ALICE)
        return told

    def news(self) -> list[News]:
        self.read(self.engines.catch_up)
        told = self.engines.news()
        assert told is not None
        return told
