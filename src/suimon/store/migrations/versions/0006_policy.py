"""Policies, their clauses and history, and what was violated when."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "policies",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "project_id", "name", "kind", "description")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("abbreviation", "mode")),
        sa.Column("proactive", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("made_at", "author")),
        sa.PrimaryKeyConstraint("id", name="pk_policies"),
    )
    op.create_index("ix_policies_project_id_name", "policies", ["project_id", "name"], unique=True)
    op.create_table(
        "clauses",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "policy_id", "name", "comment", "text")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("made_at", "author")),
        sa.ForeignKeyConstraint(["policy_id"], ["policies.id"], name="fk_clauses_policy_id"),
        sa.PrimaryKeyConstraint("id", name="pk_clauses"),
    )
    op.create_index("ix_clauses_policy_id", "clauses", ["policy_id"])
    op.create_table(
        "policy_changes",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "project_id", "policy", "at", "author")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("words", "diff")),
        sa.PrimaryKeyConstraint("id", name="pk_policy_changes"),
    )
    op.create_index("ix_policy_changes_at", "policy_changes", ["at"])
    op.create_index("ix_policy_changes_project_id", "policy_changes", ["project_id"])
    _violations()


def _violations() -> None:
    op.create_table(
        "violations",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "digest", "project_id", "policy", "row")),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("appeared_at", sa.Text(), nullable=False),
        sa.Column("appeared_revision", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("vanished_at", sa.Text(), nullable=True),
        sa.Column("vanished_revision", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_violations"),
    )
    for column in ("digest", "appeared_at", "vanished_at", "project_id"):
        op.create_index(f"ix_violations_{column}", "violations", [column])
