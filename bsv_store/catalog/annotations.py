"""The annotations in the store: the rows of table ``annotation`` as values."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Row, select

from bsv_store.catalog.atlas_files import atlas_object, record_atlas_file
from bsv_store.catalog.database.models import StoredAnnotation as _Model
from bsv_store.catalog.database.models import Structure
from bsv_store.errors import UnknownStructureError
from bsv_store.text import listed
from bsv_store.vocabulary import ANNOTATION_ORIGINS
from bsv_store.volumes.annotation import AnnotationFile
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.stored_object import StoredObject

if TYPE_CHECKING:
    from typing import Any

_table = _Model.__table__
_PLAIN = tuple(field.name for field in fields(AnnotationFile) if field.name != "grid")


def find_annotation(connection: Connection, spacing_um: int) -> AnnotationFile | None:
    """The annotation with that spacing, or None if the store does not have it."""
    row = connection.execute(select(*_table.columns).where(_Model.spacing_um == spacing_um)).one_or_none()
    return None if row is None else _value(row)


def all_annotations(connection: Connection) -> list[AnnotationFile]:
    """All annotations in the store, the finest first."""
    return [_value(row) for row in connection.execute(select(*_table.columns).order_by(_Model.spacing_um))]


def stored_annotations(connection: Connection) -> Iterator[StoredObject]:
    """All annotations in the store, the finest first."""
    for file in all_annotations(connection):
        yield atlas_object(annotation_key(file.grid.spacing_um), "annotation", file)


def annotation_key(spacing_um: int) -> str:
    """The key of an annotation, in claims and in the inventory."""
    return f"annotation/{spacing_um}"


def record_annotation(connection: Connection, file: AnnotationFile) -> str | None:
    """Write the row of a published file, see `record_atlas_file`."""
    return record_atlas_file(connection, _Model, file, _PLAIN, key=annotation_key(file.grid.spacing_um))


def derivation_source(stored: Collection[AnnotationFile], spacing_um: int) -> AnnotationFile | None:
    """The annotation from which the one at a coarser spacing is derived: the most trusted, then the finest.

    None if the store has an annotation of that spacing that was not derived, or no finer one.
    """
    read = [file for file in stored if file.derived_from_um is None]
    if any(file.grid.spacing_um == spacing_um for file in read):
        return None
    trust = list(ANNOTATION_ORIGINS)
    finer = [file for file in read if file.grid.spacing_um < spacing_um]
    return min(finer, key=lambda file: (trust.index(file.origin), file.grid.spacing_um), default=None)


def known_structure_ids(connection: Connection) -> frozenset[int]:
    """The ids of all structures of the ontology, withdrawn ones included.

    Raises
    ------
    UnknownStructureError
        If the store has no ontology.
    """
    ids = frozenset(connection.scalars(select(Structure.id)))
    if not ids:
        raise UnknownStructureError(
            "an annotation cannot be checked: the catalog has no structures yet",
            hint="Ingest the ontology first: `bsv-store sync structures`, or `bsv-store ingest structures FILE`.",
        )
    return ids


def check_structure_ids(ids: Collection[int], known: Collection[int], *, what: str) -> None:
    """Check that the ontology has all structure ids of an annotation.

    Raises
    ------
    UnknownStructureError
        If some are unknown.
    """
    unknown = sorted(set(ids) - set(known))
    if unknown:
        raise UnknownStructureError(
            f"{what} has structures that the ontology does not have: {listed(unknown)}",
            hint="Update the ontology with `bsv-store sync structures`, or check whether it is of another atlas.",
        )


def _value(row: Row[Any]) -> AnnotationFile:
    return AnnotationFile(grid=Grid(row.spacing_um), **{name: getattr(row, name) for name in _PLAIN})
