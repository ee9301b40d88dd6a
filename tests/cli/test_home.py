"""Accounts without a home folder, and paths that begin with that of an unknown user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bsv_store import create_store
from tests.cli.running import Runner

pwd = pytest.importorskip("pwd", reason="home folders of accounts are those of POSIX")

UNKNOWN = "~no-such-account/x"


@pytest.fixture
def without_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No HOME and no entry of the account, as in a container with a user id of its own. The working folder."""

    def unknown(_: object) -> None:
        raise KeyError("uid not found")

    for name in [name for name in os.environ if name.startswith("XDG_") or name == "HOME"]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.usefixtures("without_home")
def test_commands_work_without_a_home_folder(tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    run("init", store).succeeded()
    monkeypatch.setenv("BSV_STORE", str(store))
    assert run("status", "--format", "json").succeeded().json["path"] == str(store)
    assert "(does not exist)" in run("config", "show", "--origin").succeeded().err
    assert run("doctor", "--offline").code in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("status",), "no store was specified", "export BSV_STORE="),
        (("cache", "list"), "this account has no home folder", "export BSV_STORE_CACHE="),
        (("--store", "http://127.0.0.1:9/", "status"), "this account has no home folder", "export BSV_STORE_CACHE="),
        (("--store", "~/store", "status"), "this account has no home folder", "export HOME="),
        (("completion", "install", "--shell", "bash"), "this account has no home folder", "export HOME="),
    ],
)
def test_what_needs_a_home_folder_says_so(
    arguments: tuple[str, ...], message: str, hint: str, without_home: Path, run: Runner
) -> None:
    done = run(*arguments)
    assert done.code in (2, 3)
    assert message in done.err
    assert hint in done.err
    assert "Traceback" not in done.err
    assert list(without_home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        (("--store", UNKNOWN, "status"), None),
        (("--log-file", UNKNOWN, "status"), None),
        (("backup", "list", UNKNOWN), None),
        (("cache", "list"), "BSV_STORE_CACHE"),
        (("sync", "structures"), "BSV_STORE_NETRC"),
    ],
)
def test_the_home_folder_of_an_unknown_user_is_a_usage_error(
    arguments: tuple[str, ...], variable: str | None, tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_store(tmp_path / "store").close()
    monkeypatch.setenv("BSV_STORE", str(tmp_path / "store"))
    if variable is not None:
        monkeypatch.setenv(variable, UNKNOWN)
    done = run(*arguments)
    assert done.code == 2
    assert f"'{UNKNOWN}', names the home folder of an unknown user" in done.err
