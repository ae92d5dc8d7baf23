"""Bringing a database's tables to the version that this code knows."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from suimon.store.errors import StoreError

NEWEST = "0002"
"""The last migration in migrations/versions."""


def prepare(connection: Connection, path: Path) -> None:
    """Make or migrate the tables. Raises StoreError for a newer or foreign database."""
    names = set(inspect(connection).get_table_names())
    if "alembic_version" in names:
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if version == NEWEST:
            return
        if version is not None and version > NEWEST:
            raise StoreError(
                f"The database {path} was written by a newer Suimon (schema {version}, this one knows {NEWEST}): "
                "start that one."
            )
    elif names:
        raise StoreError(f"The file {path} is a database of something else: choose another file.")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        _migrate(connection)
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _migrate(connection: Connection) -> None:
    # Imported here: alembic is slow to import, and only a first start or an upgrade needs it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
