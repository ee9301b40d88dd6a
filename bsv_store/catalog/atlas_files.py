"""Rows of the files of the atlas: one annotation and one template for each spacing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, insert, select

from bsv_store.catalog.database.models import StoredAnnotation, StoredTemplate, StoreInfo
from bsv_store.catalog.verifications import forget_verifications
from bsv_store.volumes.stored_object import StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsv_store.vocabulary import ObjectKind
    from bsv_store.volumes.annotation import AnnotationFile
    from bsv_store.volumes.template import TemplateFile


def lock_atlas_files(connection: Connection) -> None:
    """Lock annotations and templates: other writers wait until the transaction ends."""
    # The row of store_info always exists; the file may not have a row yet.
    connection.execute(select(StoreInfo.id).with_for_update())


def record_atlas_file(
    connection: Connection,
    model: type[StoredAnnotation] | type[StoredTemplate],
    file: AnnotationFile | TemplateFile,
    columns: Iterable[str],
    *,
    key: str,
) -> str | None:
    """Write the row of a published file; it replaces an earlier one of the same spacing.

    Parameters
    ----------
    columns : iterable of str
        The columns whose values are attributes of ``file``.
    key : str
        Of the object, see `StoredObject`.

    Returns
    -------
    str or None
        Path of the replaced file, if it differs; the caller moves it to the trash after the commit.
    """
    lock_atlas_files(connection)
    same = model.spacing_um == file.grid.spacing_um
    earlier: str | None = connection.execute(select(model.path).where(same)).scalar()
    connection.execute(delete(model).where(same))
    forget_verifications(connection, [key])
    values: dict[str, Any] = {name: getattr(file, name) for name in columns}
    connection.execute(insert(model).values(spacing_um=file.grid.spacing_um, **values))
    return earlier if earlier != file.path else None


def atlas_object(key: str, kind: ObjectKind, file: AnnotationFile | TemplateFile) -> StoredObject:
    """A file of the atlas for the inventory."""
    return StoredObject(
        key, kind, file.path, file.size_bytes, file.file_sha256, file.array_sha256, file.source, file.fetched_at
    )
