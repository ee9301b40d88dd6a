"""The annotation of one spacing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from bsv_store.acquisition.tasks.atlas_files import AtlasFileKind, AtlasFileTask
from bsv_store.atlas.injections import check_injections
from bsv_store.atlas.landmarks import identify
from bsv_store.catalog.annotations import annotation_key, check_structure_ids, find_annotation, record_annotation
from bsv_store.catalog.database.engine import Database
from bsv_store.sources.allen import AllenClient
from bsv_store.sources.allen.client import Reply
from bsv_store.vocabulary import AnnotationOrigin
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

ANNOTATIONS: AtlasFileKind[AnnotationFile] = AtlasFileKind(
    "annotation", ANNOTATION_FOLDER, annotation_key, find_annotation, record_annotation
)


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


class AnnotationTask(AtlasFileTask[Annotation, AnnotationFile]):
    """Downloads the annotation; see `AtlasFileTask`.

    Parameters
    ----------
    known_ids : collection of int
        Structure ids of the ontology.
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
        super().__init__(database, files, client, ANNOTATIONS, spacing_um, refresh=refresh)
        self._known_ids = known_ids
        self._origin: AnnotationOrigin = "unchecked"

    def _request(self, spacing_um: int, scratch: Path, on_bytes: Callable[[int], None]) -> Reply[Annotation]:
        return self._client.annotation(spacing_um, scratch=scratch, on_bytes=on_bytes)

    def _address(self, spacing_um: int) -> str:
        return self._client.annotation_source(spacing_um)

    def _check(self, content: Annotation, what: str) -> None:
        checked = check_annotation(self._database, content, self._known_ids, what=what)
        self._origin, self.remarks = checked.origin, checked.remarks

    def _publish(self, content: Annotation, source: str, on_slab: Callable[[], None]) -> AnnotationFile:
        return publish_annotation(self._files, content, source=source, origin=self._origin, on_slab=on_slab)

    def _read_image(self, image: bytes, what: str) -> tuple[Annotation, str]:
        return annotation_from_image(image, what=what)

    def _described(self, image: bytes, content: Annotation, source: str) -> AnnotationFile | None:
        is_same = annotation_image(content, source=source) == image
        return described_image(image, content, source=source, origin=self._origin) if is_same else None

    def _counts(self, file: AnnotationFile) -> bool:
        # An annotation that has not been compared with Allen's is downloaded again, and compared.
        return self._is_from_file(file) and file.origin != "unchecked"

    def _is_from_file(self, file: AnnotationFile) -> bool:
        return file.derived_from_um is None
