"""Bars of ranked structures, ipsilateral and contralateral, with standard errors and single animals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.figures.layout import MARGIN_MM, line_mm, new_page, text_mm, wrapped
from bsv_store.figures.style import LABEL_SIZE, SMALL_SIZE, WIDE_MM
from bsv_store.vocabulary import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bsv_store.figures.layout import Page
    from bsv_store.vocabulary import ThemeRow

# Ipsilateral and contralateral, by theme.
_COLORS: Mapping[Theme, tuple[str, str]] = {"light": ("#0072b2", "#e69f00"), "dark": ("#56b4e9", "#e69f00")}
_OUTSIDE_MM = 11.0
OUTSIDE_NOTE = "Triangles: animals beyond the axis, with their values."
_GAP = 3.5
_SWATCH = 2.2
_AXIS_MM = 7.5
_NAME_MM = 56.0
_MAX_DOTS = 60
# Animals beyond this quantile may lie outside of the axis, if the largest is more than twice as large.
_MOST, _TOLERATED = 0.99, 2.0


@dataclass(frozen=True, slots=True)
class Side:
    """The values of one hemisphere.

    Attributes
    ----------
    mean, sem : ndarray of float64, shape (structures,)
        The standard error is NaN for one animal.
    animals : ndarray of float64, shape (animals, structures)
    """

    mean: NDArray[np.float64]
    sem: NDArray[np.float64]
    animals: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """One panel: the targets of one selection.

    Attributes
    ----------
    label : str
    n : int
        Number of animals.
    sides : mapping of str to Side
        'ipsilateral' and 'contralateral'.
    """

    label: str
    n: int
    sides: Mapping[str, Side]


@dataclass(frozen=True, slots=True)
class RankedStructure:
    """A structure: acronym, name and Allen's color."""

    acronym: str
    name: str
    color: str


def draw_ranking(
    structures: Sequence[RankedStructure],
    rankings: Sequence[Ranking],
    *,
    quantity: str,
    title: str,
    notes: Sequence[str],
    width_mm: float,
    theme: Theme,
    footer: bool,
) -> Figure:
    """One panel for each selection, with the structures from top to bottom."""
    labels = _labels(structures, width_mm, len(rankings))
    row = max(line_mm(SMALL_SIZE) + 0.9, 4.2 if len(structures) <= 25 else 3.4)
    bars = row * len(structures)
    left = MARGIN_MM + _SWATCH + 1.2 + max(text_mm(label, SMALL_SIZE) for label in labels) + 1.0
    limit = _limit(rankings)
    has_outside = any((side.animals > limit).any() for each in rankings for side in each.sides.values())
    gap = _OUTSIDE_MM if has_outside else _GAP
    width = (width_mm - left - MARGIN_MM - gap * len(rankings)) / len(rankings)
    heads = [
        wrapped(f"{each.label} (n = {each.n})", width + gap - 1, LABEL_SIZE, lines=2, bold=True) for each in rankings
    ]
    head = max(len(lines) for lines in heads) * line_mm(LABEL_SIZE) + 1.0 if len(rankings) > 1 else 0.0
    key = line_mm(SMALL_SIZE) + 1.5
    page = new_page(
        body_mm=key + head + bars + _AXIS_MM,
        width_mm=width_mm,
        theme=theme,
        title=title,
        notes=[*notes, *([OUTSIDE_NOTE] if has_outside else [])],
        fingerprint=None,
        footer=footer,
    )
    _draw_key(page)
    for number, ranking in enumerate(rankings):
        x = left + number * (width + gap)
        if len(rankings) > 1:
            page.text(x, key, "\n".join(heads[number]), size=LABEL_SIZE, color=page.colors.ink, bold=True)
        axes = page.axes(x, key + head, width, bars)
        _draw_panel(axes, ranking, len(structures), limit, page.colors)
        axes.set_xlabel(quantity if number == 0 or len(rankings) <= 3 else "", fontsize=SMALL_SIZE, labelpad=1.5)
        axes.xaxis.label.set_color(page.colors.ink)
        if number == 0:
            _draw_labels(axes, structures, labels, width, page)
    return page.figure


def _labels(structures: Sequence[RankedStructure], width_mm: float, panels: int) -> list[str]:
    """Acronyms, with names where there is space."""
    if width_mm < WIDE_MM or panels > 3:
        return [each.acronym for each in structures]
    room = _NAME_MM if panels == 1 else _NAME_MM - 8.0
    names = [wrapped(each.name, room, SMALL_SIZE, lines=1)[0] for each in structures]
    return [f"{name}  {each.acronym}" for name, each in zip(names, structures, strict=True)]


def _limit(rankings: Sequence[Ranking]) -> float:
    """The end of the axis: behind all bars and most animals, because a few are often many times as large."""
    sides = [side for ranking in rankings for side in ranking.sides.values()]
    bars = max(float(np.nanmax(side.mean + np.nan_to_num(side.sem), initial=0.0)) for side in sides)
    animals = np.concatenate([side.animals.ravel() for side in sides])
    animals = animals[animals > 0]
    if not animals.size:
        return bars * 1.05 or 1.0
    largest, most = float(animals.max()), float(np.quantile(animals, _MOST))
    limit = max(bars * 1.25, most)
    return (largest if largest <= _TOLERATED * limit else limit) * 1.05


def _draw_panel(axes: Axes, ranking: Ranking, count: int, limit: float, colors: ThemeRow) -> None:
    height = 0.38
    for (name, side), color, shift in zip(
        ranking.sides.items(), _COLORS[colors.name], (-height / 2, height / 2), strict=True
    ):
        at = np.arange(count, dtype=np.float64) + np.float64(shift)
        axes.barh(at, side.mean, height, color=color, alpha=0.5, linewidth=0, label=name, zorder=2)
        known = np.isfinite(side.sem)
        if known.any():
            axes.errorbar(
                side.mean[known], at[known], xerr=side.sem[known], fmt="none", ecolor=colors.ink, elinewidth=0.7,
                capsize=1.3, capthick=0.7, zorder=4,
            )  # fmt: skip
        _draw_animals(axes, side.animals, at, height, color, name, colors)
        _mark_outside(axes, side.animals, at, limit, color, colors)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xlim(0, limit)
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=SMALL_SIZE, length=2, width=0.6, pad=1.5, colors=colors.ink)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="x", color=colors.no_data, linewidth=0.4, alpha=0.6, zorder=0)
    axes.set_axisbelow(True)
    for place in ("top", "right"):
        axes.spines[place].set_visible(False)
    for place in ("left", "bottom"):
        axes.spines[place].set(color=colors.ink, linewidth=0.6)


def _draw_animals(
    axes: Axes, animals: NDArray[np.float64], at: NDArray[np.float64], height: float, color: str, name: str,
    colors: ThemeRow,
) -> None:  # fmt: skip
    """A dot for each animal; those of a structure are spread over the height of the bar, always in the same way."""
    count = len(animals)
    spread = ((np.arange(count) * 0.618034) % 1 - 0.5) * height * 0.8 if count > 1 else np.zeros(count)
    axes.scatter(
        animals.ravel(),
        (at[None, :] + spread[:, None]).ravel(),
        s=4.0 if count <= _MAX_DOTS else 1.5,
        c=color,
        edgecolors=colors.background,
        linewidths=0.25 if count <= _MAX_DOTS else 0.0,
        alpha=0.9 if count <= _MAX_DOTS else 0.4,
        zorder=3,
        label=f"{name} animals",
    )


def _mark_outside(
    axes: Axes, animals: NDArray[np.float64], at: NDArray[np.float64], limit: float, color: str, colors: ThemeRow
) -> None:
    """A triangle at the end of the axis where animals lie outside, with their values."""
    for number, place in enumerate(at):
        outside = np.sort(animals[animals[:, number] > limit, number])
        if outside.size:
            style: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "clip_on": False, "zorder": 6}
            axes.scatter([1.0], [place], s=8, marker=">", c=color, linewidths=0, **style)
            values = [f"{value:.3g}" for value in outside]
            text = ", ".join(values) if len(values) <= 2 else f"{len(values)}, ≤ {values[-1]}"
            axes.text(1.0, place, f"  {text}", va="center", fontsize=SMALL_SIZE - 0.5, color=colors.muted, **style)


def _draw_key(page: Page) -> None:
    """Squares and names of the two hemispheres, above the panels."""
    axes = page.axes(MARGIN_MM, 0, page.width_mm - 2 * MARGIN_MM, line_mm(SMALL_SIZE))
    axes.set_xlim(0, page.width_mm - 2 * MARGIN_MM)
    axes.set_ylim(0, 1)
    axes.set_axis_off()
    axes.set_label("legend")
    x = 0.0
    for text, color in zip(("ipsilateral", "contralateral"), _COLORS[page.colors.name], strict=True):
        axes.scatter([x + 1.0], [0.5], s=18, marker="s", c=color, alpha=0.7, linewidths=0)
        axes.text(x + 2.6, 0.5, text, fontsize=SMALL_SIZE, color=page.colors.ink, va="center")
        x += 5.0 + text_mm(text, SMALL_SIZE)
    words = "bar: mean ± SEM   dot: animal"
    axes.text(x, 0.5, words, fontsize=SMALL_SIZE, color=page.colors.muted, va="center")


def _draw_labels(
    axes: Axes, structures: Sequence[RankedStructure], labels: Sequence[str], width: float, page: Page
) -> None:
    """Names to the left of the bars, and swatches in Allen's colors at the edge."""
    from matplotlib.transforms import blended_transform_factory

    place = blended_transform_factory(axes.transAxes, axes.transData)
    for number, (structure, label) in enumerate(zip(structures, labels, strict=True)):
        axes.text(
            -(1.0 + _SWATCH) / width, number, label, transform=place, ha="right", va="center", fontsize=SMALL_SIZE,
            color=page.colors.ink,
        )  # fmt: skip
        axes.scatter(
            [-(0.4 + _SWATCH / 2) / width], [number], s=22, marker="s", c=structure.color, transform=place,
            clip_on=False, edgecolors=page.colors.muted, linewidths=0.3, zorder=5,
        )  # fmt: skip
