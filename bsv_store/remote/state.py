"""What is recorded of a server in its folder in the cache: ``state.json``, which names the copy of its catalog."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bsv_store.documents import read_document, record_of, seal_of, sealed_value
from bsv_store.errors import StoreError
from bsv_store.remote.folder import FILE_MODE, cache_errors
from bsv_store.volumes.folders import sync_folder

_STATE: Final = "state.json"


@dataclass(frozen=True, slots=True)
class MirrorState:
    """The current copy of a server's catalog.

    Attributes
    ----------
    url, store_id, release, schema_revision, sha256 : str
    database : str
        The dialect of queries on the server: 'sqlite' or 'postgresql'.
    size_bytes : int
    prepared : int
        Version of `bsv_store.remote.core.prepare_core`.
    etag : str or None
        Of the manifest.
    core : str
        Name of the file.
    checked_at : str
        When the server was last asked, ISO 8601, UTC.
    """

    url: str
    store_id: str
    release: str
    schema_revision: str
    database: str
    sha256: str
    size_bytes: int
    prepared: int
    etag: str | None = None
    core: str = ""
    checked_at: str = ""


def read_state(folder: Path) -> MirrorState | None:
    """The state that the last process wrote to the folder of a server; None without one, or if it is damaged.

    Raises
    ------
    StoreError
        If the file cannot be read.
    """
    try:
        state = record_of(MirrorState, sealed_value(read_document(folder / _STATE), "state"))
        if (
            state.core in (".", "..")
            or state.core != Path(state.core).name
            or datetime.fromisoformat(state.checked_at).tzinfo is None
        ):
            raise ValueError("it names a file outside its folder, or a time without a time zone")
        return state
    except FileNotFoundError:
        return None
    except ValueError:
        # Damaged: it is made again.
        return None
    except OSError as error:
        raise StoreError(f"{folder / _STATE} cannot be read: {error.strerror}") from error


def damaged_state(folder: Path) -> Path | None:
    """The file with the state of a server if it is damaged, else None.

    Raises
    ------
    StoreError
        If the file cannot be read.
    """
    file = folder / _STATE
    return file if read_state(folder) is None and file.exists() else None


def write_state(folder: Path, state: MirrorState) -> MirrorState:
    """Write the state, with the current time as the time of the check.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
        If that fails. The state before remains.
    """
    state = checked_now(state)
    values = asdict(state)
    temporary = folder / f"state-{os.getpid()}-{secrets.token_hex(8)}.tmp"
    with cache_errors(temporary):
        try:
            with temporary.open("x", encoding="utf-8") as file:
                temporary.chmod(FILE_MODE)
                json.dump({"state": values, "sha256": seal_of(values)}, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / _STATE)
            sync_folder(folder)
        finally:
            temporary.unlink(missing_ok=True)
    return state


def checked_now(state: MirrorState) -> MirrorState:
    """The state with the current time as the time of the check."""
    return replace(state, checked_at=datetime.now(UTC).isoformat())
