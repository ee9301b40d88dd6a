"""Making and opening stores, on both databases."""

from __future__ import annotations

import errno
import signal
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from bsv_store import Store, create_store, open_store
from bsv_store.catalog.database import schema
from bsv_store.errors import (
    DamagedCatalogError,
    InputError,
    NotAStoreError,
    ReadOnlyStoreError,
    SchemaTooNewError,
    SchemaTooOldError,
    StoreError,
    StoreExistsError,
    StoreMismatchError,
    StoreUnreachableError,
)
from bsv_store.store.opening import upgrade_store
from tests.processes import Child
from tests.stores import create_and_close


def test_new_store_opens_empty(tmp_path: Path, database_url: str | None) -> None:
    create_store(tmp_path / "lab" / "store", database=database_url, parents=True).close()
    with open_store(tmp_path / "lab" / "store") as store:
        assert store.status().catalog.experiments == 0
        assert store.status().schema_revision == schema.HEAD


def test_store_is_not_made_over_another(store: Store) -> None:
    with pytest.raises(StoreExistsError, match="already"):
        create_store(store.path)


def test_store_is_not_made_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(StoreExistsError, match=r"thesis\.txt"):
        create_store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_catalog_of_another_store_is_refused(tmp_path: Path, new_database: Callable[[], str | None]) -> None:
    url = new_database()
    if url is None:
        pytest.skip("a SQLite catalog lies inside the folder")
    create_store(tmp_path / "one", database=url).close()
    with pytest.raises(StoreExistsError, match="already has the catalog"):
        create_store(tmp_path / "two", database=url)
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("point", ["init:chosen", "init:catalog"])
def test_killed_initialization_is_finished_by_the_next(tmp_path: Path, database_url: str | None, point: str) -> None:
    killed = Child(create_and_close, tmp_path / "store", database_url, kill_at=point)
    assert killed.communicate()[1] == ""
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(NotAStoreError):
        open_store(tmp_path / "store")
    create_store(tmp_path / "store", database=database_url).close()
    open_store(tmp_path / "store").close()


def test_a_file_system_without_hard_links_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(self))

    monkeypatch.setattr(Path, "hardlink_to", refused)
    with pytest.raises(StoreError, match="has no hard links"):
        create_store(tmp_path / "store")


def test_five_at_once_make_one_store(tmp_path: Path, database_url: str | None) -> None:
    processes = [Child(create_and_close, tmp_path / "store", database_url) for _ in range(5)]
    errors = [process.communicate()[1] for process in processes]
    made = [process.returncode == 0 for process in processes]
    assert any(made), errors
    for was_made, error in zip(made, errors, strict=True):
        assert was_made or "StoreExistsError" in error, error
    with open_store(tmp_path / "store") as store, store.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM store_info")).scalar() == 1
    assert not (tmp_path / "store" / "init.toml").exists()
    assert not list((tmp_path / "store" / "tmp").iterdir())


def set_revision(store: Store, revision: str) -> None:
    with store.database.writing() as connection:
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = :r"), {"r": revision})


def test_store_of_an_earlier_schema_names_the_upgrade_command(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "KNOWN_REVISIONS", ("0000", schema.HEAD))
    set_revision(store, "0000")
    with pytest.raises(SchemaTooOldError, match=f"bsv-store --store {store.path} db upgrade"):
        open_store(store.path)


def test_store_of_a_later_schema_asks_for_a_newer_package(store: Store) -> None:
    set_revision(store, "9999")
    with pytest.raises(SchemaTooNewError, match="pip install"):
        open_store(store.path)


def test_folder_and_database_of_two_stores_are_refused(store: Store) -> None:
    with store.database.writing() as connection:
        connection.execute(text("UPDATE store_info SET store_id = 'another'"))
    with pytest.raises(StoreMismatchError, match="another"):
        open_store(store.path)


def test_missing_catalog_is_an_error_and_makes_no_new_one(tmp_path: Path) -> None:
    create_store(tmp_path / "store").close()
    (tmp_path / "store" / "catalog.db").unlink()
    with pytest.raises(StoreUnreachableError, match=r"catalog\.db"):
        open_store(tmp_path / "store")
    assert not (tmp_path / "store" / "catalog.db").exists()


def test_damaged_catalog_is_an_error(tmp_path: Path) -> None:
    create_store(tmp_path / "store").close()
    (tmp_path / "store" / "catalog.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(DamagedCatalogError, match=r"catalog\.db"):
        open_store(tmp_path / "store")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nonsense", "the database URL is not valid"),
        ("mysql://host/x", "not supported"),
        ("postgresql://me:secret@host/x", "password"),
    ],
)
def test_unusable_database_url_is_refused_before_anything_is_made(tmp_path: Path, url: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        create_store(tmp_path / "store", database=url)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_unreachable_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachableError, match="localhost:1"):
        create_store(tmp_path / "store", database="postgresql://nobody@localhost:1/none")
    assert not (tmp_path / "store").exists()
    create_store(tmp_path / "store").close()


def test_read_only_store_refuses_to_write_and_writes_nothing(store: Store) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.path.rglob("*")}
    with open_store(store.path, read_only=True) as reader:
        assert reader.status().catalog.experiments == 0
        with pytest.raises(ReadOnlyStoreError), reader.database.writing():
            pass
    assert {path: path.stat().st_mtime_ns for path in store.path.rglob("*")} == before


def test_store_that_lost_its_file_is_neither_opened_nor_made_over(tmp_path: Path) -> None:
    create_store(tmp_path / "store").close()
    (tmp_path / "store" / "store.toml").unlink()
    with pytest.raises(StoreExistsError, match=r"store\.toml"):
        create_store(tmp_path / "store")
    assert not (tmp_path / "store" / "init.toml").exists()


def without_checksum(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("checksum"))


def test_an_upgrade_writes_the_checksum_that_a_user_deleted(store: Store) -> None:
    file = store.path / "store.toml"
    original = file.read_text()
    upgrade_store(store.path)
    assert file.read_text() == original
    file.write_text(without_checksum(original).replace('"0664"', '"0660"'))
    # Files from before there was a checksum open too.
    open_store(store.path).close()
    upgrade_store(store.path)
    assert file.read_text().count("checksum = ") == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o660
    assert not list((store.path / "tmp").iterdir())
    with open_store(store.path) as again:
        assert again.config.file_mode == 0o660
    # Now an edit is noticed.
    file.write_text(file.read_text().replace('"0660"', '"0664"'))
    with pytest.raises(NotAStoreError, match="checksum does not match"):
        open_store(store.path)


@pytest.mark.parametrize("path", ["a\x00b", "caf\udce9", "", "a" * 300])
def test_a_path_that_no_folder_can_have_is_a_named_error(tmp_path: Path, path: str) -> None:
    folder = str(tmp_path / path) if path else path
    for call in (create_store, open_store, upgrade_store):
        with pytest.raises((InputError, StoreError), match="store"):
            call(folder)
    assert list(tmp_path.iterdir()) == []


def test_copied_tables_are_those_of_the_migrations(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Other tests copy them: see `tests.new_catalogs`."""

    def created(name: str) -> list[str]:
        create_store(tmp_path / name).close()
        with closing(sqlite3.connect(tmp_path / name / "catalog.db")) as connection:
            lines = list(connection.iterdump())
        # The id and the folder of the store, when it was created, and hashes of the text of the tables, in which
        # Alembic writes the constraints of a table that it alters in any order.
        own = ("store_info", "store_link", "activity", "schema_history", "seal")
        kept = (line for line in lines if not line.startswith(tuple(f'INSERT INTO "{table}"' for table in own)))
        return sorted(part.strip(" ,;") for line in kept for part in line.split("\n"))

    created("first")
    copied = created("copied")
    with open_store(tmp_path / "copied") as store:
        assert store.admin.verify(deep=True).findings == ()
    request.getfixturevalue("tables_by_migrations")
    assert created("migrated") == copied
    assert len(copied) > 100
