"""What tells that nothing has changed since a question was last answered.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "catalog_change",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_change")),
    )
    op.create_table(
        "dataset_answer",
        sa.Column("version_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("change_count", sa.BigInteger(), nullable=False, comment="Rows of catalog_change then"),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_dataset_answer")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_version.id"], name=op.f("fk_dataset_answer_version_id_dataset_version")
        ),
    )


def downgrade() -> None:
    op.drop_table("dataset_answer")
    op.drop_table("catalog_change")
