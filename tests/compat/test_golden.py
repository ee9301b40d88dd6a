"""The fifteen golden cases: Brain Street View's results under its rules, an independent reference under ours."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import Store
from bsv_store.compat import fetch_connectivity_data
from bsv_store.errors import MissingDataError
from tests.compat.golden import cases, listed_volume, reference, structure_of, wire_root, wire_volume

DEFAULTS: dict[str, Any] = {
    "file_name": "",
    "normalization_method": "none",
    "subtract_other_hemisphere": False,
    "offline": True,
}
ALL = (
    "none",
    "injection-volume",
    "subtract",
    "subtract-injection-volume",
    "group-AP-5",
    "group-ML-3-injection-volume",
    "group-DV-8",
    "group-AP-1",
    "regions-4",
    "regions-2-subtract",
    "regions-empty-group",
    "load-all-AP-4-injection-volume",
    "load-all-regions-left-out",
    "missing-density",
    "missing-summary-injection-volume",
)
SUBTRACTING = ("subtract", "subtract-injection-volume", "regions-2-subtract")
# Where our rules change nothing: neither sides, nor missing data, nor acronyms that begin alike.
SAME_UNDER_OUR_RULES = tuple(
    name for name in ALL if name not in SUBTRACTING and not name.startswith("missing") and name != "regions-4"
)


def run(filled: tuple[Store, Path], golden: Path, name: str, **options: Any) -> tuple[Any, ...]:
    case = cases(golden)[name]
    arguments = {**DEFAULTS, "export_metadata": False, **case["arguments"], **options}
    return fetch_connectivity_data(case["experiment_ids"], str(filled[1]), store=filled[0], **arguments)


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9)


def test_every_case_is_tried(golden: Path) -> None:
    assert set(ALL) == set(cases(golden))


@pytest.mark.parametrize("name", ALL)
def test_bsv_rules_agree_with_brain_street_view(filled: tuple[Store, Path], golden: Path, name: str) -> None:
    with warnings.catch_warnings():
        if name == "missing-summary-injection-volume":
            warnings.filterwarnings("ignore", "experiment 571100135 has no injection volume")
        combined, pooled, individual, info = run(filled, golden, name, bsv_rules=True)
    expected = np.load(golden / "expected" / f"{name}.npz")
    check_volumes(combined, individual, expected)
    check_information(pooled, info, expected)


def check_volumes(combined: Any, individual: Any, expected: Any) -> None:
    assert combined.dtype == np.float64
    assert combined.shape == tuple(expected["shape"])
    sampled = tuple(expected["voxel_index"].T)
    close(combined[sampled], expected["voxel_value"])
    close(combined.sum((0, 1, 2)), expected["group_sum"])
    close(np.abs(combined).sum((0, 1, 2)), expected["group_abs_sum"])
    close((combined**2).sum((0, 1, 2)), expected["group_sumsq"])
    close(combined.sum((1, 2)), expected["slab_sum_ap"])
    close(combined.sum((0, 1)), expected["slab_sum_ml"])
    assert (individual is not None) == ("individual_value" in expected.files)
    if individual is not None:
        assert individual.dtype == np.float64
        close(individual[sampled], expected["individual_value"])
        close(individual.sum((0, 1, 2)), expected["individual_sum"])


def check_information(pooled: Any, info: Any, expected: Any) -> None:
    assert (info["group_centers"] is not None) == ("group_centers" in expected.files)
    if info["group_centers"] is not None:
        close(info["group_centers"], expected["group_centers"])
    assert list(info["primaryStructure_ID"]) == list(expected["primary_id"])
    assert info["primaryStructure_abbreviation"] == list(expected["primary_acronym"])
    for axis in ("AP", "DV", "ML"):
        close(info[f"primaryStructure_{axis}"], expected[f"primary_{axis}"])
    assert {len(column) for column in pooled.values()} == {int(expected["injection_rows"])}


@pytest.mark.parametrize("name", SAME_UNDER_OUR_RULES)
def test_our_rules_agree_where_nothing_differs(filled: tuple[Store, Path], golden: Path, name: str) -> None:
    combined, _, individual, info = run(filled, golden, name)
    check_volumes(combined, individual, np.load(golden / "expected" / f"{name}.npz"))
    assert sum(info["group_sizes"]) + len(info["left_out"]) == len(info["experimentIDs"])


# -- our rules, from the wire files alone -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUBTRACTING)
def test_subtraction_follows_the_injected_side(filled: tuple[Store, Path], golden: Path, data: Path, name: str) -> None:
    ids = cases(golden)[name]["experiment_ids"]
    groups = [ids]
    if name == "regions-2-subtract":
        acronyms = structure_of(data)
        groups = [[i for i in ids if acronyms[i] in ("VISl", "VISam")], [i for i in ids if acronyms[i] == "VISp"]]
    expected = reference(golden, groups, normalize=name == "subtract-injection-volume")
    combined, _, _, info = run(filled, golden, name)
    np.testing.assert_allclose(combined, expected, rtol=1e-12, atol=1e-12)
    assert info["group_sizes"] == [len(group) for group in groups]
    left = [i for i in ids if wire_root(golden, i).get(1, 0.0) > wire_root(golden, i).get(2, 0.0)]
    assert len(left) == 4


def test_regions_match_through_the_ontology_not_by_prefix(filled: tuple[Store, Path], golden: Path, data: Path) -> None:
    acronyms = structure_of(data)
    ids = cases(golden)["regions-4"]["experiment_ids"]
    _, _, _, info = run(filled, golden, "regions-4")
    assert info["group_sizes"] == [
        sum(acronyms[i] == region for i in ids) for region in ("VISl", "VISpm", "VISam", "VISp")
    ]
    _, _, _, bsv = run(filled, golden, "regions-2-subtract", bsv_rules=True)
    _, _, _, ours = run(filled, golden, "regions-2-subtract")
    by_prefix = sum(acronyms[i].startswith("VISp") for i in ids)
    exactly = sum(acronyms[i] == "VISp" for i in ids)
    assert (bsv["group_sizes"][1], ours["group_sizes"][1]) == (by_prefix, exactly)


def test_missing_data_are_an_error_or_left_out_and_reported(filled: tuple[Store, Path], golden: Path) -> None:
    name, without = "missing-density", 100141599
    with pytest.raises(MissingDataError, match=str(without)):
        run(filled, golden, name)
    combined, _, _, info = run(filled, golden, name, missing="leave_out")
    ids = [i for i in cases(golden)[name]["experiment_ids"] if i != without]
    assert list(info["left_out"]) == [without]
    assert "the projection_density at 100 um is not in the store" in info["left_out"][without]
    assert info["group_sizes"] == [len(ids)]
    expected = sum(wire_volume(golden, i) for i in ids) / len(ids)
    np.testing.assert_allclose(combined[..., 0], expected, rtol=1e-12, atol=1e-15)


def test_without_a_summary_the_injection_volume_of_the_list_is_the_divisor(
    filled: tuple[Store, Path], golden: Path, data: Path
) -> None:
    name, without = "missing-summary-injection-volume", 571100135
    combined, _, _, info = run(filled, golden, name)
    ids = cases(golden)[name]["experiment_ids"]
    assert info["left_out"] == {}
    divisors = {i: listed_volume(data, i) if i == without else wire_root(golden, i)[3] for i in ids}
    expected = sum(wire_volume(golden, i) / divisor for i, divisor in divisors.items()) / len(ids)
    np.testing.assert_allclose(combined[..., 0], expected, rtol=1e-12, atol=1e-15)


def test_metadata_csv_is_brain_street_views(filled: tuple[Store, Path], golden: Path, tmp_path: Path) -> None:
    case = cases(golden)["none"]
    fetch_connectivity_data(case["experiment_ids"], tmp_path, store=filled[0], bsv_rules=True, **DEFAULTS)
    written = (tmp_path / "connectivity_data_metadata.csv").read_text()
    assert written == (golden / "expected" / "metadata.csv").read_text()
