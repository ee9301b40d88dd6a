"""Rename the column id of the view experiments to experiment_id, as in the other views.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _experiments(identifier: str) -> str:
    return f"""
CREATE VIEW experiments AS
SELECT
    e.id AS {identifier},
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
    e.projection_volume,
    e.withdrawn
FROM experiment AS e
JOIN structure AS s ON s.id = e.primary_structure_id
"""


def upgrade() -> None:
    op.execute("DROP VIEW experiments")
    op.execute(_experiments("experiment_id"))


def downgrade() -> None:
    op.execute("DROP VIEW experiments")
    op.execute(_experiments("id"))
