"""The volumes in the store: the rows of table ``volume`` as values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, delete, insert, select

from bsv_store.catalog.database.bulk import delete_rows, table_of
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Seal, StoredVolume, VolumeBlockHashes
from bsv_store.catalog.seals import seal_volumes
from bsv_store.catalog.verifications import forget_verifications
from bsv_store.errors import DamagedFileError
from bsv_store.progress import NO_PROGRESS
from bsv_store.vocabulary import SPACINGS_UM
from bsv_store.volumes.encoding import VolumeLayout
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile, computed_block_hashes
from bsv_store.volumes.stored_object import StoredObject

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import VolumeKind
    from bsv_store.volumes.files import StoreFiles

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

_IS_OF_VOLUME = VolumeBlockHashes.volume_id == StoredVolume.id


def find_volumes(
    connection: Connection, experiment_ids: Sequence[int], *, kind: VolumeKind, spacing_um: int
) -> dict[int, VolumeFile]:
    """The volumes of these experiments in the store, by experiment id; missing ones are absent."""
    grid = Grid(spacing_um)
    query = _recorded(connection, experiment_ids, kind, grid.spacing_um, *_COLUMNS)
    if grid.is_large:
        query = query.add_columns(VolumeBlockHashes.hashes).outerjoin(VolumeBlockHashes.__table__, _IS_OF_VOLUME)
    return {row[0]: _value(row, grid) for row in connection.execute(query).all()}


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


def stored_volumes(connection: Connection) -> Iterator[StoredObject]:
    """All volumes in the store, in no particular order."""
    query = select(
        StoredVolume.experiment_id,
        StoredVolume.kind,
        StoredVolume.spacing_um,
        StoredVolume.path,
        StoredVolume.size_bytes,
        StoredVolume.file_sha256,
        StoredVolume.array_sha256,
        StoredVolume.source,
        StoredVolume.fetched_at,
    )
    for row in connection.execute(query):
        key = volume_key(row.experiment_id, kind=row.kind, spacing_um=row.spacing_um)
        yield StoredObject(key, "volume", *row[3:])


def volume_key(experiment_id: int, *, kind: str, spacing_um: int) -> str:
    """The key of a volume, in claims and in the inventory."""
    return f"{volume_prefix(kind=kind, spacing_um=spacing_um)}{experiment_id}"


def volume_prefix(*, kind: str, spacing_um: int) -> str:
    """The part before the experiment id of the keys of volumes of one kind and spacing."""
    return f"volume/{kind}/{spacing_um}/"


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
            keys = [volume_key(row.experiment_id, kind=kind, spacing_um=spacing_um) for row in earlier]
            forget_verifications(connection, keys)
        rows = [_row(file) for file in new.values()]
        connection.execute(insert(StoredVolume), rows)
        _record_block_hashes(connection, new, *same)
        seal_volumes(connection, rows)
        replaced += [row.path for row in earlier if row.path != new[row.experiment_id].path]
    return replaced


def _record_block_hashes(connection: Connection, new: Mapping[int, VolumeFile], *same: Any) -> None:
    """Write the block hashes of newly recorded volumes; ``same`` are conditions that select their rows."""
    hashes = {file.experiment_id: file.layout.block_hashes for file in new.values() if file.layout.block_hashes}
    if hashes:
        ids = connection.execute(select(StoredVolume.experiment_id, StoredVolume.id).where(*same)).all()
        rows = [{"volume_id": id_, "hashes": hashes[experiment]} for experiment, id_ in ids if experiment in hashes]
        connection.execute(insert(VolumeBlockHashes), rows)


def remove_volumes(connection: Connection, volumes: Collection[tuple[int, str, int]]) -> None:
    """Delete the rows and seals of volumes, given by experiment id, kind and spacing; the caller removes the files."""
    columns = ("experiment_id", "kind", "spacing_um")
    delete_rows(connection, table_of(StoredVolume), columns, volumes)
    seals = [("volume", f"{experiment_id}/{kind}/{spacing_um}") for experiment_id, kind, spacing_um in volumes]
    delete_rows(connection, table_of(Seal), ("scope", "key"), seals)


def complete_block_hashes(
    database: Database, files: StoreFiles, *, progress: Progress = NO_PROGRESS
) -> tuple[int, list[str]]:
    """Compute and record missing block hashes of large volumes, which earlier versions did not record.

    Each file is first verified as a whole. There is one transaction per volume, so the work can be interrupted and
    resumed.

    Returns
    -------
    int
        Number of volumes whose hashes were recorded.
    list of str
        Paths of missing or damaged files, for which no hashes were recorded.
    """
    large = [spacing_um for spacing_um in SPACINGS_UM if Grid(spacing_um).is_large]
    query = (
        select(StoredVolume.id, StoredVolume.spacing_um, *_COLUMNS)
        .outerjoin(VolumeBlockHashes.__table__, _IS_OF_VOLUME)
        .where(StoredVolume.spacing_um.in_(large), VolumeBlockHashes.volume_id.is_(None))
        .order_by(StoredVolume.id)
    )
    with database.reading() as connection:
        rows = connection.execute(query).all()
    found = [(volume_id, _value(row, Grid(spacing_um))) for volume_id, spacing_um, *row in rows]
    missing = [(volume_id, file) for volume_id, file in found if file.layout.has_slabs]
    if not missing:
        return 0, []
    recorded, damaged = 0, []
    progress.start(len(missing), "hashing the blocks of volumes")
    try:
        for volume_id, file in missing:
            try:
                hashes = computed_block_hashes(files, file)
            except DamagedFileError:
                damaged.append(file.path)
            else:
                recorded += _record_hashes(database, volume_id, file.path, hashes)
            progress.advance(size_bytes=file.layout.size_bytes)
    finally:
        progress.finish()
    return recorded, damaged


def _record_hashes(database: Database, volume_id: int, path: str, hashes: bytes) -> int:
    """Record the block hashes of a volume, unless another process has recorded them or replaced the volume."""
    with database.writing() as connection:
        volume = connection.execute(
            select(StoredVolume.path).where(StoredVolume.id == volume_id).with_for_update()
        ).scalar()
        there = select(VolumeBlockHashes.volume_id).where(VolumeBlockHashes.volume_id == volume_id)
        if volume != path or connection.execute(there).scalar() is not None:
            return 0
        connection.execute(insert(VolumeBlockHashes), [{"volume_id": volume_id, "hashes": hashes}])
    return 1


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


def _value(row: Sequence[Any], grid: Grid) -> VolumeFile:
    # Access by position: access by name takes three times as long, which matters for thousands of rows.
    experiment_id, kind, path, source, fetched_at, *recorded = tuple(row)
    return VolumeFile(experiment_id, kind, path, VolumeLayout(grid, *recorded), source, fetched_at)
