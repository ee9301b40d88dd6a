"""The cache of files of remote stores: each by the SHA-256 of its bytes, shared by all servers and processes.

An object is downloaded into a partial file by one process at a time; the others wait for it. After a cut or a kill the
next download continues with the missing blocks. The SHA-256 of all bytes is checked before the file gets its name, so
that a file with a name was complete and right once; those who read it check its bytes again.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from bsv_store.checkpoints import checkpoint
from bsv_store.errors import BsvStoreError, DamagedFileError, NoSpaceError, StoreUnreachableError
from bsv_store.remote.eviction import CachedObject, Eviction, listed_objects
from bsv_store.remote.folder import FILE_MODE, cache_errors, make_private
from bsv_store.remote.locks import ThreadLock, locked
from bsv_store.remote.partial import BLOCK_BYTES, PartialFile, remove_partial
from bsv_store.volumes.folders import sync_folder

if TYPE_CHECKING:
    from bsv_store.progress import Progress

_AT_ONCE: Final = 8
_HASHED_BYTES: Final = 1 << 20
# Times of use are written at most once in this time.
_USE_S: Final = 600.0
# A path that was given out counts as in use for this time.
_PATH_S: Final = 60.0
_ATTEMPTS: Final = 2


def ignore_bytes(_count: int) -> None:
    """Do nothing: the default of callbacks that count received bytes."""


class ObjectClient(Protocol):
    """Downloads files of a server by their hash. Safe to share between threads."""

    @property
    def url(self) -> str:
        """Base address of the server."""

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
        """Write the bytes [start, stop) of a file to the sink; an interrupted transfer is resumed.

        Parameters
        ----------
        sink : BinaryIO
            Empty, readable and seekable; its offset 0 is the byte ``start``.
        what : str
            Name of the object in messages.
        on_bytes : callable
            Called with the number of received bytes. It may raise to stop the transfer.

        Raises
        ------
        StoreUnreachableError
            If the server cannot be reached, or fails.
        BsvStoreError
            The error that the server reports.
        """


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a remote store.

    Attributes
    ----------
    path : str
        Relative to the store's folder on the server.
    size_bytes : int
    sha256 : str
        Of its bytes, hexadecimal.
    """

    path: str
    size_bytes: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.path} (SHA-256 {self.sha256[:16]}...)"


class _StoppedError(Exception):
    """A download that is stopped because another one failed, or the user interrupted."""


# What this process is using, by cache and hash: with how many readers, and until when.
_pinned: Counter[tuple[Path, str]] = Counter()
_pinned_until: dict[tuple[Path, str], float] = {}
_pinning = ThreadLock()


@dataclass(frozen=True)
class ObjectCache:
    """The objects in a cache folder. Safe to share between threads and processes, and to pickle.

    Parameters
    ----------
    folder : pathlib.Path
        Of the cache.
    max_bytes : int
        If the objects are larger together, the least recently used ones are evicted.
    """

    folder: Path
    max_bytes: int

    def __reduce__(self) -> tuple[type[ObjectCache], tuple[Path, int]]:
        return type(self), (self.folder, self.max_bytes)

    @cached_property
    def _eviction(self) -> Eviction:
        return Eviction(self.folder, self.max_bytes, self.is_in_use)

    # -- complete objects ---------------------------------------------------------------------------------------------

    def path(self, file: RemoteFile) -> Path:
        """The path of an object that is in the cache, or will be."""
        # The ending, so that other programs recognize the file.
        return self._place("objects", f"{file.sha256}{PurePosixPath(file.path).suffix}")

    def has(self, file: RemoteFile) -> bool:
        """Whether the whole file is in the cache, by its size."""
        try:
            return self.path(file).stat().st_size == file.size_bytes
        except OSError:
            return False

    def cached(self, files: Collection[RemoteFile]) -> list[RemoteFile]:
        """Those of the files that are in the cache as a whole."""
        names = {each.sha256 for each in listed_objects(self.folder) if not each.is_partial}
        return [each for each in files if each.sha256 in names]

    def ensure(
        self,
        file: RemoteFile,
        client: ObjectClient | None,
        *,
        on_bytes: Callable[[int], None] = ignore_bytes,
    ) -> Path:
        """The path of a file in the cache, downloaded if it is missing. Another download of the file is waited for.

        Raises
        ------
        StoreUnreachableError
            If it is missing, and the server cannot be reached or ``client`` is None.
        DamagedFileError
            If the server sends other bytes than those with this hash.
        NoSpaceError
            If the disk is full.
        """
        path = self.path(file)
        if not self.has(file):
            with self._locked(file, on_bytes):
                # Another process may have downloaded it meanwhile.
                if not self.has(file):
                    self._download(file, client, on_bytes)
        self._record_use(file.sha256)
        return path

    def prefetch(self, files: Collection[RemoteFile], client: ObjectClient | None, progress: Progress) -> None:
        """Download the missing ones of some files, several at a time.

        Raises
        ------
        StoreUnreachableError, DamagedFileError, NoSpaceError
            See `ensure`. The other downloads stop, and continue next time with the missing blocks.
        """
        missing = list({each.sha256: each for each in files if not self.has(each)}.values())
        if not missing:
            return
        progress.start(len(missing), "downloading files")
        stop = threading.Event()
        failures: list[BaseException] = []

        def received(count: int) -> None:
            if stop.is_set():
                raise _StoppedError
            progress.advance(0, size_bytes=count)

        def fetch(file: RemoteFile) -> None:
            try:
                if not stop.is_set():
                    self.ensure(file, client, on_bytes=received)
                    progress.advance()
            except _StoppedError:
                return
            except BaseException as error:
                failures.append(error)
                stop.set()
                raise

        try:
            # Large files first, so that none is left at the end.
            missing.sort(key=lambda each: -each.size_bytes)
            with ThreadPoolExecutor(min(_AT_ONCE, len(missing)), thread_name_prefix="bsv-store-cache") as pool:
                try:
                    wait([pool.submit(fetch, each) for each in missing])
                finally:
                    # Also if the user interrupts.
                    stop.set()
        finally:
            progress.finish()
        if failures:
            raise failures[0]

    def discard_damaged(self, file: RemoteFile) -> bool:
        """Remove the file from the cache if its bytes do not have its hash; whether it is gone."""
        path = self.path(file)
        with self._locked(file):
            try:
                with path.open("rb") as opened:
                    if hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256:
                        return False
            except FileNotFoundError:
                # Blocks of a partial file have no hashes of their own.
                remove_partial(self._partial(file))
                return True
            path.unlink(missing_ok=True)
        return True

    def _download(self, file: RemoteFile, client: ObjectClient | None, on_bytes: Callable[[int], None]) -> None:
        """Complete the partial file, and give it its name; with the lock."""
        for attempt in range(_ATTEMPTS):
            with self._opened_partial(file) as partial:
                self._fetch(file, partial, client, (0, partial.block_count), on_bytes)
                if self._publish(file, partial):
                    return
            if attempt == 0 and client is None:
                raise self._unreachable(file, None)
        address = "the server" if client is None else client.url
        raise DamagedFileError(
            f"{file.path}: {address} sent bytes with another hash than {file.sha256}, twice",
            hint="The file is damaged there, or on the way: ask the administrator of the server to run "
            "`bsv-store verify`.",
        )

    def _publish(self, file: RemoteFile, partial: PartialFile) -> bool:
        """Rename a complete partial file if it has the hash of the file; otherwise remove it."""
        digest = hashlib.sha256()
        for at in range(0, file.size_bytes, _HASHED_BYTES):
            digest.update(partial.read(at, _HASHED_BYTES))
        if digest.hexdigest() != file.sha256:
            remove_partial(partial.path)
            return False
        target = self.path(file)
        with self._writing(file):
            make_private(target.parent)
            partial.sync()
            checkpoint("cache:synced")
            partial.path.replace(target)
            checkpoint("cache:renamed")
            sync_folder(target.parent)
            remove_partial(partial.path)
        self._eviction.added(file.size_bytes, keep=file.sha256)
        return True

    # -- parts --------------------------------------------------------------------------------------------------------

    def partial(self, file: RemoteFile) -> PartialFile:
        """The partial file of an object, for `fetch_blocks`; to be closed."""
        with self._locked(file):
            return self._new_partial(file)

    def fetch_blocks(
        self, file: RemoteFile, partial: PartialFile, client: ObjectClient | None, first: int, last: int
    ) -> None:
        """Download the missing ones of the blocks [first, last). If they complete the file, it gets its name.

        Raises
        ------
        StoreUnreachableError, DamagedFileError, NoSpaceError
            See `ensure`.
        """
        with self._locked(file):
            self._fetch(file, partial, client, (first, last), ignore_bytes)
            if next(partial.missing(), None) is None and not self.has(file) and _is_at(partial):
                self._publish(file, partial)

    def _fetch(
        self,
        file: RemoteFile,
        partial: PartialFile,
        client: ObjectClient | None,
        blocks: tuple[int, int],
        on_bytes: Callable[[int], None],
    ) -> None:
        for first, last in partial.missing(*blocks):
            if client is None:
                if partial.is_empty():
                    remove_partial(partial.path)
                raise self._unreachable(file, None)
            start, stop = first * BLOCK_BYTES, min(last * BLOCK_BYTES, file.size_bytes)
            try:
                with partial.window(start, stop) as sink, self._writing(file):
                    client.fetch(
                        file.sha256, _as_binary(sink), start=start, stop=stop, what=file.path, on_bytes=on_bytes
                    )
            except StoreUnreachableError as error:
                if partial.is_empty():
                    remove_partial(partial.path)
                raise self._unreachable(file, error) from error
            if (missing := next(partial.missing(first, last), None)) is not None:
                at = missing[0] * BLOCK_BYTES
                raise DamagedFileError(
                    f"{file.path}: {client.url} sent fewer bytes than requested, up to byte {at} of {file.size_bytes}",
                    hint="The file on the server may be truncated: ask its administrator to run `bsv-store verify`.",
                )

    @contextmanager
    def _opened_partial(self, file: RemoteFile) -> Iterator[PartialFile]:
        partial = self._new_partial(file)
        try:
            yield partial
        finally:
            partial.close()

    def _new_partial(self, file: RemoteFile) -> PartialFile:
        path = self._partial(file)
        with self._writing(file):
            make_private(path.parent)
            return PartialFile(path, file.size_bytes)

    # -- use ----------------------------------------------------------------------------------------------------------

    @contextmanager
    def in_use(self, files: Collection[RemoteFile]) -> Iterator[None]:
        """Keep this process from evicting these files during the block."""
        keys = [(self.folder, each.sha256) for each in files]
        with _pinning:
            _pinned.update(keys)
        try:
            yield
        finally:
            with _pinning:
                _pinned.subtract(keys)
                for key in keys:
                    if _pinned[key] <= 0:
                        del _pinned[key]

    def given_out(self, file: RemoteFile) -> None:
        """Keep this process from evicting a file for the next minute, in which its path is used."""
        now = time.monotonic()
        with _pinning:
            _pinned_until[self.folder, file.sha256] = now + _PATH_S
            for key in [key for key, until in _pinned_until.items() if until < now]:
                del _pinned_until[key]

    def is_in_use(self, sha256: str) -> bool:
        """Whether this process is using an object."""
        key = self.folder, sha256
        with _pinning:
            return key in _pinned or _pinned_until.get(key, 0.0) > time.monotonic()

    @cached_property
    def _recorded(self) -> dict[str, float]:
        return {}

    def _record_use(self, sha256: str) -> None:
        now = time.monotonic()
        if now - self._recorded.get(sha256, -_USE_S) < _USE_S:
            return
        self._recorded[sha256] = now
        # Errors are ignored, because the times only improve the order of evictions.
        with contextlib.suppress(OSError, BsvStoreError):
            path = self._place("uses", sha256)
            make_private(path.parent)
            path.touch(mode=FILE_MODE)

    # -- folder -------------------------------------------------------------------------------------------------------

    def _place(self, kind: str, name: str) -> Path:
        return self.folder / kind / name[:2] / name

    def _partial(self, file: RemoteFile) -> Path:
        return self._place("partial", file.sha256)

    @contextmanager
    def _locked(self, file: RemoteFile, on_bytes: Callable[[int], None] = ignore_bytes) -> Iterator[None]:
        with self._writing(file):
            folder = make_private(self.folder / "locks")
            with locked(folder / file.sha256, file.path, on_wait=lambda: on_bytes(0)):
                yield

    @contextmanager
    def _writing(self, file: RemoteFile) -> Iterator[None]:
        try:
            with cache_errors(self.path(file)):
                yield
        except NoSpaceError as error:
            raise NoSpaceError(f"no space left in the cache {self.folder} for {file.path}", hint=error.hint) from error

    def _unreachable(self, file: RemoteFile, cause: StoreUnreachableError | None) -> StoreUnreachableError:
        found = listed_objects(self.folder)
        reason = "the store is used offline" if cause is None else cause.message.removeprefix(f"{file.path}: ")
        return StoreUnreachableError(f"{file} is not in the cache: {reason}", hint=_what_is_cached(found))


def _what_is_cached(found: list[CachedObject]) -> str:
    from bsv_store.text import number_of, size_text

    complete = [each for each in found if not each.is_partial]
    size = size_text(sum(each.size_bytes for each in complete))
    return (
        f"The cache has {number_of(len(complete), 'file')} ({size}): bsv-store cache list. "
        "Try again when the server can be reached."
    )


def _as_binary(sink: object) -> BinaryIO:
    # RawIOBase has all methods that a transfer uses.
    return sink  # type: ignore[return-value]


def _is_at(partial: PartialFile) -> bool:
    """Whether the partial file is still the one at its path."""
    try:
        return partial.is_same(partial.path.stat())
    except FileNotFoundError:
        return False
