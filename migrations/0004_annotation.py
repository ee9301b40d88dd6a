"""Add the annotation of the CCF.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "annotation",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("spacing_um", sa.Integer(), nullable=False, comment="Edge of a voxel, um"),
        sa.Column("frame", sa.String(), nullable=False, comment="Coordinate frame, with its version"),
        sa.Column("path", sa.String(), nullable=False, comment="Relative to the store's folder"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="Size of the file"),
        sa.Column("file_sha256", sa.String(), nullable=False, comment="Of the file's bytes"),
        sa.Column(
            "file_xxh3", sa.String(), nullable=False, comment="64 bits, 16 hexadecimal digits; checked on every read"
        ),
        sa.Column(
            "array_sha256", sa.String(), nullable=False, comment="Of the decoded array: little-endian uint32, C order"
        ),
        sa.Column(
            "structure_count", sa.Integer(), nullable=False, comment="Structures that voxels are assigned to directly"
        ),
        sa.Column("annotated_voxels", sa.BigInteger(), nullable=False, comment="Voxels that belong to a structure"),
        sa.Column("source", sa.String(), nullable=False, comment="URL or file name of its origin"),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False, comment="Time of storing, UTC"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotation")),
        sa.UniqueConstraint("path", name=op.f("uq_annotation_path")),
        sa.UniqueConstraint("spacing_um", name=op.f("uq_annotation_spacing_um")),
    )


def downgrade() -> None:
    op.drop_table("annotation")
