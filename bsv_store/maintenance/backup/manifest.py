"""The manifest of a snapshot: which bytes belong to it, and where and when it was taken."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from bsv_store.documents import json_value, record_of
from bsv_store.errors import UPGRADE_HINT, BackupError
from bsv_store.file_systems import is_inside
from bsv_store.text import MAX_ID, SHA256, reason, shown

FORMAT = 1
# Says what is being restored, in the folder of an incomplete restore.
RESTORE_MARKER = "restore.json"
# Why the store did not have a file.
ProblemKind = Literal["missing", "damaged"]

# Enough of the id to show on a screen.
SHORT = 8


@dataclass(frozen=True, slots=True)
class BackedUpFile:
    """A file of the store in a snapshot.

    Attributes
    ----------
    path : str
        Relative to the store's folder.
    size_bytes : int
    sha256 : str
        Hash of its bytes, and name of the object.
    """

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DatabaseCopy:
    """The catalog in a snapshot: a SQLite file in parts, whatever the database of the store.

    Attributes
    ----------
    size_bytes : int
    sha256 : str
        Hash of the whole file.
    parts : tuple of (str, int)
        Hash and size of each part.
    indexes : tuple of str
        Statements that create the indexes which were left out of the copy.
    rows : dict of str to int
        Number of rows of each table; empty if the file is a copy of a SQLite catalog.
    """

    size_bytes: int
    sha256: str
    parts: tuple[tuple[str, int], ...]
    indexes: tuple[str, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that the database expects, but that is missing from the snapshot because the store does not have it.

    Attributes
    ----------
    path : str
    key : str
        Of the object; see StoredObject.
    problem : ProblemKind
    """

    path: str
    key: str
    problem: ProblemKind


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A backup of a store at one time.

    Attributes
    ----------
    id : str
        SHA-256 of the manifest. Commands accept the beginning of it.
    store_id : str
    store_path : str
        Folder of the store.
    created_at : datetime.datetime
        Time of the database copy, aware UTC.
    engine : str
        Database of the store: ``sqlite`` or ``postgresql``.
    revision : str
        Schema revision.
    release : str
        Version of bsv-store that made the backup.
    host, user : str
    file_mode, directory_mode : int
        Permissions of the store's files and folders.
    format_version : int
        Layout of the store's folder.
    database : DatabaseCopy
    files : tuple of BackedUpFile
        Volumes, annotations and results that the database expects.
    beside : tuple of BackedUpFile
        Other files beside the datasets, and in the store's folder itself.
    problems : tuple of Problem
        Files that the store did not have when the backup was taken.
    last_numbers : dict of str to int
        Highest version number ever assigned, by dataset.
    new_files, new_bytes : int
        Files and bytes that the target did not have before, the database included.
    """

    id: str
    store_id: str
    store_path: str
    created_at: datetime
    engine: str
    revision: str
    release: str
    host: str
    user: str
    file_mode: int
    directory_mode: int
    format_version: int
    database: DatabaseCopy
    files: tuple[BackedUpFile, ...]
    beside: tuple[BackedUpFile, ...]
    problems: tuple[Problem, ...]
    last_numbers: dict[str, int]
    new_files: int
    new_bytes: int

    @property
    def short_id(self) -> str:
        """The beginning of the id, as commands show it."""
        return self.id[:SHORT]

    @property
    def size_bytes(self) -> int:
        """Size of the restored store."""
        return self.database.size_bytes + sum(each.size_bytes for each in (*self.files, *self.beside))

    @property
    def file_count(self) -> int:
        """Number of files of the restored store, without the database."""
        return len(self.files) + len(self.beside)

    def objects(self) -> dict[str, int]:
        """Size of each object that the snapshot needs, by hash."""
        needed = {each.sha256: each.size_bytes for each in (*self.files, *self.beside)}
        return {**needed, **dict(self.database.parts)}


def encoded(values: dict[str, Any]) -> tuple[str, bytes]:
    """The id and the text of a manifest with these values, which are those of `Snapshot` without the id."""
    text = json.dumps({"format": FORMAT, **values}, sort_keys=True, default=_plain).encode()
    return hashlib.sha256(text).hexdigest(), text


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return asdict(value)


def decoded(identifier: str, text: bytes, where: str) -> Snapshot:
    """The snapshot of a manifest.

    Raises
    ------
    BackupError
        If the manifest is damaged, or from a later version.
    """
    if hashlib.sha256(text).hexdigest() != identifier:
        raise BackupError(
            f"the manifest of snapshot {identifier[:SHORT]} in {where} is damaged",
            hint="Use another snapshot: bsv-store backup list TARGET",
        )
    try:
        values = json_value(text)
        if not isinstance(values, dict):
            raise ValueError("it must be a JSON object")
        if (found := values.pop("format", None)) != FORMAT:
            raise BackupError(
                f"snapshot {identifier[:SHORT]} in {where} has format {shown(found)}; this version of bsv-store "
                f"supports {FORMAT}",
                hint=UPGRADE_HINT,
            )
        return _snapshot(identifier, values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupError(
            f"the manifest of snapshot {identifier[:SHORT]} in {where} is not valid: {reason(error)}",
            hint="Use another snapshot: bsv-store backup list TARGET",
        ) from error


def _snapshot(identifier: str, values: dict[str, Any]) -> Snapshot:
    copy = values.pop("database")
    database = DatabaseCopy(
        copy["size_bytes"],
        copy["sha256"],
        tuple((sha256, size) for sha256, size in copy["parts"]),
        tuple(copy["indexes"]),
        dict(copy["rows"]),
    )
    snapshot = Snapshot(
        **{
            **values,
            "id": identifier,
            "created_at": datetime.fromisoformat(values["created_at"]),
            "database": database,
            "files": tuple(record_of(BackedUpFile, each) for each in values["files"]),
            "beside": tuple(record_of(BackedUpFile, each) for each in values["beside"]),
            "problems": tuple(record_of(Problem, each) for each in values["problems"]),
        }
    )
    texts = (snapshot.store_id, snapshot.store_path, snapshot.engine, snapshot.revision, snapshot.release)
    numbers = (snapshot.file_mode, snapshot.directory_mode, snapshot.format_version)
    sizes = (snapshot.new_files, snapshot.new_bytes, database.size_bytes, *snapshot.objects().values())
    counts = (*snapshot.last_numbers.values(), *database.rows.values())
    if not all(isinstance(each, str) for each in (*texts, snapshot.host, snapshot.user, *database.indexes)):
        raise ValueError("a text is not a string")
    if not all(type(each) is int and 0 <= each <= MAX_ID for each in (*numbers, *sizes, *counts)):
        raise ValueError("a number is not an integer of at least 0")
    if not all(
        map(SHA256.fullmatch, (database.sha256, *snapshot.objects(), *(sha256 for sha256, _ in database.parts)))
    ):
        raise ValueError("a hash is not 64 hexadecimal digits")
    names = (*(each.path for each in (*snapshot.files, *snapshot.beside)), *snapshot.last_numbers)
    if outside := [each for each in names if not is_inside(each)]:
        raise ValueError(f"it names the file {shown(outside[0])} outside the store")
    if snapshot.created_at.tzinfo is None:
        raise ValueError("its time has no time zone")
    return snapshot
