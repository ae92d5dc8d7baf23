"""No two networks of one kind of tunnel have the same number; a network's routers are found without its ports.

Hosts are drained. Virtual addresses are where a port holds them, and their floating IPs with them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for kind in ("gre", "geneve"):
        condition = sa.text(f"network_type = '{kind}'")
        op.create_index(
            f"uq_networks_{kind}",
            "networks",
            ["segment"],
            unique=True,
            sqlite_where=condition,
            postgresql_where=condition,
        )
    op.add_column("hosts", sa.Column("drained", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("hosts", sa.Column("silent", sa.Boolean(), nullable=False, server_default=sa.false()))
    legs = sa.text("device_owner = 'network:router_interface'")
    op.create_index("ix_ports_router_legs", "ports", ["network_id"], sqlite_where=legs, postgresql_where=legs)
    _virtual_addresses()
    op.create_index("ix_changes_id_revision", "changes", ["id", "revision"])


def _virtual_addresses() -> None:
    op.create_table(
        "virtual_addresses",
        sa.Column("port_id", sa.Text(), nullable=False),
        sa.Column("ip", sa.Text(), nullable=False),
        sa.Column("holder_id", sa.Text(), nullable=False),
        sa.Column("mac", sa.Text(), nullable=False),
        sa.Column("claimed_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["holder_id"], ["ports.id"], name="fk_virtual_addresses_holder_id"),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name="fk_virtual_addresses_port_id"),
        sa.PrimaryKeyConstraint("port_id", "ip", name="pk_virtual_addresses"),
    )
    op.create_index("ix_virtual_addresses_holder_id", "virtual_addresses", ["holder_id"])
    op.add_column("floating_ips", sa.Column("holder_id", sa.Text(), nullable=True))
    op.create_index("ix_floating_ips_holder_id", "floating_ips", ["holder_id"])
