"""What was violated when, what was refused to whom, and who changed which policy: `/policy/v1/violations`,
`evaluations` and `history`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.policy.sources import aged
from suimon.api.wire import Call, answer, limit_of
from suimon.enforcement.world import World
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest
from suimon.model.policies import OUTCOMES, Violation
from suimon.resources import violations as acts
from suimon.resources.evaluations import list_evaluations
from suimon.resources.policies import list_changes
from suimon.store.tx import Tx


class Records:
    """The handlers."""

    def __init__(self, gate: Gate, world: World) -> None:
        self._store = gate.store
        self._world = world

    async def violations(self, call: Call, actor: Actor) -> Response:
        """GET: the newest first, `limit` of them; those that go on, with `ended` also others, or what was so `at`."""
        query = dict(call.query())
        if unknown := sorted(query.keys() - {"limit", "ended", "at"}):
            raise BadRequest(f"There is no {unknown[0][:40]!r} to ask for: there are limit, ended and at.")
        limit, at = limit_of(call.query()), moment_of(query["at"]) if "at" in query else None

        def read(tx: Tx) -> list[dict[str, object]]:
            if at is not None:
                return [_violation(one) for one in acts.violations_at(tx, actor, at, limit)]
            ended = query.get("ended", "").lower() in ("true", "1")
            return self._with_ages(tx, actor, acts.list_violations(tx, actor, limit, ended=ended))

        return answer({"violations": await self._store.read(read)})

    async def violation(self, _call: Call, actor: Actor, id_: str) -> Response:
        """GET one, with the clauses and facts that made it."""

        def read(tx: Tx) -> dict[str, object]:
            found = acts.get_violation(tx, actor, id_)
            return {**self._with_ages(tx, actor, [found])[0], "why": found.why}

        return answer({"violation": await self._store.read(read)})

    async def evaluations(self, call: Call, actor: Actor) -> Response:
        """GET: what policies denied or, staged, would have; the newest first, by `policy` (a name) and `outcome`."""
        query = dict(call.query())
        if unknown := sorted(query.keys() - {"limit", "policy", "outcome"}):
            raise BadRequest(f"There is no {unknown[0][:40]!r} to ask for: there are limit, policy and outcome.")
        if query.get("outcome", OUTCOMES[0]) not in OUTCOMES:
            raise BadRequest(f"An outcome is one of {', '.join(OUTCOMES)}.")
        limit = limit_of(call.query())
        where = {name: value for name, value in query.items() if name != "limit"}
        found = await self._store.read(lambda tx: list_evaluations(tx, actor, where, limit))
        return answer({"evaluations": [msgspec.structs.asdict(one) for one in found]})

    async def calls(self, call: Call, actor: Actor) -> Response:
        """GET: which actions policies called for, staged ones as well, the newest first."""
        limit = limit_of(call.query())
        found = await self._store.read(lambda tx: acts.list_calls(tx, actor, limit))
        return answer({"calls": [{**_violation(one), "why": one.why} for one in found]})

    async def history(self, call: Call, actor: Actor) -> Response:
        """GET: who changed which policy, the newest first."""
        limit = limit_of(call.query())
        found = await self._store.read(lambda tx: list_changes(tx, actor, limit))
        return answer({"history": [msgspec.structs.asdict(one) for one in found]})

    def _with_ages(self, tx: Tx, actor: Actor, found: list[Violation]) -> list[dict[str, object]]:
        """Of those that go on, which facts they rest on are older than was promised."""
        stale = self._world.stale(tx, {(one.project_id, one.policy) for one in found if one.vanished_at is None})
        return [
            _violation(one)
            | {"stale": [aged(table, tx.now, actor) for table in stale.get((one.project_id, one.policy), ())]
               if one.vanished_at is None else []}
            for one in found
        ]  # fmt: skip


def _violation(one: Violation) -> dict[str, object]:
    told = msgspec.structs.asdict(one)
    return {name: value for name, value in told.items() if name not in ("digest", "why")} | {"row": json.loads(one.row)}


def moment_of(text: str) -> datetime:
    """A time as clients write it. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest("A time is written as 2026-11-21T14:02:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
