"""The map of injection sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.grouping.assignment import assign
from bsv_store.averaging.grouping.facts import experiment_facts
from bsv_store.averaging.grouping.grouping import Grouping, as_grouping, axes_of
from bsv_store.catalog.selection.criteria import WILD_TYPE
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import ancestry
from bsv_store.check import boolean, choice, whole_number
from bsv_store.datasets.version import DatasetVersion
from bsv_store.errors import EmptySelectionError, InputError
from bsv_store.figures.injections import (
    Backdrop,
    Category,
    Sites,
    borders_of,
    draw_injections,
    regions_of,
    silhouette_of,
)
from bsv_store.figures.layout import title_or
from bsv_store.figures.style import PAGE_MM, check_width, figure_class
from bsv_store.reports.anatomy import Division, brain_of, color_of, divisions, rows_of
from bsv_store.reports.words import selection_title
from bsv_store.text import number_of
from bsv_store.vocabulary import INJECTION_COLORS, INJECTION_COLUMNS, PLANES, SUMMARY_STRUCTURE_SET_ID
from bsv_store.volumes.grid import ARRAY_AXES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import InjectionColor, Theme


def injection_map(
    store: Store,
    selection: SelectionLike | None = None,
    *,
    color: InjectionColor | None = None,
    groups: DatasetVersion | Grouping | str | Sequence[str] | None = None,
    legend_limit: int = 14,
    title: str | None = None,
    width_mm: float = PAGE_MM,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """The injection sites of experiments on three planes and on the surface of the brain seen from above.

    Each site is a symbol at the injection coordinate, whose area is proportional to the injection volume. The coronal,
    sagittal and horizontal planes are projections of all sites on the silhouette of the brain; the thin lines are the
    major divisions in the plane through the median of the sites. All outlines come from the store's annotation and are
    absent without one.

    Parameters
    ----------
    store : Store
    selection : Selection or experiment ids, optional
        By default the members of the version, or all experiments that are neither withdrawn nor on the exclusion list.
    color : {'group', 'structure', 'line'}, optional
        What the color means. By default the group if ``groups`` is given, otherwise the structure. More structures
        than the legend has lines are shown by major division, unless all are in one.
    groups : DatasetVersion, Grouping, str or sequence of str, optional
        A dataset version, or a grouping as for `Store.aggregate`, such as 'AP', 'line' or ``by_coordinate("AP", 6)``.
    legend_limit : int
        Maximum number of lines of the color legend. The smallest categories are gray: "others".
    title : str, optional
        '' for none.
    width_mm : float
        A column is about 85 mm wide, a page about 180 mm.
    theme : {'light', 'dark'}
    footer : bool
        Write the number of experiments, those left out and notes below the figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    EmptySelectionError
        If no experiment matches, or none of them has an injection coordinate.
    InputError
        If an argument is not valid, or Matplotlib is not installed.
    """
    figure_class()
    limit = whole_number("legend_limit", legend_limit, least=2)
    with_footer, width = boolean("footer", footer), check_width(width_mm)
    version = groups if isinstance(groups, DatasetVersion) else None
    chosen = choice(
        "color", color or ("structure" if groups is None else "group"), INJECTION_COLORS
    ).name  # fmt: skip
    if chosen == "group" and groups is None:
        raise InputError("color='group' needs groups", hint="For example: groups='AP', or a dataset version.")
    if selection is None and version is not None:
        # Members may be on the exclusion list now.
        members = [member for group in version.groups for member in group.experiment_ids]
        selection = Selection(ids=members, include_excluded=True)
    frame = store.experiments(selection)
    if frame.empty:
        raise EmptySelectionError("no experiment matches the selection", hint="Use a wider selection.")
    is_placed = frame[[*INJECTION_COLUMNS]].notna().all(axis=1)
    placed = frame[is_placed].reset_index(drop=True)
    if placed.empty:
        raise EmptySelectionError(
            f"none of the selected experiments ({len(frame):,}) has an injection coordinate",
            hint="Use a wider selection.",
        )
    sites, ungrouped = _sites(store, placed, chosen, groups, limit)
    points = sites.points_mm
    notes = _notes(frame, placed, sites, ungrouped)
    backdrop = _backdrop(store, points)
    if not backdrop.silhouettes:
        notes.append("No outlines: the store has no annotation.")
    elif any(backdrop.sections.values()):
        notes.append("Thin lines: major divisions in the plane through the median of the sites.")
    what = f"{version.ref}" if version is not None else selection_title(selection)
    return draw_injections(
        sites,
        backdrop,
        title=title_or(title, f"Injection sites: {what}"),
        notes=notes,
        fingerprint=None if version is None else version.fingerprint,
        width_mm=width,
        theme=theme,
        footer=with_footer,
    )


def _sites(
    store: Store,
    placed: pd.DataFrame,
    color: InjectionColor,
    groups: DatasetVersion | Grouping | str | Sequence[str] | None,
    limit: int,
) -> tuple[Sites, int]:
    """The sites with their categories, and the number of experiments in no group."""
    named: list[tuple[str, NDArray[np.intp], str | None]]
    are_ordered, ungrouped = False, 0
    if color == "group":
        named, are_ordered = _by_group(store, placed, groups)
        heading = "Group"
        ungrouped = len(placed) - sum(len(members) for _, members, _ in named)
        named = [entry for entry in named if len(entry[1])]
    elif color == "structure":
        named, heading = _by_structure(store, placed, limit)
    elif color == "line":
        named, heading = _by_line(placed), "Transgenic line"
    else:
        assert_never(color)
    categories, others = _limited(named, limit)
    if ungrouped:
        inside = np.concatenate([members for _, members, _ in named]) if named else np.array([], np.intp)
        rest = np.setdiff1d(np.arange(len(placed)), inside)
        others = Category("others", np.concatenate([others.members, rest]) if others is not None else rest)
    points = placed[[*INJECTION_COLUMNS]].to_numpy(np.float64) / 1000
    volumes = placed["injection_volume"].to_numpy(np.float64, na_value=np.nan)
    return Sites(points, volumes, categories, others, are_ordered, heading), ungrouped


def _limited(
    named: Sequence[tuple[str, NDArray[np.intp], str | None]], limit: int
) -> tuple[tuple[Category, ...], Category | None]:
    """The largest categories in their order, and the rest as one."""
    if len(named) <= limit:
        return tuple(Category(*entry) for entry in named), None
    largest = sorted(range(len(named)), key=lambda number: -len(named[number][1]))[: limit - 1]
    rest = [entry for number, entry in enumerate(named) if number not in largest]
    members = np.concatenate([entry[1] for entry in rest])
    kept = tuple(Category(*named[number]) for number in sorted(largest))
    return kept, Category(f"others ({len(rest)})", members)


def _by_group(
    store: Store, placed: pd.DataFrame, groups: DatasetVersion | Grouping | str | Sequence[str] | None
) -> tuple[list[tuple[str, NDArray[np.intp], str | None]], bool]:
    at = {int(identifier): number for number, identifier in enumerate(placed["experiment_id"])}
    members: list[tuple[str, Sequence[int]]]
    if isinstance(groups, DatasetVersion):
        members = [(group.label, group.experiment_ids) for group in groups.groups]
        are_ordered = len(groups.axes) == 1 and len(groups.groups) == len({g.lower for g in groups.groups})
    else:
        grouping = as_grouping(groups)
        with store.database.reading() as connection:
            facts = experiment_facts(connection, list(at))
            assignment = assign(grouping, facts, ancestry(connection))
        members = [(group.label, group.experiment_ids) for group in assignment.groups]
        axes = axes_of(grouping)
        are_ordered = len(axes) == 1 and len({group.lower_um for group in assignment.groups}) == len(members)
    found: list[tuple[str, NDArray[np.intp], str | None]] = [
        (label, np.array([at[each] for each in ids if each in at], np.intp), None) for label, ids in members
    ]
    return found, are_ordered


def _by_structure(
    store: Store, placed: pd.DataFrame, limit: int
) -> tuple[list[tuple[str, NDArray[np.intp], str | None]], str]:
    acronyms = placed["primary_structure"].to_numpy(object)
    rows = rows_of(store, sorted(set(acronyms)))
    parts = divisions(store) if len(rows) > limit else ()
    ids = placed["primary_structure_id"].to_numpy(np.int64)
    # All in one division would have one color.
    if not any(0 < np.isin(ids, sorted(part.ids)).sum() < len(ids) for part in parts):
        ordered = sorted(rows.values(), key=lambda row: (row.graph_order, row.id))
        return [
            (row.acronym, np.flatnonzero(acronyms == row.acronym), color_of(row)) for row in ordered
        ], "Primary structure"  # fmt: skip
    inside = {part.row.acronym: np.isin(ids, sorted(part.ids)) for part in parts}
    found: list[tuple[str, NDArray[np.intp], str | None]] = [
        (part.row.name, np.flatnonzero(inside[part.row.acronym]), part.color)
        for part in parts
        if inside[part.row.acronym].any()
    ]
    elsewhere = np.flatnonzero(~np.any(list(inside.values()), axis=0))
    if elsewhere.size:
        found.append(("outside of these", elsewhere, "#8a929e"))
    return found, "Major division of the injection"


def _by_line(placed: pd.DataFrame) -> list[tuple[str, NDArray[np.intp], str | None]]:
    lines = placed["transgenic_line"].fillna(WILD_TYPE).to_numpy(object)
    counts: Mapping[Any, int] = Counter(lines)
    ordered = sorted(counts, key=lambda line: (-counts[line], line))
    return [(str(line), np.flatnonzero(lines == line), None) for line in ordered]


def _notes(frame: pd.DataFrame, placed: pd.DataFrame, sites: Sites, ungrouped: int) -> list[str]:
    left_out = len(frame) - len(placed)
    notes = [f"n = {number_of(len(placed), 'experiment')}"]
    if left_out:
        notes.append(f"{left_out:,} left out, because their injection coordinates are not known")
    if ungrouped:
        notes.append(f"{ungrouped:,} of them in no group")
    unknown = int((~np.isfinite(sites.volumes)).sum())
    if unknown:
        notes.append(f"{unknown:,} with unknown injection volume")
    return [f"{'; '.join(notes)}.", "Area of symbols: injection volume. CCFv3."]


def _backdrop(store: Store, points: NDArray[np.float64]) -> Backdrop:
    brain = brain_of(store)
    surface = brain.surface_from_above()
    silhouettes = brain.silhouettes(list(PLANES.values()))
    if surface is None or silhouettes is None:
        return Backdrop({}, {}, ())
    middle = np.median(points, axis=0) * 1000
    inside = _labels(divisions(store))
    sections = {
        name: borders_of(brain.planes(plane, [float(middle[ARRAY_AXES.index(plane.across)])], is_fine=False)[0], inside)
        for name, plane in PLANES.items()
    }
    seen = divisions(store, SUMMARY_STRUCTURE_SET_ID)
    return Backdrop(
        {name: silhouette_of(found[0]) for name, found in zip(PLANES, silhouettes, strict=True)},
        sections,
        regions_of(surface, _labels(seen), {part.row.id: (part.row.acronym, part.color) for part in seen}),
    )


def _labels(parts: Sequence[Division]) -> dict[int, int]:
    """For each structure the one as part of which it is outlined."""
    return {identifier: part.row.id for part in parts for identifier in part.ids}
