"""Files that workers share in memory: a full disk is an error at the start, and kills no worker later."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bsv_store.errors import NoSpaceError
from bsv_store.server.access.buckets import buckets_in
from bsv_store.server.access.in_progress import in_progress_in

MAKE: dict[str, Callable[[Path], object]] = {
    "rates": buckets_in,
    "in-progress": lambda folder: in_progress_in(folder, 2),
}
pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no posix_fallocate on this system")


@pytest.mark.parametrize("name", MAKE)
def test_room_for_shared_memory_is_reserved(tmp_path: Path, name: str) -> None:
    MAKE[name](tmp_path)
    found = (tmp_path / name).stat()
    assert found.st_size > 0
    # A write to a page of a sparse file on a full disk ends the process with SIGBUS.
    assert found.st_blocks * 512 >= found.st_size


@pytest.mark.parametrize("name", MAKE)
def test_a_full_disk_is_noticed_at_the_start(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NoSpaceError, match=name):
        MAKE[name](tmp_path)


def test_what_other_workers_have_counted_is_kept(tmp_path: Path) -> None:
    in_progress_in(tmp_path, 2).add(3)
    assert in_progress_in(tmp_path, 2).total() == 3
