"""Targets that are URLs: the same backups as in a folder."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bsv_store import Selection, Store, open_store
from bsv_store.errors import BackupError, InputError
from bsv_store.maintenance.backup.target import open_target
from bsv_store.store.restoring import list_backups, prune_backup, restore_store, verify_backup
from tests.databases import sqlite_first
from tests.datasets.world import ask
from tests.maintenance.backup import checks


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("fsspec")
    if request.param == "file":
        yield f"file://{tmp_path}/backups"
        return
    from fsspec.implementations.memory import MemoryFileSystem

    yield f"memory://{uuid.uuid4().hex}/backups"
    MemoryFileSystem.store.clear()


@sqlite_first
def test_a_backup_to_a_url_is_incremental_verified_pruned_and_restored(filled: Store, url: str, tmp_path: Path) -> None:
    ask(filled, Selection(ids=[1, 2]))
    before = checks.rows(filled)
    filled.admin.backup(url)
    second = filled.admin.backup(url).snapshot
    assert second.new_files == 0
    assert verify_backup(url, deep=True).findings == ()
    assert prune_backup(url, keep_last=1, apply=True).snapshots[0].is_kept is False
    assert [each.id for each in list_backups(url)[0]] == [second.id]
    target = open_target(url)
    assert target.sizes("tmp") == {}
    restore_store(url, tmp_path / "new")
    with open_store(tmp_path / "new") as restored:
        assert checks.rows(restored) == before
    checks.assert_intact(tmp_path / "new")


def test_an_object_that_cannot_be_written_leaves_nothing(url: str) -> None:
    target = open_target(url)

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise BackupError("broken")

    with pytest.raises(BackupError, match="broken"):
        target.write("objects/ab/abc", broken())
    assert target.sizes("objects") == {}
    assert target.sizes("tmp") == {}
    target.write("objects/ab/abc", [b"whole"])
    assert target.sizes("objects") == {"objects/ab/abc": 5}
    assert target.read("objects/ab/abc") == b"whole"
    target.remove("objects/ab/abc")
    target.remove("objects/ab/abc")
    with pytest.raises(FileNotFoundError):
        target.read("objects/ab/abc")


def test_what_is_no_target_is_refused(tmp_path: Path) -> None:
    for call in (list_backups, verify_backup, lambda where: prune_backup(where, keep_last=1)):
        with pytest.raises(InputError, match=r"not a backup target: bsv-backup\.json is missing"):
            call(tmp_path / "nothing")
    pytest.importorskip("fsspec")
    for web in ("http://lab.example/backups", "HTTPS://lab.example/backups"):
        with pytest.raises(InputError, match="must not be a web address"):
            list_backups(web)
    with pytest.raises(InputError, match="contains a password") as error:
        list_backups("sftp://user:secret@host/backups")
    assert "secret" not in str(error.value)
    with pytest.raises(InputError, match="cannot be used"):
        list_backups("nosuchprotocol://host/backups")
    # fsspec would connect to a server without the options that its own protocol needs.
    with pytest.raises(InputError, match="must be one URL"):
        list_backups("simplecache::sftp://host/backups")


@sqlite_first
def test_a_target_that_cannot_be_written_is_named(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BackupError, match="cannot be used: Not a directory"):
        filled.admin.backup(tmp_path / "file" / "backups")
