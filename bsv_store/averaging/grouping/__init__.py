"""How experiments are divided into groups: by coordinate, region, field or selection."""

from __future__ import annotations

from bsv_store.averaging.grouping.grouping import (
    Grouping,
    by_coordinate,
    by_field,
    by_region,
    by_selection,
    crossed,
    no_grouping,
)

__all__ = ["Grouping", "by_coordinate", "by_field", "by_region", "by_selection", "crossed", "no_grouping"]
