"""Maximum projections: rows are groups or experiments, columns are views along the three axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.figures.brain import AnnotatedPlane, Brain, upright
from bsv_store.figures.layout import title_or
from bsv_store.figures.montage import draw
from bsv_store.figures.plane_anatomy import (
    Anatomy,
    box_around,
    ends_of,
    extent_of,
    legend_of,
    outline_of_data,
    panel_of,
    sampled,
)
from bsv_store.figures.scale import QUANTILE, check_scale, has_both_signs, scale_of, scale_words
from bsv_store.figures.sheet import Layer, Panel, Row, Sheet
from bsv_store.figures.slices import NO_ANNOTATION, NO_EXPERIMENTS, row_label
from bsv_store.figures.style import PAGE_MM, theme_row
from bsv_store.vocabulary import PLANES, PlaneRow
from bsv_store.volumes.grid import ARRAY_AXES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bsv_store.catalog.structures import StructureRef, StructureRow
    from bsv_store.figures.sources import Source, SourceRow
    from bsv_store.vocabulary import Axis, ColorScale, Theme

# With more rows, the view from the left is left out.
_MAX_WITH_ALL_VIEWS = 10


@dataclass(frozen=True, slots=True)
class View:
    """A view: its name, and the planes that it looks through."""

    name: str
    plane: PlaneRow


VIEWS = (
    View("from above", PLANES["horizontal"]),
    View("from the front", PLANES["coronal"]),
    View("from the left", PLANES["sagittal"]),
)


def draw_projections(
    source: Source,
    brain: Brain,
    *,
    emphasize: StructureRef | Sequence[StructureRef] | None = None,
    scale: ColorScale = "linear",
    vmin: float | None = None,
    vmax: float | None = None,
    shared: bool = True,
    quantile: float = QUANTILE,
    title: str | None = None,
    width_mm: float = PAGE_MM,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """The figure of `bsv_store.reports.projections`."""
    # Raises if an argument is not valid, before any work.
    theme_row(theme)
    name, vmin, vmax, quantile = check_scale(scale, vmin=vmin, vmax=vmax, quantile=quantile)
    if emphasize is not None:
        brain.require("emphasize")
    views = VIEWS if len(source.rows) <= _MAX_WITH_ALL_VIEWS else VIEWS[:2]
    images = [_projected(source, row, views) for row in source.rows]
    structures = () if emphasize is None else brain.named(emphasize)
    seen = brain.silhouettes([view.plane for view in views], [brain.leaves(row.id) for row in structures])
    if source.is_everywhere and seen is not None:
        brains = [planes[0] for planes in seen]
        images = [
            [np.where(sampled(plane, each.shape) != 0, each, 0) for each, plane in zip(row, brains, strict=True)]
            for row in images
        ]
    is_signed = has_both_signs(each for row in images for each in row)
    together = [[each for row in images for each in row]] if shared else images
    found = [
        scale_of(
            arrays,
            theme=theme,
            scale=name,
            vmin=vmin,
            vmax=vmax,
            quantile=quantile,
            is_signed=is_signed,
            least=source.least_end,
            is_count=source.is_count,
        )
        for arrays in together
    ]
    scales = found * len(images) if shared else found
    rows = [
        Row(
            row_label(each.label, each.n),
            [
                [Layer(image, extent_of(view.plane), own.norm, own.colors)]
                for image, view in zip(row, views, strict=True)
            ],
            scale=None if shared else own,
            note=NO_EXPERIMENTS if each.is_empty else "",
            edges=[_edges(view.plane, each.edges_mm) for view in views],
        )
        for each, row, own in zip(source.rows, images, scales, strict=True)
    ]
    panels = [
        _panel(source, view, [row[number] for row in images], None if seen is None else seen[number], structures, theme)
        for number, view in enumerate(views)
    ]
    sheet = Sheet(
        title=title_or(title, source.title),
        panels=panels,
        rows=rows,
        quantity=source.quantity,
        scale=found[0] if shared else None,
        legend=legend_of(brain, emphasize, theme),
        notes=_notes(source, brain, images, scale_words(scales), is_signed),
        fingerprint=source.fingerprint,
    )
    return draw(sheet, width_mm=width_mm, theme=theme, footer=footer)


def _projected(source: Source, row: SourceRow, views: Sequence[View]) -> list[NDArray[Any]]:
    """For each view the value with the largest absolute value along the line of sight; NaN = no data at all."""
    shape = source.grid.shape
    axes = [ARRAY_AXES.index(view.plane.across) for view in views]
    highs = [np.full([n for number, n in enumerate(shape) if number != axis], -np.inf) for axis in axes]
    lows = [-high for high in highs]
    for first, values in source.slabs(row):
        known = np.isfinite(values)
        above, below = np.where(known, values, -np.inf), np.where(known, values, np.inf)
        for axis, high, low in zip(axes, highs, lows, strict=True):
            part = slice(None) if axis == 0 else slice(first, first + len(values))
            np.maximum(high[part], above.max(axis=axis), out=high[part])
            np.minimum(low[part], below.min(axis=axis), out=low[part])
    images = []
    for view, high, low in zip(views, highs, lows, strict=True):
        image = np.where(high >= -low, high, low)
        image[~np.isfinite(image)] = np.nan
        if row.is_empty:
            # The mean of an empty group is stored as 0, but is not a measurement.
            image[:] = np.nan
        images.append(upright(image, view.plane))
    return images


def _panel(
    source: Source,
    view: View,
    images: Sequence[NDArray[Any]],
    seen: Sequence[AnnotatedPlane] | None,
    structures: Sequence[StructureRow],
    theme: Theme,
) -> Panel:
    ends = ends_of(view.plane, source.halves)
    if not seen:
        lines = outline_of_data(images, source.grid.spacing_um)
        return Panel(view.name, extent_of(view.plane), ends, lines)
    # Structures overlap in a projection: each has a number of its own.
    whole, *parts = seen
    panel = panel_of(
        whole, Anatomy({}, (), ""), title=view.name, ends=ends, box=box_around([whole], view.plane), theme=theme
    )
    shapes = [
        shape
        for row, part in zip(structures, parts, strict=True)
        for shape in panel_of(
            AnnotatedPlane(part.ids, part.spacing_um),
            Anatomy({}, ((row.acronym, np.array([1], np.uint32), row.color_hex_triplet),), ""),
            title="",
            ends=ends,
            box=panel.box,
            theme=theme,
            signal=np.sum([np.abs(np.nan_to_num(image)) for image in images], axis=0),
        ).shapes
    ]
    return Panel(view.name, panel.box, ends, panel.brain, shapes=shapes)


def _edges(plane: PlaneRow, edges_mm: Sequence[tuple[Axis, float]]) -> list[tuple[str, float]]:
    """The edges of a coordinate bin in a view."""
    directions = {plane.right: "x", plane.down: "y"}
    return [(directions[axis], at) for axis, at in edges_mm if axis in directions]


def _notes(
    source: Source, brain: Brain, images: Sequence[Sequence[NDArray[Any]]], scale: str, is_signed: bool
) -> list[str]:
    what = "Projections of the largest absolute value." if is_signed else "Maximum projections."
    notes = [*(f"{fact}." for fact in source.facts), what, scale]
    notes.append("Outline: the brain in the annotation." if brain.has_annotation else NO_ANNOTATION)
    if any(bool(np.isnan(each).any()) for row in images for each in row):
        notes.append("Gray: no data (not 0).")
    if any(row.edges_mm for row in source.rows):
        notes.append("Dashed: edges of the bin.")
    return notes
