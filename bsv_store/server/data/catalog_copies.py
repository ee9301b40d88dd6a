"""Copies of the catalog for mirrors: made once for each content, shared by the workers of a server.

They are in temporary folders, which are removed when the server stops. Names and atomic renames make them correct; a
lock only avoids that several workers make the same copy.
"""

from __future__ import annotations

import gzip
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
from bsv_store.documents import json_value, read_document, seal_of
from bsv_store.errors import StoreError
from bsv_store.remote.protocol import PROTOCOL
from bsv_store.temporary import TemporaryFolder

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
        return f'"{seal_of(self.values)}"'


class CatalogCopies:
    """The copies of the catalog of one store. Safe to share between threads.

    Parameters
    ----------
    folder : pathlib.Path, optional
        A folder that the workers of a server share, and that the server removes. By default a new one.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._temporary: TemporaryFolder | None = None
        self._folder = folder
        self._in_folder = threading.Lock()
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
                found = (marker, self._made_where_removed(store))
                self._found = found
            return found[1]

    def open(self, sha256: str, *, compressed: bool) -> FileIO | None:
        """A copy open for reading, as it is or gzip-compressed; None if there is none with this hash."""
        try:
            return FileIO(self._existing_folder() / _file_name(sha256, compressed=compressed))
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Remove the copies, unless the folder was given."""
        with self._in_folder:
            if self._temporary is not None:
                self._temporary.remove()
                self._temporary = self._folder = None

    def _has(self, manifest: Manifest) -> bool:
        folder = self._existing_folder()
        try:
            found = (folder / _file_name(manifest.sha256, compressed=False)).stat().st_size
        except FileNotFoundError:
            return False
        return found == manifest.size_bytes and (folder / _file_name(manifest.sha256, compressed=True)).exists()

    def _made_where_removed(self, store: Store) -> Manifest:
        try:
            return self._made(store)
        except (OSError, StoreError):
            # The folder may have been removed meanwhile: by other programs, or by the successor of a killed server.
            return self._made(store)

    def _made(self, store: Store) -> Manifest:
        folder = self._existing_folder()
        with _one_process(folder / "lock"):
            known = self._read(folder / f"{store.catalog.content_digest()}.json")
            if known is not None:
                return known
            manifest = self._make(store, folder)
            _remove_old(folder, kept=manifest.sha256)
            return manifest

    def _read(self, record: Path) -> Manifest | None:
        try:
            manifest = Manifest(json_value(read_document(record)))
            is_there = self._has(manifest)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # It is missing, or was cut when the computer stopped.
            return None
        if not is_there:
            return None
        # It counts as new again.
        for path in (record, *(record.with_name(_file_name(manifest.sha256, compressed=each)) for each in (0, 1))):
            os.utime(path)
        return manifest

    def _make(self, store: Store, folder: Path) -> Manifest:
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as made:
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

    def _existing_folder(self) -> Path:
        with self._in_folder:
            if self._folder is None:
                self._temporary = TemporaryFolder()
                self._folder = self._temporary.path
            # Each time, because temporary folders are cleaned by other programs while the server runs.
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._folder


def _write_through(path: Path) -> None:
    """Wait until a file is on the disk, so that none is cut under its name when the computer stops."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _file_name(sha256: str, *, compressed: bool | int) -> str:
    return f"{sha256}.db.gz" if compressed else f"{sha256}.db"


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
        if name.endswith(".json") and _copy_of(folder / name) not in set(copies) - gone:
            (folder / name).unlink(missing_ok=True)


def _copy_of(record: Path) -> str | None:
    """The name of the copy that a manifest describes; None if it cannot be read."""
    try:
        return _file_name(Manifest(json_value(read_document(record))).sha256, compressed=False)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


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
