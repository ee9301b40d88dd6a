"""Keep a history of unionize tables, and add a view of the structures in which Allen measures signal.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# The structures with unionize records are those of set 184527634, except the first of these lists, and those of the
# second. Source: 107 tables of the Allen API. In every table all of these 840 structures have a record, and no other
# structure has one.
NEVER_MEASURED = {
    14: "im",
    341: "smd",
    388: "grf",
    494: "SCig-a",
    503: "SCig-b",
    511: "SCig-c",
    705: "mtV",
    934: "ENTmv",
}
MEASURED_OUTSIDE_THE_SET = {
    73: "VS",
    81: "VL",
    129: "V3",
    140: "AQ",
    145: "V4",
    153: "V4r",
    164: "c",
    997: "root",
}


def _listed(ids: dict[int, str]) -> str:
    return ", ".join(map(str, sorted(ids)))


# If the ontology has no structure sets, all structures except the first list are in the view.
MEASURED_STRUCTURES = f"""
CREATE VIEW measured_structures AS
SELECT s.id AS structure_id, s.acronym AS structure, s.name AS structure_name
FROM structure AS s
WHERE s.id NOT IN ({_listed(NEVER_MEASURED)})
    AND (
        s.id IN ({_listed(MEASURED_OUTSIDE_THE_SET)})
        OR EXISTS (
            SELECT 1 FROM structure_set_member AS m
            WHERE m.structure_set_id = 184527634 AND m.structure_id = s.id
        )
        OR NOT EXISTS (SELECT 1 FROM structure_set_member AS m WHERE m.structure_set_id = 184527634)
    )
"""


def upgrade() -> None:
    op.execute(MEASURED_STRUCTURES)
    op.add_column(
        "unionize_coverage",
        sa.Column(
            "remark",
            sa.String(),
            nullable=True,
            comment="What was overridden when the rows were stored; null = nothing",
        ),
    )
    op.add_column(
        "dataset_member",
        sa.Column(
            "divisor_source",
            sa.String(),
            nullable=True,
            comment="list: the injection volume of the experiment list; null: the unionize rows, or not normalized",
        ),
    )
    op.create_table(
        "unionize_revision",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.String(), nullable=False, comment="injection or projection"),
        sa.Column("snapshot_id", ROW_ID, nullable=False, comment="The snapshot that stored the rows"),
        sa.Column("replaced_by_id", ROW_ID, nullable=False, comment="The snapshot that replaced them"),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column(
            "content_sha256", sa.String(), nullable=False, comment="Hash of the rows, independent of their file format"
        ),
        sa.Column("injection_volume", sa.Double(), nullable=True, comment="mm3, of the root; null for rows outside it"),
        sa.Column("remark", sa.String(), nullable=True, comment="What was overridden when the rows were stored"),
        sa.CheckConstraint("part in ('injection', 'projection')", name=op.f("ck_unionize_revision_part")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unionize_revision")),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiment.id"], name=op.f("fk_unionize_revision_experiment_id_experiment")
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["source_snapshot.id"], name=op.f("fk_unionize_revision_snapshot_id_source_snapshot")
        ),
        sa.ForeignKeyConstraint(
            ["replaced_by_id"], ["source_snapshot.id"], name=op.f("fk_unionize_revision_replaced_by_id_source_snapshot")
        ),
    )
    op.create_index(op.f("ix_unionize_revision_experiment_id"), "unionize_revision", ["experiment_id"])


def downgrade() -> None:
    op.drop_table("unionize_revision")
    op.drop_column("dataset_member", "divisor_source")
    op.drop_column("unionize_coverage", "remark")
    op.execute("DROP VIEW measured_structures")
