"""The copy of the catalog that is made before its schema changes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from bsv_store import Selection, Store, open_store
from bsv_store.catalog.database import schema
from bsv_store.config import read_store_config
from bsv_store.errors import DamagedCatalogError, InputError, NoSpaceError, ReadOnlyStoreError, StoreError
from bsv_store.store import catalog_copy
from bsv_store.store.opening import upgrade_store
from bsv_store.store.schema_changes import check_schema, downgrade_store
from tests.conftest import DatabaseKind
from tests.postgres import PostgresServer

BEFORE = schema.KNOWN_REVISIONS[-2]


@pytest.fixture
def old(store: Store) -> Path:
    """A store at an earlier revision, with a saved selection."""
    store.catalog.save_selection("mine", Selection(min_injection_volume=0.1))
    store.close()
    downgrade_store(store.path, revision=BEFORE, make_backup=False)
    return store.path


def revision_in(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute(f"SELECT version_num FROM {schema.VERSION_TABLE}").fetchone()[0])


def test_a_sqlite_catalog_is_copied_before_an_upgrade(old: Path, database: DatabaseKind) -> None:
    seen: list[Path] = []
    report = upgrade_store(old, on_backup=seen.append)
    if database == "postgres":
        assert report.backup is None
        assert not (old / "backups").exists()
        return
    (copy,) = (old / "backups").iterdir()
    assert report.backup == copy
    assert seen == [copy]
    assert copy.name.startswith(f"catalog-{BEFORE}-")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o664
    assert stat.S_IMODE(copy.parent.stat().st_mode) & 0o777 == 0o775
    assert revision_in(copy) == BEFORE
    # The copy is a catalog: put in place, it is upgraded again.
    shutil.copyfile(copy, old / "catalog.db")
    upgrade_store(old, make_backup=False)
    with open_store(old) as store:
        assert [each.name for each in store.catalog.selections()] == ["mine"]
    # Nothing to upgrade, nothing to copy.
    assert upgrade_store(old).backup is None
    assert len(list((old / "backups").iterdir())) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_sqlite_catalog_is_copied_to_the_named_file(old: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("important")
    with pytest.raises(InputError, match="exists already"):
        upgrade_store(old, backup=target)
    assert target.read_text() == "important"
    target.unlink()
    assert upgrade_store(old, backup=target).backup == target
    assert revision_in(target) == BEFORE
    downgrade_store(old, revision=BEFORE, backup=tmp_path / "other.db")
    assert revision_in(tmp_path / "other.db") == schema.HEAD


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_space_for_a_copy_nothing_is_changed(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(old)._replace(free=1000)
    monkeypatch.setattr(catalog_copy.shutil, "disk_usage", lambda _path: usage)  # type: ignore[attr-defined]
    with pytest.raises(NoSpaceError, match="for a copy of the catalog"):
        upgrade_store(old)
    assert revision_in(old / "catalog.db") == BEFORE
    assert list((old / "backups").iterdir()) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_damaged_file_is_not_upgraded(old: Path) -> None:
    with (old / "catalog.db").open("r+b") as file:
        file.seek(8 * 4096)
        file.write(bytes(range(256)) * 64)
    with pytest.raises(DamagedCatalogError):
        upgrade_store(old)
    assert list((old / "backups").iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_folder_without_write_access_is_named(old: Path) -> None:
    old.chmod(0o555)
    with pytest.raises(ReadOnlyStoreError):
        upgrade_store(old)
    old.chmod(0o755)


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_pg_dump_makes_the_backup_on_postgres(
    old: Path, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="pg_dump and pg_restore are not installed"):
        upgrade_store(old, backup=tmp_path / "a.dump")
    failing = tmp_path / "pg_dump"
    failing.write_text("#!/bin/sh\necho 'no password=hunter2' >&2; exit 1\n")
    failing.chmod(0o755)
    (tmp_path / "pg_restore").symlink_to(failing)
    with pytest.raises(StoreError, match=r"pg_dump failed: no password=\*\*\*"):
        upgrade_store(old, backup=tmp_path / "a.dump")
    assert not list(tmp_path.glob("a.dump*"))
    monkeypatch.setenv("PATH", str(postgres.programs))
    report = upgrade_store(old, backup=tmp_path / "a.dump")
    assert report.backup == tmp_path / "a.dump"
    assert stat.S_IMODE((tmp_path / "a.dump").stat().st_mode) == 0o664
    assert (tmp_path / "a.dump").read_bytes().startswith(b"PGDMP")
    assert not list(tmp_path.glob("*.partial"))
    # As in docs/postgres.md.
    name = str(make_url(read_store_config(old).database).database)
    postgres.drop_database(name)
    address = postgres.create_database(name).replace("+psycopg", "")
    command = ["pg_restore", "--clean", "--if-exists", "--single-transaction", f"--dbname={address}"]
    subprocess.run([*command, str(tmp_path / "a.dump")], check=True)
    upgrade_store(old)
    assert check_schema(old).differences == ()
    with open_store(old) as store:
        assert [each.name for each in store.catalog.selections()] == ["mine"]
