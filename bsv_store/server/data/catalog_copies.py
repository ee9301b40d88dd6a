"""Copies of the catalog for mirrors: made once for each content, shared by the workers of a server.

They are in the folder for temporary files. Names and atomic renames make them correct; a lock only avoids that several
workers make the same copy.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsv_store._version import __version__
from bsv_store.errors import StoreError
from bsv_store.remote.protocol import PROTOCOL

if TYPE_CHECKING:
    from bsv_store.store.store import Store

# A client reads the manifest, and then the copy that it names.
_KEPT_S = 600.0
_MAX_KEPT = 4


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a copy, see `bsv_store.remote.protocol.CATALOG`."""

    values: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the copy."""
        return str(self.values["catalog"]["sha256"])

    @property
    def size_bytes(self) -> int:
        """Size of the copy."""
        return int(self.values["catalog"]["size_bytes"])

    @property
    def etag(self) -> str:
        """Entity tag, with quotes."""
        return f'"{hashlib.sha256(json.dumps(self.values, sort_keys=True).encode()).hexdigest()}"'


class CatalogCopies:
    """The copies of the catalog of one store. Safe to share between threads.

    Parameters
    ----------
    folder : pathlib.Path, optional
        By default one in the folder for temporary files, the same for all processes of this user and store.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._given = folder
        self._folder: Path | None = None
        self._found: tuple[str, Manifest] | None = None
        self._lock = threading.Lock()

    def manifest(self, store: Store) -> Manifest:
        """The manifest of the current content, whose copy exists."""
        marker = store.catalog.change_marker()
        found = self._found
        if found is not None and found[0] == marker and self._has(found[1]):
            return found[1]
        with self._lock:
            # Another thread may have made it.
            marker = store.catalog.change_marker()
            found = self._found
            if found is None or found[0] != marker or not self._has(found[1]):
                found = (marker, self._made(store))
                self._found = found
            return found[1]

    def open(self, store: Store, sha256: str, *, compressed: bool) -> FileIO | None:
        """A copy open for reading, as it is or gzip-compressed; None if there is none with this hash."""
        try:
            return FileIO(self._in(store) / _file_name(sha256, compressed=compressed))
        except FileNotFoundError:
            return None

    def _has(self, manifest: Manifest) -> bool:
        assert self._folder is not None
        try:
            found = (self._folder / _file_name(manifest.sha256, compressed=False)).stat().st_size
        except FileNotFoundError:
            return False
        return found == manifest.size_bytes and (self._folder / _file_name(manifest.sha256, compressed=True)).exists()

    def _made(self, store: Store) -> Manifest:
        folder = self._in(store)
        with _one_process(folder / "lock"):
            known = self._read(folder / f"{store.catalog.content_digest()}.json")
            if known is not None:
                return known
            manifest = self._make(store, folder)
            _remove_old(folder, kept=manifest.sha256)
            return manifest

    def _read(self, record: Path) -> Manifest | None:
        try:
            manifest = Manifest(json.loads(record.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            # It is missing, or was cut when the computer stopped.
            return None
        if not self._has(manifest):
            return None
        # It counts as new again.
        for path in (record, *(record.with_name(_file_name(manifest.sha256, compressed=each)) for each in (0, 1))):
            os.utime(path)
        return manifest

    def _make(self, store: Store, folder: Path) -> Manifest:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            copy = Path(made) / "catalog.db"
            facts = store.catalog.export_copy(copy)
            compressed = Path(made) / "catalog.db.gz"
            with (
                copy.open("rb") as source,
                compressed.open("wb") as target,
                gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=6, mtime=0) as packed,
            ):
                shutil.copyfileobj(source, packed, 1 << 20)
            manifest = Manifest(
                {
                    "protocol": PROTOCOL,
                    "store_id": store.config.store_id,
                    "release": __version__,
                    "schema_revision": facts.schema_revision,
                    "database": "sqlite" if store.database.is_sqlite else "postgresql",
                    "state": facts.state,
                    "catalog": {"sha256": facts.sha256, "size_bytes": facts.size_bytes},
                    "unionizes": {"experiments": facts.unionize_experiments, "rows": facts.unionize_rows},
                }
            )
            record = Path(made) / "manifest.json"
            record.write_text(json.dumps(manifest.values), encoding="utf-8")
            for path in (copy, compressed, record):
                _write_through(path)
            copy.replace(folder / _file_name(manifest.sha256, compressed=False))
            compressed.replace(folder / _file_name(manifest.sha256, compressed=True))
            record.replace(folder / f"{facts.content}.json")
        return manifest

    def _in(self, store: Store) -> Path:
        # Each time, because folders for temporary files are cleaned while the server runs.
        self._folder = _shared_folder(store) if self._given is None else self._given
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder


def _write_through(path: Path) -> None:
    """Wait until a file is on the disk, so that none is cut under its name when the computer stops."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _file_name(sha256: str, *, compressed: bool | int) -> str:
    return f"{sha256}.db.gz" if compressed else f"{sha256}.db"


def _shared_folder(store: Store) -> Path:
    """A folder of this user for copies of this store."""
    origin = f"{store.path.resolve()} {store.config.database} {store.config.store_id}"
    user = os.getuid() if hasattr(os, "getuid") else 0
    name = f"bsv-store-server-{user}-{hashlib.sha256(origin.encode()).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # In a folder that others may write, such as /tmp, another user could have made it.
    if hasattr(os, "getuid") and (folder.is_symlink() or found.st_uid != user or found.st_mode & 0o077):
        raise StoreError(
            f"the folder {folder} for copies of the catalog belongs to another user, or others have access to it",
            hint="Remove it, or set TMPDIR to a folder of your own.",
        )
    return folder


def _remove_old(folder: Path, *, kept: str) -> None:
    """Remove copies that no client is about to ask for. One that is being sent remains readable until it is closed."""
    now = time.time()
    ages: dict[str, float] = {}
    for path in folder.iterdir():
        age = now - path.stat().st_mtime
        if path.is_dir():
            # Left by a process that was killed while it made a copy.
            if age > _KEPT_S:
                shutil.rmtree(path, ignore_errors=True)
        elif path.name != "lock":
            ages[path.name] = age
    copies = sorted((name for name in ages if name.endswith(".db")), key=ages.__getitem__)
    gone = {name for place, name in enumerate(copies) if place >= _MAX_KEPT or ages[name] > _KEPT_S}
    gone -= {_file_name(kept, compressed=False)}
    for name in gone:
        for path in (folder / name, folder / f"{name}.gz"):
            path.unlink(missing_ok=True)
    for name in ages:
        if name.endswith(".json") and ages[name] > _KEPT_S:
            (folder / name).unlink(missing_ok=True)


@contextmanager
def _one_process(path: Path) -> Iterator[None]:
    """Let other processes wait; without effect where the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("ab") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield
