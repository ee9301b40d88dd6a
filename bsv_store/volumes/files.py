"""Atomic publication of files, even if processes are killed, and reads that detect damage.

A file is published in this order: unique temporary file on the same file system, final permissions, fsync, rename,
fsync of the folder. Only then does the caller commit the row that names the file. Removal is the reverse: first the
row, then the file is moved to the trash. There are no locks, since some shared file systems ignore them: unique names
and the atomic rename ensure correctness.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import xxhash

from bsv_store.checkpoints import checkpoint
from bsv_store.errors import DamagedFileError, NoSpaceError, ReadOnlyStoreError, StoreError
from bsv_store.file_systems import is_inside
from bsv_store.owner import has_ended, process_owner
from bsv_store.text import ids_option, shown, with_file
from bsv_store.vocabulary import TrashReason
from bsv_store.volumes.folders import make_folders, sync_folder
from bsv_store.volumes.trash import RECORD_ENDING, new_record, trashed_name

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}
_HASHED_BYTES = 1 << 20
TEMPORARY_ENDING = ".tmp"
"""Names of temporary files are ``OWNER-RANDOM.tmp``, with the owner of `bsv_store.owner.process_owner`."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileHashes:
    """Size and hashes of a file's bytes, hexadecimal."""

    size_bytes: int
    sha256: str
    xxh3: str


@dataclass(frozen=True, slots=True)
class Published(Generic[T]):
    """A published file that was written as a stream.

    Attributes
    ----------
    path : str
        Relative to the store's folder.
    hashes : FileHashes
    content : T
        What the writer returned.
    """

    path: str
    hashes: FileHashes
    content: T


@dataclass(frozen=True, slots=True)
class StoreFiles:
    """The files of one store.

    Parameters
    ----------
    root : pathlib.Path
        The store's folder.
    file_mode, directory_mode : int
        Permissions of new files and folders, independent of the umask.
    """

    root: Path
    file_mode: int = 0o664
    directory_mode: int = 0o2775

    def path(self, relative: str) -> Path:
        """The absolute path of a file of the store.

        Raises
        ------
        DamagedFileError
            If the path is outside the store, which happens only if the catalog was tampered with.
        """
        return Path(self._name(relative))

    def _name(self, relative: str) -> str:
        # A string, since creating a Path takes longer than opening a small file.
        if not is_inside(relative):
            raise DamagedFileError(f"the catalog names a file outside the store: {shown(relative)}")
        return f"{self.root}/{relative}"

    def publish(self, relative: str, data: bytes | memoryview) -> Path:
        """Write a file atomically; an existing one is replaced.

        Raises
        ------
        NoSpaceError, ReadOnlyStoreError, StoreError
            If it cannot be written. At most a temporary file under ``tmp/`` is left, if the process is killed.
        """
        target = self.path(relative)
        with store_errors(target):
            self.make_folder(target.parent)
            with self.temporary() as temporary:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    self._finish(file)
                self._rename(temporary, target)
        return target

    def publish_stream(self, write: Callable[[BinaryIO], T], name: Callable[[FileHashes], str]) -> Published[T]:
        """Write a file atomically that is never in memory as a whole.

        Parameters
        ----------
        write : callable
            Writes the content to the file passed to it, which is unbuffered, readable and seekable.
        name : callable
            Returns the path relative to the store, given the hashes of the file.

        Raises
        ------
        NoSpaceError, ReadOnlyStoreError, StoreError
            If it cannot be written. At most a temporary file under ``tmp/`` is left, if the process is killed.
        """
        with store_errors(self.root / "tmp"), self.temporary() as temporary:
            with temporary.open("x+b", buffering=0) as file:
                content = write(file)
                # Hashed at the end, since it may be written out of order.
                hashes = hashes_of(file)
            return Published(self.publish_file(temporary, name(hashes)), hashes, content)

    def publish_file(self, temporary: Path, relative: str) -> str:
        """Rename a complete temporary file of this store to a path relative to the store, which is returned.

        Raises
        ------
        NoSpaceError, ReadOnlyStoreError, StoreError
            If that fails. The temporary file is then unchanged.
        """
        target = self.path(relative)
        with store_errors(target):
            self.make_folder(target.parent)
            with temporary.open("r+b") as file:
                self._finish(file)
            self._rename(temporary, target)
        return relative

    def _finish(self, file: BinaryIO) -> None:
        checkpoint("publish:written")
        os.fchmod(file.fileno(), self.file_mode)
        os.fsync(file.fileno())

    def _rename(self, temporary: Path, target: Path) -> None:
        checkpoint("publish:synced")
        temporary.replace(target)
        checkpoint("publish:renamed")
        sync_folder(target.parent)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A unique path under ``tmp/``, named by this process; a file left there at the end is removed.

        The first one of a process also removes temporary files of processes that have certainly ended.

        Raises
        ------
        NoSpaceError, ReadOnlyStoreError, StoreError
            If there is no such folder, and it cannot be created.
        """
        folder = self.root / "tmp"
        with store_errors(folder):
            self.make_folder(folder)
            _remove_leftovers(folder)
        path = folder / f"{process_owner()}-{secrets.token_hex(8)}{TEMPORARY_ENDING}"
        try:
            yield path
        finally:
            # SQLite makes a journal beside a database.
            for made in (path, path.with_name(f"{path.name}-journal")):
                # There may be none. One that cannot be removed is a leftover, which a later process removes.
                with contextlib.suppress(OSError):
                    made.unlink()

    def make_folder(self, folder: Path) -> None:
        """Create a folder inside the store, and its parents, with the permissions of the store."""
        for made in (folder, *folder.parents):
            if self.root in made.parents and made.is_dir():
                self._repair_permissions(made)
        make_folders(folder, self.directory_mode)

    def _repair_permissions(self, folder: Path) -> None:
        # A process that is killed between creating a folder and setting its permissions leaves an empty folder with the
        # permissions of its umask. A folder that is not empty was completed, and a user may have changed it since.
        missing = self.directory_mode & ~folder.stat().st_mode
        if missing and next(folder.iterdir(), None) is None:
            with contextlib.suppress(PermissionError):
                folder.chmod(self.directory_mode)

    def read(self, relative: str, *, size_bytes: int, xxh3: str) -> bytes:
        """The bytes of a published file, verified against the recorded size and hash.

        Raises
        ------
        DamagedFileError
            If the file is missing, has another size, or differs in any bit.
        """
        path = self.path(relative)
        with _reading(path), path.open("rb") as file:
            # Buffered, since the system may return fewer bytes than requested, as above 2 GiB.
            data = file.read(size_bytes + 1)
        _check(path, size_bytes, len(data) == size_bytes, xxhash.xxh3_64_hexdigest(data) == xxh3)
        return data

    def open_for_read_into(self, relative: str) -> FileIO:
        """Open a published file for `read_into`, with a hint to the system that it will be read soon.

        Raises
        ------
        DamagedFileError
            If the file is missing.
        """
        name = self._name(relative)
        with _reading(name):
            file = FileIO(name)
        if hasattr(os, "posix_fadvise"):
            # Only a hint.
            with contextlib.suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        return file

    def read_into(self, buffer: memoryview, file: FileIO, *, xxh3: str) -> None:
        """Fill a buffer with the bytes of a published file, verified against the recorded hash.

        Parameters
        ----------
        buffer : memoryview of bytes
            Of the recorded size.
        file : file
            From `open_for_read_into`, at its start.

        Raises
        ------
        DamagedFileError
            If the file has another size or differs in any bit. The content of the buffer is then undefined.
        """
        with _reading(str(file.name)):
            whole = os.fstat(file.fileno()).st_size == len(buffer) and _fill(buffer, file)
        _check(str(file.name), len(buffer), whole, xxhash.xxh3_64_hexdigest(buffer) == xxh3)

    @contextmanager
    def opened(self, relative: str, *, size_bytes: int, xxh3: str | None = None) -> Iterator[BinaryIO]:
        """A published file open for reading, its size verified, and its hash if given, in bounded memory.

        Raises
        ------
        DamagedFileError
            If the file is missing, has another size, or does not have the hash.
        """
        path = self.path(relative)
        with _reading(path):
            file = path.open("rb")
        with file:
            with _reading(path):
                size = os.fstat(file.fileno()).st_size
                found = None if xxh3 is None else hashes_of(file).xxh3
            _check(path, size_bytes, size == size_bytes, found == xxh3)
            yield file

    def size_bytes(self, relative: str) -> int | None:
        """The size of a file; None if it does not exist or cannot be accessed."""
        try:
            return self.path(relative).stat().st_size
        except OSError:
            return None

    def prefetch(self, relatives: Collection[str]) -> None:
        """Make files available that are about to be read one after the other. Those of a folder are."""

    def discard_damaged(self, relative: str) -> bool:
        """Discard a damaged local copy; whether reading the file again gives another one. In a folder there is none."""
        self.path(relative)
        return False

    def read_undamaged(self, relative: str, read: Callable[[], T]) -> T:
        """The result of ``read``; a damaged local copy is discarded, and ``read`` called again.

        Raises
        ------
        DamagedFileError
            If the file is damaged and has no other copy, or that one is damaged too.
        """
        try:
            return read()
        except DamagedFileError:
            if not self.discard_damaged(relative):
                raise
        return read()

    def trash(self, relative: str, reason: TrashReason) -> str | None:
        """Move a file into ``trash/``, with a record of what it was.

        Returns
        -------
        str or None
            Name of the item in the trash; None if the file is already gone.
        """
        try:
            size_bytes = self.path(relative).stat().st_size
        except FileNotFoundError:
            return None
        item = self.record_trash(relative, reason, size_bytes=size_bytes)
        return item if self.move_to_trash(relative, item) else None

    def record_trash(
        self, relative: str, reason: TrashReason, *, size_bytes: int, rows: Mapping[str, Any] | None = None
    ) -> str:
        """Write the record of a file that is about to be moved by `move_to_trash`; returns the name of the item.

        Parameters
        ----------
        relative : str
        reason : TrashReason
        size_bytes : int
        rows : mapping, optional
            What is needed to restore its rows, as JSON values.
        """
        record = new_record(relative, reason, size_bytes=size_bytes, at=self.server_time(), rows=rows)
        self.publish(f"trash/{record.item}{RECORD_ENDING}", record.to_json().encode())
        checkpoint("trash:recorded")
        return record.item

    def move_to_trash(self, relative: str, item: str) -> bool:
        """Move a file into ``trash/`` as an item whose record is written; False if the file is already gone."""
        source, target = self.path(relative), self.root / "trash" / trashed_name(item, relative)
        with store_errors(source):
            try:
                source.rename(target)
            except FileNotFoundError:
                # Another process may have moved it as this item.
                if not target.exists():
                    self.forget_trash(item)
                return False
            checkpoint("trash:moved")
            # The new name first, so that a power failure cannot lose both.
            sync_folder(target.parent)
            sync_folder(source.parent)
        return True

    def forget_trash(self, item: str) -> None:
        """Delete the record of an item whose file is not in the trash (any more)."""
        path = self.root / "trash" / f"{item}{RECORD_ENDING}"
        with store_errors(path):
            path.unlink(missing_ok=True)

    def server_time(self) -> datetime:
        """The current time by the clock of the file server, aware UTC, from the time of a new temporary file.

        Times of files are compared with it, since the clock of this host may differ.
        """
        with store_errors(self.root / "tmp"), self.temporary() as path:
            path.touch()
            return datetime.fromtimestamp(path.stat().st_mtime, UTC)


# Temporary files, and the files in the folders in which the doctor tests a file system.
_TEMPORARY = re.compile(
    r"(?:doctor-)?(?P<owner>[0-9a-f]{16}-\d+-\d+)-(?:[0-9a-f]{16}\.tmp(?:-journal)?|[0-9a-f]{8}/.+)"
)
# Entries of tmp/ that a process looks at, so that its first write is not delayed; later ones see the others.
_MAX_LEFTOVERS = 10_000
# Process and folder, where leftovers have been removed. A forked child looks again.
_cleaned: set[tuple[int, Path]] = set()


def temporary_owner(name: str) -> str | None:
    """The identity of the process that created a file in ``tmp/``, as in `bsv_store.owner`, from its path there.

    None if it is not a file of bsv-store.
    """
    found = _TEMPORARY.fullmatch(name)
    return None if found is None else found["owner"]


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes that have certainly ended, once per process."""
    here = os.getpid(), folder
    if here in _cleaned:
        return
    _cleaned.add(here)
    ended: dict[str, bool] = {}
    with os.scandir(folder) as entries:
        for entry in itertools.islice(entries, _MAX_LEFTOVERS):
            owner = temporary_owner(entry.name)
            if owner is None:
                continue
            if owner not in ended:
                ended[owner] = has_ended(owner)
            if ended[owner]:
                # Another process may remove it too, or this account may not be permitted to. Nothing depends on it.
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()


_VOLUME_PATH = re.compile(r"volumes[/\\](?P<kind>\w+)[/\\](?P<spacing>\d+)um[/\\](?P<experiment_id>\d+)\.[^/\\]*$")


_REPAIR = "bsv-store repair --apply"


def refresh_command(experiment_ids: Collection[int], *, kind: str, spacing_um: int) -> str:
    """The command that downloads stored volumes again."""
    return with_file(f"bsv-store fetch --refresh {ids_option(experiment_ids)} --kind {kind} --spacing {spacing_um}")


def repair_hint(path: Path | str) -> str:
    """How to replace a damaged file; for a volume, the command with its experiment, kind and spacing."""
    found = _VOLUME_PATH.search(str(path))
    if found is None:
        return f"Repair the store: {_REPAIR}"
    command = refresh_command([int(found["experiment_id"])], kind=found["kind"], spacing_um=int(found["spacing"]))
    return f"Fetch it again (or adopt its folder): {command}; or repair the whole store: {_REPAIR}"


def is_no_space(error: OSError) -> bool:
    """Whether the error is a full disk, an exceeded quota or file size limit."""
    return error.errno in _NO_SPACE


def hashes_of(file: BinaryIO) -> FileHashes:
    """Size and hashes of an open file, read in bounded memory; it is at its start afterwards."""
    file.seek(0)
    size, sha256, xxh3 = 0, hashlib.sha256(), xxhash.xxh3_64()
    while block := file.read(_HASHED_BYTES):
        size += len(block)
        sha256.update(block)
        xxh3.update(block)
    file.seek(0)
    return FileHashes(size, sha256.hexdigest(), xxh3.hexdigest())


def _check(path: Path | str, size_bytes: int, whole: bool, unchanged: bool) -> None:
    if not whole:
        raise DamagedFileError(f"the file {path} is not {size_bytes} bytes long", hint=repair_hint(path))
    if not unchanged:
        raise DamagedFileError(f"the file {path} differs from what was stored", hint=repair_hint(path))


def _fill(buffer: memoryview, file: FileIO) -> bool:
    """Fill a buffer from a file, in several reads if necessary; returns whether the file had enough bytes."""
    done = 0
    while done < len(buffer):
        count = file.readinto(buffer[done:])
        if not count:
            return False
        done += count
    return True


@contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedFileError(f"the file {path} is missing", hint=repair_hint(path)) from error
    except OSError as error:
        raise StoreError(f"the file {path} cannot be read: {error}") from error


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Translate errors of the operating system while a file of the store is written.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
    """
    try:
        yield
    except OSError as error:
        if is_no_space(error):
            raise NoSpaceError(
                f"no space left to write {path}", hint="Free disk space and run the command again."
            ) from error
        if error.errno in _NOT_ALLOWED:
            raise ReadOnlyStoreError(f"no permission to write {path}: {error.strerror}") from error
        raise StoreError(f"{path} cannot be written: {error}") from error
