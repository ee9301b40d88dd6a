"""The number of requests in progress: those of one process, or of all workers of a server."""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from bsv_store.server.access.mapped_file import mapped_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = "in-progress"
# Process id (0 = free), number of requests.
_PLACE: Final = struct.Struct("<qq")


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

    A worker writes only to its own place. That of a worker that was killed is freed by `forget_in_progress`.

    Parameters
    ----------
    path : pathlib.Path
        Created if it does not exist.
    workers : int
        Number of workers.
    """

    def __init__(self, path: Path, workers: int) -> None:
        # A worker that ends and the one that replaces it may overlap.
        size = 2 * workers * _PLACE.size
        self._count = 0
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _locked(file):
                self._memory = mapped_file(file, path, size)
                free = [process_id for process_id, _ in _PLACE.iter_unpack(self._memory)].index(0)
                self._place = slice(free * _PLACE.size, (free + 1) * _PLACE.size)
                self._write(os.getpid())
        finally:
            os.close(file)

    def _write(self, process_id: int) -> None:
        # In one step, unlike `pack_into`, which clears the place first.
        self._memory[self._place] = _PLACE.pack(process_id, self._count)

    def add(self, change: int) -> None:
        """See `InProgress.add`."""
        self._count += change
        # Requests that were canceled may end after the application.
        if not self._memory.closed:
            self._write(os.getpid())

    def total(self) -> int:
        """See `InProgress.total`."""
        if self._memory.closed:
            return self._count
        return sum(count for _, count in _PLACE.iter_unpack(self._memory))

    def close(self) -> None:
        """See `InProgress.close`."""
        self._count = 0
        self._write(0)
        self._memory.close()


def in_progress_in(folder: Path | None, workers: int) -> InProgress:
    """The number that workers share in a folder, or that of this process without a folder or on Windows."""
    return LocalCount() if folder is None or os.name == "nt" else SharedCount(folder / _NAME, workers)


def forget_in_progress(folder: Path, process_id: int | None) -> None:
    """Free the place of a worker that has ended, which the system tells only the process that started it."""
    path = folder / _NAME
    if not path.exists():
        return
    with path.open("r+b", buffering=0) as file, _locked(file.fileno()):
        for number, (owner, _) in enumerate(_PLACE.iter_unpack(file.read())):
            if owner == process_id:
                file.seek(number * _PLACE.size)
                file.write(bytes(_PLACE.size))


@contextmanager
def _locked(file: int) -> Iterator[None]:
    import fcntl

    fcntl.lockf(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN)
