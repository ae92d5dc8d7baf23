"""What policies can be made of: `/policy/v1/librarypolicies`, as Congress's API has it."""

from __future__ import annotations

from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.policy.policies import Written, wanted_of
from suimon.api.wire import Call, answer, converted
from suimon.model.actor import Actor
from suimon.model.policies import LibraryPolicy
from suimon.resources import policy_library as acts


class Library:
    """The handlers."""

    def __init__(self, gate: Gate) -> None:
        self._store = gate.store

    async def index(self, call: Call, _actor: Actor) -> Response:
        """GET: all, or that of a `name`; with include_rules=False without their rules."""
        query, with_rules = dict(call.query()), _with_rules(call)
        found = await self._store.read(acts.list_library)
        return answer(
            {"results": [_policy(one, with_rules) for one in found if one.name == query.get("name", one.name)]}
        )

    async def create(self, call: Call, actor: Actor) -> Response:
        """POST: for operators."""
        wanted = wanted_of(converted(await call.json(), Written))
        made = await self._store.write(lambda tx: acts.put_into_library(tx, actor, wanted), actor)
        return answer(_policy(made), 201)

    async def show(self, call: Call, _actor: Actor, name: str) -> Response:
        """GET one, by id or name."""
        found = await self._store.read(lambda tx: acts.find_in_library(tx, name))
        return answer(_policy(found, _with_rules(call)))

    async def replace(self, call: Call, actor: Actor, name: str) -> Response:
        """PUT: all of it."""
        wanted = wanted_of(converted(await call.json(), Written))
        return answer(
            _policy(await self._store.write(lambda tx: acts.replace_in_library(tx, actor, name, wanted), actor))
        )

    async def delete(self, _call: Call, actor: Actor, name: str) -> Response:
        """DELETE."""
        return answer(_policy(await self._store.write(lambda tx: acts.take_out_of_library(tx, actor, name), actor)))


def _with_rules(call: Call) -> bool:
    return dict(call.query()).get("include_rules", "").lower() != "false"


def _policy(policy: LibraryPolicy, with_rules: bool = True) -> dict[str, object]:
    told: dict[str, object] = {
        "id": policy.id,
        "name": policy.name,
        "kind": policy.kind,
        "description": policy.description,
        "abbreviation": policy.abbreviation,
        "ready": policy.ready,
    }
    if with_rules:
        told["rules"] = [
            {"rule": one.rule, "name": one.name or None, "comment": one.comment or None} for one in policy.rules
        ]
    return told
