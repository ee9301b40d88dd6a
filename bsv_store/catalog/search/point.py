"""The point search: the experiments with the largest values at a point, by the volumes in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.current_volume import CurrentVolume
from bsv_store.catalog.missing import report_without_volume
from bsv_store.catalog.search.found import check_limit, found_frame
from bsv_store.catalog.selection.commands import fetch_command
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.volume_use import record_use
from bsv_store.catalog.volumes import find_volumes
from bsv_store.catalog.without_unionizes import selected_ids
from bsv_store.check import choice, point_um
from bsv_store.errors import MissingDataError
from bsv_store.text import number_of
from bsv_store.vocabulary import VOLUME_KINDS
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import prefetch, read_slab
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import VolumeKind
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile


def search_point(
    database: Database,
    files: StoreFiles,
    selection: Selection,
    point: Sequence[float],
    *,
    kind: VolumeKind = "projection_density",
    spacing_um: int = 100,
    limit: int | None = None,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.search.Search.point`."""
    check_limit(limit)
    wanted = choice("kind", kind, VOLUME_KINDS)
    grid = Grid(spacing_um)
    spacing_um = grid.spacing_um
    voxel = grid.voxel(*point_um("point", point))
    with database.reading() as connection:
        ids = selected_ids(connection, selection)
        found = find_volumes(connection, ids, kind=wanted.name, spacing_um=spacing_um)
    if not found:
        raise MissingDataError(
            f"the store has no {wanted.words} at {spacing_um} um of the {number_of(len(ids), 'experiment')}",
            hint=f"Fetch them: {fetch_command(selection, ids, kind=wanted.name, spacing_um=spacing_um)}",
        )
    without = [identifier for identifier in ids if identifier not in found]
    report_without_volume(selection, without, kind=wanted.name, spacing_um=spacing_um)
    experiments = sorted(found)
    record_use(database, found.values())
    prefetch(files, found.values())

    def value(file: VolumeFile) -> float:
        return _value(read_slab(files, file, voxel[0], voxel[0] + 1), voxel)

    values = [CurrentVolume(database, found[identifier]).read(value) for identifier in experiments]
    with database.reading() as connection:
        frame = found_frame(connection, experiments, {wanted.name: values}, limit=limit)
    frame.attrs["without_volume"] = without
    return frame


def _value(voxels: SparseArray | NDArray[np.float32], voxel: tuple[int, int, int]) -> float:
    """The value of a voxel, given its AP plane."""
    if not isinstance(voxels, SparseArray):
        return float(voxels[0, voxel[1], voxel[2]])
    # A binary search in the ascending indices, instead of unpacking 1.2 million voxels.
    flat = int(np.ravel_multi_index(voxel, voxels.grid.shape))
    at = int(np.searchsorted(voxels.index, flat))
    is_stored = at < len(voxels.index) and int(voxels.index[at]) == flat
    return float(voxels.values[at]) if is_stored else 0.0
