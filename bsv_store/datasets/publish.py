"""Publish a version: first its file, then its rows in one transaction."""

from __future__ import annotations

import contextlib
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.unused_files import delete_unused, keep_files, trash_unused
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets import locks, table
from bsv_store.datasets.answers import record_answer
from bsv_store.datasets.numbers import reserving
from bsv_store.datasets.result.file import result_path
from bsv_store.errors import (
    BsvStoreError,
    BsvStoreWarning,
    BusyError,
    NotReproducibleError,
    StoreUnreachableError,
)
from bsv_store.file_systems import require_write_access
from bsv_store.text import listed, number_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from bsv_store.catalog.activity import Details
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.history.checks import NewCheck
    from bsv_store.datasets.new_version import NewVersion
    from bsv_store.datasets.provenance import Provenance
    from bsv_store.datasets.result.file import EncodedResult
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles


_MAX_KEPT_NUMBER = 1_000_000


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
        require_write_access(path, hint="Ask the owner of the store for write access.")


def publish(
    database: Database,
    files: StoreFiles,
    version: NewVersion,
    result: EncodedResult,
    *,
    name: str,
    state: int | None = None,
    compared: Mapping[int, NewCheck] | None = None,
) -> DatasetVersion:
    """Publish a result that was computed here as the next version of a dataset.

    If the dataset has a checked version with the same fingerprint, that version is returned. An unchecked imported
    version with the same fingerprint becomes checked and is returned if its content is the same; otherwise both
    versions exist.

    Parameters
    ----------
    version : NewVersion
    result : EncodedResult
        If it is a temporary file, that file is moved.
    name : str
        Of the dataset.
    state : int, optional
        State of the catalog in which the version answers its recipe, to record.
    compared : mapping of int to NewCheck, optional
        Comparisons with imported versions, by row id.

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
    with (
        _published(database, files, result, path),
        database.writing() as connection,
        reserving(files, name) as numbers,
    ):
        dataset = locks.lock_or_create_dataset(connection, name, version.created_by)
        identifier = table.by_fingerprint(connection, name, version.fingerprint)
        was_computed = identifier is None
        confirmed = None
        if identifier is None:
            identifier = confirmed = _confirmed(connection, name, version, compared or {})
        is_new = identifier is None
        if identifier is None:
            number = numbers.reserve(dataset[1], version.fingerprint, result.content_sha256)
            identifier = _added(connection, files, dataset, version, result, path, number=number)
        if state is not None:
            record_answer(connection, identifier, state)
        stored = table.read_version(database, connection, files, identifier, was_computed=was_computed)
        if is_new:
            record_activity(connection, "computed", stored.ref, _contents(version))
        elif confirmed is not None:
            record_activity(connection, "verified", stored.ref, {"result": "identical"})
    checkpoint("version:committed")
    if stored.relative_path != path:
        trash_unused(database, files, [path], "duplicate")
    return stored


def publish_import(
    database: Database,
    files: StoreFiles,
    version: NewVersion,
    result: EncodedResult,
    *,
    name: str,
    imported_by: str,
    trust: bool,
    check: NewCheck,
    number: int,
    provenance: Provenance,
    tags: Sequence[str],
) -> DatasetVersion:
    """Publish an imported result as a version of a dataset, with the outcome of its check.

    If the dataset has a version with the same fingerprint and content, it is returned. Otherwise the version keeps its
    number, unless the dataset has used this number or a higher one; then it gets the next number, with a warning.

    Parameters
    ----------
    number : int
        Of the version in the store that exported it; 0 if it was computed outside of its store, and has no number.
    provenance : Provenance
        Recorded with the import.
    tags : sequence of str
        Set on the new version, unless another version of the dataset has them; then there is a warning.

    Raises
    ------
    NotReproducibleError
        If the dataset has a version with the same fingerprint but different content.
    VanishedError, InputError, NoSpaceError, ReadOnlyStoreError, StoreError
        See `publish`.
    """
    path = result_path(name, version.fingerprint, result.file_sha256)
    given, refused = number, list[str]()
    # A higher one, which no store reaches, would use up the numbers of the dataset.
    wanted = number if 0 < number <= _MAX_KEPT_NUMBER else None
    with (
        _published(database, files, result, path),
        database.writing() as connection,
        reserving(files, name) as numbers,
    ):
        dataset = locks.lock_or_create_dataset(connection, name, imported_by)
        # A temporary file has been moved.
        stored_result = replace(result, content=files.path(path))
        identifier = same_version(connection, name, version, stored_result)
        is_new = identifier is None
        if identifier is None:
            given = numbers.reserve(dataset[1], version.fingerprint, result.content_sha256, wanted=wanted)
            identifier = _added(
                connection, files, dataset, version, result, path, number=given, imported_by=imported_by
            )
            table.insert_check(connection, identifier, check, checked_by=imported_by)
            refused = _set_tags(connection, dataset[0], identifier, tags, imported_by)
        is_trusted = trust and table.set_trusted(connection, identifier, trusted_by=imported_by)
        stored = table.read_version(database, connection, files, identifier)
        if is_new:
            details = {
                **_contents(version),
                **provenance.to_details(),
                "check": check.outcome,
                **({"trusted": True} if is_trusted else {}),
            }
            if given != number and number:
                details["number in the bundle"] = number
            record_activity(connection, "imported", stored.ref, details)
        elif is_trusted:
            record_activity(connection, "trusted", stored.ref)
    checkpoint("version:committed")
    if stored.relative_path != path:
        trash_unused(database, files, [path], "duplicate")
    if given != number and number:
        warnings.warn(
            BsvStoreWarning(
                f"version {number} of the bundle is {name}@{given} in this store, because the numbers up to "
                f"{given - 1} of the dataset {name!r} have been given"
            ),
            stacklevel=2,
        )
    if refused:
        warnings.warn(
            BsvStoreWarning(
                f"{stored.ref} did not get {number_of(len(refused), 'tag')} of the bundle, because other versions of "
                f"the dataset have them: {listed(refused)}"
            ),
            stacklevel=2,
        )
    return stored


def _set_tags(
    connection: Connection, dataset_id: int, identifier: int, tags: Sequence[str], created_by: str
) -> list[str]:
    """Tag a version; returns the tags that other versions of the dataset have."""
    refused = [tag for tag in tags if table.tagged_version(connection, dataset_id, tag) is not None]
    for tag in tags:
        if tag not in refused:
            table.set_tag(connection, dataset_id, tag, identifier, created_by=created_by)
    return refused


def _contents(version: NewVersion) -> Details:
    placed = sum(member.group is not None for member in version.experiments)
    return {"experiments": placed, "groups": len(version.groups)}


@contextmanager
def _published(database: Database, files: StoreFiles, result: EncodedResult, path: str) -> Iterator[None]:
    """Publish a result file for the block that records it; after an error it is deleted unless a version has it.

    A file that was there before is kept: it may be the only copy of a result that is newer than a restored catalog.
    """
    was_there = files.size_bytes(path) is not None
    try:
        result.publish(files, path)
        checkpoint("version:published")
        yield
    except BaseException as error:
        # If the database stays busy or cannot be reached, `gc` removes the file.
        if not was_there and not isinstance(error, BusyError | StoreUnreachableError):
            with contextlib.suppress(BsvStoreError):
                delete_unused(database, files, path)
        raise


def same_version(connection: Connection, name: str, version: NewVersion, result: EncodedResult) -> int | None:
    """The row id of the version of a dataset with the same fingerprint and content; None if there is none.

    Raises
    ------
    NotReproducibleError
        If all versions with this fingerprint have different content.
    """
    found = table.with_fingerprint(connection, name, version.fingerprint)
    same = next((identifier for identifier, content in found if result.has_content(version.recipe, content)), None)
    if same is None and found:
        other = table.read_record(connection, found[0][0]).ref
        standing = table.read_origin(connection, found[0][0]).standing
        raise NotReproducibleError(
            f"{other} ({standing}) has the same recipe and inputs as the bundle, but a different result",
            hint=f"At least one of the two is wrong. Check the stored one: bsv-store dataset rebuild {other}",
        )
    return same


def _confirmed(
    connection: Connection,
    name: str,
    version: NewVersion,
    compared: Mapping[int, NewCheck],
) -> int | None:
    """Record whether the imported versions with the same fingerprint agree; returns the first that does."""
    agreeing = None
    for identifier in table.unchecked_imports(connection, name, version.fingerprint):
        if identifier in compared:
            table.insert_check(connection, identifier, compared[identifier], checked_by=version.created_by)
            if compared[identifier].outcome == "identical" and agreeing is None:
                agreeing = identifier
    return agreeing


def _added(
    connection: Connection,
    files: StoreFiles,
    dataset: tuple[int, int],
    version: NewVersion,
    result: EncodedResult,
    path: str,
    *,
    number: int,
    imported_by: str | None = None,
) -> int:
    keep_files(connection)
    if not files.path(path).exists():
        # Another process deleted a version with the same bytes after this process published them.
        if isinstance(result.content, Path):
            raise VanishedError
        result.publish(files, path)
    identifier = table.add_version(connection, dataset, version, result, path, number=number, imported_by=imported_by)
    checkpoint("version:inserted")
    return identifier
