"""Record what changed the schema: when, by whom and with which release.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "schema_history",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="Time of the database's clock, UTC"),
        sa.Column("action", sa.String(), nullable=False, comment="created, upgraded, downgraded or stamped"),
        sa.Column("from_revision", sa.String(), nullable=True, comment="Null for the creation"),
        sa.Column("to_revision", sa.String(), nullable=True, comment="Null if the schema was removed"),
        sa.Column("user_name", sa.String(), nullable=False, comment="Login name according to the operating system"),
        sa.Column("database_role", sa.String(), nullable=True, comment="Role of the database session; null on SQLite"),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("release", sa.String(), nullable=False, comment="Version of bsv-store"),
        sa.CheckConstraint(
            "action in ('created', 'upgraded', 'downgraded', 'stamped')", name=op.f("ck_schema_history_action")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schema_history")),
    )


def downgrade() -> None:
    op.drop_table("schema_history")
