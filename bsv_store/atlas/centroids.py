"""Centroids of injections: the mean position of the injection density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from bsv_store.catalog.current_volume import CurrentVolume
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.selected_volumes import selected_volumes
from bsv_store.catalog.tables.views import view
from bsv_store.catalog.volume_use import record_use
from bsv_store.check import choice
from bsv_store.progress import NO_PROGRESS, Progress
from bsv_store.vocabulary import AXES, INJECTION_COLUMNS, MISSING_POLICIES
from bsv_store.volumes.grid import checked_spacing
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.library import prefetch, read_slab
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile


def injection_centroids(
    database: Database,
    files: StoreFiles,
    selection: Selection,
    *,
    spacing_um: int = 100,
    missing: str = "error",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.volumes.Volumes.injection_centroids`."""
    import pandas as pd

    policy = choice("missing", missing, MISSING_POLICIES).name
    spacing_um = checked_spacing(spacing_um)
    with database.reading() as connection:
        found, left_out, _ = selected_volumes(
            connection, selection, kind="injection_density", spacing_um=spacing_um, missing=policy
        )
        experiments = view("experiments").c
        columns = [experiments[name] for name in ("primary_structure", *INJECTION_COLUMNS)]
        query = select(experiments.experiment_id, *columns).where(id_in(connection, experiments.experiment_id, found))
        facts = {row[0]: tuple(row[1:]) for row in connection.execute(query)}
    watched = progress or NO_PROGRESS
    record_use(database, found.values())
    prefetch(files, found.values())
    rows: list[tuple[Any, ...]] = []
    watched.start(len(found), "volumes")
    try:
        for identifier in sorted(found):
            moments = CurrentVolume(database, found[identifier]).read(lambda file: _moments(files, file))
            rows.append((identifier, *facts[identifier], *moments))
            watched.advance()
    finally:
        watched.finish()
    names = [f"centroid_{axis.lower()}" for axis in AXES]
    frame = pd.DataFrame(
        rows,
        columns=[
            *("experiment_id", "primary_structure", *INJECTION_COLUMNS),
            *("voxels", "density_sum", *names, "left_share"),
        ],
    )
    coordinates = list(INJECTION_COLUMNS)
    frame[coordinates] = frame[coordinates].astype("Int64")
    difference = frame[names].to_numpy(float) - frame[coordinates].to_numpy(float, na_value=np.nan)
    frame["distance_um"] = np.sqrt((difference**2).sum(axis=1))
    frame.attrs["without_volume"] = sorted(left_out)
    frame.attrs["left_out"] = dict(sorted(left_out.items()))
    return frame


def _moments(files: StoreFiles, file: VolumeFile) -> tuple[int, float, float, float, float, float]:
    """Number of voxels with density, sum of the density, its center in um along AP, DV and ML, and its left share."""
    grid = file.layout.grid
    total, left, count = 0.0, 0.0, 0
    weighted = np.zeros(3)
    # Smaller files are read completely for each slab.
    for start, stop in slab_ranges(grid) if file.layout.has_slabs else [(0, grid.shape[0])]:
        index, values = _with_density(read_slab(files, file, start, stop), start)
        count += values.size
        total += float(values.sum())
        ap, rest = np.divmod(index, grid.shape[1] * grid.shape[2])
        dv, ml = np.divmod(rest, grid.shape[2])
        weighted += [float((values * axis).sum()) for axis in (ap, dv, ml)]
        left += float(values[ml < grid.midline].sum())
    if total <= 0:
        return count, total, np.nan, np.nan, np.nan, np.nan
    ap_um, dv_um, ml_um = ((weighted / total + 0.5) * grid.spacing_um).tolist()
    return count, total, ap_um, dv_um, ml_um, left / total


def _with_density(
    voxels: SparseArray | NDArray[np.float32], start: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index in the whole grid, and value, of the voxels above 0."""
    if isinstance(voxels, SparseArray):
        index, values = voxels.index.astype(np.int64), voxels.values.astype(np.float64)
    else:
        values = voxels.reshape(-1).astype(np.float64)
        index = np.arange(values.size) + start * voxels.shape[1] * voxels.shape[2]
    # NaN, no data, is not above 0.
    positive = values > 0
    return index[positive], values[positive]
