"""Heat maps of the projection matrix, with the divisions of sources and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.figures.layout import MARGIN_MM, Page, line_mm, new_page, text_mm, wrapped
from bsv_store.figures.style import LABEL_SIZE, SMALL_SIZE, WIDE_MM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bsv_store.vocabulary import MatrixScale, Theme

_STRIP, _GAP = 1.6, 0.5
_BAR_MM, _BAR_WIDTH = 14.0, 2.4
_BODY_MM, _MIN_CELL, _MAX_CELL = 170.0, 0.45, 4.5
# A label needs this height in mm. If fewer than one in four labels can be drawn, none is.
_LABEL_MM, _MAX_STEP = 2.0, 4
_QUANTILE = 0.99
_CAPTIONS = {"both": "both hemispheres"}


@dataclass(frozen=True, slots=True)
class Division:
    """A major division: its place in the ontology, acronym and Allen's color."""

    number: int
    acronym: str
    color: str


@dataclass(frozen=True, slots=True)
class MatrixAxis:
    """Rows or columns.

    Attributes
    ----------
    name : str
        What they are, such as 'source'.
    labels : tuple of str
    divisions : tuple of Division or None
        Of each label.
    """

    name: str
    labels: tuple[str, ...]
    divisions: tuple[Division | None, ...]


def draw_matrix(
    panels: Mapping[str, NDArray[np.float64]],
    rows: MatrixAxis,
    columns: MatrixAxis,
    *,
    scale: MatrixScale,
    separators: bool,
    quantity: str,
    title: str,
    notes: Sequence[str],
    width_mm: float,
    theme: Theme,
    footer: bool,
    is_count: bool = False,
) -> Figure:
    """One panel for each hemisphere, side by side or, if the figure is narrow, one below the other.

    The color scale of counts has whole numbers only.
    """
    across = len(panels) if width_mm >= WIDE_MM else 1
    strip = _STRIP if any(rows.divisions) or any(columns.divisions) else 0.0
    down = -(-len(panels) // across)
    cell = float(np.clip(_BODY_MM / down / len(rows.labels), _MIN_CELL, _MAX_CELL))
    row_step = _step(cell)
    left = MARGIN_MM + strip + _GAP + _label_width(rows.labels, row_step)
    gap = 3.0
    width = (width_mm - left - _BAR_MM - MARGIN_MM - (across - 1) * (strip + gap)) / across
    wide_cell = min(width / len(columns.labels), 2 * _MAX_CELL)
    width = wide_cell * len(columns.labels)
    column_step = _step(wide_cell)
    below = _label_width(columns.labels, column_step)
    height, caption = cell * len(rows.labels), line_mm(LABEL_SIZE) + 0.8
    block = caption + strip + _GAP + height + below + 3.5
    key = _Key((*rows.divisions, *columns.divisions), width_mm - 2 * MARGIN_MM)
    limits = _limits(list(panels.values()), scale, is_count=is_count)
    page = new_page(
        body_mm=down * block + key.height,
        width_mm=width_mm,
        theme=theme,
        title=title,
        notes=[*notes, *_label_notes(rows, row_step), *_label_notes(columns, column_step)],
        fingerprint=None,
        footer=footer,
    )
    image = None
    for number, (name, values) in enumerate(panels.items()):
        x = left + (number % across) * (width + strip + gap)
        y = (number // across) * block
        page.text(x, y, _CAPTIONS.get(name, name), size=LABEL_SIZE, color=page.colors.ink)
        axes = page.axes(x, y + caption + strip + _GAP, width, height)
        axes.set_label(name)
        image = _draw_cells(axes, values, scale, limits, page)
        if separators:
            _separate(axes, rows, columns, page)
        is_first = number % across == 0
        _draw_labels(axes, rows if is_first else None, columns, row_step, column_step, strip, page)
        if strip:
            side = page.axes(x - _GAP - strip, y + caption + strip + _GAP, strip, height)
            _draw_strip(side, rows.divisions, page, vertical=True)
            _draw_strip(page.axes(x, y + caption, width, strip), columns.divisions, page, vertical=False)
    bar_left = left + across * width + (across - 1) * (strip + gap) + 2.0
    tall = float(np.clip(height, 14.0, 45.0))
    ticks = _whole_numbers(*limits) if is_count and scale == "linear" else None
    _draw_color_bar(page, image, bar_left, caption + strip + _GAP, tall, quantity, ticks)
    key.draw(page, down * block)
    return page.figure


def _step(cell: float) -> int | None:
    """Every how many cells a label fits; None if too few do."""
    step = int(np.ceil(_LABEL_MM / cell))
    return step if step <= _MAX_STEP else None


def _label_width(labels: Sequence[str], step: int | None) -> float:
    return 1.0 if step is None else 1.5 + max(text_mm(label, SMALL_SIZE) for label in labels[::step])


def _label_notes(axis: MatrixAxis, step: int | None) -> list[str]:
    if step is None:
        return [f"{len(axis.labels):,} {axis.name}s, too many for labels."]
    return [] if step == 1 else [f"One in {step} {axis.name}s is labeled."]


def _limits(panels: Sequence[NDArray[np.float64]], scale: MatrixScale, *, is_count: bool) -> tuple[float, float]:
    """The ends of the color scale."""
    values = np.concatenate([panel[np.isfinite(panel) & (panel > 0)] for panel in panels])
    if not values.size:
        return (0.1, 1.0) if scale == "log" else (0.0, 1.0)
    high = float(np.quantile(values, _QUANTILE))
    if is_count:
        high = float(np.ceil(high))
    if scale == "linear":
        return 0.0, high
    if scale == "log":
        low = float(10.0 ** np.floor(np.log10(np.quantile(values, 1 - 0.9))))
        return min(low, high / 10), high
    assert_never(scale)


def _draw_cells(
    axes: Axes, values: NDArray[np.float64], scale: MatrixScale, limits: tuple[float, float], page: Page
) -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm, Normalize

    low, high = limits
    colors = colormaps[page.colors.signal].with_extremes(bad=page.colors.no_data)
    norm = LogNorm(low, high) if scale == "log" else Normalize(low, high)
    # 0 is a measurement: on the logarithmic scale it gets the lowest color, not that of missing data.
    shown = np.where(values <= 0, low, values) if scale == "log" else values
    image = axes.imshow(shown, aspect="auto", interpolation="nearest", cmap=colors, norm=norm)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set(color=page.colors.line, linewidth=0.5)
    return image


def _borders(divisions: Sequence[Division | None]) -> list[int]:
    """Positions at which the division changes."""
    return [number for number in range(1, len(divisions)) if divisions[number] != divisions[number - 1]]


def _separate(axes: Axes, rows: MatrixAxis, columns: MatrixAxis, page: Page) -> None:
    style: dict[str, Any] = {"color": page.colors.line, "linewidth": 0.35}
    for at in _borders(rows.divisions):
        axes.axhline(at - 0.5, **style)
    for at in _borders(columns.divisions):
        axes.axvline(at - 0.5, **style)


def _draw_labels(
    axes: Axes,
    rows: MatrixAxis | None,
    columns: MatrixAxis,
    row_step: int | None,
    column_step: int | None,
    strip: float,
    page: Page,
) -> None:
    style: dict[str, Any] = {"fontsize": SMALL_SIZE, "color": page.colors.ink}
    at = [] if column_step is None else list(range(0, len(columns.labels), column_step))
    axes.set_xticks(at, [columns.labels[number] for number in at], rotation=90, va="top", **style)
    axes.tick_params(axis="x", pad=1)
    axes.set_xlabel(columns.name, fontsize=SMALL_SIZE, labelpad=1, color=page.colors.muted)
    at = [] if row_step is None or rows is None else list(range(0, len(rows.labels), row_step))
    axes.set_yticks(at, [] if rows is None else [rows.labels[number] for number in at], **style)
    axes.tick_params(axis="y", pad=1 + (strip + _GAP) * 72 / 25.4)


def _draw_strip(axes: Axes, divisions: Sequence[Division | None], page: Page, *, vertical: bool) -> None:
    """A bar in the colors of the divisions."""
    start = 0
    for division, same in groupby(divisions):
        length = len(list(same))
        color = page.colors.no_data if division is None else division.color
        if vertical:
            axes.axhspan(start - 0.5, start + length - 0.5, color=color, linewidth=0)
        else:
            axes.axvspan(start - 0.5, start + length - 0.5, color=color, linewidth=0)
        start += length
    if vertical:
        axes.set_ylim(len(divisions) - 0.5, -0.5)
    else:
        axes.set_xlim(-0.5, len(divisions) - 0.5)
    axes.set_axis_off()


def _whole_numbers(low: float, high: float) -> list[float]:
    """The labels of a color scale of counts."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(5, steps=(1, 2, 5, 10), integer=True).tick_values(low, high)
    return [float(value) for value in found if low <= value <= high]


def _draw_color_bar(
    page: Page, image: Any, left: float, top: float, height: float, quantity: str, ticks: Sequence[float] | None
) -> None:
    axes = page.axes(left, top, _BAR_WIDTH, height)
    bar = page.figure.colorbar(image, cax=axes, extend="max", extendfrac=0.04, ticks=ticks)
    lines = wrapped(quantity, max(height, 32.0), SMALL_SIZE, lines=2)
    bar.set_label("\n".join(lines), fontsize=SMALL_SIZE, color=page.colors.ink, labelpad=2)
    bar.ax.tick_params(which="both", labelsize=SMALL_SIZE, length=1.5, width=0.5, pad=1, colors=page.colors.ink)
    bar.outline.set(edgecolor=page.colors.line, linewidth=0.5)
    bar.ax.minorticks_off()


class _Key:
    """Colors and acronyms of the divisions, in lines below the matrix; gray for structures in none of them."""

    def __init__(self, divisions: Sequence[Division | None], width: float) -> None:
        self._width = width
        known = sorted({division for division in divisions if division is not None}, key=lambda each: each.number)
        self._places: list[tuple[float, float, Division | None, str]] = []
        x, y = 0.0, 1.0
        entries: list[tuple[Division | None, str]] = [(division, division.acronym) for division in known]
        if known and None in divisions:
            entries.append((None, "outside of these"))
        for division, words in entries:
            needed = 4.5 + text_mm(words, SMALL_SIZE)
            if x + needed > width:
                x, y = 0.0, y + line_mm(SMALL_SIZE)
            self._places.append((x, y, division, words))
            x += needed
        self.height = y + line_mm(SMALL_SIZE) + 1.0 if known else 0.0

    def draw(self, page: Page, top: float) -> None:
        """Draw it at a distance in mm from the top of the body."""
        if not self._places:
            return
        axes = page.axes(MARGIN_MM, top, self._width, self.height)
        axes.set_xlim(0, self._width)
        axes.set_ylim(self.height, 0)
        axes.set_axis_off()
        axes.set_label("divisions")
        for x, y, division, words in self._places:
            color = page.colors.no_data if division is None else division.color
            axes.scatter([x + 1.1], [y + 0.9], s=18, marker="s", c=color, edgecolors=page.colors.muted, linewidths=0.3)
            axes.text(x + 2.7, y + 0.9, words, fontsize=SMALL_SIZE, color=page.colors.ink, va="center")
