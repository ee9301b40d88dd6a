"""Figures of dataset versions, experiments and tables. Requires the extra ``plot`` (Matplotlib)."""

from __future__ import annotations

from bsv_store.reports.voxels import overlay, projections, region_map, save, slices

__all__ = ["overlay", "projections", "region_map", "save", "slices"]
