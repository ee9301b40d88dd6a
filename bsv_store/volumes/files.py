"""Files that are there whole or not at all, whoever is killed when, and reads that notice damage.

Order of a publication: unique temporary file on the same file system, final permissions, fsync, rename, fsync of the
folder; only then does the caller commit the row that names the file. Removal goes the other way round: row, then the
file to the trash. No lock is taken, since some shared file systems ignore them: unique names and the atomic rename
carry the correctness.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

import xxhash

from bsv_store.checkpoints import checkpoint
from bsv_store.errors import DamagedFileError, NoSpaceError, ReadOnlyStoreError, StoreError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}
_HASHED_BYTES = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileHashes:
    """Size and hashes of a file's bytes, hexadecimal."""

    size_bytes: int
    sha256: str
    xxh3: str


@dataclass(frozen=True, slots=True)
class Published(Generic[T]):
    """A file that was written piece by piece and published.

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
        Permissions of all that is written, whatever the umask.
    """

    root: Path
    file_mode: int = 0o664
    directory_mode: int = 0o2775

    def path(self, relative: str) -> Path:
        """Absolute path of a file named relative to the store.

        Raises
        ------
        DamagedFileError
            If the name leads out of the store: only a tampered catalog says so.
        """
        return Path(self._name(relative))

    def _name(self, relative: str) -> str:
        # Text, as paths take longer to make than a small file to open.
        if relative.startswith("/") or ".." in relative.split("/"):
            raise DamagedFileError(f"the catalog names a file outside the store: {relative!r}")
        return f"{self.root}/{relative}"

    def publish(self, relative: str, data: bytes | memoryview) -> Path:
        """Write a file that appears under its name whole, or not at all. An existing one is replaced as a whole.

        Raises
        ------
        NoSpaceError, ReadOnlyStoreError, StoreError
            If it cannot be written; nothing is left but, after a kill, a temporary file under ``tmp/``.
        """
        target = self.path(relative)
        with store_errors(target):
            self.make_folder(target.parent)
            with self.temporary() as temporary:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    self._settle(file)
                self._rename(temporary, target)
        return target

    def publish_stream(self, write: Callable[[BinaryIO], T], name: Callable[[FileHashes], str]) -> Published[T]:
        """Publish a file that is never in memory as a whole; it appears under its name whole, or not at all.

        Parameters
        ----------
        write : callable
            Writes the content into the file that it is given, which is unbuffered, readable and seekable.
        name : callable
            The file's name relative to the store, from the hashes of what was written.

        Raises
        ------
        NoSpaceError, ReadOnlyStoreError, StoreError
            If it cannot be written; nothing is left but, after a kill, a temporary file under ``tmp/``.
        """
        with store_errors(self.root / "tmp"), self.temporary() as temporary:
            with temporary.open("x+b", buffering=0) as file:
                content = write(file)
                # Written out of order, so hashed when all of it is there.
                hashes = hashes_of(file)
            return Published(self.publish_file(temporary, name(hashes)), hashes, content)

    def publish_file(self, temporary: Path, relative: str) -> str:
        """Publish a finished temporary file of this store under a name; returns the name.

        Raises
        ------
        NoSpaceError, ReadOnlyStoreError, StoreError
            If that fails; the temporary file is then as it was.
        """
        target = self.path(relative)
        with store_errors(target):
            self.make_folder(target.parent)
            with temporary.open("r+b") as file:
                self._settle(file)
            self._rename(temporary, target)
        return relative

    def _settle(self, file: BinaryIO) -> None:
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
        """A unique path under ``tmp/``; what lies there at the end is removed."""
        folder = self.root / "tmp"
        self.make_folder(folder)
        path = folder / f"{os.getpid()}-{secrets.token_hex(8)}.tmp"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def make_folder(self, folder: Path) -> None:
        """Make a folder inside the store, and those above it, with the store's permissions."""
        for made in (folder, *folder.parents):
            if self.root in made.parents and made.is_dir():
                self._mend_permissions(made)
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            # Another process may be making the same folder.
            with contextlib.suppress(FileExistsError):
                new.mkdir()
                new.chmod(self.directory_mode)
                sync_folder(new.parent)

    def _mend_permissions(self, folder: Path) -> None:
        # Killed between making a folder and setting its permissions, a process leaves it empty, with those of its
        # umask. A folder with something in it was finished, and may have been changed by somebody since.
        lacking = self.directory_mode & ~folder.stat().st_mode
        if lacking and next(folder.iterdir(), None) is None:
            with contextlib.suppress(PermissionError):
                folder.chmod(self.directory_mode)

    def read(self, relative: str, *, size_bytes: int, xxh3: str) -> bytes:
        """The bytes of a published file, checked against what was recorded when it was published.

        Raises
        ------
        DamagedFileError
            If the file is missing, of another size, or differs in any bit.
        """
        path = self.path(relative)
        with _reading(path), path.open("rb") as file:
            # Buffered, so that it goes on where the system gives less than was asked for, as above 2 GiB.
            data = file.read(size_bytes + 1)
        _check(path, size_bytes, len(data) == size_bytes, xxhash.xxh3_64_hexdigest(data) == xxh3)
        return data

    def announced(self, relative: str) -> FileIO:
        """A published file open for :meth:`read_into`, which the system has been told will be read soon.

        A slow disk fetches it while others are worked on.

        Raises
        ------
        DamagedFileError
            If the file is missing.
        """
        name = self._name(relative)
        with _reading(name):
            file = FileIO(name)
        if hasattr(os, "posix_fadvise"):
            # No more than a hint.
            with contextlib.suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        return file

    def read_into(self, room: memoryview, file: FileIO, *, xxh3: str) -> None:
        """Fill the room with the bytes of a published file, checked against what was recorded.

        Parameters
        ----------
        room : memoryview of bytes
            As long as the file was when it was published.
        file : file
            From :meth:`announced`; at its start.

        Raises
        ------
        DamagedFileError
            If the file is of another size, or differs in any bit; what is in the room is then of no use.
        """
        with _reading(str(file.name)):
            whole = os.fstat(file.fileno()).st_size == len(room) and _fill(room, file)
        _check(str(file.name), len(room), whole, xxhash.xxh3_64_hexdigest(room) == xxh3)

    @contextmanager
    def opened(self, relative: str, *, size_bytes: int, xxh3: str | None = None) -> Iterator[BinaryIO]:
        """A published file open for reading, its size checked, and with a hash all of it, in bounded memory.

        Raises
        ------
        DamagedFileError
            If the file is missing, of another size, or does not have the hash.
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

    def trash(self, relative: str) -> None:
        """Move a file out of the way, into ``trash/``; a file that is gone already is no error."""
        source = self.path(relative)
        folder = self.root / "trash"
        with store_errors(source):
            self.make_folder(folder)
            with contextlib.suppress(FileNotFoundError):
                source.rename(folder / f"{secrets.token_hex(4)}-{source.name}")
                sync_folder(source.parent)


REPAIR_HINT = "Bring it again: `bsv-store fetch --refresh` with its --ids, --kind and --spacing, or adopt its folder."


def is_no_space(error: OSError) -> bool:
    """Whether the disk, the quota or the largest allowed file is full."""
    return error.errno in _NO_SPACE


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in a folder survive a power cut (a folder cannot be opened for this on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hashes_of(file: BinaryIO) -> FileHashes:
    """Size and hashes of an open file, read from its start in bounded memory; it stands at its start afterwards."""
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
        raise DamagedFileError(f"the file {path} is not {size_bytes} bytes long", hint=REPAIR_HINT)
    if not unchanged:
        raise DamagedFileError(f"the file {path} has changed since it was published", hint=REPAIR_HINT)


def _fill(room: memoryview, file: FileIO) -> bool:
    """Whether the file had bytes enough to fill the room; the system may give them in several parts."""
    done = 0
    while done < len(room):
        count = file.readinto(room[done:])
        if not count:
            return False
        done += count
    return True


@contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedFileError(f"the file {path} is missing", hint=REPAIR_HINT) from error
    except OSError as error:
        raise StoreError(f"the file {path} cannot be read: {error}") from error


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn the errors of the system while a file of the store is written into ours.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
    """
    try:
        yield
    except OSError as error:
        if is_no_space(error):
            raise NoSpaceError(
                f"no space left to write {path}", hint="Free some room and run the same again."
            ) from error
        if error.errno in _NOT_ALLOWED:
            raise ReadOnlyStoreError(f"{path} may not be written: {error.strerror}") from error
        raise StoreError(f"{path} could not be written: {error}") from error
