"""Actions, as Congress's API has them: what there is at `data-sources/D/actions`; one done now by `?action=execute`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from suimon.api.errors import NotImplementedHere
from suimon.api.gate import Gate
from suimon.api.wire import Call, answer, converted
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest
from suimon.resources import actions
from suimon.resources.remedies import execute

_Values = Annotated[list[str | int | float | bool | None], Meta(max_length=20)]


class Given(msgspec.Struct, frozen=True):
    """Arguments by place, and behind them by name."""

    positional: _Values = []
    named: dict[str, str | int | float | bool | None] = {}


class Executed(msgspec.Struct):
    """An action, with its source (`suimon:quarantine`) if it is asked of a policy."""

    name: Annotated[str, Meta(max_length=255)]
    args: Given = Given()


class Execution:
    """The handlers."""

    def __init__(self, gate: Gate) -> None:
        self._store = gate.store

    async def by_source(self, call: Call, actor: Actor, source: str) -> Response:
        """POST data-sources/D?action=execute."""
        if dict(call.query()).get("action") != "execute":
            raise NotImplementedHere("A data source can be asked to execute an action.")
        return await self.answered(call, actor, f"{source}:")

    async def answered(self, call: Call, actor: Actor, prefix: str = "") -> Response:
        """One action now, for an operator: which incident tells of it, by which it can be undone."""
        said = converted(await call.json(), Executed)
        row = _row(prefix + said.name, said.args)
        made = await self._store.write(lambda tx: execute(tx, actor, prefix + said.name, row), actor)
        return answer({"incident_id": made.id, "state": made.state})


def listed(source: str) -> list[dict[str, object]]:
    """What can be done under a source's name."""
    return [
        {"name": name.partition(":")[2], "args": _arguments(action), "description": action.words}
        for name, action in actions.ACTIONS.items()
        if name.startswith(f"{source}:")
    ]


def _arguments(action: actions.Action) -> list[dict[str, str]]:
    return [
        {"name": each.name, "description": each.words + (" (optional)" if each.optional else "")}
        for each in action.parameters
    ]


def _row(name: str, given: Given) -> tuple[actions.Value, ...]:
    """In the action's order. Raises NotFound, BadRequest."""
    names = [each.name for each in actions.action_of(name).parameters][len(given.positional) :]
    named: Mapping[str, actions.Value] = given.named
    row = [named[each] for each in names if each in named]
    if len(row) != len(named) or any(each not in named for each in names[: len(row)]):
        raise BadRequest(f"By name it takes {', '.join(names) or 'nothing more'}.")
    return (*given.positional, *row)
