"""The spatial search: which experiments have signal at a point, by the volumes that the store holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.search.searches import rank_experiments
from bsv_store.catalog.selection.resolve import resolve_nonempty
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.volumes import find_volumes
from bsv_store.check import point_um
from bsv_store.errors import MissingDataError
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import read_slab
from bsv_store.volumes.volume import SparseArray, volume_kind

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles


def search_point(
    database: Database,
    files: StoreFiles,
    selection: Selection,
    point: Sequence[float],
    *,
    kind: str = "projection_density",
    spacing_um: int = 100,
    limit: int | None = None,
) -> pd.DataFrame:
    """The selected experiments whose volume is in the store, by its value at a point, the largest first.

    Columns: those of every search (``FOUND_COLUMNS`` of the searches) and ``value``; NaN = no data there.
    ``frame.attrs["without_volume"]`` lists the experiments that are selected but whose volume is not in the store.

    Parameters
    ----------
    point : (float, float, float)
        AP, DV, ML in um; the voxel that contains it counts.
    kind, spacing_um
        Of the volumes.
    limit : int, optional
        The first so many.

    Raises
    ------
    MissingDataError
        If the store has none of the volumes.
    EmptySelectionError
        If no experiment matches.
    UnknownStructureError, UnknownExperimentError, SelectionError
        If the selection names what the catalog does not have.
    InputError
        If the point lies outside the brain's box or seems to be in mm, or there is no such grid.
    DamagedFileError
        If a file is not what was stored.
    """
    known_kind = volume_kind(kind)
    voxel = _voxel(Grid(spacing_um), point)
    with database.reading() as connection:
        ids = resolve_nonempty(connection, selection)
        found = find_volumes(connection, ids, kind=known_kind, spacing_um=spacing_um)
    if not found:
        raise MissingDataError(
            f"the store has no {kind} at {spacing_um} um of the {len(ids):,} experiments",
            hint=f"Bring them: bsv-store fetch ... --kind {kind} --spacing {spacing_um}",
        )
    experiments = sorted(found)
    values = [_value(read_slab(files, found[identifier], voxel[0], voxel[0] + 1), voxel) for identifier in experiments]
    with database.reading() as connection:
        frame = rank_experiments(connection, experiments, {"value": values}, limit=limit)
    frame.attrs["without_volume"] = [identifier for identifier in ids if identifier not in found]
    return frame


def _voxel(grid: Grid, point: Sequence[float]) -> tuple[int, int, int]:
    return grid.voxel(*point_um("point", point))


def _value(voxels: SparseArray | NDArray[np.float32], voxel: tuple[int, int, int]) -> float:
    """The value of a voxel, from its AP plane."""
    if not isinstance(voxels, SparseArray):
        return float(voxels[0, voxel[1], voxel[2]])
    # The indices ascend: no need to unpack 1.2 million voxels for one of them.
    flat = int(np.ravel_multi_index(voxel, voxels.grid.shape))
    at = int(np.searchsorted(voxels.index, flat))
    is_stored = at < len(voxels.index) and int(voxels.index[at]) == flat
    return float(voxels.values[at]) if is_stored else 0.0
