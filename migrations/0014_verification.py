"""Record when each object was last verified.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "verification",
        sa.Column("object_key", sa.String(), nullable=False, comment="e.g. volume/projection_density/100/158375425"),
        sa.Column("depth", sa.String(), nullable=False, comment="quick, deep or decode"),
        sa.Column(
            "content_hash",
            sa.String(),
            nullable=False,
            comment="Of the recorded hashes of the object that was verified",
        ),
        sa.Column("outcome", sa.String(), nullable=False, comment="intact, or the kind of the finding"),
        sa.Column(
            "verified_at", sa.DateTime(timezone=True), nullable=False, comment="Time of the database's clock, UTC"
        ),
        sa.CheckConstraint("depth in ('quick', 'deep', 'decode')", name=op.f("ck_verification_depth")),
        sa.PrimaryKeyConstraint("object_key", "depth", name=op.f("pk_verification")),
    )


def downgrade() -> None:
    op.drop_table("verification")
