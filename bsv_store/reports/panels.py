"""What a picture of group averages shows: maximum projections, one color scale, outlines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.grouping.assignment import CROSSED
from bsv_store.errors import InputError
from bsv_store.text import number_of
from bsv_store.volumes.grid import EXTENT_UM, Axis, Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bsv_store.vocabulary import Statistic

OUTLINE = "#9aa4b2"
NOBODY = "no experiments"
# On no color scale: neither the black (or white) of 0 nor any signal.
_NO_DATA = "#6b7280"
_NO_DATA_SIGNED = "#c3c8d0"
MM = tuple(extent / 1000 for extent in EXTENT_UM)
AXIS_NAMES = ("AP", "DV", "ML")

# The brightest voxels are few; the scale ends where this share of the visible signal lies below.
_SCALE_QUANTILE = 0.998
# Of the notes at the foot, whose letters are 8 points high.
_CHARACTERS_PER_INCH = 14
_HEADING_SIZE = 8.5
_LEAST_OUTLINE_MM = 1.5
_TITLE_INCHES, _LINE_INCHES = 0.42, 0.17


class PlottedGroup(Protocol):
    """A group as the picture needs it."""

    @property
    def label(self) -> str:
        """Its name."""

    @property
    def n(self) -> int:
        """Its number of members."""

    @property
    def lower(self) -> float | None:
        """Lower edge of its coordinate bin, um."""

    @property
    def upper(self) -> float | None:
        """Upper edge of its coordinate bin, um."""


class PlottedVersion(Protocol):
    """A dataset version as the picture needs it."""

    @property
    def ref(self) -> str:
        """Its full name."""

    @property
    def fingerprint(self) -> str:
        """What identifies question and inputs."""

    @property
    def quantity(self) -> str:
        """What the numbers are."""

    @property
    def unit(self) -> str:
        """The unit of the numbers."""

    @property
    def rules(self) -> Sequence[str]:
        """How volumes became these numbers."""

    @property
    def axis(self) -> Axis | None:
        """Axis of the coordinate bins."""

    @property
    def grid(self) -> Grid:
        """The voxel grid."""

    @property
    def groups(self) -> Sequence[PlottedGroup]:
        """The groups."""

    def statistic(self, name: Statistic, *, group: int | None = None) -> NDArray[Any]:
        """The mean of a group, axes [ap, dv, ml]."""


@dataclass(frozen=True, slots=True)
class View:
    """A direction to look from: the axis that is looked along, and what lies to the right and down."""

    name: str
    along: int
    right: int
    down: int


VIEWS = (View("from above", 1, 2, 0), View("from the front", 0, 2, 1), View("from the left", 2, 0, 1))


@dataclass(frozen=True, slots=True)
class Panels:
    """The projections of one group, one for each view, and where it has signal."""

    group: PlottedGroup
    images: tuple[NDArray[Any], ...]
    signal: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is drawn.

    Attributes
    ----------
    panels : tuple of Panels
    limit : float
        End of the color scale.
    signed : bool
        Whether there are negative values, and so a scale around 0.
    outlines : tuple of ndarray of bool
        For each view, where any group has signal.
    subtitle : str or None
        A line of the user's own.
    """

    version: PlottedVersion
    panels: tuple[Panels, ...]
    limit: float
    signed: bool
    outlines: tuple[NDArray[np.bool_], ...]
    subtitle: str | None

    @property
    def has_gaps(self) -> bool:
        """Whether anything on the picture has no data at all."""
        return any(bool(np.isnan(image).any()) for group in self.panels for image in group.images)

    @property
    def ink(self) -> str:
        """What can be seen on the background of a panel."""
        return "black" if self.signed else "white"


def scene_of(
    version: PlottedVersion, numbers: Iterable[int], views: Sequence[View], *, subtitle: str | None = None
) -> Scene:
    """What is drawn of some groups, each mean read once and let go."""
    panels = tuple(_panels(version.groups[n], version.statistic("mean", group=n), views) for n in numbers)
    images = [image for group in panels for image in group.images]
    outlines = tuple(np.any([group.signal[view] for group in panels], axis=0) for view in range(len(views)))
    signed = any(bool((image < 0).any()) for image in images)
    return Scene(version, panels, _limit(images), signed, outlines, subtitle)


def _panels(group: PlottedGroup, mean: NDArray[Any], views: Sequence[View]) -> Panels:
    unknown = np.isnan(mean)
    # The mean of nobody is stored as 0, and is no measurement.
    is_empty = group.n == 0
    known = np.where(unknown, 0, mean)
    images, signal = [], []
    for view in views:
        high, low = known.max(axis=view.along), known.min(axis=view.along)
        image = np.where(high >= -low, high, low)
        image[unknown.all(axis=view.along) | is_empty] = np.nan
        # What remains are the two other axes in their own order; rows must be the one that points down.
        turned = view.down > view.right
        images.append(image.T if turned else image)
        any_signal = (known != 0).any(axis=view.along)
        signal.append(any_signal.T if turned else any_signal)
    return Panels(group, tuple(images), tuple(signal))


def _limit(images: Sequence[NDArray[Any]]) -> float:
    values = np.concatenate([np.abs(image[~np.isnan(image) & (image != 0)]) for image in images])
    return float(np.quantile(values, _SCALE_QUANTILE)) if values.size else 1.0


def show(
    axes: Axes, scene: Scene, values: NDArray[Any], extent: tuple[float, float, float, float], **options: Any
) -> Any:
    """The image of a panel, on the scale that all share."""
    from matplotlib import colormaps

    colors = colormaps["RdBu_r" if scene.signed else "inferno"].with_extremes(
        bad=_NO_DATA_SIGNED if scene.signed else _NO_DATA
    )
    return axes.imshow(
        values,
        extent=extent,
        cmap=colors,
        vmin=-scene.limit if scene.signed else 0,
        vmax=scene.limit,
        interpolation="nearest",
        **options,
    )


def outline_of(signal: NDArray[np.bool_], view: View) -> list[NDArray[np.float64]]:
    """The outline of a view's signal as closed lines of points (right, down) in mm."""
    smooth = np.pad(_smoothed(signal), 1)
    if not (smooth.min() < 0.5 < smooth.max()):
        return []
    rows, columns = signal.shape
    # A ring of nothing around the box closes lines that touch its face; they are drawn on it.
    x = np.clip(np.arange(-0.5, columns + 1) / columns, 0, 1) * MM[view.right]
    y = np.clip(np.arange(-0.5, rows + 1) / rows, 0, 1) * MM[view.down]
    # On a figure that is thrown away: only the points are wanted, once for all groups.
    contours = figure_class()().add_subplot().contour(x, y, smooth, levels=[0.5])
    lines = [np.asarray(line) for line in contours.allsegs[0]]
    # Real volumes have small holes and specks, whose rings would be taken for something.
    sizes = [float(np.ptp(line, axis=0).max()) for line in lines]
    return [line for line, size in zip(lines, sizes, strict=True) if size >= min(_LEAST_OUTLINE_MM, max(sizes))]


def _smoothed(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mask averaged over squares of about half a millimeter, so that single voxels do not make an outline."""
    width = 2 * max(1, mask.shape[0] // 40) + 1
    result = np.pad(mask.astype(np.float64), width // 2, mode="edge")
    for axis in (0, 1):
        result = np.lib.stride_tricks.sliding_window_view(result, width, axis=axis).mean(axis=-1)
    return np.asarray(result)


def titles_of(scene: Scene, widest: int) -> list[str]:
    """The title of each group in lines of so many letters: its label, and how many experiments it has.

    The two factors of crossed groupings get a line each, in all titles, where one is too short for both of any.
    """
    labels = [each.group.label for each in scene.panels]
    is_split = any(len(label) > widest for label in labels)
    titles = []
    for label, each in zip(labels, scene.panels, strict=True):
        if is_split and CROSSED in label:
            lines = [textwrap.shorten(part, widest, placeholder=" …") for part in label.split(CROSSED, 1)]
        else:
            lines = textwrap.wrap(label, widest, max_lines=2, placeholder=" …", break_on_hyphens=False)
        titles.append("\n".join([*lines, f"n = {each.group.n}"]))
    return titles


def heading(scene: Scene, width: float) -> list[str]:
    """What stands below the title, in lines for so many inches: the rules by which the numbers came about."""
    count = sum(group.n for group in scene.version.groups)
    facts = [
        *scene.version.rules,
        f"{number_of(count, 'experiment')} in {number_of(len(scene.version.groups), 'group')}",
    ]
    return textwrap.wrap(" · ".join(facts), int(width * _CHARACTERS_PER_INCH * 8 / _HEADING_SIZE))


def heading_height(scene: Scene, width: float) -> float:
    """Inches that title, rules and subtitle take."""
    return _TITLE_INCHES + _LINE_INCHES * (len(heading(scene, width)) + (scene.subtitle is not None))


def bin_lines(scene: Scene, view: View, group: PlottedGroup) -> list[tuple[str, float]]:
    """The edges of a group's coordinate bin as a view shows them: 'x' or 'y', and mm."""
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
    """Add the color bar, the title with the rules below it, and the notes at the foot."""
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
    what = "Values of largest magnitude" if scene.signed else "Maximum projections"
    lines = [
        f"{what} of group means at {version.grid.spacing_um} µm; CCFv3 coordinates.",
        *notes,
        *(["Gray: no data, which is not 0."] if scene.has_gaps else []),
        "Line: outline of all voxels with signal.",
        *(["Dashes: edges of the bin."] if version.axis is not None else []),
        f"Fingerprint {version.fingerprint[:12]}.",
    ]
    text = textwrap.fill(" ".join(lines), int(width * _CHARACTERS_PER_INCH)) if size[0] > 8 else "\n".join(lines)
    figure.text(middle, 0.1 * inch, text, fontsize=8, color="#555555", ha="center", va="bottom")


def text_width(size: tuple[float, float], middle: float) -> float:
    """Inches for text around a middle: as wide as the picture on the narrower side of it."""
    return 2 * min(middle, 1 - middle) * size[0]


def figure_class() -> Any:
    """Matplotlib's figure, without its global state.

    Raises
    ------
    InputError
        If Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("Matplotlib is not installed", hint="Install it: pip install 'bsv-store[plot]'") from error
    return Figure
