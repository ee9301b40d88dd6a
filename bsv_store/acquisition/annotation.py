"""Download or ingest the annotation of the CCF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bsv_store.acquisition.presence import has_complete_file
from bsv_store.acquisition.tasks.annotation import AnnotationTask
from bsv_store.acquisition.work.sharing import SharedWork
from bsv_store.catalog.annotations import (
    check_structure_ids,
    find_annotation,
    known_structure_ids,
    lock_annotations,
    record_annotation,
)
from bsv_store.catalog.database.engine import Database
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import InputError, MissingDataError
from bsv_store.formats.annotation import read_annotation_nrrd
from bsv_store.progress import Progress
from bsv_store.sources.allen import AllenClient
from bsv_store.text import size_text
from bsv_store.vocabulary import ANNOTATION_OUTCOMES, AnnotationOutcome
from bsv_store.volumes.annotation import Annotation, AnnotationFile, publish_annotation
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid


@dataclass(frozen=True, slots=True)
class AnnotationReport:
    """Result of downloading or ingesting an annotation.

    Attributes
    ----------
    spacing_um : int
    outcome : {'fetched', 'recovered', 'present', 'added', 'replaced'}
        See ``bsv_store.vocabulary.ANNOTATION_OUTCOMES``.
    structures : int
        Number of structures that the annotation assigns voxels to directly.
    annotated_voxels : int
        Number of voxels that belong to a structure.
    size_bytes : int
        Size of the file in the store.
    downloaded_bytes : int
    source : str
        URL or file name.
    """

    spacing_um: int
    outcome: AnnotationOutcome
    structures: int
    annotated_voxels: int
    size_bytes: int
    downloaded_bytes: int
    source: str

    def summary(self) -> str:
        """The result in one sentence."""
        downloaded = f" ({size_text(self.downloaded_bytes)})" if self.outcome == "fetched" else ""
        return (
            f"Annotation at {self.spacing_um} um: {ANNOTATION_OUTCOMES[self.outcome].words}{downloaded}; "
            f"{self.structures:,} structures, {self.annotated_voxels:,} voxels, {size_text(self.size_bytes)} in the "
            "store."
        )


def sync_annotation(
    database: Database,
    files: StoreFiles,
    client: AllenClient,
    spacing_um: int,
    *,
    refresh: bool = False,
    progress: Progress | None = None,
) -> AnnotationReport:
    """Download the annotation of a spacing, unless the store has it.

    It counts as present if it is recorded and has a file of the recorded size. If several processes do this at once, it
    is downloaded once.

    Parameters
    ----------
    spacing_um : int
    refresh : bool
        Download it even if the store has it, and replace it if it differs or is damaged.
    progress : Progress, optional

    Raises
    ------
    UpstreamError
        If the download fails. Nothing is stored then.
    UnknownStructureError
        If it names structures that the ontology does not have. Nothing is stored then.
    InputError
        If the spacing is not valid.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails.
    """
    grid = Grid(spacing_um)
    with database.reading() as connection:
        known_ids = known_structure_ids(connection)
    task = AnnotationTask(database, files, client, known_ids, refresh=refresh)
    work = SharedWork(database, task, workers=1, progress=progress)
    outcome = work.run([grid.spacing_um])
    if task.error is not None:
        raise task.error
    with database.reading() as connection:
        stored = find_annotation(connection, spacing_um)
    if stored is None:
        raise MissingDataError(
            f"the annotation at {spacing_um} um was stored, but has been removed since", hint="Run the command again."
        )
    how: AnnotationOutcome = "present"
    if outcome.stored:
        how = "recovered" if task.recovered else "fetched"
    return _report(stored, how, downloaded_bytes=work.control.size_bytes)


def ingest_annotation_file(
    database: Database,
    files: StoreFiles,
    path: Path,
    *,
    source: str | None = None,
    spacing_um: int | None = None,
    replace: bool = False,
) -> AnnotationReport:
    """Store the annotation from an NRRD file.

    Parameters
    ----------
    path : pathlib.Path
    source : str, optional
        Recorded as its origin. By default the name of the file.
    spacing_um : int, optional
        Required spacing. By default any.
    replace : bool
        Replace an annotation of the same spacing that differs.

    Raises
    ------
    FormatError, UnknownStructureError
        If the file is not a valid annotation, or is on another grid or of another ontology. Nothing is stored then.
    InputError
        If the file cannot be read, or the store has another annotation of this spacing and ``replace`` is False.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails.
    """
    with database.reading() as connection:
        known_ids = known_structure_ids(connection)
    annotation = read_annotation_nrrd(path, what=str(path), spacing_um=spacing_um)
    check_structure_ids(annotation.structure_ids, known_ids, what=str(path))
    with database.reading() as connection:
        stored = find_annotation(connection, annotation.grid.spacing_um)
    if stored is not None and stored.array_sha256 == annotation.array_sha256 and has_complete_file(files, stored):
        return _report(stored, "present")
    _refuse_another(path, stored, annotation, replace=replace)
    file = publish_annotation(files, annotation, source=path.name if source is None else source)
    checkpoint("annotation:published")
    with database.writing() as connection:
        # Checked again under the lock: another process may have stored another annotation meanwhile.
        lock_annotations(connection)
        stored = find_annotation(connection, annotation.grid.spacing_um)
        _refuse_another(path, stored, annotation, replace=replace)
        replaced = record_annotation(connection, file)
    differs = stored is not None and stored.array_sha256 != annotation.array_sha256
    checkpoint("annotation:committed")
    if replaced is not None:
        files.trash(replaced)
    return _report(file, "replaced" if differs else "added")


def _refuse_another(path: Path, stored: AnnotationFile | None, annotation: Annotation, *, replace: bool) -> None:
    if stored is None or replace or stored.array_sha256 == annotation.array_sha256:
        return
    raise InputError(
        f"{path} differs from the annotation at {stored.grid.spacing_um} um in the store, which is from "
        f"{stored.source} and was not changed",
        hint="Replace it: `bsv-store ingest annotation --replace`; or download Allen's: "
        "`bsv-store sync annotation --refresh`.",
    )


def _report(file: AnnotationFile, outcome: AnnotationOutcome, *, downloaded_bytes: int = 0) -> AnnotationReport:
    return AnnotationReport(
        spacing_um=file.grid.spacing_um,
        outcome=outcome,
        structures=file.structure_count,
        annotated_voxels=file.annotated_voxels,
        size_bytes=file.size_bytes,
        downloaded_bytes=downloaded_bytes,
        source=file.source,
    )
