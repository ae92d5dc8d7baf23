"""What policies can ask of: `/policy/v1/data-sources`. All of it is the store's own, and never older than the store."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.wire import Call, answer
from suimon.enforcement.scope import Scope, Sources
from suimon.enforcement.world import World
from suimon.model.actor import Actor
from suimon.model.errors import NotFound
from suimon.resources.policies import scope_of
from suimon.store.tx import Tx


class DataSources:
    """The handlers."""

    def __init__(self, gate: Gate, world: World) -> None:
        self._store = gate.store
        self._world = world

    async def index(self, _call: Call, actor: Actor) -> Response:
        """GET: operators have more than others."""
        return answer({"results": [_source(name) for name in self._sources(actor)]})

    async def show(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET one."""
        self._tables(actor, name)
        return answer(_source(name))

    async def schema(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET: all tables with their columns."""
        tables = self._tables(actor, name)
        return answer({"tables": [_spec(table, columns) for table, columns in tables.items()]})

    async def status(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET: up to which revision of the store its tables are known; that is the newest as long as no policy's
        change was too much to follow.
        """
        tables = self._tables(actor, name)

        def ask(tx: Tx) -> dict[str, object]:
            told = self._world.status(tx, scope_of(actor))
            return {"initialized": "True", "number_of_tables": str(len(tables)), **told}

        return answer(await self._store.read(ask))

    async def actions(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET: none."""
        self._tables(actor, name)
        return answer({"results": []})

    async def tables(self, _call: Call, actor: Actor, name: str) -> Response:
        """GET."""
        return answer({"results": [{"id": table} for table in self._tables(actor, name)]})

    async def table(self, _call: Call, actor: Actor, name: str, table: str) -> Response:
        """GET one."""
        self._columns(actor, name, table)
        return answer({"id": table})

    async def spec(self, _call: Call, actor: Actor, name: str, table: str) -> Response:
        """GET: its columns."""
        return answer(_spec(table, self._columns(actor, name, table)))

    async def rows(self, _call: Call, actor: Actor, name: str, table: str) -> Response:
        """GET: all rows."""
        self._columns(actor, name, table)

        def question(scope: Scope) -> list[dict[str, object]]:
            return [{"data": row} for row in scope.engine.rows(name, table)]

        found = await self._store.read(lambda tx: self._world.ask(tx, scope_of(actor), question))
        return answer({"results": found})

    def _sources(self, actor: Actor) -> Sources:
        return self._world.sources(scope_of(actor))

    def _tables(self, actor: Actor, name: str) -> Mapping[str, tuple[str, ...]]:
        sources = self._sources(actor)
        if name not in sources:
            raise NotFound(f"Data source {name} could not be found.")
        return sources[name]

    def _columns(self, actor: Actor, name: str, table: str) -> tuple[str, ...]:
        tables = self._tables(actor, name)
        if table not in tables:
            raise NotFound(f"Table {table} could not be found in data source {name}.")
        return tables[table]


def _source(name: str) -> dict[str, object]:
    return {"id": name, "name": name, "driver": name, "type": None, "enabled": True, "config": None, "description": ""}


def _spec(table: str, columns: tuple[str, ...]) -> dict[str, object]:
    return {"table_id": table, "columns": [{"name": name, "description": "None"} for name in columns]}
