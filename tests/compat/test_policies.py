"""Exclusions, withdrawn experiments, and missing or damaged data are treated as in ``Store.aggregate``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, text, update

from bsv_store import Selection, Store
from bsv_store.catalog.database.models import Experiment, Unionize
from bsv_store.catalog.ingest import update_injected_hemispheres
from bsv_store.compat import fetch_connectivity_data
from bsv_store.errors import DamagedCatalogError, DamagedFileError, InputError, MissingDataError
from tests.datasets.world import BY_ID, add_unionizes, fill, forget_listed_volumes, voxels
from tests.sealing import sealed_changes
from tests.stores import store_with

DAMAGED = 2


world = store_with(fill)
"""The seven experiments of `tests.datasets.world`, with all their data."""


def average(store: Store, ids: list[int], **options: Any) -> tuple[Any, ...]:
    arguments: dict[str, Any] = {
        "normalization_method": "injectionVolume",
        "subtract_other_hemisphere": False,
        "export_metadata": False,
        "offline": True,
        **options,
    }
    return fetch_connectivity_data(ids, "", "", store=store, **arguments)


def mean(ids: list[int]) -> Any:
    return sum(voxels(i).astype(np.float64) / BY_ID[i].volume for i in ids) / len(ids)


def damage(store: Store, experiment_id: int) -> None:
    path = store.sql(f"select path from volume where experiment_id = {experiment_id}")["path"].iloc[0]
    file = store.path / path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)


@pytest.mark.parametrize("bsv_rules", [False, True])
def test_excluded_experiments_are_used_on_demand_only(world: Store, bsv_rules: bool) -> None:
    world.catalog.exclude([1], "tissue torn")
    with pytest.raises(InputError, match=r"1\b.*tissue torn"):
        average(world, [1], bsv_rules=bsv_rules)
    combined, _, _, info = average(world, [1, 2], bsv_rules=bsv_rules, include_excluded=True)
    assert (info["group_sizes"], info["left_out"]) == ([2], {})
    np.testing.assert_allclose(combined[..., 0], mean([1, 2]), rtol=1e-12)


def test_withdrawn_experiments_named_by_id_are_used(world: Store) -> None:
    with sealed_changes(world.database) as connection:
        connection.execute(update(Experiment).where(Experiment.id == 1).values(withdrawn=True))
    assert average(world, [1, 2])[3]["group_sizes"] == [2]


@pytest.mark.parametrize(
    ("present", "options"),
    [
        ({"volumes": [1]}, {}),
        ({"unionizes": [1]}, {}),
        ({"unionizes": [1]}, {"normalization_method": "none", "subtract_other_hemisphere": True}),
    ],
)
def test_missing_data_are_reported_as_by_aggregate(store: Store, present: Any, options: Any) -> None:
    fill(store, **present)
    forget_listed_volumes(store)
    with sealed_changes(store.database) as connection:
        # The coordinate would tell the side too.
        connection.execute(update(Experiment).where(Experiment.id == 2).values(injection_ml=None))
        connection.execute(delete(Unionize).where(Unionize.experiment_id == 2, Unionize.hemisphere_id != 3))
        update_injected_hemispheres(connection, [2])
    recipe: dict[str, Any] = {"normalize": "injection_volume"}
    if options:
        recipe = {"hemisphere_rule": "subtract_contralateral"}
    selection = Selection(ids=[1, 2])
    with pytest.raises(MissingDataError) as ours:
        average(store, [1, 2], **options)
    with pytest.raises(MissingDataError) as theirs:
        store.aggregate(selection, name="test", **recipe)
    assert str(ours.value) == str(theirs.value)
    _, _, _, info = average(store, [1, 2], missing="leave_out", **options)
    version = store.aggregate(selection, name="test", missing="leave_out", **recipe)
    assert info["left_out"] == {left.experiment_id: left.reason for left in version.left_out}
    assert list(info["left_out"]) == [2]


def test_experiments_outside_all_groups_need_no_data(store: Store) -> None:
    fill(store, volumes=[1, 2])
    combined, _, _, info = average(store, [1, 2, 6], input_regions="VISp", region_groups=1)
    assert info["group_sizes"] == [2]
    assert list(info["left_out"]) == [6]
    np.testing.assert_allclose(combined[..., 0], mean([1, 2]), rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"bsv_rules": True}, {"missing": "leave_out"}])
def test_damaged_files_are_an_error(world: Store, options: Any) -> None:
    damage(world, DAMAGED)
    with pytest.raises(DamagedFileError, match=rf"experiment {DAMAGED}:"):
        average(world, [1, DAMAGED, 3], **options)


@pytest.mark.parametrize("bsv_rules", [False, True])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE unionize SET projection_volume = 2 * projection_volume WHERE experiment_id = 1 AND hemisphere_id = 3",
        "UPDATE experiment SET injection_ap = 9000 WHERE id = 1",
        "DELETE FROM unionize_coverage WHERE experiment_id = 1",
    ],
)
def test_damaged_rows_are_refused(world: Store, statement: str, bsv_rules: bool) -> None:
    with world.database.writing() as connection:
        assert connection.execute(text(statement)).rowcount == 1
    with pytest.raises(DamagedCatalogError, match="the catalog is damaged"):
        average(world, [1, 2], bsv_rules=bsv_rules)


def test_experiments_left_out_are_zero_among_the_single_volumes(store: Store) -> None:
    fill(store, volumes=[1, 3])
    combined, _, individual, info = average(store, [1, 2, 3], missing="leave_out", load_all=True)
    assert (info["group_sizes"], list(info["left_out"])) == ([2], [2])
    np.testing.assert_allclose(combined[..., 0], mean([1, 3]), rtol=1e-12)
    assert not individual[..., 1].any()
    np.testing.assert_allclose(individual.sum(-1) / 2, combined[..., 0], rtol=1e-12)


def test_bin_edges_and_centers_are_those_of_the_experiments_averaged(store: Store) -> None:
    fill(store, volumes=[1, 2, 3, 7])
    # 4 has no volume; the coordinate of 7 is not known.
    _, _, _, info = average(store, [7, 3, 4, 2, 1], grouping_method="AP", grouping_bins=5, missing="leave_out")
    np.testing.assert_allclose(info["group_edges"], np.linspace(8000, 8500, 6))
    np.testing.assert_allclose(info["group_centers"], [8000, 8100, 8500])
    assert info["group_sizes"] == [1, 1, 1]
    assert sorted(info["left_out"]) == [4, 7]
    np.testing.assert_array_equal(info["primaryStructure_AP"], [np.nan, 8500, 9000, 8100, 8000])
    _, _, _, bsv = average(store, [7, 3], grouping_method="AP", bsv_rules=True)
    assert (bsv["group_edges"], bsv["group_sizes"]) == (None, [2])
    np.testing.assert_array_equal(bsv["primaryStructure_AP"], [0, 8500])


def test_bsv_rules_accept_regions_listed_twice(world: Store) -> None:
    _, _, _, info = average(world, [1, 5, 6], bsv_rules=True, input_regions=["VISp", "VISp"], region_groups=[2, 1])
    assert info["group_sizes"] == [0, 2]
    assert list(info["left_out"]) == [6]


def test_injection_rows_that_arrive_later_make_an_experiment_usable(store: Store) -> None:
    fill(store, unionizes=[1])
    forget_listed_volumes(store)
    assert average(store, [1, 2], missing="leave_out")[3]["group_sizes"] == [1]
    add_unionizes(store, [2])
    assert average(store, [1, 2])[3]["group_sizes"] == [2]
