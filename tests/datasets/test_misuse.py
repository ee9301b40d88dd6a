"""What is handed in wrongly is an error of ours that names the argument, on every public method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import DatasetVersion, Selection, Store, by_coordinate, by_field, by_region
from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.tables.unionize_rows import RowCondition, UnionizeRows
from bsv_store.errors import BsvStoreError, InputError, MissingDataError, RecipeError, SelectionError
from bsv_store.volumes.grid import Grid
from tests.databases import sqlite_first
from tests.datasets.world import SHAPE, VISP, add_annotation, ask

WRONG: tuple[Any, ...] = (None, 3.5, -1, "no such", ["a"], object(), {"a": 1}, [91], True, b"x", float("nan"))
# Those of the types that are expected somewhere, so that they can reach the database; the others are refused before.
REACHING: tuple[Any, ...] = (None, -1, "no such", [91], float("nan"))
# Optional arguments accept None.
GOOD: dict[str, Any] = {
    "selection": Selection(ids=[1]),
    "within": Selection(ids=[1]),
    "point": (8000, 1500, 8000),
    "ref": "test",
    "structures": "VISp",
    "structure": "VISp",
    "targets": "VISp",
    "experiment_id": 1,
    "experiment_ids": [1],
    "experiments": [1],
    "seed": 1,
    "statement": "select 1",
    "name": "test",
    "text": "VIS",
    "first": "test",
    "second": "test",
    "tag": "paper",
    "old": 1,
    "new": 1,
    "reason": "because",
    "is_injection": True,
}
# They ask a server, or end the store.
LEFT_OUT = (
    "close",
    "sync_structures",
    "sync_experiments",
    "sync_unionizes",
    "sync_annotation",
    "sync_template",
    "fetch",
)


def _public(owner: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, method in inspect.getmembers(owner, inspect.ismethod):
        if not name.startswith("_") and name not in LEFT_OUT:
            yield name, method


def _calls(method: Callable[..., Any], values: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    parameters = inspect.signature(method).parameters
    base = {name: GOOD.get(name, "test") for name, each in parameters.items() if each.default is each.empty}
    for name, each in parameters.items():
        if name in ("progress", "api_url"):
            continue
        for wrong in values:
            if wrong is not None or each.default is not None:
                yield {**base, name: wrong}


def _complaints(owner: object, values: tuple[Any, ...]) -> set[str]:
    found = set()
    for method_name, method in _public(owner):
        for arguments in _calls(method, values):
            try:
                method(**arguments)
            except BsvStoreError:
                pass
            except Exception as error:  # noqa: BLE001 - the test is about these
                found.add(f"{method_name}({arguments}): {error!r}")
    return found


@pytest.fixture
def version(filled: Store) -> DatasetVersion:
    return ask(filled)


@pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")
# A threshold above all values is valid, with a warning.
@pytest.mark.filterwarnings("ignore:no voxel of the:bsv_store.errors.BsvStoreWarning")
@pytest.mark.parametrize("owner", ["store", "version", "catalog", "search", "atlas", "volumes", "datasets"])
def test_no_public_method_fails_with_an_error_of_python(
    filled: Store, version: DatasetVersion, owner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some of the wrong texts are names of files.
    monkeypatch.chdir(tmp_path)
    owners = {"store": filled, "version": version}
    values = WRONG if filled.database.is_sqlite else REACHING
    assert _complaints(owners.get(owner) or getattr(filled, owner), values) == set()


def test_the_error_names_the_argument_and_says_what_to_give(filled: Store, version: DatasetVersion) -> None:
    wrong: Any = "VISp"
    visual = Selection(injected_in="VISp")
    expected: dict[str, Callable[[], object]] = {
        "mask must be an array, got 'VISp'": lambda: version.values_in(wrong),
        "executor must have a method submit, got 'VISp'": lambda: filled.aggregate(visual, name="x", executor=wrong),
        "workers must be a positive integer, got 'VISp'": lambda: filled.aggregate(visual, name="x", workers=wrong),
        "statistics must be a single value": lambda: filled.aggregate(visual, name="x", statistics=3.5),  # type: ignore[arg-type]
        "ref must be a string, got 3": lambda: filled.dataset(3),  # type: ignore[arg-type]
        "path must be a path, got 3": lambda: version.export(3),  # type: ignore[arg-type]
    }
    for message, call in expected.items():
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert caught.value.hint or "must be" in message, message
    for make in (lambda: by_field(wrong.encode()), lambda: by_region(3)):  # type: ignore[arg-type]
        with pytest.raises(RecipeError):
            make()


def test_one_statistic_needs_no_list(filled: Store) -> None:
    made = filled.aggregate(Selection(ids=[1, 2]), name="x", statistics="sd")
    assert made.recipe.statistics == ("mean", "sd")


def test_a_version_stands_for_itself(filled: Store, version: DatasetVersion) -> None:
    assert filled.dataset(version) is version
    assert filled.datasets.diff(version, version.ref).is_equal


def test_points_and_boxes_of_millimeters_are_refused_in_selections(filled: Store) -> None:
    for selection in (Selection(near=(8, 1.5, 8.5), radius_um=1), Selection(box=((7, 8), (1, 2), (8, 9)))):
        with pytest.raises(SelectionError, match="in mm") as caught:
            filled.select(selection)
        assert "um" in str(caught.value.hint)
    for call in (filled.search.point, filled.search.injections):
        with pytest.raises(InputError, match="must be in um, got") as refused:
            call((8, 1.5, 8.5))
        assert "(index + 0.5) times the edge of a voxel" in str(refused.value.hint)


def test_points_outside_the_ccf_are_refused_with_its_size(filled: Store) -> None:
    with pytest.raises(InputError, match="outside the CCFv3 box") as caught:
        filled.search.point((20_000, 4000, 5700))
    assert "13.2 x 8 x 11.4 mm" in str(caught.value.hint)
    with pytest.raises(SelectionError, match="outside the CCFv3 box") as caught:
        Selection(near=(20_000, 4000, 5700), radius_um=1)
    assert "13.2 x 8 x 11.4 mm" in str(caught.value.hint)


@sqlite_first
@pytest.mark.parametrize("number", [np.int64, np.uint16, float, np.float64, np.array])
def test_a_spacing_is_the_same_number_in_any_type(filled: Store, number: Callable[[int], Any]) -> None:
    visual = Selection(ids=[1, 2])
    expected = ask(filled, visual)
    assert filled.aggregate(visual, name="test", spacing_um=number(100)).fingerprint == expected.fingerprint
    assert Recipe(selection=visual, spacing_um=number(100)).to_json() == expected.recipe.to_json()
    assert filled.plan_fetch(visual, spacing_um=number(100)).present == (1, 2)
    assert filled.volume(1, spacing_um=number(100)).shape == Grid(number(100)).shape == (132, 80, 114)
    assert filled.volumes.stack(visual, spacing_um=number(100)).shape == (2, 132, 80, 114)
    assert len(filled.search.point((8000, 1500, 8000), selection=visual, spacing_um=number(100))) == 2
    with pytest.raises(MissingDataError, match=r"--spacing 100$"):
        filled.atlas.annotation(spacing_um=number(100))


def test_numbers_of_numpy_find_the_same_rows(filled: Store) -> None:
    def rows(number: Callable[[int], Any]) -> UnionizeRows:
        named = RowCondition("experiment_id", "in", (number(1), number(2)))
        of_root = RowCondition("structure_id", "eq", (number(997),))
        return filled.catalog.unionize_rows([named, of_root, RowCondition("is_injection", "eq", (True,))])

    assert rows(np.int64) == rows(int)
    assert rows(int).total
    statement = "SELECT structure_id FROM unionize ORDER BY id"
    assert filled.sql(statement, limit=np.int64(1)).equals(filled.sql(statement, limit=1))  # type: ignore[arg-type]


@sqlite_first
def test_a_group_is_an_integer_of_python_or_numpy(filled: Store) -> None:
    version = ask(filled, Selection(ids=[1, 2]), by_coordinate("AP", bins=2))
    second: Any = np.int64(1)
    assert np.array_equal(version.statistic("mean", group=second), version.mean[1])
    wrong: Any = 1.0
    with pytest.raises(InputError, match=r"has no group 1\.0"):
        version.statistic("mean", group=wrong)
    with pytest.raises(InputError, match=r"has no group 1\.0"):
        filled.datasets.regions(version, groups=[wrong])


@sqlite_first
def test_numbers_of_bins_that_do_not_fit_into_memory_are_refused(filled: Store) -> None:
    with pytest.raises(RecipeError, match="bins must be at most 100,000, got 1000000000000"):
        by_coordinate("AP", bins=10**12)
    add_annotation(filled, np.full(SHAPE, VISP, np.uint32))
    with pytest.raises(InputError, match="bins must give at most 2,000 subregions"):
        filled.atlas.subregions([1], "VISp", bins={"AP": 10**12})


@pytest.mark.parametrize(
    ("column", "operator", "values", "problem"),
    [
        ("experiment_id", "in", ("x",), "condition on experiment_id must be an integer, got 'x'"),
        ("structure_id", "eq", ("997",), "condition on structure_id must be an integer, got '997'"),
        ("projection_volume", "gt", ("0.5",), "condition on projection_volume must be a finite number, got '0.5'"),
        ("is_injection", "eq", (1,), "condition on is_injection must be True or False, got 1"),
        ("structure_id", "eq", (), "must have one value, got 0"),
        ("structure_id", "gt", (1, 2), "must have one value, got 2"),
    ],
)
def test_values_of_conditions_have_the_type_of_the_column(
    filled: Store, column: str, operator: str, values: tuple[Any, ...], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        filled.catalog.unionize_rows([RowCondition(column, operator, values)])


@sqlite_first
def test_a_generator_of_ids_is_a_selection(filled: Store) -> None:
    assert filled.select(each for each in (2, 1)) == (1, 2)
    assert filled.plan_sync_unionizes(each for each in (2, 1)).experiment_ids == (1, 2)
