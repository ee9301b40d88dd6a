"""The annotation of the CCF into the store: from Allen's file server, once for everybody, or from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bsv_store.acquisition.presence import has_its_size
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.outcome import size_text
from bsv_store.acquisition.work.sharing import Kept, SharedWork, Task, Watch
from bsv_store.catalog.annotations import (
    check_structure_ids,
    find_annotation,
    known_structure_ids,
    lock_annotations,
    record_annotation,
)
from bsv_store.catalog.database.engine import Database
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import BsvStoreError, InputError, MissingDataError, UpstreamError
from bsv_store.formats.annotation import read_annotation_nrrd
from bsv_store.progress import Progress
from bsv_store.sources.allen import AllenClient
from bsv_store.volumes.annotation import (
    ANNOTATION_FOLDER,
    Annotation,
    AnnotationFile,
    annotation_from_image,
    annotation_image,
    described_image,
    publish_annotation,
)
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid

AnnotationOutcome = Literal["fetched", "recovered", "present", "added", "replaced"]


@dataclass(frozen=True, slots=True)
class AnnotationReport:
    """What became of an annotation that was asked for, or handed in.

    Attributes
    ----------
    spacing_um : int
    outcome : {'fetched', 'recovered', 'present', 'added', 'replaced'}
        Downloaded; published by an interrupted run, now checked and recorded; there already, or brought by somebody
        else meanwhile; taken in from a file; taken in in place of another one.
    structures : int
        Structures that own a voxel themselves.
    annotated_voxels : int
        Voxels that belong to a structure.
    size_bytes : int
        Of the file in the store.
    downloaded_bytes : int
    source : str
        URL or file name that it came from.
    """

    spacing_um: int
    outcome: AnnotationOutcome
    structures: int
    annotated_voxels: int
    size_bytes: int
    downloaded_bytes: int
    source: str

    def summary(self) -> str:
        """One sentence for people."""
        how = {
            "fetched": f"fetched ({size_text(self.downloaded_bytes)})",
            "recovered": "recovered from an interrupted run",
            "present": "already there",
            "added": "taken in",
            "replaced": "taken in, in place of another one",
        }
        return (
            f"Annotation at {self.spacing_um} um: {how[self.outcome]}; {self.structures:,} structures, "
            f"{self.annotated_voxels:,} voxels, {size_text(self.size_bytes)} in the store."
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
    """What came of bringing the annotation of a spacing into the store.

    One that is there, with a file of the recorded size, is not asked for again. Any number of processes may do this at
    once: it is downloaded once.

    Parameters
    ----------
    spacing_um : int
    refresh : bool
        Download again what is there, and replace what differs or is damaged.
    progress : Progress, optional

    Raises
    ------
    UpstreamError
        If it cannot be had whole; nothing is stored then.
    UnknownStructureError
        If it names structures that the ontology does not have; nothing is stored then.
    InputError
        If there is no such grid.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails.
    """
    grid = Grid(spacing_um)
    with database.reading() as connection:
        known = known_structure_ids(connection)
    task = _AnnotationTask(database, files, client, known, refresh=refresh)
    work = SharedWork(database, task, workers=1, progress=progress)
    outcome = work.run([grid.spacing_um])
    if task.error is not None:
        raise task.error
    with database.reading() as connection:
        stored = find_annotation(connection, spacing_um)
    if stored is None:
        raise MissingDataError(f"the annotation at {spacing_um} um was brought, and is gone again", hint="Try again.")
    how: AnnotationOutcome = "present"
    if outcome.brought:
        how = "recovered" if task.recovered else "fetched"
    return _report(stored, how, downloaded_bytes=work.watch.size_bytes)


def ingest_annotation_file(
    database: Database,
    files: StoreFiles,
    path: Path,
    *,
    source: str | None = None,
    spacing_um: int | None = None,
    replace: bool = False,
) -> AnnotationReport:
    """What came of taking an annotation in from an NRRD file.

    Parameters
    ----------
    path : pathlib.Path
    source : str, optional
        What is recorded as its origin; the file's name by default.
    spacing_um : int, optional
        Spacing that it must have.
    replace : bool
        Put it in the place of another one that the store has.

    Raises
    ------
    FormatError, UnknownStructureError
        If it is no annotation, not whole, or of another grid or ontology; nothing is stored then.
    InputError
        If the file cannot be read, or the store has another annotation of that spacing and ``replace`` is not given.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails.
    """
    with database.reading() as connection:
        known = known_structure_ids(connection)
    annotation = read_annotation_nrrd(path, what=str(path), spacing_um=spacing_um)
    check_structure_ids(annotation.structure_ids, known, what=str(path))
    with database.reading() as connection:
        stored = find_annotation(connection, annotation.grid.spacing_um)
    if stored is not None and stored.array_sha256 == annotation.array_sha256 and has_its_size(files, stored):
        return _report(stored, "present")
    _refuse_another(path, stored, annotation, replace=replace)
    file = publish_annotation(files, annotation, source=path.name if source is None else source)
    checkpoint("annotation:published")
    with database.writing() as connection:
        # Somebody else may have taken another one in meanwhile.
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
        f"{path} differs from the annotation at {stored.grid.spacing_um} um that the store has from {stored.source}, "
        "which is kept",
        hint="`bsv-store ingest annotation --replace` takes it in all the same; `bsv-store sync annotation --refresh` "
        "asks Allen.",
    )


class _AnnotationTask(Task[AnnotationFile]):
    """Brings the annotation; what the work is shared by is the spacing."""

    def __init__(
        self, database: Database, files: StoreFiles, client: AllenClient, known: Collection[int], *, refresh: bool
    ) -> None:
        self.what = "annotation"
        self.host = client.download_host
        self.connections = client.connections
        self.recovered = False
        self.error: BsvStoreError | None = None
        self._database = database
        self._files = files
        self._client = client
        self._known = known
        self._refresh = refresh

    def key(self, spacing_um: int) -> str:
        """The name under which the annotation is claimed."""
        return f"annotation/{spacing_um}"

    def present(self, spacings: Collection[int]) -> set[int]:
        """Those that are recorded and have a file of the recorded size; none where they are to be refreshed."""
        if self._refresh:
            return set()
        with self._database.reading() as connection:
            found = {spacing: find_annotation(connection, spacing) for spacing in spacings}
        return {spacing for spacing, file in found.items() if file is not None and has_its_size(self._files, file)}

    def bring(self, spacings: Sequence[int], watch: Watch) -> AnnotationFile:
        """Recover the annotation from an interrupted run, or download, check and publish it."""
        (spacing_um,) = spacings
        try:
            if not self._refresh and (orphan := self._orphan(spacing_um)) is not None:
                self.recovered = True
                return orphan
            with self._files.temporary() as scratch:
                reply = self._client.annotation(spacing_um, scratch=scratch, on_bytes=watch.on_bytes)
            checkpoint("annotation:downloaded")
            check_structure_ids(reply.value.structure_ids, self._known, what=f"{self.what} from {reply.source}")
        except (UpstreamError, InputError) as error:
            # A report of many experiments keeps the sentence alone; the one object here deserves the hint as well.
            self.error = error
            raise
        file = publish_annotation(self._files, reply.value, source=reply.source, on_slab=watch.go_on)
        checkpoint("annotation:published")
        return file

    def _orphan(self, spacing_um: int) -> AnnotationFile | None:
        """The file of an interrupted run: that which the catalog says, or that which would be asked for."""
        with self._database.reading() as connection:
            stored = find_annotation(connection, spacing_um)
        orphan = _recovered(
            self._files, spacing_um, self._known, array_sha256=None if stored is None else stored.array_sha256
        )
        if orphan is not None and stored is None and orphan.source != self._client.annotation_source(spacing_um):
            return None
        return orphan

    def keep(self, brought: Sequence[AnnotationFile], spacings: Sequence[int], claims: Claims) -> Kept:
        """Record the file; its predecessor, if it is another one, goes to the trash."""
        (file,) = brought
        keys = [self.key(file.grid.spacing_um)]
        replaced = None
        with self._database.writing() as connection:
            is_ours = bool(claims.confirmed(connection, keys))
            if is_ours:
                replaced = record_annotation(connection, file)
                claims.release(connection, keys)
        checkpoint("annotation:committed")
        if replaced is not None:
            self._files.trash(replaced)
        return Kept() if is_ours else Kept(lost=frozenset(spacings))

    def cut(self) -> None:
        """End the download under way."""
        self._client.cut()


def _recovered(
    files: StoreFiles, spacing_um: int, known: Collection[int], *, array_sha256: str | None
) -> AnnotationFile | None:
    """A sound file that lacks its row, since a run was killed between publication and commit.

    Nothing is trusted because it exists: its name must carry its hash, its content, encoded anew, must give the same
    bytes, and the ontology must know its ids.
    """
    folder = files.path(f"{ANNOTATION_FOLDER}/{spacing_um}um")
    for path in sorted(folder.glob("annotation.*.h5")):
        try:
            image = path.read_bytes()
            if path.name != f"annotation.{hashlib.sha256(image).hexdigest()[:16]}.h5":
                continue
            annotation, source = annotation_from_image(image, what=path.name)
            check_structure_ids(annotation.structure_ids, known, what=path.name)
        except (OSError, BsvStoreError):
            # Gone, not readable, or not what it should be: as good as not there.
            continue
        if array_sha256 not in (None, annotation.array_sha256):
            continue
        if annotation.grid == Grid(spacing_um) and annotation_image(annotation, source=source) == image:
            return described_image(image, annotation, source=source)
    return None


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
