"""Publish a version: first its file, then its rows in one transaction."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.checkpoints import checkpoint
from bsv_store.datasets import table
from bsv_store.datasets.result.file import result_path
from bsv_store.errors import ReadOnlyStoreError

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.new_version import NewVersion
    from bsv_store.datasets.result.file import EncodedResult
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles


class VanishedError(Exception):
    """The published file was removed with a deleted version that had the same bytes, and there is no other copy."""


def require_writable(database: Database, files: StoreFiles) -> None:
    """Raise if the store cannot be written, before any work is done.

    Raises
    ------
    ReadOnlyStoreError
        If it was opened read-only, or this account has no write access to its database or folder.
    """
    database.require_writable()
    for path in (files.path("datasets"), files.path("tmp")):
        if path.exists() and not os.access(path, os.W_OK):
            raise ReadOnlyStoreError(
                f"this account has no write access to {path}", hint="Ask the owner of the store for write access."
            )


def publish(
    database: Database,
    files: StoreFiles,
    version: NewVersion,
    result: EncodedResult,
    *,
    name: str,
    was_computed: bool = True,
    state: int | None = None,
) -> DatasetVersion:
    """Publish a result as the next version of a dataset; returns an existing version with the same fingerprint.

    Parameters
    ----------
    version : NewVersion
    result : EncodedResult
        If it is a temporary file, that file is moved.
    name : str
        Of the dataset.
    was_computed : bool
        Whether a new version was computed here.
    state : int, optional
        State of the catalog in which the version answers its recipe, to record.

    Raises
    ------
    VanishedError
        If another process deleted the published file and the result was a temporary file. Create the result again.
    InputError
        If a dataset has the same name except for case.
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the store cannot be written. Nothing is stored then.
    """
    path = result_path(name, version.fingerprint, result.file_sha256)
    result.publish(files, path)
    checkpoint("version:published")
    with database.writing() as connection:
        dataset = table.lock_or_create_dataset(connection, name, version.created_by)
        identifier = table.by_fingerprint(connection, name, version.fingerprint)
        is_new = identifier is None
        if identifier is None:
            if not files.path(path).exists():
                # Another process deleted a version with the same bytes after they were published here.
                if isinstance(result.content, Path):
                    raise VanishedError
                result.publish(files, path)
            identifier = table.add_version(connection, dataset, version, result, path)
            checkpoint("version:inserted")
        if state is not None:
            table.record_answer(connection, identifier, state)
        stored = table.read_version(connection, files, identifier, was_computed=is_new and was_computed)
    checkpoint("version:committed")
    if stored.relative_path != path:
        files.trash(path)
    return stored
