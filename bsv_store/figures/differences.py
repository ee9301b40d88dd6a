"""Differences of two groups by structure, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.figures.layout import MARGIN_MM, line_mm, new_page, text_mm, wrapped
from bsv_store.figures.style import SMALL_SIZE, WIDE_MM
from bsv_store.vocabulary import MEASURED_HEMISPHERES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bsv_store.figures.layout import Page
    from bsv_store.vocabulary import Theme

_SWATCH = 2.2
_AXIS_MM = 7.5
_ROW_MM = 4.0
_HEADS = ("p", "p max-t")


@dataclass(frozen=True, slots=True)
class Difference:
    """A structure in a hemisphere.

    Attributes
    ----------
    acronym, name, color : str
    hemisphere : str
        '' if all are in the same one.
    value, lower, upper : float
        What is drawn, with the ends of its interval; NaN = not known.
    number : str
        The first column beside it.
    p, p_corrected : float
        NaN = not tested.
    """

    acronym: str
    name: str
    color: str
    hemisphere: str
    value: float
    lower: float
    upper: float
    number: str
    p: float
    p_corrected: float


def draw_differences(
    rows: Sequence[Difference],
    *,
    quantity: str,
    higher: tuple[str, str],
    head: str,
    alpha: float,
    title: str,
    notes: Sequence[str],
    fingerprint: str | None,
    width_mm: float,
    theme: Theme,
    footer: bool,
) -> Figure:
    """A point with its interval for each structure, from top to bottom; filled where the corrected p is small.

    Parameters
    ----------
    higher : tuple of str
        Labels of the two groups: a difference above 0 means that the first is higher.
    head : str
        Heading of the first column beside the points.
    """
    labels = [_label(row, width_mm) for row in rows]
    heads = (head, *_HEADS)
    columns = [[row.number, _p(row.p), _p(row.p_corrected)] for row in rows]
    widths = [
        max(text_mm(text, SMALL_SIZE) for text in (name, *(each[at] for each in columns))) + 2.0
        for at, name in enumerate(heads)
    ]
    left = MARGIN_MM + _SWATCH + 1.2 + max(text_mm(label, SMALL_SIZE) for label in labels) + 1.0
    width = width_mm - left - MARGIN_MM - sum(widths)
    top = line_mm(SMALL_SIZE) + 1.0
    height = _ROW_MM * len(rows)
    page = new_page(
        body_mm=top + height + _AXIS_MM,
        width_mm=width_mm,
        theme=theme,
        title=title,
        notes=notes,
        fingerprint=fingerprint,
        footer=footer,
    )
    axes = page.axes(left, top, width, height)
    _draw_points(axes, rows, alpha, page)
    axes.set_xlabel(quantity, fontsize=SMALL_SIZE, labelpad=1.5, color=page.colors.ink)
    _draw_sides(page, axes, left, width, higher)
    _draw_labels(axes, rows, labels, width, page)
    x = left + width + 1.0
    for at, text in enumerate(heads):
        page.text(x, 0.0, text, size=SMALL_SIZE, color=page.colors.muted)
        for number, row in enumerate(columns):
            place = (x - left) / width
            axes.text(
                place, number, row[at], transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL_SIZE,
                color=page.colors.ink, clip_on=False,
            )  # fmt: skip
        x += widths[at]
    return page.figure


def _draw_points(axes: Axes, rows: Sequence[Difference], alpha: float, page: Page) -> None:
    colors = page.colors
    axes.axvline(0.0, color=colors.muted, linewidth=0.7, zorder=1)
    for number, row in enumerate(rows):
        if math.isfinite(row.lower) and math.isfinite(row.upper):
            axes.plot([row.lower, row.upper], [number, number], color=colors.ink, linewidth=0.9, zorder=2)
        # NaN is not significant.
        is_significant = row.p_corrected <= alpha
        axes.scatter(
            [row.value], [number], s=16, marker="o", zorder=3, linewidths=0.9, edgecolors=colors.ink,
            c=colors.ink if is_significant else colors.background,
        )  # fmt: skip
    ends = np.array([[row.value, row.lower, row.upper] for row in rows]).ravel()
    largest = float(np.max(np.abs(ends[np.isfinite(ends)]), initial=0.0)) or 1.0
    known = np.append(ends[np.isfinite(ends)], 0.0)
    lowest, highest = float(known.min()), float(known.max())
    axes.set_xlim(lowest - 0.06 * largest, highest + 0.06 * largest)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=SMALL_SIZE, length=2, width=0.6, pad=1.5, colors=colors.ink)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="x", color=colors.no_data, linewidth=0.4, alpha=0.6, zorder=0)
    axes.set_axisbelow(True)
    for place in ("top", "right", "left"):
        axes.spines[place].set_visible(False)
    axes.spines["bottom"].set(color=colors.ink, linewidth=0.6)


def _draw_sides(page: Page, axes: Axes, left: float, width: float, higher: tuple[str, str]) -> None:
    """Write which group is higher on which side of 0 above the axis, where there is enough space."""
    first, last = axes.get_xlim()
    zero = left + width * (0.0 - first) / (last - first)
    # Long labels are in the title, in this order.
    forms = [
        [f"{label} higher" for label in higher],
        higher,
        ["first group higher", "second group higher"],
        ["first", "second"],
    ]
    fitting: list[dict[float, str]] = []
    for words in forms:
        texts = (f"{words[0]} →", f"← {words[1]}")
        places = (zero + 0.6, zero - 0.6 - text_mm(texts[1], SMALL_SIZE))
        rooms = (left + width - zero, zero - left)
        fitting.append(
            {
                x: text
                for x, text, room in zip(places, texts, rooms, strict=True)
                if text_mm(text, SMALL_SIZE) <= room - 1
            }
        )
    # The first form that fits on both sides, or else on one of them.
    for x, text in max(fitting, key=len).items():
        page.text(x, 0.0, text, size=SMALL_SIZE, color=page.colors.muted)


def _label(row: Difference, width_mm: float) -> str:
    side = f" ({MEASURED_HEMISPHERES[row.hemisphere].short or row.hemisphere})" if row.hemisphere else ""
    if width_mm < WIDE_MM:
        return f"{row.acronym}{side}"
    return f"{wrapped(row.name, 54.0, SMALL_SIZE, lines=1)[0]}  {row.acronym}{side}"


def _draw_labels(axes: Axes, rows: Sequence[Difference], labels: Sequence[str], width: float, page: Page) -> None:
    style: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "clip_on": False}
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        axes.text(
            -(1.0 + _SWATCH) / width, number, label, ha="right", va="center", fontsize=SMALL_SIZE,
            color=page.colors.ink, **style,
        )  # fmt: skip
        axes.scatter(
            [-(0.4 + _SWATCH / 2) / width], [number], s=22, marker="s", c=row.color, edgecolors=page.colors.muted,
            linewidths=0.3, zorder=5, **style,
        )  # fmt: skip


def _p(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"
