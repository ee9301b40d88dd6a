"""Delete a version: first its rows, then its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.models import DatasetVersion
from bsv_store.catalog.unused_files import trash_recorded
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets import table
from bsv_store.datasets.deleted_rows import deleted_rows
from bsv_store.datasets.listing import version_numbers
from bsv_store.datasets.refs import DatasetRef, parse_ref
from bsv_store.datasets.shared_uses import shared_uses
from bsv_store.errors import InputError
from bsv_store.text import listed

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles


def delete_version(database: Database, files: StoreFiles, ref: str, *, force: bool = False) -> table.VersionRecord:
    """Delete a version; see `Datasets.delete`. Its recipe is not read, because it may be from another release.

    Raises
    ------
    UnknownDatasetError
        If the store does not have it.
    InputError
        If it has a tag or was exported or cited, and ``force`` is False, or the reference names no version.
    """
    wanted = parse_ref(ref)
    with database.writing() as connection:
        _, identifier = table.lock_version(connection, wanted)
        if "@" not in ref:
            raise _without_version(connection, wanted)
        version = table.read_record(connection, identifier)
        reasons = [] if force else _reasons_to_keep(connection, version)
        if reasons:
            raise InputError(
                f"{version.ref} was not deleted: it {' and '.join(reasons)}",
                hint=f"To delete it nevertheless: bsv-store dataset delete --force {version.ref}",
            )
        size_bytes = connection.scalar(select(DatasetVersion.size_bytes).where(DatasetVersion.id == identifier)) or 0
        rows = deleted_rows(connection, identifier, version)
        table.delete_version_rows(connection, identifier)
        tags = {"tags": ", ".join(version.tags)} if version.tags else {}
        record_activity(connection, "deleted", version.ref, {"fingerprint": version.fingerprint, **tags})
        # Before the commit, so that the rows are never lost. The record of a deletion that fails is removed by `gc`.
        item = files.record_trash(version.relative_path, "deleted", size_bytes=size_bytes, rows=rows)
        checkpoint("delete:removed")
    checkpoint("delete:committed")
    # Another process may have published the same version again.
    trash_recorded(database, files, version.relative_path, item)
    return version


def _without_version(connection: Connection, wanted: DatasetRef) -> InputError:
    """The error for a name alone: in other calls it means the latest version, but deleting requires an explicit one."""
    numbers = version_numbers(connection, wanted.name)
    refs = [f"{wanted.name}@{number}" for number in numbers]
    return InputError(
        f"ref must name the version to delete, got {wanted.name!r}",
        hint=f"The dataset has {listed(refs, limit=10)}. For example: bsv-store dataset delete {refs[-1]}",
    )


def _reasons_to_keep(connection: Connection, version: table.VersionRecord) -> list[str]:
    """Why a version should not be deleted."""
    uses = shared_uses(connection, [version.ref]).get(version.ref, ())
    tagged = f"has the tag {', '.join(version.tags)}" if version.tags else None
    return [reason for reason in (tagged, f"was {' and '.join(uses)}" if uses else None) if reason]
