"""The records of averages that were computed on this computer from a store on a server.

::

    SERVER/results/SHA256.nc                 a result, by the SHA-256 of its bytes
    SERVER/results/FINGERPRINT.NAME.json     its record: what lists show of it, and who computed it when

They are not versions of the server: they have no number, and their reference is the name with ``local-`` and the
start of the fingerprint. Imports nothing that reads results, so that names are listed and completed quickly.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from bsv_store.catalog.local_versions import LocalVersionRow
from bsv_store.documents import read_document, record_of, seal_of, sealed_value

RESULTS: Final = "results"
_LOCAL: Final = "local-"
_DIGITS: Final = 12
_REF: Final = re.compile(rf"(?P<name>[^@]+)@{_LOCAL}(?P<start>[0-9a-f]{{{_DIGITS}}})")


def local_ref(name: str, fingerprint: str) -> str:
    """The reference of a local average, such as ``visual-by-AP@local-1f2e3d4c5b6a``."""
    return f"{name}@{_LOCAL}{fingerprint[:_DIGITS]}"


def start_of_fingerprint(ref: str) -> str | None:
    """The start of the fingerprint in the reference of a local average; None if it is another reference."""
    match = _REF.fullmatch(ref)
    return None if match is None else match["start"]


@dataclass(frozen=True, slots=True)
class LocalResult:
    """The record of a local average, which is next to its file.

    Attributes
    ----------
    name : str
        Of the dataset.
    fingerprint, content_sha256, file_sha256 : str
    size_bytes : int
    group_count : int
    member_count : int
        Number of experiments in the groups.
    spacing_um : int
        0 for a comparison by structure.
    algorithm_version : int
    created_at : str
        ISO 8601, UTC.
    created_by : str
    software : str
    """

    name: str
    fingerprint: str
    content_sha256: str
    file_sha256: str
    size_bytes: int
    group_count: int
    member_count: int
    spacing_um: int
    algorithm_version: int
    created_at: str
    created_by: str
    software: str

    @property
    def ref(self) -> str:
        """The reference of the version."""
        return local_ref(self.name, self.fingerprint)

    @property
    def path(self) -> str:
        """The result file, relative to the folder of the server."""
        return f"{RESULTS}/{self.file_sha256}.nc"

    def to_row(self) -> LocalVersionRow:
        """The row of lists of versions."""
        return LocalVersionRow(
            self.ref,
            self.name,
            self.group_count,
            self.member_count,
            self.spacing_um,
            datetime.fromisoformat(self.created_at),
            self.created_by,
            self.fingerprint,
            self.size_bytes,
        )

    def to_json(self) -> str:
        """JSON with a checksum."""
        values = asdict(self)
        return json.dumps({"result": values, "sha256": seal_of(values)}, indent=1)

    @property
    def record_path(self) -> str:
        """The file of this record, relative to the folder of the server."""
        return f"{RESULTS}/{self.fingerprint}.{self.name}.json"


def listed_results(server: Path, *, fingerprint: str = "") -> list[LocalResult]:
    """The local averages in the folder of a server whose fingerprint begins with a text, the oldest first.

    Damaged records are left out.
    """
    found = [read_record(path) for path in (server / RESULTS).glob(f"{fingerprint}*.json")]
    return sorted((each for each in found if each is not None), key=lambda each: (each.created_at, each.ref))


def remove_result(server: Path, result: LocalResult, *, other_names: bool = False) -> None:
    """Remove a local average from the folder of a server, and its file unless another name refers to it too.

    Parameters
    ----------
    server : pathlib.Path
    result : LocalResult
    other_names : bool
        Remove the same average under other names too.
    """
    same = [each for each in listed_results(server, fingerprint=result.fingerprint) if each.path == result.path]
    removed = same if other_names else [each for each in same if each.name == result.name]
    for each in removed:
        (server / each.record_path).unlink(missing_ok=True)
    if len(removed) == len(same):
        (server / result.path).unlink(missing_ok=True)


def read_record(path: Path) -> LocalResult | None:
    """The record in a file; None if it is missing or damaged, so that the average is computed again."""
    try:
        return record_of(LocalResult, sealed_value(read_document(path), "result"))
    except (OSError, ValueError):
        return None
