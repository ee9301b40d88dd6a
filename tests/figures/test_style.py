"""Themes, sizes and saving, which all figures share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store.errors import InputError
from bsv_store.figures.style import describe, new_figure, save_figure
from bsv_store.vocabulary import THEMES, Theme

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_has_colors_that_matplotlib_knows(theme: Theme) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import is_color_like

    row = THEMES[theme]
    assert all(is_color_like(color) for color in (row.background, row.ink, row.muted, row.line, row.no_data))
    assert row.signal in colormaps
    assert row.difference in colormaps


def test_a_figure_has_the_width_that_was_asked_for_and_is_shown_in_notebooks() -> None:
    figure = new_figure(width_mm=85, height_mm=40)
    assert figure.get_size_inches() == pytest.approx((85 / 25.4, 40 / 25.4))
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="width_mm must be from 40 to 1000, got 5"):
        new_figure(width_mm=5, height_mm=40)
    with pytest.raises(InputError, match="theme"):
        new_figure(height_mm=40, theme="pink")  # type: ignore[arg-type]


@pytest.mark.parametrize(("suffix", "written"), [(".png", b"Fingerprint 0123"), (".svg", b"Fingerprint 0123")])
def test_files_name_title_and_fingerprint_and_are_reproducible(tmp_path: Path, suffix: str, written: bytes) -> None:
    contents = []
    for name in ("a", "b"):
        figure = new_figure(height_mm=40)
        figure.text(0.5, 0.5, "VISp")
        describe(figure, title="Where does VISp project?", fingerprint="0123")
        contents.append(save_figure(figure, tmp_path / f"{name}{suffix}").read_bytes())
    assert contents[0] == contents[1]
    assert written in contents[0]
    assert b"Where does VISp project?" in contents[0]


def test_svg_has_text_as_text_and_pdf_has_truetype_fonts(tmp_path: Path) -> None:
    figure = new_figure(height_mm=40)
    figure.text(0.5, 0.5, "VISp")
    assert ">VISp</text>" in save_figure(figure, tmp_path / "a.svg").read_text()
    assert b"/Type3" not in save_figure(figure, tmp_path / "a.pdf").read_bytes()
    with pytest.raises(InputError, match=r"path must end in \.png, \.pdf or \.svg"):
        save_figure(figure, tmp_path / "a.docx")
