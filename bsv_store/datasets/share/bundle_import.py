"""Importing a bundle as a version of a dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment
from bsv_store.check import path as checked_path
from bsv_store.datasets.publish import VanishedError, publish, require_writable
from bsv_store.datasets.refs import check_name
from bsv_store.datasets.share.bundle import Bundle, read_bundle
from bsv_store.datasets.table import by_fingerprint, read_version
from bsv_store.errors import ReadOnlyStoreError, UnknownExperimentError
from bsv_store.text import listed_ids
from bsv_store.volumes.files import store_errors

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.averaging.members import Member
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles


def import_bundle(
    database: Database, files: StoreFiles, path: Path | str, *, name: str | None = None
) -> DatasetVersion:
    """Import a bundle; see `Datasets.import_bundle`.

    Raises
    ------
    FormatError
        If the file is not a valid bundle. Nothing is stored then.
    FrameError
        If its coordinates are in another frame.
    UnknownExperimentError
        If the catalog does not have experiments of the version.
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the store cannot be written. Nothing is stored then.
    """
    while True:
        try:
            with _temporary(database, files) as temporary:
                return _imported(database, files, read_bundle(checked_path("path", path), temporary), name)
        except VanishedError:
            # The bundle still has the file.
            continue


@contextmanager
def _temporary(database: Database, files: StoreFiles) -> Iterator[Path]:
    """A temporary path for the result file: in the store, unless it cannot be written."""
    with ExitStack() as stack:
        if not _is_writable(database, files):
            # The store may have the version already.
            yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bsv-store-"))) / "result"
            return
        with store_errors(files.root / "tmp"):
            path = stack.enter_context(files.temporary())
        yield path


def _is_writable(database: Database, files: StoreFiles) -> bool:
    try:
        require_writable(database, files)
    except ReadOnlyStoreError:
        return False
    return True


def _imported(database: Database, files: StoreFiles, bundle: Bundle, name: str | None) -> DatasetVersion:
    target = bundle.name if name is None else check_name(name)
    with database.reading() as connection:
        _check_experiments(connection, bundle.version.experiments)
        existing = by_fingerprint(connection, target, bundle.version.fingerprint)
        if existing is not None:
            return read_version(connection, files, existing)
    require_writable(database, files)
    return publish(database, files, bundle.version, bundle.result, name=target, was_computed=False)


def _check_experiments(connection: Connection, experiments: Sequence[Member]) -> None:
    ids = {member.experiment_id for member in experiments}
    known = set(connection.scalars(select(Experiment.id).where(id_in(connection, Experiment.id, ids))))
    unknown = ids - known
    if unknown:
        raise UnknownExperimentError(
            f"the catalog does not have experiments of the dataset: {listed_ids(unknown)}",
            hint="Update the experiment list: bsv-store sync experiments",
        )
