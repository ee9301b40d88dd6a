"""Which experiments have their unionize rows in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Select, select

from bsv_store.catalog.database.models import UnionizeCoverage

if TYPE_CHECKING:
    from bsv_store.vocabulary import UnionizePart


def covered(part: UnionizePart) -> Select[int]:
    """A SELECT of the ids of the experiments whose half of the unionize table is in the store; also a subquery."""
    return select(UnionizeCoverage.experiment_id).where(UnionizeCoverage.part == part)
