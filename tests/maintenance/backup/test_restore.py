"""Restoring: the same store on either database, only into new places, and completed after a kill."""

from __future__ import annotations

import errno
import io
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bsv_store import Selection, Store, open_store
from bsv_store.catalog.database import schema
from bsv_store.errors import BackupError, NoSpaceError, NotAStoreError, SchemaTooNewError, StoreExistsError
from bsv_store.maintenance.backup import database_copy
from bsv_store.maintenance.backup import restore as restore_module
from bsv_store.maintenance.backup import snapshot as snapshot_module
from bsv_store.store.restoring import list_backups, restore_store, verify_backup
from tests.conftest import DatabaseKind
from tests.databases import sqlite_first
from tests.datasets.world import ask
from tests.maintenance.backup import checks

NewDatabase = Callable[[DatabaseKind], str | None]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_restored_store_has_the_same_rows_and_files(
    filled: Store, target: str, tmp_path: Path, kind: DatabaseKind, empty_database: NewDatabase
) -> None:
    ask(filled, Selection(ids=[1, 2]))
    filled.datasets.tag("test@1", "figure")
    before = checks.rows(filled)
    state = checks.change_count(filled)
    actions = len(filled.admin.activity())
    filled.admin.backup(target)
    report = restore_store(target, tmp_path / "new", database=empty_database(kind))
    with open_store(tmp_path / "new") as restored:
        assert restored.database.is_sqlite == (kind == "sqlite")
        assert checks.rows(restored) == before
        assert checks.change_count(restored) == state
        action = restored.admin.activity(limit=1).iloc[0]
        assert (action.action, action.subject) == ("restored", str(tmp_path / "new"))
        assert action.details["snapshot"] == report.snapshot.short_id
        assert len(restored.admin.activity()) == actions + 1
    if kind == "postgres":
        assert report.compared_rows == sum(map(len, before.values())) + actions
    checks.assert_intact(tmp_path / "new")
    checks.assert_usable(tmp_path / "new")


@sqlite_first
def test_there_and_back_again_changes_nothing(
    filled: Store, tmp_path: Path, empty_database: NewDatabase, database: DatabaseKind
) -> None:
    ask(filled, Selection(ids=[1, 2]))
    before = checks.rows(filled)
    kinds: tuple[DatabaseKind, ...] = ("postgres", "sqlite") if database == "sqlite" else ("sqlite", "postgres")
    last = filled.path
    for number, kind in enumerate(kinds):
        with open_store(last) as store:
            store.admin.backup(tmp_path / f"backup-{number}")
        last = tmp_path / f"store-{number}"
        restore_store(tmp_path / f"backup-{number}", last, database=empty_database(kind))
    with open_store(last) as store:
        assert checks.rows(store) == before
    checks.assert_intact(last)


POINTS = ("restore:file@3", "restore:rows", "restore:database", "restore:finished")
MORE_POINTS = ("publish:written@5", "restore:files")


@pytest.mark.parametrize("point", [*POINTS, *(pytest.param(each, marks=pytest.mark.long) for each in MORE_POINTS)])
def test_a_killed_restore_is_not_a_store_and_is_completed(
    filled_location: Path,
    target: str,
    tmp_path: Path,
    point: str,
    database: DatabaseKind,
    empty_database: NewDatabase,
) -> None:
    if point == "restore:rows" and database == "sqlite":
        pytest.skip("SQLite is restored as a file")
    checks.back_up(filled_location, target)
    url = empty_database(database)
    new = tmp_path / "new"
    checks.killed(checks.restore, target, new, url, at=point)
    if point != "restore:finished":
        with pytest.raises(NotAStoreError):
            open_store(new)
        with pytest.raises(StoreExistsError, match="incomplete restore of another snapshot, or into another database"):
            restore_store(target, new, database=None if url else "postgresql://x@localhost/x")
    else:
        # Work in the store has begun.
        with open_store(new) as restored:
            restored.admin.configure("trash_days", 7)
    restore_store(target, new, database=url)
    if point == "restore:finished":
        with open_store(new) as restored:
            assert restored.config.trash_days == 7
    assert not (new / "restore.json").exists()
    checks.assert_intact(new)
    checks.assert_usable(new)
    with pytest.raises(StoreExistsError, match="which a restore never changes"):
        restore_store(target, new, database=url)


@sqlite_first
def test_a_restore_that_is_killed_before_its_first_file_is_complete_can_be_repeated(
    filled_location: Path, target: str, tmp_path: Path
) -> None:
    checks.back_up(filled_location, target)
    new = tmp_path / "new"
    checks.killed(checks.restore, target, new, None, at="publish:written")
    assert list((new / "tmp").iterdir())
    restore_store(target, new)
    checks.assert_intact(new)


def test_nothing_existing_is_changed(filled: Store, target: str, tmp_path: Path, empty_database: NewDatabase) -> None:
    filled.admin.backup(target)
    before = checks.contents(filled.path)
    with pytest.raises(StoreExistsError, match="which a restore never changes"):
        restore_store(target, filled.path)
    assert checks.contents(filled.path) == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(StoreExistsError, match=r"not empty: it contains thesis\.tex"):
        restore_store(target, tmp_path / "other")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreExistsError, match="is a file"):
        restore_store(target, tmp_path / "file")
    if not filled.database.is_sqlite:
        with pytest.raises(StoreExistsError, match="already has the catalog of store"):
            restore_store(target, tmp_path / "new", database=filled.config.database)
        assert not (tmp_path / "new").exists()
        url = empty_database("postgres")
        assert url is not None
        from sqlalchemy import NullPool, create_engine

        with create_engine(url, poolclass=NullPool).begin() as connection:
            connection.execute(text("CREATE TABLE theirs (x integer)"))
        with pytest.raises(StoreExistsError, match="is not empty"):
            restore_store(target, tmp_path / "new", database=url)


@sqlite_first
@pytest.mark.parametrize("what", ["file", "database", "manifest"])
def test_no_damaged_byte_is_restored(filled: Store, target: str, tmp_path: Path, what: str) -> None:
    snapshot = filled.admin.backup(target).snapshot
    sha256 = snapshot.files[3].sha256 if what == "file" else snapshot.database.parts[0][0]
    path = Path(target) / "objects" / sha256[:2] / sha256
    if what == "manifest":
        path = Path(target) / "snapshots" / f"{snapshot.id}.json"
    checks.flip(path)
    with pytest.raises(BackupError, match="damaged"):
        restore_store(target, tmp_path / "new", snapshot=snapshot.short_id)
    with pytest.raises(NotAStoreError):
        open_store(tmp_path / "new")


def test_the_copy_on_postgres_is_compared_with_the_original(
    filled: Store, target: str, tmp_path: Path, empty_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = restore_module.copy_rows  # type: ignore[attr-defined]

    def careless(source, destination, **options):  # type: ignore[no-untyped-def]
        plain(source, destination, **options)
        destination.execute(text("ALTER TABLE experiment DISABLE TRIGGER USER"))
        destination.execute(text("UPDATE experiment SET injection_ap = injection_ap + 1 WHERE id = 3"))

    monkeypatch.setattr(restore_module, "copy_rows", careless)
    filled.admin.backup(target)
    with pytest.raises(Exception, match="the copy of the table experiment differs from the original, first at id 3"):
        restore_store(target, tmp_path / "new", database=empty_database("postgres"))
    with pytest.raises(NotAStoreError):
        open_store(tmp_path / "new")


@sqlite_first
def test_numbers_of_a_host_whose_clock_is_behind_are_not_assigned_again(
    filled: Store, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(filled, Selection(ids=[1, 2]))
    filled.admin.backup(target)

    class Behind(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Behind:
            return cls.fromtimestamp(datetime.now(tz).timestamp() - 2 * 86_400, tz)

    ask(filled, Selection(ids=[1, 3]))
    with monkeypatch.context() as patch:
        patch.setattr(snapshot_module, "datetime", Behind)
        newer = filled.admin.backup(target).snapshot
    assert list_backups(target)[0][0].id == newer.id
    # The latest by its time is the older one.
    report = restore_store(target, tmp_path / "new")
    assert report.raised_numbers == {"test": 2}
    with open_store(tmp_path / "new") as restored:
        assert ask(restored, Selection(ids=[2, 3])).number == 3


@sqlite_first
def test_version_numbers_of_later_snapshots_are_not_assigned_again(filled: Store, target: str, tmp_path: Path) -> None:
    ask(filled, Selection(ids=[1, 2]))
    (filled.path / "datasets" / "journal").write_text("1")
    first = filled.admin.backup(target).snapshot
    ask(filled, Selection(ids=[1, 3]))
    ask(filled, Selection(ids=[1, 3]), name="later")
    (filled.path / "datasets" / "journal").write_text("2")
    filled.admin.backup(target)
    report = restore_store(target, tmp_path / "new", snapshot=first.id[:10])
    assert report.raised_numbers == {"test": 2, "later": 1}
    assert (tmp_path / "new" / "datasets" / "journal").read_text() == "2"
    with open_store(tmp_path / "new") as restored:
        assert [summary.name for summary in restored.datasets.list()] == ["test"]
        assert ask(restored, Selection(ids=[1, 3])).number == 3
        assert ask(restored, Selection(ids=[1, 3]), name="later").number == 2


@sqlite_first
def test_of_two_restores_at_once_the_slower_one_changes_nothing(
    filled: Store, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.admin.backup(target)
    complete = restore_module._complete_copy

    def slow(run: Any, path: Path) -> None:
        complete(run, path)
        monkeypatch.setattr(restore_module, "_complete_copy", complete)
        # Another administrator restores, and work begins.
        restore_store(target, tmp_path / "new")
        with open_store(tmp_path / "new") as restored:
            restored.catalog.exclude([1], "bad section")
            restored.admin.configure("trash_days", 7)

    monkeypatch.setattr(restore_module, "_complete_copy", slow)
    with pytest.raises(StoreExistsError, match="another process has restored"):
        restore_store(target, tmp_path / "new")
    with open_store(tmp_path / "new") as restored:
        assert [each.experiment_id for each in restored.catalog.exclusions()] == [1]
        assert restored.config.trash_days == 7


def test_a_snapshot_with_missing_files_is_restored_without_them(filled: Store, target: str, tmp_path: Path) -> None:
    with filled.database.reading() as connection:
        path = sorted(each.path for each in restore_module.expected_objects(connection))[0]  # type: ignore[attr-defined]
    (filled.path / path).unlink()
    filled.admin.backup(target)
    report = restore_store(target, tmp_path / "new")
    assert [each.path for each in report.snapshot.problems] == [path]
    open_store(tmp_path / "new").close()


def test_a_full_disk_is_noticed_before_anything_is_written(
    filled: Store, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.admin.backup(target)
    usage = restore_module.shutil.disk_usage(tmp_path)  # type: ignore[attr-defined]
    monkeypatch.setattr(restore_module.shutil, "disk_usage", lambda _path: usage._replace(free=1000))  # type: ignore[attr-defined]
    with pytest.raises(NoSpaceError, match=r"has 1\.0 kB left"):
        restore_store(target, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_old_snapshot_is_upgraded_and_a_later_one_refused(
    filled: Store, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not filled.database.is_sqlite:
        pytest.skip("the catalog of a snapshot is a SQLite file in any case")
    old = schema.KNOWN_REVISIONS[-2]
    schema.downgrade(filled.database, old)
    with monkeypatch.context() as patch:
        # As the release with that schema did, which had no templates.
        patch.setattr("bsv_store.catalog.templates.stored_templates", lambda _connection: iter(()))
        filled.admin.backup(target)
    report = restore_store(target, tmp_path / "new")
    assert report.upgraded_from == old
    checks.assert_intact(tmp_path / "new")
    monkeypatch.setattr(schema, "KNOWN_REVISIONS", ("0000", schema.HEAD))
    with pytest.raises(SchemaTooNewError, match=f"schema revision {old}"):
        restore_store(target, tmp_path / "newer")


@sqlite_first
def test_verify_finds_every_damage_and_the_next_backup_repairs_it(filled: Store, target: str) -> None:
    snapshot = filled.admin.backup(target).snapshot
    flipped, cut, gone = (Path(target) / "objects" / each.sha256[:2] / each.sha256 for each in snapshot.files[:3])
    checks.flip(flipped)
    cut.write_bytes(cut.read_bytes()[:-1])
    gone.unlink()
    quick = {each.path: each.problem for each in verify_backup(target).findings}
    assert quick == dict.fromkeys([each.path for each in snapshot.files[1:3]], "missing in the backup")
    deep = verify_backup(target, deep=True, discard_damaged=True)
    assert {each.path for each in deep.findings} == {each.path for each in snapshot.files[:3]}
    assert deep.discarded == 2
    assert filled.admin.backup(target).snapshot.new_files == 3
    assert verify_backup(target, deep=True).findings == ()


def test_rows_that_were_damaged_in_the_store_are_found_in_the_backup(filled: Store, target: str) -> None:
    with filled.database.writing() as connection:
        connection.execute(text("UPDATE structure SET acronym = 'odd' WHERE id = (SELECT max(id) FROM structure)"))
    filled.admin.backup(target)
    assert verify_backup(target).findings == ()
    (finding,) = verify_backup(target, deep=True).findings
    assert finding.path == "catalog.db"
    assert "1 row about structures" in finding.problem


@sqlite_first
@pytest.mark.parametrize("moment", ["open", "read"])
def test_an_object_that_cannot_be_read_is_not_taken_for_damaged(
    filled: Store, target: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    first = filled.admin.backup(target).snapshot.files[0]
    before = checks.contents(Path(target))
    plain = Path.open

    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name != first.sha256:
            return plain(path, *arguments, **options)
        if moment == "open":
            raise PermissionError(errno.EACCES, "Permission denied")
        return Broken()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        report = verify_backup(target, deep=True, discard_damaged=True)
        assert [(each.path, each.problem) for each in report.findings] == [(first.path, "unreadable in the backup")]
        assert report.discarded == 0
        with pytest.raises(BackupError, match=r"cannot be used: (Permission denied|Input/output error)"):
            restore_store(target, filled.path.parent / "new")
    assert checks.contents(Path(target)) == before


@sqlite_first
def test_a_target_that_cannot_be_written_is_verified_and_restored(
    filled: Store, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bsv_store.maintenance.backup.target import LocalTarget

    filled.admin.backup(target)
    before = checks.contents(Path(target))

    def refused(_self: LocalTarget, name: str, *_blocks: object) -> None:
        raise BackupError(f"{name}: Read-only file system")

    monkeypatch.setattr(LocalTarget, "write", refused)
    monkeypatch.setattr(LocalTarget, "remove", refused)
    assert verify_backup(target, deep=True).findings == ()
    restore_store(target, tmp_path / "new")
    checks.assert_intact(tmp_path / "new")
    assert checks.contents(Path(target)) == before
    with pytest.raises(BackupError, match="Read-only"):
        filled.admin.backup(target)


def test_a_full_disk_is_not_taken_for_a_damaged_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = database_copy._fast

    def without_space(connection: Any, record: object) -> None:
        plain(connection, record)
        # SQLite takes the present size of the file instead.
        connection.execute("PRAGMA max_page_count = 1")

    path = tmp_path / "catalog.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE experiment (id INTEGER PRIMARY KEY, sex TEXT)")
    monkeypatch.setattr(database_copy, "_fast", without_space)
    with pytest.raises(NoSpaceError):
        database_copy.create_indexes(path, ["CREATE INDEX by_sex ON experiment (sex)"])
