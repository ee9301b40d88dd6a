"""Add the laterality index and the share of the injection outside the primary structure to the view experiments.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# Outside the injection site of the whole brain. A missing row is 0; without any row nothing is known.
_LATERALITY_INDEX = """(
        SELECT CASE
            WHEN sum(u.projection_volume) > 0 THEN
                sum(
                    CASE
                        WHEN (u.hemisphere_id = 1) = (e.injected_hemisphere = 'left') THEN u.projection_volume
                        ELSE -u.projection_volume
                    END
                ) / sum(u.projection_volume)
        END
        FROM unionize AS u
        WHERE u.experiment_id = e.id AND u.structure_id = 997 AND u.hemisphere_id IN (1, 2) AND NOT u.is_injection
            AND e.injected_hemisphere IS NOT NULL
    )"""

# A missing row of a structure that is measured means no overlap. The root is not exactly the sum of its children.
_OUTSIDE_PRIMARY = """(
        SELECT CASE
            WHEN w.projection_volume <= 0 THEN NULL
            WHEN p.projection_volume >= w.projection_volume THEN CAST(0 AS DOUBLE PRECISION)
            WHEN p.projection_volume IS NOT NULL THEN 1 - p.projection_volume / w.projection_volume
            WHEN EXISTS (SELECT 1 FROM measured_structures AS m WHERE m.structure_id = e.primary_structure_id)
                THEN CAST(1 AS DOUBLE PRECISION)
        END
        FROM unionize AS w
        LEFT JOIN unionize AS p
            ON p.experiment_id = w.experiment_id AND p.structure_id = e.primary_structure_id
            AND p.hemisphere_id = 3 AND p.is_injection
        WHERE w.experiment_id = e.id AND w.structure_id = 997 AND w.hemisphere_id = 3 AND w.is_injection
    )"""


def _experiments(measures: str) -> str:
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
    COALESCE(
        e.projection_volume,
        (
            SELECT u.projection_volume FROM unionize AS u
            WHERE u.experiment_id = e.id AND u.structure_id = 997 AND u.hemisphere_id = 3 AND NOT u.is_injection
        )
    ) AS projection_volume,{measures}
    e.withdrawn
FROM experiment AS e
JOIN structure AS s ON s.id = e.primary_structure_id
"""


def upgrade() -> None:
    op.execute("DROP VIEW experiments")
    op.execute(
        _experiments(
            f"""
    {_OUTSIDE_PRIMARY} AS injection_outside_primary,
    {_LATERALITY_INDEX} AS laterality_index,"""
        )
    )


def downgrade() -> None:
    op.execute("DROP VIEW experiments")
    op.execute(_experiments(""))
