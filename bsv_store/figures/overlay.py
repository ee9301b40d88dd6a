"""Several sources in one montage of slices, each in its own color."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import InputError
from bsv_store.figures.brain import Brain
from bsv_store.figures.layout import printed, title_or
from bsv_store.figures.montage import draw
from bsv_store.figures.plane_anatomy import (
    anatomy_of,
    box_around,
    ends_of,
    extent_of,
    legend_of,
    outline_of_data,
    panel_of,
    title_of,
)
from bsv_store.figures.plane_values import checked_smoothing, read_plane
from bsv_store.figures.planes import DEFAULT_PLANES, plane_row
from bsv_store.figures.scale import QUANTILE, check_scale, has_both_signs, scale_of
from bsv_store.figures.sheet import Layer, Panel, Row, Sheet
from bsv_store.figures.slices import annotation_notes, choose, row_label
from bsv_store.figures.sources import Source, SourceRow
from bsv_store.figures.style import GROUP_COLORS, PAGE_MM, theme_row
from bsv_store.text import joined

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bsv_store.catalog.structures import StructureRef
    from bsv_store.figures.brain import Outlines
    from bsv_store.figures.scale import Scale
    from bsv_store.vocabulary import ColorScale, Plane, Theme


@dataclass(frozen=True, slots=True, eq=False)
class OverlaidSource:
    """A source with the label of its color."""

    row: SourceRow
    label: str
    quantity: str


def draw_overlay(
    overlaid: Sequence[OverlaidSource],
    source: Source,
    brain: Brain,
    *,
    colors: Sequence[str] | None = None,
    plane: Plane = "coronal",
    through: StructureRef | Sequence[StructureRef] | None = None,
    at_mm: float | Sequence[float] | None = None,
    count: int | None = None,
    outlines: Outlines = None,
    emphasize: StructureRef | Sequence[StructureRef] | None = None,
    smooth_um: float = 0,
    scale: ColorScale = "power",
    vmax: float | None = None,
    shared: bool = False,
    quantile: float = QUANTILE,
    title: str | None = None,
    width_mm: float = PAGE_MM,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """The figure of `bsv_store.reports.overlay`; ``source`` has all rows, for choosing planes."""
    background = theme_row(theme).background
    orientation, smooth = plane_row(plane), checked_smoothing(smooth_um)
    name, _, vmax, quantile = check_scale(scale, vmin=None, vmax=vmax, quantile=quantile)
    shades = _checked_colors(colors, len(overlaid))
    quantities = list(dict.fromkeys(each.quantity for each in overlaid))
    if shared and len(quantities) > 1:
        raise InputError(
            f"sources on one scale must have the same quantity, got {' and '.join(quantities)}",
            hint="Leave out shared=True (--shared).",
        )
    if not brain.has_annotation:
        for argument, value in (("emphasize", emphasize), ("outlines", outlines)):
            if value is not None:
                brain.require(argument)
    if count is None and at_mm is None:
        count = DEFAULT_PLANES
    chosen = choose(source, brain, orientation, through=through, at_mm=at_mm, count=count, width_mm=width_mm)
    indices = chosen.indices(source.grid)
    values = [
        [read_plane(each.row, source.grid, orientation, index, smooth_um=smooth) for index in indices]
        for each in overlaid
    ]
    if has_both_signs(part for row in values for part in row):
        raise InputError(
            "an overlay cannot show negative values", hint="Use slices, which has a color scale of both signs."
        )
    together = [[part for row in values for part in row]] if shared else values
    found = [scale_of(arrays, theme=theme, scale=name, vmax=vmax, quantile=quantile) for arrays in together] * (
        len(overlaid) if shared else 1
    )
    strengths = [
        [np.nan_to_num(np.ma.filled(own.norm(np.nan_to_num(part)), 0)) for part in row]
        for row, own in zip(values, found, strict=True)
    ]
    extent = extent_of(orientation)
    layers = [
        [Layer(blended([row[number] for row in strengths], shades, background), extent)]
        for number in range(len(indices))
    ]
    titles = [title_of(orientation, at, source.halves) for at in chosen.at_mm]
    ends = ends_of(orientation, source.halves)
    columns = list(zip(*values, strict=True))
    if brain.has_annotation:
        annotated = brain.planes(orientation, chosen.centers_um(source.grid))
        anatomy, box = anatomy_of(brain, outlines, emphasize, through), box_around(annotated, orientation)
        panels = [
            panel_of(
                each, anatomy, title=text, ends=ends, box=box, theme=theme,
                signal=np.sum([np.nan_to_num(part) for part in column], axis=0),
            )
            for each, text, column in zip(annotated, titles, columns, strict=True)
        ]  # fmt: skip
    else:
        panels = [
            Panel(text, extent, ends, outline_of_data(column, source.grid.spacing_um))
            for text, column in zip(titles, columns, strict=True)
        ]
    if shared:
        ends_words = f"One scale for all: {found[0].words}"
    else:
        highs = _ends_words(found, [each.label for each in overlaid])
        chosen_by = f" (the {quantile:g} quantile of the non-zero values)" if vmax is None else ""
        ends_words = f"Full color at {highs}{chosen_by}."
    joined_quantities = "; ".join(quantities)
    notes = [
        f"{joined_quantities[:1].upper()}{joined_quantities[1:]}.",
        *(f"{fact}." for fact in dict.fromkeys(source.facts)),
        f"{orientation.words.capitalize()}{'; ' + chosen.why if chosen.why else ''}.",
        ends_words,
        *annotation_notes(brain, outlines),
    ]
    legend = [
        *((color, row_label(each.label, each.row.n)) for color, each in zip(shades, overlaid, strict=True)),
        *legend_of(brain, emphasize, theme),
    ]
    sheet = Sheet(
        title=title_or(title, source.title),
        panels=panels,
        rows=[Row("", layers)],
        quantity="",
        legend=legend,
        notes=notes,
        fingerprint=source.fingerprint,
    )
    return draw(sheet, width_mm=width_mm, theme=theme, footer=footer)


def _ends_words(scales: Sequence[Scale], labels: Sequence[str]) -> str:
    """The values with the full color, by source unless they are equal."""
    highs = [f"{own.high:.2g}" for own in scales]
    if len(set(highs)) == 1:
        return highs[0]
    return joined([f"{high} ({printed(label)})" for high, label in zip(highs, labels, strict=True)], "and")


def blended(strengths: Sequence[NDArray[Any]], colors: Sequence[str], background: str) -> NDArray[np.float64]:
    """The colors of pixels with several sources: like inks on a light background, like lights on a dark one.

    Parameters
    ----------
    strengths : sequence of ndarray, shape (down, right)
        From 0 to 1, one per source.
    colors : sequence of str
    background : str

    Returns
    -------
    ndarray of float64, shape (down, right, 4)
        Over the background, they give the sum of the inks or lights; transparent without signal.
    """
    from matplotlib.colors import to_rgb

    paper = np.array(to_rgb(background))
    is_light = paper.mean() > 0.5
    rest = np.ones((*strengths[0].shape, 3))
    for strength, color in zip(strengths, colors, strict=True):
        ink = np.array(to_rgb(color))
        rest *= 1 - strength[..., None] * ((1 - ink) if is_light else ink)
    seen = rest * paper if is_light else 1 - rest * (1 - paper)
    alpha = np.clip(1 - np.prod([1 - strength for strength in strengths], axis=0), 0, 1)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        shade = np.where(alpha > 0, (seen - (1 - alpha) * paper) / alpha, 0)
    return np.concatenate([np.clip(shade, 0, 1), alpha], axis=-1)


def _checked_colors(colors: Sequence[str] | None, count: int) -> list[str]:
    """One color for each source.

    Raises
    ------
    InputError
        If there are not enough colors, or one is not a color.
    """
    from matplotlib.colors import is_color_like

    chosen = list(GROUP_COLORS if colors is None else [colors] if isinstance(colors, str) else colors)
    for color in chosen:
        if not is_color_like(color):
            raise InputError(f"colors must be colors, got {color!r}", hint="For example: '#0072b2' or 'tab:blue'.")
    if not 1 <= count <= len(chosen):
        raise InputError(
            f"{count} sources cannot be told apart with {len(chosen)} colors",
            hint="Draw fewer sources, or name more colors=.",
        )
    return chosen[:count]
