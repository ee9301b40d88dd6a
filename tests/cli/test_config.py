"""``bsv-store config``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bsv_store.config.files import system_file, user_file
from bsv_store.vocabulary import SETTINGS
from tests.cli.running import Runner


def configure(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_shows_every_setting_with_its_origin(
    run: Runner, store_location: Path, monkeypatch: pytest.MonkeyPatch, wide_terminal: None
) -> None:
    monkeypatch.setenv("BSV_STORE", str(store_location))
    monkeypatch.setenv("BSV_STORE_API_URL", "http://mirror.example")
    configure(user_file(), "download_url = 'http://files.example'\n")
    configure(system_file(), "netrc = '/etc/netrc'\nlog_level = 'warning'\n")
    run("config", "set", "trash_days", "7").succeeded()
    shown = run("config", "show", "--origin", "--format", "json").succeeded().json
    assert [each["name"] for each in shown] == list(SETTINGS)
    origins = {each["name"]: (each["value"], each["origin"]) for each in shown}
    assert origins["store"] == (str(store_location), "BSV_STORE")
    assert origins["api_url"] == ("http://mirror.example", "BSV_STORE_API_URL")
    assert origins["download_url"] == ("http://files.example", str(user_file()))
    assert origins["netrc"] == ("/etc/netrc", str(system_file()))
    assert origins["trash_days"] == (7, "store.toml")
    assert origins["sql_timeout"] == (60.0, "default")
    assert origins["group"] == (None, "default")
    table = run("config", "show", "--origin").succeeded()
    assert "trash_days       7 " in table.out
    assert f"Configuration file: {user_file()}" in table.err
    assert len(run("config", "show").succeeded().out.splitlines()) == len(SETTINGS) + 2
    # An option comes before all others.
    given = run(
        "--log-level",
        "error",
        "--log-file",
        store_location.parent / "log",
        "config",
        "show",
        "--origin",
        "--format",
        "csv",
    )
    rows = {row["name"]: row for row in given.succeeded().rows}
    assert rows["log_level"]["value"] == "error"
    assert rows["log_level"]["place"] == "argument"


def test_works_without_a_store(run: Runner, tmp_path: Path) -> None:
    done = run("config", "show", "--origin", store=tmp_path).succeeded()
    assert "is not a store" in done.err
    assert "trash_days" in done.out


def test_a_typo_in_a_configuration_file_stops_every_command_with_the_near_name(
    run: Runner, store_location: Path
) -> None:
    configure(user_file(), "sotre = '/data'\n")
    for command in (("status",), ("config", "show"), ("select",)):
        run(*command, store=store_location).refused(2, "unknown key 'sotre'", "Did you mean 'store'?")


def test_set_and_restore(run: Runner, store_location: Path) -> None:
    before = (store_location / "store.toml").read_bytes()
    done = run("config", "set", "sql-timeout", "90", store=store_location).succeeded()
    assert done.err == "sql_timeout is now 90 (from store.toml).\n"
    assert (
        "store permissions --apply" in run("config", "set", "file_mode", "0660", store=store_location).succeeded().err
    )
    run("config", "set", "sql_timeout", "--default", store=store_location).succeeded()
    run("config", "set", "file_mode", "--default", store=store_location).succeeded()
    assert (store_location / "store.toml").read_bytes() == before
    shown = run("activity", "--format", "json", store=store_location).succeeded().json
    configured = [each for each in shown if each["action"] == "configured"]
    assert [each["subject"] for each in configured] == ["file_mode", "sql_timeout", "file_mode", "sql_timeout"]
    rows = run("activity", "--format", "csv", store=store_location).succeeded().rows
    assert [json.loads(each["details"]) for each in rows] == [each["details"] for each in shown]


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("trash_day", "7"), ("must be one of", "Did you mean 'trash_days'?")),
        (("trash_days", "soon"), ("whole number of days", "'soon'")),
        (("api_url", "http://me:hunter2@host"), ("contains a user name or password",)),
        (("group", "no-such-group"), ("there is no group",)),
        (("netrc", "/x"), ("not a setting of a store", "BSV_STORE_NETRC")),
        (("trash_days",), ("either VALUE or --default",)),
        (("trash_days", "7", "--default"), ("either VALUE or --default",)),
    ],
)
def test_wrong_input_is_refused(
    run: Runner, store_location: Path, arguments: tuple[str, ...], texts: tuple[str, ...]
) -> None:
    done = run("config", "set", *arguments, store=store_location).refused(2, *texts)
    assert "hunter2" not in done.err


def test_a_setting_that_the_environment_overrides_is_said(
    run: Runner, store_location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSV_STORE_API_URL", "http://mine.example")
    done = run("config", "set", "api_url", "http://lab.example", store=store_location).succeeded()
    assert "http://mine.example (from BSV_STORE_API_URL)" in done.err


# -- permissions and doctor -------------------------------------------------------------------------------------------


def test_permissions_are_planned_and_corrected(run: Runner, store_location: Path) -> None:
    run("store", "permissions", store=store_location).succeeded()
    (store_location / "trash").chmod(0o700)
    plan = run("store", "permissions", "--format", "json", store=store_location)
    assert plan.code == 1
    assert [(each["path"], each["wanted_mode"]) for each in plan.json["changes"]] == [("trash", "2775")]
    assert "store permissions --apply" in plan.err
    assert run("store", "permissions", "--format", "csv", store=store_location).rows[0]["mode"] == "0700"
    assert "1 change made" in run("store", "permissions", "--apply", store=store_location).succeeded().err
    run("store", "permissions", store=store_location).succeeded()


def test_the_doctor_prints_each_check_and_exits_with_one_if_there_is_a_fault(
    run: Runner, store_location: Path, database: str
) -> None:
    done = run("doctor", "--offline", "--format", "json", store=store_location)
    assert done.code == (0 if database == "sqlite" else 1)
    assert done.json["path"] == str(store_location)
    assert {each["outcome"] for each in done.json["findings"]} <= {"ok", "note", "warning", "fault"}
    assert done.json["faults"] == (0 if database == "sqlite" else 1)
    rows = run("doctor", "--offline", "--format", "csv", store=store_location).rows
    assert list(rows[0]) == ["area", "check", "outcome", "found", "remedy"]
    (store_location / "store.toml").write_text("damaged")
    done = run("doctor", "--offline", store=store_location)
    assert done.code == 1
    assert "1 fault, " in done.err
    assert "Write it again: bsv-store store attach" in done.out


def test_the_doctor_works_where_there_is_no_store(run: Runner, tmp_path: Path) -> None:
    done = run("doctor", "--offline", "--format", "json", store=tmp_path / "none")
    assert done.code == 1
    assert any("which is not a store" in each["found"] for each in done.json["findings"])
    assert list(tmp_path.iterdir()) == []
