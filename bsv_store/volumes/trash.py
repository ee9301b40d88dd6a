"""Records of trashed files: what a file in ``trash/`` was, so that it can be listed and restored.

An item consists of the file, ``trash/ITEM-NAME``, and its record, ``trash/ITEM.json``, which is written before the file
is moved. The records are files, so they survive a restore of the database. Their text has a checksum, because rows are
restored from it.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bsv_store._version import __version__
from bsv_store.documents import MAX_DOCUMENT_BYTES, seal_of, sealed_value
from bsv_store.errors import DamagedFileError
from bsv_store.file_systems import is_inside
from bsv_store.owner import current_user
from bsv_store.text import reason
from bsv_store.vocabulary import TRASH_REASONS, TrashReason

RECORD_ENDING = ".json"

# Earlier releases wrote eight digits, and no record.
_FILE = re.compile(r"(?P<item>[0-9a-f]{8,16})-(?P<name>.+)")
_ITEM = re.compile("[0-9a-f]{8,16}")
_RECORD = re.compile(r"(?P<item>[0-9a-f]{8,16})\.json")
_VOLUME = re.compile(r"volumes/(?P<kind>\w+)/(?P<spacing>\d+)um/(?P<experiment_id>\d+)\.[^/]*\.h5")
_ANNOTATION = re.compile(r"volumes/annotation/(?P<spacing>\d+)um/annotation\.[^/]*\.h5")
_TEMPLATE = re.compile(r"volumes/template/(?P<spacing>\d+)um/template\.[^/]*\.h5")


@dataclass(frozen=True, slots=True)
class TrashRecord:
    """What a trashed file was.

    Attributes
    ----------
    item : str
        Name of the item in the trash: hexadecimal digits.
    path : str
        Of the file before, relative to the store's folder.
    key : str or None
        Of the object, as in the inventory: ``volume/KIND/SPACING/EXPERIMENT``, ``annotation/SPACING``,
        ``template/SPACING`` or ``version/NAME@NUMBER``. None for files that were none of these.
    reason : TrashReason
    size_bytes : int
    trashed_at : datetime.datetime
        Aware UTC, by the clock of the file server.
    trashed_by, host, release : str
    rows : dict or None
        What is needed to restore the rows of a deleted version, as JSON values.
    """

    item: str
    path: str
    key: str | None
    reason: TrashReason
    size_bytes: int
    trashed_at: datetime
    trashed_by: str
    host: str
    release: str
    rows: Mapping[str, Any] | None = None

    @property
    def file_path(self) -> str:
        """Path of the file in the trash, relative to the store's folder."""
        return f"trash/{trashed_name(self.item, self.path)}"

    def to_json(self) -> str:
        """The text of the record, with its checksum."""
        value = {name: getattr(self, name) for name in _FIELDS} | {"trashed_at": self.trashed_at.isoformat()}
        return json.dumps({"record": value, "sha256": seal_of(value)}, indent=1)


_FIELDS = tuple(TrashRecord.__dataclass_fields__)


def new_record(
    path: str, reason: TrashReason, *, size_bytes: int, at: datetime, rows: Mapping[str, Any] | None = None
) -> TrashRecord:
    """The record of a file that this user is about to move to the trash."""
    key = object_key(path) if rows is None else str(rows["key"])
    item = secrets.token_hex(6)
    return TrashRecord(item, path, key, reason, size_bytes, at, current_user(), socket.gethostname(), __version__, rows)


def read_record(text: bytes, *, what: str) -> TrashRecord:
    """The record from its text.

    Raises
    ------
    DamagedFileError
        If it is not exactly what `TrashRecord.to_json` wrote.
    """
    try:
        # The rows of a version with all experiments have more than 1 MB.
        value = sealed_value(text, "record", max_bytes=MAX_DOCUMENT_BYTES)
        if set(value) != set(_FIELDS):
            raise ValueError("it does not have the parts of a record")
        why = TRASH_REASONS[value["reason"]].name
        at = datetime.fromisoformat(value["trashed_at"])
        if (wrong := "trashed_at" if at.tzinfo is None else _wrong_part(value)) is not None:
            raise ValueError(f"{wrong} is not valid")
        return TrashRecord(**{**value, "reason": why, "trashed_at": at})
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"the record {what} is damaged: {reason(error)}") from error


def _wrong_part(value: Mapping[str, Any]) -> str | None:
    """The first part that `TrashRecord.to_json` does not write; None if all are valid."""
    path, key, size, rows = (value[name] for name in ("path", "key", "size_bytes", "rows"))
    if not isinstance(value["item"], str) or not _ITEM.fullmatch(value["item"]):
        return "item"
    for name in ("path", "trashed_by", "host", "release"):
        if not isinstance(value[name], str):
            return name
    if not is_inside(path):
        return "path"
    if not (key is None or isinstance(key, str)):
        return "key"
    if type(size) is not int or size < 0:
        return "size_bytes"
    return None if rows is None or isinstance(rows, dict) else "rows"


def object_key(path: str) -> str | None:
    """The key of the volume, annotation or template with this path; None for other files."""
    if found := _ANNOTATION.fullmatch(path):
        return f"annotation/{found['spacing']}"
    if found := _TEMPLATE.fullmatch(path):
        return f"template/{found['spacing']}"
    if found := _VOLUME.fullmatch(path):
        return f"volume/{found['kind']}/{found['spacing']}/{found['experiment_id']}"
    return None


def trashed_name(item: str, path: str) -> str:
    """Name of a trashed file."""
    return f"{item}-{path.rpartition('/')[2]}"


def item_of_file(name: str) -> str | None:
    """The item that a file in ``trash/`` belongs to, given its name; None if it is a record or something else."""
    found = _FILE.fullmatch(name)
    return None if found is None else found["item"]


def item_of_record(name: str) -> str | None:
    """The item whose record a file in ``trash/`` is, given its name; None if it is not a record."""
    found = _RECORD.fullmatch(name)
    return None if found is None else found["item"]
