"""Policies and their rules, as Congress's API has them: `/policy/v1/policies`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from suimon.api.errors import NotImplementedHere
from suimon.api.gate import Gate
from suimon.api.operations.incidents import converted
from suimon.api.wire import Call, answer
from suimon.enforcement.words import atom
from suimon.enforcement.world import World
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest
from suimon.model.policies import Clause, Kind, Mode, Policy
from suimon.resources import policies as acts
from suimon.store.tx import Tx

_MOST_QUERY = 100_000
_Text = Annotated[str, Meta(max_length=_MOST_QUERY)]


class Rule(msgspec.Struct):
    """A clause as Congress's clients write it."""

    rule: str
    name: str | None = None
    comment: str | None = None


class Written(msgspec.Struct):
    """A policy, with its rules or without."""

    name: str
    kind: Kind | None = None
    description: str | None = None
    abbreviation: str | None = None
    rules: Annotated[list[Rule], Meta(max_length=acts.MOST_CLAUSES)] = []


class Changed(msgspec.Struct, forbid_unknown_fields=True):
    """What Congress's policies didn't have."""

    mode: Mode | None = None
    proactive: bool | None = None


class Simulated(msgspec.Struct):
    """A question about what would be."""

    query: _Text
    sequence: _Text
    action_policy: str


class Policies:
    """The handlers."""

    def __init__(self, gate: Gate, world: World) -> None:
        self._store = gate.store
        self._world = world

    async def index(self, _call: Call, actor: Actor) -> Response:
        """GET: all that the caller has."""
        found = await self._store.read(lambda tx: acts.list_policies(tx, actor))
        return answer({"results": [_policy(one) for one in found]})

    async def create(self, call: Call, actor: Actor) -> Response:
        """POST: with `rules` all of it, or nothing."""
        if "library_policy" in dict(call.query()):
            raise NotImplementedHere("There is no library of policies.")
        said = converted(await call.json(), Written)
        wanted = acts.Wanted(
            name=said.name,
            kind=said.kind,
            description=said.description,
            abbreviation=said.abbreviation,
            clauses=tuple(_wanted(one) for one in said.rules),
        )
        made, clauses = await self._store.write(lambda tx: acts.create_policy(tx, actor, wanted), actor)
        return answer(_policy(made) | ({"rules": [_rule(one) for one in clauses]} if clauses else {}), 201)

    async def show(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET one, by id or name."""
        return answer(_policy(await self._store.read(lambda tx: acts.find_policy(tx, actor, name))))

    async def change(self, call: Call, actor: Actor, name: str) -> Response:
        """PUT: another mode, or whether it forbids."""
        said = converted(await call.json(), Changed)

        def act(tx: Tx) -> Policy:
            return acts.change_policy(tx, actor, name, mode=said.mode, proactive=said.proactive)

        return answer(_policy(await self._store.write(act, actor)))

    async def stop(self, _call: Call, actor: Actor) -> Response:
        """POST: nothing is forbidden any more; what was enforced is staged."""
        found = await self._store.write(lambda tx: acts.stop_enforcing(tx, actor), actor)
        return answer({"results": [_policy(one) for one in found]})

    async def delete(self, _call: Call, actor: Actor, name: str) -> Response:
        """DELETE: with its rules."""
        return answer(_policy(await self._store.write(lambda tx: acts.delete_policy(tx, actor, name), actor)))

    async def act(self, call: Call, actor: Actor, name: str) -> Response:
        """POST ?action=simulate: what a query would find after a sequence of updates and actions."""
        query = dict(call.query())
        if query.get("action") != "simulate":
            raise NotImplementedHere("A policy can be asked to simulate.")
        said = converted(await call.json(), Simulated)
        delta = query.get("delta", "").lower() in ("true", "1")

        def ask(tx: Tx) -> list[str]:
            policy = acts.find_policy(tx, actor, name)
            actions = acts.find_policy(tx, actor, said.action_policy)
            if actions.project_id != policy.project_id:
                raise BadRequest("A policy and the policy of its actions are of one project.")
            found = self._world.ask(
                tx,
                policy.project_id,
                lambda scope: scope.engine.simulate(policy.name, said.query, said.sequence, actions.name, delta),
            )
            return [atom(("", str(row[0])), row[1:]) for row in found]

        told: dict[str, object] = {"result": await self._store.read(ask)}
        if query.get("trace", "").lower() in ("true", "1"):
            told["trace"] = ""
        return answer(told)

    async def rules(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET: the oldest first."""
        found = await self._store.read(lambda tx: acts.list_clauses(tx, actor, name))
        return answer({"results": [_rule(one) for one in found]})

    async def insert(self, call: Call, actor: Actor, name: str) -> Response:
        """POST: in force from now on, or what is wrong with it, with line and column."""
        wanted = _wanted(converted(await call.json(), Rule))
        return answer(
            _rule(await self._store.write(lambda tx: acts.insert_clause(tx, actor, name, wanted), actor)), 201
        )

    async def rule(self, _call: Call, actor: Actor, name: str, id_: str) -> Response:
        """GET one."""
        return answer(_rule(await self._store.read(lambda tx: acts.get_clause(tx, actor, name, id_))))

    async def remove(self, _call: Call, actor: Actor, name: str, id_: str) -> Response:
        """DELETE: no more in force."""
        return answer(_rule(await self._store.write(lambda tx: acts.delete_clause(tx, actor, name, id_), actor)))


def _wanted(rule: Rule) -> acts.WantedClause:
    return acts.WantedClause(text=rule.rule, name=rule.name, comment=rule.comment)


def _policy(policy: Policy) -> dict[str, object]:
    return {
        "id": policy.id,
        "name": policy.name,
        "kind": policy.kind,
        "description": policy.description,
        "abbreviation": policy.abbreviation,
        "owner_id": policy.author,
        "project_id": policy.project_id,
        "mode": policy.mode,
        "proactive": policy.proactive,
    }


def _rule(clause: Clause) -> dict[str, object]:
    return {"id": clause.id, "rule": clause.text, "name": clause.name or None, "comment": clause.comment or None}
