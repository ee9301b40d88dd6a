"""The identity of a process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bsv_store import owner as owner_module
from bsv_store.owner import has_ended, owner_state, process_id, process_owner

_PRINT = "from bsv_store.owner import process_owner; print(process_owner(), flush=True); input()"


def test_a_process_that_runs_has_not_ended_until_it_has() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PRINT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        owner = process.stdout.readline().strip()
        assert not has_ended(owner)
        process.communicate("\n")
    assert process.returncode == 0
    assert has_ended(owner)


def test_a_reused_process_id_is_another_process() -> None:
    place, pid, start = process_owner().split("-")
    assert not has_ended(f"{place}-{pid}-{start}")
    assert has_ended(f"{place}-{pid}-{int(start) + 1}")


def test_processes_of_other_hosts_boots_and_namespaces_are_not_known_to_have_ended() -> None:
    _, _, start = process_owner().split("-")
    assert not has_ended(f"{'0' * 16}-{2**22 + 1}-{start}")
    assert not has_ended("host/12/abcdef")
    assert not has_ended("")


def test_a_forked_process_has_its_own_identity() -> None:
    read, write = os.pipe()
    before = process_owner()
    child = os.fork()
    if child == 0:
        os.write(write, process_owner().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).decode() != before
    os.close(read)
    os.close(write)


def test_a_process_that_has_not_been_waited_for_has_ended() -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, process_owner().encode())
        os._exit(0)
    owner = os.read(read, 100).decode()
    os.close(read)
    os.close(write)
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        # Still listed in /proc.
        assert owner_state(owner) == "ended"
    finally:
        os.waitpid(child, 0)


def test_a_process_hidden_by_proc_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the mount option hidepid, /proc has no entry for the processes of other users."""
    parent = str(os.getppid())
    place, _, start = process_owner().split("-")
    real = owner_module._text
    monkeypatch.setattr(owner_module, "_text", lambda path: "" if parent in path.parts else real(path))
    assert owner_state(f"{place}-{parent}-{start}") == "unknown"

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert owner_state(f"{place}-{parent}-{start}") == "unknown"


def test_the_process_id_of_an_identity() -> None:
    assert process_id(process_owner()) == os.getpid()
    assert process_id("12") is None
