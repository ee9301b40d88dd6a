"""A small store for tests of images: an annotation, volumes at 100 and 25 um, and versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store import Selection, Store, create_store
from bsv_store.catalog.volumes import record_volume
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile, publish_volume
from tests.datasets.world import SHAPE, VISP, VISPM, add_annotation, add_volume, fill
from tests.volumes.test_large_damage import Scattered, scattered

LARGE_ID = 1
# AP, DV, ML voxels at 100 um.
RIGHT_VISP = (slice(80, 100), slice(10, 20), slice(80, 95))
RIGHT_VISPM = (slice(80, 100), slice(10, 20), slice(62, 72))


def annotation() -> NDArray[np.uint32]:
    ids = np.zeros(SHAPE, np.uint32)
    ids[20:110, 10:60, 10:104] = 8
    ids[RIGHT_VISP] = VISP
    ids[RIGHT_VISPM] = VISPM
    return ids


def values(identifier: int) -> NDArray[np.float32]:
    """Noise with voxels of no data."""
    random = np.random.default_rng(identifier)
    array = random.random(SHAPE, dtype=np.float32)
    array[array < 0.7] = 0
    array[90, 15, 85] = np.nan
    return array


def add_large(store: Store, volume: Scattered) -> VolumeFile:
    stands_for: Any = volume
    file = publish_volume(store.files, stands_for, experiment_id=LARGE_ID, source="test")
    with store.database.writing() as connection:
        record_volume(connection, file)
    return file


def dense(volume: Scattered) -> NDArray[np.float32]:
    """The planes of the volume at 25 um from AP 200 to 210."""
    return volume.part(200, 210).dense_planes(200, 210)


def make_store(folder: Path) -> None:
    """Versions: lines@1 (two groups), counted@1 (float64, and n), one@1 (one group)."""
    with create_store(folder) as store:
        fill(store, volumes=())
        add_annotation(store, annotation())
        for identifier in (1, 2, 3, 4, 5):
            add_volume(store, identifier, array=values(identifier))
        add_large(store, scattered(100_000))
        store.aggregate(Selection(injected_in="VIS"), group_by="line", name="lines")
        store.aggregate(
            Selection(injected_in="VIS"), group_by="line", name="counted", statistics=["mean", "n"], dtype="float64"
        )
        store.aggregate(Selection(ids=[3, 5]), name="one")


LARGE_GRID = Grid(25)
