"""What policies can ask of: `/policy/v1/data-sources`. The store's own tables are never older than the store; those
from elsewhere have an age.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.policy.execution import listed
from suimon.api.wire import Call, answer
from suimon.enforcement.scope import Scope, Sources
from suimon.enforcement.world import World
from suimon.model.actor import Actor
from suimon.model.attributes import when
from suimon.model.errors import NotFound
from suimon.model.fact_tables import FactSource, FactTable
from suimon.resources.fact_tables import list_sources, list_tables
from suimon.resources.policies import scope_of
from suimon.store.tx import Tx


class DataSources:
    """The handlers."""

    def __init__(self, gate: Gate, world: World) -> None:
        self._store = gate.store
        self._world = world

    async def index(self, _call: Call, actor: Actor) -> Response:
        """GET: operators have more than others."""

        def read(tx: Tx) -> list[dict[str, object]]:
            made = {one.name: one for one in list_sources(tx)}
            names = {*self._world.sources(tx, scope_of(actor)), *(made if actor.admin else ())}
            return [shown(name, made.get(name)) for name in sorted(names)]

        return answer({"results": await self._store.read(read)})

    async def show(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET one."""

        def read(tx: Tx) -> dict[str, object]:
            self._tables(tx, actor, name)
            return shown(name, next((one for one in list_sources(tx) if one.name == name), None))

        return answer(await self._store.read(read))

    async def schema(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET: all tables with their columns."""
        tables = await self._store.read(lambda tx: self._tables(tx, actor, name))
        return answer({"tables": [_spec(table, columns) for table, columns in tables.items()]})

    async def status(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET: up to which revision of the store its tables are known; that is the newest as long as no policy's
        change was too much to follow. Of tables from elsewhere, how old they are.
        """

        def ask(tx: Tx) -> dict[str, object]:
            tables = self._tables(tx, actor, name)
            told = self._world.status(tx, scope_of(actor))
            outside = [one for one in list_tables(tx, name) if one.name in tables or actor.admin]
            return {
                "initialized": "True",
                "number_of_tables": str(len(tables)),
                **told,
                **({"tables": [aged(one, tx.now, actor) for one in outside]} if outside else {}),
            }

        return answer(await self._store.read(ask))

    async def actions(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET: what policies can have done under its name."""
        await self._store.read(lambda tx: self._tables(tx, actor, name))
        return answer({"results": listed(name)})

    async def tables(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET."""
        tables = await self._store.read(lambda tx: self._tables(tx, actor, name))
        return answer({"results": [{"id": table} for table in tables]})

    async def table(self, _call: Call, actor: Actor, name: str, table: str) -> Response:
        """GET one; of one from elsewhere, how old it is."""

        def read(tx: Tx) -> dict[str, object]:
            self._columns(tx, actor, name, table)
            found = [aged(one, tx.now, actor) for one in list_tables(tx, name) if one.name == table]
            return {**(found[0] if found else {}), "id": table}

        return answer(await self._store.read(read))

    async def spec(self, _call: Call, actor: Actor, name: str, table: str) -> Response:
        """GET: its columns."""
        return answer(_spec(table, await self._store.read(lambda tx: self._columns(tx, actor, name, table))))

    async def rows(self, _call: Call, actor: Actor, name: str, table: str) -> Response:
        """GET: all rows."""

        def question(scope: Scope) -> list[dict[str, object]]:
            return [{"data": row} for row in scope.engine.rows(name, table)]

        def ask(tx: Tx) -> list[dict[str, object]]:
            self._columns(tx, actor, name, table)
            return self._world.ask(tx, scope_of(actor), question)

        return answer({"results": await self._store.read(ask)})

    def _tables(self, tx: Tx, actor: Actor, name: str) -> Mapping[str, tuple[str, ...]]:
        sources: Sources = self._world.sources(tx, scope_of(actor))
        if name not in sources:
            if actor.admin and any(one.name == name for one in list_sources(tx)):
                return {}
            raise NotFound(f"Data source {name} could not be found.")
        return sources[name]

    def _columns(self, tx: Tx, actor: Actor, name: str, table: str) -> tuple[str, ...]:
        tables = self._tables(tx, actor, name)
        if table not in tables:
            raise NotFound(f"Table {table} could not be found in data source {name}.")
        return tables[table]


def shown(name: str, made: FactSource | None) -> dict[str, object]:
    """A data source as Congress has it; `made` if somebody made it."""
    config = {"max_age_s": str(made.max_age_s)} if made and made.max_age_s else None
    told = {"driver": made.driver, "config": config, "description": made.description} if made else {}
    plain: dict[str, object] = {"id": name, "name": name, "driver": name, "type": None, "enabled": True}
    return {**plain, "config": None, "description": "", **told}


def aged(one: FactTable, now: datetime, actor: Actor) -> dict[str, object]:
    """What is said of a table's age; to operators also how much is in it, and what went wrong."""
    age_s = one.age_s(now)
    return {
        "table": f"{one.source}:{one.name}",
        "read_at": when(one.read_at) if one.read_at else None,
        "age_s": None if age_s is None else round(age_s),
        "max_age_s": one.max_age_s or None,
        "stale": one.stale(now),
        **({"rows": one.many, "problem": one.problem} if actor.admin else {}),
    }


def _spec(table: str, columns: tuple[str, ...]) -> dict[str, object]:
    return {"table_id": table, "columns": [{"name": name, "description": "None"} for name in columns]}
