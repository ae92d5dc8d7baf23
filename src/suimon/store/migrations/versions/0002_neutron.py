"""All of Neutron's resources."""

import uuid
from datetime import UTC, datetime
from typing import Any

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
                _add(table, column)
        indexes = {index["name"] for index in inspector.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in indexes:
                index.create(connection)
    _share(connection, "qos_policies", "shared", "qos_policy", "access_as_shared")
    _share(connection, "networks", "shared", "network", "access_as_shared")
    _share(connection, "networks", "external", "network", "access_as_external")
    op.drop_column("qos_policies", "shared")
    op.drop_column("networks", "shared")
    _default_group_rules(connection)
    _count_usage(connection)  # Behind all that makes or deletes rows.


def _add(table: sa.Table, column: sa.Column[Any]) -> None:
    for key in column.foreign_keys:
        # SQLite takes a foreign key with its column only, which alembic doesn't say.
        constraint = f"CONSTRAINT fk_{table.name}_{column.name} REFERENCES {key.column.table.name} ({key.column.name})"
        on_delete = f" ON DELETE {key.ondelete}" if key.ondelete else ""
        op.execute(f"ALTER TABLE {table.name} ADD COLUMN {column.name} TEXT {constraint}{on_delete}")
        return
    default = None if column.nullable else _default(column)
    op.add_column(table.name, sa.Column(column.name, column.type, nullable=column.nullable, server_default=default))


def _share(connection: sa.Connection, table: str, mark: str, object_type: str, action: str) -> None:
    """What everybody might use gets an entry that says so."""
    things = sa.text(f"SELECT id, project_id, created_at FROM {table} WHERE {mark}")  # noqa: S608 (only our own names)
    entry = sa.text(
        "INSERT INTO rbac_policies (id, project_id, name, description, tags, revision_number, created_at, updated_at, "
        "object_type, object_id, action, target_project) VALUES (:id, :project_id, '', '', '[]', 0, :created_at, "
        ":created_at, :object_type, :object_id, :action, '*')"
    )
    for id_, project_id, created_at in connection.execute(things).fetchall():
        values = {"project_id": project_id, "object_type": object_type, "object_id": id_, "created_at": created_at}
        connection.execute(entry, {"id": str(uuid.uuid4()), "action": action, **values})


def _default_group_rules(connection: sa.Connection) -> None:
    """As Neutron ships them: everything out, and in from the members of the same default group."""
    rule = sa.text(
        "INSERT INTO default_group_rules (id, project_id, name, description, tags, revision_number, created_at, "
        "updated_at, direction, ethertype, remote_group_id, used_in_default_sg, used_in_non_default_sg) VALUES (:id, "
        "'', '', :description, '[]', 0, :now, :now, :direction, :ethertype, :remote, :default, :other)"
    )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for ethertype in ("IPv6", "IPv4"):
        for direction, remote in (("egress", None), ("ingress", "PARENT")):
            values = {"id": str(uuid.uuid4()), "now": now, "direction": direction, "ethertype": ethertype}
            values["description"] = f"Legacy default SG rule for {direction} traffic"
            connection.execute(rule, {**values, "remote": remote, "default": True, "other": remote is None})


def _count_usage(connection: sa.Connection) -> None:
    """What each project has of everything that has a quota."""
    counted = {
        "network": "networks",
        "subnet": "subnets",
        "port": "ports",
        "router": "routers",
        "floatingip": "floating_ips",
        "security_group": "security_groups",
        "security_group_rule": "security_group_rules",
        "rbac_policy": "rbac_policies",
    }
    for resource, table in counted.items():
        connection.execute(
            sa.text(
                "INSERT INTO quotas (project_id, resource, used) "  # noqa: S608 (only our own names)
                f"SELECT project_id, '{resource}', count(*) FROM {table} WHERE project_id != '' GROUP BY project_id"
            )
        )


def _default(column: sa.Column[Any]) -> Any:
    if column.name == "ip_allocation":
        return "immediate"
    if column.name in ("propagate_uplink_status", "stateful"):
        return sa.true()
    if column.name in ("tags", "extra_dhcp_opts", "availability_zone_hints", "service_types"):
        return "[]"
    return _EMPTY[type(column.type)]
