"""Figures of up to ten groups: three views of each group, with axes in mm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bsv_store.figures.panels import (
    AXIS_NAMES,
    EXTENT_MM,
    NO_EXPERIMENTS,
    OUTLINE_COLOR,
    VIEWS,
    PlottedGroup,
    Scene,
    View,
    bin_lines,
    finish,
    heading_height,
    outline_of,
    show,
    text_width,
    titles_of,
)
from bsv_store.figures.style import figure_class
from bsv_store.volumes.grid import MIDLINE_UM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5


_TITLE_SIZE = 9


class _Layout:
    """Positions of the panels, in inches from the top left: one column per group, three rows of views."""

    panel_width = 2.3
    margin_left, margin_right = 0.8, 1.25
    gap, row_gap = 0.12, 0.47

    def __init__(self, scene: Scene) -> None:
        groups = len(scene.panels)
        self.columns = min(COLUMNS, groups)
        self.width = self.margin_left + self.columns * (self.panel_width + self.gap) + self.margin_right
        self.text_width = text_width((self.width, 1), self.middle)
        self.margin_top = heading_height(scene, self.text_width) + 0.05
        # Characters are about half as wide as high.
        characters = int(self.panel_width / (0.56 * _TITLE_SIZE / 72))
        self.titles = titles_of(scene, characters)
        self.title = 0.1 + max(title.count("\n") + 1 for title in self.titles) * 1.25 * _TITLE_SIZE / 72
        # The notes take one or two lines, or up to five if the figure is narrow.
        margin_bottom = 0.45 if self.width > 8 else 0.85
        bands = -(-groups // self.columns)
        self.heights = [self.panel_width * EXTENT_MM[view.down] / EXTENT_MM[view.right] for view in VIEWS]
        self.band = self.title + sum(self.heights) + len(VIEWS) * self.row_gap
        self.height = self.margin_top + bands * self.band + margin_bottom

    def panel(self, number: int, row: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a panel, as fractions of the figure."""
        band, column = divmod(number, self.columns)
        left = self.margin_left + column * (self.panel_width + self.gap)
        above = sum(self.heights[: row + 1]) + row * self.row_gap
        bottom = self.height - self.margin_top - band * self.band - self.title - above
        return self.fractions(left, bottom, self.panel_width, self.heights[row])

    def color_bar(self) -> tuple[float, float, float, float]:
        """Position of the color bar, to the right of the first band of panels."""
        tall = min(self.band - self.title - self.row_gap, 4.5)
        bottom = self.height - self.margin_top - self.title - tall
        return self.fractions(self.width - self.margin_right + 0.1, bottom, 0.16, tall)

    @property
    def middle(self) -> float:
        """Horizontal center of the panels, as a fraction of the figure width."""
        return (self.margin_left + (self.width - self.margin_right)) / 2 / self.width

    def fractions(self, left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Convert inches to fractions of the figure."""
        return left / self.width, bottom / self.height, width / self.width, height / self.height


def draw_axes(scene: Scene) -> Figure:
    """The figure: one column per group with its views below each other, in bands of five groups."""
    layout = _Layout(scene)
    outlines = [outline_of(signal, view) for signal, view in zip(scene.outlines, VIEWS, strict=True)]
    figure: Figure = figure_class()(figsize=(layout.width, layout.height))
    image = None
    for number, panels in enumerate(scene.panels):
        for row, view in enumerate(VIEWS):
            axes = figure.add_axes(layout.panel(number, row))
            extent = (0, EXTENT_MM[view.right], EXTENT_MM[view.down], 0)
            image = show(axes, scene, panels.images[row], extent, aspect="equal")
            for line in outlines[row]:
                axes.plot(line[:, 0], line[:, 1], color=OUTLINE_COLOR, linewidth=0.7)
            _draw_bin(axes, scene, view, panels.group)
            _label(axes, view, scene.line_color, first=number % layout.columns == 0)
            if row == 0:
                axes.set_title(layout.titles[number], fontsize=_TITLE_SIZE, pad=4)
            if panels.group.n == 0:
                axes.text(
                    0.5,
                    0.06,
                    NO_EXPERIMENTS,
                    transform=axes.transAxes,
                    color=scene.line_color,
                    ha="center",
                    va="bottom",
                )
    size = (layout.width, layout.height)
    finish(figure, scene, image, size=size, bar=layout.color_bar(), middle=layout.middle, notes=())
    return figure


def _draw_bin(axes: Axes, scene: Scene, view: View, group: PlottedGroup) -> None:
    style: dict[str, Any] = {"color": scene.line_color, "linewidth": 0.7, "linestyle": (0, (4, 3)), "alpha": 0.8}
    for direction, at_mm in bin_lines(scene, view, group):
        (axes.axvline if direction == "x" else axes.axhline)(at_mm, **style)


_ENDS = {"AP": ("A", "P"), "DV": ("D", "V"), "ML": ("L", "R")}


def _label(axes: Axes, view: View, ink: str, *, first: bool) -> None:
    right, down = AXIS_NAMES[view.right], AXIS_NAMES[view.down]
    axes.set_xlabel(f"{right} (mm)", fontsize=8, labelpad=1)
    if first:
        axes.set_ylabel(f"{view.name}\n{down} (mm)", fontsize=8)
    else:
        axes.set_yticklabels([])
    axes.tick_params(labelsize=7, length=2, pad=2)
    axes.set_xticks(range(0, int(EXTENT_MM[view.right]) + 1, 4))
    axes.set_yticks(range(0, int(EXTENT_MM[view.down]) + 1, 4))
    if right == "ML":
        axes.axvline(MIDLINE_UM / 1000, color=ink, linewidth=0.4, alpha=0.25)
    for text, x, horizontal in zip(_ENDS[right], (0.02, 0.98), ("left", "right"), strict=True):
        axes.text(x, 0.97, text, transform=axes.transAxes, color=ink, fontsize=7, ha=horizontal, va="top", alpha=0.8)
