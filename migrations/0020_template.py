"""Add the average template.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "template",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("spacing_um", sa.Integer(), nullable=False, comment="Edge of a voxel, um"),
        sa.Column("frame", sa.String(), nullable=False, comment="Coordinate frame, with its version"),
        sa.Column("path", sa.String(), nullable=False, comment="Relative to the store's folder"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="Size of the file"),
        sa.Column("file_sha256", sa.String(), nullable=False, comment="Of the file's bytes"),
        sa.Column(
            "file_xxh3", sa.String(), nullable=False, comment="64 bits, 16 hexadecimal digits; checked on every read"
        ),
        sa.Column("array_sha256", sa.String(), nullable=False, comment="Of the decoded array: little-endian, C order"),
        sa.Column("dtype", sa.String(), nullable=False, comment="Of the array: uint16 or float32"),
        sa.Column("source", sa.String(), nullable=False, comment="URL or file name of its origin"),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False, comment="Time of storing, UTC"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_template")),
        sa.UniqueConstraint("path", name=op.f("uq_template_path")),
        sa.UniqueConstraint("spacing_um", name=op.f("uq_template_spacing_um")),
    )


def downgrade() -> None:
    # Its files become orphans: the template can be downloaded again.
    op.drop_table("template")
