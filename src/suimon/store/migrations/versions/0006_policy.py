"""Policies, their clauses and history, what was violated when, and tables of facts from outside."""

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
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("acts", "made_at", "author")),
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
        "library_policies",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "name", "kind", "description", "abbreviation")),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_library_policies"),
    )
    op.create_index("ix_library_policies_name", "library_policies", ["name"], unique=True)
    op.create_table(
        "policy_changes",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "project_id", "policy", "at", "author")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("words", "diff")),
        sa.PrimaryKeyConstraint("id", name="pk_policy_changes"),
    )
    op.create_index("ix_policy_changes_at", "policy_changes", ["at"])
    op.create_index("ix_policy_changes_project_id", "policy_changes", ["project_id"])
    _violations("violations")
    _violations("calls", "action", "decided")
    _fact_tables()
    _evaluations()
    _fact_history()


def _violations(table: str, *more: str) -> None:
    op.create_table(
        table,
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "digest", "project_id", "policy", "row")),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("appeared_at", sa.Text(), nullable=False),
        sa.Column("appeared_revision", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("vanished_at", sa.Text(), nullable=True),
        sa.Column("vanished_revision", sa.BigInteger(), nullable=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in more),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    for column in ("digest", "appeared_at", "vanished_at", "project_id"):
        op.create_index(f"ix_{table}_{column}", table, [column])


def _fact_tables() -> None:
    op.create_table(
        "fact_sources",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "driver", "description")),
        sa.Column("max_age_s", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("made_at", "author")),
        sa.PrimaryKeyConstraint("name", name="pk_fact_sources"),
    )
    op.create_table(
        "fact_tables",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "source", "name", "columns")),
        sa.Column("many", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("max_age_s", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.Text(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fact_tables"),
    )
    op.create_index("ix_fact_tables_source", "fact_tables", ["source"])
    op.create_table(
        "fact_rows",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "rows")),
        sa.ForeignKeyConstraint(["id"], ["fact_tables.id"], name="fk_fact_rows_id"),
        sa.PrimaryKeyConstraint("id", name="pk_fact_rows"),
    )


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("policy_id", "policy", "outcome", "row", "clause")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("why", "at", "user_id", "request_id")),
        sa.PrimaryKeyConstraint("project_id", "number", name="pk_evaluations"),
    )
    op.create_index("ix_evaluations_at", "evaluations", ["at"])
    op.create_table(
        "tallies",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("policy_id", "since")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("denied", "would_deny")),
        sa.ForeignKeyConstraint(["policy_id"], ["policies.id"], name="fk_tallies_policy_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("policy_id", name="pk_tallies"),
    )


def _fact_history() -> None:
    op.create_table(
        "fact_versions",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("kind", "id")),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("until_revision", sa.BigInteger(), nullable=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("project_id", "facts")),
        sa.PrimaryKeyConstraint("kind", "id", "revision", name="pk_fact_versions"),
    )
    for column in ("revision", "until_revision"):
        op.create_index(f"ix_fact_versions_{column}", "fact_versions", [column])
    op.create_table(
        "fact_moments",
        sa.Column("revision", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("at", "request_id", "shape", "gap")),
        sa.PrimaryKeyConstraint("revision", name="pk_fact_moments"),
    )
    op.create_index("ix_fact_moments_at", "fact_moments", ["at"])
