"""The kernel on Brain Street View's own inputs, against what Brain Street View computed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import by_coordinate, no_grouping
from bsv_store.averaging.grouping.assignment import assign
from bsv_store.averaging.grouping.facts import ExperimentFacts
from bsv_store.averaging.kernel.accumulator import GroupAccumulator
from bsv_store.averaging.kernel.result import GroupResult
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import SparseArray
from tests.averaging import reference
from tests.averaging.reference import Member

GRID = Grid(100)


class Golden:
    """The golden files, read by plain means."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cases = json.loads((folder / "expected" / "cases.json").read_text())["cases"]
        self.density = cache(self._density)

    def expected(self, case: str) -> dict[str, NDArray[Any]]:
        with np.load(self.folder / "expected" / f"{case}.npz") as arrays:
            return dict(arrays)

    def ids(self, case: str) -> list[int]:
        return list(self.cases[case]["experiment_ids"])

    def _density(self, experiment_id: int) -> NDArray[np.float32]:
        with zipfile.ZipFile(self.folder / "wire" / str(experiment_id) / "density.zip") as archive:
            raw = archive.read("density.raw")
        return np.ascontiguousarray(np.frombuffer(raw, "<f4").reshape(GRID.shape, order="F"))

    def root_volumes(self, experiment_id: int) -> dict[int, float]:
        """Injection volume of root by hemisphere id."""
        rows = json.loads((self.folder / "wire" / str(experiment_id) / "unionize.json").read_text())["msg"]
        return {
            row["hemisphere_id"]: row["projection_volume"]
            for row in rows
            if row["is_injection"] and row["structure_id"] == 997
        }

    def injected(self, experiment_id: int) -> Any:
        volumes = self.root_volumes(experiment_id)
        return "left" if volumes.get(1, 0.0) > volumes.get(2, 0.0) else "right"

    def subjects(self, case: str) -> list[ExperimentFacts]:
        expected = self.expected(case)
        names = ("primary_acronym", "primary_id", "primary_AP", "primary_DV", "primary_ML")
        columns = [expected[name].tolist() for name in names]
        return [ExperimentFacts(i, *row) for i, *row in zip(self.ids(case), *columns, strict=True)]


@pytest.fixture(scope="module")
def files(golden: Path) -> Golden:
    return Golden(golden)


Side = Callable[[Golden, int], Any]


def bsv_side(files: Golden, experiment_id: int) -> Any:
    """Brain Street View takes every injection for one on the right."""
    return "right"


def run(files: Golden, case: str, side: Side = bsv_side) -> GroupResult:
    arguments = files.cases[case]["arguments"]
    axis = arguments.get("grouping_method", "")
    grouping = by_coordinate(axis, bins=arguments.get("grouping_bins", 5)) if axis else no_grouping()
    assignment = assign(grouping, files.subjects(case))
    rule = "subtract_contralateral" if arguments.get("subtract_other_hemisphere") else "none"
    accumulator = GroupAccumulator(GRID, len(assignment.groups), hemisphere_rule=rule)
    normalize = arguments.get("normalization_method", "none") != "none"
    for group in assignment.groups:
        for member in group.experiment_ids:
            accumulator.add(
                group.number,
                SparseArray.from_dense(files.density(member)),
                divisor=files.root_volumes(member)[3] if normalize else 1.0,
                injected=side(files, member),
            )
    if axis:
        centers = [group.center_um for group in assignment.groups]
        np.testing.assert_allclose(np.array(centers, float), files.expected(case)["group_centers"], rtol=1e-12)
    return accumulator.finish("float64")


@pytest.mark.parametrize(
    "case",
    [
        "none",
        "injection-volume",
        "subtract",
        "subtract-injection-volume",
        "group-AP-1",
        "group-AP-5",
        "group-DV-8",
        "group-ML-3-injection-volume",
        "load-all-AP-4-injection-volume",
    ],
)
def test_agrees_with_brain_street_view(files: Golden, case: str) -> None:
    expected = files.expected(case)
    mean = run(files, case).mean
    assert (*mean.shape[1:], mean.shape[0]) == tuple(expected["shape"])
    ap, dv, ml = expected["voxel_index"].astype(int).T
    close: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-9}
    np.testing.assert_allclose(mean[:, ap, dv, ml].T, expected["voxel_value"], **close)
    np.testing.assert_allclose(mean.sum(axis=(1, 2, 3)), expected["group_sum"], **close)
    np.testing.assert_allclose(np.abs(mean).sum(axis=(1, 2, 3)), expected["group_abs_sum"], **close)
    np.testing.assert_allclose((mean**2).sum(axis=(1, 2, 3)), expected["group_sumsq"], **close)
    np.testing.assert_allclose(mean.sum(axis=(2, 3)).T, expected["slab_sum_ap"], **close)
    np.testing.assert_allclose(mean.sum(axis=(1, 2)).T, expected["slab_sum_ml"], **close)


def test_subtraction_by_the_true_side_agrees_with_the_plain_reference(files: Golden) -> None:
    case = "subtract-injection-volume"
    sides = [files.injected(experiment_id) for experiment_id in files.ids(case)]
    assert sides.count("left") == 4
    mean = run(files, case, Golden.injected).mean[0]
    members = [
        Member(files.density(i), 0, files.root_volumes(i)[3], side)
        for i, side in zip(files.ids(case), sides, strict=True)
    ]
    total = np.zeros(GRID.shape)
    for member in members:
        total += reference.processed(member, "subtract_contralateral")[0]
    np.testing.assert_allclose(mean, total / len(members), rtol=1e-12, atol=1e-12 * float(np.abs(total).max()))
