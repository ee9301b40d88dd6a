"""Slices, projections, region maps and overlays: what is drawn where, in CCF coordinates."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nrrd
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from bsv_store import Selection, Store, by_coordinate, by_region, create_store, crossed, reports
from bsv_store.errors import BsvStoreWarning, InputError, MissingDataError, UnknownStructureError
from bsv_store.figures.brain import Brain
from bsv_store.figures.layout import shortened, text_mm, wrapped
from bsv_store.figures.overlay import blended
from bsv_store.figures.planes import explicit_planes
from bsv_store.figures.projections import draw_projections
from bsv_store.figures.region_map import checked_values
from bsv_store.figures.slices import draw_slices
from bsv_store.figures.sources import Source, SourceRow, source_of_version
from bsv_store.reports.anatomy import brain_of
from bsv_store.vocabulary import PLANES, THEMES, HemisphereRule, Plane
from bsv_store.volumes.grid import Grid
from tests.datasets.world import SHAPE, add_annotation, add_volume, fill
from tests.figures.panels import panels
from tests.reports.conftest import LEFT_SIGNAL, RIGHT_SIGNAL, annotation, fill_with_blocks, volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The middle of the right signal in mm: AP, DV, ML.
AP, DV, ML = 9.0, 1.5, 8.6
DV_ML_RIGHT, DV_ML_LEFT = RIGHT_SIGNAL[1:], LEFT_SIGNAL[1:]


def texts_of(figure: Figure) -> list[str]:
    return [
        *(text.get_text() for text in figure.texts),
        *(text.get_text() for axes in panels(figure) for text in axes.texts),
    ]


def everything_written(figure: Figure) -> set[str]:
    """All texts of a figure, including those of scales."""
    return {each.get_text() for each in figure.findobj(Text)}


def assert_inside(figure: Figure) -> None:
    """No text is cut off at the edges of the page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [*figure.texts, *(text for axes in panels(figure) for text in (*axes.texts, axes.title, axes._left_title))]
    for text in texts:
        extent = text.get_window_extent(renderer)
        assert extent.x0 >= -1, text
        assert extent.x1 <= figure.bbox.width + 1, text
        assert extent.y0 >= -1, text


def footer_of(figure: Figure) -> str:
    """All lines in the color of notes."""
    muted = {row.muted for row in THEMES.values()}
    return " ".join(text.get_text() for text in figure.texts if text.get_color() in muted)


def middle_of_signal(axes: Any) -> tuple[float, float]:
    """Right and down, in data coordinates, of the pixels with the largest values."""
    (image,) = axes.images
    values = np.nan_to_num(np.asarray(image.get_array()))
    left, right, bottom, top = image.get_extent()
    rows, columns = np.nonzero(values >= 0.9 * values.max())
    height, width = values.shape
    return (
        left + (columns.mean() + 0.5) / width * (right - left),
        top + (rows.mean() + 0.5) / height * (bottom - top),
    )


@pytest.mark.parametrize(
    ("plane", "at_mm", "expected", "ends"),
    [
        ("coronal", 9.0, (ML, DV), ("L", "R")),
        ("sagittal", 8.6, (AP, DV), ("A", "P")),
        ("horizontal", 1.5, (ML, AP), ("L", "R")),
    ],
)
def test_a_block_of_signal_appears_where_it_is(
    blocks: Store, plane: Plane, at_mm: float, expected: tuple[float, float], ends: tuple[str, str]
) -> None:
    figure = reports.slices(blocks, 1, plane=plane, at_mm=at_mm)
    axes = panels(figure)[0]
    assert middle_of_signal(axes) == pytest.approx(expected)
    # x grows to the right and y downward on paper, so the position in mm is the position on paper.
    origin, right, down = axes.transData.transform([(0, 0), (1, 0), (0, 1)])
    assert right[0] > origin[0]
    assert down[1] < origin[1]
    left_text, right_text = (
        next(text for text in axes.texts if text.get_text() == end and text.get_position()[1] == 1.0) for end in ends
    )
    assert left_text.get_position()[0] < right_text.get_position()[0]


def test_sagittal_planes_name_their_hemisphere(blocks: Store) -> None:
    assert {"ML 8.6 mm (R)"} <= set(texts_of(reports.slices(blocks, 1, plane="sagittal", at_mm=8.6)))
    assert {"ML 2.8 mm (L)"} <= set(texts_of(reports.slices(blocks, 3, plane="sagittal", at_mm=2.8)))
    through = texts_of(reports.slices(blocks, 3, plane="sagittal", through="VISp", count=2))
    assert {"ML 2.3 mm (L)", "ML 3.0 mm (L)"} <= set(through)


def test_folded_versions_are_labeled_by_the_injected_side(blocks: Store) -> None:
    figure = reports.slices(blocks, "folded@1", at_mm=9.0)
    axes = panels(figure)[0]
    # Both experiments were injected on the left, at ML 2.7; folded they lie on the right.
    assert middle_of_signal(axes) == pytest.approx((11.4 - 2.7, DV))
    at = {text.get_text(): text.get_position()[0] for text in axes.texts}
    assert at["contra"] < at["ipsi"]
    assert "L" not in at
    above = reports.projections(blocks, "folded@1").axes[0]
    assert {"contra", "ipsi"} <= {text.get_text() for text in above.texts}
    sagittal = texts_of(reports.slices(blocks, "folded@1", plane="sagittal", at_mm=8.7))
    assert "ML 8.7 mm (ipsi)" in sagittal


def test_emphasized_structures_are_outlined_where_they_are(blocks: Store) -> None:
    figure = reports.slices(blocks, 1, at_mm=9.0, emphasize=["VISp", "VISpm"])
    axes = panels(figure)[0]
    areas = {}
    for patch in axes.patches:
        box = patch.get_path().get_extents()
        areas[round(box.x0, 1), round(box.x1, 1)] = patch.get_path()
    # VISp has a part on each side, VISpm only one on the right.
    assert set(areas) == {(1.9, 9.5), (6.2, 7.2)}
    visp = areas[1.9, 9.5]
    inside = visp.contains_points([(8.7, 1.5), (2.6, 1.5), (5.7, 1.5), (8.7, 2.2), (7.8, 1.5), (9.7, 1.5)])
    assert inside.tolist() == [True, True, False, False, False, False]
    assert visp.get_extents().y0 == pytest.approx(1.0, abs=0.05)
    assert visp.get_extents().y1 == pytest.approx(2.0, abs=0.05)
    # The signal is on the right, so VISp is labeled on the left.
    _halo, label = (text for text in axes.texts if text.get_text() == "VISp")
    assert visp.contains_point(label.get_position())
    assert label.get_position()[0] < 5.7


def test_the_brain_and_the_borders_of_structures_are_lines(blocks: Store) -> None:
    def extents(outlines: Any) -> list[tuple[float, ...]]:
        figure = reports.slices(blocks, 1, at_mm=9.0, outlines=outlines)
        lines = [segment for group in panels(figure)[0].collections for segment in group.get_segments()]
        return sorted({tuple(np.round([*line.min(axis=0), *line.max(axis=0)], 1)) for line in lines})

    brain = (1.0, 1.0, 10.4, 6.0)
    visp = {(1.9, 1.0, 3.4, 2.0), (8.0, 1.0, 9.5, 2.0)}
    visual = (6.2, 1.0, 7.2, 2.0)
    assert set(extents(0)) == {brain}
    assert set(extents([])) == {brain}
    assert set(extents("VISp")) == {brain, *visp}
    assert set(extents(3)) == {brain, *visp, visual}


def test_the_scale_bar_is_one_millimeter_long(blocks: Store) -> None:
    figure = reports.slices(blocks, 1, at_mm=[9.0, 9.2], width_mm=120)
    axes = panels(figure)[0]
    (bar,) = (line for line in axes.lines if line.get_gid() == "scale-bar")
    x = np.asarray(bar.get_xdata(), float)
    assert np.ptp(x) == pytest.approx(1.0)
    assert "1 mm" in texts_of(figure)
    # The same length as a millimeter of the image, in both directions.
    figure.canvas.draw()
    (x0, y0), (x1, y1) = axes.transData.transform([(0, 0), (1, 1)])
    assert x1 - x0 == pytest.approx(y0 - y1, rel=1e-3)


def test_rows_are_groups_with_their_number_of_experiments(blocks: Store) -> None:
    figure = reports.slices(blocks, "lines@1", at_mm=[8.8, 9.0, 9.2])
    images = [axes for axes in panels(figure) if axes.images][:6]
    assert len({id(axes) for axes in images}) == 6
    labels = [text for text in texts_of(figure) if "n = " in text]
    assert "Rbp4-Cre_KL100  (n = 2)" in labels
    assert "wild-type  (n = 3)" in labels
    first = [group.label for group in blocks.dataset("lines").groups].index("Rbp4-Cre_KL100")
    assert middle_of_signal(images[3 * first])[0] == pytest.approx(2.7)
    assert middle_of_signal(images[3 * (1 - first)])[0] == pytest.approx(ML)
    assert {"AP 8.8 mm", "AP 9.0 mm", "AP 9.2 mm"} <= set(texts_of(figure))
    assert figure.texts[0].get_text() == "lines@1: mean of projection density (n = 5)"
    assert "Fingerprint" in footer_of(figure)


def test_planes_go_through_the_structure_or_through_the_signal(blocks: Store) -> None:
    def positions(**options: Any) -> list[float]:
        found = [text for text in texts_of(reports.slices(blocks, 1, **options)) if text.startswith("AP ")]
        return [float(text.split()[1]) for text in found]

    through = positions(through="VISp", count=4)
    assert through == sorted(through)
    assert len(through) == 4
    assert all(8.0 <= at < 10.0 for at in through)
    by_signal = positions(count=3)
    assert len(by_signal) == 3
    assert all(8.5 <= at < 9.5 for at in by_signal)


def test_a_difference_has_a_scale_around_zero(blocks: Store) -> None:
    figure = reports.slices(blocks, "lines@1", minus=0, at_mm=9.0)
    assert "0.998 quantile of the absolute non-zero values" in footer_of(figure)
    (image,) = panels(figure)[0].images
    # Group 0 has the wild types, which were injected on the right.
    values = {round(float(value), 3) for value in np.unique(np.asarray(image.get_array()))}
    assert values == {-0.8, 0.0, 0.4}
    assert image.norm.vmin == -image.norm.vmax
    assert image.norm(0.0) == pytest.approx(0.5)
    assert any(" − " in text for text in texts_of(figure))


def test_a_difference_of_numbers_of_experiments_can_be_negative(blocks: Store) -> None:
    version = blocks.aggregate(
        Selection(injected_in="VIS"), group_by="line", statistics=["mean", "n"], name="counted-lines"
    )
    counts = [int(version.statistic("n", group=number).max()) for number in (0, 1)]
    fewer = int(np.argmin(counts))
    assert counts[0] != counts[1]
    figure = reports.slices(blocks, version, statistic="n", groups=fewer, minus=1 - fewer, at_mm=9.0)
    assert np.asarray(panels(figure)[0].images[0].get_array()).min() == counts[fewer] - max(counts)
    assert "difference of n of" in " ".join(texts_of(figure))
    quantity = source_of_version(version, statistic="n", groups=fewer, minus=1 - fewer).quantity
    assert quantity == "difference of number of experiments with data"


def test_numbers_of_experiments_are_drawn_in_the_brain_only_and_on_a_linear_scale(blocks: Store) -> None:
    version = blocks.aggregate([1, 2, 4], statistics=["mean", "n"], name="counted")
    figure = reports.slices(blocks, version, statistic="n", at_mm=9.0)
    image = panels(figure)[0].images[0]
    values = np.asarray(image.get_array())
    assert values.shape == (80, 114)
    assert np.array_equal(values != 0, annotation()[90] != 0)
    assert image.norm(1.5) == pytest.approx(0.5)
    assert "counted@1: number of experiments with data (n = 3)" in texts_of(figure)
    above = np.asarray(reports.projections(blocks, version, statistic="n").axes[0].images[0].get_array())
    assert np.array_equal(above != 0, (annotation() != 0).any(axis=1))
    chosen = panels(reports.slices(blocks, version, statistic="n", at_mm=9.0, scale="power"))[0].images[0]
    assert chosen.norm(1.5) > 0.6


@pytest.mark.parametrize("plane", ["coronal", "sagittal", "horizontal"])
def test_panels_of_one_row_are_large_in_a_column(blocks: Store, plane: Any) -> None:
    title = "A title of several lines. " * 8
    figure = reports.slices(blocks, 1, plane=plane, through="VISp", count=6, width_mm=85, title=title)
    widths = [axes.get_position().width * 85 for axes in panels(figure)[:6]]
    assert min(widths) > 20
    assert figure.get_size_inches()[1] * 25.4 < 170


def test_data_masks_are_drawn_in_the_brain_only(blocks: Store) -> None:
    add_volume(blocks, 1, kind="data_mask", array=np.ones((132, 80, 114), np.float32))
    figure = reports.slices(blocks, 1, kind="data_mask", at_mm=9.0)
    assert np.array_equal(np.asarray(figure.axes[0].images[0].get_array()) != 0, annotation()[90] != 0)
    assert "Linear color scale to 1" in footer_of(figure)
    masks = blocks.aggregate([1], kind="data_mask", name="masks")
    values = np.asarray(reports.slices(blocks, masks, at_mm=9.0).axes[0].images[0].get_array())
    assert np.array_equal(values != 0, annotation()[90] != 0)


def test_maps_of_a_comparison_are_drawn(blocks: Store) -> None:
    with pytest.warns(BsvStoreWarning, match="smallest possible"):
        version = blocks.compare_voxels([1, 2, 4], [3, 5], name="sides", permutations=10)
    figure = reports.slices(blocks, version, statistic="difference", at_mm=9.0)
    image = panels(figure)[0].images[0]
    values = np.asarray(image.get_array())
    assert values[DV_ML_RIGHT].min() == pytest.approx(0.8)
    assert values[DV_ML_LEFT].max() == pytest.approx(-0.4)
    assert image.norm.vmin == -image.norm.vmax
    assert "sides@1: a (n = 3) − b (n = 2)" in texts_of(figure)
    assert {f"a − b: {version.quantity}", "−0.8", "0.8"} <= everything_written(figure)
    with pytest.warns(BsvStoreWarning, match="smallest possible"):
        long = blocks.compare_voxels([1, 2, 4], [3, 5], name="long", permutations=10, labels=["a" * 30, "b" * 30])
    figure = reports.slices(blocks, long, statistic="difference", at_mm=9.0)
    assert f"first − second group: {version.quantity}" in everything_written(figure)
    narrow = reports.slices(blocks, version, statistic="p_max_t", at_mm=9.0, width_mm=60)
    image = panels(narrow)[0].images[0]
    p = np.asarray(image.get_array())
    assert p.min() >= 0
    assert p[0, 0] == 0
    # A square-root scale of -log10 p would show p of 0.5.
    assert image.norm(image.norm.vmax / 2) == pytest.approx(0.5)
    # With 5 experiments no p is small, so no voxel is dark.
    assert image.norm.vmax == pytest.approx(-np.log10(0.05))
    assert p.max() < image.norm.vmax
    assert "p = 0.05" in " ".join(texts_of(narrow))
    assert_inside(narrow)
    assert reports.projections(blocks, version, statistic="t").axes[0].images
    with pytest.raises(InputError, match="groups cannot be combined"):
        reports.slices(blocks, version, statistic="t", groups=[0])
    with pytest.raises(InputError, match="statistic must be one of"):
        reports.slices(blocks, version, statistic="u")  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", ["linear", "log", "power"])
def test_the_color_scale_ends_at_the_quantile_and_hides_zero(blocks: Store, scale: Any) -> None:
    figure = reports.slices(blocks, "lines@1", at_mm=9.0, scale=scale)
    image = panels(figure)[0].images[0]
    assert image.norm.vmax == pytest.approx(0.8)
    colors = image.cmap(image.norm(np.array([0.0, 0.8])))
    assert colors[:, 3].tolist() == [0.0, 1.0]
    assert "0.998 quantile" in footer_of(figure)
    given = reports.slices(blocks, "lines@1", at_mm=9.0, scale=scale, vmin=0.1, vmax=0.5)
    assert given.axes[0].images[0].get_clim() == (0.1, 0.5)
    assert "quantile" not in footer_of(given)


def test_weak_signal_is_visible_by_default(blocks: Store) -> None:
    image = panels(reports.slices(blocks, 1, at_mm=9.0))[0].images[0]
    weak = image.cmap(image.norm(0.02 * image.norm.vmax))
    assert weak[3] > 0.7


def test_each_row_can_have_its_own_scale(blocks: Store) -> None:
    figure = reports.slices(blocks, "lines@1", at_mm=9.0, shared=False)
    first, first_bar, second, second_bar = panels(figure)
    assert [axes.images[0].norm.vmax for axes in (first, second)] == pytest.approx([0.8, 0.4])
    assert [axes.get_yticklabels()[-1].get_text() for axes in (first_bar, second_bar)] == ["0.8", "0.4"]
    own = "Each row has its own square-root color scale, to the 0.998 quantile of the non-zero values of the row."
    assert own in footer_of(figure)
    given = footer_of(reports.slices(blocks, "lines@1", at_mm=9.0, shared=False, vmax=0.5))
    assert "Square-root color scale to 0.5. " in given
    assert "quantile" not in given
    above = footer_of(reports.projections(blocks, "lines@1", shared=False, quantile=1))
    assert "Each row has its own linear color scale, to the largest value of the row." in above


def test_signal_can_be_limited_to_structures(blocks: Store) -> None:
    figure = reports.slices(blocks, [1, 3], at_mm=9.0, region_only="VISpm")
    assert all(np.asarray(axes.images[0].get_array()).max() == 0 for axes in panels(figure)[:2])
    assert "Signal outside VISpm is not shown." in footer_of(figure)
    two = footer_of(reports.slices(blocks, 1, at_mm=9.0, region_only=["VISp", "VISpm"]))
    assert "Signal outside VISp and VISpm is not shown." in two
    inside = reports.slices(blocks, 1, at_mm=9.0, region_only="VISp").axes[0]
    assert np.count_nonzero(np.asarray(inside.images[0].get_array())) == 6 * 8


def test_smoothing_keeps_the_sum_and_ignores_voxels_without_data(blocks: Store) -> None:
    array = volume(((slice(88, 91), slice(30, 33), slice(60, 63)), 1.0))
    array[:, :20] = np.nan
    add_volume(blocks, 6, array=array)
    plain, smooth = (
        np.asarray(reports.slices(blocks, 6, at_mm=8.9, smooth_um=um).axes[0].images[0].get_array()) for um in (0, 150)
    )
    assert np.isnan(smooth[:20]).all()
    assert not np.isnan(smooth[20:]).any()
    # The block is three planes deep, so one plane keeps the part of a Gaussian within 1.5 voxels.
    assert np.nansum(smooth) == pytest.approx(0.68 * np.nansum(plain), rel=0.1)
    assert smooth[31, 61] < 1 == plain[31, 61]
    assert "Gaussian of 150" in footer_of(reports.slices(blocks, 6, at_mm=8.9, smooth_um=150))


def test_gray_is_no_data_and_the_footer_says_so(blocks: Store) -> None:
    array = volume((RIGHT_SIGNAL, 0.5))
    array[..., 57:] = np.nan
    add_volume(blocks, 7, array=array)
    image = reports.slices(blocks, 7, at_mm=9.0).axes[0].images[0]
    unknown = image.cmap(np.ma.masked_invalid([np.nan]))[0]
    assert unknown[3] == 1
    assert "Gray: no data (not 0)." in footer_of(reports.slices(blocks, 7, at_mm=9.0))
    assert "Gray" not in footer_of(reports.slices(blocks, 1, at_mm=9.0))


def test_without_an_annotation_the_signal_is_outlined_and_only_that_is_said(tmp_path: Path) -> None:
    with create_store(tmp_path / "store") as store:
        fill(store, volumes=())
        add_volume(store, 1, array=volume(((slice(70, 110), slice(20, 50), slice(60, 90)), 0.5)))
        figure = reports.slices(store, 1, at_mm=9.0)
        (lines,) = panels(figure)[0].collections
        box = np.concatenate(lines.get_segments())
        assert [*box.min(axis=0), *box.max(axis=0)] == pytest.approx([6.0, 2.0, 9.0, 5.0], abs=0.15)
        assert "the store has no annotation" in footer_of(figure)
        colors = {text.get_color() for text in figure.texts}
        assert THEMES["light"].warning not in colors
        for needs in ({"emphasize": "VISp"}, {"region_only": "VISp"}, {"outlines": 3}, {"through": "VISp"}):
            with pytest.raises(MissingDataError, match="annotation") as caught:
                reports.slices(store, 1, **needs)
            assert "sync annotation" in str(caught.value.hint)
        with pytest.raises(MissingDataError, match="region_map"):
            reports.region_map(store, {"VISp": 1.0})
        assert "no annotation" in footer_of(reports.projections(store, 1))


def test_a_template_lies_behind_the_signal(blocks: Store, tmp_path: Path) -> None:
    template = np.zeros(SHAPE, np.float32)
    template[85:95, 40:45, 20:30] = 500
    template[-1] = np.nan
    nrrd.write(str(tmp_path / "template.nrrd"), template, index_order="F")
    for plane, at_mm, expected in (
        ("coronal", 9.0, (2.5, 4.25)),
        ("sagittal", 2.5, (9.0, 4.25)),
        ("horizontal", 4.2, (2.5, 9.0)),
    ):
        figure = reports.slices(blocks, 1, plane=plane, at_mm=at_mm, background=tmp_path / "template.nrrd")  # type: ignore[arg-type]
        behind, _signal = panels(figure)[0].images
        colors = np.asarray(behind.get_array())
        rows, columns = np.nonzero(colors[..., 3])
        left, right, bottom, top = behind.get_extent()
        at = (
            (columns.mean() + 0.5) * (right - left) / colors.shape[1] + left,
            (rows.mean() + 0.5) * (bottom - top) / colors.shape[0] + top,
        )
        assert at == pytest.approx(expected)
    with pytest.raises(InputError, match="nix"):
        reports.slices(blocks, 1, at_mm=9.0, background=tmp_path / "nix.nrrd")


def test_the_template_of_the_store_lies_behind_the_signal_and_is_named(tmp_path: Path) -> None:
    # Normalized intensities, which must not become integers.
    template = np.zeros(SHAPE, np.float32)
    template[85:95, 40:45, 20:30] = 0.5
    nrrd.write(str(tmp_path / "average_template_100.nrrd"), template, index_order="F")
    with create_store(tmp_path / "store") as store:
        fill_with_blocks(store)
        with pytest.raises(MissingDataError, match="average template") as caught:
            reports.slices(store, 1, at_mm=9.0, background="template")
        assert caught.value.hint == "Download it: bsv-store sync template --spacing 25"
        store.ingest_template(tmp_path / "average_template_100.nrrd")
        for plane, at_mm in (("coronal", 9.0), ("sagittal", 2.5), ("horizontal", 4.2)):
            place: dict[str, Any] = {"plane": plane, "at_mm": at_mm}
            stored = reports.slices(store, 1, background="template", **place)
            read = reports.slices(store, 1, background=tmp_path / "average_template_100.nrrd", **place)
            one, other = (np.asarray(each.axes[0].images[0].get_array()) for each in (stored, read))
            assert one[..., 3].any()
            np.testing.assert_array_equal(one, other)
            assert "average template at 100 µm (average_template_100.nrrd)" in footer_of(stored)
        with pytest.raises(InputError, match="must be 'template' or the path"):
            reports.slices(store, 1, at_mm=9.0, background="tempalte")


# -- projections --------------------------------------------------------------------------------------------------


def test_projections_are_upright_with_the_outline_of_the_brain(blocks: Store) -> None:
    figure = reports.projections(blocks, 1, emphasize="VISpm")
    above, front, left = panels(figure)[:3]
    expected = {above: (ML, AP), front: (ML, DV), left: (AP, DV)}
    brain = {above: (1.0, 2.0, 10.4, 11.0), front: (1.0, 1.0, 10.4, 6.0), left: (2.0, 1.0, 11.0, 6.0)}
    visual = {above: (6.2, 8.0, 7.2, 10.0), front: (6.2, 1.0, 7.2, 2.0), left: (8.0, 1.0, 10.0, 2.0)}
    for axes, middle in expected.items():
        assert middle_of_signal(axes) == pytest.approx(middle)
        line = np.concatenate(axes.collections[0].get_segments())
        assert [*line.min(axis=0), *line.max(axis=0)] == pytest.approx(brain[axes], abs=0.06)
        box = axes.patches[0].get_path().get_extents()
        assert [box.x0, box.y0, box.x1, box.y1] == pytest.approx(visual[axes], abs=0.06)
    assert {"from above", "from the front", "from the left"} <= set(texts_of(figure))


def source(rows: int) -> Source:
    """A source of one block per row."""
    array = volume((RIGHT_SIGNAL, 0.8))

    def read(axis: int, first: int, last: int) -> Any:
        return _part(array, axis, first, last)

    listed = tuple(SourceRow(f"group {number}", number + 1, read) for number in range(rows))
    return Source("visual@1: mean", "density", listed, Grid(100), ("left", "right"), ("visual@1",), "0123456789abcdef")


def _part(array: Any, axis: int, first: int, last: int) -> Any:
    return array[tuple(slice(first, last) if number == axis else slice(None) for number in range(3))]


def test_a_projection_keeps_the_largest_absolute_value(blocks: Store) -> None:
    both = source(1)
    array = volume((RIGHT_SIGNAL, 0.3), ((slice(85, 95), slice(30, 40), slice(82, 90)), -0.7))
    row = SourceRow("a", 2, lambda axis, first, last: _part(array, axis, first, last), (("AP", 8.5), ("AP", 9.5)))
    figure = draw_projections(replace(both, rows=(row,)), Brain(blocks.database, blocks.files))
    above = np.asarray(panels(figure)[0].images[0].get_array())
    assert above.min() == pytest.approx(-0.7)
    assert above.max() <= 0
    assert panels(figure)[0].images[0].norm(0.0) == pytest.approx(0.5)
    dashed = [line for line in panels(figure)[0].lines if line.get_gid() is None]
    assert sorted(line.get_ydata()[0] for line in dashed) == [8.5, 9.5]
    assert "Dashed: edges of the bin." in footer_of(figure)


def test_a_group_without_experiments_is_gray_and_labeled(blocks: Store) -> None:
    empty = source(2)
    empty = replace(empty, rows=(replace(empty.rows[0], n=0, is_empty=True), empty.rows[1]))
    brain = Brain(blocks.database, blocks.files)
    for figure in (draw_projections(empty, brain), draw_slices(empty, brain, at_mm=[9.0])):
        assert np.isnan(np.asarray(panels(figure)[0].images[0].get_array())).all()
        assert "no experiments" in texts_of(figure)


def test_a_difference_with_a_group_without_experiments_has_no_data(blocks: Store) -> None:
    version = blocks.aggregate(Selection(ids=[1, 2]), group_by=by_region(["VISp", "VISpm"]), name="with-empty")
    numbers = {group.n: group.number for group in version.groups}
    figure = reports.slices(blocks, version, minus=numbers[0], at_mm=9.0)
    assert np.isnan(np.asarray(panels(figure)[0].images[0].get_array())).all()
    assert "no experiments" in texts_of(figure)
    assert "Gray: no data (not 0)." in footer_of(figure)


def test_the_edges_of_crossed_bins_are_drawn_along_both_axes_and_mirrored_with_the_volumes(blocks: Store) -> None:
    grouping = crossed(by_coordinate("AP", edges=[8_000, 10_000]), by_coordinate("ML", edges=[2_000, 4_000]))

    def dashed(rule: HemisphereRule) -> tuple[set[float], set[float]]:
        version = blocks.aggregate(
            Selection(ids=[3, 5]), group_by=grouping, hemisphere_rule=rule, name=f"crossed-{rule}"
        )
        lines = panels(reports.projections(blocks, version))[0].lines
        across = [line for line in lines if line.get_xdata()[0] == line.get_xdata()[1] and line.get_gid() is None]
        along = [line for line in lines if line not in across and line.get_gid() is None]
        return {round(each.get_xdata()[0], 3) for each in across}, {round(each.get_ydata()[0], 3) for each in along}

    assert dashed("none") == ({2.0, 4.0}, {8.0, 10.0})
    assert dashed("fold_ipsilateral") == ({7.4, 9.4}, {8.0, 10.0})
    assert dashed("flip_to_left") == ({2.0, 4.0}, {8.0, 10.0})


@pytest.mark.parametrize("plane", ["coronal", "sagittal", "horizontal"])
def test_volumes_and_annotations_that_are_read_in_slabs(
    blocks: Store, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As at 50 um, where drawing takes seconds. The signal and the structure are in two of the slabs.
    for name in ("sources", "brain"):
        monkeypatch.setattr(f"bsv_store.figures.{name}.slab_ranges", lambda _grid: ((0, 44), (44, 88), (88, 132)))
    sliced = source(1)
    assert len(list(sliced.slabs(sliced.rows[0]))) == 3
    brain = Brain(blocks.database, blocks.files)
    expected = {"coronal": (ML, DV), "sagittal": (AP, DV), "horizontal": (ML, AP)}[plane]
    for chosen in ({"count": 2}, {"count": 1, "through": "VISp"}):
        figure = draw_slices(sliced, brain, plane=plane, emphasize="VISp", **chosen)
        axes = panels(figure)[0]
        assert middle_of_signal(axes) == pytest.approx(expected)
        assert axes.patches[0].get_path().contains_point(expected)
    mapped = reports.region_map(blocks, {"VISp": 1.0}, plane=plane, count=1).axes[0]
    assert color_at(mapped, expected)[3] == 1


def test_projections_of_volumes_that_are_read_in_slabs(fine: Store) -> None:
    array = volume((RIGHT_SIGNAL, 0.8)).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    row = SourceRow("", None, lambda axis, first, last: _part(array, axis, first, last))
    views = draw_projections(
        replace(source(1), rows=(row,), grid=Grid(50)), Brain(fine.database, fine.files), emphasize="VISp"
    ).axes[:3]
    for axes, middle in zip(views, ((ML, AP), (ML, DV), (AP, DV)), strict=True):
        assert middle_of_signal(axes) == pytest.approx(middle)
        assert axes.patches[0].get_path().contains_point(middle)


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the annotation at 50 um, whose files are read in several slabs."""
    with create_store(tmp_path_factory.mktemp("fine") / "store") as store:
        fill(store, volumes=())
        add_annotation(store, annotation().repeat(2, 0).repeat(2, 1).repeat(2, 2))
        yield store


# -- page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width_mm", [85, 180])
@pytest.mark.parametrize("rows", [1, 6, 20])
def test_groups_fill_their_page_without_overlap(blocks: Store, rows: int, width_mm: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    brain = Brain(blocks.database, blocks.files)
    for figure in (
        draw_slices(source(rows), brain, width_mm=width_mm, emphasize="VISp"),
        draw_projections(source(rows), brain, width_mm=width_mm),
    ):
        width, height = figure.get_size_inches() * 25.4
        assert width == pytest.approx(width_mm)
        assert height <= 245
        boxes = [axes.get_position() for axes in panels(figure)]
        for number, box in enumerate(boxes):
            assert 0 <= box.x0 < box.x1 <= 1.0001
            assert 0 <= box.y0 < box.y1 <= 1
            for other in boxes[:number]:
                assert (
                    box.x1 <= other.x0 + 1e-6
                    or other.x1 <= box.x0 + 1e-6
                    or box.y1 <= other.y0 + 1e-6
                    or other.y1 <= box.y0 + 1e-6
                )
        # Most of the width is used.
        assert max(box.x1 for box in boxes) > 0.8
        renderer = FigureCanvasAgg(figure).get_renderer()
        for text in figure.texts:
            extent = text.get_window_extent(renderer)
            assert extent.x0 >= 0
            assert extent.x1 <= figure.bbox.width + 1
            assert extent.y0 >= -1


def test_rows_a_little_too_high_for_the_page_are_made_smaller(blocks: Store) -> None:
    """Six rows of horizontal planes in two columns would be half as large."""
    figure = draw_slices(
        source(6), Brain(blocks.database, blocks.files), plane="horizontal", at_mm=[1.2, 1.5, 3.0, 4.0]
    )
    boxes = [axes.get_position() for axes in panels(figure)][:24]
    assert len({round(box.y0, 4) for box in boxes}) == 6
    assert 225 < figure.get_size_inches()[1] * 25.4 <= 241


def test_a_single_row_below_a_long_legend_keeps_its_size(blocks: Store) -> None:
    labels = [f"A source with a name that takes a line, number {number}" for number in range(4)]
    figure = reports.overlay(
        blocks, dict(zip(labels, (1, 2, 4, 3), strict=True)), width_mm=85, at_mm=[8.5, 8.7, 8.9, 9.1, 9.3, 9.5]
    )
    rows = {round(axes.get_position().y0, 4) for axes in panels(figure)[:6]}
    assert len(rows) >= 2


def test_narrow_panels_name_their_halves_in_the_corners(blocks: Store) -> None:
    figure = reports.slices(blocks, "folded@1", at_mm=[8.8, 9.0, 9.2], width_mm=85)
    for axes in panels(figure)[:3]:
        ends = {text.get_text(): text for text in axes.texts if text.get_text() in ("contra", "ipsi")}
        assert {name: text.get_verticalalignment() for name, text in ends.items()} == {"contra": "top", "ipsi": "top"}
    assert_inside(figure)


def test_labels_of_bins_are_printed_with_the_signs_of_print(blocks: Store) -> None:
    version = blocks.aggregate([1, 2, 4], group_by=by_coordinate("AP", bins=2), name="bins")
    assert any("-" in group.label and group.label.endswith(" um") for group in version.groups)
    labels = [text for text in texts_of(reports.slices(blocks, version, at_mm=9.0)) if "  (n = " in text]
    assert len(labels) == len(version.groups)
    assert all("\u2013" in label and "\u00b5m" in label for label in labels)
    assert wrapped("lines@1: mean (n = 34)", 30, 9.0) == ["lines@1: mean", "(n = 34)"]
    cut = shortened(f"{'A long name of a group ' * 9} (n = 1,234)", 80, 7.0, bold=True)
    assert cut.endswith("\u2026  (n = 1,234)")
    assert text_mm(cut, 7.0, bold=True) <= 80
    sides = shortened(f"{'Long name ' * 9}(n = 12) \u2212 {'Other name ' * 9}(n = 20)", 80, 7.0)
    first, second = sides.split(" \u2212 ")
    assert (first[:9], second[:10]) == ("Long name", "Other name")
    assert (first[-10:], second[-10:]) == ("\u2026 (n = 12)", "\u2026 (n = 20)")
    assert abs(text_mm(first, 7.0) - text_mm(second, 7.0)) < 4
    assert text_mm(sides, 7.0) <= 80
    whole = shortened(f"VISp (n = 12) \u2212 {'Other name ' * 9}(n = 20)", 80, 7.0)
    assert whole.startswith("VISp (n = 12) \u2212 Other")
    assert 77 < text_mm(whole, 7.0) <= 80


def test_themes_titles_and_footer(blocks: Store) -> None:
    figure = reports.slices(blocks, 1, at_mm=9.0, theme="dark", title="From VISp", footer=False)
    assert figure.get_facecolor()[:3] == pytest.approx((11 / 255, 13 / 255, 16 / 255))
    assert figure.texts[0].get_text() == "From VISp"
    assert not any("Fingerprint" in text for text in texts_of(figure))
    assert reports.slices(blocks, 1, at_mm=9.0).texts[0].get_text() == "Injection in VISp, wild type (experiment 1)"
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_a_version_draws_its_own_slices(blocks: Store) -> None:
    version = blocks.dataset("lines")
    figure = version.plot(at_mm=9.0, groups=[1], emphasize="VISp")
    same = reports.slices(blocks, version, at_mm=9.0, groups=[1], emphasize="VISp")
    assert texts_of(figure) == texts_of(same)
    assert np.array_equal(panels(figure)[0].images[0].get_array(), panels(same)[0].images[0].get_array())


# -- regions and overlays -----------------------------------------------------------------------------------------


def color_at(axes: Axes, at: tuple[float, float]) -> Any:
    """The color that the image has at a point in mm."""
    (image,) = axes.images
    colors = np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    column = int((at[0] - left) / (right - left) * colors.shape[1])
    row = int((at[1] - top) / (bottom - top) * colors.shape[0])
    return colors[row, column]


def test_structures_are_filled_by_their_value(blocks: Store) -> None:
    figure = reports.region_map(blocks, {"VISp": 1.0, "VIS": 0.25}, at_mm=9.0)
    axes = panels(figure)[0]
    strong, weak, none = (color_at(axes, at) for at in ((8.7, 1.5), (6.7, 1.5), (5.7, 4.0)))
    assert color_at(axes, (2.6, 1.5)) == pytest.approx(strong)
    assert strong[:3].sum() < weak[:3].sum()
    assert (strong[3], weak[3], none[3]) == (1, 1, 0)
    horizontal = reports.region_map(blocks, pd.Series({"VISpm": 1.0}), plane="horizontal", at_mm=1.5).axes[0]
    assert color_at(horizontal, (6.7, 9.0))[3] == 1
    assert color_at(horizontal, (4.7, 9.0))[3] == 0


def test_tables_with_hemispheres_fill_each_side(blocks: Store) -> None:
    table = pd.DataFrame(
        {"structure": ["VISp"], "structure_id": [385], "mean": [0.6], "contralateral_mean": [0.1],
         "ipsilateral_mean": [1.0]}
    )  # fmt: skip
    table.attrs = {"measure": "normalized_projection_volume", "unit": ""}
    figure = reports.region_map(blocks, table, at_mm=9.0)
    axes = panels(figure)[0]
    assert color_at(axes, (8.7, 1.5))[:3].sum() < color_at(axes, (2.6, 1.5))[:3].sum()
    assert {"contra", "ipsi", "Normalized projection volume by structure"} <= set(texts_of(figure))
    assert "Right half: ipsilateral" in footer_of(figure)
    sagittal = reports.region_map(blocks, table, plane="sagittal", at_mm=8.7)
    assert "ML 8.7 mm (ipsi)" in texts_of(sagittal)
    assert "half" not in footer_of(sagittal)
    # A table that was read from a file has lost its unit.
    table.attrs = {}
    assert "mean" in [axes.get_title(loc="left") for axes in panels(reports.region_map(blocks, table, at_mm=9.0))]
    both = reports.region_map(blocks, table, at_mm=9.0, column="mean").axes[0]
    assert color_at(both, (8.7, 1.5)) == pytest.approx(color_at(both, (2.6, 1.5)))
    by_side = pd.DataFrame({"structure_id": [385, 385], "hemisphere": ["left", "right"], "mean": [1.0, 0.1]})
    axes = reports.region_map(blocks, by_side, at_mm=9.0).axes[0]
    assert color_at(axes, (8.7, 1.5))[:3].sum() > color_at(axes, (2.6, 1.5))[:3].sum()
    sagittal = reports.region_map(blocks, by_side, plane="sagittal", at_mm=[2.6, 8.7])
    left, right = (color_at(axes, (9.0, 1.5)) for axes in sagittal.axes[:2])
    assert left[:3].sum() < right[:3].sum()


def test_a_table_of_one_hemisphere_fills_only_that_half(blocks: Store) -> None:
    table = pd.DataFrame({"structure_id": [385], "hemisphere": ["ipsilateral"], "mean": [1.0]})
    figure = reports.region_map(blocks, table, at_mm=9.0)
    left, right = (color_at(panels(figure)[0], at) for at in ((2.6, 1.5), (8.7, 1.5)))
    assert (left[3], right[3]) == (0, 1)
    assert {"contra", "ipsi"} <= set(texts_of(figure))
    with pytest.raises(InputError, match="column hemisphere must be one of"):
        reports.region_map(blocks, table.assign(hemisphere="top"), at_mm=9.0)


def test_a_table_with_several_rows_for_a_structure_is_an_error(blocks: Store) -> None:
    table = pd.DataFrame({"experiment_id": [1, 2], "structure": ["VISp", "VISp"], "mean": [1.0, 0.1]})
    with pytest.raises(InputError, match="several rows for the structure VISp"):
        reports.region_map(blocks, table, at_mm=9.0)


def test_a_version_is_mapped_by_group(blocks: Store) -> None:
    # The store has no structure sets, of which the summary structures are one.
    table = blocks.datasets.regions("lines@1", structures=["VISp"], hemisphere=["left", "right"])
    figure = reports.region_map(blocks, table, at_mm=9.0)
    rows = [axes for axes in panels(figure) if axes.images][:2]
    labels = [group.label for group in blocks.dataset("lines").groups]
    for label, axes in zip(labels, rows, strict=True):
        left, right = color_at(axes, (2.6, 1.5)), color_at(axes, (8.7, 1.5))
        # 0 is transparent.
        assert (left[3] > 0, right[3] > 0) == ((True, False) if label == "Rbp4-Cre_KL100" else (False, True))


def test_sources_are_overlaid_in_their_own_colors(blocks: Store) -> None:
    figure = reports.overlay(blocks, {"right": 1, "left": Selection(ids=[3, 5])}, at_mm=9.0)
    axes = panels(figure)[0]
    assert color_at(axes, (ML, DV)) == pytest.approx([0, 114 / 255, 178 / 255, 1])
    assert color_at(axes, (2.7, DV)) == pytest.approx([213 / 255, 94 / 255, 0, 1])
    assert color_at(axes, (5.7, DV))[3] == 0
    assert {"right", "left  (n = 2)"} <= set(texts_of(figure))
    groups = reports.overlay(blocks, "lines@1", at_mm=9.0, colors=["red", "blue"], theme="dark")
    assert "wild-type  (n = 3)" in texts_of(groups)


def test_bins_are_printed_in_one_way_in_an_overlay(blocks: Store) -> None:
    first, second = (list(group.experiment_ids) for group in blocks.dataset("lines@1").groups)
    said = footer_of(reports.overlay(blocks, {"AP 1,000-2,000 um": first, "AP 2,000-3,000 um": second}, at_mm=9.0))
    assert "Full color at 0.8 (AP 1,000–2,000 µm) and 0.4 (AP 2,000–3,000 µm)" in said


def test_an_overlay_says_how_its_values_were_made_and_shares_a_scale_only_of_one_quantity(blocks: Store) -> None:
    said = footer_of(reports.overlay(blocks, ["lines@1", 1], at_mm=9.0, shared=True))
    assert "lines@1: not normalized, hemispheres as imaged, 100 µm." in said
    assert "Projection density, 100 µm, hemispheres as imaged." in said
    version = blocks.aggregate(Selection(ids=[1, 2]), normalize="injection_volume", name="normalized")
    with pytest.raises(InputError, match="sources on one scale must have the same quantity"):
        reports.overlay(blocks, [version, 1], at_mm=9.0, shared=True)


def test_inks_darken_and_lights_add_up() -> None:
    one, none = np.ones((1, 1)), np.zeros((1, 1))
    assert blended([one, none], ["#ff0000", "#00ff00"], "#ffffff")[0, 0].tolist() == [1, 0, 0, 1]
    assert blended([one, one], ["#ff0000", "#00ff00"], "#ffffff")[0, 0].tolist() == [0, 0, 0, 1]
    assert blended([one, one], ["#ff0000", "#00ff00"], "#000000")[0, 0].tolist() == [1, 1, 0, 1]
    half = blended([0.5 * one], ["#ff0000"], "#ffffff")[0, 0]
    assert half[:3] * half[3] + 1 - half[3] == pytest.approx([1, 0.5, 0.5])


# -- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at_mm": 5200}, r"at_mm must be from 0 to 13\.2 mm along AP, got 5200\nIf it is in um, use 5\.2\. If"),
        (
            {"at_mm": np.int64(54)},
            r"along AP, got 54\nIf it is the index of a plane, use \(index \+ 0\.5\) times",
        ),
        ({"at_mm": []}, "at_mm must have 1 to 60"),
        ({"at_mm": [None]}, "at_mm must be a finite number, got None"),
        ({"at_mm": float("nan")}, "at_mm must be a finite number, got nan"),
        ({"at_mm": 5.0, "through": "VISp"}, "at_mm cannot be combined with through"),
        ({"count": 0}, "count must be a positive integer"),
        ({"plane": "diagonal"}, "plane must be one of"),
        ({"scale": "cubic"}, "scale must be one of"),
        ({"at_mm": 9.0, "vmin": 2.0}, "vmin must be below vmax"),
        ({"vmax": 0}, "vmax must be above 0"),
        ({"vmax": float("nan")}, "vmax must be a finite number"),
        ({"quantile": 1.5}, "quantile must be above 0"),
        ({"smooth_um": -1}, "smooth_um must be from 0"),
        ({"outlines": 99}, "no structure set 99"),
        ({"outlines": True}, "outlines must be"),
        ({"width_mm": 5, "at_mm": 9.0}, "width_mm must be"),
        ({"theme": "pink"}, "theme must be one of"),
        ({"groups": [0]}, "groups cannot be combined with experiments"),
        ({"minus": 0}, "minus cannot be combined with experiments"),
    ],
)
def test_wrong_arguments_are_errors(blocks: Store, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reports.slices(blocks, 1, **options)


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, np.array])
def test_numbers_of_numpy_are_positions_and_values(blocks: Store, kind: Any) -> None:
    for given in (kind(5.5), [kind(5.5)], np.array([5.5])):
        assert explicit_planes(PLANES["coronal"], given).at_mm == (5.5,)
    brain = brain_of(blocks)
    assert checked_values({"VISp": kind(0.5)}, brain) == checked_values({"VISp": 0.5}, brain)
    with pytest.raises(InputError, match="the value of VISp must be finite"):
        checked_values({"VISp": 10**400}, brain)
    levels: list[Any] = [np.int64(1), np.array(1)]
    assert [brain.outlined(each) for each in levels] == [brain.outlined(1)] * 2


def test_wrong_sources_are_errors(blocks: Store) -> None:
    with pytest.raises(InputError, match="no group 7"):
        reports.slices(blocks, "lines@1", groups=[7])
    with pytest.raises(InputError, match="kind cannot be combined with a dataset version"):
        reports.slices(blocks, "lines@1", kind="data_mask")
    with pytest.raises(InputError, match="source must be"):
        reports.slices(blocks, 1.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="store must be a Store"):
        reports.slices("lines@1", 1)  # type: ignore[arg-type]
    with pytest.raises(UnknownStructureError, match="VISq"):
        reports.slices(blocks, 1, emphasize="VISq")
    with pytest.raises(InputError, match="told apart"):
        reports.overlay(blocks, [1, 2, 3, 4, 5, 1, 2])
    with pytest.raises(InputError, match="colors must be colors"):
        reports.overlay(blocks, 1, colors=["nocolor"])
    with pytest.raises(InputError, match="same spacing and hemispheres"):
        reports.overlay(blocks, ["folded@1", 1])
    with pytest.raises(InputError, match="values must not be empty"):
        reports.region_map(blocks, {})
    with pytest.raises(InputError, match="must be a number"):
        reports.region_map(blocks, {"VISp": "x"})
    with pytest.raises(InputError, match="no column of numbers 'nix'"):
        reports.region_map(blocks, pd.DataFrame({"structure": ["VISp"], "mean": [1.0]}), column="nix")


def test_without_matplotlib_the_extra_is_named(blocks: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (reports.slices, reports.projections):
        with pytest.raises(InputError, match="Matplotlib is not installed") as caught:
            draw(blocks, 1)
        assert "bsv-store[plot]" in str(caught.value.hint)


def test_figures_are_the_same_on_both_databases(store: Store, tmp_path: Path) -> None:
    fill_with_blocks(store)
    figure = reports.slices(store, 3, through="VISp", count=2, emphasize="VIS", outlines=3)
    assert middle_of_signal(panels(figure)[0]) == pytest.approx((2.7, DV))
    drawn = np.asarray(panels(figure)[0].images[0].get_array())
    assert drawn[LEFT_SIGNAL[1], LEFT_SIGNAL[2]].min() == pytest.approx(0.4)
    path = reports.save(figure, tmp_path / "a.svg")
    assert ">VIS</text>" in path.read_text(encoding="utf-8")
