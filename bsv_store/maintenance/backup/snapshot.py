"""Take a snapshot of a store while it is in use.

The database is copied first, then the files that this copy expects. Files are immutable, and their names contain a hash
of their content: a file either has the expected bytes, or it was removed. Removed files are in the trash. If one was
purged from there, the database is copied again, and the new copy does not expect the file unless the store is damaged.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store._version import __version__
from bsv_store.catalog.activity import current_user
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Dataset, StoreInfo
from bsv_store.checkpoints import checkpoint
from bsv_store.config import CATALOG_FILE, FOLDERS, STORE_FILE
from bsv_store.errors import BackupError, DamagedFileError, StoreError
from bsv_store.maintenance.backup.database_copy import copy_catalog, row_counts
from bsv_store.maintenance.backup.lock import Lock, locked
from bsv_store.maintenance.backup.manifest import BackedUpFile, DatabaseCopy, Problem, Snapshot, decoded, encoded
from bsv_store.maintenance.backup.repository import (
    PART_BYTES,
    Repository,
    checked_blocks,
    create_repository,
    snapshot_name,
)
from bsv_store.maintenance.folder_link import TOKEN_FILE
from bsv_store.maintenance.inventory import expected_objects, found_files
from bsv_store.progress import NO_PROGRESS, Progress, do_nothing

if TYPE_CHECKING:
    from bsv_store.config import StoreConfig
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.stored_object import StoredObject

# How often the database is copied again because a file was purged meanwhile.
_ATTEMPTS = 4
_RESULT_ENDING = ".nc"
# Files of the store's folder that a restored store gets anew.
_NOT_COPIED = (STORE_FILE, "init.toml", TOKEN_FILE)


@dataclass(frozen=True, slots=True)
class BackupReport:
    """Result of a backup.

    Attributes
    ----------
    snapshot : Snapshot
    unmodified_files : int
        Files that the target had already.
    from_trash : int
        Files that were deleted during the backup, and copied from the trash.
    attempts : int
        How often the database was copied.
    database_s, duration_s : float
        Seconds for the database, and for everything.
    """

    snapshot: Snapshot
    unmodified_files: int
    from_trash: int
    attempts: int
    database_s: float
    duration_s: float


class _PurgedError(Exception):
    """Files that the copied database expects exist neither in their place nor in the trash."""


@dataclass(slots=True)
class _Run:
    """A backup that is being made."""

    files: StoreFiles
    repository: Repository
    lock: Lock
    progress: Progress
    check_abort: Callable[[], None]
    new_files: int = 0
    new_bytes: int = 0
    unmodified: int = 0
    from_trash: int = 0

    def alive(self) -> None:
        """Called between blocks: stop if the user interrupted, and refresh the lock."""
        self.check_abort()
        self.lock.refresh()


def create_snapshot(
    config: StoreConfig,
    database: Database,
    files: StoreFiles,
    target: str | os.PathLike[str],
    *,
    progress: Progress = NO_PROGRESS,
    check_abort: Callable[[], None] = do_nothing,
) -> BackupReport:
    """See `Admin.backup`."""
    started = time.monotonic()
    repository = create_repository(target, outside=files.root)
    with locked(repository.target, "backup") as lock:
        run = _Run(files, repository, lock, progress, check_abort)
        for attempt in range(1, _ATTEMPTS + 1):
            with tempfile.TemporaryDirectory(prefix="bsv-backup-", dir=_large_folder(repository)) as folder:
                path = Path(folder) / CATALOG_FILE
                at = datetime.now(UTC)
                begun = time.monotonic()
                progress.start(0, "copying the database")
                indexes = copy_catalog(database, path, check_abort=run.alive)
                copy = _store_database(run, path, indexes, has_rows=not database.is_sqlite)
                progress.finish()
                database_s = time.monotonic() - begun
                checkpoint("backup:database")
                try:
                    values = _copy_files(run, path, retry=attempt < _ATTEMPTS)
                except _PurgedError:
                    continue
                break
        values |= {
            "store_id": config.store_id,
            "store_path": str(files.root),
            "created_at": at,
            "engine": "sqlite" if database.is_sqlite else "postgresql",
            "release": __version__,
            "host": socket.gethostname(),
            "user": current_user(),
            "file_mode": config.file_mode,
            "directory_mode": config.directory_mode,
            "format_version": config.format_version,
            "database": copy,
            "new_files": run.new_files,
            "new_bytes": run.new_bytes,
        }
        snapshot = _save(run, values)
    return BackupReport(snapshot, run.unmodified, run.from_trash, attempt, database_s, time.monotonic() - started)


def _large_folder(repository: Repository) -> Path | None:
    """Where the copy of the database is made: on the disk of the target, which must have room for it anyway."""
    root = getattr(repository.target, "root", None)
    if not isinstance(root, Path):
        return None
    folder = root / "tmp"
    folder.mkdir(exist_ok=True)
    return folder


def _store_database(run: _Run, path: Path, indexes: tuple[str, ...], *, has_rows: bool) -> DatabaseCopy:
    whole, parts = hashlib.sha256(), []
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            run.alive()
            whole.update(part)
            sha256 = hashlib.sha256(part).hexdigest()
            parts.append((sha256, len(part)))
            if not run.repository.has(sha256, len(part)):
                run.repository.put(sha256, len(part), iter([part]))
                run.new_bytes += len(part)
    rows: dict[str, int] = {}
    if has_rows:
        with closing(Database(path, read_only=True)) as copy, copy.reading() as connection:
            rows = row_counts(connection)
    return DatabaseCopy(sum(size for _, size in parts), whole.hexdigest(), tuple(parts), indexes, rows)


def _copy_files(run: _Run, catalog: Path, *, retry: bool) -> dict[str, object]:
    """Copy the files that the copied catalog expects; returns what the manifest says about them."""
    with closing(Database(catalog, read_only=True)) as database, database.reading() as connection:
        revision = schema.current_revision(connection)
        if connection.execute(select(StoreInfo.store_id)).scalar() is None:
            raise StoreError("the copied catalog belongs to no store", hint="Check it: bsv-store catalog verify")
        names = connection.execute(select(Dataset.name, Dataset.last_number)).all()
        # Versions with the same bytes share a file.
        expected = {each.path: each for each in expected_objects(connection)}
    copied, problems = [], []
    run.progress.start(len(expected), "copying files")
    try:
        for each in expected.values():
            if (problem := _copy_object(run, each)) is None:
                copied.append(BackedUpFile(each.path, each.size_bytes, each.file_sha256))
            elif retry and problem == "missing":
                raise _PurgedError
            else:
                problems.append(Problem(each.path, each.key, problem))
            checkpoint("backup:file")
        beside = list(_copy_beside(run))
    finally:
        run.progress.finish()
    return {
        "revision": revision,
        "files": copied,
        "beside": beside,
        "problems": problems,
        "last_numbers": {str(name): int(number) for name, number in names},
    }


def _copy_object(run: _Run, wanted: StoredObject) -> str | None:
    """Copy a file if the target does not have it; returns the problem if the store does not have it."""
    if run.repository.has(wanted.file_sha256, wanted.size_bytes):
        run.unmodified += 1
        run.progress.advance()
        return None
    problem = "missing"
    for path in _candidates(run.files, wanted.path):
        try:
            run.repository.put(wanted.file_sha256, wanted.size_bytes, _read(run, path, wanted))
        except FileNotFoundError:
            continue
        except DamagedFileError:
            problem = "damaged"
            continue
        run.new_files += 1
        run.new_bytes += wanted.size_bytes
        run.from_trash += path.parent.name == "trash"
        run.progress.advance()
        return None
    run.progress.advance()
    return problem


def _candidates(files: StoreFiles, relative: str) -> Iterator[Path]:
    """The file, and if it is not there, what has its name in the trash. Looked up when it is needed."""
    path = files.path(relative)
    yield path
    for found in found_files(files, "trash"):
        if found.is_regular and found.path.endswith(path.name):
            yield files.path(found.path)
    # It may have been taken out of the trash, or published again, while the trash was listed.
    yield path


def _read(run: _Run, path: Path, wanted: StoredObject) -> Iterator[bytes]:
    def damaged(_sha256: str) -> DamagedFileError:
        return DamagedFileError(f"the file {path} differs from what was stored")

    try:
        with path.open("rb") as file:
            for block in checked_blocks(file, wanted.file_sha256, wanted.size_bytes, alive=run.alive, error=damaged):
                run.progress.advance(0, size_bytes=len(block))
                yield block
    except FileNotFoundError:
        raise
    except OSError as error:
        # A bad sector, for example: the other files can still be saved.
        raise DamagedFileError(f"the file {path} cannot be read: {error}") from error


def _copy_beside(run: _Run) -> Iterator[BackedUpFile]:
    """Copy what lies beside the datasets and in the store's folder itself, such as the record of version numbers."""
    for path in _beside(run.files):
        run.alive()
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        sha256 = hashlib.sha256(data).hexdigest()
        if not run.repository.has(sha256, len(data)):
            run.repository.put(sha256, len(data), iter([data]))
            run.new_files += 1
            run.new_bytes += len(data)
        yield BackedUpFile(path.relative_to(run.files.root).as_posix(), len(data), sha256)


def _beside(files: StoreFiles) -> Iterator[Path]:
    for found in sorted(found_files(files, "datasets"), key=lambda each: each.path):
        if found.is_regular and not found.path.endswith((_RESULT_ENDING, ".tmp")):
            yield files.path(found.path)
    for path in sorted(files.root.iterdir()):
        is_ours = path.name in (*_NOT_COPIED, *FOLDERS) or path.name.startswith(CATALOG_FILE)
        if not is_ours and path.is_file() and not path.is_symlink():
            yield path


def _save(run: _Run, values: dict[str, object]) -> Snapshot:
    """Write the manifest, and check that everything it names exists."""
    identifier, text = encoded(values)
    snapshot = decoded(identifier, text, str(run.repository.target))
    checkpoint("backup:manifest")
    run.repository.target.write(snapshot_name(identifier), [text])
    found = run.repository.object_sizes(refresh=True)
    if lost := [sha256 for sha256, size in snapshot.objects().items() if found.get(sha256) != size]:
        run.repository.target.remove(snapshot_name(identifier))
        raise BackupError(
            f"{len(lost)} objects disappeared from {run.repository.target} during the backup",
            hint="Another program removed them. Run the backup again.",
        )
    return snapshot
