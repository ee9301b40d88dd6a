"""The log of the command line."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import bsv_store
from bsv_store import open_store
from bsv_store.config.files import user_file
from bsv_store_cli.logs import CommandLog
from bsv_store_synthetic import SyntheticServer
from bsv_store_synthetic.faults import Status
from tests.cli.running import Runner


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_each_command_logs_its_start_its_end_and_its_exit_code(run: Runner, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "log"
    options = ("--log-file", file, "--log-format", "json")
    run(*options, "status", store=filled).succeeded()
    run(*options, "volume", "show", "--ids", "1", store=filled)
    run(*options, "statsu", store=filled).refused(2)
    run(*options, "status", store=tmp_path / "none").refused(3)
    found = records(file)
    assert [each["event"] for each in found] == ["start", "end", *["start", "error", "end"] * 3]
    assert [each["exit_code"] for each in found if each["event"] == "end"] == [0, 2, 2, 3]
    assert all(0 <= each["duration_s"] < 60 for each in found if each["event"] == "end")
    assert found[0]["arguments"][-1] == "status"
    assert found[-2]["kind"] == "NotAStoreError"
    assert found[-2]["level"] == "error"
    for each in found:
        assert {"time", "level", "logger", "message", "host", "process", "release"} <= set(each)
    # Nothing is left for the next command.
    assert [type(each) for each in logging.getLogger("bsv_store").handlers] == [logging.NullHandler]


def test_text_has_one_line_for_each_record(run: Runner, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "log"
    run("--log-file", file, "select", "--injected-in", "no\nsuch\x1b[31m", store=filled).refused(2)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert " INFO " in lines[0]
    assert " ERROR " in lines[1]
    assert lines[2].partition("ended with exit code 2")[1]


def test_without_options_nothing_is_logged_and_a_level_alone_logs_to_standard_error(
    run: Runner, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("status", store=filled).succeeded().err == ""
    done = run("--log-level", "info", "status", store=filled).succeeded()
    assert "started: bsv-store" in done.err
    assert "started" not in done.out
    # Errors only.
    assert run("--log-level", "error", "status", store=filled).succeeded().err == ""
    # From the environment and from the file of the user, as for cron.
    monkeypatch.setenv("BSV_STORE_LOG_FILE", str(tmp_path / "environment.log"))
    user_file().parent.mkdir(parents=True)
    user_file().write_text("log_format = 'json'\n")
    run("status", store=filled).succeeded()
    assert [each["event"] for each in records(tmp_path / "environment.log")] == ["start", "end"]


def test_wrong_settings_of_the_log_are_named(
    run: Runner, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--log-file", tmp_path / "no" / "log", "status", store=filled).refused(2, "the log file", "No such file")
    run("--log-level", "loud", "status", store=filled).refused(2, "--log-level")
    monkeypatch.setenv("BSV_STORE_LOG_LEVEL", "loud")
    run("status", store=filled).refused(2, "BSV_STORE_LOG_LEVEL", "must be one of debug, info, warning, error")
    # The doctor finds it too, and goes on.
    done = run("doctor", "--offline", "--format", "json", store=filled)
    (settings,) = [each for each in done.json["findings"] if each["check"] == "settings"]
    assert settings["outcome"] == "fault"


def test_passwords_are_never_logged(run: Runner, tmp_path: Path) -> None:
    for form in ("json", "text"):
        file = tmp_path / f"log.{form}"
        options = ("--log-file", file, "--log-format", form)
        run(*options, "init", tmp_path / "s", "--database", "postgresql://me:hunter2@host/x").refused(2)
        run(*options, "init", tmp_path / "s", "--database", "postgresql://me@host/x?password=hunter2").refused(2)
        run(*options, "init", tmp_path / "s", "--database", "postgresql://me@host/x?sslpassword=hunter2").refused(2)
        run(*options, "--store", tmp_path / "s", "sync", "structures", "--api-url", "http://me:hunter2@host").refused(3)
        text = file.read_text(encoding="utf-8")
        assert "hunter2" not in text
        assert text.count("***") >= 4


def test_retries_and_failed_downloads_are_logged(
    run: Runner, store_location: Path, server: SyntheticServer, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    options = ("--log-file", file, "--log-format", "json")
    run("sync", "structures", store=store_location).succeeded()
    run("sync", "experiments", store=store_location).succeeded()
    with open_store(store_location) as store:
        first, second = store.select()[:2]
    server.fail(f"/grid_data/download/{first}", Status(500))
    server.fail(f"/grid_data/download/{second}", Status(404), times=None)
    run(*options, "fetch", "--ids", f"{first},{second}", store=store_location)
    found = records(file)
    (retried,) = [each for each in found if each["event"] == "attempt failed"]
    assert str(first) in retried["url"]
    failed = [each for each in found if each["event"] == "download failed"]
    assert failed
    assert [each["message"].count(f"of experiment {second}") for each in failed] == [1, 1]
    assert retried["message"].count(f"of experiment {first}") == 1
    assert {each["level"] for each in failed} == {"warning"}
    assert [each["object"] for each in failed if "object" in each] == [f"volume/projection_density/100/{second}"]
    assert found[-1]["exit_code"] == 6


def test_warnings_are_logged(run: Runner, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "log"
    done = run("--log-file", file, "--log-format", "json", "search", "target", "VISp", store=filled)
    (warning,) = [each for each in records(file) if each["level"] == "warning"]
    assert warning["event"] == "warning"
    assert warning["message"] in done.err.replace("\n", " ")


def test_the_library_is_silent_unless_the_program_configures_logging() -> None:
    # Else Python prints warnings to standard error.
    assert any(isinstance(each, logging.NullHandler) for each in logging.getLogger("bsv_store").handlers)
    assert bsv_store.__version__


def test_a_log_that_is_rotated_is_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "log"
    log = CommandLog()
    log.start(["status"], {"log_file": file})
    file.rename(tmp_path / "log.1")
    logging.getLogger("bsv_store.anywhere").warning("after the rotation")
    log.end(0)
    assert len((tmp_path / "log.1").read_text(encoding="utf-8").splitlines()) == 1
    (first, _) = file.read_text(encoding="utf-8").splitlines()
    assert first.endswith("bsv_store.anywhere: after the rotation")


def test_a_log_that_cannot_be_written_is_one_message(run: Runner, filled: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no device that is always full")
    done = run("--log-file", full, "--log-level", "debug", "exclude", "list", store=filled).succeeded()
    assert done.err == f"The log file {full} cannot be written: No space left on device.\n"


def test_a_log_whose_folder_was_deleted_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, folder = CommandLog(), tmp_path / "logs"
    folder.mkdir()
    log.start([], {"log_file": folder / "log"})
    (folder / "log").unlink()
    folder.rmdir()
    logging.getLogger("bsv_store").warning("after the folder was deleted")
    log.end(0)
    assert capsys.readouterr().err == f"The log file {folder / 'log'} cannot be written: No such file or directory.\n"
