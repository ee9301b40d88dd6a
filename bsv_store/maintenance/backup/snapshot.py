"""Take a snapshot of a store while it is in use.

First the files are copied that the database expects now, which may take hours. Then the database is copied, and what
this copy expects beyond that. Files are immutable, and their names contain a hash of their content: a file either has
the expected bytes, or it was removed. Removed files are in the trash. If one was purged from there, the database is
copied again, and the new copy does not expect the file unless the store is damaged.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from bsv_store._version import __version__
from bsv_store.catalog.activity import Details, record_activity
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Dataset, StoreInfo
from bsv_store.checkpoints import checkpoint
from bsv_store.config import CATALOG_FILE, FOLDERS, STORE_FILE
from bsv_store.datasets.numbers import NUMBERS_FOLDER
from bsv_store.errors import (
    BackupError,
    BsvStoreError,
    BsvStoreWarning,
    BusyError,
    DamagedFileError,
    ReadOnlyStoreError,
    StoreError,
    StoreUnreachableError,
)
from bsv_store.file_systems import entries_below, read_errors
from bsv_store.html import card, table
from bsv_store.maintenance.backup.database_copy import copy_catalog, row_counts
from bsv_store.maintenance.backup.lock import Lock, locked
from bsv_store.maintenance.backup.manifest import (
    RESTORE_MARKER,
    BackedUpFile,
    DatabaseCopy,
    Problem,
    ProblemKind,
    Snapshot,
    decoded,
    encoded,
)
from bsv_store.maintenance.backup.repository import (
    PART_BYTES,
    Repository,
    checked_blocks,
    create_repository,
    snapshot_name,
)
from bsv_store.maintenance.backup.target import TMP, target_errors
from bsv_store.maintenance.folder_link import TOKEN_FILE
from bsv_store.maintenance.inventory import expected_objects, found_files
from bsv_store.maintenance.object_checks import file_sha256
from bsv_store.owner import current_user
from bsv_store.progress import NO_PROGRESS, Progress, do_nothing
from bsv_store.temporary import TemporaryFolder
from bsv_store.text import duration_text, size_text

if TYPE_CHECKING:
    from bsv_store.config import StoreConfig
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.stored_object import StoredObject

# How often the database is copied again because a file was purged meanwhile.
_ATTEMPTS = 4
# Seconds for which a list of the trash is used, since a damaged store may have thousands of missing files.
_TRASH_S = 0.2
_RESULT_ENDING = ".nc"
# Files of the store's folder that are written again for a restored store.
_NOT_COPIED = (STORE_FILE, "init.toml", TOKEN_FILE, RESTORE_MARKER)


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

    def _repr_html_(self) -> str:
        taken = self.snapshot
        facts = [
            ("Store", taken.store_path),
            ("Taken", f"{taken.created_at:%Y-%m-%d %H:%M} UTC"),
            ("Files", f"{len(taken.files):,}, {size_text(taken.new_bytes)} of the snapshot are new in the target"),
            ("Duration", duration_text(self.duration_s)),
        ]
        missing = [[each.path, each.problem] for each in taken.problems]
        return card(f"Snapshot {taken.short_id}", table(["file", "problem"], missing), kind="backup", facts=facts)


@dataclass(slots=True)
class _Run:
    """A backup that is being made."""

    files: StoreFiles
    repository: Repository
    lock: Lock
    progress: Progress
    check_abort: Callable[[], None]
    added: set[str] = field(default_factory=set)
    new_bytes: int = 0
    from_trash: int = 0
    attempts: int = 0
    _trash: tuple[float, list[str]] = (0.0, [])

    def alive(self) -> None:
        """Called between blocks: stop if the user interrupted, and refresh the lock."""
        self.check_abort()
        self.lock.refresh()

    def put(self, sha256: str, size_bytes: int, blocks: Iterator[bytes]) -> None:
        """Write an object that the target does not have."""
        self.repository.put(sha256, size_bytes, blocks)
        self.added.add(sha256)
        self.new_bytes += size_bytes

    def trash(self) -> list[str]:
        """Paths of the files in the trash; the list is not older than `_TRASH_S`."""
        listed_at, paths = self._trash
        if not listed_at or time.monotonic() - listed_at > _TRASH_S:
            paths = [found.path for found in found_files(self.files, "trash") if found.is_regular]
            self._trash = (time.monotonic(), paths)
        return paths


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
        with database.reading() as connection:
            expected = list(expected_objects(connection))
        _copy_available(run, expected)
        for _ in range(_ATTEMPTS):
            run.attempts += 1
            with _large_folder(repository) as folder:
                path = folder / CATALOG_FILE
                at = datetime.now(UTC)
                begun = time.monotonic()
                progress.start(0, "copying the database")
                try:
                    indexes = copy_catalog(
                        database,
                        path,
                        on_snapshot=lambda connection: _copy_available(run, list(expected_objects(connection))),
                        check_abort=run.alive,
                    )
                    copy = _store_database(run, path, indexes, has_rows=not database.is_sqlite)
                finally:
                    progress.finish()
                database_s = time.monotonic() - begun
                checkpoint("backup:database")
                values, problems = _copy_files(run, path)
            if not _purged(database, problems):
                break
        else:
            raise BusyError(
                f"files were deleted and purged while {_ATTEMPTS} backups were attempted, so none is complete",
                hint="Purge less often, or keep files in the trash for some days.",
            )
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
            "problems": problems,
            "new_files": len({each.sha256 for each in (*values["files"], *values["beside"])} & run.added),
            "new_bytes": run.new_bytes,
        }
        snapshot = _save(run, values)
    _record(database, snapshot, str(repository.target))
    return BackupReport(
        snapshot,
        snapshot.file_count - snapshot.new_files,
        run.from_trash,
        run.attempts,
        database_s,
        time.monotonic() - started,
    )


def _record(database: Database, snapshot: Snapshot, target: str) -> None:
    """Record the backup as an activity, unless the account has no write access or the database stays locked.

    Other errors, such as a full disk, become warnings, because the snapshot is complete.
    """
    details: Details = {
        "target": target,
        "files": snapshot.file_count,
        "new_bytes": snapshot.new_bytes,
        "problems": len(snapshot.problems),
    }
    try:
        with contextlib.suppress(BusyError, ReadOnlyStoreError):
            database.require_writable()
            with database.writing() as connection:
                record_activity(connection, "backed_up", f"snapshot {snapshot.short_id}", details)
    except BsvStoreError as error:
        problem = f"the snapshot {snapshot.short_id} is complete, but the store could not record it: {error.message}"
        warnings.warn(BsvStoreWarning(problem, hint=error.hint), stacklevel=2)


def _copy_available(run: _Run, expected: list[StoredObject]) -> None:
    """Copy files; those that are not there, or damaged, are left to the last pass."""
    run.progress.start(len(expected), "copying files")
    try:
        for each in expected:
            _copy_object(run, each)
            checkpoint("backup:file")
    finally:
        run.progress.finish()


def _purged(database: Database, problems: list[Problem]) -> bool:
    """Whether files are missing because they were deleted and purged; the others are missing from the store itself."""
    missing = {each.path for each in problems if each.problem == "missing"}
    if not missing:
        return False
    with database.reading() as connection:
        return not missing <= {each.path for each in expected_objects(connection)}


@contextmanager
def _large_folder(repository: Repository) -> Iterator[Path]:
    """Where the copy of the database is made: on the disk of the target, which must have room for it anyway."""
    root = getattr(repository.target, "root", None)
    if not isinstance(root, Path):
        with TemporaryFolder() as temporary:
            yield temporary
        return
    parent = root / TMP
    with target_errors(repository.target):
        parent.mkdir(exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix="bsv-backup-", dir=parent, ignore_cleanup_errors=True)
    with made as folder:
        yield Path(folder)


def _store_database(run: _Run, path: Path, indexes: tuple[str, ...], *, has_rows: bool) -> DatabaseCopy:
    whole, parts = hashlib.sha256(), []
    with target_errors(run.repository.target), path.open("rb") as file:
        while part := file.read(PART_BYTES):
            run.alive()
            whole.update(part)
            sha256 = hashlib.sha256(part).hexdigest()
            parts.append((sha256, len(part)))
            if not run.repository.has(sha256, len(part)):
                run.put(sha256, len(part), iter([part]))
    rows: dict[str, int] = {}
    if has_rows:
        with closing(Database(path, read_only=True)) as copy, copy.reading() as connection:
            rows = row_counts(connection)
    return DatabaseCopy(sum(size for _, size in parts), whole.hexdigest(), tuple(parts), indexes, rows)


def _copy_files(run: _Run, catalog: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Copy the files that the copied catalog expects; returns what the manifest says about it, and problems."""
    with closing(Database(catalog, read_only=True)) as database, database.reading() as connection:
        revision = schema.current_revision(connection)
        if connection.execute(select(StoreInfo.store_id)).scalar() is None:
            raise StoreError("the copied catalog belongs to no store", hint="Check it: bsv-store catalog verify")
        names = connection.execute(select(Dataset.name, Dataset.last_number)).all()
        # Versions with the same bytes share a file.
        expected = {each.path: each for each in expected_objects(connection)}
    copied, problems = [], []
    run.progress.start(len(expected), "checking files")
    try:
        for each in expected.values():
            if (problem := _copy_object(run, each)) is None:
                copied.append(BackedUpFile(each.path, each.size_bytes, each.file_sha256))
            else:
                problems.append(Problem(each.path, each.key, problem))
        beside = list(_copy_beside(run))
    finally:
        run.progress.finish()
    values = {
        "revision": revision,
        "files": copied,
        "beside": beside,
        "last_numbers": {str(name): int(number) for name, number in names},
    }
    return values, problems


def _copy_object(run: _Run, wanted: StoredObject) -> ProblemKind | None:
    """Copy a file if the target does not have it; returns the problem if the store does not have it."""
    problem: ProblemKind | None = None
    if not run.repository.has(wanted.file_sha256, wanted.size_bytes):
        problem = "missing"
        for path in _candidates(run, wanted.path):
            try:
                run.put(wanted.file_sha256, wanted.size_bytes, _read(run, path, wanted))
            except FileNotFoundError:
                continue
            except DamagedFileError:
                problem = "damaged"
                continue
            run.from_trash += path.relative_to(run.files.root).parts[0] == "trash"
            problem = None
            break
    run.progress.advance()
    return problem


def _candidates(run: _Run, relative: str) -> Iterator[Path]:
    """The file, and if it is not there, what has its name in the trash. Looked up when it is needed."""
    path = run.files.path(relative)
    yield path
    for found in run.trash():
        if found.endswith(path.name):
            yield run.files.path(found)
    # It may have been taken out of the trash, or published again, while the trash was listed.
    yield path


def _read(run: _Run, path: Path, wanted: StoredObject) -> Iterator[bytes]:
    def damaged(_sha256: str) -> DamagedFileError:
        return DamagedFileError(f"the file {path} differs from what was stored")

    try:
        with path.open("rb") as file:
            for block in checked_blocks(
                file.read, wanted.file_sha256, wanted.size_bytes, alive=run.alive, error=damaged
            ):
                run.progress.advance(0, size_bytes=len(block))
                yield block
    except FileNotFoundError:
        raise
    except OSError as error:
        # A bad sector, for example: the other files can still be saved.
        raise DamagedFileError(f"the file {path} cannot be read: {error}") from error


def _copy_beside(run: _Run) -> Iterator[BackedUpFile]:
    """Copy the files beside the datasets, such as the records of version numbers, and in the store's folder itself."""
    for path in _beside(run.files):
        run.alive()
        found = _copy_mutable(run, path)
        if found is not None:
            yield found


def _copy_mutable(run: _Run, path: Path) -> BackedUpFile | None:
    """Copy a file that may be changed or removed meanwhile; None if it was removed."""

    def changed(_sha256: str) -> DamagedFileError:
        return DamagedFileError(f"the file {path} was changed while it was copied")

    for attempt in range(_ATTEMPTS):
        try:
            sha256, size_bytes = file_sha256(path)
            if not run.repository.has(sha256, size_bytes):
                with path.open("rb") as file:
                    run.put(sha256, size_bytes, checked_blocks(file.read, sha256, size_bytes, error=changed))
        except FileNotFoundError:
            return None
        except DamagedFileError:
            if attempt == _ATTEMPTS - 1:
                raise
        except OSError as error:
            raise StoreUnreachableError(
                f"the file {path} cannot be read: {error.strerror or error}",
                hint="Back up as an account that can read all files of the store.",
            ) from error
        else:
            return BackedUpFile(path.relative_to(run.files.root).as_posix(), size_bytes, sha256)
    return None


def _beside(files: StoreFiles) -> Iterator[Path]:
    numbers = files.path(NUMBERS_FOLDER)
    # No symbolic links: their targets are outside the store, and may be readable for this account only.
    if not (numbers.is_symlink() or numbers.parent.is_symlink()):
        with read_errors(numbers):
            records = sorted(path for path, found in entries_below(numbers) if stat.S_ISREG(found.st_mode))
        yield from (path for path in records if path.suffix == ".json")
    for found in sorted(found_files(files, "datasets"), key=lambda each: each.path):
        if found.is_regular and not found.path.endswith((_RESULT_ENDING, ".tmp")):
            yield files.path(found.path)
    with read_errors(files.root):
        paths = sorted(files.root.iterdir())
    for path in paths:
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
