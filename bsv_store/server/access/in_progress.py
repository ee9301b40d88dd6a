"""The number of requests in progress: those of one process, or of all workers of a server."""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from bsv_store.owner import has_ended, process_owner

if TYPE_CHECKING:
    from collections.abc import Iterator


class InProgress(Protocol):
    """The number of requests in progress. Used only in the event loop."""

    def add(self, change: int) -> None:
        """Add to the number of this process."""

    def total(self) -> int:
        """The number of all processes."""
        ...

    def close(self) -> None:
        """Remove the number of this process."""


class LocalCount:
    """The number of one process."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, change: int) -> None:
        """See `InProgress.add`."""
        self._count += change

    def total(self) -> int:
        """See `InProgress.total`."""
        return self._count

    def close(self) -> None:
        """See `InProgress.close`."""
        self._count = 0


class SharedCount:
    """The numbers of all workers of a server, in a memory-mapped file with a place for each.

    A worker writes only to its own place. The place of a worker that was killed is used by the one that replaces it.

    Parameters
    ----------
    path : pathlib.Path
        Created if it does not exist.
    workers : int
        Number of workers.
    """

    # Owner (empty = free), number of requests.
    _PLACE: Final = struct.Struct("<56sq")

    def __init__(self, path: Path, workers: int) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # A worker that ends and the one that replaces it may overlap.
        size = 2 * workers * self._PLACE.size
        self._count = 0
        with _locked(self._file):
            os.ftruncate(self._file, size)
            self._memory = mmap.mmap(self._file, size)
            owners = [place[0].rstrip(b"\0").decode() for place in self._PLACE.iter_unpack(self._memory)]
            free = next(number for number, owner in enumerate(owners) if not owner or has_ended(owner))
            self._start = free * self._PLACE.size
            self._write(process_owner())

    def _write(self, owner: str) -> None:
        self._PLACE.pack_into(self._memory, self._start, owner.encode(), self._count)

    def add(self, change: int) -> None:
        """See `InProgress.add`."""
        self._count += change
        # Requests that were canceled may end after the application.
        if not self._memory.closed:
            self._write(process_owner())

    def total(self) -> int:
        """See `InProgress.total`."""
        return sum(count for _, count in self._PLACE.iter_unpack(self._memory))

    def close(self) -> None:
        """See `InProgress.close`."""
        self._count = 0
        self._write("")
        self._memory.close()
        os.close(self._file)


def in_progress_in(folder: Path | None, workers: int) -> InProgress:
    """The number that workers share in a folder, or that of this process without a folder or on Windows."""
    return LocalCount() if folder is None or os.name == "nt" else SharedCount(folder / "in-progress", workers)


@contextmanager
def _locked(file: int) -> Iterator[None]:
    import fcntl

    fcntl.lockf(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN)
