"""The map of injection sites: three planes, and the surface from above."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.grouping.assignment import CROSSED
from bsv_store.figures.brain import EXTENT_MM, AnnotatedPlane, relabelled
from bsv_store.figures.contours import borders, outline
from bsv_store.figures.layout import MARGIN_MM, Page, line_mm, new_page, printed, text_mm, text_with_halo, wrapped
from bsv_store.figures.style import GROUP_COLORS, LABEL_SIZE, SMALL_SIZE, WIDE_MM
from bsv_store.vocabulary import PLANES
from bsv_store.volumes.grid import ARRAY_AXES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bsv_store.figures.contours import Lines
    from bsv_store.vocabulary import PlaneRow, Theme

_GAP = 5.0
_CAPTION = 4.0
_LEGEND = 46.0
_BAR_MM = 2.0
# Smaller rings are left out.
_MIN_RING_MM = 0.4
# Directions, at positions that the brain leaves free: fractions of width and height.
_LETTERS = {
    "coronal": (("L", 0.0, 0.5), ("R", 1.0, 0.5), ("D", 1.0, 0.04), ("V", 1.0, 0.96)),
    "sagittal": (("A", 0.0, 0.04), ("P", 1.0, 0.04)),
    "horizontal": (("L", 0.0, 0.5), ("R", 1.0, 0.5), ("A", 0.0, 0.02), ("P", 0.0, 0.98)),
}
# With this factor, symbols of the same size have the same area.
_AREA_FACTORS = {
    "o": 1.0, "s": np.pi / 4, "D": np.pi / 4, "^": np.pi / 2, "v": np.pi / 2, "P": 9 * np.pi / 20,
    "<": np.pi / 2, ">": np.pi / 2, "X": np.pi / 2.5, "*": 2.7986, "d": np.pi / 2.4, "p": 1.3213, "h": 1.2092,
}  # fmt: skip
MARKERS = tuple(_AREA_FACTORS)
# Distance of red, green and blue, each from 0 to 1, below which two colors need different symbols.
_ALIKE = 0.2


@dataclass(frozen=True, slots=True)
class Category:
    """A line of the legend, and the experiments that have its color.

    Attributes
    ----------
    label : str
    members : ndarray of int
        Indices of sites.
    color : str or None
        '#rrggbb'; None for the next color of the palette.
    """

    label: str
    members: NDArray[np.intp]
    color: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sites:
    """Injection sites.

    Attributes
    ----------
    points_mm : ndarray of float64, shape (sites, 3)
        AP, DV, ML.
    volumes : ndarray of float64, shape (sites,)
        Injection volumes in mm3; NaN = not known.
    categories : tuple of Category
        In the order of the legend.
    others : Category or None
        The rest, in gray.
    are_ordered : bool
        Whether the categories are coordinate bins, which get a sequence of colors.
    legend_title : str
    """

    points_mm: NDArray[np.float64]
    volumes: NDArray[np.float64]
    categories: tuple[Category, ...]
    others: Category | None
    are_ordered: bool
    legend_title: str


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A structure that is seen in a view: its outlines and its color."""

    acronym: str
    color: str
    outlines: Lines


@dataclass(frozen=True, slots=True, eq=False)
class Backdrop:
    """Outlines behind the sites, in mm; all empty without annotation.

    Attributes
    ----------
    silhouettes : mapping of str to Lines
        The brain, by the name of the plane.
    sections : mapping of str to Lines
        Borders of divisions in the plane through the middle of the sites, by the name of the plane.
    surface : sequence of Region
        Structures that are seen from above.
    """

    silhouettes: Mapping[str, Lines]
    sections: Mapping[str, Lines]
    surface: Sequence[Region]


def regions_of(
    annotated: AnnotatedPlane, labels: Mapping[int, int], named: Mapping[int, tuple[str, str]]
) -> list[Region]:
    """The structures in a plane.

    Parameters
    ----------
    annotated : AnnotatedPlane
    labels : mapping of int to int
        For each structure the one as part of which it is outlined; 0 = none.
    named : mapping of int to (str, str)
        Acronym and color of the structures to outline, by id.
    """
    of = relabelled(annotated.ids, labels)
    found = []
    for identifier, (acronym, color) in named.items():
        lines = _long(outline(of == identifier, annotated.spacing_um))
        if lines:
            found.append(Region(acronym, color, lines))
    return found


def silhouette_of(annotated: AnnotatedPlane) -> Lines:
    """The outline of what is inside."""
    return _long(outline(annotated.ids != 0, annotated.spacing_um))


def borders_of(annotated: AnnotatedPlane, labels: Mapping[int, int]) -> Lines:
    """The borders of structures in a plane; ``labels`` as for `regions_of`."""
    return _long(borders(relabelled(annotated.ids, labels), annotated.spacing_um))


def _long(lines: Lines) -> Lines:
    return [line for line in lines if float(np.ptp(line, axis=0).max()) >= _MIN_RING_MM]


def draw_injections(
    sites: Sites,
    backdrop: Backdrop,
    *,
    title: str,
    notes: Sequence[str],
    fingerprint: str | None,
    width_mm: float,
    theme: Theme,
    footer: bool,
) -> Figure:
    """The map: coronal, sagittal and horizontal projections and the view from above, with legends."""
    wide = width_mm >= WIDE_MM
    scale = (width_mm - 2 * MARGIN_MM - _GAP - (_LEGEND + _GAP if wide else 0)) / (EXTENT_MM["ML"] + EXTENT_MM["AP"])
    left, right = EXTENT_MM["ML"] * scale, EXTENT_MM["AP"] * scale
    upper, lower = EXTENT_MM["DV"] * scale, EXTENT_MM["AP"] * scale
    map_height = 2 * _CAPTION + upper + lower + 2
    legend = _Legend(sites, _LEGEND if wide else width_mm - 2 * MARGIN_MM, columns=1 if wide else 2, theme=theme)
    page = new_page(
        body_mm=max(map_height, legend.height) if wide else map_height + legend.height + 2,
        width_mm=width_mm,
        theme=theme,
        title=title,
        notes=notes,
        fingerprint=fingerprint,
        footer=footer,
    )
    second = MARGIN_MM + left + _GAP
    places = (
        (PLANES["coronal"], "Coronal", MARGIN_MM, 0.0),
        (PLANES["sagittal"], "Sagittal", second, 0.0),
        (PLANES["horizontal"], "Horizontal", MARGIN_MM, _CAPTION + upper + 2),
        (PLANES["horizontal"], "From above", second + (right - left) / 2, _CAPTION + upper + 2),
    )
    order = _drawing_order(sites.volumes)
    for view, caption, x, y in places:
        is_surface = caption == "From above"
        page.text(x, y, caption, size=LABEL_SIZE, color=page.colors.ink)
        axes = page.axes(x, y + _CAPTION, EXTENT_MM[view.right] * scale, EXTENT_MM[view.down] * scale)
        _prepare(axes, view, page)
        if is_surface:
            _draw_surface(axes, backdrop.surface, page)
        else:
            _draw_lines(axes, backdrop.sections.get(view.name, ()), color=page.colors.no_data, linewidth=0.4)
        _draw_lines(axes, backdrop.silhouettes.get(view.name, ()), color=page.colors.line, linewidth=0.9)
        _draw_sites(axes, sites, view, order, legend, page)
        if view.name == "coronal":
            _scale_bar(axes, page)
    legend.draw(page, *((width_mm - MARGIN_MM - _LEGEND, 0.0) if wide else (MARGIN_MM, map_height + 2)))
    return page.figure


def _drawing_order(volumes: NDArray[np.float64]) -> NDArray[np.intp]:
    """Large sites first, so that small ones are on top."""
    return np.argsort(-np.nan_to_num(volumes, nan=0.0), kind="stable")


def _prepare(axes: Axes, view: PlaneRow, page: Page) -> None:
    width, height = EXTENT_MM[view.right], EXTENT_MM[view.down]
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.set_label(view.name)
    style: dict[str, Any] = {"color": page.colors.muted, "fontsize": SMALL_SIZE}
    for letter, x, y in _LETTERS[view.name]:
        axes.text(x * width, y * height, letter, ha="right" if x else "left", va="center", **style)


def _draw_surface(axes: Axes, regions: Sequence[Region], page: Page) -> None:
    from matplotlib.colors import to_rgb

    ground = np.array(to_rgb(page.colors.background))
    for region in regions:
        color = tuple(0.28 * np.array(to_rgb(region.color)) + 0.72 * ground)
        for line in region.outlines:
            axes.fill(line[:, 0], line[:, 1], facecolor=color, edgecolor="none", zorder=0.5)
        _draw_lines(axes, region.outlines, color=page.colors.no_data, linewidth=0.4)


def _draw_lines(axes: Axes, lines: Sequence[NDArray[np.float64]], *, color: str, linewidth: float) -> None:
    for line in lines:
        axes.plot(line[:, 0], line[:, 1], color=color, linewidth=linewidth, zorder=1, solid_joinstyle="round")


def _draw_sites(axes: Axes, sites: Sites, view: PlaneRow, order: NDArray[np.intp], legend: _Legend, page: Page) -> None:
    """One collection for each line of the legend; the gray ones are below the others."""
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    for entry in legend.entries:
        members = entry.members[np.argsort(rank[entry.members])]
        if not members.size:
            continue
        points = sites.points_mm[members]
        axes.scatter(
            points[:, ARRAY_AXES.index(view.right)],
            points[:, ARRAY_AXES.index(view.down)],
            s=legend.areas(sites.volumes[members]) * _AREA_FACTORS[entry.marker],
            c=entry.color,
            marker=entry.marker,
            edgecolors=page.colors.background if not entry.has_edge else page.colors.ink,
            linewidths=legend.edge,
            alpha=0.85,
            zorder=2 if entry.is_others else 3,
            label=entry.label,
            clip_on=False,
        )


def _scale_bar(axes: Axes, page: Page) -> None:
    x, y = 0.2, EXTENT_MM["DV"] - 0.25
    axes.plot([x, x + _BAR_MM], [y, y], color=page.colors.ink, linewidth=1.4, solid_capstyle="butt")
    text_with_halo(
        axes, (x + _BAR_MM / 2, y - 0.15), "2 mm", page.colors,
        color=page.colors.ink, size=SMALL_SIZE, vertical="bottom", zorder=4,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Entry:
    label: str
    members: NDArray[np.intp]
    color: str
    marker: str
    has_edge: bool
    is_others: bool = False


class _Legend:
    """Colors, markers and sizes of sites, and the legend that explains them."""

    def __init__(self, sites: Sites, width: float, *, columns: int, theme: Theme) -> None:
        self._sites, self._columns = sites, columns
        self._column = width / columns
        self._line = line_mm(SMALL_SIZE) + 0.35
        self.entries = _entries(sites, theme)
        self._labels = [_label_lines(entry, self._column) for entry in self.entries]
        self._entry_height = self._line * max((len(lines) for lines in self._labels), default=1)
        known = sites.volumes[np.isfinite(sites.volumes) & (sites.volumes > 0)]
        median = float(np.median(known)) if known.size else 1.0
        count = max(len(sites.volumes), 1)
        # Diameter of a site of median volume, in points: fewer sites are larger.
        diameter = float(np.clip(11.0 * count**-0.22, 2.0, 7.0))
        self._area_per_mm3 = diameter**2 / median
        self._smallest = 1.5
        self.edge = 0.4 if count <= 300 else 0.2
        self.sizes = _size_steps(known)
        self.has_unknown = bool((~np.isfinite(sites.volumes)).any())
        self._size_rows = len(self.sizes) + self.has_unknown
        self._rows = -(-len(self.entries) // columns)
        self._step = max(self._line, *(self._radius(volume) * 2 + 0.6 for volume in self.sizes), 0.0)
        heading = 1.6 * self._line
        self._sizes_top = heading + self._rows * self._entry_height + 2.0
        self.height = self._sizes_top + heading + (self._step if columns > 1 else self._size_rows * self._step)

    def areas(self, volumes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Areas of markers in square points, proportional to the volumes."""
        return np.maximum(np.nan_to_num(volumes * self._area_per_mm3, nan=0.0), self._smallest)

    def _radius(self, volume: float) -> float:
        """In mm."""
        return float(np.sqrt(self.areas(np.array([volume]))[0])) / 2 * 25.4 / 72

    def draw(self, page: Page, left: float, top: float) -> None:
        """Draw it with its upper left corner at a position in mm."""
        width = self._column * self._columns
        axes = page.axes(left, top, width, self.height)
        axes.set_xlim(0, width)
        axes.set_ylim(self.height, 0)
        axes.set_axis_off()
        axes.set_label("legend")
        heading: dict[str, Any] = {"fontsize": LABEL_SIZE, "color": page.colors.ink, "va": "top"}
        style: dict[str, Any] = {"fontsize": SMALL_SIZE, "color": page.colors.ink, "va": "center", "parse_math": False}
        axes.text(0, 0, self._sites.legend_title, **heading)
        for number, entry in enumerate(self.entries):
            column, row = divmod(number, self._rows)
            x, y = column * self._column, 1.6 * self._line + (row + 0.5) * self._entry_height
            edge = page.colors.ink if entry.has_edge else page.colors.background
            area = 16 * _AREA_FACTORS[entry.marker]
            axes.scatter([x + 1.3], [y], s=area, c=entry.color, marker=entry.marker, edgecolors=edge, linewidths=0.4)
            axes.text(x + 3.4, y, "\n".join(self._labels[number]), linespacing=1.05, **style)
        self._draw_sizes(axes, page, heading, style)

    def _draw_sizes(self, axes: Axes, page: Page, heading: dict[str, Any], style: dict[str, Any]) -> None:
        if not self._size_rows:
            return
        axes.text(0, self._sizes_top, "Injection volume (mm³)", **heading)
        labels: list[tuple[float, str]] = [(volume, f"{volume:g}") for volume in self.sizes]
        if self.has_unknown:
            labels.append((0.0, "not known"))
        widest = max(self._radius(volume) for volume, _ in labels)
        across = self._column * self._columns / max(len(labels), 1)
        for number, (volume, label) in enumerate(labels):
            x = number * min(across, 16.0) if self._columns > 1 else 0.0
            row = 0 if self._columns > 1 else number
            y = self._sizes_top + 1.6 * self._line + (row + 0.5) * self._step
            axes.scatter(
                [x + widest + 0.3], [y], s=self.areas(np.array([volume])), c="none", edgecolors=page.colors.ink,
                linewidths=0.6,
            )  # fmt: skip
            axes.text(x + 2 * widest + 1.5, y, label, **style)


def _label_lines(entry: _Entry, width: float) -> list[str]:
    """The label with its number of experiments, in one or two lines; two factors are on separate lines."""
    count = f"  {len(entry.members):,}"
    room = width - 4.5 - text_mm(count, SMALL_SIZE)
    label = printed(entry.label)
    lines = wrapped(label, room, SMALL_SIZE, lines=2)
    if len(lines) > 1 and CROSSED in label:
        lines = [wrapped(part, room, SMALL_SIZE, lines=1)[0] for part in label.split(CROSSED, 1)]
    return [*lines[:-1], lines[-1] + count]


def _entries(sites: Sites, theme: Theme) -> tuple[_Entry, ...]:
    count = len(sites.categories)
    colors = sequence_of(count, theme) if sites.are_ordered else None
    found: list[_Entry] = []
    for number, category in enumerate(sites.categories):
        if category.color is not None:
            # Neighbors often have nearly the same color in Allen's ontology: their symbols differ.
            color, marker, edge = category.color, _free_marker(found, category.color), True
        elif colors is not None:
            color, marker, edge = colors[number], "o", False
        else:
            color, edge = GROUP_COLORS[number % len(GROUP_COLORS)], False
            marker = MARKERS[number // len(GROUP_COLORS) % len(MARKERS)]
        found.append(_Entry(category.label, category.members, color, marker, edge))
    if sites.others is not None:
        found.append(_Entry(sites.others.label, sites.others.members, "#8a929e", "o", False, is_others=True))
    return tuple(found)


def _free_marker(entries: Sequence[_Entry], color: str) -> str:
    """The symbol that the fewest entries of the same color have and, among these, the fewest of similar colors."""
    same = Counter(entry.marker for entry in entries if entry.color == color)
    alike = Counter(entry.marker for entry in entries if _are_alike(entry.color, color))
    return min(MARKERS, key=lambda each: (same[each], alike[each]))


def _are_alike(one: str, other: str) -> bool:
    """Whether two colors are hard to tell apart in small symbols."""
    from matplotlib.colors import to_rgb

    return float(np.linalg.norm(np.subtract(to_rgb(one), to_rgb(other)))) < _ALIKE


def sequence_of(count: int, theme: Theme) -> list[str]:
    """Colors of ordered groups, all of them visible on the background."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    low, high = (0.0, 0.88) if theme == "light" else (0.22, 1.0)
    return [to_hex(colormaps["viridis"](value)) for value in np.linspace(low, high, max(count, 1))]


def _size_steps(known: NDArray[np.float64]) -> tuple[float, ...]:
    """Up to three round volumes between the small and the large ones."""
    if not known.size:
        return ()
    wanted = np.quantile(known, [0.1, 0.5, 0.95])
    return tuple(sorted({_round(value) for value in wanted.tolist()}))


def _round(value: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten."""
    base = 10 ** np.floor(np.log10(value))
    nearest = min((1, 2, 5, 10), key=lambda step: abs(np.log(step * base / value)))
    return float(f"{nearest * base:.3g}")
