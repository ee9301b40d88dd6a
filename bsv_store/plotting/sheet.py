"""A picture of many groups: a sheet of tiles, each from above and from the front, all on one scale."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.aggregation.assignment import CROSSED
from bsv_store.plotting.panels import MM, OUTLINE, VIEWS, Panels, Scene, bin_lines, figure_class, finish, show, smoothed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHEET_VIEWS = VIEWS[:2]

_Segment = NDArray[np.float64]
# Up to here tiles are larger, as there is room.
_LARGE_TILES = 40
_ASPECT = 1.4


class _Layout:
    """Where the tiles go, in inches from the left and the top."""

    margin_left, margin_right, margin_top, margin_bottom = 0.3, 1.25, 0.7, 0.5
    gap, view_gap = 0.14, 0.05

    def __init__(self, groups: int) -> None:
        large = groups <= _LARGE_TILES
        self.width = 1.6 if large else 1.15
        self.font_size = 7.5 if large else 6.0
        self.line = 1.25 * self.font_size / 72
        # Half the height of a letter is its width, about.
        self.letters = int(self.width / (0.56 * self.font_size / 72))
        self.heights = [self.width * MM[view.down] / MM[view.right] for view in SHEET_VIEWS]
        self.title = 3 * self.line + 0.04
        tile_height = self.title + sum(self.heights) + self.view_gap + self.gap
        tile_width = self.width + self.gap
        self.columns = max(1, min(groups, round((_ASPECT * groups * tile_height / tile_width) ** 0.5)))
        rows = -(-groups // self.columns)
        self.tile = (tile_width, tile_height)
        right = self.margin_left + self.columns * tile_width
        self.size = (right + self.margin_right, self.margin_top + rows * tile_height + self.margin_bottom)
        self.middle = (self.margin_left + right) / 2 / self.size[0]
        tall = min(rows * tile_height - self.title - self.gap, 4.5)
        bottom = self.size[1] - self.margin_top - self.title - tall
        self.bar = ((right + 0.05) / self.size[0], bottom / self.size[1], 0.16 / self.size[0], tall / self.size[1])

    def corner(self, number: int) -> tuple[float, float]:
        """Left and top of a tile."""
        row, column = divmod(number, self.columns)
        return self.margin_left + column * self.tile[0], self.margin_top + row * self.tile[1]


def draw_sheet(scene: Scene) -> Figure:
    """The figure; all tiles lie in one pair of axes, since hundreds of them would take minutes and gigabytes."""
    layout = _Layout(len(scene.panels))
    figure: Figure = figure_class()(figsize=layout.size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    outlines = [_outline(signal, view) for signal, view in zip(scene.outlines, range(len(SHEET_VIEWS)), strict=True)]
    lines: list[_Segment] = []
    dashes: list[_Segment] = []
    image = None
    for number, panels in enumerate(scene.panels):
        left, top = layout.corner(number)
        _title(axes, layout, panels, left, top)
        top += layout.title
        for row, view in enumerate(SHEET_VIEWS):
            extent = (left, left + layout.width, top + layout.heights[row], top)
            image = show(axes, scene, panels.images[row], extent, aspect="auto")
            scale = layout.width / MM[view.right]
            lines += [np.array([left, top]) + scale * segment for segment in outlines[row]]
            dashes += _edges(scene, panels, row, left, top, scale)
            top += layout.heights[row] + layout.view_gap
    _add_lines(axes, lines, color=OUTLINE, linewidths=0.5)
    _add_lines(axes, dashes, color=scene.ink, linewidths=0.5, linestyles=(0, (4, 3)), alpha=0.8)
    _orient(axes, layout, scene.ink)
    axes.set_xlim(0, layout.size[0])
    axes.set_ylim(layout.size[1], 0)
    notes = ["Tiles: from above (anterior up, left on the left) and from the front (dorsal up); bar: 5 mm."]
    finish(figure, scene, image, size=layout.size, bar=layout.bar, middle=layout.middle, notes=notes)
    return figure


def _title(axes: Axes, layout: _Layout, panels: Panels, left: float, top: float) -> None:
    label, widest = panels.group.label, layout.letters
    # The two factors of a crossed grouping get a line each where one is too short for both.
    parts = [label] if len(label) <= widest or CROSSED not in label else label.split(CROSSED, 1)
    if len(parts) == 1:
        lines = textwrap.wrap(label, widest, max_lines=2, placeholder=" …", break_on_hyphens=False)
    else:
        lines = [textwrap.shorten(part, widest, placeholder=" …") for part in parts]
    text = "\n".join([*lines, f"n = {panels.group.n}"])
    bottom = top + layout.title - 0.04
    axes.text(left, bottom, text, fontsize=layout.font_size, ha="left", va="bottom", linespacing=1.1)


def _outline(signal: NDArray[np.bool_], number: int) -> list[_Segment]:
    """The outline of a view as lines of points (right, down) in mm."""
    view, smooth = SHEET_VIEWS[number], smoothed(signal)
    rows, columns = smooth.shape
    x = (np.arange(columns) + 0.5) * MM[view.right] / columns
    y = (np.arange(rows) + 0.5) * MM[view.down] / rows
    if not (smooth.min() < 0.5 < smooth.max()):
        return []
    # On a figure that is thrown away: only the points are wanted, once for all tiles.
    contours = figure_class()().add_subplot().contour(x, y, smooth, levels=[0.5])
    return [np.asarray(line) for line in contours.allsegs[0]]


def _edges(scene: Scene, panels: Panels, row: int, left: float, top: float, scale: float) -> list[_Segment]:
    view = SHEET_VIEWS[row]
    width, height = scale * MM[view.right], scale * MM[view.down]
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
    """Directions and a bar of 5 mm on the first tile."""
    left, top = layout.corner(0)
    top, bottom = top + layout.title, top + layout.title + layout.heights[0]
    for text, x, align in (("L", left + 0.03, "left"), ("R", left + layout.width - 0.03, "right")):
        axes.text(x, top + 0.02, text, color=ink, fontsize=layout.font_size, ha=align, va="top", alpha=0.8)
    length = 5 * layout.width / MM[2]
    axes.plot([left + 0.05, left + 0.05 + length], [bottom - 0.05] * 2, color=ink, linewidth=1.5)
