from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bsv_store import by_coordinate
from bsv_store.errors import MissingDataError
from tests.counting import counted
from tests.datasets.world import BY_ID, add_volume, ask, voxels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bsv_store import Store


@pytest.fixture
def plain() -> NDArray[np.float32]:
    """The same volumes as a plain array."""
    return np.stack([voxels(identifier) for identifier in range(1, 6)])


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        slice(None),
        slice(1, 4, 2),
        [4, 0],
        (slice(None), 84),
        (2, 84, 3, 5),
        ([0, 4], slice(80, 90), slice(None), slice(57, None)),
        (..., 56),
        (1, ..., slice(50, 60)),
        np.array([True, False, True, False, False]),
        (slice(0, 0), 5),
    ],
    ids=str,
)
def test_indexing_is_that_of_numpy(filled: Store, plain: NDArray[np.float32], key: Any) -> None:
    stack = filled.datasets.stack(ask(filled))
    assert (stack.shape, stack.dtype, stack.ndim, len(stack)) == (plain.shape, plain.dtype, 4, 5)
    assert stack.experiment_ids == (1, 2, 3, 4, 5)
    np.testing.assert_array_equal(stack[key], plain[key])


@pytest.mark.parametrize("key", [5, (0, 0, 0, 0, 0), (0, [1, 2]), (..., ...), (0, "a"), "a"], ids=str)
def test_wrong_indices_are_errors(filled: Store, key: Any) -> None:
    stack = filled.datasets.stack(ask(filled))
    with pytest.raises(IndexError):
        stack[key]


def test_only_what_is_asked_for_is_read(filled: Store) -> None:
    stack = filled.datasets.stack(ask(filled))
    with counted() as work:
        _ = stack[[1, 3], 84]
    assert len(work.read) == 2


def test_processed_volumes_average_to_the_mean(filled: Store) -> None:
    version = ask(
        filled,
        grouping=by_coordinate("AP", bins=1),
        normalize="injection_volume",
        hemisphere_rule="subtract_contralateral",
        dtype="float64",
    )
    stack = filled.datasets.stack(version, processed=True)
    assert stack.dtype == np.float64
    np.testing.assert_allclose(sum(stack) / len(stack), version.mean[0], rtol=1e-12, atol=1e-14)
    right = (voxels(1).astype(float) - voxels(1)[..., ::-1])[..., 57:] / BY_ID[1].volume
    np.testing.assert_allclose(stack[0, ..., 57:], right, rtol=1e-14)


def test_what_is_no_longer_there_is_an_error(filled: Store) -> None:
    version = ask(filled)
    add_volume(filled, 2, seed=1)
    with pytest.raises(MissingDataError, match="has been replaced: 2"):
        filled.datasets.stack(version)


def test_dask_takes_it_as_it_is(filled: Store, plain: NDArray[np.float32]) -> None:
    dask = pytest.importorskip("dask.array")
    stack = filled.datasets.stack(ask(filled))
    lazy = dask.from_array(stack, chunks=(1, -1, -1, -1))
    np.testing.assert_allclose(lazy[:, 84].max(axis=0).compute(), plain[:, 84].max(axis=0))
