"""``bsv-store db``, and stores of another age."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store.catalog.database import schema
from tests.cli.running import Runner


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
def test_an_old_store_comes_with_the_command_that_upgrades_it(run: Runner, store_location: Path) -> None:
    from contextlib import closing

    from bsv_store.config import read_store_config
    from bsv_store.store.connection import connect

    config = read_store_config(store_location)
    old = schema.KNOWN_REVISIONS[-2]
    with closing(connect(store_location, config, read_only=False)) as database:
        schema.downgrade(database, old)
    done = run("select", store=store_location).refused(4, old, schema.HEAD)
    command = done.err.partition("Upgrade the store: bsv-store ")[2].strip()
    assert command == f"--store {store_location} db upgrade"
    upgraded = run(*command.split()).succeeded()
    assert upgraded.err == f"Upgraded from {old} to {schema.HEAD}.\n"
    run("select", store=store_location).succeeded()


def test_no_store_no_schema(run: Runner, tmp_path: Path) -> None:
    for command in ("current", "upgrade"):
        run("db", command, store=tmp_path).refused(3, "is not a bsv-store", "bsv-store init")
