"""The migrations lead to the tables that the code knows, on every database that they are meant for."""

from io import StringIO
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

import suimon.store
from suimon.store import Store, StoreConfig
from suimon.store.schema import NEWEST
from suimon.store.tables import METADATA


def test_migrations_make_the_tables(tmp_path: Path) -> None:
    store = Store(StoreConfig(f"sqlite:///{tmp_path}/store.db"))
    store.open()
    store.close()
    with create_engine(f"sqlite:///{tmp_path}/store.db").connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_the_newest_migration_is_named() -> None:
    folder = Path(suimon.store.__file__).with_name("migrations")
    assert ScriptDirectory(str(folder)).get_heads() == [NEWEST]


def test_the_tables_can_be_said_to_postgresql() -> None:
    said = StringIO()
    for table in METADATA.sorted_tables:
        said.write(str(CreateTable(table).compile(dialect=postgresql.dialect())))
        for index in table.indexes:
            said.write(str(CreateIndex(index).compile(dialect=postgresql.dialect())))
    assert "WHERE network_type = 'vxlan'" in said.getvalue()
