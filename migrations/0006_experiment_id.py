"""Rename the column id of the view experiments to experiment_id, and the criteria of saved selections.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
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


# Criteria of saved selections.
_NEW_NAMES = {
    "hemisphere": "injected_hemisphere",
    "radius": "radius_um",
    "measure": "target_measure",
    "threshold": "target_threshold",
}
_OLD_NAMES = {new: old for old, new in _NEW_NAMES.items()}


def _rename_criteria(names: dict[str, str]) -> None:
    connection = op.get_bind()
    saved = sa.table("named_selection", sa.column("id", sa.BigInteger), sa.column("selection", sa.String))
    for identifier, text in connection.execute(sa.select(saved.c.id, saved.c.selection)).all():
        renamed = json.dumps(_renamed(json.loads(text), names), sort_keys=True, separators=(",", ":"))
        if renamed != text:
            connection.execute(sa.update(saved).where(saved.c.id == identifier).values(selection=renamed))


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(name, name): _renamed(part, names) for name, part in value.items()}
    return [_renamed(part, names) for part in value] if isinstance(value, list) else value


def upgrade() -> None:
    op.execute("DROP VIEW experiments")
    op.execute(_experiments("experiment_id"))
    _rename_criteria(_NEW_NAMES)


def downgrade() -> None:
    op.execute("DROP VIEW experiments")
    op.execute(_experiments("id"))
    _rename_criteria(_OLD_NAMES)
