"""All of Neutron's resources."""

import sqlalchemy as sa
from alembic import op

from suimon.store.tables import METADATA

revision = "0002"
down_revision = "0001"

# PROVISIONAL while this version is being made: whatever the tables of today have more than the database.
_EMPTY = {sa.Boolean: sa.false(), sa.BigInteger: "0", sa.Text: ""}


def upgrade() -> None:
    connection = op.get_bind()
    inspector = sa.inspect(connection)
    names = set(inspector.get_table_names())
    for table in METADATA.sorted_tables:
        if table.name not in names:
            table.create(connection)
            continue
        there = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                default = None if column.nullable else _default(column)
                op.add_column(table.name, sa.Column(column.name, column.type, nullable=column.nullable, server_default=default))
        indexes = {index["name"] for index in inspector.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in indexes:
                index.create(connection)


def _default(column: sa.Column[object]) -> object:
    if column.name in ("tags",):
        return "[]"
    return _EMPTY[type(column.type)]
