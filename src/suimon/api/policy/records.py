"""What was violated when, and who changed which policy: `/policy/v1/violations` and `history`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.operations.incidents import limit_of
from suimon.api.wire import Call, answer
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest
from suimon.model.policies import Violation
from suimon.resources import violations as acts
from suimon.resources.policies import list_changes
from suimon.store.tx import Tx


class Records:
    """The handlers."""

    def __init__(self, gate: Gate) -> None:
        self._store = gate.store

    async def violations(self, call: Call, actor: Actor) -> Response:
        """GET: the newest first, `limit` of them; those that go on, with `ended` also others, or what was so `at`."""
        query = dict(call.query())
        if unknown := sorted(query.keys() - {"limit", "ended", "at"}):
            raise BadRequest(f"There is no {unknown[0][:40]!r} to ask for: there are limit, ended and at.")
        limit, at = limit_of(call.query()), _moment(query["at"]) if "at" in query else None

        def read(tx: Tx) -> list[Violation]:
            if at is not None:
                return acts.violations_at(tx, actor, at, limit)
            return acts.list_violations(tx, actor, limit, ended=query.get("ended", "").lower() in ("true", "1"))

        return answer({"violations": [_violation(one) for one in await self._store.read(read)]})

    async def violation(self, _call: Call, actor: Actor, id_: str) -> Response:
        """GET one, with the clauses and facts that made it."""
        found = await self._store.read(lambda tx: acts.get_violation(tx, actor, id_))
        return answer({"violation": {**_violation(found), "why": found.why}})

    async def history(self, call: Call, actor: Actor) -> Response:
        """GET: who changed which policy, the newest first."""
        limit = limit_of(call.query())
        found = await self._store.read(lambda tx: list_changes(tx, actor, limit))
        return answer({"history": [msgspec.structs.asdict(one) for one in found]})


def _violation(one: Violation) -> dict[str, object]:
    told = msgspec.structs.asdict(one)
    return {name: value for name, value in told.items() if name not in ("digest", "why")} | {"row": json.loads(one.row)}


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest("A time is written as 2026-11-21T14:02:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
