"""Temporary folders outside of stores, also of processes that were killed."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bsv_store import temporary
from bsv_store.owner import process_owner
from bsv_store.temporary import TemporaryFolder, remove_abandoned


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "_next_look", 0.0)
    return tmp_path


def test_it_is_private_and_removed_at_the_end_of_the_block_or_with_the_object(machine: Path) -> None:
    with TemporaryFolder() as path:
        assert path.stat().st_mode & 0o777 == 0o700
        (path / "folder").mkdir()
        (path / "folder" / "file").touch()
    assert list(machine.iterdir()) == []
    folder = TemporaryFolder()
    assert folder.path.is_dir()
    del folder
    gc.collect()
    assert list(machine.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="without /proc it is not known who has ended")
def test_the_folder_of_a_killed_process_is_removed_by_the_next(machine: Path) -> None:
    code = (
        "import time; from bsv_store.temporary import *;"
        " folder = TemporaryFolder(); print(folder.path, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(machine)}, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    path = Path(child.stdout.readline().strip())
    (path / "catalog.db").touch()
    remove_abandoned()
    assert path.is_dir()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    with TemporaryFolder() as other:
        assert list(machine.iterdir()) == [other]


def test_only_old_folders_of_unknown_processes_and_no_others_are_removed(machine: Path) -> None:
    prefix = f"bsv-store-{os.getuid()}-"
    recent, old = machine / f"{prefix}{'0' * 16}-1-1-recent", machine / f"{prefix}{'0' * 16}-1-1-old"
    others = [machine / "bsv-store-demo-x", machine / f"{prefix}{process_owner()}-mine", machine / f"{prefix}file"]
    for each in (recent, old, *others[:2]):
        each.mkdir()
    others[2].touch()
    elsewhere = machine / "elsewhere"
    elsewhere.mkdir()
    link = machine / f"{prefix}{'0' * 16}-1-1-link"
    link.symlink_to(elsewhere)
    month_ago = time.time() - 30 * 24 * 3600
    for each in (old, *others, elsewhere):
        os.utime(each, (month_ago, month_ago))
    remove_abandoned()
    assert set(machine.iterdir()) == {recent, *others, link, elsewhere}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of Unix")
def test_a_forked_process_does_not_remove_the_folder_of_its_parent() -> None:
    folder = TemporaryFolder()
    child = os.fork()
    if child == 0:
        folder.remove()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert folder.path.is_dir()
    folder.remove()


def test_it_looks_for_abandoned_folders_at_most_once_a_minute(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = machine / f"bsv-store-{os.getuid()}-{'0' * 16}-1-1-old"
    with TemporaryFolder():
        old.mkdir()
        os.utime(old, (0, 0))
    with TemporaryFolder():
        assert old.is_dir()
    monkeypatch.setattr(temporary, "_next_look", 0.0)
    with TemporaryFolder():
        assert not old.is_dir()


def test_it_is_made_where_the_folder_for_temporary_files_cannot_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: str) -> None:
        raise PermissionError

    # Not by permissions, because root may list every folder.
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        folder = TemporaryFolder()
    assert folder.path.is_dir()
    folder.remove()
