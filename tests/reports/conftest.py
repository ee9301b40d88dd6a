"""A small store with blocks as structures and blocks of signal inside them, not symmetric on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Selection, Store, create_store
from tests.datasets.world import SHAPE, VISP, VISPM, add_annotation, add_volume, fill

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

# AP, DV, ML voxels at 100 um.
BRAIN = (slice(20, 110), slice(10, 60), slice(10, 104))
RIGHT_VISP = (slice(80, 100), slice(10, 20), slice(80, 95))
LEFT_VISP = (slice(80, 100), slice(10, 20), slice(19, 34))
RIGHT_VISPM = (slice(80, 100), slice(10, 20), slice(62, 72))
# Inside the right and the left VISp; their mirror images are elsewhere.
RIGHT_SIGNAL = (slice(85, 95), slice(12, 18), slice(82, 90))
LEFT_SIGNAL = (slice(85, 95), slice(12, 18), slice(24, 30))


def annotation() -> NDArray[np.uint32]:
    ids = np.zeros(SHAPE, np.uint32)
    ids[BRAIN] = 8
    ids[RIGHT_VISP] = VISP
    ids[LEFT_VISP] = VISP
    ids[RIGHT_VISPM] = VISPM
    return ids


def volume(*blocks: tuple[tuple[slice, slice, slice], float]) -> NDArray[np.float32]:
    array = np.zeros(SHAPE, np.float32)
    for where, value in blocks:
        array[where] = value
    return array


def fill_with_blocks(store: Store) -> None:
    fill(store, volumes=())
    add_annotation(store, annotation())
    # Injected right: 1, 2, 4; left: 3, 5.
    for identifier in (1, 2, 4):
        add_volume(store, identifier, array=volume((RIGHT_SIGNAL, 0.8)))
    for identifier in (3, 5):
        add_volume(store, identifier, array=volume((LEFT_SIGNAL, 0.4)))


def fill_with_versions(store: Store) -> None:
    """Also add the versions lines@1 (two groups) and folded@1 (one group)."""
    fill_with_blocks(store)
    store.aggregate(Selection(injected_in="VIS"), group_by="line", name="lines")
    store.aggregate(Selection(ids=[3, 5]), hemisphere_rule="fold_ipsilateral", name="folded")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """That store, with the versions lines@1 (two groups) and folded@1 (one group)."""
    with create_store(tmp_path_factory.mktemp("blocks") / "store") as store:
        fill_with_versions(store)
        yield store
