"""Injection map, ranked targets and matrix map of a store: what is drawn is what the tables have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bsv_store import Selection, Store, by_coordinate, create_store
from bsv_store.errors import EmptySelectionError, InputError, MissingDataError, MissingUnionizesWarning
from bsv_store.figures.ranking import OUTSIDE_NOTE
from bsv_store.reports import injection_map, matrix_map, ranked_targets, structure_differences
from tests.figures.panels import panels
from tests.reports.charts import MEASURED, small_store

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from bsv_store.vocabulary import MatrixOrder, MatrixScale

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

ALL = Selection(ids=[*MEASURED])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with small_store(tmp_path_factory.mktemp("charts") / "store") as opened:
        yield opened


def axes_named(figure: Figure, label: str) -> list[Any]:
    return [axes for axes in panels(figure) if axes.get_label() == label]


def said(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


# -- injection map ----------------------------------------------------------------------------------------------------


def drawn_sites(figure: Figure, plane: str) -> dict[str, Any]:
    """Offsets and areas of the symbols in the first panel of a plane, by label."""
    axes = axes_named(figure, plane)[0]
    return {str(each.get_label()): (np.asarray(each.get_offsets()), each.get_sizes()) for each in axes.collections}


@pytest.mark.parametrize(("plane", "right", "down"), [("coronal", 2, 1), ("sagittal", 0, 1), ("horizontal", 2, 0)])
def test_sites_are_where_the_catalog_has_them(store: Store, plane: str, right: int, down: int) -> None:
    frame = store.experiments().dropna(subset=["injection_ap"])
    wanted = frame[["injection_ap", "injection_dv", "injection_ml"]].to_numpy(float)[:, [right, down]] / 1000
    drawn = np.concatenate([offsets for offsets, _ in drawn_sites(injection_map(store), plane).values()])
    np.testing.assert_allclose(sorted(drawn.tolist()), sorted(wanted.tolist()))


def test_sites_have_the_area_of_their_volume_and_the_color_of_their_structure(store: Store) -> None:
    figure = injection_map(store, Selection(injected_in="VISC"))
    axes = axes_named(figure, "coronal")[0]
    (collection,) = axes.collections
    volumes = sorted([0.105, 0.203], reverse=True)
    sizes = collection.get_sizes()
    assert sizes[0] / sizes[1] == pytest.approx(volumes[0] / volumes[1])
    assert collection.get_label() == "VISC"
    assert tuple(collection.get_facecolor()[0][:3]) == pytest.approx((0x08 / 255, 0x85 / 255, 0x8C / 255))


def test_more_structures_than_lines_are_shown_by_division(store: Store) -> None:
    labels = drawn_sites(injection_map(store, legend_limit=4), "coronal")
    assert set(labels) == {"Isocortex", "Thalamus", "outside of these"}
    counts = {label: len(offsets) for label, (offsets, _) in labels.items()}
    assert counts["Thalamus"] == 2


def test_structures_of_one_division_keep_their_colors(store: Store) -> None:
    selection = Selection(injected_in="Isocortex")
    counts = store.experiments(selection).dropna(subset=["injection_ap"])["primary_structure"].value_counts()
    assert len(counts) > 3
    labels = drawn_sites(injection_map(store, selection, legend_limit=3), "coronal")
    assert f"others ({len(counts) - 2})" in labels
    assert len(labels) == 3
    assert len(labels["VISp"][0]) == counts["VISp"]


def test_lines_are_counted_and_the_rare_ones_are_others(store: Store) -> None:
    figure = injection_map(store, color="line", legend_limit=2)
    labels = drawn_sites(figure, "coronal")
    # Without the experiment that has no coordinate.
    frame = store.experiments().dropna(subset=["injection_ap"])
    lines = frame["transgenic_line"].fillna("wild-type").value_counts()
    assert set(labels) == {"wild-type", f"others ({len(lines) - 1})"}
    assert len(labels["wild-type"][0]) == lines["wild-type"]
    legend = [text.get_text() for text in axes_named(figure, "legend")[0].texts]
    assert f"wild-type  {lines['wild-type']}" in legend


def test_experiments_without_coordinate_are_counted(store: Store) -> None:
    count = len(store.experiments())
    assert f"n = {count - 1} experiments; 1 left out, because their" in said(injection_map(store))
    assert "left out" not in said(injection_map(store, Selection(ids=[101])))
    assert "n =" not in said(injection_map(store, footer=False))
    with pytest.raises(EmptySelectionError, match=r"selected experiments \(1\) has an injection coordinate"):
        injection_map(store, [104])


def test_groups_are_those_of_a_grouping_or_of_a_version(store: Store) -> None:
    grouping = by_coordinate("AP", edges=[7000, 8050, 9000])
    labels = drawn_sites(injection_map(store, groups=grouping), "coronal")
    assert {label: len(offsets) for label, (offsets, _) in labels.items()} == {
        # 101 is in the next bin, 303 in none, 104 has no coordinate.
        "AP 7,000-8,050 um": len(store.select()) - 3,
        "AP 8,050-9,000 um": 1,
        "others": 1,
    }
    version = store.aggregate([101, 103], name="two", group_by="injected_hemisphere")
    figure = injection_map(store, groups=version)
    labels = drawn_sites(figure, "coronal")
    assert sorted(len(offsets) for offsets, _ in labels.values()) == [1, 1]
    assert "Fingerprint " + version.fingerprint[:12] in said(figure)
    with pytest.raises(InputError, match="color='group' needs groups"):
        injection_map(store, color="group")


@pytest.mark.parametrize("width_mm", [85, 180])
def test_the_legend_does_not_overlap(store: Store, width_mm: float) -> None:
    figure = injection_map(store, color="line", groups=None, width_mm=width_mm)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes_named(figure, "legend")[0].texts]
    boxes += [text.get_window_extent() for text in figure.texts]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1


def test_a_store_without_annotation_has_no_outlines(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert axes_named(injection_map(store), "sagittal")[0].lines
    with create_store(tmp_path_factory.mktemp("bare") / "store") as bare:
        from tests.catalog import small_catalog

        with bare.database.writing() as connection:
            small_catalog.fill(connection)
        figure = injection_map(bare)
    assert not axes_named(figure, "sagittal")[0].lines
    assert "No outlines: the store has no annotation." in said(figure)


@pytest.mark.parametrize("draw", [injection_map, ranked_targets, matrix_map])
def test_titles_and_widths_are_checked_and_written_as_they_are(store: Store, draw: Any) -> None:
    figure = draw(store, [101], title="$5 for VISp_1", width_mm=40)
    assert figure.texts[0].get_text() == "$5 for VISp_1"
    assert not figure.texts[0].get_parse_math()
    assert figure.get_size_inches()[0] == pytest.approx(40 / 25.4)
    for width_mm in (5, "wide", float("nan"), True):
        with pytest.raises(InputError, match=r"width_mm must be (from 40 to 1000|a finite number), got"):
            draw(store, [101], width_mm=width_mm)
    with pytest.raises(InputError, match="title must be a string, got 5"):
        draw(store, [101], title=5)
    with pytest.raises(InputError, match="theme"):
        draw(store, [101], theme="pink")


# -- ranked targets ---------------------------------------------------------------------------------------------------


def panel(figure: Figure) -> Any:
    return next(axes for axes in panels(figure) if axes.containers)


def test_bars_errors_and_dots_are_those_of_the_tables(store: Store) -> None:
    table = store.search.targets_of(ALL, limit=3)
    animals = store.catalog.matrix(ALL, rows="experiments", targets=table["structure_id"].tolist())
    axes = panel(ranked_targets(store, ALL, limit=3))
    bars = {each.get_label(): each for each in axes.containers if len(each.get_children()) == 3 and each.get_label()}
    for side, shift in (("ipsilateral", -0.19), ("contralateral", 0.19)):
        drawn = bars[side].patches
        assert [bar.get_width() for bar in drawn] == pytest.approx(table[f"{side}_mean"].tolist())
        assert [bar.get_y() + bar.get_height() / 2 for bar in drawn] == pytest.approx([n + shift for n in range(3)])
        (dots,) = [each for each in axes.collections if each.get_label() == f"{side} animals"]
        offsets = np.asarray(dots.get_offsets())
        expected = animals[side][table["structure"].tolist()].to_numpy()
        np.testing.assert_allclose(offsets[:, 0], expected.ravel())
        np.testing.assert_allclose(np.round(offsets[:, 1] - shift), np.tile(range(3), len(MEASURED)))
    segments = [line for each in axes.collections if hasattr(each, "get_segments") for line in each.get_segments()]
    wide = table["ipsilateral_mean"] + table["ipsilateral_sem"]
    assert [segment[1][0] for segment in segments[:3]] == pytest.approx(wide.tolist())


def test_targets_are_in_the_order_of_the_table_with_names_where_there_is_space(store: Store) -> None:
    table = store.search.targets_of(ALL, limit=4)
    for width_mm in (85, 180):
        labels = [text.get_text() for text in panel(ranked_targets(store, ALL, limit=4, width_mm=width_mm)).texts]
        assert [label.split()[-1] for label in labels] == table["structure"].tolist()
        assert any("Caudoputamen" in label for label in labels) == (width_mm == 180)


def test_without_a_limit_all_targets_are_drawn(store: Store) -> None:
    table = store.search.targets_of(ALL)
    labels = [text.get_text().split()[-1] for text in panel(ranked_targets(store, ALL, limit=None)).texts]
    assert labels == table["structure"].tolist()


def test_one_animal_has_no_error_bars(store: Store) -> None:
    axes = panel(ranked_targets(store, [101]))
    assert not [each for each in axes.collections if hasattr(each, "get_segments")]


def test_selections_side_by_side_have_the_targets_of_the_first(store: Store) -> None:
    selections: dict[str, Any] = {"both": ALL, "left": [103]}
    figure = ranked_targets(store, selections, limit=3)
    first, second = (axes for axes in panels(figure) if axes.containers)
    table = store.search.targets_of([103], targets=store.search.targets_of(ALL, limit=3)["structure_id"].tolist())
    wanted = table.set_index("structure").loc[store.search.targets_of(ALL, limit=3)["structure"], "ipsilateral_mean"]
    assert [bar.get_width() for bar in second.containers[0].patches] == pytest.approx(wanted.tolist())
    assert first.get_xlim() == second.get_xlim()
    assert "left (n = 1)" in said(figure)


def test_animals_are_weighted_and_those_of_weight_0_are_not_drawn(store: Store) -> None:
    # The injections of these two lie outside their primary structures.
    figure = ranked_targets(store, [101, 103], weight_by="injection_overlap", limit=3)
    assert "n = 0 animals" in said(figure)
    assert "Weight of an animal: share of the injection volume inside the source structure." in said(figure)
    dots = [each for each in panel(figure).collections if str(each.get_label()).endswith("animals")]
    assert [len(np.asarray(each.get_offsets())) for each in dots] == [0, 0]
    assert "Weight" not in said(ranked_targets(store, [101, 103], limit=3))


def test_animals_on_the_exclusion_list_are_drawn_if_wanted(tmp_path: Path) -> None:
    def texts(store: Store) -> tuple[str, str]:
        wanted = Selection(ids=[101, 102, 103], include_excluded=True)
        ranking = ranked_targets(store, wanted, weight_by="injection_overlap", limit=3)
        return said(ranking), said(matrix_map(store, wanted, rows="experiments", targets=["CP", "CM"]))

    with small_store(tmp_path / "store") as store:
        before = texts(store)
        store.catalog.exclude([102], "torn")
        assert texts(store) == before


def test_animals_beyond_the_axis_are_named(store: Store) -> None:
    figure = ranked_targets(store, [101, 103], targets=["CP", "CM"])
    assert OUTSIDE_NOTE not in said(figure)
    from bsv_store.figures.ranking import RankedStructure, Ranking, Side, draw_ranking

    values = np.array([[0.1], [0.2], [0.1], [9.0], *[[0.1]] * 200])
    side = Side(values.mean(axis=0), np.array([0.01]), values)
    zero = Side(np.zeros(1), np.zeros(1), np.zeros((204, 1)))
    figure = draw_ranking(
        [RankedStructure("CP", "Caudoputamen", "#98d6f9")],
        [Ranking("all", 204, {"ipsilateral": side, "contralateral": zero})],
        quantity="volume", title="", notes=[], width_mm=85, theme="light", footer=True,
    )  # fmt: skip
    assert panel(figure).get_xlim()[1] < 1
    assert "  9" in [text.get_text() for text in panel(figure).texts]
    assert OUTSIDE_NOTE in said(figure).replace("\n", " ")


def test_experiments_without_table_are_counted_in_the_ranking(store: Store) -> None:
    with pytest.warns(MissingUnionizesWarning) as caught:
        figure = ranked_targets(store, Selection(ids=[101, 205]))
    assert len(caught) == 1
    assert "n = 1 animal; 1 left out, no unionize table." in said(figure)
    with pytest.raises(MissingDataError):
        ranked_targets(store, [205])
    with pytest.raises(InputError, match="1 to 6 selections"):
        ranked_targets(store, {})
    with pytest.raises(InputError, match="no target structure is left"):
        ranked_targets(store, [101], targets="CP", within="TH")


def test_the_title_names_the_structure_that_contains_the_targets(store: Store) -> None:
    thalamus = store.atlas.structure_tree("TH")[0].id
    for within in ("TH", thalamus):
        two = {"VISp, left": [101], "VISpm": [103]}
        figure = ranked_targets(store, two, targets="CM", within=within)
        assert "Strongest targets in TH: VISp, left; VISpm" in said(figure)
    assert "All targets in TH: " in said(ranked_targets(store, [101], targets="CM", within="TH", limit=None))


# -- matrix -----------------------------------------------------------------------------------------------------------

TARGETS = ["VISp", "VISpm", "CP", "CM"]


def drawn_matrix(figure: Figure, side: str) -> Any:
    return np.ma.filled(axes_named(figure, side)[0].images[0].get_array(), np.nan)


def test_cells_are_those_of_the_matrix_in_its_order(store: Store) -> None:
    frame = store.catalog.matrix(ALL, targets=TARGETS)
    figure = matrix_map(store, ALL, targets=TARGETS, scale="linear")
    for side in ("ipsilateral", "contralateral"):
        np.testing.assert_allclose(drawn_matrix(figure, side), frame[side].to_numpy())
    first = axes_named(figure, "ipsilateral")[0]
    assert [text.get_text() for text in first.get_yticklabels()] == frame.index.tolist()
    assert [text.get_text() for text in first.get_xticklabels()] == frame["ipsilateral"].columns.tolist()
    limits = {axes.images[0].get_clim() for axes in panels(figure) if axes.images}
    assert len(limits) == 1


@pytest.mark.filterwarnings("ignore:with . and . experiments")
def test_differences_are_drawn_with_intervals_and_p(store: Store) -> None:
    sides: Any = {"hemisphere": ["ipsilateral", "contralateral"], "permutations": 20, "bootstrap": 20}
    frame = store.compare_structures((101, 201), (102, 103), name="compared", labels=["one", "other"], **sides)
    figure = structure_differences(store, "compared", alpha=0.4, standardized=False)
    axes = panels(figure)[0]
    points = [each for each in axes.collections if each.get_offsets().shape == (1, 2) and each.get_sizes()[0] == 16]
    assert [float(each.get_offsets()[0][0]) for each in points] == pytest.approx(list(frame["difference"]))
    is_filled = [tuple(each.get_facecolor()[0]) == tuple(each.get_edgecolor()[0]) for each in points]
    assert is_filled == list(frame["p_max_t"] <= 0.4)
    intervals = [line.get_xdata() for line in axes.lines if len(set(line.get_xdata())) == 2]
    known = frame.dropna(subset=["lower", "upper"])
    assert len(intervals) == len(known[known["lower"] != known["upper"]])
    texts = [text.get_text() for text in axes.texts]
    assert f"{frame['p_permutation'][0]:.3f}" in texts
    assert any(text.endswith("(ipsi)") for text in texts)
    assert "compared@1: one (n = 2) − other (n = 2)" in said(figure)
    assert "one higher →" in said(figure)
    warned = "Bootstrap intervals are too narrow for groups of fewer than 10 animals."
    assert f"Lines: 95 % bootstrap intervals. {warned}" in said(figure)
    assert "p: two-sided Welch's t test, all 6 permutations." in said(figure)
    assert "injected hemisphere and other hemisphere; " in said(figure)
    store.compare_structures(
        (101, 201), (102, 103), name="adjusted", covariates="injection_volume", hemisphere="contralateral",
        permutations=20, bootstrap=20, confidence=0.995,
    )  # fmt: skip
    adjusted = said(structure_differences(store, "adjusted"))
    assert "other hemisphere; " in adjusted
    assert "Differences at equal values of the injection volume." in adjusted
    assert "Lines: 99.5 % bootstrap intervals of the difference, on the scale of Hedges' g." in adjusted
    assert "p: two-sided Student's t test, 20 permutations." in adjusted
    long = ["a label that is too long for the place above the points", "another long label, as long as the first one"]
    store.compare_structures((101, 201), (102, 103), name="long", labels=long, **sides)
    assert "first group higher →" in said(structure_differences(store, "long"))
    assert "first →" in said(structure_differences(store, "long", width_mm=85))
    # Both sides in the same words.
    store.compare_structures((101, 201), (102, 103), name="uneven", labels=["one", "a label of a group"], **sides)
    uneven = said(structure_differences(store, "uneven", width_mm=85))
    assert "first → ← second" in uneven
    sizes = panels(structure_differences(store, "compared"))[0].collections
    whole = structure_differences(store, "compared", limit=None)
    assert whole.axes[0].get_ylim() == (len(frame) - 0.5, -0.5)
    drawn = [float(each.get_offsets()[0][0]) for each in sizes if each.get_sizes()[0] == 16]
    assert drawn == pytest.approx(list(frame["effect_size"]), nan_ok=True)
    narrow = structure_differences(
        store, "compared", limit=1, sort_by="difference", width_mm=85, footer=False, title=""
    )
    assert narrow.axes[0].get_ylim() == (0.5, -0.5)
    with pytest.raises(InputError, match="is not a comparison by structure"):
        structure_differences(store, store.aggregate([101, 103], name="mean"))


def test_lines_separate_the_divisions(store: Store) -> None:
    first = axes_named(matrix_map(store, ALL, targets=TARGETS), "ipsilateral")[0]
    across = [line.get_xdata()[0] for line in first.lines if line.get_xdata()[0] == line.get_xdata()[1]]
    # VISp and VISpm are in Isocortex, CP in no division of this ontology, CM in TH.
    assert across == [1.5, 2.5]
    (key,) = axes_named(matrix_map(store, ALL, targets=TARGETS), "divisions")
    assert [text.get_text() for text in key.texts] == ["Isocortex", "TH", "outside of these"]
    clustered = axes_named(matrix_map(store, ALL, targets=TARGETS, order="cluster"), "ipsilateral")[0]
    assert not clustered.lines


def test_clustering_moves_whole_rows_and_columns(store: Store) -> None:
    frame = store.catalog.matrix(ALL, rows="experiments", targets=TARGETS, hemisphere="both")
    figure = matrix_map(
        store, ALL, rows="experiments", targets=TARGETS, hemisphere="both", order="cluster", scale="linear"
    )
    axes = axes_named(figure, "both")[0]
    rows = [int(text.get_text()) for text in axes.get_yticklabels()]
    columns = [text.get_text() for text in axes.get_xticklabels()]
    assert sorted(rows) == sorted(frame.index)
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), frame.loc[rows, columns].to_numpy())


def test_rows_without_data_are_left_out_and_counted(store: Store) -> None:
    with pytest.warns(MissingUnionizesWarning):
        figure = matrix_map(store, targets=TARGETS)
    assert drawn_matrix(figure, "ipsilateral").shape[0] == 3
    assert "sources without data left out." in said(figure)
    with pytest.warns(MissingUnionizesWarning):
        wanted = store.catalog.matrix(rows="experiments", targets=TARGETS).notna().any(axis=1).sum()
    assert f"n = {wanted} experiments." in said(figure)
    with pytest.warns(MissingUnionizesWarning):
        assert f"n = {wanted} experiments." in said(matrix_map(store, rows="experiments", targets=TARGETS))
    with pytest.warns(MissingUnionizesWarning), pytest.raises(MissingDataError, match="no row of the matrix has data"):
        matrix_map(store, [205])


def test_the_limit_keeps_the_largest_targets_in_their_order(store: Store) -> None:
    frame = store.catalog.matrix(ALL, targets=TARGETS)
    largest = frame.max().groupby("target").max().nlargest(2).index
    axes = axes_named(matrix_map(store, ALL, targets=TARGETS, limit=2), "ipsilateral")[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == [name for name in TARGETS if name in set(largest)]


def test_zero_is_not_missing_on_the_logarithmic_scale(store: Store) -> None:
    from matplotlib.colors import LogNorm

    image = axes_named(matrix_map(store, ALL, targets=TARGETS), "ipsilateral")[0].images[0]
    assert isinstance(image.norm, LogNorm)
    counts = axes_named(matrix_map(store, ALL, targets=TARGETS, statistic="n"), "ipsilateral")[0].images[0]
    assert not isinstance(counts.norm, LogNorm)
    values = np.ma.masked_invalid(image.get_array())
    assert not np.ma.getmaskarray(values).any()
    assert values.min() == image.norm.vmin
    with pytest.raises(InputError, match="scale"):
        matrix_map(store, ALL, scale="cubic")  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ["ontology", "cluster"])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_every_order_and_scale_has_the_same_cells(store: Store, order: MatrixOrder, scale: MatrixScale) -> None:
    drawn = drawn_matrix(matrix_map(store, ALL, targets=TARGETS, order=order, scale=scale), "ipsilateral")
    plain = drawn_matrix(matrix_map(store, ALL, targets=TARGETS), "ipsilateral")
    largest = np.sort(plain.ravel())[-4:]
    np.testing.assert_allclose(np.sort(drawn.ravel())[-4:], largest)
