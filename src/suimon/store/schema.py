"""Bringing a database's tables to the version that this code knows."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from suimon.store import views
from suimon.store.dialect import Database
from suimon.store.errors import StoreError

NEWEST: Final = "0006"
"""The last migration in migrations/versions."""


def prepare(connection: Connection, database: Database) -> None:
    """Make or migrate the tables. Raises StoreError for a newer or foreign database."""
    if is_newest(connection, database):
        return
    database.begin_write(connection)
    try:
        # Another controller may have done it while we waited for our turn.
        if not is_newest(connection, database):
            migrate(connection, database, NEWEST)
    except BaseException:
        database.rollback(connection)
        raise
    database.commit(connection)


def is_newest(connection: Connection, database: Database) -> bool:
    """Raises StoreError for a newer or foreign database."""
    names = set(inspect(connection).get_table_names())
    if "alembic_version" not in names:
        if names:
            raise StoreError(f"The database {database.name} holds something else: choose another one.")
        return False
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if version is not None and version > NEWEST:
        raise StoreError(
            f"The database {database.name} was written by a newer Suimon (schema {version}, this one knows {NEWEST}): "
            "start that one."
        )
    return bool(version == NEWEST)


def migrate(connection: Connection, database: Database, version: str) -> None:
    """Within a transaction. The views are of the newest version's tables, and stand in the way of changing them."""
    # Imported here: alembic is slow to import, and only a first start or an upgrade needs it.
    from alembic import command
    from alembic.config import Config

    views.drop(connection)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, version)
    if version == NEWEST:
        database.settle(connection)
        views.create(connection)
