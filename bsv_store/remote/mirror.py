"""The copy of a server's catalog on this computer, and how it follows the server.

::

    SERVER/state.json                       the manifest of the current copy, and when the server was last asked
    SERVER/catalog-SHA-HASH.db              a copy of the catalog; never changed
    SERVER/unionizes-SHA-HASH.db            all unionize rows that a copy of the catalog records; never changed
    SERVER/unionizes.part                   the rows that were downloaded so far

A new copy is a new file, which ``state.json`` then names: readers go on with the old one until their transactions end.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import secrets
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from bsv_store.advice import forget_server, note_server
from bsv_store.catalog.database import schema
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import (
    UPGRADE_HINT,
    BsvStoreWarning,
    BusyError,
    FormatError,
    NoSpaceError,
    ReadOnlyStoreError,
    SchemaTooNewError,
    SchemaTooOldError,
    StoreMismatchError,
    StoreUnreachableError,
)
from bsv_store.remote.client import AbsentOnServerError, Client, NotModifiedError, ServerRefusalError, client_for
from bsv_store.remote.core import (
    CORE_PREFIX,
    PREPARED,
    content_of,
    is_undamaged,
    named_with_hash,
    prepare_core,
    recorded_halves,
    row_objects,
)
from bsv_store.remote.folder import FILE_MODE, cache_errors, make_private
from bsv_store.remote.locks import ThreadLock, locked
from bsv_store.remote.protocol import CATALOG, PROTOCOL
from bsv_store.remote.state import MirrorState, checked_now, damaged_state, read_state, write_state
from bsv_store.remote.unionizes import complete_rows, existing_rows, forget_verified
from bsv_store.text import MAX_ID, SHA256, shown
from bsv_store.volumes.folders import sync_folder

REVALIDATE_S: Final = 60.0
"""An open store asks the server for a newer catalog at most this often."""

_ATTEMPTS = 5
# Copies that were not current for this time are removed: another process may still be about to open a newer one.
_KEPT_S = 3600.0
_LARGEST = 4 * 1024**3


class Mirror:
    """The copy of a server's catalog. Safe to share between threads; `open_mirror` makes it.

    Parameters
    ----------
    client : Client
    folder : pathlib.Path
    state : MirrorState
    is_offline : bool
    """

    def __init__(self, client: Client, folder: Path, state: MirrorState, *, is_offline: bool) -> None:
        self.client = client
        self.folder = folder
        self.state = state
        self.is_offline = is_offline
        # `open_mirror` has already warned if it opened it offline.
        self._has_warned = is_offline
        self._checked = time.monotonic()
        self._lock = ThreadLock()
        self._words = _words(self.core)
        note_server(self, client.url)

    @property
    def url(self) -> str:
        """Base address of the server."""
        return self.client.url

    @property
    def core(self) -> Path:
        """The current copy of the catalog."""
        return self.folder / self.state.core

    @property
    def checked_at(self) -> datetime:
        """When the server was last asked; aware UTC."""
        return datetime.fromisoformat(self.state.checked_at)

    def revalidate_if_due(self) -> None:
        """Ask the server for a newer catalog, unless that was less than a minute ago and the copy is still there."""
        is_due = time.monotonic() - self._checked >= REVALIDATE_S or not self.core.exists()
        if not is_due or not self._lock.acquire(blocking=False):
            return
        try:
            self._revalidate()
        finally:
            self._lock.release()

    def revalidate(self) -> None:
        """Ask the server for a newer catalog now."""
        with self._lock:
            self._revalidate()

    def _revalidate(self) -> None:
        # After any other error the next reader asks again, and gets the same error, not what is outdated.
        self._checked = -math.inf
        try:
            self.state, self.is_offline = _current(self.client, self.folder, self.state), False
        except StoreUnreachableError as error:
            self.is_offline = True
            if not self._has_warned:
                # Only once: an unreliable network would repeat it all day, and `Store.status` has the current state.
                self._has_warned = True
                _warn_offline(self.state, error)
        self._checked = time.monotonic()
        self._words = _words(self.core)

    def needs_unionizes(self, statement: str) -> bool:
        """Whether a statement names a table of unionize rows, or a view on one."""
        return self._words.search(statement) is not None

    def existing_unionizes(self, core: Path) -> Path | None:
        """The file with all unionize rows of a copy of the catalog, if it is there."""
        return existing_rows(self.folder, content_of(recorded_halves(core)))

    def unionizes(self, core: Path) -> Path:
        """The file with all unionize rows of a copy of the catalog; missing rows are downloaded first."""
        try:
            return complete_rows(self.client, self.folder, core)
        except BusyError:
            # The server has a newer catalog, which the next statement needs.
            self._checked = -math.inf
            raise

    def distrust_copies(self) -> None:
        """Compare the bytes of the copies with their hashes when they are next used; damaged ones are replaced."""
        forget_verified(self.folder)
        self._checked = -math.inf

    def close(self) -> None:
        """Close the connections to the server."""
        forget_server(self)
        self.client.close()

    def __reduce__(self) -> tuple[Callable[..., Mirror], tuple[str, Path, MirrorState, bool]]:
        # Without a request: a copy of a store is often used in many processes.
        return _resumed, (self.url, self.folder, self.state, self.is_offline)


def _resumed(url: str, folder: Path, state: MirrorState, is_offline: bool) -> Mirror:
    return Mirror(client_for(url), folder, state, is_offline=is_offline)


def open_mirror(client: Client, folder: Path) -> Mirror:
    """The copy of a server's catalog, the newest that can be had.

    Raises
    ------
    StoreUnreachableError
        If the server cannot be reached, and there is no copy.
    StoreMismatchError
        If there is another store at the address than before.
    SchemaTooNewError, SchemaTooOldError
        If the server has another version than this one, so that one of the two must be upgraded.
    """
    make_private(folder)
    state = _known_state(folder, client.url)
    try:
        return Mirror(client, folder, _current(client, folder, state), is_offline=False)
    except StoreUnreachableError as error:
        if (damaged := damaged_state(folder)) is not None:
            raise StoreUnreachableError(
                f"{client.url} cannot be opened: {error.message}; and {damaged}, which names the copy of its catalog, "
                "is damaged",
                hint="Open the store once while the server can be reached: the catalog is downloaded again, and "
                f"averages that were computed on this computer are kept.\n{error.hint or ''}".rstrip(),
            ) from error
        if state is None or not _is_intact(folder, state):
            raise StoreUnreachableError(
                f"{client.url} cannot be opened, and its catalog is not in the cache: {error.message}", hint=error.hint
            ) from error
        _check_schema(state)
        _warn_offline(state, error)
        return Mirror(client, folder, state, is_offline=True)


def _warn_offline(state: MirrorState, error: StoreUnreachableError) -> None:
    warnings.warn(
        BsvStoreWarning(
            f"{state.url} cannot be reached; using the copy of its catalog of {state.checked_at[:19]}Z",
            hint=error.message,
        ),
        stacklevel=5,
    )


def _current(client: Client, folder: Path, state: MirrorState | None) -> MirrorState:
    """The state after one request to the server; a new catalog is downloaded."""
    known = state if state is not None and _is_intact(folder, state) else None
    for _ in range(_ATTEMPTS):
        try:
            answer = client.json(CATALOG, "the catalog", etag=None if known is None else known.etag)
        except NotModifiedError:
            assert known is not None
            # Another version of bsv-store may have made the copy.
            _check_schema(known)
            # A cache that cannot be written can still be read; only the time of the check is lost.
            with suppress(NoSpaceError, ReadOnlyStoreError):
                return _written(folder, known)
            return checked_now(known)
        found = replace(_manifest(client, answer.value), etag=answer.etag)
        _check(folder, found, state)
        if known is not None and (known.sha256, known.prepared) == (found.sha256, found.prepared):
            return _written(folder, replace(found, core=known.core))
        try:
            return _downloaded(client, folder, found)
        except AbsentOnServerError:
            # The catalog has changed since the manifest was read.
            time.sleep(0.05)
    raise StoreUnreachableError(
        f"the catalog of {client.url} changes faster than it can be downloaded", hint="Try again later."
    )


def _manifest(client: Client, value: Any) -> MirrorState:
    if not isinstance(value, dict) or value.get("protocol") is None:
        raise ServerRefusalError(f"{client.url} is not a bsv-store server", hint="Check the address.")
    if value["protocol"] != PROTOCOL:
        newer = isinstance(value["protocol"], int) and value["protocol"] > PROTOCOL
        raise (SchemaTooNewError if newer else SchemaTooOldError)(
            f"{client.url} speaks version {shown(value['protocol'])} of the protocol; this version of bsv-store speaks "
            f"{PROTOCOL}",
            hint=UPGRADE_HINT if newer else "Ask the administrator of the server to upgrade bsv-store.",
        )
    try:
        sha256, size = value["catalog"]["sha256"], value["catalog"]["size_bytes"]
        texts = {name: value[name] for name in ("store_id", "release", "schema_revision", "database")}
        if not all(isinstance(text, str) for text in texts.values()) or not SHA256.fullmatch(sha256):
            raise TypeError
        if type(size) is not int or not 0 < size <= MAX_ID:
            raise ValueError
        return MirrorState(client.url, **texts, sha256=sha256, size_bytes=size, prepared=PREPARED)
    except (KeyError, TypeError, ValueError) as error:
        raise ServerRefusalError(f"{client.url} did not describe its catalog as expected", hint=_ASK) from error


_ASK = "Ask the administrator of the server."


def _check(folder: Path, found: MirrorState, before: MirrorState | None) -> None:
    if before is not None and before.store_id != found.store_id:
        raise StoreMismatchError(
            f"{found.url} is now the store {found.store_id}; it was the store {before.store_id}",
            hint=f"If that is intended, delete the copy of the former one: {folder}",
        )
    _check_schema(found)


def _check_schema(found: MirrorState) -> None:
    if found.schema_revision == schema.HEAD:
        return
    start = f"the catalog of {found.url} has the schema {found.schema_revision} of bsv-store {found.release}"
    if found.schema_revision in schema.KNOWN_REVISIONS:
        raise SchemaTooOldError(
            f"{start}; this version needs {schema.HEAD}",
            hint="Ask the administrator of the server to upgrade bsv-store, or install that version.",
        )
    raise SchemaTooNewError(f"{start}, unknown to this version", hint=UPGRADE_HINT)


def _downloaded(client: Client, folder: Path, found: MirrorState) -> MirrorState:
    """Download a copy of the catalog, prepare it, and make it the current one."""

    def existing() -> str | None:
        state = _known_state(folder, client.url)
        is_it = state is not None and state.sha256 == found.sha256 and _is_intact(folder, state)
        return state.core if state is not None and is_it else None

    with cache_errors(folder), locked(folder / "catalog.lock", f"the catalog of {client.url}"):
        if (name := existing()) is not None:
            return _written(folder, replace(found, core=name))
        temporary = folder / f"catalog-{os.getpid()}-{secrets.token_hex(8)}.tmp"
        with cache_errors(temporary):
            try:
                with temporary.open("x+b") as file:
                    temporary.chmod(FILE_MODE)
                    client.stream(
                        f"{CATALOG}/{found.sha256}",
                        "the copy of the catalog",
                        lambda sink: _require_hash(sink, found.sha256),
                        sink=file,
                        limit_bytes=min(found.size_bytes, _LARGEST),
                    )
                checkpoint("mirror:downloaded")
                prepare_core(temporary)
                with temporary.open("r+b") as file:
                    os.fsync(file.fileno())
                name = named_with_hash(f"{CORE_PREFIX}{found.sha256[:16]}", temporary)
                checkpoint("mirror:prepared")
                temporary.replace(folder / name)
                sync_folder(folder)
                checkpoint("mirror:renamed")
            finally:
                for left in (temporary, temporary.with_name(f"{temporary.name}-journal")):
                    left.unlink(missing_ok=True)
        replaced = read_state(folder)
        # Still under the lock: a process that waits for it must find the new state, or it would download again.
        state = _written(folder, replace(found, core=name))
    if replaced is not None:
        _note_current(folder / replaced.core)
    _remove_old(folder, name)
    return state


def _require_hash(sink: BinaryIO, sha256: str) -> None:
    hasher = hashlib.sha256()
    while block := sink.read(1 << 20):
        hasher.update(block)
    if hasher.hexdigest() != sha256:
        raise FormatError("the copy of the catalog does not have the hash that the server states")


def _known_state(folder: Path, url: str) -> MirrorState | None:
    """The state of an earlier run; None if there is none of this address."""
    state = read_state(folder)
    return state if state is not None and state.url == url else None


def _written(folder: Path, state: MirrorState) -> MirrorState:
    state = write_state(folder, state)
    checkpoint("mirror:taken-over")
    return state


def _note_current(core: Path) -> None:
    """Note that a copy was current until now, for `_remove_old`."""
    # It may be damaged, and removed therefore.
    with suppress(OSError):
        os.utime(core)


def _is_intact(folder: Path, state: MirrorState) -> bool:
    """Whether the copy of the catalog is there, and undamaged. A damaged one is removed."""
    file = folder / state.core
    if state.prepared != PREPARED or not file.is_file():
        return False
    # Another process may remove it, if it is damaged or an old one.
    with cache_errors(file), suppress(FileNotFoundError):
        if is_undamaged(file):
            return True
        file.unlink()
    return False


def _remove_old(folder: Path, kept: str) -> None:
    """Remove copies of the catalog that were not current in the last hour, and temporary files of killed processes."""
    for pattern in (f"{CORE_PREFIX}*.db", "*.tmp", "*.tmp-journal"):
        for file in folder.glob(pattern):
            # Another process may remove it too; on Windows it cannot be removed while it is read.
            with suppress(OSError):
                if file.name != kept and time.time() - file.stat().st_mtime > _KEPT_S:
                    file.unlink()


def _words(core: Path) -> re.Pattern[str]:
    """A pattern for the tables and views that need unionize rows."""
    names = {name for kind, name in row_objects(core) if kind in ("table", "view")}
    return re.compile(rf"\b({'|'.join(sorted(map(re.escape, names)))})\b", re.IGNORECASE)
