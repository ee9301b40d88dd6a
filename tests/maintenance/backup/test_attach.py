"""The link between a Postgres catalog and its folder, and folders that lost their ``store.toml``."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from bsv_store import Selection, open_store
from bsv_store.catalog.database import schema
from bsv_store.errors import FolderWarning, InputError, NotAStoreError, StoreMismatchError
from bsv_store.maintenance.folder_link import FolderIdentity, compare, read_identity
from bsv_store.store.opening import upgrade_store
from bsv_store.store.restoring import attach_store
from tests.conftest import DatabaseKind
from tests.datasets.world import ask
from tests.maintenance.backup import checks


def copied(folder: Path, name: str) -> Path:
    """A copy as ``cp -a`` makes it: all times that programs can set are those of the original."""
    return Path(shutil.copytree(folder, folder.parent / name, copy_function=shutil.copy2))


def test_a_copied_folder_does_not_share_the_catalog_on_postgres(filled_location: Path, database: DatabaseKind) -> None:
    copy = copied(filled_location, "copy")
    if database == "sqlite":
        # The copy has a catalog of its own.
        open_store(copy).close()
        return
    with pytest.raises(StoreMismatchError, match=r"copy is a copy of .*store, whose catalog"):
        open_store(copy)
    with pytest.raises(StoreMismatchError):
        open_store(copy, read_only=True)
    open_store(filled_location).close()


def test_a_folder_that_was_moved_is_the_same(filled_location: Path) -> None:
    moved = filled_location.rename(filled_location.parent / "moved")
    with open_store(moved) as store:
        ask(store, Selection(ids=[1, 2]))


def test_a_link_to_the_folder_is_the_same(filled_location: Path) -> None:
    link = filled_location.parent / "link"
    link.symlink_to(filled_location)
    open_store(link).close()


def test_changed_permissions_do_not_matter(filled_location: Path) -> None:
    for path in filled_location.rglob("*"):
        path.chmod(0o775 if path.is_dir() else 0o660)
    open_store(filled_location).close()


def test_what_cannot_be_decided_is_a_warning(filled_location: Path, database: DatabaseKind) -> None:
    if database == "sqlite":
        pytest.skip("a SQLite catalog lies inside the folder")
    copy = copied(filled_location, "copy")
    shutil.rmtree(filled_location)
    # Restored by other means, or copied and the original removed.
    with pytest.warns(FolderWarning, match="was moved or restored") as caught:
        open_store(copy).close()
    assert "store attach" in str(caught[0].message)
    (copy / "folder.id").unlink()
    with pytest.warns(FolderWarning, match="has no token file"):
        open_store(copy).close()
    report = attach_store(copy)
    assert (report.was_written, report.missing) == (False, 0)
    assert report.expected > 5
    with open_store(copy) as store:
        assert store.admin.activity(limit=1).action[0] == "attached"


def test_only_one_folder_is_attached(filled_location: Path, database: DatabaseKind) -> None:
    if database == "sqlite":
        pytest.skip("a SQLite catalog lies inside the folder")
    copy = copied(filled_location, "copy")
    attach_store(copy)
    open_store(copy).close()
    with pytest.raises(StoreMismatchError, match=r"belongs to the folder .*copy .*, which was attached after"):
        open_store(filled_location)
    attach_store(filled_location)
    open_store(filled_location).close()
    with pytest.raises(StoreMismatchError):
        open_store(copy)


@pytest.mark.parametrize(
    ("found", "sameness"),
    [
        ({}, "same"),
        ({"host": "another", "path": "/mnt/store"}, "same"),
        # Permissions were changed, or a client makes up inode numbers.
        ({"changed_ns": 5}, "same"),
        ({"inode": 5}, "same"),
        ({"inode": 5, "changed_ns": 5, "host": "another"}, "unknown"),
        ({"inode": 5, "changed_ns": 5}, "unknown"),
        ({"token": "b"}, "other"),
    ],
)
def test_folders_are_told_apart(found: dict[str, object], sameness: str) -> None:
    link = FolderIdentity("a", 1, 2, "/no/such/store", "here")
    values = {name: getattr(link, name) for name in FolderIdentity.__slots__}
    assert compare(FolderIdentity(**{**values, **found}), link) == sameness


def test_an_upgrade_links_the_folder(filled_location: Path, database: DatabaseKind) -> None:
    with open_store(filled_location) as store:
        schema.downgrade(store.database, "0013")
    (filled_location / "folder.id").unlink(missing_ok=True)
    upgrade_store(filled_location)
    assert (read_identity(filled_location) is not None) == (database == "postgres")
    open_store(filled_location).close()


@pytest.mark.parametrize("state", ["missing", "damaged"])
def test_a_lost_store_toml_is_written_again(filled_location: Path, state: str) -> None:
    file = filled_location / "store.toml"
    with open_store(filled_location) as store:
        config = store.config
    before = file.read_bytes()
    file.unlink()
    if state == "damaged":
        file.write_bytes(before[:-20])
    with pytest.raises(NotAStoreError):
        open_store(filled_location)
    database = None if config.database == "sqlite" else config.database
    if database is not None:
        with pytest.raises(InputError, match=r"neither a valid store\.toml nor a catalog\.db"):
            attach_store(filled_location)
    report = attach_store(filled_location, database=database)
    assert (report.was_written, report.store_id) == (True, config.store_id)
    assert file.read_bytes() == before
    checks.assert_intact(filled_location)


def test_settings_survive_in_a_store_toml_that_was_edited(filled_location: Path) -> None:
    with open_store(filled_location) as store:
        store.admin.configure("trash_days", 90)
        config = store.config
    file = filled_location / "store.toml"
    file.write_text(file.read_text().replace("store_id", "store"))
    attach_store(filled_location, database=None if config.database == "sqlite" else config.database)
    with open_store(filled_location) as store:
        assert store.config == replace(config, trash_days=90)


def test_the_folder_of_another_store_is_not_attached(
    filled_location: Path, database: DatabaseKind, tmp_path: Path
) -> None:
    with open_store(filled_location) as store:
        url = store.config.database
    other = tmp_path / "other"
    for name in ("volumes", "datasets", "tmp", "trash"):
        (other / name).mkdir(parents=True)
    if database == "sqlite":
        shutil.copy(filled_location / "catalog.db", other)
    with pytest.raises(StoreMismatchError, match="7 of 7 files that the database expects are not in"):
        attach_store(other, database=url)
    assert not (other / "store.toml").exists()
    assert attach_store(other, database=url, force=True).missing == 7
    with pytest.raises(InputError, match="is intact and names"):
        attach_store(other, database="sqlite" if url != "sqlite" else "postgresql://x@localhost/y")
    with pytest.raises(NotAStoreError, match="there is no folder"):
        attach_store(tmp_path / "nowhere")


def test_a_store_that_is_too_old_is_attached_and_then_upgraded(filled_location: Path) -> None:
    with open_store(filled_location) as store:
        url = store.config.database
        schema.downgrade(store.database, "0012")
    (filled_location / "store.toml").unlink()
    attach_store(filled_location, database=url)
    upgrade_store(filled_location)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checks.assert_intact(filled_location)


def test_a_token_file_has_the_mode_of_the_store(filled_location: Path, database: DatabaseKind) -> None:
    if database == "postgres":
        assert (filled_location / "folder.id").stat().st_mode & 0o777 == 0o664
