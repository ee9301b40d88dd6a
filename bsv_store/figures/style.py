"""Style of all figures: themes, sizes, group colors, and saving.

Sizes are those of printed figures: a column of a journal is about 85 mm wide, a page about 180 mm. Fonts are therefore
6 to 9 points.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from bsv_store._version import __version__
from bsv_store.check import choice, finite_number
from bsv_store.check import path as checked_path
from bsv_store.errors import InputError
from bsv_store.formats.output_file import atomic_output, check_target
from bsv_store.text import joined, visible
from bsv_store.vocabulary import THEMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from bsv_store.vocabulary import Theme, ThemeRow

SUFFIXES = (".png", ".pdf", ".svg")
HTML_SUFFIXES = (".html", ".htm")
DPI = 300
PAGE_MM = 180.0
# Narrower figures, such as a column of 85 mm, have fewer parts side by side.
WIDE_MM = 120.0
MM_PER_INCH = 25.4

TITLE_SIZE, LABEL_SIZE, SMALL_SIZE = 9.0, 7.0, 6.0

# Okabe and Ito's palette for readers with color vision deficiency, without yellow and black, which are hardly visible
# on a light or a dark background.
GROUP_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

_MIN_WIDTH_MM, _MAX_WIDTH_MM = 40.0, 1000.0


def theme_row(theme: Theme) -> ThemeRow:
    """The colors of a theme.

    Raises
    ------
    InputError
        If there is no such theme.
    """
    return choice("theme", theme, THEMES)


def figure_class() -> Any:
    """Matplotlib's ``Figure`` class, shown in notebooks without pyplot and its global state.

    Raises
    ------
    InputError
        If Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("Matplotlib is not installed", hint="Install it: pip install 'bsv-store[plot]'") from error
    return _inline(Figure)


@cache
def _inline(base: Any) -> Any:
    class InlineFigure(base):  # type: ignore[misc]
        """A Matplotlib figure with a PNG representation for notebooks."""

        def _repr_png_(self) -> bytes:
            import io

            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=144)
            return buffer.getvalue()

    return InlineFigure


def check_width(width_mm: Any) -> float:
    """The width of a figure.

    Raises
    ------
    InputError
        If it is not a number from 40 to 1000.
    """
    number = finite_number("width_mm", width_mm)
    if not _MIN_WIDTH_MM <= number <= _MAX_WIDTH_MM:
        raise InputError(
            f"width_mm must be from {_MIN_WIDTH_MM:.0f} to {_MAX_WIDTH_MM:.0f}, got {number:g}",
            hint="A column is about 85 mm wide, a page about 180 mm.",
        )
    return number


def new_figure(*, width_mm: float = PAGE_MM, height_mm: float, theme: Theme = "light") -> Figure:
    """An empty figure of a size in mm, with the background of a theme.

    Raises
    ------
    InputError
        If Matplotlib is not installed, the theme does not exist or the width is not 40 to 1000 mm.
    """
    figure: Figure = figure_class()(
        figsize=(check_width(width_mm) / MM_PER_INCH, height_mm / MM_PER_INCH), facecolor=theme_row(theme).background
    )
    return figure


def describe(figure: Figure, *, title: str, fingerprint: str | None) -> None:
    """Record what the metadata of the file will say: the title, and the fingerprint of the data if there is one."""
    figure._bsv_store = {"title": title, "fingerprint": fingerprint}  # type: ignore[attr-defined]


def check_path(path: Path | str, *, overwrite: bool | None = None) -> Path:
    """The path of a figure, whose suffix selects the format.

    Parameters
    ----------
    path : path
    overwrite : bool, optional
        If given, also check whether the file may be written, before the work of drawing.

    Raises
    ------
    InputError
        If it does not end in .png, .pdf or .svg, or the file may not be written.
    """
    target = _ending_in(SUFFIXES, path)
    if overwrite is not None:
        check_target(target, overwrite=overwrite)
    return target


def check_html_path(path: Path | str) -> Path:
    """The path of a page.

    Raises
    ------
    InputError
        If it does not end in .html or .htm.
    """
    return _ending_in(HTML_SUFFIXES, path)


def _ending_in(suffixes: Sequence[str], path: Path | str) -> Path:
    target = checked_path("path", path)
    if target.suffix.lower() not in suffixes:
        raise InputError(f"path must end in {joined(suffixes, 'or')}, got {target.name!r}")
    return target


def save_figure(figure: Figure, path: Path | str, *, dpi: int = DPI, overwrite: bool = False) -> Path:
    """Write a figure as .png, .pdf or .svg; the metadata name the title, the fingerprint and the software.

    PDF files embed TrueType fonts, SVG files have text as text, and equal figures give equal files.

    Raises
    ------
    InputError
        If the suffix is not valid, or the file exists or cannot be written.
    NoSpaceError
        If the disk is full.
    """
    import matplotlib as mpl

    target = check_path(path)
    with (
        mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "bsv-store"}),
        atomic_output(target, overwrite=overwrite) as temporary,
    ):
        figure.savefig(temporary, dpi=dpi, metadata=_metadata(figure, target.suffix.lower()))
        if target.suffix.lower() == ".svg":
            _show_all_characters(temporary)
    return target


def _show_all_characters(file: Path) -> None:
    """Escape characters of an SVG file that are not visible, such as those that reverse a text."""
    text = file.read_text(encoding="utf-8")
    if (shown := visible(text)) != text:
        file.write_text(shown, encoding="utf-8")


def _metadata(figure: Figure, suffix: str) -> dict[str, Any]:
    """The metadata under the names of each format, without times."""
    facts = getattr(figure, "_bsv_store", {"title": "", "fingerprint": None})
    program = f"bsv-store {__version__}"
    source = f"Fingerprint {facts['fingerprint']}" if facts["fingerprint"] else ""
    if suffix == ".png":
        return {"Title": facts["title"], "Description": source, "Software": program}
    if suffix == ".pdf":
        return {"Title": facts["title"], "Subject": source, "Creator": program, "CreationDate": None}
    return {"Title": facts["title"], "Description": source, "Creator": program, "Date": None}
