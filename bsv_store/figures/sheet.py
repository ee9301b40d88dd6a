"""Figures of many groups: a sheet of tiles, each with a view from above and one from the front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.figures.panels import (
    EXTENT_MM,
    NO_EXPERIMENTS,
    OUTLINE_COLOR,
    VIEWS,
    Panels,
    Scene,
    bin_lines,
    finish,
    heading_height,
    outline_of,
    show,
    text_width,
    titles_of,
)
from bsv_store.figures.style import figure_class

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHEET_VIEWS = VIEWS[:2]

_Segment = NDArray[np.float64]
# Up to this number of groups, tiles are larger.
_LARGE_TILES = 40
_ASPECT = 1.4


class _Layout:
    """Positions of the tiles, in inches from the top left."""

    margin_left, margin_right, margin_bottom = 0.3, 1.25, 0.5
    gap, view_gap = 0.14, 0.05

    def __init__(self, scene: Scene) -> None:
        groups = len(scene.panels)
        large = groups <= _LARGE_TILES
        self.width = 1.6 if large else 1.15
        self.font_size = 7.5 if large else 6.0
        self.line = 1.25 * self.font_size / 72
        # Characters are about half as wide as high.
        self.characters = int(self.width / (0.56 * self.font_size / 72))
        self.titles = titles_of(scene, self.characters)
        self.heights = [self.width * EXTENT_MM[view.down] / EXTENT_MM[view.right] for view in SHEET_VIEWS]
        self.title = 3 * self.line + 0.04
        tile_height = self.title + sum(self.heights) + self.view_gap + self.gap
        tile_width = self.width + self.gap
        self.columns = max(1, min(groups, round((_ASPECT * groups * tile_height / tile_width) ** 0.5)))
        rows = -(-groups // self.columns)
        self.tile = (tile_width, tile_height)
        right = self.margin_left + self.columns * tile_width
        width = right + self.margin_right
        self.middle = (self.margin_left + right) / 2 / width
        self.margin_top = heading_height(scene, text_width((width, 1), self.middle)) + 0.15
        self.size = (width, self.margin_top + rows * tile_height + self.margin_bottom)
        tall = min(rows * tile_height - self.title - self.gap, 4.5)
        bottom = self.size[1] - self.margin_top - self.title - tall
        self.bar = ((right + 0.05) / self.size[0], bottom / self.size[1], 0.16 / self.size[0], tall / self.size[1])

    def corner(self, number: int) -> tuple[float, float]:
        """Left and top edge of a tile."""
        row, column = divmod(number, self.columns)
        return self.margin_left + column * self.tile[0], self.margin_top + row * self.tile[1]


def draw_sheet(scene: Scene) -> Figure:
    """The figure; all tiles share one Axes, since hundreds of Axes would take minutes and gigabytes."""
    layout = _Layout(scene)
    figure: Figure = figure_class()(figsize=layout.size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    outlines = [outline_of(signal, view) for signal, view in zip(scene.outlines, SHEET_VIEWS, strict=True)]
    lines: list[_Segment] = []
    dashes: list[_Segment] = []
    image = None
    for number, panels in enumerate(scene.panels):
        left, top = layout.corner(number)
        _title(axes, layout, layout.titles[number], left, top)
        top += layout.title
        for row, view in enumerate(SHEET_VIEWS):
            extent = (left, left + layout.width, top + layout.heights[row], top)
            image = show(axes, scene, panels.images[row], extent, aspect="auto")
            scale = layout.width / EXTENT_MM[view.right]
            lines += [np.array([left, top]) + scale * segment for segment in outlines[row]]
            dashes += _edges(scene, panels, row, left, top, scale)
            if panels.group.n == 0:
                at = (left + layout.width / 2, top + 0.92 * layout.heights[row])
                axes.text(
                    *at, NO_EXPERIMENTS, color=scene.line_color, fontsize=layout.font_size, ha="center", va="bottom"
                )
            top += layout.heights[row] + layout.view_gap
    _add_lines(axes, lines, color=OUTLINE_COLOR, linewidths=0.5)
    _add_lines(axes, dashes, color=scene.line_color, linewidths=0.5, linestyles=(0, (4, 3)), alpha=0.8)
    _orient(axes, layout, scene.line_color)
    axes.set_xlim(0, layout.size[0])
    axes.set_ylim(layout.size[1], 0)
    notes = ["Tiles: from above (anterior up, left on the left) and from the front (dorsal up); bar: 5 mm."]
    finish(figure, scene, image, size=layout.size, bar=layout.bar, middle=layout.middle, notes=notes)
    return figure


def _title(axes: Axes, layout: _Layout, text: str, left: float, top: float) -> None:
    bottom = top + layout.title - 0.04
    axes.text(left, bottom, text, fontsize=layout.font_size, ha="left", va="bottom", linespacing=1.1)


def _edges(scene: Scene, panels: Panels, row: int, left: float, top: float, scale: float) -> list[_Segment]:
    view = SHEET_VIEWS[row]
    width, height = scale * EXTENT_MM[view.right], scale * EXTENT_MM[view.down]
    segments = []
    for direction, at_mm in bin_lines(scene, view, panels.group):
        at = scale * at_mm
        ends = [(at, 0.0), (at, height)] if direction == "x" else [(0.0, at), (width, at)]
        segments.append(np.array([left, top]) + np.array(ends))
    return segments


def _add_lines(axes: Axes, segments: list[_Segment], **style: Any) -> None:
    from matplotlib.collections import LineCollection

    axes.add_collection(LineCollection(segments, **style))


def _orient(axes: Axes, layout: _Layout, ink: str) -> None:
    """Label the first tile with directions and a scale bar of 5 mm."""
    left, top = layout.corner(0)
    top, bottom = top + layout.title, top + layout.title + layout.heights[0]
    for text, x, align in (("L", left + 0.03, "left"), ("R", left + layout.width - 0.03, "right")):
        axes.text(x, top + 0.02, text, color=ink, fontsize=layout.font_size, ha=align, va="top", alpha=0.8)
    length = 5 * layout.width / EXTENT_MM[2]
    axes.plot([left + 0.05, left + 0.05 + length], [bottom - 0.05] * 2, color=ink, linewidth=1.5)
