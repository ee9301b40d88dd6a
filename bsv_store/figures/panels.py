"""Elements shared by all figures: maximum projections, color scale, outlines, texts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.grouping.assignment import CROSSED
from bsv_store.figures.style import figure_class
from bsv_store.text import number_of
from bsv_store.vocabulary import Axis
from bsv_store.volumes.grid import EXTENT_UM, Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bsv_store.vocabulary import Statistic

OUTLINE_COLOR = "#9aa4b2"
NO_EXPERIMENTS = "no experiments"
# Not on the color scales, so distinct from 0 and from any signal.
_NO_DATA_COLOR = "#6b7280"
_NO_DATA_COLOR_SIGNED = "#c3c8d0"
EXTENT_MM = tuple(extent / 1000 for extent in EXTENT_UM)
AXIS_NAMES = ("AP", "DV", "ML")

# The color scale ends at this quantile of the non-zero pixels: few voxels are much brighter.
_SCALE_QUANTILE = 0.998
# At a font size of 8 points.
_CHARACTERS_PER_INCH = 14
_HEADING_SIZE = 8.5
_MIN_OUTLINE_MM = 1.5
_TITLE_INCHES, _LINE_INCHES = 0.42, 0.17


class PlottedGroup(Protocol):
    """What a figure needs to know about a group."""

    @property
    def label(self) -> str:
        """Label of the group."""

    @property
    def n(self) -> int:
        """Number of experiments."""

    @property
    def lower(self) -> float | None:
        """Lower edge of the coordinate bin in um."""

    @property
    def upper(self) -> float | None:
        """Upper edge of the coordinate bin in um."""


class PlottedVersion(Protocol):
    """What a figure needs to know about a dataset version."""

    @property
    def ref(self) -> str:
        """Name and number, such as visual@1."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of recipe and inputs."""

    @property
    def quantity(self) -> str:
        """Description of the values, with their unit."""

    @property
    def rules(self) -> Sequence[str]:
        """Normalization, hemisphere rule and masks, in words."""

    @property
    def axis(self) -> Axis | None:
        """Axis of the coordinate bins, if any."""

    @property
    def grid(self) -> Grid:
        """The voxel grid."""

    @property
    def groups(self) -> Sequence[PlottedGroup]:
        """The groups."""

    def statistic(self, name: Statistic, *, group: int | None = None) -> NDArray[Any]:
        """The mean of a group, shape (ap, dv, ml)."""


@dataclass(frozen=True, slots=True)
class View:
    """A view: the axis along the line of sight, and the axes that point right and down."""

    name: str
    along: int
    right: int
    down: int


VIEWS = (View("from above", 1, 2, 0), View("from the front", 0, 2, 1), View("from the left", 2, 0, 1))


@dataclass(frozen=True, slots=True)
class Panels:
    """The projections of one group, one per view, and where they have signal."""

    group: PlottedGroup
    images: tuple[NDArray[Any], ...]
    signal: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything to be drawn.

    Attributes
    ----------
    panels : tuple of Panels
    limit : float
        Upper end of the color scale.
    signed : bool
        Whether there are negative values, which need a color scale centered on 0.
    outlines : tuple of ndarray of bool
        Where any group has signal, one array per view.
    subtitle : str or None
        A line of text below the title.
    """

    version: PlottedVersion
    panels: tuple[Panels, ...]
    limit: float
    signed: bool
    outlines: tuple[NDArray[np.bool_], ...]
    subtitle: str | None

    @property
    def has_gaps(self) -> bool:
        """Whether any pixel has no data."""
        return any(bool(np.isnan(image).any()) for group in self.panels for image in group.images)

    @property
    def line_color(self) -> str:
        """Color of lines and text that is visible on the background of the panels."""
        return "black" if self.signed else "white"


def scene_of(
    version: PlottedVersion, numbers: Iterable[int], views: Sequence[View], *, subtitle: str | None = None
) -> Scene:
    """The scene of these groups; the means are read one at a time."""
    panels = tuple(_panels(version.groups[n], version.statistic("mean", group=n), views) for n in numbers)
    images = [image for group in panels for image in group.images]
    outlines = tuple(np.any([group.signal[view] for group in panels], axis=0) for view in range(len(views)))
    signed = any(bool((image < 0).any()) for image in images)
    return Scene(version, panels, _limit(images), signed, outlines, subtitle)


def _panels(group: PlottedGroup, mean: NDArray[Any], views: Sequence[View]) -> Panels:
    unknown = np.isnan(mean)
    # The mean of an empty group is stored as 0, but is not a measurement.
    is_empty = group.n == 0
    known = np.where(unknown, 0, mean)
    images, signal = [], []
    for view in views:
        high, low = known.max(axis=view.along), known.min(axis=view.along)
        image = np.where(high >= -low, high, low)
        image[unknown.all(axis=view.along) | is_empty] = np.nan
        # The projection keeps the order of the two other axes; rows must be the axis that points down.
        turned = view.down > view.right
        images.append(image.T if turned else image)
        any_signal = (known != 0).any(axis=view.along)
        signal.append(any_signal.T if turned else any_signal)
    return Panels(group, tuple(images), tuple(signal))


def _limit(images: Sequence[NDArray[Any]]) -> float:
    values = np.concatenate([np.abs(image[~np.isnan(image) & (image != 0)]) for image in images])
    return float(np.quantile(values, _SCALE_QUANTILE)) if values.size else 1.0


def show(
    axes: Axes,
    scene: Scene,
    values: NDArray[Any],
    extent: tuple[float, float, float, float],
    *,
    aspect: Literal["auto", "equal"],
) -> Any:
    """Draw the image of a panel on the shared color scale."""
    from matplotlib import colormaps

    colors = colormaps["RdBu_r" if scene.signed else "inferno"].with_extremes(
        bad=_NO_DATA_COLOR_SIGNED if scene.signed else _NO_DATA_COLOR
    )
    return axes.imshow(
        values,
        extent=extent,
        cmap=colors,
        vmin=-scene.limit if scene.signed else 0,
        vmax=scene.limit,
        interpolation="nearest",
        aspect=aspect,
    )


def outline_of(signal: NDArray[np.bool_], view: View) -> list[NDArray[np.float64]]:
    """The outline of the signal as closed lines, each an array of points (right, down) in mm."""
    smooth = np.pad(_smoothed(signal), 1)
    if not (smooth.min() < 0.5 < smooth.max()):
        return []
    rows, columns = signal.shape
    # The padding closes lines at the edges of the grid; the clip draws them on the edge.
    x = np.clip(np.arange(-0.5, columns + 1) / columns, 0, 1) * EXTENT_MM[view.right]
    y = np.clip(np.arange(-0.5, rows + 1) / rows, 0, 1) * EXTENT_MM[view.down]
    # On a temporary figure: only the points are needed.
    contours = figure_class()().add_subplot().contour(x, y, smooth, levels=[0.5])
    lines = [np.asarray(line) for line in contours.allsegs[0]]
    # Omit the small rings around holes and specks in real volumes.
    sizes = [float(np.ptp(line, axis=0).max()) for line in lines]
    return [line for line, size in zip(lines, sizes, strict=True) if size >= min(_MIN_OUTLINE_MM, max(sizes))]


def _smoothed(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mask averaged over squares of about 0.5 mm, so that single voxels get no outline."""
    width = 2 * max(1, mask.shape[0] // 40) + 1
    result = np.pad(mask.astype(np.float64), width // 2, mode="edge")
    for axis in (0, 1):
        result = np.lib.stride_tricks.sliding_window_view(result, width, axis=axis).mean(axis=-1)
    return np.asarray(result)


def titles_of(scene: Scene, width: int) -> list[str]:
    """The title of each group: its label and number of experiments, wrapped to ``width`` characters.

    If one label of a crossed grouping does not fit on a line, the two factors are on separate lines in all titles.
    """
    labels = [each.group.label for each in scene.panels]
    is_split = any(len(label) > width for label in labels)
    titles = []
    for label, each in zip(labels, scene.panels, strict=True):
        if is_split and CROSSED in label:
            lines = [textwrap.shorten(part, width, placeholder=" …") for part in label.split(CROSSED, 1)]
        else:
            lines = textwrap.wrap(label, width, max_lines=2, placeholder=" …", break_on_hyphens=False)
        titles.append("\n".join([*lines, f"n = {each.group.n}"]))
    return titles


def heading(scene: Scene, width: float) -> list[str]:
    """The rules and numbers of experiments and groups, in lines of at most ``width`` inches."""
    count = sum(group.n for group in scene.version.groups)
    facts = [
        *scene.version.rules,
        f"{number_of(count, 'experiment')} in {number_of(len(scene.version.groups), 'group')}",
    ]
    return textwrap.wrap(" · ".join(facts), int(width * _CHARACTERS_PER_INCH * 8 / _HEADING_SIZE))


def heading_height(scene: Scene, width: float) -> float:
    """Height of title, rules and subtitle in inches."""
    return _TITLE_INCHES + _LINE_INCHES * (len(heading(scene, width)) + (scene.subtitle is not None))


def bin_lines(scene: Scene, view: View, group: PlottedGroup) -> list[tuple[str, float]]:
    """The edges of the group's coordinate bin in a view, as axis ('x' or 'y') and position in mm."""
    binned = scene.version.axis
    if AXIS_NAMES[view.right] == binned:
        direction = "x"
    elif AXIS_NAMES[view.down] == binned:
        direction = "y"
    else:
        return []
    return [(direction, edge / 1000) for edge in (group.lower, group.upper) if edge is not None]


def finish(
    figure: Figure,
    scene: Scene,
    image: Any,
    *,
    size: tuple[float, float],
    bar: tuple[float, float, float, float],
    middle: float,
    notes: Sequence[str],
) -> None:
    """Add the color bar, the title with rules and subtitle, and the notes at the bottom."""
    version, inch = scene.version, 1 / size[1]
    scale = figure.colorbar(image, cax=figure.add_axes(bar), extend="both" if scene.signed else "max")
    scale.set_label(version.quantity, fontsize=9)
    scale.ax.tick_params(labelsize=8)
    figure.text(middle, 1 - 0.15 * inch, version.ref, fontsize=13, fontweight="bold", ha="center", va="top")
    below = _TITLE_INCHES
    width = text_width(size, middle)
    for line in heading(scene, width):
        figure.text(middle, 1 - below * inch, line, fontsize=_HEADING_SIZE, color="#333333", ha="center", va="top")
        below += _LINE_INCHES
    if scene.subtitle is not None:
        figure.text(middle, 1 - below * inch, scene.subtitle, fontsize=9, color="#a02020", ha="center", va="top")
    projections = "Projections of the largest absolute value" if scene.signed else "Maximum projections"
    lines = [
        f"{projections} of group means at {version.grid.spacing_um} µm; CCFv3 coordinates.",
        *notes,
        *(["Gray: no data (not 0)."] if scene.has_gaps else []),
        "Line: outline of all voxels with signal.",
        *(["Dashed: edges of the bin."] if version.axis is not None else []),
        f"Fingerprint {version.fingerprint[:12]}.",
    ]
    text = textwrap.fill(" ".join(lines), int(width * _CHARACTERS_PER_INCH)) if size[0] > 8 else "\n".join(lines)
    figure.text(middle, 0.1 * inch, text, fontsize=8, color="#555555", ha="center", va="bottom")


def text_width(size: tuple[float, float], middle: float) -> float:
    """Width in inches of text centered at ``middle`` that stays inside the figure."""
    return 2 * min(middle, 1 - middle) * size[0]
