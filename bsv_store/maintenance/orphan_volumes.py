"""Recording intact files of volumes whose row is missing or damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from bsv_store.catalog.database.models import StoredVolume
from bsv_store.catalog.locks import lock_experiments
from bsv_store.catalog.unused_files import trash_unused
from bsv_store.catalog.volumes import record_volumes, volume_key
from bsv_store.checkpoints import checkpoint
from bsv_store.file_systems import read_errors
from bsv_store.maintenance.catalog_checks import damaged_volume_rows
from bsv_store.maintenance.object_checks import volume_of_key
from bsv_store.maintenance.unlisted import named_file

if TYPE_CHECKING:
    from bsv_store.acquisition.tasks.orphans import OrphanVolumes
    from bsv_store.catalog.database.engine import Database
    from bsv_store.plausibility.judge import Plausibility
    from bsv_store.volumes.files import StoreFiles


def record_orphan(database: Database, files: StoreFiles, orphans: OrphanVolumes, judge: Plausibility, key: str) -> None:
    """Record the file of a volume, if it is intact and plausible.

    Raises
    ------
    ValueError
        If there is no such file, or more than one. The message states the reason.
    """
    experiment_id, kind, spacing_um = volume_of_key(key)
    folder = files.path(f"volumes/{kind}/{spacing_um}um")
    with read_errors(folder):
        files_of_volume = list(folder.glob(f"{experiment_id}.*.h5"))
    if len(files_of_volume) > 1:
        raise ValueError("there are several files of the volume, and the catalog does not say which one is current")
    judge.learn([experiment_id])
    file = orphans.recover(experiment_id)
    if file is None:
        raise ValueError("there is no intact and plausible file")
    with database.writing() as connection:
        lock_experiments(connection, [experiment_id])
        replaced = record_volumes(connection, [file])
        checkpoint("repair:recorded")
    trash_unused(database, files, replaced, "replaced")


def remove_misplaced_rows(database: Database) -> None:
    """Remove damaged rows with the path of another volume, which would conflict with its row."""
    with database.writing() as connection:
        damaged = set(damaged_volume_rows(connection))
        columns = (StoredVolume.id, StoredVolume.path, StoredVolume.experiment_id, StoredVolume.kind)
        for identifier, path, experiment_id, kind, spacing_um in connection.execute(
            select(*columns, StoredVolume.spacing_um)
        ).all():
            key = volume_key(experiment_id, kind=kind, spacing_um=spacing_um)
            named = named_file(path)
            if key in damaged and named is not None and named.key != key:
                connection.execute(delete(StoredVolume).where(StoredVolume.id == identifier))
