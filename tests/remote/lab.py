"""A server without a network: what a client of a remote store needs, from a folder, with faults and a count."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bsv_store import open_store
from bsv_store.errors import StoreUnreachableError
from bsv_store.remote.files import CachedFiles, FileCatalog
from bsv_store.remote.folder import server_folder
from bsv_store.remote.objects import ObjectCache, ignore_bytes
from tests.processes import Child

if TYPE_CHECKING:
    from bsv_store import Store

PLENTY = 10**12
URL = "https://lab.example/bsv"
_PIECE = 64 * 1024


@dataclass
class FolderClient:
    """Serves the files of a store's folder, by their hash.

    Attributes
    ----------
    paths : dict of str to pathlib.Path
        By SHA-256.
    log : pathlib.Path
        One line for each request, of all processes: the hash, and the first and last byte.
    is_down : bool
    flip : int or None
        Offset of a byte that is sent wrong.
    flips : int
        Number of requests in which it is.
    cut : int or None
        Number of bytes after which a request ends.
    delay_s : float
        Pause after each 64 KiB.
    sent : list of int
        Number of bytes in each piece that was sent to this process.
    threads : set of int
        That requested something.
    """

    paths: dict[str, Path]
    log: Path
    is_down: bool = False
    flip: int | None = None
    flips: int = 1_000
    cut: int | None = None
    delay_s: float = 0.0
    url: str = URL
    sent: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def fetch(
        self,
        sha256: str,
        sink: BinaryIO,
        *,
        start: int,
        stop: int,
        what: str,
        on_bytes: Callable[[int], None] = ignore_bytes,
    ) -> None:
        """See `bsv_store.remote.objects.ObjectClient`."""
        if self.is_down:
            raise StoreUnreachableError(f"{what}: connection refused; requested {self.url}")
        self.threads.add(threading.get_ident())
        with self.log.open("a") as log:
            log.write(f"{sha256} {start} {stop}\n")
        content = bytearray(self.paths[sha256].read_bytes()[start:stop])
        if self.flip is not None and start <= self.flip < stop and self.flips > 0:
            content[self.flip - start] ^= 1
            self.flips -= 1
        for at in range(0, len(content), _PIECE):
            if self.cut is not None and at >= self.cut:
                raise StoreUnreachableError(f"{what}: the connection was cut; requested {self.url}")
            piece = content[at : at + _PIECE]
            sink.write(piece)
            self.sent.append(len(piece))
            on_bytes(len(piece))
            time.sleep(self.delay_s)

    def requests(self) -> list[tuple[str, int, int]]:
        """The requests of all processes."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(sha256, int(start), int(stop)) for sha256, start, stop in map(str.split, lines)]

    @property
    def received(self) -> int:
        """Number of bytes sent to this process."""
        return sum(self.sent)


@dataclass(frozen=True)
class Laptop:
    """A computer with a cache, and what it has of a lab's store."""

    store: Store
    files: CachedFiles
    client: FolderClient

    @property
    def cache(self) -> ObjectCache:
        return self.files.cache

    def paths(self) -> list[str]:
        """The files of the store."""
        return sorted(self.files.catalog.all())

    def object(self, path: str) -> Path:
        """Where a file is in the cache."""
        return self.cache.path(self.files.catalog.find(path))


def client_of(location: Path, log: Path) -> FolderClient:
    """A client of the store in a folder."""
    with open_store(location, read_only=True) as store:
        found = {each.sha256: location / path for path, each in FileCatalog(store.database).all().items()}
    return FolderClient(found, log)


@contextmanager
def laptop(location: Path, folder: Path, *, max_bytes: int = PLENTY, offline: bool = False) -> Iterator[Laptop]:
    """A computer with a cache in a folder, that reads the store at a location as a remote one."""
    client = client_of(location, folder.parent / f"{folder.name}.requests")
    with open_store(location, read_only=True) as store:
        files = CachedFiles(
            server_folder(folder, URL),
            cache=ObjectCache(folder, max_bytes),
            catalog=FileCatalog(store.database),
            client=None if offline else client,
        )
        store.__dict__["files"] = files
        yield Laptop(store, files, client)


def reading(location: Path, folder: Path, path: str, *, delay_s: float = 0.0, kill_at: str | None = None) -> Child:
    """A process that downloads a file, and writes the SHA-256 of what it read."""
    return Child(_read, location, folder, path, delay_s, kill_at=kill_at)


def _read(location: Path, folder: Path, path: str, delay_s: float) -> None:
    import hashlib

    with laptop(location, folder) as here:
        here.client.delay_s = delay_s
        sys.stdout.write(hashlib.sha256(here.files.path(path).read_bytes()).hexdigest())
