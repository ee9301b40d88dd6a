"""Laterality and the shares of injections in structures: columns, and criteria of selections; what the store has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bsv_store import Selection, Store
from bsv_store.errors import MissingDataError, MissingUnionizesWarning, SelectionError
from tests.catalog.undecided import unmeasured
from tests.datasets.world import add_volume, fill, remove_volume

pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")


@pytest.fixture(scope="session")
def volumes(atlas_psu: Store) -> pd.Series[float]:
    """Projection volumes of the real tables by experiment, structure, hemisphere_id and is_injection."""
    frame = atlas_psu.catalog.unionizes(Selection(include_withdrawn=True), missing="leave_out")
    keys = ["experiment_id", "structure", "hemisphere_id", "is_injection"]
    return frame.set_index(keys)["projection_volume"].sort_index()


def test_columns_are_those_of_the_unionize_rows(atlas_psu: Store, volumes: pd.Series[float]) -> None:
    frame = atlas_psu.experiments(Selection(include_withdrawn=True)).set_index("experiment_id")
    measured = sorted({each for each, *_ in volumes.index})
    assert len(measured) == 40
    assert frame.laterality_index.notna().sum() == frame.injection_outside_primary.notna().sum() == 40
    for identifier in measured:
        row = frame.loc[identifier]
        own, other = (1, 2) if row.injected_hemisphere == "left" else (2, 1)
        ipsi, contra = (volumes.get((identifier, "root", side, False), 0.0) for side in (own, other))
        assert row.laterality_index == pytest.approx((ipsi - contra) / (ipsi + contra), abs=1e-12)
        inside = volumes.get((identifier, row.primary_structure, 3, True), 0.0)
        whole = volumes[identifier, "root", 3, True]
        assert row.injection_outside_primary == pytest.approx(max(0.0, 1 - inside / whole), abs=1e-12)
    assert (frame.laterality_index.dropna() >= -1).all()
    assert (frame.laterality_index.dropna() <= 1).all()
    # Both hemispheres occur, so a mistake about the side would show.
    assert set(frame.loc[measured].injected_hemisphere) == {"left", "right"}
    assert (frame.laterality_index.dropna() > 0.4).all()


def test_limits_of_columns_select_by_them(atlas_psu: Store) -> None:
    frame = atlas_psu.experiments().set_index("experiment_id")
    lateral, outside = frame.laterality_index, frame.injection_outside_primary
    median = float(lateral.median())

    def ids(**criteria: Any) -> list[int]:
        return list(atlas_psu.select(Selection(**criteria)))

    assert ids(min_laterality_index=median) == sorted(lateral.index[lateral >= median])
    assert ids(max_laterality_index=median) == sorted(lateral.index[lateral <= median])
    assert ids(max_laterality_index=-0.5) == []
    assert ids(min_laterality_index=-1) == sorted(lateral.dropna().index)
    assert ids(max_injection_outside_primary=0.1) == sorted(outside.index[outside <= 0.1])


def test_the_overlap_counts_nested_structures_once(atlas_psu: Store, volumes: pd.Series[float]) -> None:
    found = atlas_psu.search.sources(["VISp", "VISp5", "VISl"]).set_index("experiment_id").injection_overlap.dropna()
    assert len(found) > 10
    for identifier, share in found.items():
        inside = sum(volumes.get((identifier, each, 3, True), 0.0) for each in ("VISp", "VISl"))
        # The root is not exactly the sum of its children.
        assert share == pytest.approx(min(1.0, inside / volumes[identifier, "root", 3, True]), abs=1e-12)
    selected = atlas_psu.select(Selection(injected_in=["VISp", "VISp5", "VISl"], min_injection_overlap=0.99))
    assert list(selected) == sorted(found.index[found >= 0.99])
    assert 0 < len(selected) < len(found)
    everything = atlas_psu.select(Selection(injected_in="root", min_injection_overlap=1))
    assert len(everything) == 40


def test_experiments_without_tables_are_reported(atlas_psu: Store) -> None:
    selection = Selection(injected_in="VISp", min_injection_overlap=0.5)
    without = set(atlas_psu.select(Selection(injected_in="VISp", with_unionizes=False)))
    with pytest.warns(MissingUnionizesWarning, match=f"{len(without)} more experiments may match"):
        atlas_psu.select(selection)
    assert set(unmeasured(atlas_psu, selection)) == without
    with pytest.raises(MissingDataError, match="may match"):
        atlas_psu.experiments(Selection(injected_in="VISp", max_laterality_index=0.5), missing="error")


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"min_injection_overlap": 0.5}, "min_injection_overlap has no meaning without injected_in"),
        ({"injected_in": "CP", "min_injection_overlap": 1.5}, "must be a number from 0 to 1, got 1.5"),
        ({"min_laterality_index": -1.01}, "must be a number from -1 to 1, got -1.01"),
        ({"min_laterality_index": 0.5, "max_laterality_index": 0.4}, "min_laterality_index 0.5 is above"),
        ({"max_injection_outside_primary": float("nan")}, "must be a finite number"),
        ({"with_volume": "density map"}, "with_volume must be one of projection_density"),
        ({"with_volume": "density", "with_volume_spacing_um": 30}, "must be one of 10, 25, 50, 100, got 30"),
        ({"with_volume_spacing_um": 25}, "has no meaning without with_volume"),
        ({"with_unionizes": 1}, "with_unionizes must be True or False"),
    ],
)
def test_values_that_are_not_valid_are_refused(criteria: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        Selection(**criteria)


def test_what_the_store_has_is_a_criterion(filled: Store) -> None:
    remove_volume(filled, 2)
    add_volume(filled, 4, kind="data_mask")

    def ids(**criteria: Any) -> tuple[int, ...]:
        return filled.select(Selection(**criteria))

    assert ids(with_volume="projection_density") == (1, 3, 4, 5, 6, 7)
    assert ids(with_volume="data mask") == (4,)
    assert ids(with_volume="projection_density", with_volume_spacing_um=25) == ()
    assert filled.select(Selection(injected_in="VISp") - Selection(with_volume="projection_density")) == (2,)
    # Only the rows inside the injection site are there.
    assert ids(with_unionizes=True) == ()
    assert ids(with_unionizes=False) == (1, 2, 3, 4, 5, 6, 7)
    version = filled.aggregate(Selection(with_volume="projection_density"), name="available")
    assert list(version.members.experiment_id) == [1, 3, 4, 5, 6, 7]
    add_volume(filled, 2)
    again = filled.aggregate(Selection(with_volume="projection_density"), name="available")
    assert (again.was_computed, len(again.members)) == (True, 7)


@pytest.mark.parametrize(
    "criteria",
    [{"injected_in": "VISp", "min_injection_overlap": 0.0}, {"max_injection_outside_primary": 1.0}],
    ids=["overlap", "outside"],
)
def test_averages_warn_about_experiments_that_tables_may_add(store: Store, criteria: dict[str, Any]) -> None:
    fill(store, unionizes=(1, 2))
    with pytest.warns(MissingUnionizesWarning, match="more experiments? may match"):
        version = store.aggregate(Selection(**criteria), name="test")
    assert list(version.members.experiment_id) == [1, 2]


def test_every_question_about_a_selection_warns_about_them(store: Store) -> None:
    fill(store, unionizes=(1, 2))
    for each in (1, 2):
        add_volume(store, each, kind="injection_density")
    selection = Selection(injected_in="VISp", min_injection_overlap=0.0)
    questions: dict[str, Callable[[], Any]] = {
        "stack": lambda: store.volumes.stack(selection),
        "centroids": lambda: store.volumes.injection_centroids(selection),
        "point": lambda: store.search.point((8000, 4000, 5700), selection=selection),
        "injections": lambda: store.search.injections((8000, 4000, 5700), selection=selection),
        "sources": lambda: store.search.sources("VISp", selection=selection),
    }
    for name, ask in questions.items():
        with pytest.warns(MissingUnionizesWarning, match="more experiments? may match") as caught:
            ask()
        assert len([each for each in caught if "may match" in str(each.message)]) == 1, name


def test_a_table_is_complete_with_both_of_its_parts(atlas_psu: Store) -> None:
    complete = set(atlas_psu.select(Selection(with_unionizes=True)))
    everything = set(atlas_psu.select(Selection()))
    assert len(complete) == 40
    assert set(atlas_psu.select(Selection(with_unionizes=False))) == everything - complete


def test_the_new_criteria_have_a_stable_json() -> None:
    selection = Selection(
        injected_in="VISp",
        min_injection_overlap=np.float32(0.5),  # type: ignore[arg-type]
        with_volume="density",  # type: ignore[arg-type]
        with_volume_spacing_um=25.0,  # type: ignore[arg-type]
    )
    text = selection.to_json()
    assert text == (
        '{"injected_in":["VISp"],"min_injection_overlap":0.5,"version":1,'
        '"with_volume":"projection_density","with_volume_spacing_um":25}'
    )
    assert Selection.from_json(text) == selection
