"""What the loop needs: restrictions, collectors, findings, what became of them, who is told, and hosts' trail."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    _restrictions()
    _findings()
    _collectors()
    _incidents()
    _response()
    _infrastructure()
    _host_events()


def _infrastructure() -> None:
    """Who wrote the owners that there are isn't known: only of ports that acts make is it sure."""
    op.add_column("ports", sa.Column("infrastructure", sa.Boolean(), nullable=False, server_default=sa.false()))
    made = [f"network:{each}" for each in ("router_interface", "router_gateway", "floatingip", "local_ip")]
    ports = sa.table("ports", sa.column("device_owner", sa.Text()), sa.column("infrastructure", sa.Boolean()))
    op.execute(ports.update().where(ports.c.device_owner.in_(made)).values(infrastructure=True))


def _findings() -> None:
    op.create_table(
        "findings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=True),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.Text(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("noted_at", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_findings"),
    )
    op.create_index("ix_findings_noted_at", "findings", ["noted_at"])
    op.create_index("ix_findings_project_id", "findings", ["project_id"])
    op.create_index("ix_findings_seen_at", "findings", ["seen_at"])


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rulebook_version", sa.BigInteger(), nullable=False),
        sa.Column("finding_id", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Text(), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("answer_by", sa.Text(), nullable=True),
        sa.Column("acted_at", sa.Text(), nullable=True),
        sa.Column("restricted_at", sa.Text(), nullable=True),
        sa.Column("ends_at", sa.Text(), nullable=True),
        sa.Column("restriction_id", sa.Text(), nullable=True),
        sa.Column("bites", sa.Boolean(), nullable=True),
        sa.Column("verify_at", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.Text(), nullable=True),
        sa.Column("false_positive", sa.Boolean(), nullable=True),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("done_at", "undo", "undone_at", "would")),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
    )
    op.create_index("ix_incidents_acted_at", "incidents", ["acted_at"])
    op.create_index("ix_incidents_done_at", "incidents", ["done_at"])
    op.create_index("ix_incidents_opened_at", "incidents", ["opened_at"])
    op.create_index("ix_incidents_project_id", "incidents", ["project_id"])
    op.create_index("ix_incidents_restriction_id", "incidents", ["restriction_id"])
    op.create_index("ix_incidents_rule_subject_id", "incidents", ["rule", "subject_id"])
    op.create_index("ix_incidents_state", "incidents", ["state"])
    op.create_table(
        "incident_entries",
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_incident_entries_incident_id"),
        sa.PrimaryKeyConstraint("incident_id", "number", name="pk_incident_entries"),
    )
    op.create_index("ix_incident_entries_at", "incident_entries", ["at"])
    op.create_table(
        "kept_reports",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("month", "figures", "rules")),
        sa.PrimaryKeyConstraint("month", name="pk_kept_reports"),
    )


def _response() -> None:
    op.create_table(
        "breakers",
        sa.Column("one", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_breakers"),
    )
    op.create_table(
        "rulebooks",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("made_at", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("diff", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_rulebooks"),
    )
    op.create_table(
        "subscribers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("made_at", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscribers"),
    )
    op.create_index("ix_subscribers_project_id", "subscribers", ["project_id"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("made_at", sa.Text(), nullable=False),
        sa.Column("next_at", sa.Text(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name="fk_deliveries_subscriber_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_made_at", "deliveries", ["made_at"])
    op.create_index("ix_deliveries_next_at", "deliveries", ["next_at"])


def _restrictions() -> None:
    op.create_table(
        "restrictions",
        sa.Column("id", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("project_id", "name", "description", "tags")),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("created_at", "updated_at")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("kind", "target_kind", "target")),
        sa.Column("direction", sa.Text(), nullable=True),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in ("rate_kbps", "rate_kpps")),
        sa.Column("protocol", sa.Text(), nullable=True),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in ("port_min", "port_max")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("allowed", "reason", "finding_id", "evidence")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("author", "author_kind")),
        sa.Column("expires_at", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("released_at", sa.Text(), nullable=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("released_by", "release_reason")),
        sa.PrimaryKeyConstraint("id", name="pk_restrictions"),
    )
    for columns in (("project_id",), ("target",), ("state", "expires_at"), ("created_at",)):
        op.create_index(f"ix_restrictions_{'_'.join(columns)}", "restrictions", [*columns])


def _collectors() -> None:
    op.create_table(
        "collectors",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "url", "key", "credential_hash")),
        sa.Column("joined_at", sa.Text(), nullable=False),
        sa.Column("heard_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_collectors"),
    )
    op.create_index("ix_collectors_credential_hash", "collectors", ["credential_hash"])
    op.create_table(
        "plugs",
        sa.Column("port_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("ifindex", sa.BigInteger(), nullable=False),
        sa.Column("exporter", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name="fk_plugs_port_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("port_id", name="pk_plugs"),
    )


def _host_events() -> None:
    op.create_table(
        "host_events",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("host", "id", "at", "kind", "author", "owner")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("missing", "changed", "extra")),
        sa.Column("example", sa.Text(), nullable=False),
        sa.Column("repaired", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("host", "id", name="pk_host_events"),
    )
    op.create_index("ix_host_events_at", "host_events", ["at"])
    op.create_index("ix_host_events_host_at", "host_events", ["host", "at"])
