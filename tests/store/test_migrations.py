"""The migrations lead to the tables that the code knows, from nothing and from what former versions left."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Text, inspect

import suimon.store
from suimon.store import Store, StoreConfig
from suimon.store.dialect import database
from suimon.store.schema import NEWEST
from suimon.store.tables import METADATA
from suimon.store.views import VIEWS
from tests import frozen
from tests.postgresql import cluster

FORMER = sorted(path.parent for path in Path(frozen.__file__).parent.glob("*/store.sql"))
"""They had nothing but files."""


@pytest.fixture(params=["postgresql", "sqlite", *FORMER], ids=lambda start: getattr(start, "name", start))
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """To a database that a store was opened with, which was empty, or a former version's."""
    server = cluster() if request.param == "postgresql" else None
    url = server.url() if server else f"sqlite:///{tmp_path}/store.db"
    if isinstance(request.param, Path):
        with sqlite3.connect(tmp_path / "store.db") as file:
            file.executescript((request.param / "store.sql").read_text())
        file.close()
    store = Store(StoreConfig(url))
    store.open()
    store.close()
    with database(url, 5).connect() as made:
        yield made
    if server:
        server.drop(url)


def test_migrations_make_the_tables(connection: Connection) -> None:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    assert compare_metadata(context, METADATA) == []


def test_migrations_make_the_views(connection: Connection) -> None:
    assert set(inspect(connection).get_view_names()) == set(VIEWS)


def test_texts_sort_by_their_code_points_on_every_database(connection: Connection) -> None:
    """Also those of a server whose own order is that of a language: lists are the same everywhere."""
    if connection.dialect.name == "postgresql":
        columns = [
            (table, column["name"], getattr(column["type"], "collation", None))
            for table in METADATA.tables
            for column in inspect(connection).get_columns(table)
            if isinstance(column["type"], Text)
        ]
        assert columns
        assert {collation for *_, collation in columns} == {"C"}
    for name in ("b", "B", "a", "\u00e9", "_"):
        connection.exec_driver_sql(f"INSERT INTO leases VALUES ('{name}', '', 0)")
    names = [name for (name,) in connection.exec_driver_sql("SELECT name FROM leases ORDER BY name")]
    assert names == sorted(names) == ["B", "_", "a", "b", "\u00e9"]


def test_the_newest_migration_is_named() -> None:
    folder = Path(suimon.store.__file__).with_name("migrations")
    assert ScriptDirectory(str(folder)).get_heads() == [NEWEST]
