"""Every row of every closed list works through the public API: a new row is tested as soon as it exists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import update

from bsv_store import Selection, Store, by_coordinate, by_field, vocabulary
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.ingest import ingest_unionizes
from bsv_store.catalog.records import ROOT_STRUCTURE_ID, UNIONIZE_FIELDS, UnionizeTable
from bsv_store.check import choice
from bsv_store.errors import BsvStoreError, MissingDataError, RecipeError
from bsv_store.vocabulary import (
    AXES,
    BILATERAL_RULES,
    BIN_METHODS,
    GROUPING_FIELDS,
    HEMISPHERE_RULES,
    HEMISPHERES,
    INJECTION_SCOPES,
    MATRIX_ROWS,
    MATRIX_STATISTICS,
    MEASURED_HEMISPHERES,
    MEASURES,
    MISSING_POLICIES,
    NORMALIZATIONS,
    RESULT_DTYPES,
    STATISTICS,
    UNIONIZE_PARTS,
    VOLUME_KINDS,
)
from tests.averaging import reference
from tests.datasets.world import FACTS, VISP, VISUAL, add_annotation, add_volume, fill, voxels
from tests.sealing import sealed_changes
from tests.stores import store_with

IDS = (1, 2, 3)
SOME = Selection(ids=IDS)


def _lists() -> dict[str, Mapping[str, Any]]:
    return {name: value for name, value in vars(vocabulary).items() if name.isupper() and isinstance(value, Mapping)}


# Lists whose rows are tested beside the code that reads them, with the module of the tests.
ELSEWHERE = {
    "THEMES": "figures/test_style.py",
    "ANIMAL_WEIGHTS": "catalog/test_projection_profile.py",
    "PLANES": "reports/test_voxel_figures.py",
    "COLOR_SCALES": "reports/test_voxel_figures.py",
    "ACTIONS": "store/test_activity.py",
    "INJECTION_COLORS": "reports/test_charts.py",
    "MATRIX_LAYOUTS": "catalog/test_matrix.py",
    "MATRIX_ORDERS": "reports/test_charts.py",
    "MATRIX_SCALES": "reports/test_charts.py",
    "SIGNAL_STYLES": "reports/test_view3d.py",
    "JOURNAL_MODES": "catalog/test_sqlite.py",
    "GARBAGE_KINDS": "maintenance/test_gc.py",
    "OWNER_STATES": "acquisition/test_claims.py",
    "TRASH_REASONS": "volumes/test_files.py",
    "OBJECT_KINDS": "maintenance/test_inventory.py",
    "SETTINGS": "store/test_settings.py",
    "SETTING_PLACES": "store/test_settings.py",
    "ACCESS_SCOPES": "store/test_tokens.py",
    "LOG_LEVELS": "store/test_settings.py",
    "LOG_FORMATS": "store/test_settings.py",
    "PROGRESS_DISPLAYS": "test_progress.py",
    "DOCTOR_CHECKS": "store/test_doctor.py",
    "DOCTOR_OUTCOMES": "store/test_doctor.py",
    "FINDING_KINDS": "maintenance/test_verify.py",
    "REPAIR_ACTIONS": "maintenance/test_repair.py",
    "VERIFY_DEPTHS": "maintenance/test_verify.py",
    "ANNOTATION_ORIGINS": "atlas/test_landmarks.py",
    "PLAUSIBILITY_CHECKS": "plausibility/test_checks.py",
    "ANNOTATION_OUTCOMES": "acquisition/test_annotation.py",
    "TEMPLATE_DTYPES": "acquisition/test_template.py",
    "TEMPLATE_OUTCOMES": "acquisition/test_template.py",
    "CACHE_LAYOUTS": "sources/test_caches.py",
    "DATASET_STANDINGS": "datasets/test_imported.py",
    "DIVISOR_SOURCES": "datasets/test_aggregate.py",
    "EXPERIMENT_SOURCE_KINDS": "catalog/ingest/test_experiments.py",
    "ONTOLOGY_SOURCE_KINDS": "catalog/ingest/test_structures.py",
    "PUBLISHED_TABLES": "reproduce/test_reproduce.py",
    "SCHEMA_ACTIONS": "catalog/test_schema_history.py",
    "STRUCTURE_KEYS": "catalog/test_structure_lookup.py",
    "THRESHOLD_RULES": "atlas/test_thresholds.py",
    "SEXES": "catalog/ingest/test_experiments.py",
    "SNAPSHOT_CONTENTS": "cli/test_sync.py",
    "COVARIATES": "datasets/test_comparison.py",
    "COMPARISON_MAPS": "datasets/test_comparison.py",
    "COMPARISON_ORDERS": "catalog/test_structure_comparison.py",
    "TWO_SAMPLE_STATISTICS": "statistics/test_features.py",
    "EFFECT_SIZES": "statistics/test_features.py",
    "CLUSTER_STATISTICS": "statistics/test_clusters.py",
}


@pytest.mark.parametrize(("name", "module"), ELSEWHERE.items())
def test_every_row_of_a_list_that_is_tested_elsewhere_occurs_there(name: str, module: str) -> None:
    text = (Path(__file__).parent / module).read_text(encoding="utf-8")
    assert not [row for row in _lists()[name] if f'"{row}"' not in text]


def test_this_module_knows_all_lists() -> None:
    tested = {name for name in globals() if name.isupper()} | set(ELSEWHERE)
    assert set(_lists()) <= tested, "write a test for each row of the new list"


@pytest.mark.parametrize("rows", _lists().values(), ids=_lists())
def test_every_spelling_names_one_row(rows: Mapping[str, Any]) -> None:
    for name, row in rows.items():
        assert name == row.name
        for spelling in (name, *row.synonyms):
            for written in (spelling, spelling.upper(), spelling.replace("_", "-"), spelling.replace("_", " ")):
                assert choice("value", written, rows) is row, written
        # As Brain Street View and other programs write names.
        assert choice("value", name.title().replace("_", ""), rows) is row


def prepare(store: Store) -> None:
    """Give every experiment of `SOME` every kind of volume, an annotation and all catalog fields."""
    fill(store)
    for kind in VOLUME_KINDS:
        for identifier in IDS:
            add_volume(store, identifier, kind=kind)  # type: ignore[arg-type]
    ids = np.zeros(voxels(1).shape, np.uint32)
    ids[60:80] = VISP
    add_annotation(store, ids)
    add_projection_rows(store)
    with sealed_changes(store.database) as connection:
        values = {"sex": "F", "strain": "C57BL/6J", "product_id": 5, "projection_volume": 1.5}
        connection.execute(update(Experiment).where(Experiment.id.in_(IDS)).values(values))


ready = store_with(prepare)


def add_projection_rows(store: Store) -> None:
    """The rows of root and VISp outside the injection, in all hemispheres, with a different value in each."""
    keys = [
        (each, structure, side) for each in IDS for structure in (8, VISP, 669, ROOT_STRUCTURE_ID) for side in (1, 2, 3)
    ]
    columns = {
        name: np.array([10.0 * each + side for each, _, side in keys], dtype) for _, name, dtype in UNIONIZE_FIELDS
    }
    identifiers = np.arange(len(keys)) + 1000
    given = {"id": identifiers, "is_injection": np.zeros(len(keys), np.bool_)}
    for number, name in enumerate(("experiment_id", "structure_id", "hemisphere_id")):
        given[name] = np.array([key[number] for key in keys])
    columns |= {name: values.astype(columns[name].dtype) for name, values in given.items()}
    ingest_unionizes(store.database, UnionizeTable(columns, frozenset({"projection"})), source="test", kind="file")


def members(store: Store, **options: Any) -> Any:
    return store.aggregate(SOME, name="test", dtype="float64", **options)


# -- averages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_every_normalization_divides_by_its_divisor_and_names_it(ready: Store, name: Any) -> None:
    row = NORMALIZATIONS[name]
    version = members(ready, normalize=name)
    divisors = {member.experiment_id: member.divisor for member in version.experiments}
    assert (set(divisors.values()) == {1.0}) == (row.divisor is None), "a normalization that does not divide"
    expected = np.mean([voxels(each).astype(float) / divisors[each] for each in IDS], axis=0)
    np.testing.assert_allclose(version.mean[0], expected, rtol=1e-12)
    assert version.rules[0] == row.words
    assert version.unit == VOLUME_KINDS["projection_density"].unit + row.unit_suffix
    assert row.methods in version.cite().methods
    others = [members(ready, normalize=other) for other in NORMALIZATIONS if other != name]
    assert version.unit not in [other.unit for other in others]
    assert version.fingerprint not in [other.fingerprint for other in others]


@pytest.mark.parametrize("name", HEMISPHERE_RULES)
def test_every_hemisphere_rule_is_that_of_the_reference(ready: Store, name: Any) -> None:
    version = members(ready, hemisphere_rule=name)
    sides = {fact.id: fact.injected for fact in FACTS}
    items = [reference.Member(voxels(each), injected=sides[each]) for each in IDS]
    np.testing.assert_allclose(version.mean[0], reference.statistics(items, 0, name)["mean"], rtol=1e-12, atol=1e-12)
    assert version.rules[1] == HEMISPHERE_RULES[name].words
    assert HEMISPHERE_RULES[name].methods in version.cite().methods
    hemispheres = set(ready.datasets.regions(version, structures="VISp").hemisphere)
    assert ("ipsilateral" in hemispheres) == HEMISPHERE_RULES[name].is_folded
    stack = ready.datasets.stack(version, processed=True)
    np.testing.assert_allclose(sum(stack) / len(IDS), version.mean[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BILATERAL_RULES)
def test_every_bilateral_rule_is_applied(filled: Store, name: Any) -> None:
    """Experiment 4 is bilateral."""
    options: dict[str, Any] = {"name": "test", "hemisphere_rule": "flip_to_right", "bilateral_rule": name}
    if name == "error":
        with pytest.raises(RecipeError, match="both sides"):
            filled.aggregate(VISUAL, **options)
        return
    version = filled.aggregate(VISUAL, **options)
    assert [left.experiment_id for left in version.left_out] == ([4] if name == "leave_out" else [])


@pytest.mark.parametrize("name", MISSING_POLICIES)
def test_every_policy_for_missing_data_is_applied(ready: Store, name: Any) -> None:
    with sealed_changes(ready.database) as connection:
        connection.exec_driver_sql("DELETE FROM volume WHERE experiment_id = 2")
    if name == "error":
        for call in (lambda: members(ready, missing=name), lambda: ready.atlas.signal(SOME, "VISp", missing=name)):
            with pytest.raises(MissingDataError, match="2"):
                call()
        return
    assert [left.experiment_id for left in members(ready, missing=name).left_out] == [2]
    assert ready.atlas.signal(SOME, "VISp", missing=name).attrs["without_volume"] == [2]


@pytest.mark.parametrize("name", STATISTICS)
def test_every_statistic_is_that_of_the_reference(ready: Store, name: Any) -> None:
    version = members(ready, statistics=name, group_by=by_coordinate("AP", edges=[0, 100, 13_000]))
    row = STATISTICS[name]
    expected = reference.statistics([reference.Member(voxels(each)) for each in IDS], 0, "none")[name]
    found = version.statistic(name)
    np.testing.assert_allclose(found[1], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found[0], row.empty_value)
    assert found.dtype == (np.uint32 if row.is_count else np.float64)
    # Counts, and fractions of a voxel.
    assert version.to_xarray()[name].attrs["units"] == "1"
    with version.open() as file:
        assert file[name].attrs["long_name"]


@pytest.mark.parametrize("name", RESULT_DTYPES)
def test_every_dtype_is_that_of_the_result(ready: Store, name: Any) -> None:
    assert ready.aggregate(SOME, name="test", dtype=name).mean.dtype == np.dtype(name)


@pytest.mark.parametrize("name", GROUPING_FIELDS)
def test_every_field_makes_groups(ready: Store, name: Any) -> None:
    column = ready.experiments(SOME)[GROUPING_FIELDS[name].column]
    row = GROUPING_FIELDS[name]
    labels = {row.null_label if pd.isna(value) else f"{row.label_prefix}{value}" for value in column}
    for group_by in (name, by_field(name)):
        version = members(ready, group_by=group_by)
        assert {group.label for group in version.groups} == labels
        assert not version.left_out


@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize("method", BIN_METHODS)
def test_every_axis_and_method_makes_bins(ready: Store, name: Any, method: Any) -> None:
    options: dict[str, Any] = {"edges": [0, 6000, 14_000]} if method == "edges" else {"bins": 2, "method": method}
    version = members(ready, group_by=by_coordinate(name, **options))
    assert version.axis == name
    assert sum(group.n for group in version.groups) == len(IDS)


# -- volumes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VOLUME_KINDS)
def test_every_kind_of_volume_is_read_measured_and_averaged(ready: Store, name: Any) -> None:
    np.testing.assert_array_equal(ready.volume(1, kind=name), voxels(1, kind=name))
    row = VOLUME_KINDS[name]
    version = members(ready, kind=name)
    np.testing.assert_allclose(version.mean[0], np.mean([voxels(each, kind=name) for each in IDS], axis=0), rtol=1e-6)
    assert version.quantity == f"{row.words} ({row.unit})"
    assert row.words in version.cite().methods
    assert version.to_xarray()["mean"].attrs.get("units") == row.cf_unit
    assert len(ready.atlas.signal(SOME, "VISp", kind=name)) == len(IDS)


@pytest.mark.parametrize("name", MEASURED_HEMISPHERES)
def test_signal_is_measured_in_every_hemisphere(ready: Store, name: Any) -> None:
    assert ready.atlas.signal(SOME, "VISp", hemisphere=name).hemisphere.unique().tolist() == [name]
    if MEASURED_HEMISPHERES[name].is_relative:
        with pytest.raises(BsvStoreError):
            ready.atlas.mask("VISp", hemisphere=name)
    else:
        assert ready.atlas.mask("VISp", hemisphere=name).any()


# -- catalog ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INJECTION_SCOPES)
def test_every_scope_selects(ready: Store, name: Any) -> None:
    assert ready.select(Selection(injected_in="VISp", injection=name)) == IDS


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_is_a_column_of_the_matrix(ready: Store, name: Any) -> None:
    frame = ready.catalog.matrix(SOME, targets="VISp", hemisphere="both", measure=name)
    assert frame.to_numpy().tolist() == [[23.0]]


@pytest.mark.parametrize("name", MATRIX_STATISTICS)
def test_every_statistic_makes_a_matrix(ready: Store, name: Any) -> None:
    frame = ready.catalog.matrix(SOME, targets="VISp", hemisphere="both", measure="projection_volume", statistic=name)
    values = np.array([13.0, 23.0, 33.0])
    expected = {"mean": values.mean(), "median": np.median(values), "n": 3}
    assert frame.to_numpy().tolist() == [[expected[name]]]


@pytest.mark.parametrize("name", MATRIX_ROWS)
def test_every_kind_of_row_makes_a_matrix(ready: Store, name: Any) -> None:
    frame = ready.catalog.matrix(SOME, targets="VISp", hemisphere="both", rows=name)
    assert frame.shape == ({"sources": 1, "experiments": 3}[name], 1)


@pytest.mark.parametrize("name", HEMISPHERES)
def test_every_hemisphere_is_an_injected_hemisphere(filled: Store, name: Any) -> None:
    expected = tuple(fact.id for fact in FACTS if fact.injected == name)
    assert filled.select(Selection(injected_hemisphere=name)) == expected


@pytest.mark.parametrize("name", UNIONIZE_PARTS)
def test_every_part_of_a_unionize_table_is_distinguished(filled: Store, name: Any) -> None:
    covered = filled.sql("select distinct part from unionize_coverage").part.tolist()
    assert (name in covered) == UNIONIZE_PARTS[name].is_injection
