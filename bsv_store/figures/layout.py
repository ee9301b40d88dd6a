"""Pages of figures: title, body and footer, placed in mm from the top left."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bsv_store.errors import InputError
from bsv_store.figures.style import MM_PER_INCH, SMALL_SIZE, TITLE_SIZE, add_footer, describe, new_figure, theme_row
from bsv_store.text import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bsv_store.vocabulary import Theme, ThemeRow

MARGIN_MM = 2.0
_MIN_WIDTH_MM, _MAX_WIDTH_MM = 40.0, 1000.0
_POINT_MM = MM_PER_INCH / 72
# Of DejaVu Sans, as a fraction of the font size.
_CHARACTER_WIDTH, _LINE_HEIGHT = 0.56, 1.3


def checked_width(width_mm: Any) -> float:
    """The width of a figure, before its parts are placed.

    Raises
    ------
    InputError
        If it is not a number from 40 to 1000.
    """
    is_number = isinstance(width_mm, int | float) and not isinstance(width_mm, bool)
    if not is_number or not _MIN_WIDTH_MM <= width_mm <= _MAX_WIDTH_MM:
        raise InputError(
            f"width_mm must be a number from {_MIN_WIDTH_MM:.0f} to {_MAX_WIDTH_MM:.0f}, got {shown(width_mm)}",
            hint="A column is about 85 mm wide, a page about 180 mm.",
        )
    return float(width_mm)


def text_mm(characters: float, size: float) -> float:
    """Approximate width in mm of a line of text; ``size`` in points."""
    return characters * _CHARACTER_WIDTH * size * _POINT_MM


def line_mm(size: float) -> float:
    """Height of a line of text in mm; ``size`` in points."""
    return _LINE_HEIGHT * size * _POINT_MM


def wrapped(text: str, width_mm: float, size: float, *, lines: int | None = None) -> list[str]:
    """The lines of a text that fit a width in mm."""
    width = max(8, int(width_mm / text_mm(1, size)))
    return textwrap.wrap(text, width, max_lines=lines, placeholder=" …", break_on_hyphens=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A figure with title and footer, and the place for its body.

    Attributes
    ----------
    figure : Figure
    colors : ThemeRow
    width_mm, height_mm : float
        Of the figure.
    top_mm : float
        Distance of the body from the top of the figure.
    """

    figure: Figure
    colors: ThemeRow
    width_mm: float
    height_mm: float
    top_mm: float

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes at a position in mm; ``top`` counts from the top of the body."""
        bottom = self.height_mm - self.top_mm - top - height
        axes = self.figure.add_axes(
            (left / self.width_mm, bottom / self.height_mm, width / self.width_mm, height / self.height_mm)
        )
        axes.set_facecolor("none")
        return axes

    def text(self, left: float, top: float, text: str, *, size: float, color: str) -> None:
        """A text whose upper left corner is at a position in mm; ``top`` counts from the top of the body."""
        x, y = left / self.width_mm, 1 - (self.top_mm + top) / self.height_mm
        self.figure.text(x, y, text, fontsize=size, color=color, va="top", parse_math=False)


def new_page(
    *,
    body_mm: float,
    width_mm: float,
    theme: Theme,
    title: str,
    notes: Sequence[str],
    fingerprint: str | None,
    footer: bool,
) -> Page:
    """A figure whose body has a height in mm, with title, and with the notes as footer if ``footer``."""
    colors = theme_row(theme)
    inner = width_mm - 2 * MARGIN_MM
    title_lines = wrapped(title, inner, TITLE_SIZE)
    top = MARGIN_MM + len(title_lines) * line_mm(TITLE_SIZE) + (1.5 if title_lines else 0)
    mark = [f"Fingerprint {fingerprint[:12]}."] if fingerprint else []
    note_lines = wrapped(" ".join([*notes, *mark]), inner, SMALL_SIZE) if footer else []
    height = top + body_mm + len(note_lines) * line_mm(SMALL_SIZE) + (2.0 if note_lines else 1.0)
    figure = new_figure(width_mm=width_mm, height_mm=height, theme=theme)
    page = Page(figure, colors, width_mm, height, top)
    if title_lines:
        figure.text(
            MARGIN_MM / width_mm,
            1 - MARGIN_MM / height,
            "\n".join(title_lines),
            fontsize=TITLE_SIZE,
            color=colors.ink,
            va="top",
            parse_math=False,
        )
    if note_lines:
        add_footer(figure, "\n".join(note_lines), theme=theme)
    describe(figure, title=title, fingerprint=fingerprint)
    return page
