"""The volumes in the store: the rows of table ``volume`` as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, delete, insert, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StoredVolume
from bsv_store.catalog.seals import seal_volumes
from bsv_store.volumes.encoding import VolumeLayout
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile

if TYPE_CHECKING:
    from bsv_store.vocabulary import VolumeKind

# In the order of the fields of VolumeFile, then of VolumeLayout after its grid.
_COLUMNS = (
    StoredVolume.experiment_id,
    StoredVolume.kind,
    StoredVolume.path,
    StoredVolume.source,
    StoredVolume.fetched_at,
    StoredVolume.encoding,
    StoredVolume.size_bytes,
    StoredVolume.file_sha256,
    StoredVolume.file_xxh3,
    StoredVolume.array_sha256,
    StoredVolume.value_count,
    StoredVolume.index_offset,
    StoredVolume.value_offset,
    StoredVolume.no_data_voxels,
)


def find_volumes(
    connection: Connection, experiment_ids: Sequence[int], *, kind: VolumeKind, spacing_um: int
) -> dict[int, VolumeFile]:
    """The volumes of these experiments in the store, by experiment id; missing ones are absent."""
    rows = connection.execute(_recorded(connection, experiment_ids, kind, spacing_um, *_COLUMNS)).all()
    grid = Grid(spacing_um)
    return {row[0]: _value(row, grid) for row in rows}


def recorded_sizes(
    connection: Connection, experiment_ids: Sequence[int], *, kind: VolumeKind, spacing_um: int
) -> dict[int, tuple[str, int]]:
    """Path and size in bytes of the volumes of these experiments in the store, by experiment id."""
    columns = (StoredVolume.experiment_id, StoredVolume.path, StoredVolume.size_bytes)
    rows = connection.execute(_recorded(connection, experiment_ids, kind, spacing_um, *columns)).all()
    return {experiment_id: (path, size_bytes) for experiment_id, path, size_bytes in rows}


def _recorded(
    connection: Connection, experiment_ids: Sequence[int], kind: VolumeKind, spacing_um: int, *columns: Any
) -> Select[Any]:
    return select(*columns).where(
        id_in(connection, StoredVolume.experiment_id, experiment_ids),
        StoredVolume.kind == kind,
        StoredVolume.spacing_um == spacing_um,
    )


def volumes_of(connection: Connection, experiment_id: int) -> list[tuple[str, int]]:
    """Kind and spacing in um of each volume of an experiment in the store, sorted."""
    query = select(StoredVolume.kind, StoredVolume.spacing_um)
    rows = connection.execute(query.where(StoredVolume.experiment_id == experiment_id))
    return sorted((row.kind, row.spacing_um) for row in rows)


def record_volume(connection: Connection, file: VolumeFile) -> str | None:
    """Write the row of a published file; it replaces an earlier one of the same experiment, kind and spacing.

    Returns
    -------
    str or None
        Path of the replaced file, if it differs; the caller moves it to the trash after the commit.
    """
    return next(iter(record_volumes(connection, [file])), None)


def record_volumes(connection: Connection, files: Sequence[VolumeFile]) -> list[str]:
    """Write the rows of published files; they replace earlier ones of the same experiment, kind and spacing.

    Returns
    -------
    list of str
        Paths of the replaced files that differ; the caller moves them to the trash after the commit.
    """
    replaced = []
    for (kind, spacing_um), new in _by_grid(files).items():
        same = (
            id_in(connection, StoredVolume.experiment_id, new),
            StoredVolume.kind == kind,
            StoredVolume.spacing_um == spacing_um,
        )
        query = select(StoredVolume.experiment_id, StoredVolume.path).where(*same).with_for_update()
        earlier = connection.execute(query).all()
        if earlier:
            connection.execute(delete(StoredVolume).where(*same))
        rows = [_row(file) for file in new.values()]
        connection.execute(insert(StoredVolume), rows)
        seal_volumes(connection, rows)
        replaced += [row.path for row in earlier if row.path != new[row.experiment_id].path]
    return replaced


def _by_grid(files: Sequence[VolumeFile]) -> dict[tuple[VolumeKind, int], dict[int, VolumeFile]]:
    """The files by kind and spacing, then by experiment; the last one of an experiment counts."""
    found: dict[tuple[VolumeKind, int], dict[int, VolumeFile]] = {}
    for file in files:
        found.setdefault((file.kind, file.spacing_um), {})[file.experiment_id] = file
    return found


def _row(file: VolumeFile) -> dict[str, Any]:
    layout = file.layout
    ap, dv, ml = layout.grid.shape
    return {
        "experiment_id": file.experiment_id,
        "kind": file.kind,
        "spacing_um": file.spacing_um,
        "size_ap": ap,
        "size_dv": dv,
        "size_ml": ml,
        "path": file.path,
        "size_bytes": layout.size_bytes,
        "file_sha256": layout.file_sha256,
        "file_xxh3": layout.file_xxh3,
        "array_sha256": layout.array_sha256,
        "encoding": layout.encoding,
        "value_count": layout.value_count,
        "index_offset": layout.index_offset,
        "value_offset": layout.value_offset,
        "no_data_voxels": layout.no_data_voxels,
        "source": file.source,
        "fetched_at": file.fetched_at,
    }


def _value(row: Row[Any], grid: Grid) -> VolumeFile:
    # Access by position: access by name takes three times as long, which matters for thousands of rows.
    experiment_id, kind, path, source, fetched_at, *recorded = tuple(row)
    return VolumeFile(experiment_id, kind, path, VolumeLayout(grid, *recorded), source, fetched_at)
