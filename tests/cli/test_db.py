"""``bsv-store db``, and stores of another age."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bsv_store import __version__, open_store
from bsv_store.catalog.database import schema
from bsv_store.maintenance.folder_link import recorded_identity, set_moved_to
from tests.cli.running import Runner
from tests.databases import both_databases

pytestmark = both_databases


def _set_revision(location: Path, revision: str) -> None:
    with open_store(location) as store, store.database.writing() as connection:
        done = connection.exec_driver_sql(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{revision}'")
        assert done.rowcount == 1


def test_current_shows_both_revisions(run: Runner, store_location: Path) -> None:
    done = run("db", "current", store=store_location).succeeded()
    assert done.cells == [["store", schema.HEAD], ["package", schema.HEAD]]


def test_a_schema_that_is_up_to_date_stays_as_it_is(run: Runner, store_location: Path) -> None:
    done = run("db", "upgrade", store=store_location).succeeded()
    assert (done.out, done.err) == ("", f"The schema is already at revision {schema.HEAD}.\n")


def test_a_store_from_the_future_needs_a_newer_package(run: Runner, store_location: Path) -> None:
    _set_revision(store_location, "9999")
    assert run("status", store=store_location).refused(4, "9999", "pip install --upgrade bsv-store").out == ""
    run("db", "upgrade", store=store_location).refused(4, "9999")
    assert run("db", "current", store=store_location).succeeded().cells[0] == ["store", "9999"]


@pytest.mark.skipif(len(schema.KNOWN_REVISIONS) < 2, reason="there is only one revision")
def test_an_old_store_comes_with_the_command_that_upgrades_it(run: Runner, store_location: Path, database: str) -> None:
    from contextlib import closing

    from bsv_store.config import read_store_config
    from bsv_store.store.connection import connect

    config = read_store_config(store_location)
    old = schema.KNOWN_REVISIONS[-2]
    with closing(connect(store_location, config, read_only=False)) as opened:
        schema.downgrade(opened, old)
    done = run("select", store=store_location).refused(4, old, schema.HEAD)
    command = done.err.partition("Upgrade the store: bsv-store ")[2].strip()
    assert command == f"--store {store_location} db upgrade"
    upgraded = run(*command.split()).succeeded()
    first, last = upgraded.err.splitlines()
    assert last == f"Upgraded from {old} to {schema.HEAD}."
    if database == "sqlite":
        assert first.startswith(f"The catalog before the change is in {store_location}/backups/catalog-{old}-")
    else:
        assert first == "No backup of the Postgres database is made; --backup FILE makes one."
    run("select", store=store_location).succeeded()


def test_commands_that_print_data_have_formats(run: Runner, store_location: Path) -> None:
    current = run("db", "current", "--format", "json", store=store_location).succeeded()
    assert current.json == [{"of": "store", "revision": schema.HEAD}, {"of": "package", "revision": schema.HEAD}]
    (row,) = run("db", "history", "--format", "csv", store=store_location).succeeded().rows
    assert (row["action"], row["from_revision"], row["to_revision"]) == ("created", "", schema.HEAD)
    assert row["release"] == __version__


def test_check_names_what_differs_and_exits_with_1(run: Runner, store_location: Path) -> None:
    assert run("db", "check", store=store_location).succeeded().out == ""
    with open_store(store_location) as store, store.database.writing() as connection:
        connection.exec_driver_sql("DROP VIEW projections")
        # Users may add their own.
        connection.exec_driver_sql("CREATE VIEW my_view AS SELECT 1 AS one")
        connection.exec_driver_sql("CREATE TABLE my_table (one integer)")
    done = run("db", "check", "--format", "json", store=store_location).refused(1, "1 difference")
    assert done.json == [{"kind": "view", "name": "projections", "problem": "is missing"}]


def test_a_dry_run_prints_the_statements_and_changes_nothing(run: Runner, store_location: Path) -> None:
    head, before = schema.HEAD, schema.KNOWN_REVISIONS[-2]
    down = run("db", "downgrade", before, "--dry-run", store=store_location).succeeded()
    assert f"UPDATE {schema.VERSION_TABLE} SET version_num='{before}'" in down.out
    run("db", "check", store=store_location).succeeded()
    run("db", "downgrade", before, "--yes", store=store_location).succeeded()
    up = run("db", "upgrade", "--dry-run", store=store_location).succeeded()
    assert f"SET version_num='{head}'" in up.out
    assert "ALTER TABLE dataset_member ADD COLUMN weight" in up.out
    assert "%%" not in up.out
    assert run("db", "current", store=store_location).succeeded().cells[0] == ["store", before]
    run("db", "upgrade", store=store_location).succeeded()
    run("db", "check", store=store_location).succeeded()
    assert run("db", "upgrade", "--dry-run", store=store_location).succeeded().out == ""


def test_where_there_is_no_terminal_nothing_is_asked(run: Runner, store_location: Path) -> None:
    for command in ("downgrade", "stamp"):
        run("db", command, "0012", store=store_location).refused(2, "--yes is required")
    assert run("db", "current", store=store_location).succeeded().cells[0] == ["store", schema.HEAD]


def test_a_stamp_changes_the_revision_and_no_table(run: Runner, store_location: Path) -> None:
    before = schema.KNOWN_REVISIONS[-2]
    run("db", "stamp", before, "--yes", store=store_location).succeeded()
    run("status", store=store_location).refused(4, before)
    run("db", "stamp", schema.HEAD, "--yes", store=store_location).succeeded()
    run("db", "check", store=store_location).succeeded()
    done = run("db", "history", "--format", "json", store=store_location).succeeded().json
    assert [(row["action"], row["from_revision"], row["to_revision"]) for row in done] == [
        ("created", None, schema.HEAD),
        ("stamped", schema.HEAD, before),
        ("stamped", before, schema.HEAD),
    ]
    run("db", "stamp", "9999", "--yes", store=store_location).refused(2, "unknown", schema.HEAD)


def test_a_stamp_replaces_the_lost_table_of_the_revision(run: Runner, store_location: Path) -> None:
    with open_store(store_location) as store, store.database.writing() as connection:
        connection.exec_driver_sql(f"DROP TABLE {schema.VERSION_TABLE}")
    for command in (("status",), ("db", "upgrade", "--yes")):
        run(*command, store=store_location).refused(3, f"not {schema.VERSION_TABLE}", "bsv-store db stamp REVISION")
    run("db", "stamp", schema.HEAD, "--yes", store=store_location).succeeded()
    run("db", "check", store=store_location).succeeded()
    run("status", store=store_location).succeeded()


def test_the_schema_of_the_database_of_another_store_is_not_changed(run: Runner, store_location: Path) -> None:
    before = schema.KNOWN_REVISIONS[-2]
    run("db", "downgrade", before, "--yes", store=store_location).succeeded()
    file = store_location / "store.toml"
    mine = file.read_text()
    body = mine.partition("checksum = ")[0]
    file.write_text(re.sub('(?<=store_id = ").{4}', "0000", body))
    for arguments in (("upgrade",), ("upgrade", "--dry-run"), ("downgrade", "0001"), ("stamp", schema.HEAD)):
        yes = [] if "--dry-run" in arguments else ["--yes"]
        run("db", *arguments, *yes, store=store_location).refused(3, "its database belongs to store")
    file.write_text(mine)
    assert run("db", "current", store=store_location).succeeded().cells[0] == ["store", before]


def test_the_schema_of_a_catalog_that_was_moved_away_is_not_changed(run: Runner, store_location: Path) -> None:
    with open_store(store_location) as store, store.database.writing() as connection:
        set_moved_to(connection, "postgresql://host/lab")
    for arguments in (("downgrade", "0001"), ("stamp", "0001"), ("upgrade",)):
        run("db", *arguments, "--yes", store=store_location).refused(3, "was moved to postgresql://host/lab")
    assert run("db", "current", store=store_location).succeeded().cells[0] == ["store", schema.HEAD]


def test_the_schema_is_not_changed_from_a_copy_of_the_folder(
    run: Runner, store_location: Path, tmp_path: Path, database: str
) -> None:
    if database == "sqlite":
        pytest.skip("a SQLite catalog lies in the folder")
    shutil.copytree(store_location, tmp_path / "copy")
    for arguments in (("downgrade", "0001"), ("stamp", "0001"), ("upgrade",)):
        run("db", *arguments, "--yes", store=tmp_path / "copy").refused(3, "is a copy of")
    run("status", store=store_location).succeeded()


def test_an_upgrade_that_was_killed_before_the_folder_was_linked_is_completed(
    run: Runner, store_location: Path, database: str
) -> None:
    if database == "sqlite":
        pytest.skip("a SQLite catalog lies in the folder")
    with open_store(store_location) as store, store.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM store_link")
    run("db", "upgrade", store=store_location).succeeded()
    with open_store(store_location) as store, store.database.reading() as connection:
        assert recorded_identity(connection) is not None


@pytest.mark.parametrize("revision", ["base", "12", "9999", schema.HEAD])
def test_only_earlier_revisions_can_be_downgraded_to(run: Runner, store_location: Path, revision: str) -> None:
    run("db", "downgrade", revision, "--yes", store=store_location).refused(2, "revision")
    run("status", store=store_location).succeeded()


def test_no_store_no_schema(run: Runner, tmp_path: Path) -> None:
    for command in ("current", "upgrade", "check", "history"):
        run("db", command, store=tmp_path).refused(3, "is not a bsv-store", "bsv-store init")
