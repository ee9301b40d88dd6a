"""Add the weights of experiments in weighted averages.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The weights of existing versions are in their result files, which a migration does not read.
    op.add_column(
        "dataset_member",
        sa.Column(
            "weight",
            sa.Double(),
            nullable=True,
            comment="Weight in the average; null = left out, not weighted, or a version from before revision 0021, "
            "whose result file has it",
        ),
    )


def downgrade() -> None:
    # The result files still have them.
    op.drop_column("dataset_member", "weight")
