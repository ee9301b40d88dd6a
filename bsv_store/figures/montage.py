"""Sheets of panels: one row per group, one column per plane or view, with title, scales, legend and footer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bsv_store.figures.layout import (
    MARGIN_MM,
    Page,
    line_mm,
    new_frame,
    printed,
    shortened,
    text_mm,
    text_with_halo,
    wrapped,
)
from bsv_store.figures.scale import number_text
from bsv_store.figures.style import LABEL_SIZE, MM_PER_INCH, SMALL_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bsv_store.figures.contours import Lines
    from bsv_store.figures.scale import Scale
    from bsv_store.figures.sheet import Layer, Panel, Row, Shape, Sheet
    from bsv_store.vocabulary import Theme, ThemeRow

SCALE_BAR_MM = 1.0

# All sizes on paper are in mm.
_GAP = 1.2
_LABEL_LINE = 3.1
_PANEL_TITLE = 2.9
_BAR_HEIGHT, _BAR_BLOCK = 1.8, 9.5
_ROW_BAR = 11.0
_POINT = MM_PER_INCH / 72
_MAX_HEIGHT_MM = 240.0
_COLUMN_HEIGHT_MM = 90.0
_TICK_SIZE = 5.5
# Between the labels of structures, and of a color scale.
_LABEL_GAP, _TICK_GAP = 0.8, 1.0
# Smallest factor by which panels are scaled down to fit on a page; below it, too much of the width would stay empty.
_SMALLEST_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class _Grid:
    """How rows and panels are arranged.

    Attributes
    ----------
    blocks : int
        Columns of rows side by side.
    lines : int
        Lines over which the panels of a row are spread.
    mm : float
        mm on paper per mm of brain.
    height : float
        Of all rows.
    """

    blocks: int
    lines: int
    mm: float
    height: float


def draw(sheet: Sheet, *, width_mm: float, theme: Theme, footer: bool, line_scale: float = 1.0) -> Figure:
    """The figure of a sheet."""
    frame = new_frame(
        width_mm=width_mm, title=sheet.title, notes=sheet.notes, fingerprint=sheet.fingerprint, footer=footer
    )
    legend = _legend_lines(sheet.legend, frame.inner_mm)
    warnings = [line for text in sheet.warnings for line in wrapped(text, frame.inner_mm, LABEL_SIZE)]
    top = (len(legend) + len(warnings)) * _LABEL_LINE + (0.8 if legend or warnings else 0.0)
    quantity = wrapped(sheet.quantity, frame.inner_mm - 1, SMALL_SIZE)
    above_bar = max(0, len(quantity) - 1) * line_mm(SMALL_SIZE)
    bar = _BAR_BLOCK + above_bar if sheet.scale is not None else 0.5
    grid = _arranged(sheet, frame.inner_mm, frame.top_mm + top + bar + frame.bottom_mm)
    page = frame.page(top + grid.height + bar, theme=theme)
    at = 0.0
    for line in warnings:
        page.text(MARGIN_MM, at, line, size=LABEL_SIZE, color=page.colors.warning)
        at += _LABEL_LINE
    for entries in legend:
        _draw_legend(page, entries, at)
        at += _LABEL_LINE
    _draw_rows(page, sheet, grid, top, line_scale=line_scale)
    if sheet.scale is not None:
        below = top + grid.height + 3.2 + above_bar
        _draw_bar(page, sheet.scale, "\n".join(quantity), (MARGIN_MM + 1, below, min(60.0, 0.6 * frame.inner_mm)))
    return page.figure


def _arranged(sheet: Sheet, inner: float, other: float) -> _Grid:
    """The arrangement with the largest panels that fits on the page; otherwise the lowest one.

    Rows that are slightly too high for the page are scaled down; in more columns they would be much smaller.
    """
    count = len(sheet.rows)
    row_bar = _ROW_BAR if any(row.scale is not None for row in sheet.rows) else 0.0
    # A single row need not fill a page. But there must be space for its panels below a long legend, and for several
    # lines of panels in a figure as narrow as a column of text.
    if count == 1:
        limit = max(0.85 * (inner + 2 * MARGIN_MM) + 20 - other, 0.7 * inner, min(_COLUMN_HEIGHT_MM, 1.1 * inner))
    else:
        limit = max(_MAX_HEIGHT_MM, 1.35 * inner) - other
    best: _Grid | None = None
    for blocks in range(1, min(count, 40) + 1):
        for lines in range(1, (len(sheet.panels) if count == 1 else 1) + 1):
            columns = -(-len(sheet.panels) // lines)
            # No line more than needed, and no large gap at the end of the last one.
            if -(-len(sheet.panels) // columns) != lines or 3 * (columns * lines - len(sheet.panels)) > columns:
                continue
            candidate = _candidate(sheet, inner, blocks, lines, row_bar, limit)
            if candidate.mm <= 0:
                continue
            if best is None or _is_better(candidate, best, limit):
                best = candidate
    if best is None:
        return _Grid(1, 1, 0.1, 10.0)
    return best


def _is_better(one: _Grid, other: _Grid, limit: float) -> bool:
    """Whether an arrangement fits and has larger panels, or comes nearer to the height of the page."""
    if one.height <= limit:
        return other.height > limit or one.mm > other.mm
    return one.height < other.height


def _candidate(sheet: Sheet, inner: float, blocks: int, lines: int, row_bar: float, limit: float) -> _Grid:
    columns = -(-len(sheet.panels) // lines)
    parts = [sheet.panels[at : at + columns] for at in range(0, len(sheet.panels), columns)]
    free = (inner - (blocks - 1) * 2 * _GAP) / blocks - row_bar - (columns - 1) * _GAP
    mm = free / max(sum(panel.size[0] for panel in part) for part in parts)
    tall = sum(max(panel.size[1] for panel in part) for part in parts)
    rows = -(-len(sheet.rows) // blocks)
    label = _LABEL_LINE if any(row.label for row in sheet.rows) else 0.0
    other = _PANEL_TITLE * len(parts) + rows * (_GAP * len(parts) + label)
    fitting = (limit - other) / (rows * tall)
    if rows > 1 and _SMALLEST_SHARE * mm <= fitting < mm:
        mm = fitting
    return _Grid(blocks, lines, mm, other + rows * tall * mm)


def _draw_rows(page: Page, sheet: Sheet, grid: _Grid, top: float, *, line_scale: float) -> None:
    colors = page.colors
    columns = -(-len(sheet.panels) // grid.lines)
    parts = [range(at, min(at + columns, len(sheet.panels))) for at in range(0, len(sheet.panels), columns)]
    per_block = -(-len(sheet.rows) // grid.blocks)
    block_width = (page.width_mm - 2 * MARGIN_MM + 2 * _GAP) / grid.blocks
    has_labels = any(row.label for row in sheet.rows)
    for number, row in enumerate(sheet.rows):
        block, place = divmod(number, per_block)
        left = MARGIN_MM + block * block_width
        if place == 0:
            at = top
        if has_labels:
            size = LABEL_SIZE if block_width > 50 else SMALL_SIZE
            text = shortened(printed(row.label), block_width - 2 * _GAP, size, bold=True)
            page.text(left, at, text, size=size, color=colors.ink, bold=True)
            at += _LABEL_LINE
        for part in parts:
            across = left
            if place == 0:
                at += _PANEL_TITLE
            tall = max(sheet.panels[index].size[1] for index in part) * grid.mm
            for index in part:
                panel = sheet.panels[index]
                width, height = (side * grid.mm for side in panel.size)
                axes = page.axes(across, at, width, height)
                is_first = place == 0
                _draw_panel(axes, panel, row, index, colors, mm=grid.mm, line_scale=line_scale, is_first=is_first)
                if is_first:
                    _title(axes, panel, colors, width)
                if number == 0 and index == 0:
                    _scale_bar(axes, panel, colors, grid.mm)
                across += width + _GAP
            if row.scale is not None and part is parts[0]:
                _draw_row_bar(page, row.scale, (across + 0.6, at, tall))
            at += tall + _GAP


def _title_size(width: float) -> float:
    return SMALL_SIZE if width > 14 else 4.5


def _has_room_for_ends(panel: Panel, width: float) -> bool:
    """Whether the names of the ends fit beside the title."""
    return text_mm(f"{panel.title}  {2 * max(panel.ends, key=len)}", _title_size(width)) < width


def _has_ends_in_corners(panel: Panel, width: float) -> bool:
    """Whether the names of the ends are in the corners, which are free, because the brain is round."""
    is_wide = text_mm(2 * max(panel.ends, key=len), _TICK_SIZE) + 2 < width
    return is_wide and not _has_room_for_ends(panel, width)


def _title(axes: Axes, panel: Panel, colors: ThemeRow, width: float) -> None:
    """The title of a panel above it, between the names of its ends."""
    size = _title_size(width)
    style: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom", "fontsize": size, "clip_on": False}
    axes.text(0.5, 1.0, panel.title, color=colors.ink, ha="center", **style)
    ends = {**style, "color": colors.muted}
    if not _has_room_for_ends(panel, width):
        if not _has_ends_in_corners(panel, width):
            return
        ends |= {"va": "top", "fontsize": _TICK_SIZE, "zorder": 6}
    axes.text(0.0, 1.0, panel.ends[0], ha="left", **ends)
    axes.text(1.0, 1.0, panel.ends[1], ha="right", **ends)


def _draw_panel(
    axes: Axes,
    panel: Panel,
    row: Row,
    index: int,
    colors: ThemeRow,
    *,
    mm: float,
    line_scale: float,
    is_first: bool,
) -> None:
    from matplotlib.patches import PathPatch

    left, right, bottom, top = panel.box
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="box")
    width = min(1.0, max(0.45, mm / 3.5)) * line_scale
    if panel.background is not None:
        _show(axes, panel.background, zorder=0)
    for shape in panel.shapes:
        # Not `add_patch`, which takes long to find limits that are already set.
        axes.add_artist(PathPatch(shape.area, facecolor=shape.fill, edgecolor="none", zorder=1))
    for layer in row.layers[index]:
        _show(axes, layer, zorder=2)
    if panel.borders:
        _add_lines(axes, panel.borders, colors.line, 0.3 * width)
    if panel.brain:
        _add_lines(axes, panel.brain, colors.line, 0.7 * width)
    for shape in panel.shapes:
        axes.add_artist(PathPatch(shape.area, facecolor="none", edgecolor=shape.edge, linewidth=0.9 * width, zorder=4))
    if is_first:
        _label_shapes(axes, panel, colors, mm)
    if row.edges:
        for direction, at in row.edges[index]:
            style: dict[str, Any] = {"color": colors.muted, "linewidth": 0.5, "linestyle": (0, (4, 3)), "zorder": 5}
            (axes.axvline if direction == "x" else axes.axhline)(at, **style)
    if row.note and index == 0:
        axes.text(
            (left + right) / 2, (top + bottom) / 2, row.note, color=colors.ink, fontsize=SMALL_SIZE, ha="center",
            va="center", zorder=6,
        )  # fmt: skip


def _add_lines(axes: Axes, lines: Lines, color: str, width: float) -> None:
    from matplotlib.collections import LineCollection

    axes.add_collection(LineCollection(lines, colors=color, linewidths=width, zorder=3), autolim=False)


def _label_shapes(axes: Axes, panel: Panel, colors: ThemeRow, mm: float) -> None:
    """Write the labels of structures inside them, or above or below; one that would touch another is left out."""
    size = SMALL_SIZE if mm > 1.8 else 4.5
    tall = 1.1 * size * _POINT / mm
    gap = _LABEL_GAP / mm
    taken = _corners(panel, mm)
    for shape in sorted(panel.shapes, key=lambda each: not each.is_target):
        if shape.at is None:
            continue
        wide = text_mm(shape.label, size) / mm
        (x, y), (width, top, bottom) = shape.at, shape.room
        # Not over the neighboring panel.
        x = min(max(x, panel.box[0] + wide / 2), panel.box[1] - wide / 2)
        places = [y] if wide <= width else []
        places += [top - 0.3 / mm - tall / 2, bottom + 0.3 / mm + tall / 2]
        for middle in places:
            box = (x - wide / 2, x + wide / 2, middle - tall / 2, middle + tall / 2)
            with_gap = (box[0] - gap, box[1] + gap, box[2] - gap / 2, box[3] + gap / 2)
            is_free = not any(_overlap(with_gap, other) for other in taken)
            if is_free and box[2] >= panel.box[3] and box[3] <= panel.box[2]:
                taken.append(box)
                _label(axes, shape, (x, middle), size, colors)
                break


def _corners(panel: Panel, mm: float) -> list[tuple[float, float, float, float]]:
    """Where the names of the ends are inside the panel: left, right, top and bottom edge."""
    left, right, _, top = panel.box
    if not _has_ends_in_corners(panel, (right - left) * mm):
        return []
    first, last = (text_mm(end, _TICK_SIZE) / mm for end in panel.ends)
    bottom = top + 1.1 * _TICK_SIZE * _POINT / mm
    return [(left, left + first, top, bottom), (right - last, right, top, bottom)]


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """Whether two boxes (left, right, top, bottom) overlap."""
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _label(axes: Axes, shape: Shape, at: tuple[float, float], size: float, colors: ThemeRow) -> None:
    text_with_halo(axes, at, shape.label, colors, color=shape.edge, size=size, zorder=6)


def _show(axes: Axes, layer: Layer, *, zorder: float) -> None:
    axes.imshow(
        layer.values,
        extent=layer.extent,
        norm=layer.norm,
        cmap=layer.colors,
        interpolation="nearest",
        aspect="auto",
        zorder=zorder,
        # Images must not change what part of the brain is shown.
        clip_on=True,
    )
    axes.set_autoscale_on(False)


def _scale_bar(axes: Axes, panel: Panel, colors: ThemeRow, mm: float) -> None:
    left, _, bottom, _ = panel.box
    x, y = left + 0.6 / mm, bottom - 0.7 / mm
    axes.plot(
        [x, x + SCALE_BAR_MM], [y, y],
        color=colors.ink, zorder=7, linewidth=1.2, solid_capstyle="butt", gid="scale-bar",
    )  # fmt: skip
    size = SMALL_SIZE if mm > 1.8 else 4.5
    text_with_halo(
        axes, (x, y - 0.5 / mm), f"{SCALE_BAR_MM:g} mm", colors,
        color=colors.ink, size=size, horizontal="left", vertical="bottom", zorder=7,
    )  # fmt: skip


# -- color scales and legend --------------------------------------------------------------------------------------


def _draw_bar(page: Page, scale: Scale, quantity: str, where: tuple[float, float, float]) -> None:
    colors = page.colors
    left, top, width = where
    axes = page.axes(left, top, width, _BAR_HEIGHT)
    _gradient(axes, scale, (0, 1, 0, 1), colors)
    axes.set_yticks([])
    ticks = _far_apart(scale, width)
    axes.set_xticks([float(scale.norm(tick)) for tick in ticks], [number_text(tick) for tick in ticks])
    first, *_, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.tick_params(axis="x", labelsize=SMALL_SIZE, length=1.5, pad=1, color=colors.ink, labelcolor=colors.ink)
    axes.set_title(quantity, fontsize=SMALL_SIZE, color=colors.ink, loc="left", pad=1.5, parse_math=False)


def _far_apart(scale: Scale, width: float) -> list[float]:
    """The ticks of a horizontal bar whose labels do not touch that of an end or of the tick before."""
    low, *inner, high = scale.ticks()
    end = width - text_mm(number_text(high), SMALL_SIZE) - _TICK_GAP
    at = text_mm(number_text(low), SMALL_SIZE) + _TICK_GAP
    kept = []
    for tick in inner:
        middle, half = float(scale.norm(tick)) * width, text_mm(number_text(tick), SMALL_SIZE) / 2
        if at <= middle - half and middle + half <= end:
            kept.append(tick)
            at = middle + half + _TICK_GAP
    return [low, *kept, high]


def _draw_row_bar(page: Page, scale: Scale, where: tuple[float, float, float]) -> None:
    colors = page.colors
    left, top, height = where
    tall = min(height, 20.0)
    axes = page.axes(left, top + (height - tall) / 2, 1.4, tall)
    _gradient(axes, scale, (0, 1, 0, 1), colors, is_vertical=True)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    ticks = scale.ticks() if tall > 12 else [scale.low, scale.high]
    axes.set_yticks([float(scale.norm(tick)) for tick in ticks], [number_text(tick) for tick in ticks])
    axes.tick_params(axis="y", labelsize=_TICK_SIZE, length=1.2, pad=1, color=colors.ink, labelcolor=colors.ink)


def _gradient(
    axes: Axes,
    scale: Scale,
    extent: tuple[float, float, float, float],
    colors: ThemeRow,
    *,
    is_vertical: bool = False,
) -> None:
    import numpy as np

    line = scale.colors(np.linspace(0, 1, 256))[None]
    image = np.swapaxes(line, 0, 1) if is_vertical else line
    axes.imshow(image, extent=extent, origin="lower", aspect="auto", interpolation="bilinear")
    axes.set_facecolor(colors.background)
    for spine in axes.spines.values():
        spine.set(linewidth=0.4, color=colors.muted)


_SWATCH = 2.0


def _legend_lines(legend: Sequence[tuple[Any, str]], width: float) -> list[list[tuple[Any, str, float]]]:
    """Entries with their left edge, in lines."""
    lines: list[list[tuple[Any, str, float]]] = []
    at = width + 1
    for color, text in legend:
        text = shortened(printed(text), width - 2 * _SWATCH, LABEL_SIZE)
        needed = 1.5 * _SWATCH + text_mm(text, LABEL_SIZE) + 3
        if at + needed > width:
            lines.append([])
            at = 0.0
        lines[-1].append((color, text, MARGIN_MM + at))
        at += needed
    return lines


def _draw_legend(page: Page, entries: Sequence[tuple[Any, str, float]], top: float) -> None:
    from matplotlib.patches import Rectangle

    for color, text, left in entries:
        corner = (left / page.width_mm, 1 - (page.top_mm + top + 0.5 + _SWATCH) / page.height_mm)
        page.figure.add_artist(
            Rectangle(corner, _SWATCH / page.width_mm, _SWATCH / page.height_mm, facecolor=color, edgecolor="none")
        )
        page.text(left + 1.5 * _SWATCH, top + 0.2, text, size=LABEL_SIZE, color=page.colors.ink)
