"""Add the hashes of the blocks of large volume files.

They are computed after the migration, since that takes the files; until then these files are verified as a whole.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "volume_block_hashes",
        sa.Column("volume_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column(
            "hashes",
            sa.LargeBinary(),
            nullable=False,
            comment="XXH3-128 of each block, over its dataset, number and values, 16 bytes each",
        ),
        sa.ForeignKeyConstraint(
            ["volume_id"], ["volume.id"], name=op.f("fk_volume_block_hashes_volume_id_volume"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("volume_id", name=op.f("pk_volume_block_hashes")),
    )


def downgrade() -> None:
    op.drop_table("volume_block_hashes")
