"""Verify a backup target: that every snapshot is complete, and with ``deep`` that every byte is intact."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import select

from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import StoreInfo
from bsv_store.errors import BackupError, BsvStoreError
from bsv_store.maintenance.backup.lock import Lock, locked
from bsv_store.maintenance.backup.manifest import Snapshot
from bsv_store.maintenance.backup.repository import DamagedObjectError, Repository, object_name, open_repository
from bsv_store.maintenance.catalog_checks import rule_findings, seal_findings
from bsv_store.maintenance.inventory import expected_objects
from bsv_store.progress import NO_PROGRESS, Progress, do_nothing
from bsv_store.temporary import TemporaryFolder
from bsv_store.volumes.files import store_errors

_UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class BackupFinding:
    """A problem in a backup target.

    Attributes
    ----------
    snapshot : str
        Id of the snapshot, shortened.
    path : str
        The file of the store that cannot be restored, ``catalog.db`` for the database, or ``manifest``.
    problem : str
    """

    snapshot: str
    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class BackupCheck:
    """Result of verifying a backup target.

    Attributes
    ----------
    snapshots : int
        Number of verified snapshots.
    objects, size_bytes : int
        Number and size of the objects that they need.
    is_deep : bool
        Whether all bytes were read.
    unused_objects, unused_bytes : int
        Objects that no snapshot needs. ``backup prune`` removes them.
    discarded : int
        Damaged objects that were removed, so that the next backup stores them again.
    findings : tuple of BackupFinding
    """

    snapshots: int
    objects: int
    size_bytes: int
    is_deep: bool
    unused_objects: int
    unused_bytes: int
    discarded: int
    findings: tuple[BackupFinding, ...]


def verify_target(
    target: str | os.PathLike[str],
    *,
    snapshot: str | None = None,
    deep: bool = False,
    discard_damaged: bool = False,
    progress: Progress = NO_PROGRESS,
    check_abort: Callable[[], None] = do_nothing,
) -> BackupCheck:
    """See `bsv_store.store.restoring.verify_backup`."""
    repository = open_repository(target)
    with locked(repository.target, "verify") as lock:
        everything, damaged = repository.snapshots()
        wanted = everything if snapshot is None else [repository.snapshot(snapshot)]
        findings = [BackupFinding(each[:8], "manifest", "damaged") for each in damaged if snapshot is None]
        sizes = repository.object_sizes(refresh=True)
        needed: dict[str, int] = {}
        for each in wanted:
            needed |= each.objects()
        bad = {sha256: "missing" for sha256, size in needed.items() if sizes.get(sha256) != size}
        if deep:
            present = [(sha256, size) for sha256, size in needed.items() if sha256 not in bad]
            bad |= _read_all(repository, present, lock, progress, check_abort)
        for each in wanted:
            findings += _findings(each, bad)
            if deep and not any(sha256 in bad for sha256, _ in each.database.parts):
                findings += _check_database(repository, each, lock, check_abort)
        discarded = 0
        if discard_damaged:
            for sha256, problem in bad.items():
                if problem == _UNREADABLE:
                    continue
                discarded += sha256 in sizes
                repository.target.remove(object_name(sha256))
        used: set[str] = set()
        for each in everything:
            used |= each.objects().keys()
        unused = {sha256: size for sha256, size in sizes.items() if sha256 not in used}
    return BackupCheck(
        len(wanted),
        len(needed),
        sum(needed.values()),
        deep,
        len(unused),
        sum(unused.values()),
        discarded,
        tuple(findings),
    )


def _read_all(
    repository: Repository,
    objects: Iterable[tuple[str, int]],
    lock: Lock,
    progress: Progress,
    check_abort: Callable[[], None],
) -> dict[str, str]:
    """Read and hash objects; returns what is wrong with those that are damaged or unreadable."""
    wanted = list(objects)
    bad = {}

    def alive() -> None:
        check_abort()
        lock.refresh()

    progress.start(len(wanted), "reading objects")
    try:
        for sha256, size_bytes in wanted:
            try:
                for _ in repository.blocks(sha256, size_bytes, alive=alive):
                    pass
            except DamagedObjectError:
                bad[sha256] = "damaged"
            except BackupError:
                # The network or the disk failed, or access is denied: the bytes may be intact.
                bad[sha256] = _UNREADABLE
            progress.advance(size_bytes=size_bytes)
    finally:
        progress.finish()
    return bad


def _findings(snapshot: Snapshot, bad: dict[str, str]) -> list[BackupFinding]:
    found = [
        BackupFinding(snapshot.short_id, each.path, f"{bad[each.sha256]} in the backup")
        for each in (*snapshot.files, *snapshot.beside)
        if each.sha256 in bad
    ]
    if parts := [bad[sha256] for sha256, _ in snapshot.database.parts if sha256 in bad]:
        found.append(BackupFinding(snapshot.short_id, "catalog.db", f"{parts[0]} in the backup"))
    found += [
        BackupFinding(snapshot.short_id, each.path, f"{each.problem} in the store when the backup was taken")
        for each in snapshot.problems
    ]
    return found


def _check_database(
    repository: Repository, snapshot: Snapshot, lock: Lock, check_abort: Callable[[], None]
) -> list[BackupFinding]:
    """Reassemble the database, and check it and the list of files that it expects."""
    what = (snapshot.short_id, "catalog.db")
    with TemporaryFolder() as folder:
        path = folder / "catalog.db"
        digest = hashlib.sha256()
        with store_errors(path), path.open("wb") as file:
            for sha256, size_bytes in snapshot.database.parts:
                for block in repository.blocks(sha256, size_bytes, alive=check_abort):
                    lock.refresh()
                    digest.update(block)
                    file.write(block)
        if digest.hexdigest() != snapshot.database.sha256:
            return [BackupFinding(*what, "its parts do not give the stored file")]
        try:
            with closing(Database(path, read_only=True)) as database, database.reading() as connection:
                problems = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(3)")]
                if problems != ["ok"]:
                    return [BackupFinding(*what, f"damaged: {problems[0]}")]
                if connection.execute(select(StoreInfo.store_id)).scalar() != snapshot.store_id:
                    return [BackupFinding(*what, "belongs to another store")]
                if schema.current_revision(connection) != schema.HEAD:
                    # Queries are those of the newest schema.
                    return []
                expected = defaultdict(set)
                for each in expected_objects(connection):
                    expected[each.path].add(each.file_sha256)
            with closing(Database(path, read_only=True)) as database:
                damaged = [
                    BackupFinding(*what, f"{each.object}: {each.problem}; so in the store when the backup was taken")
                    for each in (*seal_findings(database), *rule_findings(database))
                    if each.is_damage
                ]
        except BsvStoreError as error:
            return [BackupFinding(*what, error.message)]
    stored = {each.path: {each.sha256} for each in snapshot.files}
    known = {each.path for each in snapshot.problems}
    wrong = [path for path in expected.keys() | stored.keys() if path not in known]
    return damaged + [
        BackupFinding(snapshot.short_id, path, "the database expects another file")
        for path in sorted(wrong)
        if expected.get(path) != stored.get(path)
    ]
