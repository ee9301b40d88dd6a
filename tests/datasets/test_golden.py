"""The fifteen golden cases as recipes: Brain Street View's results where the rules agree, else a plain reference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Selection, by_coordinate, by_region, create_store
from bsv_store.errors import MissingDataError
from tests.compat.golden import (
    cases,
    fill_catalog,
    listed_volume,
    make_bsv_cache,
    reference,
    structure_of,
    wire_root,
    wire_volume,
)

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store

# The store is filled once, not once for each worker.
pytestmark = pytest.mark.xdist_group("golden-recipes")

SAME_AS_BSV = (
    "none",
    "injection-volume",
    "group-AP-5",
    "group-ML-3-injection-volume",
    "group-DV-8",
    "group-AP-1",
    "regions-empty-group",
    "load-all-AP-4-injection-volume",
    "load-all-regions-left-out",
)
BY_THE_TRUE_SIDE = ("subtract", "subtract-injection-volume", "regions-2-subtract")
BY_THE_ONTOLOGY = ("regions-4",)
WITHOUT_DATA = {"missing-density": 100141599}
BY_THE_LIST = {"missing-summary-injection-volume": 571100135}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, golden: Path, data: Path) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("golden")
    with create_store(folder / "store") as made:
        fill_catalog(made, data)
        made.adopt(make_bsv_cache(golden, folder / "cache"))
        yield made


def ask(store: Store, golden: Path, case: str, **parts: Any) -> DatasetVersion:
    """The version that answers a case's question, in float64 so that nothing but the computing differs."""
    arguments: dict[str, Any] = cases(golden)[case]["arguments"]
    grouping: Any = None
    if arguments.get("grouping_method"):
        grouping = by_coordinate(arguments["grouping_method"], bins=arguments.get("grouping_bins", 5))
    if arguments.get("input_regions"):
        regions: dict[str, list[str]] = {}
        for number, region in sorted(zip(arguments["region_groups"], arguments["input_regions"], strict=True)):
            regions.setdefault(f"group {number}", []).append(region)
        grouping = by_region(regions)
    normalize = arguments.get("normalization_method", "none") != "none"
    subtract = arguments.get("subtract_other_hemisphere", False)
    return store.aggregate(
        Selection(ids=cases(golden)[case]["experiment_ids"]),
        name=case,
        group_by=grouping,
        normalize="injection_volume" if normalize else "none",
        hemisphere_rule="subtract_contralateral" if subtract else "none",
        dtype="float64",
        **parts,
    )


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9)


def test_every_case_is_asked(golden: Path) -> None:
    asked = {*SAME_AS_BSV, *BY_THE_TRUE_SIDE, *BY_THE_ONTOLOGY, *WITHOUT_DATA, *BY_THE_LIST}
    assert asked == set(cases(golden))


@pytest.mark.parametrize("case", SAME_AS_BSV)
def test_recipes_agree_with_brain_street_view_where_the_rules_do(store: Store, golden: Path, case: str) -> None:
    version = ask(store, golden, case)
    expected = np.load(golden / "expected" / f"{case}.npz")
    mean = np.moveaxis(version.mean, 0, -1)
    assert mean.shape == tuple(expected["shape"])
    sampled = tuple(expected["voxel_index"].T)
    close(mean[sampled], expected["voxel_value"])
    close(mean.sum((0, 1, 2)), expected["group_sum"])
    close(np.abs(mean).sum((0, 1, 2)), expected["group_abs_sum"])
    close((mean**2).sum((0, 1, 2)), expected["group_sumsq"])
    close(mean.sum((1, 2)), expected["slab_sum_ap"])
    close(mean.sum((0, 1)), expected["slab_sum_ml"])
    if "group_centers" in expected.files:
        close([group.center for group in version.groups], expected["group_centers"])
    if "individual_value" in expected.files:
        check_individual(store, version, cases(golden)[case]["experiment_ids"], expected)


def check_individual(store: Store, version: DatasetVersion, ids: list[int], expected: Any) -> None:
    """The volumes of the stack, at the places that the call's order of experiments gives them; the others are 0."""
    stack = store.datasets.stack(version.ref, processed=True)
    sampled = tuple(expected["voxel_index"].T)
    values, sums = np.zeros_like(expected["individual_value"]), np.zeros_like(expected["individual_sum"])
    for experiment_id, volume in zip(stack.experiment_ids, stack, strict=True):
        place = ids.index(experiment_id)
        values[:, place], sums[place] = volume[sampled], volume.sum()
    close(values, expected["individual_value"])
    close(sums, expected["individual_sum"])


@pytest.mark.parametrize("case", BY_THE_TRUE_SIDE)
def test_subtraction_follows_the_injected_side(store: Store, golden: Path, data: Path, case: str) -> None:
    ids = cases(golden)[case]["experiment_ids"]
    groups = [ids]
    if case == "regions-2-subtract":
        acronyms = structure_of(data)
        groups = [[i for i in ids if acronyms[i] in ("VISl", "VISam")], [i for i in ids if acronyms[i] == "VISp"]]
    version = ask(store, golden, case)
    expected = reference(golden, groups, normalize=case == "subtract-injection-volume")
    np.testing.assert_allclose(np.moveaxis(version.mean, 0, -1), expected, rtol=1e-12, atol=1e-12)
    assert [group.n for group in version.groups] == [len(group) for group in groups]


@pytest.mark.parametrize("case", BY_THE_ONTOLOGY)
def test_regions_match_through_the_ontology(store: Store, golden: Path, data: Path, case: str) -> None:
    acronyms, ids = structure_of(data), cases(golden)[case]["experiment_ids"]
    version = ask(store, golden, case)
    for group, region in zip(version.groups, ("VISl", "VISpm", "VISam", "VISp"), strict=True):
        members = sorted(i for i in ids if acronyms[i] == region)
        assert list(group.experiment_ids) == members
        np.testing.assert_allclose(version.mean[group.number], plain_mean(golden, members), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("case", WITHOUT_DATA)
def test_missing_data_are_an_error_or_left_out(store: Store, golden: Path, case: str) -> None:
    without = WITHOUT_DATA[case]
    with pytest.raises(MissingDataError, match=str(without)):
        ask(store, golden, case)
    version = ask(store, golden, case, missing="leave_out")
    assert [left.experiment_id for left in version.left_out] == [without]
    ids = [i for i in cases(golden)[case]["experiment_ids"] if i != without]
    np.testing.assert_allclose(version.mean[0], plain_mean(golden, ids), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("case", BY_THE_LIST)
def test_without_a_summary_the_injection_volume_of_the_list_is_the_divisor(
    store: Store, golden: Path, data: Path, case: str
) -> None:
    without, ids = BY_THE_LIST[case], cases(golden)[case]["experiment_ids"]
    version = ask(store, golden, case)
    assert version.left_out == ()
    sources = version.members.set_index("experiment_id")["divisor_source"]
    assert sources[sources.notna()].to_dict() == {without: "list"}
    divisors = {i: listed_volume(data, i) if i == without else wire_root(golden, i)[3] for i in ids}
    total = sum(wire_volume(golden, i) / divisor for i, divisor in divisors.items())
    np.testing.assert_allclose(version.mean[0], np.asarray(total) / len(ids), rtol=1e-12, atol=1e-15)


def plain_mean(golden: Path, ids: list[int]) -> NDArray[np.float64]:
    if not ids:
        return np.zeros((132, 80, 114))
    divisors = [1.0 for _ in ids]
    total = sum(wire_volume(golden, i) / divisor for i, divisor in zip(ids, divisors, strict=True))
    return np.asarray(total) / len(ids)
