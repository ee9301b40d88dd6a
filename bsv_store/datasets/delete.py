"""Delete a version: first its rows, then its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.catalog.activity import record_activity
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets import table
from bsv_store.datasets.refs import parse_ref
from bsv_store.errors import InputError

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles


def delete_version(database: Database, files: StoreFiles, ref: str) -> table.VersionRecord:
    """Delete a version; see `Datasets.delete`. Its recipe is not read, because it may be from another release.

    Raises
    ------
    UnknownDatasetError
        If the store does not have it.
    InputError
        If it has a tag, or the reference names no version.
    """
    wanted = parse_ref(ref)
    if "@" not in ref:
        # In other calls this means the latest version, but deleting requires an explicit one.
        raise InputError(
            f"ref must name the version to delete, got {ref!r}", hint=f"For example {ref}@3 or {ref}@latest."
        )
    with database.writing() as connection:
        table.lock_dataset(connection, wanted.name)
        identifier = table.version_id(connection, wanted)
        version = table.read_record(connection, identifier)
        if version.tags:
            raise InputError(
                f"{version.ref} cannot be deleted: it has the tag {', '.join(version.tags)}",
                hint=f"Remove the tag first: bsv-store dataset untag {version.name} {version.tags[0]}",
            )
        table.delete_version_rows(connection, identifier)
        record_activity(connection, "deleted", version.ref)
        checkpoint("delete:removed")
    checkpoint("delete:committed")
    with database.writing() as connection:
        # Another process may have published the same version again.
        table.lock_dataset(connection, version.name)
        if not table.is_path_used(connection, version.relative_path):
            files.trash(version.relative_path)
    return version
