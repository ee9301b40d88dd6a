"""Add the hashes of the blocks of large volume files, and derive projection volumes in the view experiments.

The hashes are computed from the files after the migration; until then, these files are verified as a whole. Not every
list contains projection volumes; the unionize row of the root outside the injection site has the same value.

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

_OF_THE_LIST = "e.projection_volume"
_DERIVED = """COALESCE(
        e.projection_volume,
        (
            SELECT u.projection_volume FROM unionize AS u
            WHERE u.experiment_id = e.id AND u.structure_id = 997 AND u.hemisphere_id = 3 AND NOT u.is_injection
        )
    )"""


def _experiments(projection_volume: str) -> str:
    return f"""
CREATE VIEW experiments AS
SELECT
    e.id AS experiment_id,
    e.specimen_name,
    e.product_id,
    s.acronym AS primary_structure,
    e.primary_structure_id,
    s.name AS primary_structure_name,
    e.transgenic_line,
    e.strain,
    e.sex,
    e.injection_volume,
    e.injection_ap,
    e.injection_dv,
    e.injection_ml,
    e.injected_hemisphere,
    e.hemisphere_source,
    e.injection_volume_left,
    e.injection_volume_right,
    CASE
        WHEN e.injection_volume_left IS NULL OR e.injection_volume_right IS NULL THEN NULL
        WHEN e.injection_volume_left < e.injection_volume_right
            THEN e.injection_volume_left >= 0.01 * (e.injection_volume_left + e.injection_volume_right)
        ELSE e.injection_volume_right > 0
            AND e.injection_volume_right >= 0.01 * (e.injection_volume_left + e.injection_volume_right)
    END AS bilateral,
    {projection_volume} AS projection_volume,
    e.withdrawn
FROM experiment AS e
JOIN structure AS s ON s.id = e.primary_structure_id
"""


ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.execute("DROP VIEW experiments")
    op.execute(_experiments(_DERIVED))
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
    op.execute("DROP VIEW experiments")
    op.execute(_experiments(_OF_THE_LIST))
