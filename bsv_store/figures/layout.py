"""Pages of figures: title, body and footer, placed in mm from the top left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bsv_store.check import boolean
from bsv_store.errors import InputError
from bsv_store.figures.style import MM_PER_INCH, SMALL_SIZE, TITLE_SIZE, check_width, describe, new_figure, theme_row
from bsv_store.text import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bsv_store.vocabulary import Theme, ThemeRow

MARGIN_MM = 2.0
_POINT_MM = MM_PER_INCH / 72
_LINE_HEIGHT = 1.3
# Between the body and the footer.
_NOTE_GAP = 1.2
_UNBROKEN = re.compile(r"\(n = [\d,]+\)\S*|\S+")
_MINUS = " − "
_COUNT = re.compile(r"\s+\(n = [\d,]+\)$")
_RANGE = re.compile(r"(\d[\d,]*)-(\d[\d,]*) um\b")
# Letters on a screen are a little wider than their outlines.
_HINTING = 1.04


def title_or(title: object, default: str) -> str:
    """The title of a figure: the reader's, which may be empty, or the default.

    Raises
    ------
    InputError
        If it is not a string.
    """
    if title is None:
        return default
    if not isinstance(title, str):
        raise InputError(f"title must be a string, got {shown(title)}", hint="'' for none.")
    return title


def printed(label: str) -> str:
    """The label of a group as it is printed: ``AP 8,100–8,440 µm`` for ``AP 8,100-8,440 um``."""
    return _RANGE.sub("\\1–\\2 µm", label)


def text_mm(text: str, size: float, *, bold: bool = False) -> float:
    """Width in mm of a line of text; ``size`` in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return float(width) * _POINT_MM * _HINTING


def line_mm(size: float) -> float:
    """Height of a line of text in mm; ``size`` in points."""
    return _LINE_HEIGHT * size * _POINT_MM


def shortened(text: str, width_mm: float, size: float, *, bold: bool = False) -> str:
    """A text that fits a width in mm, with an ellipsis where it is cut off.

    A number of experiments at its end, such as ``(n = 5)``, is kept. Of a difference, both sides are shortened.
    """
    if text_mm(text, size, bold=bold) <= width_mm:
        return text
    sides = text.split(_MINUS)
    if len(sides) == 2:
        room = width_mm - text_mm(_MINUS, size, bold=bold)
        first, second = (text_mm(side, size, bold=bold) for side in sides)
        # If one side needs less than half of the width, the other gets the rest.
        rooms = max(room / 2, room - second), max(room / 2, room - first)
        return _MINUS.join(shortened(side, own, size, bold=bold) for side, own in zip(sides, rooms, strict=True))
    count = _COUNT.search(text)
    end = "" if count is None else count.group()
    text = text.removesuffix(end)
    while len(text) > 1 and text_mm(f"{text}…{end}", size, bold=bold) > width_mm:
        text = text[:-1]
    return f"{text.rstrip()}…{end}"


def wrapped(text: str, width_mm: float, size: float, *, lines: int | None = None, bold: bool = False) -> list[str]:
    """The lines of a text that fit a width in mm; the last of a limited number of lines is shortened.

    A number of experiments, such as ``(n = 5)``, stays on one line.
    """
    found: list[str] = []
    for word in _UNBROKEN.findall(text):
        longer = f"{found[-1]} {word}" if found else word
        is_last = lines is not None and len(found) == lines
        if found and (is_last or text_mm(longer, size, bold=bold) <= width_mm):
            found[-1] = longer
        else:
            found.append(word)
    return [shortened(line, width_mm, size, bold=bold) for line in found]


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

    def text(self, left: float, top: float, text: str, *, size: float, color: Any, bold: bool = False) -> None:
        """A text whose upper left corner is at a position in mm; ``top`` counts from the top of the body."""
        x, y = left / self.width_mm, 1 - (self.top_mm + top) / self.height_mm
        weight = "bold" if bold else "normal"
        self.figure.text(x, y, text, fontsize=size, color=color, va="top", parse_math=False, fontweight=weight)


@dataclass(frozen=True, slots=True)
class Frame:
    """Title and footer of a figure, whose body is not known yet.

    Attributes
    ----------
    title : str
    fingerprint : str or None
    width_mm : float
    title_lines, note_lines : list of str
    """

    title: str
    fingerprint: str | None
    width_mm: float
    title_lines: list[str]
    note_lines: list[str]

    @property
    def inner_mm(self) -> float:
        """Width without the margins."""
        return self.width_mm - 2 * MARGIN_MM

    @property
    def top_mm(self) -> float:
        """Height above the body."""
        return MARGIN_MM + len(self.title_lines) * line_mm(TITLE_SIZE) + (1.0 if self.title_lines else 0.0)

    @property
    def bottom_mm(self) -> float:
        """Height below the body."""
        notes = len(self.note_lines) * line_mm(SMALL_SIZE) + _NOTE_GAP if self.note_lines else 0.0
        return notes + MARGIN_MM

    def page(self, body_mm: float, *, theme: Theme) -> Page:
        """The figure with a body of a height in mm."""
        colors = theme_row(theme)
        height = self.top_mm + body_mm + self.bottom_mm
        figure = new_figure(width_mm=self.width_mm, height_mm=height, theme=theme)
        page = Page(figure, colors, self.width_mm, height, self.top_mm)
        for number, line in enumerate(self.title_lines):
            at = MARGIN_MM + number * line_mm(TITLE_SIZE) - self.top_mm
            page.text(MARGIN_MM, at, line, size=TITLE_SIZE, color=colors.ink, bold=True)
        for number, line in enumerate(self.note_lines):
            at = body_mm + _NOTE_GAP + number * line_mm(SMALL_SIZE)
            page.text(MARGIN_MM, at, line, size=SMALL_SIZE, color=colors.muted)
        describe(figure, title=self.title, fingerprint=self.fingerprint)
        return page


def new_frame(*, width_mm: float, title: str, notes: Sequence[str], fingerprint: str | None, footer: bool) -> Frame:
    """Title and footer; the footer has the notes and the start of the fingerprint, and is empty without ``footer``.

    Raises
    ------
    InputError
        If the width is not 40 to 1000 mm, or ``footer`` is not a bool.
    """
    inner = check_width(width_mm) - 2 * MARGIN_MM
    mark = [f"Fingerprint {fingerprint[:12]}."] if fingerprint else []
    words = " ".join([*notes, *mark]) if boolean("footer", footer) else ""
    return Frame(
        title, fingerprint, width_mm, wrapped(title, inner, TITLE_SIZE, bold=True), wrapped(words, inner, SMALL_SIZE)
    )


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
    frame = new_frame(width_mm=width_mm, title=title, notes=notes, fingerprint=fingerprint, footer=footer)
    return frame.page(body_mm, theme=theme)


def text_with_halo(
    axes: Axes,
    at: tuple[float, float],
    text: str,
    colors: ThemeRow,
    *,
    color: str,
    size: float,
    horizontal: str = "center",
    vertical: str = "center",
    zorder: float,
) -> None:
    """Draw a text with a halo in the color of the background.

    The halo is a second text, because Matplotlib writes text with path effects to SVG as shapes.
    """
    from matplotlib.patheffects import withStroke

    style: dict[str, Any] = {"fontsize": size, "ha": horizontal, "va": vertical, "zorder": zorder}
    behind = axes.text(*at, text, color=colors.background, **style)
    behind.set_path_effects([withStroke(linewidth=1.2, foreground=colors.background)])
    axes.text(*at, text, color=color, **style)
