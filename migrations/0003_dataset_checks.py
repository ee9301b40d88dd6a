"""Add checks of dataset versions, the second axis of crossed groupings, and the masks of members.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

GROUP_COLUMNS = ("axis", "second_axis", "second_lower", "second_upper", "second_center")
MEMBER_COLUMNS = ("injection_fraction_sha256", "data_mask_sha256")


def upgrade() -> None:
    op.create_table(
        "dataset_check",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("version_id", ROW_ID, nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_by", sa.String(), nullable=False),
        sa.Column("software", sa.String(), nullable=False, comment="Versions of the software that rebuilt it"),
        sa.Column("outcome", sa.String(), nullable=False, comment="identical, different, inputs missing or damaged"),
        sa.Column(
            "file_state",
            sa.String(),
            nullable=False,
            comment="State of the stored result at that time: intact or damaged",
        ),
        sa.Column(
            "largest_difference",
            sa.Double(),
            nullable=True,
            comment="Largest absolute difference of a mean; null if nothing could be compared",
        ),
        sa.Column("voxels", sa.BigInteger(), nullable=True, comment="Voxels of all groups whose mean differs"),
        sa.Column(
            "was_restored",
            sa.Boolean(),
            nullable=False,
            comment="Whether a damaged file was replaced by an identical one",
        ),
        sa.Column("note", sa.String(), nullable=True, comment="What was missing or damaged"),
        sa.CheckConstraint(
            "outcome IN ('identical', 'different', 'inputs missing', 'inputs damaged')",
            name=op.f("ck_dataset_check_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_version.id"], name=op.f("fk_dataset_check_version_id_dataset_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_check")),
    )
    op.create_index(op.f("ix_dataset_check_version_id"), "dataset_check", ["version_id"])
    op.add_column(
        "dataset_group",
        sa.Column("axis", sa.String(), nullable=True, comment="AP, DV or ML: axis of lower, upper and center"),
    )
    op.add_column(
        "dataset_group",
        sa.Column("second_axis", sa.String(), nullable=True, comment="Second axis, if two coordinates are crossed"),
    )
    for name, text in (
        ("second_lower", "um, lower edge along the second axis"),
        ("second_upper", "um, upper edge along the second axis"),
        ("second_center", "um, mean injection coordinate along the second axis"),
    ):
        op.add_column("dataset_group", sa.Column(name, sa.Double(), nullable=True, comment=text))
    for name, text in (
        ("injection_fraction_sha256", "Hash of the injection fraction, whose voxels above 0 were not counted"),
        ("data_mask_sha256", "Hash of the data mask with the weights"),
    ):
        op.add_column("dataset_member", sa.Column(name, sa.String(), nullable=True, comment=text))
    _name_axes()


def _name_axes() -> None:
    """Set the axes of existing versions. Their second edges and the hashes of masks are only in their files."""
    version = sa.table("dataset_version", sa.column("id", sa.BigInteger()), sa.column("recipe", sa.String()))
    group = sa.table(
        "dataset_group",
        sa.column("version_id", sa.BigInteger()),
        sa.column("axis", sa.String()),
        sa.column("second_axis", sa.String()),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(version.c.id, version.c.recipe)).all():
        axes = _axes(json.loads(row.recipe).get("grouping", {}))
        if axes:
            values = {"axis": axes[0], "second_axis": axes[1] if len(axes) > 1 else None}
            connection.execute(sa.update(group).where(group.c.version_id == row.id).values(values))


def _axes(grouping: dict[str, Any]) -> list[str]:
    if grouping.get("by") == "crossed":
        return _axes(grouping["first"]) + _axes(grouping["second"])
    return [grouping["axis"]] if grouping.get("by") == "coordinate" else []


def downgrade() -> None:
    for name in reversed(MEMBER_COLUMNS):
        op.drop_column("dataset_member", name)
    for name in reversed(GROUP_COLUMNS):
        op.drop_column("dataset_group", name)
    op.drop_index(op.f("ix_dataset_check_version_id"), "dataset_check")
    op.drop_table("dataset_check")
