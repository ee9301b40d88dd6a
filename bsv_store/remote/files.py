"""The files of a store on a server: found by their path in the copy of its catalog, read from the cache."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn, TypeVar

from sqlalchemy import select

from bsv_store.catalog.database.models import DatasetVersion, StoredAnnotation, StoredTemplate, StoredVolume
from bsv_store.errors import BsvStoreError, DamagedFileError, ReadOnlyStoreError
from bsv_store.progress import shown_progress
from bsv_store.remote.folder import cache_max_bytes
from bsv_store.remote.locks import ThreadLock
from bsv_store.remote.objects import ObjectCache, ObjectClient, RemoteFile, ignore_bytes
from bsv_store.remote.partial import BLOCK_BYTES, PartialFile, SeekableFile
from bsv_store.remote.protocol import OBJECTS
from bsv_store.volumes.file_identity import FileIdentity, file_identity, is_settled
from bsv_store.volumes.files import FileHashes, Published, StoreFiles, hashes_of

if TYPE_CHECKING:
    from datetime import datetime

    from bsv_store.catalog.database.engine import Database
    from bsv_store.progress import Progress
    from bsv_store.remote.client import Client
    from bsv_store.vocabulary import TrashReason

T = TypeVar("T")

_FOLDERS: Final = ("volumes/", "datasets/")
# Of smaller files, the whole file is downloaded with the first block.
_WHOLE_BYTES: Final = 2 * 1024 * 1024
# Blocks that are requested together if a file is read in order.
_MAX_AHEAD: Final = 8
_TRIES: Final = 3

# Paths that were given out, whose files were compared with their hash in this process.
_verified: dict[FileIdentity, str] = {}
_MAX_VERIFIED: Final = 10_000


class FileCatalog:
    """The files that a catalog names, by their path. Safe to share between threads, and to pickle with its database.

    Parameters
    ----------
    database : Database
        The copy of the catalog.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._files: dict[str, RemoteFile] = {}
        self._lock = ThreadLock()

    def __reduce__(self) -> tuple[type[FileCatalog], tuple[Database]]:
        return FileCatalog, (self._database,)

    def find(self, path: str) -> RemoteFile:
        """The file with a path relative to the store.

        Raises
        ------
        DamagedFileError
            If the catalog does not name it.
        """
        found = self._files.get(path)
        if found is None:
            # A path contains a part of the hash, so that a known one never means another file.
            with self._lock:
                self._files = self._read()
            found = self._files.get(path)
        if found is None:
            raise DamagedFileError(f"the catalog of the server does not have the file {path}")
        return found

    def all(self) -> Mapping[str, RemoteFile]:
        """All files, by their path."""
        with self._lock:
            self._files = self._read()
            return self._files

    def _read(self) -> dict[str, RemoteFile]:
        with self._database.reading() as connection:
            return {
                path: RemoteFile(path, size_bytes, sha256)
                for table in (StoredVolume, StoredAnnotation, StoredTemplate, DatasetVersion)
                for path, size_bytes, sha256 in connection.execute(
                    select(table.path, table.size_bytes, table.file_sha256)
                )
            }


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFiles(StoreFiles):
    """The files of a store on a server. They are downloaded when they are first needed, and never written.

    Of a volume at 25 or 10 um only the blocks that a slab needs are downloaded; the catalog has the hashes of its
    parts. Everything else is downloaded as a whole.

    Parameters
    ----------
    root : pathlib.Path
        The folder of the server in the cache.
    cache : ObjectCache
    catalog : FileCatalog
    client : ObjectClient or None
        None if the store is used offline.
    """

    cache: ObjectCache
    catalog: FileCatalog
    client: ObjectClient | None

    # -- reading ------------------------------------------------------------------------------------------------------

    def path(self, relative: str) -> Path:
        """The path of a file in the cache, downloaded if necessary, every byte verified.

        A path that no file of a store can have is one in the folder of the server.

        Raises
        ------
        StoreUnreachableError
            If it is not in the cache, and the server cannot be reached.
        DamagedFileError
            If the catalog does not name it, or the server sends other bytes.
        """
        if not relative.startswith(_FOLDERS):
            return StoreFiles.path(self, relative)
        file = self.catalog.find(relative)
        self.cache.given_out(file)
        for _ in range(_TRIES):
            path = self.cache.ensure(file, self.client)
            with contextlib.suppress(FileNotFoundError):
                if _is_verified(path, file):
                    return path
                self.cache.discard_damaged(file)
        raise DamagedFileError(f"{file} in the cache {self.cache.folder} is removed or changed by another program")

    def size_bytes(self, relative: str) -> int | None:
        """See `StoreFiles.size_bytes`. By the catalog; nothing is downloaded."""
        try:
            return self.catalog.find(relative).size_bytes
        except DamagedFileError:
            return None

    def discard_damaged(self, relative: str) -> bool:
        """See `StoreFiles.discard_damaged`."""
        if not relative.startswith(_FOLDERS):
            return False
        return self.cache.discard_damaged(self.catalog.find(relative))

    def read(self, relative: str, *, size_bytes: int, xxh3: str) -> bytes:
        """See `StoreFiles.read`. The file is downloaded if necessary, and once more if it is damaged in the cache."""

        def read(local: StoreFiles, path: str) -> bytes:
            return local.read(path, size_bytes=size_bytes, xxh3=xxh3)

        return self._reading(self.catalog.find(relative), read)

    def open_for_read_into(self, relative: str) -> FileIO:
        """See `StoreFiles.open_for_read_into`. The file is downloaded if necessary."""
        file = self.catalog.find(relative)
        for attempt in range(_TRIES):
            self.cache.given_out(file)
            path = self.cache.ensure(file, self.client)
            try:
                return _CachedFile(path, file)
            except FileNotFoundError:
                # Another process has just evicted it.
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("the last attempt raises")

    def read_into(self, buffer: memoryview, file: FileIO, *, xxh3: str) -> None:
        """See `StoreFiles.read_into`. The file is downloaded again if it is damaged in the cache."""
        assert isinstance(file, _CachedFile)
        try:
            StoreFiles.read_into(self, buffer, file, xxh3=xxh3)
        except DamagedFileError:
            if not self.cache.discard_damaged(file.remote):
                raise
            with self.open_for_read_into(file.remote.path) as again:
                StoreFiles.read_into(self, buffer, again, xxh3=xxh3)

    @contextmanager
    def opened(self, relative: str, *, size_bytes: int, xxh3: str | None = None) -> Iterator[BinaryIO]:
        """See `StoreFiles.opened`. Without a hash, only the blocks that are read are downloaded.

        A path that no file of a store can have is one in the folder of the server.

        Raises
        ------
        StoreUnreachableError
            If something is not in the cache, and the server cannot be reached.
        DamagedFileError
            See `StoreFiles.opened`.
        """
        if not relative.startswith(_FOLDERS):
            with StoreFiles.opened(self, relative, size_bytes=size_bytes, xxh3=xxh3) as own:
                yield own
            return
        file = self.catalog.find(relative)
        if xxh3 is None and size_bytes == file.size_bytes > _WHOLE_BYTES and not self.cache.has(file):
            with self._sparse(file) as reader:
                yield reader
            return

        def open_file(local: StoreFiles, path: str) -> tuple[contextlib.ExitStack, BinaryIO]:
            stack = contextlib.ExitStack()
            return stack, stack.enter_context(local.opened(path, size_bytes=size_bytes, xxh3=xxh3))

        with self.cache.in_use([file]):
            stack, stream = self._reading(file, open_file)
            with stack:
                yield stream

    def _reading(self, file: RemoteFile, read: Callable[[StoreFiles, str], T]) -> T:
        """The result of reading a file from the cache; the file is downloaded again if it is damaged or evicted."""
        local = StoreFiles(self.cache.folder)
        with self.cache.in_use([file]):
            for attempt in range(_TRIES):
                path = self.cache.ensure(file, self.client)
                try:
                    return read(local, path.relative_to(self.cache.folder).as_posix())
                except DamagedFileError:
                    if attempt == _TRIES - 1 or not self.cache.discard_damaged(file):
                        raise
        raise AssertionError("the last attempt raises")

    @contextmanager
    def _sparse(self, file: RemoteFile) -> Iterator[BinaryIO]:
        with self.cache.in_use([file]):
            partial = self.cache.partial(file)
            try:
                reader = _BlockFile(self, file, partial)
                try:
                    yield reader  # type: ignore[misc]  # RawIOBase has all methods that h5py uses
                except DamagedFileError:
                    if reader.error is not None:
                        # The reason why bytes were missing, which the HDF5 library does not pass on.
                        raise reader.error from None
                    raise
                if reader.error is not None:
                    raise reader.error
            finally:
                partial.close()

    def prefetch(self, relatives: Collection[str]) -> None:
        """See `StoreFiles.prefetch`. The missing files are downloaded, several at a time.

        Raises
        ------
        StoreUnreachableError, DamagedFileError, NoSpaceError
            If one of them cannot be downloaded.
        """
        files = [self.catalog.find(path) for path in dict.fromkeys(relatives)]
        missing = [each for each in files if not self.cache.has(each)]
        # Of more than the cache can keep, the first would be evicted again before they are read.
        if missing and sum(each.size_bytes for each in files) <= self.cache.max_bytes:
            self.cache.prefetch(missing, self.client, shown_progress(None))

    @contextmanager
    def prefetched(self, paths: Collection[str], progress: Progress) -> Iterator[None]:
        """Download the missing ones of some files, several at a time; they stay in the cache during the block.

        Raises
        ------
        StoreUnreachableError, DamagedFileError, NoSpaceError
            If one of them cannot be downloaded.
        """
        files = [self.catalog.find(path) for path in dict.fromkeys(paths)]
        with self.cache.in_use(files):
            self.cache.prefetch(files, self.client, progress)
            yield

    # -- writing ------------------------------------------------------------------------------------------------------

    def publish(self, relative: str, data: bytes | memoryview) -> Path:
        """Raise ReadOnlyStoreError."""
        self._refuse(relative)

    def publish_stream(self, write: Callable[[BinaryIO], T], name: Callable[[FileHashes], str]) -> Published[T]:
        """Raise ReadOnlyStoreError."""
        self._refuse("a file")

    def publish_file(self, temporary: Path, relative: str) -> str:
        """Raise ReadOnlyStoreError."""
        self._refuse(relative)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """Raise ReadOnlyStoreError."""
        yield self._refuse("a temporary file")

    def make_folder(self, folder: Path) -> None:
        """Raise ReadOnlyStoreError."""
        self._refuse(folder.name)

    def trash(self, relative: str, reason: TrashReason) -> str | None:
        """Raise ReadOnlyStoreError."""
        self._refuse(relative)

    def record_trash(
        self, relative: str, reason: TrashReason, *, size_bytes: int, rows: Mapping[str, Any] | None = None
    ) -> str:
        """Raise ReadOnlyStoreError."""
        self._refuse(relative)

    def move_to_trash(self, relative: str, item: str) -> bool:
        """Raise ReadOnlyStoreError."""
        self._refuse(relative)

    def forget_trash(self, item: str) -> None:
        """Raise ReadOnlyStoreError."""
        self._refuse(item)

    def server_time(self) -> datetime:
        """Raise ReadOnlyStoreError."""
        self._refuse("a temporary file")

    def _refuse(self, what: str) -> NoReturn:
        address = "a server" if self.client is None else self.client.url
        raise ReadOnlyStoreError(
            f"{what} cannot be written: the store is on {address}, and can only be read from here",
            hint="Change it on a computer that has its folder.",
        )


def cached_files(server: Path, database: Database, client: Client) -> CachedFiles:
    """The files of the store on a server, whose folder in the cache is ``server``."""
    return CachedFiles(
        server,
        cache=ObjectCache(server.parents[1], cache_max_bytes()),
        catalog=FileCatalog(database),
        client=ServerObjects(client),
    )


@dataclass(frozen=True, slots=True)
class ServerObjects:
    """Downloads files of a server by their hash; see `ObjectClient`."""

    client: Client

    @property
    def url(self) -> str:
        """Base address of the server."""
        return self.client.url

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
        """See `ObjectClient.fetch`."""
        self.client.stream(
            f"{OBJECTS}/{sha256}",
            what,
            lambda _: None,
            sink=sink,
            limit_bytes=stop - start,
            part=(start, stop),
            on_bytes=on_bytes,
        )


class _CachedFile(FileIO):
    """An open file of the cache, which knows what it is."""

    def __init__(self, path: Path, remote: RemoteFile) -> None:
        super().__init__(path)
        self.remote = remote


class _BlockFile(SeekableFile):
    """A file for HDF5 to read from, whose blocks are downloaded when they are read.

    A failed download does not raise, because the HDF5 library would have to handle the exception; the file ends
    there, and `error` is set.
    """

    def __init__(self, files: CachedFiles, file: RemoteFile, partial: PartialFile) -> None:
        super().__init__()
        self._files = files
        self._file = file
        self._partial = partial
        # The end of the last download, and the number of its blocks.
        self._last = 0
        self._count = 0
        self.error: BsvStoreError | None = None

    @property
    def end(self) -> int:
        """The size of the whole file."""
        return self._file.size_bytes

    def readinto(self, buffer: Any, /) -> int:
        """Read from the position."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._file.size_bytes - self._at))
        if not count or not self._has(self._at // BLOCK_BYTES, -(-(self._at + count) // BLOCK_BYTES)):
            return 0
        data = self._partial.read(self._at, count)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _has(self, first: int, last: int) -> bool:
        """Whether the blocks [first, last) are present, after downloading the missing ones."""
        if self.error is not None:
            return False
        missing = next(self._partial.missing(first, last), None)
        if missing is None:
            return True
        # Read in order, twice as many blocks are requested each time.
        ahead = min(_MAX_AHEAD, 2 * self._count) if missing[0] == self._last else 0
        end = max(last, missing[0] + ahead)
        try:
            self._files.cache.fetch_blocks(self._file, self._partial, self._files.client, missing[0], end)
        except BsvStoreError as error:
            self.error = error
            return False
        self._last, self._count = end, end - missing[0]
        return True


def _is_verified(path: Path, file: RemoteFile) -> bool:
    """Whether the file at a path of the cache has its hash. Hashed once per process, as long as it does not change."""
    with path.open("rb") as opened:
        looked_ns, identity = time.time_ns(), file_identity(os.fstat(opened.fileno()))
        if _verified.get(identity) == file.sha256:
            return True
        if hashes_of(opened).sha256 != file.sha256:
            return False
    if len(_verified) >= _MAX_VERIFIED:
        _verified.clear()
    if is_settled(identity, looked_ns):
        _verified[identity] = file.sha256
    return True
