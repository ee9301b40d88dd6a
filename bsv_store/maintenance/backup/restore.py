"""Restore a snapshot into a new folder, and into either database.

Every byte is checked against its hash. ``store.toml`` is written last, so a restore that was killed is not a store;
running it again continues. Until then, ``restore.json`` says what is being restored.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, inspect, select, update

from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.bulk import refresh_statistics_after
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Claim, Dataset, StoreInfo
from bsv_store.catalog.database.postgres import normalized_url
from bsv_store.checkpoints import checkpoint
from bsv_store.config import CATALOG_FILE, FOLDERS, FORMAT_VERSION, SQLITE, STORE_FILE, StoreConfig
from bsv_store.errors import UPGRADE_HINT, BackupError, NoSpaceError, SchemaTooNewError, StoreError, StoreExistsError
from bsv_store.file_systems import read_errors
from bsv_store.maintenance.backup.database_copy import create_indexes
from bsv_store.maintenance.backup.lock import Lock, locked
from bsv_store.maintenance.backup.manifest import RESTORE_MARKER, BackedUpFile, Snapshot
from bsv_store.maintenance.backup.repository import Repository, open_repository
from bsv_store.maintenance.folder_link import (
    read_identity,
    record_identity,
    recorded_identity,
    set_moved_to,
    unlink_folder,
    write_token,
)
from bsv_store.maintenance.inventory import expected_objects
from bsv_store.maintenance.logical_copy import compare_rows, copy_rows
from bsv_store.owner import current_user
from bsv_store.progress import NO_PROGRESS, Progress, do_nothing
from bsv_store.text import size_text
from bsv_store.volumes.files import StoreFiles, hashes_of, store_errors, temporary_owner

if TYPE_CHECKING:
    from sqlalchemy import Connection

_NEW_FOLDER = "Restore into a new or empty folder."


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """Result of a restore.

    Attributes
    ----------
    snapshot : Snapshot
    path : pathlib.Path
        Folder of the restored store.
    database : str
        ``sqlite`` or the URL of the Postgres database.
    files : int
        Number of restored files.
    size_bytes : int
        Size of files and database.
    compared_rows : int or None
        Number of rows of the Postgres database that were compared with the snapshot. None on SQLite, whose file has
        the stored bytes, or if an earlier run compared them.
    raised_numbers : dict of str to int
        Highest version numbers by dataset, where another snapshot of the store has a higher one than this snapshot.
        These numbers are not assigned again.
    upgraded_from : str or None
        Schema revision of the snapshot, if it was upgraded.
    """

    snapshot: Snapshot
    path: Path
    database: str
    files: int
    size_bytes: int
    compared_rows: int | None
    raised_numbers: dict[str, int]
    upgraded_from: str | None


@dataclass(slots=True)
class _Run:
    """A restore that is in progress."""

    repository: Repository
    snapshot: Snapshot
    files: StoreFiles
    config: StoreConfig
    lock: Lock
    progress: Progress
    check_abort: Callable[[], None]

    def alive(self) -> None:
        """Called between blocks: stop if the user interrupted, and refresh the lock."""
        self.check_abort()
        self.lock.refresh()


def restore_snapshot(
    target: str | os.PathLike[str],
    folder: Path,
    *,
    snapshot: str | None = None,
    database: str | None = None,
    progress: Progress = NO_PROGRESS,
    check_abort: Callable[[], None] = do_nothing,
) -> RestoreReport:
    """See `bsv_store.store.restoring.restore_store`."""
    repository = open_repository(target)
    found = repository.snapshot(snapshot)
    _check_supported(found)
    url = SQLITE if database is None else normalized_url(database).render_as_string()
    config = StoreConfig(found.store_id, found.format_version, url, found.file_mode, found.directory_mode)
    is_completed = _refuse_occupied(folder, found, config)
    files = StoreFiles(folder, config.file_mode, config.directory_mode)
    with locked(repository.target, "restore") as lock:
        run = _Run(repository, found, files, config, lock, progress, check_abort)
        others = _other_snapshots(repository, found)
        beside = _beside(found, others)
        numbers = _raised_numbers(found, others)
        compared = None if is_completed else _restore(run, beside, numbers)
        with store_errors(folder / RESTORE_MARKER):
            (folder / RESTORE_MARKER).unlink(missing_ok=True)
    return RestoreReport(
        found,
        folder,
        url,
        len(found.files) + len(beside),
        found.size_bytes,
        compared,
        numbers,
        None if found.revision == schema.HEAD else found.revision,
    )


def _restore(run: _Run, beside: list[BackedUpFile], numbers: Mapping[str, int]) -> int | None:
    """Restore files and database into the folder, and make it a store; returns the result of `_restore_database`."""
    folder, url = run.files.root, run.config.database
    if url != SQLITE:
        # Before anything is written.
        with closing(Database(normalized_url(url))) as server:
            _refuse_occupied_database(server, folder)
    _require_space(folder, run.snapshot)
    with store_errors(folder):
        for name in ("", *FOLDERS):
            run.files.make_folder(folder / name)
    run.files.publish(RESTORE_MARKER, _marker(run.snapshot, run.config))
    _restore_files(run, [*run.snapshot.files, *beside])
    checkpoint("restore:files")
    compared = _restore_database(run, numbers)
    checkpoint("restore:database")
    _refuse_completed(folder)
    run.files.publish(STORE_FILE, run.config.to_toml().encode())
    checkpoint("restore:finished")
    return compared


# -- before anything is written ---------------------------------------------------------------------------------------


def _check_supported(snapshot: Snapshot) -> None:
    if snapshot.revision not in schema.KNOWN_REVISIONS or snapshot.format_version > FORMAT_VERSION:
        raise SchemaTooNewError(
            f"snapshot {snapshot.short_id} was made by bsv-store {snapshot.release} and has the schema revision "
            f"{snapshot.revision}, which this version does not know",
            hint=UPGRADE_HINT,
        )


def _marker(snapshot: Snapshot, config: StoreConfig) -> bytes:
    return json.dumps({"snapshot": snapshot.id, "database": config.database}).encode()


def _refuse_occupied(folder: Path, snapshot: Snapshot, config: StoreConfig) -> bool:
    """Whether an earlier run has completed the restore, except for its marker. Raises an error if it is another one."""
    marker = folder / RESTORE_MARKER
    if marker.exists():
        with read_errors(marker):
            content = marker.read_bytes()
        if content != _marker(snapshot, config):
            raise StoreExistsError(
                f"{folder} has an incomplete restore of another snapshot, or into another database",
                hint=f"Finish that one with its options, or use a new folder. It is described in {marker}.",
            )
        return (folder / STORE_FILE).exists()
    if (folder / STORE_FILE).exists():
        raise StoreExistsError(f"{folder} is a bsv-store, which a restore never changes", hint=_NEW_FOLDER)
    if folder.exists() and not folder.is_dir():
        raise StoreExistsError(f"{folder} is a file", hint=_NEW_FOLDER)
    with read_errors(folder):
        found = [each for each in folder.iterdir() if not _is_beginning(each)] if folder.is_dir() else []
    if names := sorted(each.name for each in found):
        raise StoreExistsError(f"{folder} is not empty: it contains {', '.join(names[:3])}", hint=_NEW_FOLDER)
    return False


def _refuse_completed(folder: Path) -> None:
    """Raise an error if another process has restored into the same folder meanwhile."""
    if (folder / STORE_FILE).exists():
        raise StoreExistsError(f"another process has restored {folder} meanwhile", hint="Use that store.")


def _is_beginning(path: Path) -> bool:
    """Whether a restore that was interrupted before it wrote its marker may have left this."""
    if path.name not in FOLDERS or not path.is_dir():
        return False
    return all(path.name == "tmp" and temporary_owner(each.name) is not None for each in path.iterdir())


def _refuse_occupied_database(database: Database, folder: Path) -> bool:
    """Whether an earlier run has restored the database. Raises an error if it has the catalog of a store."""
    with database.reading() as connection:
        revision = schema.current_revision(connection)
        if revision is None:
            if inspect(connection).get_table_names():
                raise StoreExistsError(
                    f"the database {database} is not empty", hint="Use a new database; createdb creates one."
                )
            return False
        owner = connection.execute(select(StoreInfo.store_id)).scalar()
        if owner is None:
            return False
        ours, theirs = read_identity(folder), recorded_identity(connection) if revision == schema.HEAD else None
    if ours is None or theirs is None or ours.token != theirs.token:
        raise StoreExistsError(
            f"the database {database} already has the catalog of store {owner}",
            hint="Restore into a new database; createdb creates one.",
        )
    return True


def _require_space(folder: Path, snapshot: Snapshot) -> None:
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    done = sum(path.stat().st_size for each in snapshot.files if (path := folder / each.path).is_file())
    needed, free = snapshot.size_bytes - done, shutil.disk_usage(existing).free
    if needed > free:
        raise NoSpaceError(
            f"the store needs {size_text(needed)}, and {existing} has {size_text(free)} left",
            hint="Free some space, or restore to another disk.",
        )


# -- files ------------------------------------------------------------------------------------------------------------


def _other_snapshots(repository: Repository, snapshot: Snapshot) -> list[Snapshot]:
    """The other snapshots of the same store, whatever their times: the clocks of hosts may differ."""
    found, _ = repository.snapshots()
    return [each for each in found if each.store_id == snapshot.store_id and each.id != snapshot.id]


def _raised_numbers(snapshot: Snapshot, others: list[Snapshot]) -> dict[str, int]:
    """The highest version number of each dataset, where another snapshot has a higher one."""
    highest = dict(snapshot.last_numbers)
    for each in others:
        for name, number in each.last_numbers.items():
            highest[name] = max(number, highest.get(name, 0))
    return {name: number for name, number in highest.items() if number > snapshot.last_numbers.get(name, 0)}


def _beside(snapshot: Snapshot, others: list[Snapshot]) -> list[BackedUpFile]:
    """The files beside the datasets of the snapshot that knows the most numbers; the other files of this one."""
    found = {each.path: each for each in snapshot.beside}
    latest = max((snapshot, *others), key=lambda each: (sum(each.last_numbers.values()), each.created_at))
    found |= {each.path: each for each in latest.beside if each.path.startswith("datasets/")}
    return list(found.values())


def _restore_files(run: _Run, wanted: list[BackedUpFile]) -> None:
    run.progress.start(len(wanted), "restoring files")
    try:
        for each in wanted:
            run.alive()
            if not _is_restored(run.files.path(each.path), each):
                _write(run, each.path, [(each.sha256, each.size_bytes)])
            run.progress.advance(size_bytes=each.size_bytes)
            checkpoint("restore:file")
    finally:
        run.progress.finish()


def _is_restored(path: Path, wanted: BackedUpFile) -> bool:
    """Whether an earlier run has restored a file."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != wanted.size_bytes:
                return False
            return hashes_of(file).sha256 == wanted.sha256
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"the file {path} cannot be read: {error}") from error


def _write(run: _Run, path: str, parts: list[tuple[str, int]]) -> None:
    with run.files.temporary() as temporary:
        _assemble(run, temporary, parts)
        run.files.publish_file(temporary, path)


def _assemble(run: _Run, path: Path, parts: Iterator[tuple[str, int]] | list[tuple[str, int]]) -> str:
    """Write objects to a file, one after the other; returns the hash of the file."""
    digest = hashlib.sha256()
    with store_errors(path), path.open("xb") as file:
        for sha256, size_bytes in parts:
            for block in run.repository.blocks(sha256, size_bytes, alive=run.alive):
                digest.update(block)
                file.write(block)
    return digest.hexdigest()


# -- database ---------------------------------------------------------------------------------------------------------


def _restore_database(run: _Run, numbers: Mapping[str, int]) -> int | None:
    """Restore the database; returns the number of compared rows if it is on Postgres."""
    run.progress.start(0, "restoring the database")
    try:
        if run.config.database == SQLITE and (run.files.root / CATALOG_FILE).exists():
            # By an earlier run, which completed it under another name.
            return None
        if run.config.database != SQLITE:
            with closing(Database(normalized_url(run.config.database))) as server:
                return _restore_server(run, server, numbers)
        with run.files.temporary() as temporary:
            _complete_copy(run, temporary)
            with closing(Database(temporary)) as catalog, catalog.writing() as connection:
                _adjust(run, connection, numbers)
            # Users may already work in the restored store.
            _refuse_completed(run.files.root)
            run.files.publish_file(temporary, CATALOG_FILE)
        return None
    finally:
        run.progress.finish()


def _complete_copy(run: _Run, path: Path) -> None:
    """The catalog of the snapshot as a SQLite file, complete and at the newest revision."""
    copy = run.snapshot.database
    if _assemble(run, path, list(copy.parts)) != copy.sha256:
        raise BackupError(f"the database of snapshot {run.snapshot.short_id} differs from what was stored")
    create_indexes(path, copy.indexes)
    if run.snapshot.revision != schema.HEAD:
        with closing(Database(path)) as catalog:
            schema.upgrade(catalog)


def _restore_server(run: _Run, server: Database, numbers: Mapping[str, int]) -> int | None:
    if _refuse_occupied_database(server, run.files.root):
        # An earlier run has committed all rows.
        with server.reading() as connection:
            _require_expected(run, connection)
        return None
    with run.files.temporary() as copy:
        _complete_copy(run, copy)
        # The token first: by it the next run knows that the rows are its own.
        write_token(run.files)
        schema.upgrade(server)
        with (
            closing(Database(copy, read_only=True)) as catalog,
            catalog.reading() as source,
            server.writing() as connection,
        ):
            copy_rows(source, connection, check_abort=run.alive)
            checkpoint("restore:rows")
            compared = compare_rows(source, connection, check_abort=run.alive)
            _adjust(run, connection, numbers)
            record_identity(connection, run.files)
    refresh_statistics_after(server, compared)
    return compared


def _adjust(run: _Run, connection: Connection, numbers: Mapping[str, int]) -> None:
    """Turn a copied catalog into that of the restored store."""
    # Their processes work for the original store.
    connection.execute(delete(Claim))
    unlink_folder(connection)
    set_moved_to(connection, None)
    raise_last_numbers(connection, numbers)
    _require_expected(run, connection)
    record_activity(
        connection,
        "restored",
        str(run.files.root),
        {
            "snapshot": run.snapshot.short_id,
            "taken_at": run.snapshot.created_at.isoformat(timespec="seconds"),
            "from": str(run.repository.target),
        },
    )


def raise_last_numbers(connection: Connection, numbers: Mapping[str, int]) -> None:
    """Make sure that version numbers up to these are not assigned again, even those of datasets that do not exist."""
    for name, number in sorted(numbers.items()):
        condition = Dataset.name == name
        if connection.execute(update(Dataset.__table__).where(condition).values(last_number=number)).rowcount == 0:
            values = {"created_at": datetime.now(UTC), "created_by": current_user(), "last_number": number}
            connection.execute(insert(Dataset.__table__).values(name=name, **values))


def _require_expected(run: _Run, connection: Connection) -> None:
    """Check that the restored database expects exactly the restored files."""
    expected = {each.path: (each.size_bytes, each.file_sha256) for each in expected_objects(connection)}
    restored = {each.path: (each.size_bytes, each.sha256) for each in run.snapshot.files}
    for each in run.snapshot.problems:
        expected.pop(each.path, None)
    if expected != restored:
        raise BackupError(
            f"the files of snapshot {run.snapshot.short_id} are not those that its database expects",
            hint="Use another snapshot: bsv-store backup list TARGET",
        )
