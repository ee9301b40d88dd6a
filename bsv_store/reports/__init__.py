"""Figures of group averages, and the report on a version as a page. Requires the extra ``plot`` (Matplotlib)."""

from __future__ import annotations

from bsv_store.figures.panels import PlottedGroup, PlottedVersion
from bsv_store.figures.style import SUFFIXES
from bsv_store.reports.groups import draw_groups, plot_groups
from bsv_store.reports.html_page.document import page

__all__ = ["SUFFIXES", "PlottedGroup", "PlottedVersion", "draw_groups", "page", "plot_groups"]
