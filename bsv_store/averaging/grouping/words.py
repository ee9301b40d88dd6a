"""A grouping in words, for the methods text of a citation and for reports."""

from __future__ import annotations

from bsv_store.averaging.grouping.grouping import (
    CoordinateGrouping,
    CrossedGrouping,
    FieldGrouping,
    Grouping,
    NoGrouping,
    RegionGrouping,
    SelectionGrouping,
)
from bsv_store.catalog.selection.words import selection_words
from bsv_store.text import joined, label_in_prose, number_of
from bsv_store.vocabulary import AXES, BIN_METHODS, GROUPING_FIELDS


def grouping_words(grouping: Grouping) -> str | None:
    """How experiments were grouped, such as "by the AP injection coordinate (...)"; None if all are in one group."""
    if isinstance(grouping, NoGrouping):
        return None
    if isinstance(grouping, CoordinateGrouping):
        axis = f"by the {grouping.axis} injection coordinate ({AXES[grouping.axis].words})"
        if grouping.edges is not None:
            edges = joined([f"{edge:,.10g}" for edge in grouping.edges], "and")
            return f"{axis} in {number_of(grouping.bins, 'bin')} with the edges {edges} um"
        return f"{axis} in {grouping.bins} {BIN_METHODS[grouping.method].words}"
    if isinstance(grouping, RegionGrouping):
        groups = joined([_region_words(each.label, each.regions) for each in grouping.groups], "and")
        return f"by the primary injection structure: {groups} (descendants included)"
    if isinstance(grouping, FieldGrouping):
        return f"by {GROUPING_FIELDS[grouping.field].words}"
    if isinstance(grouping, CrossedGrouping):
        found = [words for part in (grouping.first, grouping.second) if (words := grouping_words(part))]
        return joined(found, "and") if found else None
    assert isinstance(grouping, SelectionGrouping)
    parts = [f"{label_in_prose(each.label)} ({selection_words(each.selection)})" for each in grouping.groups]
    return f"by selection: {joined(parts, 'and')}"


def _region_words(label: str, regions: tuple[str, ...]) -> str:
    return label if label == "+".join(regions) else f"{label} ({joined(regions, 'and')})"
