"""Comparisons of two groups by voxel, as versions of datasets."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Selection, by_coordinate, by_field, by_selection, create_store
from bsv_store.averaging.comparison.comparison import Comparison
from bsv_store.averaging.hemisphere import process_volume
from bsv_store.averaging.recipe import Recipe
from bsv_store.datasets.comparison import default_labels
from bsv_store.datasets.share.references import comparison_papers
from bsv_store.errors import (
    BsvStoreWarning,
    EmptySelectionError,
    FormatError,
    InputError,
    MissingDataError,
    NotReproducibleError,
    RecipeError,
)
from bsv_store.vocabulary import COMPARISON_MAPS, COVARIATES, TWO_SAMPLE_STATISTICS
from tests.datasets.bundles import changed, forged
from tests.datasets.world import (
    BY_ID,
    FACTS,
    SHAPE,
    add_volume,
    ask,
    change_experiments,
    fill,
    remove_volume,
    voxels,
)

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store

A, B = (1, 2, 3), (4, 5, 6)
# Small groups keep the tests fast.
pytestmark = pytest.mark.filterwarnings("ignore:with . and . experiments")


def compared(store: Store, a: Any = A, b: Any = B, *, name: str = "test", **arguments: Any) -> DatasetVersion:
    return store.compare_voxels(a, b, name=name, **{"permutations": 50, **arguments})


def values(ids: tuple[int, ...], *, folded: bool = False) -> NDArray[np.float64]:
    """The volumes of experiments divided by the injection volume and optionally folded, one row each."""
    rule = "fold_ipsilateral" if folded else "none"
    return np.stack(
        [
            process_volume(
                voxels(each),
                divisor=BY_ID[each].volume,
                hemisphere_rule=rule,  # type: ignore[arg-type]
                injected=BY_ID[each].injected,  # type: ignore[arg-type]
            )
            for each in ids
        ]
    ).reshape(len(ids), -1)


def welch(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    variance = a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        t: NDArray[np.float64] = (a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(variance)
    return t


def test_maps_are_those_of_the_same_test_in_plain_numpy(filled: Store) -> None:
    version = compared(
        filled, normalize="injection_volume", hemisphere_rule="fold_ipsilateral", labels=["medial", "lateral"]
    )
    a, b = values(A, folded=True), values(B, folded=True)
    assert [(group.label, group.experiment_ids) for group in version.groups] == [("medial", A), ("lateral", B)]
    np.testing.assert_allclose(version.mean.reshape(2, -1), [a.mean(axis=0), b.mean(axis=0)], rtol=1e-6)
    difference, t = version.statistic("difference"), version.statistic("t").reshape(-1)
    assert difference.shape == SHAPE
    np.testing.assert_allclose(difference.reshape(-1), a.mean(axis=0) - b.mean(axis=0), rtol=1e-5, atol=1e-7)
    has_signal = (np.vstack([a, b]) != 0).any(axis=0)
    np.testing.assert_array_equal(np.isnan(t), ~has_signal)
    np.testing.assert_allclose(t[has_signal], welch(a, b)[has_signal], rtol=1e-4, atol=1e-6)
    # All 20 divisions of six animals into two groups of three.
    everyone = np.vstack([a, b])[:, has_signal]
    observed = np.abs(welch(a, b)[has_signal])
    of_all = []
    for first in combinations(range(6), 3):
        rest = [each for each in range(6) if each not in first]
        of_all.append(np.abs(welch(everyone[list(first)], everyone[rest])))
    counts = (np.array(of_all) >= observed * (1 - 1e-5)).sum(axis=0)
    p = version.statistic("p_permutation").reshape(-1)[has_signal]
    assert (p >= counts / 20 - 1e-6).all()
    assert (np.abs(p - counts / 20) < 1e-6).mean() > 0.99
    largest = np.nanmax(np.array(of_all), axis=1)
    corrected = (largest[:, None] >= observed * (1 - 1e-5)).sum(axis=0) / 20
    np.testing.assert_allclose(version.statistic("p_max_t").reshape(-1)[has_signal], corrected, atol=0.051)


def test_a_comparison_is_a_version_like_any_average(filled: Store) -> None:
    version = compared(filled, seed=5)
    assert version.was_computed
    again = compared(filled, seed=5)
    assert again == version
    assert not again.was_computed
    other = compared(filled, seed=6)
    assert other.number == 2
    assert other.fingerprint != version.fingerprint
    assert Recipe.from_json(version.recipe.to_json()) == version.recipe
    assert json.loads(version.recipe.to_json())["comparison"]["seed"] == 5
    assert not filled.datasets.stale(version)[0].is_stale
    report = filled.datasets.rebuild(version)
    assert report.is_identical


def test_the_result_does_not_depend_on_workers(filled: Store) -> None:
    one = compared(filled, name="one", workers=1)
    assert compared(filled, name="two", workers=2).content_sha256 == one.content_sha256


def test_a_damaged_result_is_rebuilt_to_the_same_bytes(filled: Store) -> None:
    version = compared(filled, covariates="injection_ap", b=(4, 5, 6))
    before = version.path.read_bytes()
    version.path.write_bytes(before[:-100])
    assert filled.datasets.rebuild(version).was_restored
    assert filled.dataset("test").path.read_bytes() == before


def test_a_replaced_volume_or_covariate_makes_a_comparison_stale(filled: Store) -> None:
    version = compared(filled, covariates="injection_ap")
    add_volume(filled, 4, seed=9)
    (report,) = filled.datasets.stale(version)
    assert report.is_stale
    assert [change.experiment_id for change in report.members.changed] == [4]
    add_volume(filled, 4)
    change_experiments(filled, [replace(fact, ap=9100) if fact.id == 4 else fact for fact in FACTS])
    assert any("covariates" in reason for reason in filled.datasets.stale(version)[0].reasons)


def test_the_citation_has_the_papers_about_the_methods_that_were_used(filled: Store) -> None:
    permuted = ["westfall1993resampling", "nichols2002nonparametric"]
    citation = compared(filled, covariates="injection_ap").cite()
    assert [each.key for each in citation.references[4:]] == [*permuted, "freedman1983nonstochastic"]
    assert "@book{westfall1993resampling" in citation.bibtex
    assert "TY  - BOOK" in citation.ris
    assert "{Comparison of two groups test@1 of" in citation.bibtex
    assert len(filled.aggregate(Selection(ids=A), name="average").cite().references) == 4
    papers = comparison_papers(Comparison(cluster="tfce"))
    assert [each.key for each in papers] == [*permuted, "smith2009threshold"]


def test_a_group_is_not_compared_with_itself(filled: Store) -> None:
    version = filled.aggregate(Selection(ids=[*A, *B]), group_by=by_coordinate("AP", bins=2), name="bins")
    group = version.groups[0]
    for compare in (filled.compare_structures, partial(filled.compare_voxels, name="test")):
        with pytest.raises(RecipeError, match="cannot be compared with itself"):
            compare(group, group)


def test_two_comparisons_differ_in_their_maps(filled: Store) -> None:
    first = compared(filled)
    second = compared(filled, a=A, b=(4, 5, 7))
    diff = filled.datasets.diff(first, second)
    maps = {each.label: each for each in diff.voxels if each.is_map}
    assert set(maps) == {"difference", "t", "p_permutation", "p_max_t"}
    assert maps["difference"].voxels > 0
    assert "map t: differences at" in str(diff)
    average = ask(filled, Selection(ids=[1, 2, 3, 4, 5, 6]), name="average")
    assert any(change.part.startswith("comparison.") for change in filled.datasets.diff(average, first).recipe)


def test_maps_are_exported(filled: Store, tmp_path: Path) -> None:
    version = compared(filled)
    image = np.load(version.export(tmp_path / "difference.npy", statistic="difference"))
    np.testing.assert_array_equal(image, version.statistic("difference"))
    with np.load(version.export(tmp_path / "all.npz")) as arrays:
        np.testing.assert_array_equal(arrays["t"], version.statistic("t"))
        np.testing.assert_array_equal(arrays["mean"], version.mean)
    dataset = version.to_xarray()
    assert dataset["p_max_t"].dims == ("ap", "dv", "ml")
    assert set(dataset.data_vars) == {"mean", "difference", "t", "p_permutation", "p_max_t"}
    assert dataset["t"].attrs["permutations"] == 20
    assert dataset["t"].attrs["exact"] == 1
    with pytest.raises(InputError, match="difference has no groups"):
        version.export(tmp_path / "group.npy", statistic="difference", group=0)


def test_maps_have_cf_attributes(filled: Store) -> None:
    version = compared(filled, normalize="injection_volume")
    with version.open() as file:
        assert file["difference"].attrs["units"] == "mm-3"
        assert file["t"].attrs["units"] == "1"
        assert [scale[0].name for scale in file["t"].dims] == ["/ap", "/dv", "/ml"]
        for name in version.recipe.maps:
            assert COMPARISON_MAPS[name].words in file[name].attrs["long_name"]


def test_parts_of_maps_are_read(filled: Store) -> None:
    version = compared(filled)
    box = ((3000, 6000), (0, 8000), (5700, 11400))
    np.testing.assert_array_equal(version.statistic("t", box=box), version.statistic("t")[30:60, :, 57:])
    mask = np.zeros(SHAPE, np.bool_)
    mask[40:43, 20:30, 60:80] = True
    np.testing.assert_array_equal(version.values_in(mask, "difference"), version.statistic("difference")[mask])
    with pytest.raises(InputError, match="t has no groups"):
        version.statistic("t", group=0)
    with pytest.raises(InputError, match="does not have the map 'p_tfce'"):
        version.statistic("p_tfce")
    with pytest.raises(InputError, match="does not have the map 'difference'"):
        ask(filled, name="average").statistic("difference")


def test_a_bundle_carries_the_comparison_to_another_store(filled: Store, tmp_path: Path) -> None:
    version = compared(filled, covariates="injection_ap", seed=3)
    bundle = version.export(tmp_path / "c.bsv.zip")
    with create_store(tmp_path / "other") as other:
        fill(other)
        imported = other.datasets.import_bundle(bundle)
        assert imported.content_sha256 == version.content_sha256
        assert imported.origin.standing == "imported, checked"
        assert imported.recipe == version.recipe
        np.testing.assert_array_equal(imported.statistic("t"), version.statistic("t"))


def test_a_bundle_with_an_impossible_p_is_refused(filled: Store, tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        file["p_max_t"][0, 0, 0] = 2

    bundle = changed(compared(filled).export(tmp_path / "c.bsv.zip"), forged(edit))
    with create_store(tmp_path / "other") as other, pytest.raises(FormatError, match="p_max_t has values outside"):
        other.datasets.import_bundle(bundle)


def test_a_bundle_with_another_map_is_not_reproducible(filled: Store, tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        file["difference"][50, 40, 60] += 0.25

    bundle = changed(compared(filled).export(tmp_path / "c.bsv.zip"), forged(edit))
    with create_store(tmp_path / "other") as other:
        fill(other)
        with pytest.raises(NotReproducibleError, match=r"differs in 1 voxels, by up to 0\.25"):
            other.datasets.import_bundle(bundle)


def test_groups_of_a_version_are_compared_with_its_rules(filled: Store) -> None:
    version = ask(
        filled,
        Selection(ids=range(1, 7)),
        by_coordinate("AP", edges=[3000, 8200, 8600, 9500]),
        normalize="injection_volume",
        name="by-ap",
    )
    with pytest.raises(RecipeError, match="has 1 experiment with data"):
        filled.datasets.compare_groups(version, 0, 1, name="ap")
    result = filled.datasets.compare_groups(version, 0, 2, name="ap", permutations=20)
    assert result.recipe.normalize == "injection_volume"
    assert [group.label for group in result.groups] == [version.groups[0].label, version.groups[2].label]
    np.testing.assert_array_equal(result.mean, version.mean[[0, 2]])
    same = filled.compare_voxels(
        version.groups[0], version.groups[2], name="ap", normalize="injection_volume", permutations=20, covariates=None
    )
    assert same == result
    assert filled.datasets.compare_groups(version, 0, 2, name="ap", permutations=20, covariates=()) == result
    assert filled.datasets.compare_groups(version, 0, 2, name="ap", permutations=20, covariates=None) == result
    with pytest.raises(RecipeError, match="compared with itself"):
        filled.datasets.compare_groups(version, 2, 2, name="ap")


def test_averages_are_grouped_by_selections(filled: Store) -> None:
    areas = by_selection(
        {"VISp": Selection(injected_in="VISp"), "line": Selection(line="Rbp4-Cre_KL100") - Selection(ids=A)}
    )
    version = ask(filled, Selection(), areas, name="areas")
    assert [(group.label, group.experiment_ids) for group in version.groups] == [("VISp", (1, 2, 3)), ("line", (5,))]
    assert [each.experiment_id for each in version.left_out] == [4, 6, 7]
    assert filled.dataset("areas").recipe.grouping == areas
    with pytest.raises(RecipeError, match="'a', 'b' have 2 experiments in common: 1, 2"):
        ask(filled, Selection(), by_selection({"a": [1, 2, 4], "b": Selection(injected_in="VISp")}), name="areas")


def test_any_grouping_of_two_groups_can_be_compared(filled: Store) -> None:
    from bsv_store.datasets.aggregate import aggregate

    recipe = Recipe(
        selection=Selection(ids=range(1, 7)), grouping=by_field("line"), comparison=Comparison(permutations=10)
    )
    version = aggregate(filled.database, filled.files, recipe, name="lines")
    assert [group.label for group in version.groups] == ["wild-type", "Rbp4-Cre_KL100"]
    three = Recipe(
        selection=Selection(ids=range(1, 7)), grouping=by_field("primary_structure"), comparison=Comparison()
    )
    with pytest.raises(RecipeError, match="needs two groups, the grouping gives 4"):
        aggregate(filled.database, filled.files, three, name="lines")


def test_excluded_injection_sites_are_not_tested(filled: Store) -> None:
    inside = np.zeros(SHAPE, np.float32)
    inside[50:60, 20:30, 60:70] = 1
    for identifier in (*A, *B):
        add_volume(
            filled, identifier, kind="injection_fraction", array=inside if identifier == 2 else np.zeros_like(inside)
        )
    version = compared(filled, exclude_injection=True)
    assert np.isnan(version.statistic("t")[inside > 0]).all()
    assert np.isnan(version.statistic("difference")[inside > 0]).all()
    assert not np.isnan(version.statistic("difference")[inside == 0]).any()


@pytest.mark.parametrize("test", TWO_SAMPLE_STATISTICS)
def test_every_test_is_computed(filled: Store, test: str) -> None:
    version = compared(filled, test=test)
    assert version.recipe.comparison is not None
    assert version.recipe.comparison.test == test
    assert np.nanmax(np.abs(version.statistic("t"))) > 1


@pytest.mark.parametrize("cluster", ["extent", "tfce"])
def test_every_cluster_statistic_has_its_map(filled: Store, cluster: str) -> None:
    random = np.random.default_rng(0)
    for identifier in (*A, *B):
        blob = np.zeros(SHAPE, np.float32)
        blob[50:56, 20:26, 60:66] = random.random((6, 6, 6))
        add_volume(filled, identifier, array=blob)
    version = compared(filled, cluster=cluster)
    p = version.statistic("p_cluster" if cluster == "extent" else "p_tfce")
    np.testing.assert_array_equal(np.isnan(p), np.isnan(version.statistic("t")))
    assert np.nanmin(p) > 0
    assert np.nanmax(p) <= 1


@pytest.mark.parametrize("covariate", COVARIATES)
def test_every_covariate_is_recorded_with_its_values(filled: Store, covariate: str) -> None:
    if covariate == "injection_dv":
        # All experiments have the same one.
        with pytest.raises(RecipeError, match="is 2000 in all experiments"):
            compared(filled, covariates=covariate)
        return
    version = compared(filled, covariates=covariate)
    assert version.recipe.comparison is not None
    assert version.recipe.comparison.test == "student"
    with version.open() as file:
        recorded = json.loads(file["inputs"].asstr()[0])["covariates"][covariate]
    facts = [BY_ID[each] for each in (*A, *B)]
    expected = {
        "injection_volume": [fact.volume for fact in facts],
        "injection_ap": [fact.ap for fact in facts],
        "injection_ml": [4000 if fact.injected == "left" else 7000 for fact in facts],
    }
    assert recorded == expected[covariate]


def test_an_experiment_without_a_covariate_is_missing_data(filled: Store) -> None:
    with pytest.raises(MissingDataError, match="AP injection coordinate is not known: 1 experiment, 7"):
        compared(filled, b=(4, 5, 6, 7), covariates="AP")
    version = compared(filled, b=(4, 5, 6, 7), covariates="AP", missing="leave_out")
    assert [(each.experiment_id, each.reason) for each in version.left_out] == [
        (7, "the AP injection coordinate is not known")
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"b": (3, 4, 5)}, RecipeError, "'a', 'b' have 1 experiment in common: 3"),
        ({"a": A, "b": A}, RecipeError, "3 experiments in common: 1, 2, 3"),
        ({"b": Selection(injected_in="VISl", min_injection_volume=3)}, EmptySelectionError, "no experiment matches"),
        ({"b": (4,)}, RecipeError, "'b' has 1 experiment with data"),
        ({"seed": 1.5}, InputError, "seed must be an integer"),
        ({"seed": "1"}, InputError, "seed must be an integer"),
        ({"seed": True}, InputError, "seed must be an integer"),
        ({"seed": -1}, InputError, "seed must be an integer >= 0"),
        ({"permutations": 0}, InputError, "permutations must be a positive integer"),
        ({"covariates": "age"}, RecipeError, "covariates must be one of injection_volume"),
        ({"test": "welch", "covariates": "AP"}, RecipeError, "cannot be combined with covariates"),
        ({"a": (3, 5), "b": (1, 2, 4), "covariates": "ML"}, RecipeError, "their effects cannot be separated"),
        ({"cluster": "big"}, RecipeError, "cluster must be one of none, extent, tfce"),
        ({"cluster_threshold_p": 0.01}, RecipeError, "cannot be combined with cluster='none'"),
        ({"cluster": "extent", "cluster_threshold_p": 2}, RecipeError, "between 0 and 1"),
        ({"cluster": "extent", "cluster_threshold_p": 10**400}, RecipeError, "between 0 and 1"),
        ({"labels": ["x"]}, RecipeError, "labels must be two strings"),
        ({"labels": ["x", "x"]}, RecipeError, "the same label 'x'"),
        ({"labels": ["x", "a\nb"]}, RecipeError, "must be a line"),
        ({"test": "mann-whitney"}, RecipeError, "test must be one of"),
    ],
)
def test_what_cannot_be_compared_is_an_error(
    filled: Store, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compared(filled, **arguments)
    assert filled.datasets.list() == ()


def test_missing_volumes_leave_too_few_experiments(filled: Store) -> None:
    remove_volume(filled, 4)
    with pytest.raises(MissingDataError, match="4"):
        compared(filled, b=(4, 5))
    with pytest.raises(RecipeError, match="'b' has 1 experiment with data"):
        compared(filled, b=(4, 5), missing="leave_out")


def test_too_few_animals_for_a_small_p_are_warned_about(filled: Store) -> None:
    with pytest.warns(BsvStoreWarning, match=r"with 2 and 3 experiments .* smallest possible p by permutation is 0\.1"):
        compared(filled, a=(1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compared(filled, a=(1, 2), b=(3, 4, 5, 6, 7), name="enough", permutations=1000)
    with pytest.warns(BsvStoreWarning, match="10 permutations"):
        compared(filled, a=(1, 2), b=(3, 4, 5, 6, 7), name="few", permutations=10)


def test_recipes_without_comparison_have_the_same_text_as_before() -> None:
    recipe = Recipe(selection=Selection(ids=[1]))
    assert "comparison" not in recipe.to_dict()
    assert Recipe.from_json({**recipe.to_dict(), "comparison": None}) == recipe


@pytest.mark.parametrize("change", [3, {"seeds": 1}, {"seed": 1.5}, {"covariates": 3}, {"cluster": "big"}])
def test_damaged_comparisons_are_refused(change: Any) -> None:
    recipe = Recipe(
        selection=Selection(ids=[1, 2, 3, 4]),
        grouping=by_selection({"a": [1, 2], "b": [3, 4]}),
        comparison=Comparison(covariates=("injection_ap",), cluster="extent", cluster_threshold_p=0.01, test="student"),
    )
    assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(InputError):
        Recipe.from_json({**recipe.to_dict(), "comparison": change})


def test_a_comparison_needs_groups_without_weights() -> None:
    with pytest.raises(RecipeError, match="needs two groups"):
        Recipe(selection=Selection(ids=[1]), comparison=Comparison())
    with pytest.raises(RecipeError, match="weighted by the data mask"):
        Recipe(
            selection=Selection(ids=[1]), grouping=by_field("line"), weight_by_data_mask=True, comparison=Comparison()
        )


def test_the_citation_says_how_groups_were_compared(filled: Store) -> None:
    version = compared(filled, covariates="injection_volume", seed=4, labels=["VISp", "other"])
    methods = filled.datasets.cite(version).methods
    assert "VISp (n = 3)" in methods
    assert "other (n = 3)" in methods
    assert "Student's t" in methods
    assert "injection volume" in methods
    assert "p values are from 50 random permutations (seed 4) and were corrected" in methods
    average = filled.datasets.cite(ask(filled, name="average"))
    assert "compared" not in average.methods
    # Each paper in the text is in the references.
    bibtex = filled.datasets.cite(version).bibtex
    assert all(name in bibtex for name in ("Westfall", "Holmes", "Freedman"))
    assert "Smith, Stephen" not in bibtex
    assert "Westfall" not in average.bibtex


def test_deep_verification_reads_the_maps(filled: Store) -> None:
    compared(filled)
    assert not filled.admin.verify(deep=True, decode=True).findings


def test_default_labels_are_the_criteria_that_differ(filled: Store) -> None:
    version = compared(filled, Selection(injected_in="VISp", include_excluded=True), Selection(ids=[4, 5, 6]))
    assert [group.label for group in version.groups] == ["VISp", "3 experiments"]
    assert [group.label for group in compared(filled, A, B, name="listed").groups] == ["a", "b"]
    visual = Selection(injected_in="VIS")
    single = Selection(injected_in="VISp")
    apart = compared(filled, single, visual - single, name="apart")
    assert [group.label for group in apart.groups] == ["VISp", "VIS without VISp"]
    group = ask(filled, visual, by_field("line"), name="lines").groups[0]
    mixed = compared(filled, group, Selection(injected_in="MOp"), name="mixed")
    assert [each.label for each in mixed.groups] == ["wild-type", "MOp"]
    many = Selection(line=[f"a long name of a line, {each}" for each in range(9)], strain=["C57BL/6J " * 9])
    label, other = default_labels(group, many | Selection(injected_in="MOp"))
    assert (label, len(other) <= 80, other[-1]) == ("wild-type", True, "…")


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("young", "old"), ("young", "old")),
        (("young", None), ("young", "MOp")),
        ((None, "VISp"), ("a", "VISp")),
        (("b", None), ("b", "MOp")),
        (("same", "same"), ("a", "b")),
    ],
)
def test_default_labels_of_saved_selections_are_their_names(
    names: tuple[str | None, str | None], labels: tuple[str, str]
) -> None:
    a, b = Selection(injected_in="VISp"), Selection(injected_in="MOp")
    assert default_labels(a, b, names=names) == labels
    assert default_labels([1, 2], [3, 4], names=("b", None)) == ("a", "b")


def test_labels_with_commas_are_quoted_in_sentences(filled: Store) -> None:
    version = compared(filled, labels=["VISp, VISl", "MOp"])
    methods = version.cite().methods
    assert '"VISp, VISl" (n = 3) was compared with MOp (n = 3)' in methods
    # 50 were asked for.
    assert "p values are from all 20 distinct permutations and were corrected" in methods
    assert 'by selection: "VISp, VISl" (experiments chosen by id' in methods
