"""No two networks of one kind of tunnel have the same number; a network's routers are found without its ports.

Hosts are drained.
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
    legs = sa.text("device_owner = 'network:router_interface'")
    op.create_index("ix_ports_router_legs", "ports", ["network_id"], sqlite_where=legs, postgresql_where=legs)
    op.create_index("ix_changes_id_revision", "changes", ["id", "revision"])
