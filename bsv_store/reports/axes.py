"""A picture of a few groups: three views of each, with axes in millimeters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bsv_store.reports.panels import (
    AXIS_NAMES,
    MM,
    NOBODY,
    OUTLINE,
    VIEWS,
    PlottedGroup,
    Scene,
    View,
    bin_lines,
    figure_class,
    finish,
    heading_height,
    outline_of,
    show,
    text_width,
    titles_of,
)
from bsv_store.volumes.grid import MIDLINE_UM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5


_TITLE_SIZE = 9


class _Layout:
    """Where the panels go, in inches from the left and the top: one column a group, three rows for its views."""

    panel_width = 2.3
    margin_left, margin_right = 0.8, 1.25
    gap, row_gap = 0.12, 0.47

    def __init__(self, scene: Scene) -> None:
        groups = len(scene.panels)
        self.columns = min(COLUMNS, groups)
        self.width = self.margin_left + self.columns * (self.panel_width + self.gap) + self.margin_right
        self.text_width = text_width((self.width, 1), self.middle)
        self.margin_top = heading_height(scene, self.text_width) + 0.05
        # Half the height of a letter is its width, about.
        letters = int(self.panel_width / (0.56 * _TITLE_SIZE / 72))
        self.titles = titles_of(scene, letters)
        self.title = 0.1 + max(title.count("\n") + 1 for title in self.titles) * 1.25 * _TITLE_SIZE / 72
        # The notes at the foot take one line or two, or up to five where the picture is narrow.
        margin_bottom = 0.45 if self.width > 8 else 0.85
        bands = -(-groups // self.columns)
        self.heights = [self.panel_width * MM[view.down] / MM[view.right] for view in VIEWS]
        self.band = self.title + sum(self.heights) + len(VIEWS) * self.row_gap
        self.height = self.margin_top + bands * self.band + margin_bottom

    def panel(self, number: int, row: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a panel as fractions of the figure."""
        band, column = divmod(number, self.columns)
        left = self.margin_left + column * (self.panel_width + self.gap)
        above = sum(self.heights[: row + 1]) + row * self.row_gap
        bottom = self.height - self.margin_top - band * self.band - self.title - above
        return self.fractions(left, bottom, self.panel_width, self.heights[row])

    def color_bar(self) -> tuple[float, float, float, float]:
        """The color bar, to the right of the first band."""
        tall = min(self.band - self.title - self.row_gap, 4.5)
        bottom = self.height - self.margin_top - self.title - tall
        return self.fractions(self.width - self.margin_right + 0.1, bottom, 0.16, tall)

    @property
    def middle(self) -> float:
        """Middle of the panels, as a fraction of the width."""
        return (self.margin_left + (self.width - self.margin_right)) / 2 / self.width

    def fractions(self, left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Inches as fractions of the figure."""
        return left / self.width, bottom / self.height, width / self.width, height / self.height


def draw_axes(scene: Scene) -> Figure:
    """The figure: one column a group, its views below each other; more groups go on in the next band."""
    layout = _Layout(scene)
    outlines = [outline_of(signal, view) for signal, view in zip(scene.outlines, VIEWS, strict=True)]
    figure: Figure = figure_class()(figsize=(layout.width, layout.height))
    image = None
    for number, panels in enumerate(scene.panels):
        for row, view in enumerate(VIEWS):
            axes = figure.add_axes(layout.panel(number, row))
            extent = (0, MM[view.right], MM[view.down], 0)
            image = show(axes, scene, panels.images[row], extent, aspect="equal")
            for line in outlines[row]:
                axes.plot(line[:, 0], line[:, 1], color=OUTLINE, linewidth=0.7)
            _draw_bin(axes, scene, view, panels.group)
            _label(axes, view, scene.ink, first=number % layout.columns == 0)
            if row == 0:
                axes.set_title(layout.titles[number], fontsize=_TITLE_SIZE, pad=4)
            if panels.group.n == 0:
                axes.text(0.5, 0.06, NOBODY, transform=axes.transAxes, color=scene.ink, ha="center", va="bottom")
    size = (layout.width, layout.height)
    finish(figure, scene, image, size=size, bar=layout.color_bar(), middle=layout.middle, notes=())
    return figure


def _draw_bin(axes: Axes, scene: Scene, view: View, group: PlottedGroup) -> None:
    style: dict[str, Any] = {"color": scene.ink, "linewidth": 0.7, "linestyle": (0, (4, 3)), "alpha": 0.8}
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
    axes.set_xticks(range(0, int(MM[view.right]) + 1, 4))
    axes.set_yticks(range(0, int(MM[view.down]) + 1, 4))
    if right == "ML":
        axes.axvline(MIDLINE_UM / 1000, color=ink, linewidth=0.4, alpha=0.25)
    for text, x, horizontal in zip(_ENDS[right], (0.02, 0.98), ("left", "right"), strict=True):
        axes.text(x, 0.97, text, transform=axes.transAxes, color=ink, fontsize=7, ha=horizontal, va="top", alpha=0.8)
