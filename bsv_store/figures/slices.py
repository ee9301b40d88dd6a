"""Montages of slices: rows are groups or experiments, columns are planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.figures.background import background_planes
from bsv_store.figures.brain import AnnotatedPlane, Brain
from bsv_store.figures.layout import title_or
from bsv_store.figures.montage import draw
from bsv_store.figures.plane_anatomy import (
    anatomy_of,
    box_around,
    ends_of,
    extent_of,
    legend_of,
    outline_of_data,
    panel_of,
    sampled,
    title_of,
)
from bsv_store.figures.plane_values import checked_smoothing, read_plane
from bsv_store.figures.planes import Chosen, choose_planes, plane_row, planes_by_signal, stronger_side
from bsv_store.figures.scale import QUANTILE, Scale, check_scale, has_both_signs, scale_of, scale_words
from bsv_store.figures.sheet import Layer, Panel, Row, Sheet
from bsv_store.figures.style import PAGE_MM, figure_class, theme_row
from bsv_store.text import joined
from bsv_store.vocabulary import ANNOTATION_ORIGINS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from bsv_store.catalog.structures import StructureRef
    from bsv_store.figures.brain import Outlines
    from bsv_store.figures.sources import Source
    from bsv_store.vocabulary import ColorScale, Plane, PlaneRow, Theme

NO_EXPERIMENTS = "no experiments"
NO_ANNOTATION = "Outline: all voxels with signal, because the store has no annotation."


def draw_slices(
    source: Source,
    brain: Brain,
    *,
    plane: Plane = "coronal",
    through: StructureRef | Sequence[StructureRef] | None = None,
    at_mm: float | Sequence[float] | None = None,
    count: int | None = None,
    outlines: Outlines = None,
    emphasize: StructureRef | Sequence[StructureRef] | None = None,
    smooth_um: float = 0,
    region_only: StructureRef | Sequence[StructureRef] | None = None,
    background: Path | str | None = None,
    scale: ColorScale | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    shared: bool = True,
    quantile: float = QUANTILE,
    title: str | None = None,
    width_mm: float = PAGE_MM,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """The figure of `bsv_store.reports.slices`."""
    # Raises if Matplotlib is missing or an argument is not valid, before any work.
    figure_class()
    theme_row(theme)
    orientation, smooth = plane_row(plane), checked_smoothing(smooth_um)
    chosen_scale, vmin, vmax, quantile = check_scale(scale or source.scale, vmin=vmin, vmax=vmax, quantile=quantile)
    if not brain.has_annotation:
        for argument, value in (("emphasize", emphasize), ("region_only", region_only), ("outlines", outlines)):
            if value is not None:
                brain.require(argument)
    chosen = choose(source, brain, orientation, through=through, at_mm=at_mm, count=count, width_mm=width_mm)
    annotated = brain.planes(orientation, chosen.centers_um(source.grid)) if brain.has_annotation else []
    behind = (
        None
        if background is None
        else background_planes(background, brain, orientation, chosen.centers_um(source.grid), theme=theme)
    )
    values = _values(source, chosen, smooth)
    if source.is_everywhere and annotated:
        values = [_inside_brain(row, annotated) for row in values]
    if region_only is not None:
        wanted = brain.leaves(region_only)
        inside = [np.isin(sampled(each, values[0][0].shape), wanted) for each in annotated]
        values = [[np.where(mask, each, 0) for each, mask in zip(row, inside, strict=True)] for row in values]
    is_signed = has_both_signs(each for row in values for each in row)
    name = "linear" if scale is None and is_signed else chosen_scale

    def scale_for(rows: Sequence[Sequence[NDArray[Any]]]) -> Scale:
        arrays = [each for row in rows for each in row]
        return scale_of(
            arrays, theme=theme, scale=name, vmin=vmin, vmax=vmax, quantile=quantile, is_signed=is_signed,
            least=source.least_end, is_count=source.is_count,
        )  # fmt: skip

    scales = [scale_for(values)] * len(values) if shared else [scale_for([row]) for row in values]
    panels = _panels(
        source, brain, chosen, annotated, values, outlines=outlines, emphasize=emphasize, through=through, theme=theme,
        backgrounds=None if behind is None else behind.layers,
    )  # fmt: skip
    notes = _notes(source, brain, chosen, values, scales, outlines, smooth, region_only)
    if behind is not None:
        notes.append(behind.note)
    extent = extent_of(orientation)
    rows = [
        Row(
            row_label(each.label, each.n),
            [[Layer(image, extent, own.norm, own.colors)] for image in images],
            scale=None if shared else own,
            note=NO_EXPERIMENTS if each.is_empty else "",
        )
        for each, images, own in zip(source.rows, values, scales, strict=True)
    ]
    sheet = Sheet(
        title=title_or(title, source.title),
        panels=panels,
        rows=rows,
        quantity=source.quantity,
        scale=scales[0] if shared else None,
        legend=legend_of(brain, emphasize, theme),
        notes=notes,
        fingerprint=source.fingerprint,
    )
    return draw(sheet, width_mm=width_mm, theme=theme, footer=footer)


def choose(
    source: Source,
    brain: Brain,
    plane: PlaneRow,
    *,
    through: StructureRef | Sequence[StructureRef] | None,
    at_mm: float | Sequence[float] | None,
    count: int | None,
    width_mm: float,
) -> Chosen:
    """The planes of a figure: at positions, through structures, or where the signal is.

    Raises
    ------
    InputError
        If arguments are combined that exclude each other, or one is not valid.
    """
    return choose_planes(
        plane,
        brain,
        through=through,
        at_mm=at_mm,
        count=count,
        rows=len(source.rows),
        width_mm=width_mm,
        side=lambda: stronger_side(source),
        otherwise=lambda number: planes_by_signal(plane, number, source),
    )


def _values(source: Source, chosen: Chosen, smooth_um: float) -> list[list[NDArray[Any]]]:
    """For each row its planes."""
    indices = chosen.indices(source.grid)
    return [
        [read_plane(row, source.grid, chosen.plane, index, smooth_um=smooth_um) for index in indices]
        for row in source.rows
    ]


def _inside_brain(row: Sequence[NDArray[Any]], annotated: Sequence[AnnotatedPlane]) -> list[NDArray[Any]]:
    return [np.where(sampled(plane, each.shape) != 0, each, 0) for each, plane in zip(row, annotated, strict=True)]


def _panels(
    source: Source,
    brain: Brain,
    chosen: Chosen,
    annotated: Sequence[AnnotatedPlane],
    values: Sequence[Sequence[NDArray[Any]]],
    *,
    outlines: Outlines,
    emphasize: StructureRef | Sequence[StructureRef] | None,
    through: StructureRef | Sequence[StructureRef] | None,
    theme: Theme,
    backgrounds: Sequence[Layer] | None,
) -> list[Panel]:
    plane = chosen.plane
    ends = ends_of(plane, source.halves)
    titles = [title_of(plane, at, source.halves) for at in chosen.at_mm]
    columns = list(zip(*values, strict=True))
    behind: Sequence[Layer | None] = [None] * len(titles) if backgrounds is None else backgrounds
    if not annotated:
        box = extent_of(plane)
        return [
            Panel(title, box, ends, outline_of_data(column, source.grid.spacing_um), background=background)
            for title, column, background in zip(titles, columns, behind, strict=True)
        ]
    anatomy = anatomy_of(brain, outlines, emphasize, through)
    box = box_around(annotated, plane)
    return [
        panel_of(
            each,
            anatomy,
            title=title,
            ends=ends,
            box=box,
            theme=theme,
            signal=np.sum([np.abs(np.nan_to_num(part)) for part in column], axis=0),
            background=background,
        )
        for each, title, column, background in zip(annotated, titles, columns, behind, strict=True)
    ]


def _notes(
    source: Source,
    brain: Brain,
    chosen: Chosen,
    values: Sequence[Sequence[NDArray[Any]]],
    scales: Sequence[Scale],
    outlines: Outlines,
    smooth_um: float,
    region_only: StructureRef | Sequence[StructureRef] | None,
) -> list[str]:
    notes = [f"{fact}." for fact in source.facts]
    notes.append(f"{chosen.plane.words.capitalize()}{'; ' + chosen.why if chosen.why else ''}.")
    notes.append(scale_words(scales))
    if smooth_um:
        notes.append(f"Smoothed with a Gaussian of {smooth_um:g} µm (sd).")
    if region_only is not None:
        notes.append(f"Signal outside {joined([row.acronym for row in brain.named(region_only)], 'and')} is not shown.")
    notes += annotation_notes(brain, outlines)
    if any(bool(np.isnan(each).any()) for row in values for each in row):
        notes.append("Gray: no data (not 0).")
    return notes


def annotation_notes(brain: Brain, outlines: Outlines, words: str | None = None) -> list[str]:
    """What the footer says about the outlines; ``words`` name them if ``outlines`` does not."""
    if brain.file is None:
        return [NO_ANNOTATION]
    words = brain.outlined(outlines)[1] if words is None else words
    origin = "CCFv3, 2017" if brain.file.origin == "allen" else ANNOTATION_ORIGINS[brain.file.origin].words
    return [f"Outlines: {words}, annotation at {brain.file.grid.spacing_um} µm ({origin})."]


def row_label(label: str, n: int | None) -> str:
    """The label of a row with the number of experiments."""
    return label if n is None else f"{label}  (n = {n})"
