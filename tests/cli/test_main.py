"""The entry point: exit codes, what is said on which stream, and what happens to errors of every kind."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from bsv_store import Store
from tests.cli.conftest import ATLAS, VISP
from tests.cli.running import Runner, child_environment, command_line, run_process

MANY_ROWS = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) select i from n"


# -- exit codes -------------------------------------------------------------------------------------------------------


def test_no_store_is_3(run: Runner, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    done = run("status", store=nowhere).refused(3, f"{nowhere} is not a bsv-store", f"bsv-store init {nowhere}")
    assert done.out == ""
    assert not nowhere.exists()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_lost_catalog_is_3(run: Runner, own_filled: Path) -> None:
    (own_filled / "catalog.db").unlink()
    run("status", store=own_filled).refused(3, "catalog.db is missing", "backup")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_locked_store_is_5(run: Runner, own_filled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bsv_store.catalog.database import sqlite as connections

    monkeypatch.setattr(connections, "BUSY_TIMEOUT_S", 0.01)
    with closing(sqlite3.connect(own_filled / "catalog.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        run("select", store=own_filled).refused(5, "locked", "try again")
        other.execute("ROLLBACK")
    run("select", store=own_filled).succeeded()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_room_for_the_output_is_7(filled: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command_line("select", store=filled), env=child_environment(), stdout=full, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 7
    assert done.stderr == "Error: No space left on device\n"


def test_no_room_in_the_store_is_7(run: Runner, own_filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "tmp/x")

    monkeypatch.setattr(os, "fsync", full)
    assert run("aggregate", "--ids", VISP[0], "--name", "full", store=own_filled).refused(7).out == ""
    monkeypatch.undo()
    assert [row["name"] for row in run("dataset", "list", "--format", "csv", store=own_filled).rows] == ["visual"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_codes_are_those_of_the_process(filled: Path, tmp_path: Path) -> None:
    assert run_process("status", store=filled).succeeded().err == ""
    run_process("select", "--injected-in", "VISpp", store=filled).refused(2, "'VISpp'")
    run_process("status", store=tmp_path).refused(3, "is not a bsv-store")
    assert run_process("--version").succeeded().out.startswith("bsv-store, version ")


# -- errors -----------------------------------------------------------------------------------------------------------


def test_debug_shows_where_an_error_came_from(run: Runner, tmp_path: Path) -> None:
    done = run("--debug", "status", store=tmp_path)
    assert done.code == 3
    assert "Traceback" in done.err
    assert "NotAStoreError" in done.err
    assert done.err.splitlines()[-2].startswith("Error: ")
    assert done.out == ""


def test_a_bug_exits_with_3(run: Runner, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Store) -> None:
        raise ZeroDivisionError("a thing that cannot happen")

    monkeypatch.setattr(Store, "status", broken)
    done = run("status", store=filled)
    assert done.code == 3
    assert "ZeroDivisionError: a thing that cannot happen" in done.err
    assert "please report" in done.err.lower()
    assert done.out == ""


def test_an_error_of_the_system_names_the_file(run: Runner, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Store) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/lab/x")

    monkeypatch.setattr(Store, "status", broken)
    assert run("status", store=filled).refused(3).err == "Error: /lab/x: Permission denied\n"


def test_ctrl_c_is_130(run: Runner, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Store) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "status", interrupted)
    done = run("status", store=filled).refused(130)
    assert done.out == ""
    assert done.err.strip().startswith("Interrupted.")
    assert len(done.err.strip().splitlines()) == 1


# -- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["selct"], ["unknown command 'selct'", "Did you mean select?"]),
        (["dataset", "lst"], ["unknown command 'lst'", "Did you mean list?"]),
        (["ingest", "FILE.json"], ["unknown command", "The commands are ", "experiments"]),
        (["frobnicate"], ["unknown command 'frobnicate'."]),
        (["select", "--injectedin", "VISp"], ["--injectedin", "--injected-in"]),
        (["select", "--debug"], ["--debug", "before the command"]),
        (["status", "--store", "x"], ["--store", "before the command"]),
        (["status", "--format", "xml"], ["'xml'", "'csv'"]),
        (["volume", "show"], ["EXPERIMENT_ID"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_misuse_is_2_and_says_what_was_meant(run: Runner, arguments: list[str], texts: list[str]) -> None:
    done = run(*arguments).refused(2, *texts)
    assert done.out == ""
    assert done.err.startswith("Usage: bsv-store")


def test_arguments_cannot_steer_the_terminal(run: Runner) -> None:
    done = run("sel\x1b[31mect").refused(2, r"'sel\x1b[31mect'")
    assert "\x1b" not in done.err


# -- streams ----------------------------------------------------------------------------------------------------------

ASKING = [
    ["status"],
    ["select", "--injected-in", "VISp"],
    ["select", "--injected-in", "VISp", "--projecting-to", "LP"],
    ["dataset", "list"],
    ["dataset", "show", "visual"],
    ["volume", "show", VISP[0]],
    ["sql", "select experiment_id, sex from experiments"],
]


@pytest.mark.parametrize("arguments", ASKING, ids=lambda value: " ".join(map(str, value)))
def test_data_alone_are_on_standard_output(run: Runner, filled: Path, arguments: list[object]) -> None:
    as_json = run(*arguments, "--format", "json", store=filled).succeeded()
    assert as_json.json
    as_csv = run(*arguments, "--format", "csv", store=filled).succeeded()
    assert as_csv.rows
    assert all(None not in row and None not in row.values() for row in as_csv.rows)
    as_table = run(*arguments, store=filled).succeeded()
    for line in as_table.out.splitlines():
        assert line == line.rstrip()
        assert line.replace("─", "").isprintable()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_closed_pipe_is_not_an_error(filled: Path) -> None:
    process = subprocess.Popen(
        command_line("sql", MANY_ROWS, "--limit", 100_000, "--format", "json", store=filled),
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(2) == b"[\n"
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert err == "100,000 rows\n"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_terminal_without_unicode_gets_escapes(filled: Path) -> None:
    done = run_process("sql", "select 'µ–' as text", store=filled, PYTHONIOENCODING="ascii", LC_ALL="C").succeeded()
    assert done.out.splitlines() == ["text", "-" * 4, r"\xb5\u2013"]


def test_the_store_can_be_named_by_the_environment(
    run: Runner, filled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BSV_STORE", str(filled))
    assert len(run("select", "--ids-only").succeeded().out.splitlines()) == len(ATLAS.experiment_ids)
    run("status", store=tmp_path).refused(3, str(tmp_path))
