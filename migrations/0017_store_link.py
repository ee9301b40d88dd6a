"""Record the folder of the store, and the database to which its catalog was moved.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "store_link",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "folder",
            sa.String(),
            nullable=True,
            comment="Identity of the store's folder, as JSON; null = not known, or SQLite, which lies in the folder",
        ),
        sa.Column(
            "moved_to",
            sa.String(),
            nullable=True,
            comment="The database that has the catalog instead: a URL, or sqlite; null = this one has it",
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_store_link_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_store_link")),
    )


def downgrade() -> None:
    op.drop_table("store_link")
    if op.get_bind().dialect.name == "postgresql":
        # Of a catalog that was moved away; its triggers are dropped with their tables.
        op.execute("DROP FUNCTION IF EXISTS refuse_change_of_moved_catalog() CASCADE")
