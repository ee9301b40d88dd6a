"""The annotation of one spacing; the number that identifies the object is the spacing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bsv_store.acquisition.presence import has_complete_file
from bsv_store.acquisition.tasks.atlas_files import record_claimed
from bsv_store.acquisition.tasks.orphans import recover_annotation
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.task import CommitResult, RunControl, Task
from bsv_store.atlas.injections import check_injections
from bsv_store.atlas.landmarks import identify
from bsv_store.catalog.annotations import annotation_key, check_structure_ids, find_annotation, record_annotation
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.unused_files import trash_unused
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import BsvStoreError, InputError, UpstreamError
from bsv_store.sources.allen import AllenClient
from bsv_store.vocabulary import AnnotationOrigin
from bsv_store.volumes.annotation import Annotation, AnnotationFile, publish_annotation
from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, slots=True)
class CheckedAnnotation:
    """The result of the checks of an annotation.

    Attributes
    ----------
    origin : AnnotationOrigin
    remarks : tuple of str
        One sentence each.
    """

    origin: AnnotationOrigin
    remarks: tuple[str, ...]


def check_annotation(
    database: Database, annotation: Annotation, known_ids: Collection[int], *, what: str
) -> CheckedAnnotation:
    """Compare an annotation with the ontology, with Allen's annotation and with the injection coordinates.

    Raises
    ------
    UnknownStructureError
        If structures are missing from the ontology.
    FrameError
        If axes are reversed.
    """
    check_structure_ids(annotation.structure_ids, known_ids, what=what)
    identity = identify(annotation, what=what)
    with database.reading() as connection:
        fit = check_injections(connection, annotation, what=what, is_known=identity.origin == "allen")
    return CheckedAnnotation(identity.origin, (*identity.remarks, *fit.remarks()))


def annotation_subject(spacing_um: int) -> str:
    """The subject of recorded activities about an annotation."""
    return f"annotation at {spacing_um} um"


class AnnotationTask(Task[AnnotationFile]):
    """Downloads the annotation.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    client : AllenClient
    spacing_um : int
    known_ids : collection of int
        Structure ids of the ontology.
    refresh : bool
        Also download an annotation that the store has.
    """

    def __init__(
        self,
        database: Database,
        files: StoreFiles,
        client: AllenClient,
        spacing_um: int,
        known_ids: Collection[int],
        *,
        refresh: bool,
    ) -> None:
        self.what = "annotation"
        self.subject = annotation_subject(spacing_um)
        self.action = "synced"
        self.host = client.download_host
        self.connections = client.connections
        self.max_connections = client.max_connections
        self.recovered = False
        self.remarks: tuple[str, ...] = ()
        self.error: BsvStoreError | None = None
        self._database = database
        self._files = files
        self._client = client
        self._known_ids = known_ids
        self._refresh = refresh

    def key(self, spacing_um: int) -> str:
        """The key under which the annotation is claimed."""
        return annotation_key(spacing_um)

    def present(self, spacings: Collection[int]) -> set[int]:
        """The spacings that are recorded and have a file of the recorded size; none if they are refreshed.

        An annotation that was derived from a finer one does not count, nor one that was not compared with Allen's.
        """
        if self._refresh:
            return set()
        with self._database.reading() as connection:
            found = {spacing: find_annotation(connection, spacing) for spacing in spacings}
        return {
            spacing
            for spacing, file in found.items()
            if file is not None
            and file.derived_from_um is None
            and file.origin != "unchecked"
            and has_complete_file(self._files, file)
        }

    def download(self, spacings: Sequence[int], control: RunControl) -> AnnotationFile:
        """Recover the annotation from an interrupted run or an older store, or else download, check and publish it."""
        (spacing_um,) = spacings
        try:
            if not self._refresh and (orphan := self._orphan(spacing_um)) is not None:
                self.recovered = True
                return orphan
            with self._files.temporary() as scratch:
                reply = self._client.annotation(spacing_um, scratch=scratch, on_bytes=control.on_bytes)
            checkpoint("annotation:downloaded")
            checked = self._check(reply.value, f"{self.what} from {reply.source}")
        except (UpstreamError, InputError) as error:
            # A `Failure` holds the message alone; the caller raises this error with its hint.
            self.error = error
            raise
        self.remarks = checked.remarks
        file = publish_annotation(
            self._files,
            reply.value,
            source=reply.source,
            origin=checked.origin,
            on_slab=control.raise_if_stopped,
        )
        checkpoint("annotation:published")
        return file

    def _check(self, annotation: Annotation, what: str) -> CheckedAnnotation:
        return check_annotation(self._database, annotation, self._known_ids, what=what)

    def _orphan(self, spacing_um: int) -> AnnotationFile | None:
        """The file of an interrupted run, if it is the recorded annotation or comes from the same address."""
        with self._database.reading() as connection:
            stored = find_annotation(connection, spacing_um)
        if stored is not None and stored.derived_from_um is not None:
            stored = None
        recorded = None if stored is None else stored.array_sha256

        def origin_of(annotation: Annotation, what: str) -> AnnotationOrigin:
            checked = self._check(annotation, what)
            self.remarks = checked.remarks
            return checked.origin

        orphan = recover_annotation(self._files, spacing_um, origin_of, array_sha256=recorded)
        if orphan is not None and stored is None and orphan.source != self._client.annotation_source(spacing_um):
            return None
        return orphan

    def commit(self, downloads: Sequence[AnnotationFile], spacings: Sequence[int], claims: Claims) -> CommitResult:
        """Record the file; a file that it replaces is moved to the trash."""
        (file,) = downloads
        key = self.key(file.grid.spacing_um)
        is_ours, replaced = record_claimed(self._database, self._files, file, key, claims, record_annotation)
        checkpoint("annotation:committed")
        if replaced is not None:
            trash_unused(self._database, self._files, [replaced], "replaced")
        return CommitResult() if is_ours else CommitResult(lost=frozenset(spacings))

    def abort(self) -> None:
        """Abort the download."""
        self._client.abort()
