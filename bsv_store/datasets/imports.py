"""Taking a version from another store: its bundle is checked, published and recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.arguments import path as checked_path
from bsv_store.catalog.id_lists import id_in
from bsv_store.catalog.models import Experiment
from bsv_store.catalog.naming import listed_ids
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.bundle import read_bundle
from bsv_store.datasets.refs import check_name
from bsv_store.datasets.result_file import result_path
from bsv_store.datasets.versions import add_version, by_fingerprint, read_version, refuse_read_only, take_dataset
from bsv_store.errors import UnknownExperimentError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.engine import Database
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
    """
    bundle = read_bundle(checked_path("path", path))
    target = bundle.name if name is None else check_name(name)
    version = replace(bundle.version, path=result_path(target, bundle.version.fingerprint, bundle.version.file_sha256))
    with database.reading() as connection:
        _check_experiments(connection, version.experiments)
        earlier = by_fingerprint(connection, target, version.fingerprint)
        if earlier is not None:
            return read_version(connection, files, earlier)
    refuse_read_only(database, files)
    files.publish(version.path, bundle.image)
    checkpoint("import:published")
    with database.writing() as connection:
        dataset = take_dataset(connection, target, version.created_by)
        earlier = by_fingerprint(connection, target, version.fingerprint)
        if earlier is None:
            if not files.path(version.path).exists():
                # A version with the same bytes was deleted since, and this file with it.
                files.publish(version.path, bundle.image)
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
