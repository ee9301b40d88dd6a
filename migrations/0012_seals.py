"""Add seals: hashes of the rows that enter results.

After the migrations, the package computes the seals of the existing rows in the same transaction; see
``bsv_store.catalog.sealing.seal_everything``.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "seal",
        sa.Column("scope", sa.String(), nullable=False, comment="Kind of row: experiment, line, structure, ..."),
        sa.Column("key", sa.String(), nullable=False, comment="Which row"),
        sa.Column(
            "hash", sa.String(), nullable=False, comment="XXH3 of the values in canonical form, 32 hexadecimal digits"
        ),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_seal")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "unionize_seal",
        sa.Column("experiment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.String(), nullable=False, comment="injection or projection"),
        sa.Column(
            "hashes",
            sa.LargeBinary(),
            nullable=False,
            comment="For each structure, ascending: its id and the XXH3 of its rows, 8 bytes each, little-endian",
        ),
        sa.CheckConstraint("part in ('injection', 'projection')", name=op.f("ck_unionize_seal_part")),
        sa.PrimaryKeyConstraint("experiment_id", "part", name=op.f("pk_unionize_seal")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("unionize_seal")
    op.drop_table("seal")
