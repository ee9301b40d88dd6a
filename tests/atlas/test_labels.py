"""Labels of voxels by structure and side."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from bsv_store.atlas.labels import StructureLabels, positions

LARGE = 614454277


@given(
    arrays.arrays(np.uint32, st.tuples(*[st.integers(1, 4)] * 3), elements=st.sampled_from([0, 1, 2, 7, LARGE])),
    st.sets(st.sampled_from([1, 2, 5, 7, LARGE])),
)
def test_positions_say_which_of_the_wanted_each_id_is(ids: NDArray[np.uint32], wanted: set[int]) -> None:
    ordered = np.array(sorted(wanted), np.int64)
    found = positions(ids, ordered)
    assert found.shape == ids.shape
    for one, place in zip(ids.ravel().tolist(), found.ravel().tolist(), strict=True):
        assert (place == -1 and one not in wanted) or ordered[place] == one


def test_structures_are_sums_of_labels() -> None:
    ids = np.array([[[1, 2, 7, 1], [0, 2, 2, LARGE]]], np.uint32)
    values = np.array([[[1, 2, 4, 8], [16, 32, np.nan, 64]]], np.float32)
    labels = StructureLabels({1: {1, 2}, 2: {2}, 5: {5}})
    of = labels.labels(ids)
    assert (of.dtype, of.shape) == (np.dtype(np.uint8), ids.shape)
    # Left and right of 1 and 2 together, of 2, and of one without a voxel.
    assert labels.by_structure(labels.counts(of)).tolist() == [[3, 2], [2, 1], [0, 0]]
    sums, unknown = labels.sums(of, values)
    assert labels.by_structure(sums).tolist() == [[35, 8], [34, 0], [0, 0]]
    assert labels.by_structure(unknown).tolist() == [[0, 1], [0, 1], [0, 0]]
    assert np.isnan(values[0, 1, 2])


def test_labels_of_many_structures_are_wider() -> None:
    assert StructureLabels({one: {one} for one in range(1, 128)}).dtype == np.uint8
    assert StructureLabels({one: {one} for one in range(1, 129)}).dtype == np.uint16
