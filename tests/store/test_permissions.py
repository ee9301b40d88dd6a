"""Group and permissions of the store's files and folders."""

from __future__ import annotations

import errno
import grp
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bsv_store import Store, create_store, open_store
from bsv_store.errors import BsvStoreWarning, InputError
from bsv_store.volumes.groups import group_name, require_membership

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to any group")


def other_group() -> tuple[str, int]:
    """A group of this computer that is not this user's own."""
    found = next(each for each in grp.getgrall() if each.gr_gid not in (os.getegid(), 0))
    return found.gr_name, found.gr_gid


def modes(root: Path) -> dict[str, tuple[str, int]]:
    return {
        path.relative_to(root).as_posix(): (f"{stat.S_IMODE(path.lstat().st_mode):04o}", path.lstat().st_gid)
        for path in [root, *root.rglob("*")]
    }


def test_a_new_store_needs_no_change(store: Store) -> None:
    report = store.admin.permissions()
    assert (report.changes, report.is_applied) == ((), False)
    # The folder, four folders in it, store.toml, and the catalog or the identity of the folder.
    assert report.checked == 7
    assert store.admin.permissions(apply=True).changes == ()
    assert list(store.admin.activity()["action"]) == ["created"]


def test_wrong_permissions_are_planned_and_then_corrected(filled: Store) -> None:
    root = filled.path
    before = modes(root)
    volume = next((root / "volumes").rglob("*.h5"))
    volume.chmod(0o600)
    volume.parent.chmod(0o755)
    (root / "store.toml").chmod(0o666)
    wrong = modes(root)
    plan = filled.admin.permissions()
    assert modes(root) == wrong
    assert [(each.path, each.mode, each.wanted_mode) for each in plan.changes] == sorted(
        [
            ("store.toml", "0666", "0664"),
            (volume.parent.relative_to(root).as_posix(), "0755", "2775"),
            (volume.relative_to(root).as_posix(), "0600", "0664"),
        ]
    )
    assert plan.remaining == plan.changes
    done = filled.admin.permissions(apply=True)
    assert (len(done.changes), done.remaining) == (3, ())
    assert modes(root) == before
    record = filled.admin.activity(limit=1).to_dict("records")[0]
    assert (record["action"], record["subject"], record["details"]["changed"]) == ("configured", "permissions", 3)


@needs_root
def test_the_group_of_the_store_is_given_to_everything(filled: Store) -> None:
    name, number = other_group()
    filled.admin.configure("group", name)
    plan = filled.admin.permissions()
    assert plan.group == name
    assert len(plan.changes) == plan.checked
    assert filled.admin.permissions(apply=True).remaining == ()
    assert {group for _, group in modes(filled.path).values()} == {number}
    # A change of the group clears the setgid bit.
    assert stat.S_IMODE(filled.path.stat().st_mode) == 0o2775
    with open_store(filled.path) as again:
        assert again.admin.permissions().changes == ()
        again.files.publish("volumes/new/file", b"x")
    assert (filled.path / "volumes/new/file").stat().st_gid == number


def test_links_temporaries_and_foreign_folders_are_left_alone(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"")
    (outside / "file").chmod(0o600)
    (store.path / "volumes" / "link").symlink_to(outside / "file")
    (store.path / "datasets" / "folder").symlink_to(outside)
    (store.path / "tmp" / "running.tmp").write_bytes(b"")
    (store.path / "tmp" / "running.tmp").chmod(0o600)
    (store.path / "foreign").mkdir(0o700)
    before = modes(tmp_path)
    assert store.admin.permissions(apply=True).changes == ()
    assert modes(tmp_path) == before


def test_what_another_user_owns_remains_with_the_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (store.path / "volumes").chmod(0o700)
    (store.path / "datasets").chmod(0o700)
    chmod = Path.chmod

    def refuse(self: Path, mode: int, **more: Any) -> None:
        if self.name == "volumes":
            raise PermissionError(errno.EPERM, "Operation not permitted", str(self))
        chmod(self, mode, **more)

    monkeypatch.setattr(Path, "chmod", refuse)
    report = store.admin.permissions(apply=True)
    assert [each.path for each in report.changes] == ["datasets", "volumes"]
    (remaining,) = report.remaining
    assert remaining.path == "volumes"
    assert str(remaining.problem).startswith("Operation not permitted: the owner is ")


def test_changes_that_cannot_be_recorded_are_made_with_a_warning(store: Store) -> None:
    (store.path / "volumes").chmod(0o700)
    with open_store(store.path, read_only=True) as reader:
        with pytest.warns(BsvStoreWarning, match="were made, but not recorded"):
            report = reader.admin.permissions(apply=True)
        assert (len(report.changes), report.remaining) == (1, ())
        assert reader.admin.permissions().changes == ()


@needs_root
def test_a_group_of_which_the_owner_is_not_a_member_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = other_group()
    store.admin.configure("group", name)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    report = store.admin.permissions(apply=True)
    assert {each.problem for each in report.remaining} == {
        f"Operation not permitted: you are not a member of the group {name}"
    }


def test_a_group_that_this_computer_does_not_know_is_an_error(store: Store) -> None:
    text = store.config.with_setting("group", "no-such-group").to_toml()
    (store.path / "store.toml").write_text(text)
    with pytest.raises(InputError, match="no group 'no-such-group'"):
        store.admin.permissions()
    with pytest.raises(InputError, match="apply must be True or False"):
        store.admin.permissions(apply="yes")  # type: ignore[arg-type]
    # Everything else works there.
    with open_store(store.path) as again:
        assert again.status().catalog.experiments == 0


@needs_root
def test_a_store_is_created_for_a_group(tmp_path: Path, database_url: str | None) -> None:
    name, number = other_group()
    with create_store(tmp_path / "lab" / "store", database=database_url, group=name, parents=True) as store:
        assert store.config.group == name
        assert {group for _, group in modes(store.path).values()} == {number}
        assert store.admin.permissions().changes == ()


def test_an_unknown_group_creates_nothing(tmp_path: Path) -> None:
    for group in ("no-such-group", "", "a b", "9" * 30):
        with pytest.raises(InputError, match="group"):
            create_store(tmp_path / "store", group=group)
    assert list(tmp_path.iterdir()) == []


def test_a_group_of_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = other_group()
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    monkeypatch.setattr(os, "getegid", lambda: 12_345)
    monkeypatch.setattr(os, "getgroups", lambda: [12_345])
    with pytest.raises(InputError, match=f"not a member of the group '{name}'") as caught:
        require_membership(name)
    assert "12345" in str(caught.value.hint)


@contextmanager
def shared_parent(tmp_path: Path, mode: int) -> Iterator[tuple[Path, str]]:
    name, number = other_group()
    parent = tmp_path / "lab"
    parent.mkdir()
    os.chown(parent, -1, number)
    parent.chmod(mode)
    yield parent, name
    shutil.rmtree(parent)


@needs_root
def test_a_shared_parent_without_setgid_is_warned_about(tmp_path: Path) -> None:
    with shared_parent(tmp_path, 0o775) as (parent, name):
        with pytest.warns(BsvStoreWarning, match=f"group {group_name(os.getegid())}, not to {name}") as caught:
            create_store(parent / "store").close()
        (warning,) = [each.message for each in caught if isinstance(each.message, BsvStoreWarning)]
        assert isinstance(warning, BsvStoreWarning)
        assert f"config set group {name}" in str(warning.hint)
        assert "store permissions --apply" in str(warning.hint)


@needs_root
@pytest.mark.parametrize("mode", [0o2775, 0o755])
def test_no_warning_where_the_parent_passes_on_its_group_or_is_not_shared(tmp_path: Path, mode: int) -> None:
    # Warnings are errors in the tests.
    with shared_parent(tmp_path, mode) as (parent, _), create_store(parent / "store") as store:
        assert (store.path.stat().st_gid == parent.stat().st_gid) == bool(mode & stat.S_ISGID)
