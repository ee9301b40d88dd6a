"""No name, link or record makes the store read, write or delete a file outside its folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from bsv_store import Selection, Store, open_store
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.catalog.database.models import StoredVolume
from bsv_store.errors import BackupError, BsvStoreError, DamagedFileError, InputError
from bsv_store.file_systems import is_inside
from bsv_store.maintenance.backup.manifest import encoded
from bsv_store.remote.cache import prune_cache
from bsv_store.store.restoring import list_backups, restore_store, verify_backup
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.trash import new_record
from tests.datasets.world import ask
from tests.sealing import sealed_changes

pytestmark = [
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
    # Damage is reported; here only what happens outside counts.
    pytest.mark.filterwarnings("ignore::bsv_store.errors.BsvStoreWarning"),
]

SECRET = b"not for the store\n"
NAMES = (
    "../outside/secret",
    "volumes/../../outside/secret",
    "volumes/./../../outside/secret",
    "volumes//../../outside/secret",
    "..",
    "../",
    "volumes/..",
    "volumes/a\0b",
    "",
    ".",
)


class Outside:
    """A folder beside the store, and what it contained at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "secret").write_bytes(SECRET)
        (folder / "notes").mkdir()
        (folder / "notes" / "1.json").write_bytes(SECRET)
        old = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
        for path in folder.rglob("*"):
            path.chmod(0o600 if path.is_file() else 0o700)
            os.utime(path, (old, old))
        self._before = self._state()

    @property
    def secret(self) -> Path:
        return self.folder / "secret"

    def _state(self) -> dict[str, tuple[int, int, bytes]]:
        return {
            path.relative_to(self.folder).as_posix(): (
                path.stat().st_mode,
                path.stat().st_mtime_ns if path.is_file() else 0,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in [self.folder, *self.folder.rglob("*")]
        }

    def assert_unchanged(self) -> None:
        assert self._state() == self._before


@pytest.fixture
def outside(filled_location: Path) -> Iterator[Outside]:
    """Checked after each test."""
    made = Outside(filled_location.parent / "outside")
    yield made
    made.assert_unchanged()


def assert_nothing_taken(folder: Path) -> None:
    """No file in the folder has what is outside."""
    taken = [
        path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and SECRET in path.read_bytes()
    ]
    assert taken == []


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES, "/etc/hostname", "//etc/hostname"])
def test_a_path_outside_is_never_made(name: str, tmp_path: Path, database: str) -> None:
    assert not is_inside(name)
    files = StoreFiles(tmp_path / "store")
    for act in (
        lambda: files.path(name),
        lambda: files.read(name, size_bytes=1, xxh3=""),
        lambda: files.open_for_read_into(name),
        lambda: files.publish(name, b""),
        lambda: files.publish_file(tmp_path / "x", name),
        lambda: files.trash(name, "orphan"),
        lambda: files.move_to_trash(name, "a"),
        lambda: files.size_bytes(name),
        lambda: files.discard_damaged(name),
    ):
        with pytest.raises(DamagedFileError, match="outside the store"):
            act()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_row_that_names_a_file_outside_is_refused(filled: Store, outside: Outside, name: str, tmp_path: Path) -> None:
    if "\0" in name:
        pytest.skip("SQLite cuts it")
    version = ask(filled)
    facts = {"path": name, "size_bytes": len(SECRET), "file_sha256": hashlib.sha256(SECRET).hexdigest()}
    with sealed_changes(filled.database) as connection:
        # Two rows may not have the same path.
        connection.execute(update(StoredVolume.__table__).where(StoredVolume.experiment_id == 1).values(facts))
        connection.execute(update(VersionRow.__table__).values({**facts, "path": f"{name}/" if name else "/"}))
    acts: dict[str, Callable[[], object]] = {
        "read": lambda: filled.volumes.read(1),
        "average": lambda: ask(filled, Selection(ids=[1, 2])),
        "open": lambda: filled.dataset(version.ref).mean,
        "export": lambda: filled.dataset(version.ref).export(tmp_path / "a.bsv.zip"),
        "delete": lambda: filled.datasets.delete(version.ref),
        "verify": lambda: filled.admin.verify(deep=True),
        "repair": lambda: filled.admin.repair(apply=True, offline=True),
        "gc": lambda: filled.admin.collect_garbage(apply=True, grace=timedelta(0), allow_many=True),
        "backup": lambda: filled.admin.backup(tmp_path / "backup"),
        "permissions": lambda: filled.admin.permissions(apply=True),
    }
    for act in acts.values():
        with suppress(BsvStoreError):
            act()
        outside.assert_unchanged()
    for folder in (filled.path, tmp_path / "backup"):
        assert_nothing_taken(folder)
    assert not (tmp_path / "a.bsv.zip").exists()


def test_a_record_in_the_trash_cannot_restore_to_outside(filled: Store, outside: Outside) -> None:
    for name in NAMES:
        record = new_record(name or "x", "orphan", size_bytes=3, at=datetime.now(UTC))
        folder = filled.path / "trash"
        folder.mkdir(exist_ok=True)
        (folder / f"{record.item}.json").write_text(record.to_json())
        with suppress(OSError, ValueError):
            (folder / f"{record.item}-{name.rpartition('/')[2] or 'x'}").write_bytes(b"new")
        with suppress(BsvStoreError):
            filled.admin.untrash([record.item])
        outside.assert_unchanged()
    filled.admin.trash()
    filled.admin.collect_garbage(apply=True, grace=timedelta(0), trash_days=0)


@pytest.mark.parametrize("name", ["..\\x", "volumes\\..\\..\\x", "C:\\x", "\\\\server\\share"])
def test_the_separator_of_windows_is_one_there(name: str, monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    monkeypatch.setattr("bsv_store.file_systems.os.sep", "\\")
    assert not is_inside(name)


# -- links ------------------------------------------------------------------------------------------------------------


def _link_instead(folder: Path, target: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.symlink_to(target, target_is_directory=True)


@pytest.mark.parametrize("name", ["trash", "tmp", "datasets", "volumes", "datasets/.numbers", "volumes/annotation"])
def test_linked_folders_are_not_emptied(filled_location: Path, outside: Outside, name: str) -> None:
    _link_instead(filled_location / name, outside.folder)
    with open_store(filled_location) as store:
        for act in (
            lambda: store.admin.collect_garbage(apply=True, grace=timedelta(0), trash_days=0, allow_many=True),
            lambda: store.admin.trash(),
            lambda: store.admin.verify(deep=True),
            lambda: store.admin.repair(apply=True, offline=True),
            lambda: store.admin.permissions(apply=True),
            lambda: store.admin.backup(filled_location.parent / "backup"),
        ):
            with suppress(BsvStoreError):
                act()
            outside.assert_unchanged()
    assert_nothing_taken(filled_location.parent / "backup")


def test_linked_files_are_not_followed_by_what_deletes_or_changes(filled: Store, outside: Outside) -> None:
    version = ask(filled)
    volume = next((filled.path / "volumes").rglob("1.*.h5"))
    orphan = volume.with_name(f"1.{'0' * 16}.h5")
    for place in (volume, version.path, orphan, filled.path / "tmp" / "x.tmp", filled.path / "trash" / "x"):
        place.parent.mkdir(exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(outside.secret)
    numbers = filled.path / "datasets" / ".numbers" / "other.json"
    numbers.symlink_to(outside.secret)
    with pytest.raises(DamagedFileError):
        filled.volumes.read(1)
    filled.admin.permissions(apply=True)
    filled.admin.verify(deep=True)
    filled.admin.backup(filled.path.parent / "backup")
    assert_nothing_taken(filled.path.parent / "backup")
    filled.admin.repair(apply=True, offline=True)
    filled.datasets.delete(version.ref)
    filled.admin.collect_garbage(apply=True, grace=timedelta(0), trash_days=0, allow_many=True)
    assert not (filled.path / "trash" / "x").is_symlink()


def test_files_with_another_name_outside_keep_it(filled: Store, outside: Outside) -> None:
    volume = next((filled.path / "volumes").rglob("1.*.h5"))
    orphan = volume.with_name(f"1.{'0' * 16}.h5")
    os.link(outside.secret, orphan)
    (filled.path / "trash").mkdir(exist_ok=True)
    os.link(outside.secret, filled.path / "trash" / "x")
    filled.admin.collect_garbage(apply=True, grace=timedelta(0), trash_days=0, allow_many=True)
    filled.admin.collect_garbage(apply=True, grace=timedelta(0), trash_days=0, allow_many=True)
    assert not orphan.exists()
    assert outside.secret.stat().st_nlink == 1


def test_an_archive_does_not_replace_what_a_link_names(filled: Store, outside: Outside, tmp_path: Path) -> None:
    version = ask(filled)
    target = tmp_path / "a.bsv.zip"
    target.symlink_to(outside.secret)
    with suppress(BsvStoreError):
        version.export(target)
    outside.assert_unchanged()
    with suppress(BsvStoreError):
        version.export(target, overwrite=True)


# -- backups ----------------------------------------------------------------------------------------------------------


def _forge(target: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest of the only snapshot, and give it the id of what it is now."""
    (path,) = (target / "snapshots").iterdir()
    values = json.loads(path.read_bytes())
    values.pop("format")
    change(values)
    identifier, text = encoded(values)
    path.unlink()
    path.with_name(f"{identifier}.json").write_bytes(text)


@pytest.fixture
def backup(filled: Store, tmp_path: Path) -> Path:
    target = tmp_path / "backup"
    ask(filled)
    filled.admin.backup(target)
    return target


_HASH = hashlib.sha256(SECRET).hexdigest()


def _file(part: str, name: str) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        values[part].append({"path": name, "size_bytes": len(SECRET), "sha256": _HASH})

    return change


def _object(sha256: str) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        values["files"].append({"path": "volumes/x", "size_bytes": len(SECRET), "sha256": sha256})

    return change


def _part(sha256: str) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        values["database"]["parts"].append([sha256, len(SECRET)])

    return change


def _set(**new: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values.update(new)


FORGED = {
    **{f"file {name!r}": _file("files", name) for name in NAMES},
    **{f"beside {name!r}": _file("beside", name) for name in NAMES},
    "object outside": _object("../../../outside/secret"),
    "absolute object": _object("/etc/hostname"),
    "part outside": _part("../../../outside/secret"),
    "number outside": _set(last_numbers={"../../outside/x": 3}),
    "no files": _set(files=None),
    "unknown field": _set(more=1),
    "time": _set(created_at="soon"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_manifest_cannot_name_anything_outside(
    backup: Path, outside: Outside, filled_location: Path, what: str
) -> None:
    _forge(backup, FORGED[what])
    assert len(list_backups(backup)[1]) == 1
    for act in (
        lambda: restore_store(backup, filled_location.parent / "new"),
        lambda: restore_store(backup, filled_location.parent / "new", snapshot=list_backups(backup)[1][0]),
        lambda: verify_backup(backup, deep=True),
    ):
        with suppress(BackupError, InputError):
            act()
    outside.assert_unchanged()
    assert not (filled_location.parent / "new" / "catalog.db").exists()
    if (filled_location.parent / "new").exists():
        assert_nothing_taken(filled_location.parent / "new")


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH '{outside}/made.db' AS made",
        "VACUUM INTO '{outside}/made.db'",
        "CREATE TRIGGER made AFTER INSERT ON activity BEGIN DELETE FROM tag; END",
        "CREATE TABLE made (a)",
        "CREATE VIEW made AS SELECT 1",
        "CREATE VIRTUAL TABLE made USING fts5(a)",
        "DELETE FROM experiment",
        "UPDATE experiment SET sex = 'M'",
        "DROP TABLE activity",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = WAL",
        "SELECT load_extension('x')",
        "REINDEX",
        "CREATE INDEX mine ON experiment (load_extension('x'))",
    ],
)
def test_statements_of_a_manifest_only_create_indexes(
    backup: Path, outside: Outside, filled_location: Path, statement: str
) -> None:
    new = filled_location.parent / "new"
    text = statement.format(outside=outside.folder)

    def change(values: dict[str, Any]) -> None:
        values["database"]["indexes"] = [text]

    _forge(backup, change)
    if statement == "REINDEX":
        restore_store(backup, new)
        return
    with pytest.raises(BackupError, match="a statement that should create an index"):
        restore_store(backup, new)
    assert not (new / "catalog.db").exists()


# -- caches of remote stores ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["objects", "objects/ab", "partial", "uses", "servers", "servers/x", "locks"])
def test_pruning_a_cache_does_not_follow_links(outside: Outside, tmp_path: Path, database: str, name: str) -> None:
    folder = tmp_path / "cache"
    place = folder / name
    place.parent.mkdir(parents=True)
    place.symlink_to(outside.folder, target_is_directory=True)
    for rules in (
        {"max_bytes": 0},
        {"unused_for": timedelta(seconds=1)},
        {"server": "x"},
        {"server": outside.folder.name},
    ):
        with suppress(BsvStoreError):
            prune_cache(folder=folder, apply=True, **rules)
        outside.assert_unchanged()
