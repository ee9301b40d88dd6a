"""Figures of dataset versions, experiments and tables, and the report on a version as an HTML page.

Requires the extra ``plot`` (Matplotlib).
"""

from __future__ import annotations

from bsv_store.reports.differences import structure_differences
from bsv_store.reports.html_page.document import page
from bsv_store.reports.injections import injection_map
from bsv_store.reports.matrix import matrix_map
from bsv_store.reports.ranking import ranked_targets
from bsv_store.reports.region_values import region_values
from bsv_store.reports.view3d import view_3d
from bsv_store.reports.voxels import overlay, projections, region_map, save, slices

__all__ = [
    "injection_map",
    "matrix_map",
    "overlay",
    "page",
    "projections",
    "ranked_targets",
    "region_map",
    "region_values",
    "save",
    "slices",
    "structure_differences",
    "view_3d",
]
