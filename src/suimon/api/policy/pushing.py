"""Rows that others push: data sources with the driver `push`, their tables and webhooks; for operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.policy.sources import shown
from suimon.api.wire import Call, answer, converted
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.fact_tables import FactSource, Reading, Row, id_of
from suimon.resources import fact_tables as acts
from suimon.store.tx import Tx

DRIVERS: Final = {
    "push": "Tables that somebody pushes, whole or row by row.",
    "file": "Tables that controllers read from the files of --facts-directory.",
}
_CONFIG: Final = {"max_age_s": "(optional)", "description": "(optional)"}


class Wanted(msgspec.Struct):
    """A data source as Congress's clients write it; more than this in `config` is let pass, as they must fill it."""

    name: str
    driver: str
    description: Annotated[str, Meta(max_length=1000)] | None = None
    config: dict[str, object] | None = None


class Pushing:
    """The handlers."""

    def __init__(self, gate: Gate) -> None:
        self._store = gate.store

    async def create(self, call: Call, actor: Actor) -> Response:
        """POST: a data source that rows can be pushed to; `config` may have `max_age_s`."""
        said = converted(await call.json(), Wanted)
        if said.driver != "push":
            raise BadRequest(f"There is no driver {said.driver[:80]!r} to make a data source with: only push.")
        config = said.config or {}
        age = str(config.get("max_age_s", "0"))
        if not (age.isascii() and age.isdigit() and len(age) < 9):
            raise BadRequest("max_age_s is a number of seconds.")

        def act(tx: Tx) -> FactSource:
            description = said.description or str(config.get("description", ""))[:1000]
            wanted = FactSource(
                name=said.name, driver="push", description=description, max_age_s=int(age), made_at=tx.now,
                author=actor.user_id,
            )  # fmt: skip
            return acts.create_source(tx, actor, wanted)

        made = await self._store.write(act, actor)
        return answer(shown(made.name, made), 201)

    async def delete(self, _call: Call, actor: Actor, name: str) -> Response:
        """DELETE: with its tables. Clauses that read them are in force no more."""

        def act(tx: Tx) -> dict[str, object]:
            gone = acts.get_source(tx, name) if actor.admin else None
            acts.delete_source(tx, actor, name)
            return shown(name, gone)

        return answer(await self._store.write(act, actor))

    async def replace(self, call: Call, actor: Actor, name: str, table: str) -> Response:
        """PUT: all rows of a table, as lists, or as objects that name the columns."""
        body = await call.json()

        def act(tx: Tx) -> None:
            acts.push_rows(tx, actor, name, [_reading(tx, name, table, body)])

        await self._store.write(act, actor)
        return answer({})

    async def tell(self, call: Call, actor: Actor, name: str) -> Response:
        """POST to a source's webhook: all rows of several tables at once, by table."""
        body = await call.json()
        if not isinstance(body, dict):
            raise BadRequest('Tables are told of as {"table": [row, …], …}.')

        def act(tx: Tx) -> None:
            acts.push_rows(tx, actor, name, [_reading(tx, name, table, rows) for table, rows in body.items()])

        await self._store.write(act, actor)
        return answer({})

    async def tell_row(self, call: Call, actor: Actor, name: str, table: str) -> Response:
        """POST to a table's webhook: one row as an object, instead of that with the same value in the first column."""
        body = await call.json()

        def act(tx: Tx) -> None:
            told = _reading(tx, name, table, [body])
            (new,) = tuple(told.rows)
            before = acts.told_tables(tx, [id_of(name, table)]).values() if actor.admin else ()
            others = [row for one in before for row in one.rows if row[:1] != new[:1]]
            acts.push_rows(tx, actor, name, [msgspec.structs.replace(told, rows=[*others, new])])

        await self._store.write(act, actor)
        return answer({})

    async def drivers(self, _call: Call, _actor: Actor) -> Response:
        """GET: what a data source can be of."""
        return answer({"results": [{"id": name, "description": words} for name, words in DRIVERS.items()]})

    async def driver(self, _call: Call, _actor: Actor, name: str) -> Response:
        """GET one."""
        if name not in DRIVERS:
            raise NotFound(f"Driver {name} could not be found.")
        config = _CONFIG if name == "push" else {}
        return answer({"id": name, "module": name, "description": DRIVERS[name], "config": config, "tables": []})


def _reading(tx: Tx, source: str, table: str, body: object) -> Reading:
    known = next((one.columns for one in acts.list_tables(tx, source) if one.name == table), ())
    return reading_of(source, table, known, body)


def reading_of(source: str, table: str, known: tuple[str, ...], body: object) -> Reading:
    """What is told of a table, in its columns if it has some. Raises BadRequest, Conflict."""
    if not isinstance(body, list):
        raise BadRequest("Rows are a list, each row a list of values or an object.")
    if all(isinstance(row, dict) for row in body) and body:
        columns = known or tuple(body[0])
        rows = [_by_name(row, columns, number) for number, row in enumerate(body, 1)]
        return Reading(source=source, name=table, columns=columns, rows=rows)
    if not all(isinstance(row, list) for row in body):
        raise BadRequest("Rows are lists of values, or all of them objects.")
    if not (columns := known or tuple(f"col{place}" for place in range(len(body[0]) if body else 0))):
        raise Conflict(f"{source}:{table} has no columns yet: push a row first.")
    return Reading(source=source, name=table, columns=columns, rows=[tuple(row) for row in body])


def _by_name(row: dict[str, object], columns: Sequence[str], number: int) -> Row:
    if row.keys() != {*columns}:
        odd = sorted(row.keys() ^ {*columns})
        raise BadRequest(f"Row {number} has not the columns {', '.join(columns)}: {odd[0][:80]} is one's only.")
    return tuple(row[column] for column in columns)  # type: ignore[misc]  # What they are is checked where they are kept.
