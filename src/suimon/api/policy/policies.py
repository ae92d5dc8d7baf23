"""Policies and their rules, as Congress's API has them: `/policy/v1/policies`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from suimon.api.errors import NotImplementedHere
from suimon.api.gate import Gate
from suimon.api.policy.execution import Execution
from suimon.api.wire import Call, answer, converted
from suimon.enforcement.supposing import steps
from suimon.enforcement.words import atom
from suimon.enforcement.world import World
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest
from suimon.model.policies import Clause, Kind, Policy, Tally
from suimon.policy.engine import Engine
from suimon.resources import policies as acts
from suimon.resources.evaluations import called, tallies
from suimon.resources.policy_library import as_wanted, find_in_library
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


class OfLibrary(msgspec.Struct, forbid_unknown_fields=True):
    """What Congress sent nothing with: facts in the place of the library's, for `?library_policy=`."""

    facts: Annotated[list[_Text], Meta(max_length=acts.MOST_CLAUSES)] = []


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
        self._execution = Execution(gate)

    async def index(self, _call: Call, actor: Actor) -> Response:
        """GET: all that the caller has, with how often they decided what since they are in their mode."""

        def read(tx: Tx) -> list[dict[str, object]]:
            found = acts.list_policies(tx, actor)
            ids = [one.id for one in found]
            counted, calls = tallies(tx, ids), called(tx, ids)
            return [_policy(one) | _counts(counted.get(one.id), calls.get(one.id, 0)) for one in found]

        return answer({"results": await self._store.read(read)})

    async def create(self, call: Call, actor: Actor) -> Response:
        """POST: with `rules` all of it, or nothing; `?library_policy=` of what is in the library."""
        wanted = await _wanted_by(call)
        made, clauses = await self._store.write(lambda tx: acts.create_policy(tx, actor, wanted(tx)), actor)
        return answer(_policy(made) | ({"rules": [_rule(one) for one in clauses]} if clauses else {}), 201)

    async def show(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET one, by id or name."""
        return answer(_policy(await self._store.read(lambda tx: acts.find_policy(tx, actor, name))))

    async def change(self, call: Call, actor: Actor, name: str) -> Response:
        """PUT: another mode, whether it forbids, and whether it acts."""
        ways = converted(await call.json(), acts.Ways)
        return answer(_policy(await self._store.write(lambda tx: acts.change_policy(tx, actor, name, ways), actor)))

    async def stop(self, _call: Call, actor: Actor) -> Response:
        """POST: nothing is forbidden or done any more; what was enforced is staged."""
        found = await self._store.write(lambda tx: acts.stop_enforcing(tx, actor), actor)
        return answer({"results": [_policy(one) for one in found]})

    async def delete(self, _call: Call, actor: Actor, name: str) -> Response:
        """DELETE: with its rules."""
        return answer(_policy(await self._store.write(lambda tx: acts.delete_policy(tx, actor, name), actor)))

    async def act(self, call: Call, actor: Actor, name: str) -> Response:
        """POST ?action=simulate: what a query would find after a sequence of updates and actions; ?action=execute: one
        action now.
        """
        query = dict(call.query())
        if query.get("action") == "execute":
            await self._store.read(lambda tx: acts.find_policy(tx, actor, name))
            return await self._execution.answered(call, actor)
        if query.get("action") != "simulate":
            raise NotImplementedHere("A policy can be asked to simulate or to execute.")
        said = converted(await call.json(), Simulated)
        delta = query.get("delta", "").lower() in ("true", "1")

        traced = query.get("trace", "").lower() in ("true", "1")

        def suppose(engine: Engine, policy: str, actions: str) -> dict[str, object]:
            found = engine.simulate(policy, said.query, said.sequence, actions, delta)
            told: dict[str, object] = {"result": [atom(("", str(row[0])), row[1:]) for row in found]}
            return told | ({"trace": steps(engine, policy, said.query, said.sequence, actions)} if traced else {})

        def ask(tx: Tx) -> dict[str, object]:
            policy = acts.find_policy(tx, actor, name)
            actions = acts.find_policy(tx, actor, said.action_policy)
            if actions.project_id != policy.project_id:
                raise BadRequest("A policy and the policy of its actions are of one project.")
            return self._world.ask(
                tx, policy.project_id, lambda scope: suppose(scope.engine, policy.name, actions.name)
            )

        return answer(await self._store.read(ask))

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


def wanted_of(said: Written) -> acts.Wanted:
    """What is to be made, in a policy's or the library's terms."""
    return acts.Wanted(
        name=said.name,
        kind=said.kind,
        description=said.description,
        abbreviation=said.abbreviation,
        clauses=tuple(_wanted(one) for one in said.rules),
    )


async def _wanted_by(call: Call) -> Callable[[Tx], acts.Wanted]:
    name, body = dict(call.query()).get("library_policy"), await call.json()
    if name is None:
        said = wanted_of(converted(body, Written))
        return lambda _tx: said
    facts = converted(body or {}, OfLibrary).facts
    return lambda tx: as_wanted(find_in_library(tx, name), facts)


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
        "acts": policy.acts,
    }


def _counts(tally: Tally | None, calls: int) -> dict[str, object]:
    return {"tally": {**msgspec.structs.asdict(tally), "called": calls}} if tally else {}


def _rule(clause: Clause) -> dict[str, object]:
    return {"id": clause.id, "rule": clause.text, "name": clause.name or None, "comment": clause.comment or None}
