"""Backups: what they contain, what they copy again, and what is left by one that is killed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bsv_store import Selection, Store, open_store
from bsv_store.catalog.database import sqlite_copy
from bsv_store.errors import BackupError, BsvStoreWarning, BusyError, InputError, NoSpaceError
from bsv_store.maintenance.backup import snapshot as snapshot_module
from bsv_store.maintenance.backup.repository import create_repository
from bsv_store.maintenance.backup.target import LocalTarget
from bsv_store.store.restoring import list_backups, prune_backup, restore_store, verify_backup
from tests.databases import sqlite_first
from tests.datasets.world import ask
from tests.maintenance.backup import checks

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database


def test_a_second_backup_copies_only_what_is_new(filled: Store, target: str) -> None:
    first = filled.admin.backup(target)
    assert first.snapshot.new_files == len(first.snapshot.files) > 5
    assert not first.snapshot.problems
    again = filled.admin.backup(target)
    assert (again.snapshot.new_files, again.unmodified_files) == (0, first.snapshot.new_files)
    version = ask(filled, Selection(ids=[1, 2]))
    third = filled.admin.backup(target)
    assert third.snapshot.new_files == 2
    assert third.snapshot.new_bytes >= version.path.stat().st_size
    found, damaged = list_backups(target)
    assert [each.id for each in found] == [each.snapshot.id for each in (first, again, third)]
    assert not damaged
    assert found[2] == third.snapshot
    assert found[0].store_id == filled.config.store_id
    assert verify_backup(target, deep=True).findings == ()


def test_an_unchanged_catalog_is_stored_once(filled: Store, target: str) -> None:
    # A backup of a store that can be written records itself as an activity.
    with open_store(filled.path, read_only=True) as reader:
        first, second = (reader.admin.backup(target).snapshot for _ in range(2))
    parts = len(set(second.database.parts) - set(first.database.parts))
    # Copies of a Postgres catalog differ in the time of their seals at most.
    assert parts <= (0 if filled.database.is_sqlite else 1)


def test_a_backup_is_recorded_with_its_target(filled: Store, target: str) -> None:
    snapshot = filled.admin.backup(target).snapshot
    action = filled.admin.activity(limit=1).iloc[0]
    assert (action.action, action.subject) == ("backed_up", f"snapshot {snapshot.short_id}")
    assert action.details == {
        "target": target,
        "files": snapshot.file_count,
        "new_bytes": snapshot.new_bytes,
        "problems": 0,
    }


@sqlite_first
def test_a_snapshot_that_cannot_be_recorded_is_complete(
    filled: Store, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise NoSpaceError("no disk space left")

    monkeypatch.setattr(snapshot_module, "record_activity", full)
    with pytest.warns(BsvStoreWarning, match="is complete, but the store could not record it: no disk space left"):
        snapshot = filled.admin.backup(target).snapshot
    assert snapshot.problems == ()
    assert verify_backup(target, deep=True).findings == ()


def test_a_read_only_store_can_be_backed_up(filled_location: Path, target: str) -> None:
    before = checks.contents(filled_location)
    with open_store(filled_location, read_only=True) as store:
        store.admin.backup(target)
    assert checks.contents(filled_location) == before
    assert verify_backup(target, deep=True).findings == ()


def test_deleted_files_come_from_the_trash(filled: Store, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_then(lambda ref: delete(filled, ref), filled, monkeypatch)
    report = filled.admin.backup(target)
    assert (report.from_trash, report.attempts, report.snapshot.problems) == (1, 1, ())
    assert any(each.path.startswith("datasets/test/") for each in report.snapshot.files)
    assert verify_backup(target, deep=True).findings == ()


def test_the_database_is_copied_again_if_files_were_purged(
    filled: Store, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_then(lambda ref: delete(filled, ref, purge=True), filled, monkeypatch)
    report = filled.admin.backup(target)
    assert (report.from_trash, report.attempts, report.snapshot.problems) == (0, 2, ())
    assert not any(each.path.startswith("datasets/") for each in report.snapshot.files)
    assert verify_backup(target, deep=True).findings == ()


@sqlite_first
def test_no_snapshot_is_saved_if_files_are_purged_all_the_time(
    filled: Store, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_then(lambda ref: delete(filled, ref, purge=True), filled, monkeypatch, times=99)
    with pytest.raises(BusyError, match="purged while 4 backups were attempted"):
        filled.admin.backup(target)
    assert list_backups(target) == ([], [])


def copy_then(do: Callable[[str], None], store: Store, monkeypatch: pytest.MonkeyPatch, *, times: int = 1) -> None:
    """Let a version be computed just before the database is copied, and something happen to it just after that."""
    plain = snapshot_module.copy_catalog  # type: ignore[attr-defined]
    calls = 0

    def copy(database: Database, path: Path, **options: Any) -> tuple[str, ...]:
        nonlocal calls
        calls += 1
        if calls > times:
            return plain(database, path, **options)
        ref = ask(store, Selection(ids=[1, 2])).ref

        def on_snapshot(connection: Connection) -> None:
            # Only the first statement of a transaction fixes the state that it sees.
            connection.exec_driver_sql("SELECT 1")
            do(ref)

        indexes = plain(database, path, **{**options, "on_snapshot": on_snapshot})
        if database.is_sqlite:
            do(ref)
        return indexes

    monkeypatch.setattr(snapshot_module, "copy_catalog", copy)


def delete(store: Store, ref: str, *, purge: bool = False) -> None:
    store.datasets.delete(ref)
    if purge:
        checks.purge(store.path)


def once(name: str, do: object) -> object:
    """A checkpoint that calls a function the first time it is reached."""
    pending = [do]

    def reached(point: str) -> None:
        if point == name and pending:
            action = pending.pop()
            assert callable(action)
            action()

    return reached


def test_missing_and_damaged_files_are_reported_and_the_rest_is_saved(filled: Store, target: str) -> None:
    with filled.database.reading() as connection:
        paths = sorted(each.path for each in snapshot_module.expected_objects(connection))  # type: ignore[attr-defined]
    (filled.path / paths[0]).unlink()
    checks.flip(filled.path / paths[1])
    report = filled.admin.backup(target)
    assert {(each.path, each.problem) for each in report.snapshot.problems} == {
        (paths[0], "missing"),
        (paths[1], "damaged"),
    }
    assert len(report.snapshot.files) == len(paths) - 2
    assert {each.path for each in verify_backup(target).findings} == set(paths[:2])


@sqlite_first
def test_files_beside_the_datasets_are_saved(filled: Store, target: str, tmp_path: Path) -> None:
    ask(filled, Selection(ids=[1, 2]))
    (filled.path / "datasets" / "test" / "numbers.json").write_text('{"highest": 7}')
    (filled.path / "datasets" / "journal").write_text("test 7")
    (filled.path / "NOTES.txt").write_text("of the lab")
    # Left by a restore that was killed at its very end.
    (filled.path / "restore.json").write_text("{}")
    report = filled.admin.backup(target)
    beside = {each.path for each in report.snapshot.beside}
    assert beside == {
        *("datasets/test/numbers.json", "datasets/journal", "NOTES.txt"),
        # The highest version number that was assigned.
        "datasets/.numbers/test.json",
    }
    restore_store(target, tmp_path / "new")
    for name in beside:
        assert (tmp_path / "new" / name).read_bytes() == (filled.path / name).read_bytes()


_MORE_POINTS = ("backup:written@3", "backup:database")


@pytest.mark.parametrize(
    "point",
    ["backup:file@4", "backup:manifest", *(pytest.param(each, marks=pytest.mark.long) for each in _MORE_POINTS)],
)
def test_a_killed_backup_leaves_no_snapshot_and_the_next_one_continues(
    filled_location: Path, target: str, point: str
) -> None:
    checks.killed(checks.back_up, filled_location, target, at=point)
    if (Path(target) / "bsv-backup.json").exists():
        assert list_backups(target) == ([], [])
    done = len([path for path in Path(target).glob("objects/*/*") if path.is_file()])
    with open_store(filled_location) as store:
        report = store.admin.backup(target)
    # Its lock does not hold off others, and what it copied is not copied again.
    assert report.snapshot.new_files <= len(report.snapshot.files) + 1 - max(0, done - 1)
    assert verify_backup(target, deep=True).findings == ()


def test_a_first_backup_continues_where_another_one_was_killed_or_has_just_begun(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "backup"
    (target / "tmp").mkdir(parents=True)
    (target / "tmp" / "bsv-backup.json-0123456789ab.tmp").write_text("{")
    listed = LocalTarget.sizes

    def begun_meanwhile(self: LocalTarget, folder: str) -> dict[str, int]:
        monkeypatch.undo()
        create_repository(target, outside=filled.path)
        return listed(self, folder)

    monkeypatch.setattr(LocalTarget, "sizes", begun_meanwhile)
    filled.admin.backup(target)
    assert verify_backup(target, deep=True).findings == ()


def test_a_target_with_other_files_is_refused(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match=r"neither empty nor a backup target: it contains thesis\.tex"):
        filled.admin.backup(tmp_path / "other")
    with pytest.raises(InputError, match="is inside the store"):
        filled.admin.backup(filled.path / "backups")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        filled.admin.backup(tmp_path / "file")
    for wrong in ("", "a\0b", 3):
        with pytest.raises(InputError, match="target of a backup"):
            filled.admin.backup(wrong)  # type: ignore[arg-type]


def test_objects_that_disappear_meanwhile_are_noticed(
    filled: Store, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_one() -> None:
        next(Path(target).glob("objects/*/*")).unlink()

    monkeypatch.setattr(snapshot_module, "checkpoint", once("backup:manifest", lose_one))
    with pytest.raises(BackupError, match="1 objects disappeared"):
        filled.admin.backup(target)
    assert list_backups(target) == ([], [])


def test_a_prune_and_a_backup_exclude_each_other(filled: Store, target: str) -> None:
    from bsv_store.maintenance.backup.lock import locked
    from bsv_store.maintenance.backup.target import open_target
    from bsv_store.store.restoring import prune_backup

    filled.admin.backup(target)
    with locked(open_target(target), "prune"), pytest.raises(BusyError, match="a prune by"):
        filled.admin.backup(target)
    with locked(open_target(target), "backup"):
        with pytest.raises(BusyError, match="a backup by"):
            prune_backup(target, keep_last=1, apply=True)
        filled.admin.backup(target)
    assert not list((Path(target) / "locks").iterdir())


@pytest.mark.parametrize("clock", ["2026-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"])
def test_an_expired_lock_of_another_host_is_ignored_whatever_its_clock_says(
    filled: Store, target: str, clock: str
) -> None:
    filled.admin.backup(target)
    lock = Path(target) / "locks" / "x.json"
    values = {"owner": "0123456789abcdef-1-1", "host": "gone", "user": "x", "purpose": "prune"}
    for age_s, is_refused in ((31 * 60, False), (29 * 60, True)):
        lock.write_text(json.dumps({**values, "started_at": clock, "refreshed_at": clock}))
        at = lock.stat().st_mtime - age_s
        os.utime(lock, (at, at))
        if is_refused:
            with pytest.raises(BusyError, match="a prune by x on gone"):
                filled.admin.backup(target)
        else:
            filled.admin.backup(target)
            assert not lock.exists()


@sqlite_first
def test_a_lock_that_is_lost_does_not_hide_those_of_others(
    filled: Store, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.admin.backup(target)
    now = datetime.now(UTC).isoformat()
    values = {"owner": "0123456789abcdef-1-1", "host": "other", "user": "x", "started_at": now, "refreshed_at": now}
    (Path(target) / "locks" / "x.json").write_text(json.dumps({**values, "purpose": "backup"}))
    written_at = LocalTarget.written_at

    def lost(self: LocalTarget, name: str) -> datetime | None:
        if name != "locks/x.json":
            (self.root / name).unlink(missing_ok=True)
        return written_at(self, name)

    monkeypatch.setattr(LocalTarget, "written_at", lost)
    with pytest.raises(BusyError, match="a backup by x on other"):
        prune_backup(target, keep_last=1, apply=True)


def test_a_lock_that_could_not_be_removed_is_ignored(
    filled: Store, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bsv_store.store.restoring import prune_backup

    filled.admin.backup(target)

    def fail(_self: LocalTarget, name: str, *, is_durable: bool = False) -> None:
        raise BackupError(f"cannot remove {name}")

    with monkeypatch.context() as patch:
        patch.setattr(LocalTarget, "remove", fail)
        with pytest.raises(BackupError, match="cannot remove locks/"):
            prune_backup(target, keep_last=1, apply=True)
    assert list((Path(target) / "locks").iterdir())
    filled.admin.backup(target)
    assert not list((Path(target) / "locks").iterdir())


def test_a_full_target_can_be_verified_and_restored(
    filled: Store, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.admin.backup(target)

    def fail(_self: LocalTarget, _name: str, _blocks: object) -> None:
        raise NoSpaceError("no space left in the backup target")

    monkeypatch.setattr(LocalTarget, "write", fail)
    assert verify_backup(target, deep=True).findings == ()
    restore_store(target, tmp_path / "restored")
    checks.assert_intact(tmp_path / "restored")
    with pytest.raises(NoSpaceError):
        filled.admin.backup(target)


def test_a_busy_sqlite_catalog_is_copied_in_one_piece(
    filled: Store, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not filled.database.is_sqlite:
        pytest.skip("pages are copied on SQLite only")
    monkeypatch.setattr(sqlite_copy, "_PAGES", 5)
    calls = 0
    plain = sqlite_copy._copy_pages

    def busy(original, copy, on_block, *, max_restarts):  # type: ignore[no-untyped-def]
        def write() -> None:
            nonlocal calls
            calls += 1
            # Held back by the second attempt, which holds the lock of a reader.
            if max_restarts is not None and calls < 200:
                with filled.database.writing() as connection:
                    connection.exec_driver_sql("UPDATE store_info SET created_with = 'x'")

        plain(original, copy, write, max_restarts=max_restarts)

    monkeypatch.setattr(sqlite_copy, "_copy_pages", busy)
    filled.admin.backup(target)
    assert calls > 10
    assert verify_backup(target, deep=True).findings == ()
