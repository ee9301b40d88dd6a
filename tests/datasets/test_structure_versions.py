"""Comparisons of two groups by structure, stored as versions of datasets."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import delete, update

from bsv_store import Selection, by_selection, create_store
from bsv_store.averaging.comparison.structure_comparison import StructureComparison
from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.database.models import Unionize, UnionizeCoverage
from bsv_store.errors import (
    DamagedCatalogError,
    FormatError,
    InputError,
    MissingDataError,
    MissingUnionizesWarning,
    NotReproducibleError,
    RecipeError,
    SelectionError,
    UnknownStructureError,
)
from tests.catalog import small_catalog
from tests.datasets.bundles import changed, edit_inputs, edit_result, set_manifest
from tests.sealing import sealed_changes

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store

A, B = (101, 201), (102, 103)
TARGETS = ["CM", "VISpm", "CP"]
pytestmark = pytest.mark.filterwarnings("ignore:with . and . experiments")


@pytest.fixture
def filled(store: Store) -> Store:
    with store.database.writing() as connection:
        small_catalog.fill(connection)
    return store


def compared(store: Store, a: Any = A, b: Any = B, **arguments: Any) -> pd.DataFrame:
    given = {"targets": TARGETS, "permutations": 50, "bootstrap": 50, "measure": "projection_volume", **arguments}
    return store.compare_structures(a, b, **given)


def stored(store: Store, *sides: Any, name: str = "test", **arguments: Any) -> DatasetVersion:
    return store.dataset(compared(store, *sides, name=name, **arguments).attrs["dataset"])


def change_value(store: Store, experiment_id: int = 103) -> None:
    """Replace the signal of an experiment in CP, as a new unionize table would."""
    with sealed_changes(store.database) as connection:
        here = Unionize.experiment_id == experiment_id, Unionize.structure_id == 672, Unionize.is_injection.is_(False)
        connection.execute(update(Unionize).where(*here).values(projection_volume=Unionize.projection_volume * 2))
        # Each new table also changes its row here.
        touched = update(UnionizeCoverage).where(UnionizeCoverage.experiment_id == experiment_id)
        connection.execute(touched.values(part=UnionizeCoverage.part))


def remove_table(store: Store, experiment_id: int) -> None:
    with sealed_changes(store.database) as connection:
        part = UnionizeCoverage.experiment_id == experiment_id, UnionizeCoverage.part == "projection"
        connection.execute(delete(UnionizeCoverage).where(*part))
        rows = Unionize.experiment_id == experiment_id, Unionize.is_injection.is_(False)
        connection.execute(delete(Unionize).where(*rows))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"hemisphere": ["ipsilateral", "contralateral"], "effect_size": "cohens_d", "test": "student"},
        {"targets": None, "structure_set": 184527634, "include_sources": True, "within": "grey"},
        {"covariates": "injection_volume", "b": (102, 103, 301), "seed": 7},
    ],
)
def test_the_version_has_the_table_of_the_comparison(filled: Store, arguments: dict[str, Any]) -> None:
    expected = compared(filled, **arguments)
    version = stored(filled, **arguments)
    pd.testing.assert_frame_equal(version.comparison_table(), expected)
    assert version.ref == "test@1"
    table = version.comparison_table(sort_by="difference", limit=1)
    pd.testing.assert_frame_equal(table, compared(filled, sort_by="difference", limit=1, **arguments))
    # Also recipe and fingerprint: both select and read the animals in one way.
    assert {key: value for key, value in table.attrs.items() if key != "dataset"} == expected.attrs
    assert table.attrs["fingerprint"] == version.fingerprint
    assert Recipe.from_json(table.attrs["recipe"]) == version.recipe


def test_the_same_comparison_is_returned_and_another_is_the_next_version(filled: Store) -> None:
    frame = compared(filled, name="test")
    first = filled.dataset(frame.attrs["dataset"])
    assert (first.ref, frame.attrs["was_computed"]) == ("test@1", True)
    assert stored(filled) == first
    assert compared(filled, name="test").attrs["was_computed"] is False
    assert stored(filled, seed=1).ref == "test@2"
    change_value(filled)
    again = stored(filled)
    assert again.ref == "test@3"
    assert again.fingerprint != first.fingerprint
    assert filled.datasets.versions()["spacing_um"].isna().tolist() == [True, True, True]


def test_experiments_that_cannot_be_compared_are_left_out_with_the_reason(filled: Store) -> None:
    with pytest.warns(MissingUnionizesWarning, match="104"):
        version = stored(filled, b=(102, 103, 104), hemisphere="ipsilateral")
    assert {each.experiment_id: each.reason for each in version.left_out} == {
        104: "the unionize table is not in the store"
    }
    assert version.comparison_table().attrs["without_unionizes"] == [104]
    with pytest.raises(MissingDataError, match="the unionize table is not in the store: 1 experiment, 104") as found:
        stored(filled, b=(102, 103, 104), missing="error")
    assert "bsv-store sync unionizes --ids 104" in str(found.value.hint)


def test_excluded_members_of_a_version_cannot_be_compared(filled: Store) -> None:
    filled.catalog.exclude([101], "bad section")
    version = stored(filled, Selection(ids=A, include_excluded=True), Selection(ids=B))
    assert version.groups[0].experiment_ids == A
    for name in (None, "other"):
        with pytest.raises(SelectionError, match="101"):
            compared(filled, version.groups[0], version.groups[1], name=name)


def test_changes_of_the_tables_are_found(filled: Store) -> None:
    version = stored(filled, b=(102, 103, 301))
    assert filled.datasets.stale(version)[0].state == "current"
    assert {each.state for each in filled.datasets.lineage(version).members} == {"in the store"}
    change_value(filled)
    (report,) = filled.datasets.stale(version)
    assert report.is_stale
    assert [(each.experiment_id, each.reason) for each in report.members.changed] == [
        (103, "other values in the unionize table, or other structures or hemispheres")
    ]
    states = {each.experiment_id: each.state for each in filled.datasets.lineage(version).members}
    assert states == {**dict.fromkeys((101, 102, 201, 301), "in the store"), 103: "replaced"}
    with pytest.raises(MissingDataError, match="have been replaced: 103"):
        filled.datasets.rebuild(version)
    remove_table(filled, 103)
    assert [each.experiment_id for each in filled.datasets.stale(version)[0].members.left] == [103]
    with pytest.raises(MissingDataError, match="are not in the store: 103"):
        filled.datasets.rebuild(version)
    assert [each.outcome for each in filled.dataset("test").checks] == ["inputs missing", "inputs missing"]


def test_a_damaged_file_is_rebuilt_to_the_bit(filled: Store) -> None:
    version = stored(filled, covariates="injection_volume", b=(102, 103, 301))
    assert filled.datasets.rebuild(version).is_identical
    expected, content = version.comparison_table(), version.path.read_bytes()
    version.path.write_bytes(content[:-1])
    assert {each.state for each in filled.datasets.lineage(version).members} == {"in the store"}
    report = filled.datasets.rebuild(version)
    assert report.was_restored
    assert version.path.read_bytes() == content
    pd.testing.assert_frame_equal(filled.dataset("test").comparison_table(), expected)
    findings = filled.admin.verify(deep=True, decode=True).findings
    assert "version/test@1" not in {each.object for each in findings}


def test_differences_between_two_versions_are_listed_by_column(filled: Store) -> None:
    first, again = stored(filled), stored(filled, name="again")
    assert str(filled.datasets.diff(first, again)) == "test@1 and again@1 are equal: recipe, members and all values."
    change_value(filled)
    found = filled.datasets.diff(first, stored(filled))
    assert not found.is_equal
    (difference,) = [each for each in found.columns if each.column == "difference"]
    assert (difference.structure, difference.hemisphere, difference.rows) == ("CP", "both", 1)
    assert difference.first - difference.second == pytest.approx(0.16)
    assert "differences in 1 row, the largest in CP (both)" in str(found)
    other = filled.datasets.diff(first, stored(filled, seed=2))
    assert [(each.part, each.first, each.second) for each in other.recipe] == [("comparison.seed", "0", "2")]


def test_a_bundle_takes_the_comparison_to_another_store(filled: Store, tmp_path: Path) -> None:
    version = stored(filled)
    filled.datasets.tag(version, "paper")
    version = filled.dataset(version.ref)
    bundle = version.export(tmp_path / "test.bsv.zip")
    with create_store(tmp_path / "empty") as empty:
        imported = empty.datasets.import_bundle(bundle)
        assert imported.ref == "test@1"
        assert imported.tags == ("paper",)
        assert imported.origin.standing == "imported, not checked"
        pd.testing.assert_frame_equal(imported.comparison_table(), version.comparison_table())
        assert imported.cite().methods
        assert "unionize" in empty.datasets.stale(imported)[0].reasons[0]
        assert empty.admin.verify(deep=True, decode=True).is_intact
    with create_store(tmp_path / "same") as same:
        with same.database.writing() as connection:
            small_catalog.fill(connection)
        assert same.datasets.import_bundle(bundle).origin.standing == "imported, checked"
        assert same.datasets.import_bundle(bundle, name="again").origin.can_answer


def test_changed_bundles_are_refused(filled: Store, tmp_path: Path) -> None:
    bundle = stored(filled).export(tmp_path / "test.bsv.zip")

    def signal(file: Any) -> None:
        file["signal"][0, 0] += 1

    def without_structures(value: dict[str, Any]) -> None:
        del value["structures"]

    def other_structure(value: dict[str, Any]) -> None:
        value["structures"][0][0] = 385

    with pytest.raises(FormatError, match="do not match their hash"):
        filled.datasets.import_bundle(changed(bundle, edit_result(signal)))
    for edit, message in ((without_structures, "must have structures"), (other_structure, "not those of the recipe")):
        with pytest.raises(FormatError, match=message):
            filled.datasets.import_bundle(changed(bundle, edit_result(edit_inputs(edit))), name="other")
    with pytest.raises(FormatError, match="do not match its fingerprint"):
        filled.datasets.import_bundle(changed(bundle, set_manifest(fingerprint="0" * 64)), name="other")


def forged(bundle: Path, edit: Any) -> Path:
    """A changed bundle with hashes that fit the change."""
    import hashlib

    import h5py

    from bsv_store.datasets.result.columns import COLUMNS, SIGNAL
    from bsv_store.datasets.result.content_hash import content_hash

    def change(parts: dict[str, bytes]) -> None:
        buffer = io.BytesIO(parts["result.nc"])
        with h5py.File(buffer, "r+") as file:
            edit(file)
            content = content_hash(file, (), (SIGNAL, *COLUMNS))
        image = parts["result.nc"] = buffer.getvalue()
        sha256 = hashlib.sha256(image).hexdigest()
        set_manifest(size_bytes=len(image), file_sha256=sha256, content_sha256=content)(parts)

    return changed(bundle, change)


def test_forged_results_are_refused(filled: Store, tmp_path: Path) -> None:
    bundle = stored(filled).export(tmp_path / "test.bsv.zip")

    def set_value(name: str, value: float) -> Any:
        def edit(file: Any) -> None:
            file[name][0] = value

        return edit

    for name, value, message in (
        ("signal", 1.0, "signal does not match the inputs"),
        ("p_max_t", 1.5, "values outside 0 to 1"),
        ("t", np.inf, "infinite values"),
    ):
        with pytest.raises(FormatError, match=message):
            filled.datasets.import_bundle(forged(bundle, set_value(name, value)), name="other")
    for edit, message in (
        (lambda file: file["t"].attrs.pop("permutations"), "the attribute permutations of t is None"),
        (lambda file: file["t"].attrs.modify("tests", np.int64(4)), "the attribute tests of t is "),
    ):
        with pytest.raises(FormatError, match=message):
            filled.datasets.import_bundle(forged(bundle, edit), name="other")
    with pytest.raises(NotReproducibleError, match="not reproducible"):
        filled.datasets.import_bundle(forged(bundle, set_value("t", 5.0)), name="other")


def test_every_format_without_voxels_is_written(filled: Store, tmp_path: Path) -> None:
    version = stored(filled)
    frame = version.comparison_table()
    table = pd.read_csv(version.export(tmp_path / "test.csv"))
    assert list(table["dataset"]) == ["test@1"] * len(frame)
    np.testing.assert_allclose(table["p_permutation"], frame["p_permutation"])
    with np.load(version.export(tmp_path / "test.npz")) as arrays:
        assert list(arrays["structure"]) == ["VISpm", "CP", "CM"]
        assert arrays["signal"].shape == (4, 3)
        assert arrays["member"].tolist() == [101, 102, 103, 201]
        np.testing.assert_allclose(arrays["signal"][:, 1], [0.5, 0.05, 0.32, 0])
    with zipfile.ZipFile(version.export(tmp_path / "test.bsv.zip")) as archive:
        assert "members.csv" in archive.namelist()
    for ending in ("nc", "bib", "ris", "txt"):
        assert version.export(tmp_path / f"test.{ending}").exists()
    for ending in ("nii.gz", "nrrd", "npy"):
        with pytest.raises(InputError, match="is a comparison by structure and has no voxels"):
            version.export(tmp_path / f"test.{ending}")
    dataset = version.to_xarray()
    assert set(dataset.data_vars) >= {"signal", "difference", "p_max_t"}
    assert dataset["signal"].dims == ("member", "feature")
    assert "structure" in dataset.coords


def test_requests_for_voxels_are_refused(filled: Store) -> None:
    version = stored(filled)
    requests: list[Any] = [
        lambda: version.grid,
        lambda: version.mean,
        lambda: version.to_frame(),
        lambda: version.plot(),
        lambda: version.targets(),
        lambda: version.comparison_summary(),
        lambda: version.export_groups("test.nii.gz"),
        lambda: version.values_in(np.ones((2, 2, 2), bool)),
        lambda: filled.datasets.regions(version),
        lambda: filled.datasets.animal_regions(version),
        lambda: filled.datasets.threshold(version, 0.1),
        lambda: filled.datasets.stack(version),
        lambda: filled.datasets.subregions(version, ["CP"]),
        lambda: filled.datasets.compare_groups(version, 0, 1, name="voxels"),
    ]
    for request in requests:
        with pytest.raises(InputError, match="is a comparison by structure and has no voxels"):
            request()
    assert "projection volume (mm3)" in repr(version)
    assert "Grid" not in version._repr_html_()


def test_the_citation_says_what_was_compared(filled: Store) -> None:
    with pytest.warns(MissingUnionizesWarning, match="104"):
        citation = stored(filled, b=(102, 103, 104), labels=["visual", "other"]).cite()
    for text in (
        "We selected 5 experiments",
        "1 experiment was left out (the unionize table is not in the store)",
        "Projection volume outside the injection site was taken from the unionize tables of the atlas for 3 structures",
        "visual (n = 2) was compared with other (n = 2), with animals as replicates, by a two-sided Welch's t test",
        "all 6 distinct permutations",
        "The comparison was computed on",
    ):
        assert text in citation.methods
    assert "annotation" not in citation.methods
    assert {"benjamini1995controlling", "westfall1993resampling"} <= {each.key for each in citation.references}


def test_the_citation_says_which_structures_were_not_tested(filled: Store) -> None:
    untested = "structures without signal in any animal were not tested"
    assert untested not in stored(filled, hemisphere="both").cite().methods
    frame = compared(filled, name="more", targets=[*TARGETS, "VISC"])
    assert frame.attrs["without_signal"], frame
    tests = int(frame["t"].notna().sum())
    methods = filled.dataset(frame.attrs["dataset"]).cite().methods
    assert "for 4 structures, in both hemispheres" in methods
    assert f"({tests} tests; {untested}). p values are from all 6 distinct permutations and were corrected" in methods
    assert "(50 draws, seed 0; Efron 1987)" in methods


def test_a_damaged_row_of_a_table_is_not_compared(filled: Store) -> None:
    with filled.database.writing() as connection:
        here = Unionize.experiment_id == 103, Unionize.structure_id == 672
        connection.execute(update(Unionize).where(*here).values(projection_volume=9.0))
    with pytest.raises(DamagedCatalogError):
        stored(filled)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"targets": ["nothing"]}, UnknownStructureError, "nothing"),
        ({"targets": []}, InputError, "structures must not be empty"),
        ({"targets": ["CP"], "structure_set": 5}, InputError, "cannot both be given"),
        ({"within": "VISp"}, InputError, "no structures to compare"),
        ({"targets": ["TH"]}, InputError, "none of the structures has signal"),
        ({"confidence": 1}, InputError, "confidence must be a number between 0 and 1"),
        ({"sort_by": "name"}, InputError, "sort_by must be one of"),
        ({"limit": 0}, InputError, "limit"),
        ({"b": (101, 102)}, RecipeError, "in common: 101"),
        ({"name": "no/name"}, InputError, "name"),
    ],
)
def test_what_cannot_be_compared_is_not_stored(
    filled: Store, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compared(filled, **{"name": "test", **arguments})
    assert filled.datasets.list() == ()


def test_recipes_are_read_back_and_parts_about_voxels_are_refused() -> None:
    sides = by_selection({"a": Selection(ids=A), "b": Selection(ids=B)})
    comparison = StructureComparison(targets=(672, 549), hemisphere=("both", "left"), covariates=(), seed=3)
    recipe = Recipe(selection=Selection(ids=[*A, *B]), grouping=sides, comparison=comparison)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert replace(recipe, missing="leave_out").comparison == comparison
    assert (recipe.kinds, recipe.statistics, recipe.maps, recipe.spacing_um) == ((), (), (), 0)
    assert set(recipe.to_dict()) == {"selection", "grouping", "missing", "comparison", "recipe_version"}
    for part in ({"spacing_um": 25}, {"kind": "data_mask"}, {"statistics": ("sd",)}, {"exclude_injection": True}):
        with pytest.raises(RecipeError, match=f"{next(iter(part))} cannot be combined with a comparison by structure"):
            replace(recipe, **part)
    with pytest.raises(RecipeError, match="has no part 'cluster'"):
        StructureComparison.from_dict({**comparison.to_dict(), "cluster": "none"})
