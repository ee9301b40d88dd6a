from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bsv_store.aggregation import by_coordinate
from bsv_store.datasets.region_summary import region_summary
from bsv_store.errors import FrameError, UnknownStructureError
from bsv_store.volumes.grid import Grid
from tests.datasets.world import MOP, VISL, VISP, ask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bsv_store import Store


@pytest.fixture
def annotation() -> NDArray[np.uint32]:
    """Three blocks; VISp in both hemispheres."""
    array = np.zeros(Grid(100).shape, np.uint32)
    array[80:90, 10:20, 40:74] = VISP
    array[80:90, 10:20, 80:90] = VISL
    array[40:50, 10:20, 60:70] = MOP
    return array


def test_means_per_structure_and_hemisphere(filled: Store, annotation: NDArray[np.uint32]) -> None:
    version = ask(filled, grouping=by_coordinate("AP", bins=2))
    frame = region_summary(filled.database, version, annotation, structures=["VIS", "VISp", MOP])
    assert frame.columns.to_list() == [
        "group",
        "group_label",
        "structure_id",
        "acronym",
        "name",
        "hemisphere",
        "voxels",
        "mean",
    ]
    assert len(frame) == 2 * 3 * 3
    picked = frame.set_index(["group", "acronym", "hemisphere"])
    right = np.isin(annotation, [VISP, VISL])
    right[..., :57] = False
    assert picked.loc[(1, "VIS", "right"), "mean"] == pytest.approx(version.mean[1][right].mean(dtype=float))
    assert picked.loc[(0, "VISp", "both"), "voxels"] == (annotation == VISP).sum()
    assert picked.loc[(0, "MOp", "left"), "voxels"] == 0
    assert np.isnan(picked.loc[(0, "MOp", "left"), "mean"])
    assert picked.loc[(1, "VIS", "right"), "group_label"] == version.groups[1].label


def test_by_default_all_structures_that_the_annotation_names(filled: Store, annotation: NDArray[np.uint32]) -> None:
    frame = region_summary(filled.database, ask(filled), annotation)
    assert sorted(set(frame.acronym)) == ["MOp", "VISl", "VISp"]


def test_unknown_structures_and_other_grids_are_errors(filled: Store, annotation: NDArray[np.uint32]) -> None:
    version = ask(filled)
    with pytest.raises(UnknownStructureError):
        region_summary(filled.database, version, annotation, structures=["VISx"])
    with pytest.raises(FrameError):
        region_summary(filled.database, version, annotation[:-1])
