"""The searches, by hand on the small catalog and against plain pandas on real tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bsv_store import Selection, Store
from bsv_store.errors import InputError, MissingDataError, SelectionError, UnknownExperimentError, UnknownStructureError

# What is left out is tested in test_without_unionizes.py.
pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")

UNIONIZE_STRUCTURE_SET_ID = 184527634
FOUND_COLUMNS = (
    "experiment_id",
    "primary_structure",
    "transgenic_line",
    "product_id",
    "injected_hemisphere",
    "injection_volume",
    "injection_ap",
    "injection_dv",
    "injection_ml",
)


def pairs(frame: pd.DataFrame, column: str) -> list[tuple[int, Any]]:
    return list(zip(frame["experiment_id"].tolist(), frame[column].tolist(), strict=True))


# -- source -----------------------------------------------------------------------------------------------------------


def test_source_search_ranks_by_signal_and_puts_the_unknown_last(small_store: Store) -> None:
    frame = small_store.search.sources("VISp")
    assert tuple(frame.columns) == (*FOUND_COLUMNS, "injection_overlap", "projection_volume")
    assert pairs(frame, "projection_volume")[:3] == [(101, 2.0), (201, 2.0), (102, 1.0)]
    assert frame["experiment_id"].tolist()[3:] == [1, 204]
    assert frame["projection_volume"].isna().tolist() == [False] * 3 + [True] * 2
    assert frame["experiment_id"].tolist() != sorted(frame["experiment_id"].tolist())
    assert set(frame["experiment_id"]) == set(small_store.select(Selection(injected_in="VISp")))


def test_source_search_in_a_domain_and_hemisphere(small_store: Store) -> None:
    options: dict[str, Any] = {"selection": Selection(ids=[101, 102, 103])}
    ipsi = small_store.search.sources("VIS", domain=["CP"], hemisphere="ipsilateral", **options)
    assert pairs(ipsi, "projection_volume") == [(101, 0.4), (103, 0.3), (102, 0.0)]
    # VISpm lies inside VIS and counts once; 101 has no row for VIS itself.
    nested = small_store.search.sources("VIS", domain=["VISpm", "CP"], **options)
    assert pairs(nested, "projection_volume") == [(101, 0.8), (103, 0.32), (102, 0.05)]
    once = small_store.search.sources("VIS", domain=["VISpm", "VIS"], **options)
    assert once["projection_volume"].tolist() == [0.0, 0.0, 0.0]


def test_source_search_takes_secondary_structures_when_asked(small_store: Store) -> None:
    assert 105 not in small_store.search.sources("VISp")["experiment_id"].tolist()
    assert 105 in small_store.search.sources("VISp", injection="any")["experiment_id"].tolist()
    assert set(small_store.search.sources("VIS", selection=Selection(injected_hemisphere="left"))["experiment_id"]) == {
        103,
        202,
    }


# -- target -----------------------------------------------------------------------------------------------------------


def test_target_search_ranks_by_the_strongest_target(small_store: Store) -> None:
    frame = small_store.search.targets(["CP", "VISpm"])
    assert tuple(frame.columns) == (*FOUND_COLUMNS, "target", "projection_volume")
    found = list(zip(frame["experiment_id"], frame["target"], frame["projection_volume"], strict=True))
    assert found == [(201, "VISpm", 1.25), (101, "CP", 0.5), (103, "CP", 0.32), (102, "CP", 0.05)]
    assert frame["injected_hemisphere"].tolist() == ["right", "right", "left", "right"]


@pytest.mark.parametrize("side", ["both", "left", "right", "ipsilateral", "contralateral"])
@pytest.mark.parametrize("measure", ["projection_volume", "normalized_projection_volume", "projection_density"])
@pytest.mark.parametrize("threshold", [0.0, 0.03, 0.3])
def test_target_search_finds_what_the_selection_does(
    small_store: Store, side: Any, measure: Any, threshold: float
) -> None:
    frame = small_store.search.targets("CP", measure=measure, threshold=threshold, hemisphere=side)
    selection = Selection(
        projecting_to="CP", target_measure=measure, target_threshold=threshold, target_hemisphere=side
    )
    assert sorted(frame["experiment_id"]) == list(small_store.select(selection))
    assert (frame[measure] > threshold).all()
    assert frame[measure].is_monotonic_decreasing


def test_limit_and_within(small_store: Store) -> None:
    assert small_store.search.targets("CP", limit=1)["experiment_id"].tolist() == [101]
    assert small_store.search.targets("CP", selection=Selection(injected_hemisphere="left"))[
        "experiment_id"
    ].tolist() == [103]
    nothing = small_store.search.targets("CP", selection=Selection(ids=[201]))
    assert len(nothing) == 0
    assert tuple(nothing.columns) == (*FOUND_COLUMNS, "target", "projection_volume")


# -- injection coordinate ---------------------------------------------------------------------------------------------


def test_injection_search_ranks_by_distance(small_store: Store) -> None:
    frame = small_store.search.injections((8100, 1500, 8500), selection=Selection(injected_in="VIS"))
    found = pairs(frame, "distance_um")
    assert found[0] == (101, 0.0)
    assert found[1][1] == 100.0
    assert found[-1] == (202, pytest.approx(np.hypot(100, 6000)))
    # Its coordinate is not known.
    assert 104 not in frame["experiment_id"].tolist()
    near = small_store.search.injections((8100, 1500, 8500), radius_um=99, selection=Selection(injected_in="VIS"))
    assert near["experiment_id"].tolist() == [101]


def test_a_radius_includes_the_experiment_at_that_distance(small_store: Store) -> None:
    random = np.random.default_rng(0)
    for point in random.uniform((1000, 1000, 1000), (12_000, 7_000, 11_000), (5, 3)).tolist():
        frame = small_store.search.injections(point)
        for distance in set(frame["distance_um"]):
            expected = frame.loc[frame["distance_um"] <= distance, "experiment_id"].tolist()
            assert small_store.search.injections(point, radius_um=distance)["experiment_id"].tolist() == expected
            assert small_store.select(Selection(near=point, radius_um=distance)) == tuple(sorted(expected))


# -- correlation ------------------------------------------------------------------------------------------------------


def test_correlation_over_all_measured_structures(small_store: Store) -> None:
    options: dict[str, Any] = {"structure_set": UNIONIZE_STRUCTURE_SET_ID, "measure": "projection_volume"}
    frame = small_store.search.correlation(101, **options)
    assert frame["experiment_id"].tolist() == [102, 103, 201]
    vectors = {101: (0.5, 0.3, 0), 102: (0.05, 0, 0), 103: (0.32, 0, 0.2), 201: (0, 1.25, 0)}
    # 14 structures are measured; CP, VISpm and CM are the only ones with signal.
    for experiment, found in pairs(frame, "correlation"):
        one, other = (np.array([*vectors[id_], *[0.0] * 11]) for id_ in (101, experiment))
        assert found == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-12)
    assert frame["correlation"].is_monotonic_decreasing


def test_correlation_without_variance_is_nan_and_last(small_store: Store) -> None:
    frame = small_store.search.correlation(
        101, domain=["VIS"], structure_set=UNIONIZE_STRUCTURE_SET_ID, measure="projection_volume"
    )
    assert frame["experiment_id"].tolist() == [201, 102, 103]
    assert frame["correlation"].isna().tolist() == [False, True, True]


def test_correlation_needs_rows_of_the_seed_and_enough_structures(small_store: Store) -> None:
    every = UNIONIZE_STRUCTURE_SET_ID
    with pytest.raises(MissingDataError, match="experiment 105"):
        small_store.search.correlation(105, structure_set=every)
    with pytest.raises(UnknownExperimentError, match="7"):
        small_store.search.correlation(7, structure_set=every)
    with pytest.raises(InputError, match="1 structures"):
        small_store.search.correlation(101, structure_set=every, domain=["CP"])
    with pytest.raises(InputError, match="no structure set 167587189"):
        small_store.search.correlation(101)


def test_real_correlations_as_pandas_has_them(atlas_psu: Store, data: Path) -> None:
    files = sorted((data / "allensdk_cache").glob("experiment_*/structure_unionizes.csv"))
    rows = pd.concat([pd.read_csv(file) for file in files])
    rows = rows[~rows["is_injection"] & (rows["hemisphere_id"] == 3)]
    summary = [row.id for row in atlas_psu.atlas.structure_set(167587189)]
    seed = int(rows["experiment_id"].min())
    frame = atlas_psu.search.correlation(seed)
    wide = rows.pivot(index="experiment_id", columns="structure_id", values="projection_density")
    wide = wide.reindex(columns=summary).fillna(0.0)
    expected = wide.T.corrwith(wide.loc[seed]).drop(seed).sort_values(ascending=False)
    assert len(frame) == 39
    assert frame["experiment_id"].tolist() == expected.index.tolist()
    np.testing.assert_allclose(frame["correlation"], expected.to_numpy(), rtol=1e-9, atol=1e-12)


# -- hostile input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acronym", ["CP'; DROP TABLE unionize; --", "%", "C\nP", "x" * 10_000, "", "0", "-1", 2**63])
def test_hostile_structures_get_a_named_error(small_store: Store, acronym: Any) -> None:
    for method in (small_store.search.sources, small_store.search.targets):
        with pytest.raises((UnknownStructureError, SelectionError)):
            method(acronym)
    with pytest.raises((UnknownStructureError, SelectionError)):
        small_store.search.sources("VISp", domain=[acronym])


def test_hostile_options_get_a_named_error(small_store: Store) -> None:
    for wrong in (0, -1, True, 2.5):
        with pytest.raises(InputError, match="limit"):
            small_store.search.targets("CP", limit=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        small_store.search.targets("CP", measure="projection_volume; --")  # type: ignore[arg-type]
    with pytest.raises(InputError):
        small_store.search.targets("CP", threshold=float("nan"))
    with pytest.raises(InputError):
        small_store.search.sources("VISp", hemisphere="middle")  # type: ignore[arg-type]
    for point in [(1, 2), (1, 2, float("nan")), (14_000, 0, 0), ("a", 1, 2), "123"]:
        with pytest.raises(InputError):
            small_store.search.injections(point)  # type: ignore[arg-type]
    for seed in (0, -1, 2**63, True):
        with pytest.raises(InputError):
            small_store.search.correlation(seed)
