"""Recording a downloaded file of the atlas, an annotation or a template."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from bsv_store.acquisition.presence import has_complete_file
from bsv_store.acquisition.work.claims import Claims
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.unused_files import keep_files
from bsv_store.volumes.annotation import AnnotationFile
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.template import TemplateFile

T = TypeVar("T", AnnotationFile, TemplateFile)


def record_claimed(
    database: Database,
    files: StoreFiles,
    file: T,
    key: str,
    claims: Claims,
    record: Callable[[Connection, T], str | None],
) -> tuple[bool, str | None]:
    """Write the row of a file if its claim is still held and its file is there, and release the claim.

    Parameters
    ----------
    key : str
        Of the claim.
    record : callable
        Writes the row, and returns the path of the replaced file.

    Returns
    -------
    tuple of bool and (str or None)
        Whether the row was written, and the path of the replaced file, which the caller moves to the trash.
    """
    with database.writing() as connection:
        # A recovered file has no row yet and may have been removed since.
        keep_files(connection)
        is_ours = bool(claims.confirmed(connection, [key])) and has_complete_file(files, file)
        replaced = record(connection, file) if is_ours else None
        claims.release(connection, [key])
    return is_ours, replaced
