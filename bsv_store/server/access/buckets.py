"""Storage of the token buckets of clients: in the memory of one process, or shared by the workers of a server."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from bsv_store.server.access.mapped_file import mapped_file

Bucket = tuple[float, float]
"""Content of a bucket, and the time of the last request, from a clock that all processes of the computer share."""

Change = Callable[[Bucket | None], Bucket]
"""Computes the bucket after a request from the one before it, which is None for an unknown client."""


class Buckets(Protocol):
    """Buckets by client, up to a maximum number of clients; the least recently active ones are removed."""

    def update(self, client: str, change: Change) -> None:
        """Replace the bucket of a client. Called only in the event loop."""


class LocalBuckets:
    """The buckets of one process."""

    MAX_CLIENTS: Final = 10_000

    def __init__(self) -> None:
        # A dict preserves the order of insertion: oldest first.
        self._buckets: dict[str, Bucket] = {}

    def update(self, client: str, change: Change) -> None:
        """See `Buckets.update`."""
        self._buckets[client] = change(self._buckets.pop(client, None))
        if len(self._buckets) > self.MAX_CLIENTS:
            del self._buckets[next(iter(self._buckets))]


class SharedBuckets:
    """The buckets of all workers of a server, in a memory-mapped file.

    The bucket of a client is in one of the places of a group, which the hash of the client determines. A group is
    locked while it is changed, for microseconds; the operating system releases the lock of a killed worker.

    Parameters
    ----------
    path : pathlib.Path
        Created if it does not exist.
    """

    _GROUPS: Final = 1024
    _PLACES: Final = 8
    # Hash of the client (0 = free), content, time.
    _PLACE: Final = struct.Struct("<Qdd")
    _GROUP_BYTES: Final = _PLACES * _PLACE.size

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._memory = mapped_file(self._file, path, self._GROUPS * self._GROUP_BYTES)
        except BaseException:
            os.close(self._file)
            raise

    def update(self, client: str, change: Change) -> None:
        """See `Buckets.update`."""
        import fcntl

        key = int.from_bytes(hashlib.sha256(client.encode()).digest()[:8], "little") or 1
        start = key % self._GROUPS * self._GROUP_BYTES
        fcntl.lockf(self._file, fcntl.LOCK_EX, self._GROUP_BYTES, start)
        try:
            places = list(self._PLACE.iter_unpack(self._memory[start : start + self._GROUP_BYTES]))
            known = next((number for number, place in enumerate(places) if place[0] == key), None)
            oldest = min(range(self._PLACES), key=lambda number: (places[number][0] != 0, places[number][2]))
            number = oldest if known is None else known
            bucket = change(None if known is None else places[known][1:])
            self._PLACE.pack_into(self._memory, start + number * self._PLACE.size, key, *bucket)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, self._GROUP_BYTES, start)


def buckets_in(folder: Path | None) -> Buckets:
    """The buckets that workers share in a folder, or those of this process without a folder or on Windows."""
    return LocalBuckets() if folder is None or os.name == "nt" else SharedBuckets(folder / "rates")
