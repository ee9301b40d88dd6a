"""Add named selections, exclusions, and a covering index for target searches by four measures.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TARGET = ["structure_id", "is_injection", "hemisphere_id"]
MEASURES = ["projection_volume", "normalized_projection_volume", "projection_density", "projection_energy"]


def upgrade() -> None:
    op.create_table(
        "named_selection",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="From 1, for each name"),
        sa.Column("selection", sa.String(), nullable=False, comment="The selection as canonical JSON"),
        sa.Column("note", sa.String(), nullable=True, comment="Purpose of the selection"),
        sa.Column("saved_by", sa.String(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("number >= 1", name=op.f("ck_named_selection_number")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_named_selection")),
        sa.UniqueConstraint("name", "number", name=op.f("uq_named_selection_name_number")),
    )
    op.create_table(
        "exclusion",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("excluded_by", sa.String(), nullable=False),
        sa.Column("excluded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_by", sa.String(), nullable=True, comment="Null while the exclusion is active"),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name=op.f("ck_exclusion_lifted")),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiment.id"], name=op.f("fk_exclusion_experiment_id_experiment")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exclusion")),
    )
    in_force = sa.text("lifted_at IS NULL")
    op.create_index(
        "uq_exclusion_in_force",
        "exclusion",
        ["experiment_id"],
        unique=True,
        sqlite_where=in_force,
        postgresql_where=in_force,
    )
    op.drop_index("ix_unionize_target", "unionize")
    op.create_index("ix_unionize_target", "unionize", [*TARGET, "experiment_id", *MEASURES])


def downgrade() -> None:
    op.drop_index("ix_unionize_target", "unionize")
    op.create_index("ix_unionize_target", "unionize", [*TARGET, "projection_volume", "experiment_id"])
    op.drop_table("exclusion")
    op.drop_table("named_selection")
