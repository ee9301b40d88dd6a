"""Pictures of group averages. Needs the extra ``plot`` (Matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import InputError
from bsv_store.volumes.grid import EXTENT_UM, MIDLINE_UM, Axis, Grid
from bsv_store.volumes.outside import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".png", ".pdf", ".svg")

_COLUMNS = 5
_OUTLINE = "#9aa4b2"
# The brightest voxels are few; the scale ends where this share of the visible signal lies below.
_SCALE_QUANTILE = 0.998
_MM = tuple(extent / 1000 for extent in EXTENT_UM)


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
    def axis(self) -> Axis | None:
        """Axis of the coordinate bins."""

    @property
    def grid(self) -> Grid:
        """The voxel grid."""

    @property
    def groups(self) -> Sequence[PlottedGroup]:
        """The groups."""

    def statistic(self, name: str, *, group: int | None = None) -> NDArray[Any]:
        """The mean of a group, axes [ap, dv, ml]."""


@dataclass(frozen=True, slots=True)
class _View:
    """A direction to look from: the axis that is looked along, and what lies to the right and down."""

    name: str
    along: int
    right: int
    down: int


_VIEWS = (_View("from above", 1, 2, 0), _View("from the front", 0, 2, 1), _View("from the left", 2, 0, 1))
_AXIS_NAMES = ("AP", "DV", "ML")


@dataclass(frozen=True, slots=True)
class _Panels:
    """The projections of one group, one for each view, and where any group has signal."""

    images: tuple[NDArray[Any], ...]
    signal: tuple[NDArray[np.bool_], ...]


class _Layout:
    """Where the panels go, in inches from the left and the top: one column a group, three rows for its views."""

    panel_width = 2.3
    margin_left, margin_right, margin_top = 0.8, 1.25, 0.5
    gap, row_gap, title = 0.12, 0.47, 0.42

    def __init__(self, groups: int) -> None:
        self.columns = min(_COLUMNS, groups)
        # The notes at the foot take one line, or four where the picture is narrow.
        margin_bottom = 0.3 if self.columns > 3 else 0.7
        bands = -(-groups // self.columns)
        self.heights = [self.panel_width * _MM[view.down] / _MM[view.right] for view in _VIEWS]
        self.band = self.title + sum(self.heights) + len(_VIEWS) * self.row_gap
        self.width = self.margin_left + self.columns * (self.panel_width + self.gap) + self.margin_right
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


def plot_groups(
    version: PlottedVersion, path: Path | str, *, subtitle: str | None = None, overwrite: bool = True
) -> Path:
    """The path of a picture with every group's average from above, from the front and from the left.

    Each panel is a maximum projection (of the largest absolute value where there are negative ones) on one color scale
    for all groups; axes are CCF coordinates in mm. The thin line is the outline of all voxels with signal in any group.
    Where groups are bins of a coordinate, dashes mark the edges of the bin.

    Parameters
    ----------
    version : DatasetVersion
    path : path
        Ends in .png, .pdf or .svg.
    subtitle : str, optional
        One line below the title.
    overwrite : bool
        Replace the file if it exists.

    Raises
    ------
    InputError
        If Matplotlib is not installed, the ending is another one, or the file cannot be written.
    DamagedFileError
        If the result file in the store is not what was published.
    """
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise InputError(
            f"cannot tell from {target.name!r} what to draw", hint=f"The name ends in {', '.join(ENDINGS)}."
        )
    figure = draw_groups(version, subtitle=subtitle)
    with written_whole(target, overwrite=overwrite) as temporary:
        figure.savefig(temporary, dpi=150, facecolor="white")
    return target


def draw_groups(version: PlottedVersion, *, subtitle: str | None = None) -> Figure:
    """The Matplotlib figure that :func:`plot_groups` writes, for notebooks and further changes.

    Raises
    ------
    InputError
        If Matplotlib is not installed.
    DamagedFileError
        If the result file in the store is not what was published.
    """
    figure_class = _figure_class()
    panels = [_panels(version.statistic("mean", group=number)) for number in range(len(version.groups))]
    signed = any((image < 0).any() for group in panels for image in group.images)
    limit = _limit([image for group in panels for image in group.images])
    outlines = [np.any([group.signal[view] for group in panels], axis=0) for view in range(len(_VIEWS))]
    layout = _Layout(len(panels))
    figure: Figure = figure_class(figsize=(layout.width, layout.height))
    image = None
    for number, group in enumerate(version.groups):
        for row, view in enumerate(_VIEWS):
            axes = figure.add_axes(layout.panel(number, row))
            image = _draw(axes, view, panels[number].images[row], limit=limit, signed=signed)
            ink = "black" if signed else "white"
            _draw_outline(axes, view, outlines[row])
            _draw_bin(axes, view, version.axis, group, ink)
            _label(axes, view, ink, first=number % layout.columns == 0)
            if row == 0:
                axes.set_title(f"{group.label}\nn = {group.n}", fontsize=9, pad=4)
    _finish(figure, layout, image, version, signed=signed)
    if subtitle is not None:
        below_title = 1 - 0.45 / layout.height
        figure.text(layout.middle, below_title, subtitle, fontsize=9, color="#a02020", ha="center", va="top")
    return figure


def _panels(mean: NDArray[Any]) -> _Panels:
    known = np.nan_to_num(mean, nan=0.0)
    images, signal = [], []
    for view in _VIEWS:
        high, low = known.max(axis=view.along), known.min(axis=view.along)
        image = np.where(high >= -low, high, low)
        # What remains are the two other axes in their own order; rows must be the one that points down.
        turned = view.down > view.right
        images.append(image.T if turned else image)
        any_signal = (known != 0).any(axis=view.along)
        signal.append(any_signal.T if turned else any_signal)
    return _Panels(tuple(images), tuple(signal))


def _limit(images: Sequence[NDArray[Any]]) -> float:
    """End of the color scale."""
    values = np.concatenate([np.abs(image[image != 0]) for image in images])
    return float(np.quantile(values, _SCALE_QUANTILE)) if values.size else 1.0


def _draw(axes: Axes, view: _View, values: NDArray[Any], *, limit: float, signed: bool) -> Any:
    return axes.imshow(
        values,
        extent=(0, _MM[view.right], _MM[view.down], 0),
        cmap="RdBu_r" if signed else "inferno",
        vmin=-limit if signed else 0,
        vmax=limit,
        interpolation="nearest",
        aspect="equal",
    )


def _draw_outline(axes: Axes, view: _View, signal: NDArray[np.bool_]) -> None:
    smooth = _smoothed(signal)
    if not (smooth.min() < 0.5 < smooth.max()):
        return
    rows, columns = smooth.shape
    x = (np.arange(columns) + 0.5) * _MM[view.right] / columns
    y = (np.arange(rows) + 0.5) * _MM[view.down] / rows
    axes.contour(x, y, smooth, levels=[0.5], colors=_OUTLINE, linewidths=0.7)


def _smoothed(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mask averaged over squares of about half a millimeter, so that single voxels do not make an outline."""
    width = 2 * max(1, mask.shape[0] // 40) + 1
    result = np.pad(mask.astype(np.float64), width // 2)
    for axis in (0, 1):
        result = np.lib.stride_tricks.sliding_window_view(result, width, axis=axis).mean(axis=-1)
    return np.asarray(result)


def _draw_bin(axes: Axes, view: _View, binned: Axis | None, group: PlottedGroup, ink: str) -> None:
    if binned is None:
        return
    for edge in (group.lower, group.upper):
        style: dict[str, Any] = {"color": ink, "linewidth": 0.7, "linestyle": (0, (4, 3)), "alpha": 0.8}
        if edge is None:
            continue
        if _AXIS_NAMES[view.right] == binned:
            axes.axvline(edge / 1000, **style)
        elif _AXIS_NAMES[view.down] == binned:
            axes.axhline(edge / 1000, **style)


_ENDS = {"AP": ("A", "P"), "DV": ("D", "V"), "ML": ("L", "R")}


def _label(axes: Axes, view: _View, ink: str, *, first: bool) -> None:
    right, down = _AXIS_NAMES[view.right], _AXIS_NAMES[view.down]
    axes.set_xlabel(f"{right} (mm)", fontsize=8, labelpad=1)
    if first:
        axes.set_ylabel(f"{view.name}\n{down} (mm)", fontsize=8)
    else:
        axes.set_yticklabels([])
    axes.tick_params(labelsize=7, length=2, pad=2)
    axes.set_xticks(range(0, int(_MM[view.right]) + 1, 4))
    axes.set_yticks(range(0, int(_MM[view.down]) + 1, 4))
    if right == "ML":
        axes.axvline(MIDLINE_UM / 1000, color=ink, linewidth=0.4, alpha=0.25)
    for text, x, horizontal in zip(_ENDS[right], (0.02, 0.98), ("left", "right"), strict=True):
        axes.text(x, 0.97, text, transform=axes.transAxes, color=ink, fontsize=7, ha=horizontal, va="top", alpha=0.8)


def _finish(figure: Figure, layout: _Layout, image: Any, version: PlottedVersion, *, signed: bool) -> None:
    bar = figure.colorbar(image, cax=figure.add_axes(layout.color_bar()), extend="both" if signed else "max")
    bar.set_label(version.quantity, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    inch = 1 / layout.height
    figure.text(layout.middle, 1 - 0.2 * inch, version.ref, fontsize=13, fontweight="bold", ha="center", va="top")
    notes = [
        f"Maximum projections of group means at {version.grid.spacing_um} µm; CCFv3 coordinates.",
        "Line: outline of all voxels with signal.",
        *(["Dashes: edges of the bin."] if version.axis is not None else []),
        f"Fingerprint {version.fingerprint[:12]}.",
    ]
    text = " ".join(notes) if layout.columns > 3 else "\n".join(notes)
    figure.text(layout.middle, 0.1 * inch, text, fontsize=8, color="#555555", ha="center", va="bottom")


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("Matplotlib is not installed", hint="Install it: pip install 'bsv-store[plot]'") from error
    return Figure
