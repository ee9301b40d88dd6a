"""Taking a version from another store: its bundle is checked, published and recorded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment
from bsv_store.check import path as checked_path
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.refs import check_name
from bsv_store.datasets.result.file import result_path
from bsv_store.datasets.share.bundle import Bundle, read_bundle
from bsv_store.datasets.table import add_version, by_fingerprint, read_version, refuse_read_only, take_dataset
from bsv_store.errors import ReadOnlyStoreError, UnknownExperimentError
from bsv_store.text import listed_ids
from bsv_store.volumes.files import store_errors

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.records import Member
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles


def import_bundle(
    database: Database, files: StoreFiles, path: Path | str, *, name: str | None = None
) -> DatasetVersion:
    """The version that a bundle holds, as a version of a dataset of this store.

    It gets the next number here, and keeps its fingerprint, time and author. A version with the same fingerprint is
    returned as it is.

    Parameters
    ----------
    path : path
        Of a file that ``export`` wrote.
    name : str, optional
        Of the dataset here; that of the bundle by default.

    Raises
    ------
    FormatError
        If it is no bundle, damaged, or its parts do not belong together; nothing is stored then.
    FrameError
        If its coordinates are those of another frame.
    UnknownExperimentError
        If the catalog here lacks experiments that the version is made of.
    NoSpaceError, ReadOnlyStoreError, StoreError
        If it cannot be written; nothing is stored then.
    """
    while True:
        try:
            with _room(database, files) as room:
                return _imported(database, files, read_bundle(checked_path("path", path), room), name)
        except _VanishedError:
            # The bundle has the same bytes again.
            continue


class _VanishedError(Exception):
    """A version with the same bytes was deleted since they were published, and they with it; no copy is left."""


@contextmanager
def _room(database: Database, files: StoreFiles) -> Iterator[Path]:
    """Where a bundle's result file lies until it is published: in the store, unless nothing may be written there."""
    with ExitStack() as stack:
        if not _may_write(database, files):
            # What the bundle holds may be there already.
            yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bsv-store-"))) / "result"
            return
        with store_errors(files.root / "tmp"):
            room = stack.enter_context(files.temporary())
        yield room


def _may_write(database: Database, files: StoreFiles) -> bool:
    try:
        refuse_read_only(database, files)
    except ReadOnlyStoreError:
        return False
    return True


def _imported(database: Database, files: StoreFiles, bundle: Bundle, name: str | None) -> DatasetVersion:
    target = bundle.name if name is None else check_name(name)
    version = replace(bundle.version, path=result_path(target, bundle.version.fingerprint, bundle.version.file_sha256))
    with database.reading() as connection:
        _check_experiments(connection, version.experiments)
        earlier = by_fingerprint(connection, target, version.fingerprint)
        if earlier is not None:
            return read_version(connection, files, earlier)
    refuse_read_only(database, files)
    files.publish_file(bundle.result, version.path)
    checkpoint("import:published")
    with database.writing() as connection:
        dataset = take_dataset(connection, target, version.created_by)
        earlier = by_fingerprint(connection, target, version.fingerprint)
        if earlier is None:
            if not files.path(version.path).exists():
                # A version with the same bytes was deleted since, and this file with it.
                raise _VanishedError
            identifier = add_version(connection, dataset, version)
        else:
            identifier = earlier
        stored = read_version(connection, files, identifier)
    checkpoint("import:committed")
    if stored.relative_path != version.path:
        files.trash(version.path)
    return stored


def _check_experiments(connection: Connection, experiments: tuple[Member, ...]) -> None:
    ids = {member.experiment_id for member in experiments}
    known = set(connection.scalars(select(Experiment.id).where(id_in(connection, Experiment.id, ids))))
    unknown = ids - known
    if unknown:
        raise UnknownExperimentError(
            f"the catalog does not have the experiments {listed_ids(unknown)} that the dataset is made of",
            hint="Bring the list up to date: bsv-store sync experiments",
        )
