"""Deleting a version: first its rows, then its file, which goes to the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from bsv_store.catalog.database.models import (
    Dataset,
    DatasetAnswer,
    DatasetCheck,
    DatasetGroup,
    DatasetMember,
    DatasetTag,
)
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.refs import parse_ref
from bsv_store.datasets.table import read_version, version_id
from bsv_store.errors import InputError

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles


def delete_version(database: Database, files: StoreFiles, ref: str) -> DatasetVersion:
    """The version that was deleted; its number is not given again.

    Raises
    ------
    UnknownDatasetError
        If the store does not have it.
    InputError
        If a tag is on it.
    """
    wanted = parse_ref(ref)
    with database.writing() as connection:
        connection.execute(select(Dataset.id).where(Dataset.name == wanted.name).with_for_update())
        identifier = version_id(connection, wanted)
        version = read_version(connection, files, identifier)
        if version.tags:
            raise InputError(
                f"{version.ref} cannot be deleted: it has the tag {', '.join(version.tags)}",
                hint="Somebody relies on what is tagged. Take the tag off first, if you are sure.",
            )
        # Whoever is remembering an answer of it holds its row.
        connection.execute(select(VersionRow.id).where(VersionRow.id == identifier).with_for_update())
        for table in (DatasetMember, DatasetGroup, DatasetTag, DatasetCheck, DatasetAnswer):
            connection.execute(delete(table).where(table.version_id == identifier))
        connection.execute(delete(VersionRow).where(VersionRow.id == identifier))
        checkpoint("delete:removed")
    checkpoint("delete:committed")
    _trash_unused(database, files, version)
    return version


def _trash_unused(database: Database, files: StoreFiles, version: DatasetVersion) -> None:
    """Move the file out of the way, unless somebody has just made the same version again and uses it."""
    with database.writing() as connection:
        connection.execute(select(Dataset.id).where(Dataset.name == version.name).with_for_update())
        if connection.scalar(select(VersionRow.id).where(VersionRow.path == version.relative_path)) is None:
            files.trash(version.relative_path)
