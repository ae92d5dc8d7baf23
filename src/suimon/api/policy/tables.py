"""What policies conclude: `/policy/v1/policies/*/tables`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.wire import Call, answer
from suimon.enforcement.scope import Scope
from suimon.enforcement.words import account
from suimon.enforcement.world import World
from suimon.model.actor import Actor
from suimon.model.errors import NotFound
from suimon.model.policies import Policy
from suimon.resources.policies import find_policy
from suimon.store.tx import Tx

T = TypeVar("T")
_MOST_TRACED = 20


class Tables:
    """The handlers."""

    def __init__(self, gate: Gate, world: World) -> None:
        self._store = gate.store
        self._world = world

    async def index(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET: those that its rules define."""
        found = await self._ask(actor, name, lambda scope, policy: scope.engine.tables(policy.name))
        return answer({"results": [{"id": table} for table in found]})

    async def show(self, _call: Call, actor: Actor, name: str, table: str) -> Response:
        """GET one."""
        await self._ask(actor, name, lambda scope, policy: _require(scope, policy, table))
        return answer({"id": table})

    async def rows(self, call: Call, actor: Actor, name: str, table: str) -> Response:
        """GET: all rows; with ?trace=True why each of the first 20 is there."""
        traced = dict(call.query()).get("trace", "").lower() in ("true", "1")

        def ask(scope: Scope, policy: Policy) -> dict[str, object]:
            _require(scope, policy, table)
            rows = scope.engine.rows(policy.name, table)
            told: dict[str, object] = {"results": [{"data": row} for row in rows]}
            if traced:
                why = (account(scope.engine, scope.sources, policy.name, table, row) for row in rows[:_MOST_TRACED])
                told["trace"] = "\n".join(why) or "Not available"
            return told

        return answer(await self._ask(actor, name, ask))

    async def _ask(self, actor: Actor, name: str, question: Callable[[Scope, Policy], T]) -> T:
        def ask(tx: Tx) -> T:
            policy = find_policy(tx, actor, name)
            return self._world.ask(tx, policy.project_id, lambda scope: question(scope, policy))

        return await self._store.read(ask)


def _require(scope: Scope, policy: Policy, table: str) -> None:
    if table not in scope.engine.tables(policy.name):
        raise NotFound(f"Table {table} could not be found in policy {policy.name}.")
