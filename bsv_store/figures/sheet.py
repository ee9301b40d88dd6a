"""What is on a figure of panels: one row per group, one column per plane or view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.path import Path

    from bsv_store.figures.contours import Lines
    from bsv_store.figures.scale import Scale


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """An emphasized structure in a plane.

    Attributes
    ----------
    label : str
    area : matplotlib.path.Path
        In mm.
    edge, fill : color
    at : (float, float) or None
        Where its label is written, in mm; None for no label.
    room : (float, float, float)
        Width, top and bottom edge of the part that is labeled, in mm. A label that does not fit is written above or
        below it.
    is_target : bool
        Whether the planes were chosen to pass through it: its label is kept if there is no room for all.
    """

    label: str
    area: Path
    edge: Any
    fill: Any
    at: tuple[float, float] | None
    room: tuple[float, float, float] = (0.0, 0.0, 0.0)
    is_target: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """An image: values on a color scale, or colors.

    Attributes
    ----------
    values : ndarray, shape (down, right), or (down, right, 4)
    extent : (float, float, float, float)
        Left, right, bottom and top in mm.
    norm, colors : Normalize, Colormap
        None for an array of colors.
    """

    values: NDArray[Any]
    extent: tuple[float, float, float, float]
    norm: Any = None
    colors: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A column: a plane or a view, the same for all rows.

    Attributes
    ----------
    title : str
    box : (float, float, float, float)
        Left, right, bottom and top of what is shown, in mm; bottom is the larger one.
    ends : (str, str)
        Names of the left and right end.
    brain, borders : lines
        Outline of the brain, and borders of structures.
    shapes : sequence of Shape
    background : Layer or None
        The template.
    """

    title: str
    box: tuple[float, float, float, float]
    ends: tuple[str, str]
    brain: Lines = field(default_factory=list)
    borders: Lines = field(default_factory=list)
    shapes: Sequence[Shape] = ()
    background: Layer | None = None

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in mm of brain."""
        left, right, bottom, top = self.box
        return right - left, bottom - top


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row: its label, the layers of each panel, and its color scale if it has one of its own.

    Attributes
    ----------
    label : str
        '' for none.
    layers : sequence of sequence of Layer
        For each panel, from back to front.
    scale : Scale or None
        Drawn at the end of the row.
    note : str
        Written into the first panel, such as 'no experiments'.
    edges : sequence of sequence of (str, float)
        For each panel, dashed lines: 'x' or 'y', and the position in mm.
    """

    label: str
    layers: Sequence[Sequence[Layer]]
    scale: Scale | None = None
    note: str = ""
    edges: Sequence[Sequence[tuple[str, float]]] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Everything on a figure.

    Attributes
    ----------
    title : str
    panels, rows : sequence
    scale : Scale or None
        Shared by all rows.
    quantity : str
        Label of the color scale.
    legend : sequence of (color, str)
        Swatches with a text, below the title.
    notes : sequence of str
        For the footer.
    warnings : sequence of str
        Below the title, in the color of warnings.
    fingerprint : str or None
    """

    title: str
    panels: Sequence[Panel]
    rows: Sequence[Row]
    quantity: str
    scale: Scale | None = None
    legend: Sequence[tuple[Any, str]] = ()
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    fingerprint: str | None = None
