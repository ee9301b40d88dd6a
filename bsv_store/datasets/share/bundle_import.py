"""Importing a bundle as a version of a dataset."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.averaging.inputs import ALGORITHM_VERSION
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, Structure
from bsv_store.catalog.database.sqlite import long_run
from bsv_store.catalog.ingest import ingest_experiments, ingest_structures
from bsv_store.catalog.records import ExperimentList
from bsv_store.catalog.volume_use import record_use
from bsv_store.check import path as checked_path
from bsv_store.datasets.compute import DamagedInputsError, compute, temporary_result
from bsv_store.datasets.history.checks import NewCheck
from bsv_store.datasets.history.rebuild import difference, failed_check
from bsv_store.datasets.original_inputs import inputs_with_files
from bsv_store.datasets.publish import VanishedError, publish_import, require_writable, same_version
from bsv_store.datasets.refs import DatasetRef, check_name
from bsv_store.datasets.result.contents import software
from bsv_store.datasets.share.bundle import Bundle, read_bundle
from bsv_store.datasets.table import lock_version, read_version, set_trusted
from bsv_store.errors import MissingDataError, NotReproducibleError, ReadOnlyStoreError
from bsv_store.owner import current_user
from bsv_store.temporary import TemporaryFolder
from bsv_store.volumes.files import store_errors
from bsv_store.volumes.hdf5 import opened_hdf5

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.records import ExperimentRecord
    from bsv_store.datasets.result.file import EncodedResult
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.datasets.workers import Executor
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles


@long_run()
def import_bundle(
    database: Database,
    files: StoreFiles,
    path: Path | str,
    *,
    name: str | None = None,
    trust: bool = False,
    progress: Progress | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
) -> DatasetVersion:
    """See `Datasets.import_bundle`."""
    source = checked_path("path", path)
    while True:
        with contextlib.suppress(VanishedError), _temporary(database, files) as temporary:
            # If the result has been deleted, the bundle still contains it.
            bundle = read_bundle(source, temporary)
            target = bundle.name if name is None else check_name(name)
            existing = _existing(database, files, bundle, target)
            if existing is not None:
                return _trusted(database, files, existing) if trust else existing
            require_writable(database, files)
            check = _check(database, files, bundle, source, progress, executor, workers)
            _ingest_catalog(database, bundle)
            return publish_import(
                database,
                files,
                bundle.version,
                bundle.result,
                name=target,
                imported_by=current_user(),
                trust=trust,
                check=check,
                number=bundle.number,
                provenance=bundle.provenance,
                tags=bundle.tags,
            )


@contextmanager
def _temporary(database: Database, files: StoreFiles) -> Iterator[Path]:
    """A temporary path for the result file: in the store, unless it cannot be written."""
    with ExitStack() as stack:
        if not _is_writable(database, files):
            # The store may have the version already.
            yield stack.enter_context(TemporaryFolder()) / "result"
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


def _existing(database: Database, files: StoreFiles, bundle: Bundle, name: str) -> DatasetVersion | None:
    """The version of the dataset with the same fingerprint and content, if there is one."""
    with database.reading() as connection:
        identifier = same_version(connection, name, bundle.version, bundle.result)
        return None if identifier is None else read_version(database, connection, files, identifier)


def _trusted(database: Database, files: StoreFiles, version: DatasetVersion) -> DatasetVersion:
    """The version, marked as trusted if it was imported."""
    with database.writing() as connection:
        _, identifier = lock_version(connection, DatasetRef(version.name, number=version.number))
        if set_trusted(connection, identifier, trusted_by=current_user()):
            record_activity(connection, "trusted", version.ref)
        return read_version(database, connection, files, identifier)


def _check(
    database: Database,
    files: StoreFiles,
    bundle: Bundle,
    source: Path,
    progress: Progress | None,
    executor: Executor | None,
    workers: int | None,
) -> NewCheck:
    """The outcome of recomputing the result, if this store has the inputs.

    Raises
    ------
    NotReproducibleError
        If the result differs.
    """
    recorded = bundle.inputs
    if recorded.algorithm_version != ALGORITHM_VERSION:
        note = f"computed with version {recorded.algorithm_version} of the algorithm; this release uses another one"
        return NewCheck(software=software(), outcome="inputs missing", file_state="intact", note=note)
    try:
        with database.reading() as connection:
            inputs = inputs_with_files(connection, recorded)
        record_use(database, inputs.files())
        with temporary_result(files, inputs.recipe) as path:
            result = compute(files, inputs, progress, path=path, executor=executor, workers=workers)
            if not result.has_content(recorded.recipe, bundle.result.content_sha256):
                raise _not_reproducible(source, bundle, result)
    except (MissingDataError, DamagedInputsError) as error:
        return failed_check(error, "intact")
    return NewCheck(software=software(), outcome="identical", file_state="intact", largest_difference=0.0, voxels=0)


def _not_reproducible(source: Path, bundle: Bundle, result: EncodedResult) -> NotReproducibleError:
    with (
        bundle.result.open() as one,
        result.open() as other,
        opened_hdf5(one, what=f"the result in {source}") as theirs,
        opened_hdf5(other, what="the recomputed result") as ours,
    ):
        largest, voxels = difference(theirs, ours, bundle.version.recipe, len(bundle.version.groups))
    return NotReproducibleError(
        f"the result in {source} is not reproducible: recomputed from the same inputs in this store, it differs "
        f"in {voxels:,} {'voxels' if bundle.version.recipe.has_voxels else 'values'}, by up to {largest:g}",
        hint="Nothing was imported. The bundle was damaged or changed, or computed by different software. Compute the "
        "average here: bsv-store aggregate",
    )


def _ingest_catalog(database: Database, bundle: Bundle) -> None:
    """Store the experiments that the catalog does not have, and the ontology if theirs is not known.

    They are marked as from a bundle: any list or ontology of Allen replaces them.
    """
    records = bundle.catalog.experiments.experiments
    with database.reading() as connection:
        ids = [record.id for record in records]
        known = set(connection.scalars(select(Experiment.id).where(id_in(connection, Experiment.id, ids))))
        structures = set(connection.scalars(select(Structure.id)))
    missing = tuple(record for record in records if record.id not in known)
    if not structures or not all(structures.issuperset(_structures_of(record)) for record in missing):
        ingest_structures(
            database,
            bundle.catalog.ontology,
            source=_source(bundle),
            kind="bundle",
            # An empty store takes the ontology of the store that exported the version, complete or not.
            allow_shrinking=not structures,
        )
    if missing:
        found = ExperimentList("bundle", missing, len(missing))
        ingest_experiments(database, found, source=_source(bundle), action="ingested")


def _structures_of(record: ExperimentRecord) -> set[int]:
    return {record.primary_structure_id, *record.injection_structure_ids}


def _source(bundle: Bundle) -> str:
    original = bundle.provenance.exported_as or f"{bundle.name}@{bundle.number}"
    return f"bundle of {original}, fingerprint {bundle.version.fingerprint[:12]}"
