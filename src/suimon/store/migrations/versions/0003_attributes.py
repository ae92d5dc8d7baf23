"""What Neutron's resources have besides: columns, and who may use what as entries of RBAC."""

import uuid
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_COLUMNS: Final[dict[str, tuple[sa.Column[Any], ...]]] = {
    "bandwidth_limit_rules": (sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),),
    "floating_ips": (
        sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("dns_name", sa.Text(), nullable=False, server_default=""),
        sa.Column("dns_domain", sa.Text(), nullable=False, server_default=""),
    ),
    "hosts": (sa.Column("seen_at", sa.Text(), nullable=True),),
    "networks": (
        sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("is_default", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("availability_zone_hints", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("dns_domain", sa.Text(), nullable=False, server_default=""),
    ),
    "port_block_rules": (sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),),
    "ports": (
        sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("extra_dhcp_opts", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("dns_name", sa.Text(), nullable=False, server_default=""),
        sa.Column("dns_domain", sa.Text(), nullable=False, server_default=""),
        sa.Column("ip_allocation", sa.Text(), nullable=False, server_default="immediate"),
        sa.Column("data_plane_status", sa.Text(), nullable=True),
        sa.Column("propagate_uplink_status", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("trusted", sa.Boolean(), nullable=True),
        sa.Column("hints", sa.Text(), nullable=True),
        sa.Column("numa_affinity_policy", sa.Text(), nullable=True),
        sa.Column("device_profile", sa.Text(), nullable=True),
        sa.Column("hardware_offload_type", sa.Text(), nullable=True),
    ),
    "qos_policies": (sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),),
    "routers": (
        sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("ha", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("distributed", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("availability_zone_hints", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("enable_ndp_proxy", sa.Boolean(), nullable=False, server_default=sa.false()),
    ),
    "security_group_rules": (sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),),
    "security_groups": (
        sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("stateful", sa.Boolean(), nullable=False, server_default=sa.true()),
    ),
    "subnets": (
        sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("segment_id", sa.Text(), nullable=True),
        sa.Column("service_types", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("dns_publish_fixed_ip", sa.Boolean(), nullable=False, server_default=sa.false()),
    ),
    "tokens": (sa.Column("credential_id", sa.Text(), nullable=False, server_default=""),),
}
"""By table; the defaults are what the rows that there are get."""
_REFERENCES: Final = (
    ("floating_ips", "qos_policy_id", "qos_policies"),
    ("routers", "flavor_id", "flavors"),
    ("routers", "gateway_qos_policy_id", "qos_policies"),
    ("security_group_rules", "remote_address_group_id", "address_groups"),
    ("subnets", "subnetpool_id", "subnet_pools"),
)
"""Table, column, and the table whose id it has."""


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        for column in columns:
            op.add_column(table, column)
    for table, name, other in _REFERENCES:
        # SQLite takes a foreign key with its column only, which alembic doesn't say.
        constraint = f"CONSTRAINT fk_{table}_{name} REFERENCES {other} (id)"
        op.execute(f"ALTER TABLE {table} ADD COLUMN {name} TEXT {constraint}")
    _indexes()
    connection = op.get_bind()
    _share(connection, "qos_policies", "shared", "qos_policy", "access_as_shared")
    _share(connection, "networks", "shared", "network", "access_as_shared")
    _share(connection, "networks", "external", "network", "access_as_external")
    op.drop_column("qos_policies", "shared")
    op.drop_column("networks", "shared")
    _default_group_rules(connection)
    _count_usage(connection)  # Behind all that makes or deletes rows.


def _indexes() -> None:
    op.create_index("ix_floating_ips_qos_policy_id", "floating_ips", ["qos_policy_id"], unique=False)
    op.create_index(
        "uq_networks_default",
        "networks",
        ["is_default"],
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )
    op.create_index("ix_routers_flavor_id", "routers", ["flavor_id"], unique=False)
    op.create_index("ix_routers_gateway_qos_policy_id", "routers", ["gateway_qos_policy_id"], unique=False)
    op.create_index(
        "ix_security_group_rules_remote_address_group_id",
        "security_group_rules",
        ["remote_address_group_id"],
        unique=False,
    )
    op.create_index("ix_subnets_subnetpool_id", "subnets", ["subnetpool_id"], unique=False)
    op.create_index("ix_tokens_credential_id", "tokens", ["credential_id"], unique=False)


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
