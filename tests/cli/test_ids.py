"""Experiment ids on the command line: from files of every form, wherever a command takes ids."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bsv_store import open_store
from tests.cli.conftest import VISP, WILD_TYPE_VISP
from tests.cli.running import Runner

SOME = WILD_TYPE_VISP[:2]


def _ids(text: str) -> tuple[int, ...]:
    return tuple(int(line) for line in text.splitlines())


@pytest.mark.parametrize("output_format", ["csv", "json"])
def test_output_of_select_is_input_of_ids(run: Runner, filled: Path, tmp_path: Path, output_format: str) -> None:
    file = tmp_path / f"selected.{output_format}"
    listed = run("select", "--injected-in", "VISp", "--format", output_format, store=filled).succeeded().out
    for body in (listed.encode(), b"\xef\xbb\xbf" + listed.encode(), gzip.compress(listed.encode())):
        file.write_bytes(body)
        assert _ids(run("select", "--ids", f"@{file}", "--ids-only", store=filled).succeeded().out) == VISP
    piped = run("select", "--ids", "@-", "--ids-only", store=filled, stdin=listed).succeeded()
    assert _ids(piped.out) == VISP
    kept = run("select", "--injected-in", "VISp", "--exclude-ids", f"@{file}", "--ids-only", store=filled).succeeded()
    assert kept.out == ""


@pytest.mark.parametrize("write", [lambda ids: f"experiment_id,why\n{ids[0]},x\n{ids[1]},y\n", json.dumps])
def test_exclusions_take_a_file(
    run: Runner, own_filled: Path, tmp_path: Path, write: Callable[[tuple[int, ...]], str]
) -> None:
    file = tmp_path / "failed"
    file.write_text(write(SOME), encoding="utf-8")
    run("exclude", "add", f"@{file}", "--reason", "failed", store=own_filled).succeeded()
    with open_store(own_filled) as store:
        assert tuple(each.experiment_id for each in store.catalog.exclusions()) == SOME
    run("exclude", "remove", f"{SOME[0]},{SOME[1]}", store=own_filled).succeeded()
    with open_store(own_filled) as store:
        assert store.catalog.exclusions() == []


def test_other_commands_take_a_file(run: Runner, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "ids.csv"
    file.write_text(f"experiment_id\n{SOME[0]}\n{SOME[1]}\n", encoding="utf-8")
    rows = run("structures", "rank", f"@{file}", "--format", "csv", store=filled).succeeded().rows
    assert {int(row["experiment_id"]) for row in rows} == set(SOME)
    run("search", "correlation", f"@{file}", store=filled).refused(2, "must be a single id, got 2 ids")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/dev/zero", "not a regular file"),
        ("pipe", "not a regular file"),
        ("", "a folder"),
        ("nul\0", "NUL character"),
        ("nowhere", "cannot be read: No such file"),
        ("caf\udce9", "cannot be read: No such file"),
    ],
)
@pytest.mark.parametrize("arguments", [["select", "--ids"], ["select", "--selection"], ["ingest", "experiments"]])
def test_what_is_not_a_file_is_refused_at_once(
    run: Runner, filled: Path, tmp_path: Path, arguments: list[str], name: str, reason: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    at = "" if arguments[0] == "ingest" else "@"
    run(*arguments, f"{at}{tmp_path / name}", store=filled).refused(2, reason)


def test_a_file_with_a_name_that_is_not_utf_8_is_read(run: Runner, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "caf\udce9"
    file.write_text(str(VISP[0]), encoding="utf-8")
    assert _ids(run("select", "--ids", f"@{file}", "--ids-only", store=filled).succeeded().out) == VISP[:1]
