"""The page about settings and monitoring: its tables, units and scripts are right."""

from __future__ import annotations

import configparser
import os
import re
import sqlite3
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bsv_store import create_store, open_store
from bsv_store.owner import process_owner
from bsv_store.store.metrics import prometheus_text
from bsv_store.text import size_text
from bsv_store.vocabulary import SETTINGS
from tests.cli.running import child_environment

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def table(heading: str) -> list[list[str]]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_every_setting_is_described_as_it_is() -> None:
    expected = []
    for row in SETTINGS.values():
        default = {"store": "the platform's data folder", "cache": "the platform's cache folder"}.get(
            row.name, size_text(int(row.default or 0)) if row.type == "size" else row.default
        )
        text = "" if default is None else f"{default:g}" if isinstance(default, int | float) else default
        places = ["yes" if each else "" for each in (row.in_store, row.in_files)]
        names = [f"`{each}`" if each else "" for each in (row.name, row.option, row.variable)]
        expected.append([*names, *places, text])
    assert table("Settings") == expected
    (example,) = blocks("toml")
    assert set(tomllib.loads(example)) <= {row.name for row in SETTINGS.values() if row.in_files}


def test_every_metric_is_described(tmp_path: Path) -> None:
    described = set(re.findall(r"bsv_store_\w+", " ".join(row[0] for row in table("Prometheus"))))
    with create_store(tmp_path / "store") as store:
        (tmp_path / "store" / "tmp" / f"{process_owner()}-0123456789abcdef.tmp").write_bytes(b"")
        found = set(re.findall(r"^# TYPE (\w+)", prometheus_text(store.status()), re.MULTILINE))
    assert found <= described
    # Those that an empty store does not have.
    rest = {"bsv_store_volumes", "bsv_store_volumes_bytes", "bsv_store_list_timestamp_seconds"}
    rest |= {"bsv_store_oldest_verification_timestamp_seconds"}
    assert described - found == rest
    (rules,) = blocks("yaml")
    assert set(re.findall(r"bsv_store_\w+", rules)) <= described


def test_the_units_have_the_sections_of_systemd() -> None:
    service, timer = blocks("ini")
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.read_string(service)
    assert parsed.sections() == ["Unit", "Service"]
    assert parsed["Service"]["ExecStart"].endswith("bsv-store $ARGUMENTS")
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(timer)
    assert parsed.sections() == ["Unit", "Timer", "Install"]
    times = {task: when for task, _, when in table("systemd")}
    assert times["`verify`"] == f"`{parsed['Timer']['OnCalendar']}`"


@pytest.fixture
def check(tmp_path: Path) -> Path:
    """The check for Nagios, and a command bsv-store beside it."""
    script = tmp_path / "check_bsv_store"
    (text,) = blocks("sh")
    script.write_text(text)
    command = tmp_path / "bsv-store"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bsv_store_cli.main "$@"\n')
    for file in (script, command):
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return script


def test_the_check_for_nagios_tells_states_apart(check: Path, tmp_path: Path) -> None:
    path = f"{check.parent}{os.pathsep}{os.environ['PATH']}"

    def state(folder: Path, **variables: str) -> tuple[int, str]:
        environment = child_environment(**{"PATH": path, **variables})
        done = subprocess.run([str(check), str(folder)], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    store = tmp_path / "store"
    create_store(store).close()
    assert state(store) == (0, "BSV-STORE OK\n")
    with sqlite3.connect(store / "catalog.db") as connection:
        connection.execute(
            "INSERT INTO verification (object_key, depth, content_hash, outcome, verified_at)"
            " VALUES ('volume/projection_density/100/1', 'deep', '0', 'damaged', CURRENT_TIMESTAMP)"
        )
    connection.close()
    assert state(store) == (2, "BSV-STORE CRITICAL - damaged objects: 1; run bsv-store repair\n")
    with sqlite3.connect(store / "catalog.db") as connection:
        connection.execute("DELETE FROM verification")
    connection.close()
    (store / "volumes").chmod(0o700)
    code, text = state(store)
    assert (code, text.startswith("BSV-STORE WARNING - permissions,")) == (1, True), text
    (store / "catalog.db").unlink()
    code, text = state(store)
    assert (code, text.startswith("BSV-STORE CRITICAL - connection,")) == (2, True), text
    code, text = state(store, PATH=f"{tmp_path / 'empty'}{os.pathsep}/usr/bin:/bin")
    assert (code, "UNKNOWN" in text) == (3, True), text


def test_the_commands_for_a_group_are_right(tmp_path: Path) -> None:
    create_store(tmp_path / "store").close()
    with open_store(tmp_path / "store") as store:
        store.admin.configure("group", str(tmp_path.stat().st_gid))
        assert store.admin.permissions().changes == ()
