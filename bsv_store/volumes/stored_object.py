"""`StoredObject`: a file that the database says is in the store's folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bsv_store.vocabulary import ObjectKind


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file that the database says is in the store's folder.

    Attributes
    ----------
    key : str
        Unique in the store, and the same after the file is replaced: ``volume/KIND/SPACING/EXPERIMENT``,
        ``annotation/SPACING``, ``template/SPACING`` or ``version/NAME@NUMBER``. Claims of downloads use the same keys.
    kind : ObjectKind
    path : str
        Relative to the store's folder. Versions with the same bytes may share a file.
    size_bytes : int
    file_sha256 : str
        Hash of the file's bytes, hexadecimal.
    array_sha256 : str
        Hash of the decoded content, hexadecimal.
    source : str or None
        URL or file name of its origin. None if it was computed in this store.
    stored_at : datetime.datetime
        Aware UTC.
    """

    key: str
    kind: ObjectKind
    path: str
    size_bytes: int
    file_sha256: str
    array_sha256: str
    source: str | None
    stored_at: datetime
