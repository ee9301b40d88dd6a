"""The drawings of maps and rankings from arrays: what is where, and reference images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.figures.brain import AnnotatedPlane, upright
from bsv_store.figures.injections import (
    Backdrop,
    Category,
    Sites,
    borders_of,
    draw_injections,
    regions_of,
    silhouette_of,
)
from bsv_store.figures.matrix import Division, MatrixAxis, draw_matrix
from bsv_store.vocabulary import PLANES, MatrixScale, Theme
from bsv_store.volumes.grid import ARRAY_AXES, Grid
from tests.figures.chart_images import looks_like_reference

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")


def annotation() -> NDArray[np.uint32]:
    """A box AP 3-10, DV 1-6, ML 2-10 mm of structure 5, with structure 7 in its right half below DV 3 mm."""
    ids = np.zeros(Grid(100).shape, np.uint32)
    ids[30:100, 10:60, 20:100] = 5
    ids[30:100, 30:60, 57:100] = 7
    return ids


LABELS = {5: 5, 7: 7, 8: 7}
NAMED = {5: ("A", "#70ff71"), 7: ("B", "#ff7080"), 9: ("C", "#000000")}


def plane(name: str, at_mm: float) -> AnnotatedPlane:
    row = PLANES[name]
    ids = np.take(annotation(), int(at_mm * 10), axis=ARRAY_AXES.index(row.across))
    return AnnotatedPlane(upright(ids, row), 100)


def bounds(lines: Sequence[NDArray[np.float64]]) -> list[float]:
    points = np.concatenate(lines)
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def test_silhouettes_and_structures_lie_where_the_annotation_is() -> None:
    near: dict[str, Any] = {"abs": 0.06}
    # Left, top, right and bottom in mm.
    assert bounds(silhouette_of(plane("coronal", 5.0))) == pytest.approx([2, 1, 10, 6], **near)
    assert bounds(silhouette_of(plane("sagittal", 5.0))) == pytest.approx([3, 1, 10, 6], **near)
    assert bounds(silhouette_of(plane("horizontal", 5.0))) == pytest.approx([2, 3, 10, 10], **near)
    found = {region.acronym: bounds(region.outlines) for region in regions_of(plane("coronal", 5.0), LABELS, NAMED)}
    assert found["B"] == pytest.approx([5.7, 3, 10, 6], **near)
    assert set(found) == {"A", "B"}
    assert regions_of(plane("sagittal", 1.0), LABELS, NAMED) == []
    assert [region.acronym for region in regions_of(plane("horizontal", 2.0), LABELS, NAMED)] == ["A"]
    assert bounds(borders_of(plane("coronal", 5.0), {7: 7})) == pytest.approx([5.7, 3, 10, 6], **near)


def sites(count: int = 30) -> Sites:
    random = np.random.default_rng(3)
    points = random.uniform([3.5, 1.5, 2.5], [9.5, 5.5, 9.5], (count, 3))
    groups = tuple(Category(f"AP {n} mm", np.flatnonzero(np.arange(count) % 4 == n)) for n in range(3))
    rest = Category("others (2)", np.flatnonzero(np.arange(count) % 4 == 3))
    volumes = random.uniform(0.01, 0.6, count)
    volumes[5] = np.nan
    return Sites(points, volumes, groups, rest, True, "Group")


@pytest.mark.parametrize(("theme", "width_mm"), [("light", 180.0), ("dark", 85.0)])
def test_the_injection_map_looks_like_its_reference(theme: Theme, width_mm: float) -> None:
    backdrop = Backdrop(
        {name: silhouette_of(plane(name, 5.0)) for name in PLANES},
        {name: borders_of(plane(name, 5.0), LABELS) for name in PLANES},
        regions_of(plane("horizontal", 2.0), LABELS, NAMED),
    )
    figure = draw_injections(
        sites(), backdrop, title="Sites", notes=["n = 30."], fingerprint="0123456789abcdef", width_mm=width_mm,
        theme=theme, footer=True,
    )  # fmt: skip
    assert looks_like_reference(figure, f"injections_{theme}")


def test_structures_of_one_color_have_different_symbols() -> None:
    symbols = [
        Category(f"VIS{number}", np.array([number]), color) for number in range(13) for color in ("#08858c", "#188064")
    ]
    chosen = Sites(np.full((13, 3), 5.0), np.full(13, 0.2), tuple(symbols), None, False, "Primary structure")
    empty: dict[str, Any] = {name: [] for name in PLANES}
    figure = draw_injections(
        chosen, Backdrop(empty, empty, []), title="", notes=[], fingerprint="", width_mm=180, theme="light", footer=True
    )
    (panel,) = [each for each in figure.axes if each.get_label() == "coronal"]
    drawn: list[Any] = list(panel.collections)
    outlines = [each.get_paths()[0] for each in drawn]
    different = {
        (tuple(each.get_facecolor()[0]), path.vertices.tobytes()) for each, path in zip(drawn, outlines, strict=True)
    }
    assert len(different) == len(drawn) == 26
    # Of the same volume, they have the same area.
    areas = [_area(path.to_polygons()[0]) * each.get_sizes()[0] for each, path in zip(drawn, outlines, strict=True)]
    assert areas == pytest.approx([areas[0]] * 26, rel=1e-3)


def _area(polygon: Any) -> float:
    x, y = np.asarray(polygon).T
    return float(abs(x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2)


@pytest.mark.parametrize(
    ("colors", "different"),
    [(("#08858c", "#0a8e94"), True), (("#1f9d5a", "#11ad83"), True), (("#08858c", "#ff7080"), False)],
)
def test_sites_with_colors_that_look_the_same_have_different_symbols(colors: tuple[str, str], different: bool) -> None:
    categories = tuple(Category(f"VIS{number}", np.array([number]), color) for number, color in enumerate(colors))
    chosen = Sites(np.full((2, 3), 5.0), np.full(2, 0.2), categories, None, False, "Primary structure")
    empty: dict[str, Any] = {name: [] for name in PLANES}
    figure = draw_injections(
        chosen, Backdrop(empty, empty, []), title="", notes=[], fingerprint="", width_mm=85, theme="light", footer=True
    )
    (panel,) = [each for each in figure.axes if each.get_label() == "coronal"]
    drawn: list[Any] = list(panel.collections)
    first, second = (each.get_paths()[0].vertices for each in drawn)
    assert np.array_equal(first, second) is not different


def axis(name: str, count: int) -> MatrixAxis:
    divisions = (Division(0, "Isocortex", "#70ff71"), Division(1, "TH", "#ff7080"), None)
    return MatrixAxis(name, tuple(f"{name[0].upper()}{n}" for n in range(count)),
                      tuple(divisions[min(3 * n // count, 2)] for n in range(count)))  # fmt: skip


@pytest.mark.parametrize(("theme", "scale", "width_mm"), [("light", "linear", 180.0), ("dark", "log", 85.0)])
def test_the_matrix_looks_like_its_reference(theme: Theme, scale: MatrixScale, width_mm: float) -> None:
    values = np.random.default_rng(1).exponential(size=(2, 9, 20)) ** 3
    values[0, 4, 5:8] = np.nan
    values[1] /= 5
    figure = draw_matrix(
        {"ipsilateral": values[0], "contralateral": values[1]}, axis("source", 9), axis("target", 20), scale=scale,
        separators=True, quantity="projection volume (mm3), mean", title="Matrix", notes=["A note."],
        width_mm=width_mm, theme=theme, footer=True,
    )  # fmt: skip
    assert looks_like_reference(figure, f"matrix_{theme}")


@pytest.mark.parametrize("most", [1, 3, 9, 25])
def test_the_color_scale_of_a_matrix_of_counts_has_whole_numbers(most: int) -> None:
    counts = np.linspace(1, most, 36).round().reshape(4, 9)
    figure = draw_matrix(
        {"both": counts}, axis("source", 4), axis("target", 9), scale="linear", separators=True, quantity="n",
        title="", notes=[], width_mm=85, theme="light", footer=True, is_count=True,
    )  # fmt: skip
    figure.canvas.draw()
    bar = next(each for each in figure.axes if each.get_ylabel() == "n")
    labels = [text.get_text() for text in bar.get_yticklabels()]
    assert len(labels) > 1
    assert all(label.isdigit() for label in labels)


def test_labels_of_a_matrix_are_thinned_out_or_left_out_where_they_do_not_fit() -> None:
    texts = {}
    for count in (20, 60, 400):
        figure = draw_matrix(
            {"both": np.ones((4, count))}, axis("source", 4), axis("target", count), scale="linear", separators=True,
            quantity="n", title="", notes=[], width_mm=85, theme="light", footer=True,
        )  # fmt: skip
        (axes,) = [each for each in figure.axes if each.get_label() == "both"]
        texts[count] = [text.get_text() for text in axes.get_xticklabels()]
        said = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
        assert ("is labeled" in said) == (count == 60)
        assert ("400 targets, too many for labels" in said) == (count == 400)
        figure.canvas.draw()
        # The box of a text has the height of 'lp', those of capitals and digits are lower.
        boxes = [text.get_window_extent().shrunk(0.75, 1) for text in axes.get_xticklabels()]
        assert not any(box.overlaps(other) for box, other in pairwise(boxes))
    assert texts[20] == [f"T{n}" for n in range(20)]
    assert 10 < len(texts[60]) < 60
    assert texts[400] == []
