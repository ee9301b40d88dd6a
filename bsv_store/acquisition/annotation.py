"""Download or ingest the annotation of the CCF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeGuard

from bsv_store.acquisition.presence import has_complete_file, has_intact_file
from bsv_store.acquisition.tasks.annotation import ANNOTATIONS, AnnotationTask, check_annotation
from bsv_store.acquisition.tasks.atlas_files import record_ingested
from bsv_store.acquisition.work.sharing import SharedWork
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.annotations import (
    all_annotations,
    derivation_source,
    find_annotation,
    known_structure_ids,
    record_annotation,
)
from bsv_store.catalog.atlas_files import lock_atlas_files
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.sqlite import long_run
from bsv_store.catalog.unused_files import keep_files, trash_unused
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import FrameError, InputError, MissingDataError
from bsv_store.formats.annotation import read_annotation_nrrd
from bsv_store.html import text_card
from bsv_store.progress import Progress, do_nothing
from bsv_store.sources.allen import AllenClient
from bsv_store.sources.caches import CCF_YEAR, annotation_year
from bsv_store.text import listed, size_text
from bsv_store.vocabulary import (
    ANNOTATION_ORIGINS,
    ANNOTATION_OUTCOMES,
    SPACINGS_UM,
    Action,
    AnnotationOrigin,
    AnnotationOutcome,
)
from bsv_store.volumes.annotation import (
    DERIVED_FROM,
    Annotation,
    AnnotationFile,
    opened_annotation,
    publish_annotation,
    sampled_annotation,
)
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid


@dataclass(frozen=True, slots=True)
class AnnotationReport:
    """Result of downloading or ingesting an annotation.

    Attributes
    ----------
    spacing_um : int
    outcome : {'fetched', 'recovered', 'checked', 'present', 'added', 'replaced'}
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
    origin : {'allen', 'like_allen', 'other', 'unchecked'}
        Relation to Allen's annotation, see ``bsv_store.vocabulary.ANNOTATION_ORIGINS``.
    name : str
        Name of the annotation in tables and citations.
    derived_um : tuple of int
        Coarser spacings at which annotations were derived from those in the store.
    remarks : tuple of str
        Results of the checks, one sentence each; empty if the annotation was already present.
    """

    spacing_um: int
    outcome: AnnotationOutcome
    structures: int
    annotated_voxels: int
    size_bytes: int
    downloaded_bytes: int
    source: str
    origin: AnnotationOrigin
    name: str
    derived_um: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return text_card("Annotation", self.summary())

    def summary(self) -> str:
        """The result in a few sentences."""
        downloaded = f" ({size_text(self.downloaded_bytes)})" if self.outcome == "fetched" else ""
        sentences = [
            f"Annotation at {self.spacing_um} um: {ANNOTATION_OUTCOMES[self.outcome].words}{downloaded}; "
            f"{self.structures:,} structures, {self.annotated_voxels:,} voxels, {size_text(self.size_bytes)} in the "
            "store.",
            *self.remarks,
        ]
        if self.derived_um:
            sentences.append(f"Derived from finer ones: {listed(f'{each} um' for each in self.derived_um)}.")
        return " ".join(sentences)


@long_run()
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

    It counts as present if it is recorded, was not derived from a finer one, and has a file of the recorded size. An
    annotation that was stored before annotations were compared with Allen's is compared now, and downloaded again if it
    is not valid. If several processes request it at once, it is downloaded once. Missing coarser annotations are then
    derived.

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
    FrameError
        If its axes are reversed. Nothing is stored then.
    InputError
        If the spacing is not valid.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails.
    """
    grid = Grid(spacing_um)
    with database.reading() as connection:
        known_ids = known_structure_ids(connection)
        before = find_annotation(connection, spacing_um)
    task = AnnotationTask(database, files, client, grid.spacing_um, known_ids, refresh=refresh)
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
        is_same = before is not None and before.path == stored.path
        how = ("checked" if is_same else "recovered") if task.recovered else "fetched"
    derived = derive_annotations(database, files, action="synced")
    return _report(
        stored,
        how,
        downloaded_bytes=work.control.size_bytes,
        remarks=task.remarks if outcome.stored else (),
        derived=derived,
    )


@long_run()
def ingest_annotation_file(
    database: Database,
    files: StoreFiles,
    path: Path,
    *,
    source: str | None = None,
    spacing_um: int | None = None,
    replace: bool = False,
    action: Action | None = "ingested",
) -> AnnotationReport:
    """Store the annotation from an NRRD file; missing coarser annotations are derived from it.

    Parameters
    ----------
    path : pathlib.Path
    source : str, optional
        Recorded as its origin. By default the name of the file.
    spacing_um : int, optional
        Required spacing. By default any.
    replace : bool
        Replace an annotation of the same spacing that differs.
    action : Action, optional
        Recorded as the activity of this user, if anything changes.

    Raises
    ------
    FormatError, FrameError, UnknownStructureError
        If the file is not a valid annotation, or has another grid, reversed axes, another year or another ontology.
        Nothing is stored then.
    InputError
        If the file cannot be read, or the store has another annotation of this spacing and ``replace`` is False.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails.
    """
    _check_year(path)
    with database.reading() as connection:
        known_ids = known_structure_ids(connection)
    annotation = read_annotation_nrrd(path, what=str(path), spacing_um=spacing_um)
    checked = check_annotation(database, annotation, known_ids, what=str(path))
    with database.reading() as connection:
        stored = find_annotation(connection, annotation.grid.spacing_um)
    if _is_same(stored, annotation, checked.origin) and has_intact_file(files, stored):
        return _report(stored, "present", derived=derive_annotations(database, files, action=action))
    _refuse_another(path, stored, annotation, checked.origin, replace=replace)
    publish = partial(
        publish_annotation,
        files,
        annotation,
        source=path.name if source is None else source,
        origin=checked.origin,
    )
    file = publish()
    is_replaced = record_ingested(
        database,
        files,
        ANNOTATIONS,
        file,
        refuse=lambda stored: _refuse_another(path, stored, annotation, checked.origin, replace=replace),
        publish=publish,
        action=action,
    )
    derived = derive_annotations(database, files, action=action)
    return _report(file, "replaced" if is_replaced else "added", remarks=checked.remarks, derived=derived)


@long_run()
def derive_annotations(
    database: Database, files: StoreFiles, *, action: Action | None = None, on_plane: Callable[[], None] = do_nothing
) -> tuple[AnnotationFile, ...]:
    """Derive the missing annotations at coarser spacings from the finer ones in the store.

    See `sampled_annotation` for the rule. Annotations derived from another source are replaced; those read from files
    are not.

    Parameters
    ----------
    action : Action, optional
        Recorded as the activity of this user, for each annotation.
    on_plane : callable
        Called before each plane; may raise to stop the work.

    Returns
    -------
    tuple of AnnotationFile
        The new annotations, finest first.

    Raises
    ------
    DamagedFileError
        If the file of a finer annotation differs from what was published.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails.
    """
    derived = (_derive(database, files, spacing_um, action, on_plane) for spacing_um in sorted(SPACINGS_UM))
    return tuple(file for file in derived if file is not None)


def _derive(
    database: Database, files: StoreFiles, spacing_um: int, action: Action | None, on_plane: Callable[[], None]
) -> AnnotationFile | None:
    source = _source_to_derive_from(database, files, spacing_um)
    if source is None:
        return None
    database.require_writable()
    with opened_annotation(files, source) as ids:
        annotation = sampled_annotation(
            source.grid, Grid(spacing_um), lambda first, last: ids[first:last], on_plane=on_plane
        )
    file = publish_annotation(
        files,
        annotation,
        source=f"{DERIVED_FROM}{source.source}",
        origin=source.origin,
        derived_from=source,
        on_slab=on_plane,
    )
    checkpoint("annotation:derived")
    with database.writing() as connection:
        lock_atlas_files(connection)
        # Meanwhile, another process may have stored one from a file.
        is_wanted = derivation_source(all_annotations(connection), spacing_um) == source
        keep_files(connection)
        if is_wanted and not has_complete_file(files, file):
            publish_annotation(
                files, annotation, source=file.source, origin=source.origin, derived_from=source, on_slab=on_plane
            )
        replaced = record_annotation(connection, file) if is_wanted else file.path
        if is_wanted and action is not None:
            details = {"derived from": f"{source.grid.spacing_um} um"}
            record_activity(connection, action, ANNOTATIONS.subject(spacing_um), details)
    if replaced is not None:
        trash_unused(database, files, [replaced], "replaced" if is_wanted else "duplicate")
    return file if is_wanted else None


def _source_to_derive_from(database: Database, files: StoreFiles, spacing_um: int) -> AnnotationFile | None:
    """The annotation from which the one at a spacing is to be derived; None if there is nothing to derive."""
    with database.reading() as connection:
        source = derivation_source(all_annotations(connection), spacing_um)
        stored = find_annotation(connection, spacing_um)
    # A missing file is not an error here: it is reported when the annotation is read.
    if source is None or not has_complete_file(files, source):
        return None
    is_derived_from_it = (
        stored is not None
        and (stored.derived_from_um, stored.derived_from_sha256, stored.origin, stored.source)
        == (source.grid.spacing_um, source.array_sha256, source.origin, f"{DERIVED_FROM}{source.source}")
        and has_complete_file(files, stored)
    )
    return None if is_derived_from_it else source


def _check_year(path: Path) -> None:
    """Refuse an annotation in the folder of another year; files of all years have the same name."""
    if (year := annotation_year(path)) not in (None, CCF_YEAR):
        raise FrameError(
            f"{path} is in the folder of the {year} annotation, but the CCFv3 annotation must be that of {CCF_YEAR}",
            hint="Use the file in ccf_2017, or download it: `bsv-store sync annotation`.",
        )


def _is_same(
    stored: AnnotationFile | None, annotation: Annotation, origin: AnnotationOrigin
) -> TypeGuard[AnnotationFile]:
    return (
        stored is not None
        and stored.derived_from_um is None
        and (stored.array_sha256, stored.origin) == (annotation.array_sha256, origin)
    )


def _refuse_another(
    path: Path, stored: AnnotationFile | None, annotation: Annotation, origin: AnnotationOrigin, *, replace: bool
) -> None:
    """Refuse an annotation that differs from the stored one, unless that was derived from one trusted no more."""
    if stored is None or replace or stored.array_sha256 == annotation.array_sha256:
        return
    trust = list(ANNOTATION_ORIGINS)
    if stored.derived_from_um is not None and trust.index(origin) <= trust.index(stored.origin):
        return
    spacing_um = stored.grid.spacing_um
    raise InputError(
        f"{path} (origin: {origin}) differs from the annotation at {spacing_um} um in the store ({stored.name}; "
        f"source: {stored.source.removeprefix(DERIVED_FROM)}); the stored annotation was kept",
        hint=f"To use the file instead: `bsv-store ingest annotation --replace {path}`. To download Allen's: "
        f"`bsv-store sync annotation --spacing {spacing_um} --refresh`.",
    )


def _report(
    file: AnnotationFile,
    outcome: AnnotationOutcome,
    *,
    downloaded_bytes: int = 0,
    remarks: tuple[str, ...] = (),
    derived: Sequence[AnnotationFile] = (),
) -> AnnotationReport:
    return AnnotationReport(
        spacing_um=file.grid.spacing_um,
        outcome=outcome,
        structures=file.structure_count,
        annotated_voxels=file.annotated_voxels,
        size_bytes=file.size_bytes,
        downloaded_bytes=downloaded_bytes,
        source=file.source,
        origin=file.origin,
        name=file.name,
        derived_um=tuple(each.grid.spacing_um for each in derived),
        remarks=remarks,
    )
