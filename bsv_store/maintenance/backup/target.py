"""Where backups are stored: a local folder, or any file system of fsspec."""

from __future__ import annotations

import contextlib
import os
import posixpath
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import urlsplit

from bsv_store.checkpoints import checkpoint
from bsv_store.config.home import expanded
from bsv_store.errors import BackupError, BsvStoreError, InputError, NoSpaceError
from bsv_store.file_systems import entries_below
from bsv_store.text import shown
from bsv_store.volumes.files import is_no_space
from bsv_store.volumes.folders import make_folders, sync_folder

TMP = "tmp"


class Target(Protocol):
    """Files of a backup, by names with slashes. Every file is written once, under a temporary name, and renamed."""

    def sizes(self, folder: str) -> dict[str, int]:
        """The size in bytes of each file below a folder, by name; empty if there is no such folder."""

    def read(self, name: str) -> bytes:
        """The content of a small file.

        Raises
        ------
        FileNotFoundError
            If it does not exist.
        """

    def written_at(self, name: str) -> datetime | None:
        """When a file was written, by the clock of the target; None if the target does not provide this time.

        Raises
        ------
        FileNotFoundError
            If it does not exist.
        """

    def opened(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """A context manager that opens a file for reading.

        Raises
        ------
        FileNotFoundError
            If it does not exist.
        """

    def write(self, name: str, blocks: Iterable[bytes]) -> None:
        """Write a file. If ``blocks`` raises an error, there is no file of this name."""

    def remove(self, name: str, *, is_durable: bool = False) -> None:
        """Remove a file; a missing one is not an error.

        Parameters
        ----------
        name : str
        is_durable : bool
            Whether the file must stay removed after a power failure.
        """


def open_target(location: object) -> Target:
    """The target at a path, or at a URL such as ``s3://bucket/backups``.

    Raises
    ------
    InputError
        If the location is not valid, its file system is not installed, or the URL contains a password.
    """
    text = os.fspath(location) if isinstance(location, str | os.PathLike) else None
    if not isinstance(text, str) or not text:
        raise InputError(
            f"the target of a backup must be a folder or a URL, got {shown(location)}",
            hint="For example: /backup/bsv-store or s3://bucket/bsv-store.",
        )
    if "\0" in text:
        raise InputError(f"the target of a backup must not contain a NUL character, got {shown(text)}")
    if "://" not in text:
        return LocalTarget(expanded("the target of the backup", text))
    if _has_password(text):
        raise InputError(
            "the URL of the target contains a password",
            hint="Leave it out, and use the environment variables or the configuration file of its file system.",
        )
    return FsspecTarget(text)


def _has_password(url: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return True


class LocalTarget:
    """A folder on this computer, or mounted on it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def sizes(self, folder: str) -> dict[str, int]:
        """See `Target.sizes`."""
        with target_errors(self):
            return {
                path.relative_to(self.root).as_posix(): found.st_size
                for path, found in entries_below(self.root / folder)
                if not stat.S_ISDIR(found.st_mode)
            }

    def read(self, name: str) -> bytes:
        """See `Target.read`."""
        with target_errors(self):
            return (self.root / name).read_bytes()

    def written_at(self, name: str) -> datetime | None:
        """See `Target.written_at`."""
        with target_errors(self):
            return datetime.fromtimestamp((self.root / name).stat().st_mtime, UTC)

    @contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """See `Target.opened`."""
        with target_errors(self):
            file = (self.root / name).open("rb")
        with file:
            yield file

    def write(self, name: str, blocks: Iterable[bytes]) -> None:
        """See `Target.write`."""
        path = self.root / name
        temporary = self.root / TMP / _temporary(name)
        with target_errors(self):
            for folder in (temporary.parent, path.parent):
                make_folders(folder)
            try:
                with temporary.open("xb") as file:
                    for block in blocks:
                        file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
                checkpoint("backup:written")
                temporary.replace(path)
                sync_folder(path.parent)
            finally:
                temporary.unlink(missing_ok=True)

    def remove(self, name: str, *, is_durable: bool = False) -> None:
        """See `Target.remove`."""
        path = self.root / name
        with target_errors(self):
            path.unlink(missing_ok=True)
            if is_durable:
                sync_folder(path.parent)
            if path.parent.parent == self.root / TMP:
                # The folder of a database that was being copied; not empty if there is more in it.
                with contextlib.suppress(OSError):
                    path.parent.rmdir()

    def __str__(self) -> str:
        return str(self.root)


class FsspecTarget:
    """A folder in a file system of fsspec, such as ``s3://``, ``sftp://`` or ``memory://``."""

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise InputError(
                f"backups to {shown(url)} need fsspec", hint="Install it: pip install 'bsv-store[remote]'"
            ) from error
        self.url = url
        try:
            with target_errors(self):
                self._files, root = url_to_fs(url, **_options(url))
        except BackupError as error:
            if not isinstance(error.__cause__, ImportError | ValueError):
                raise
            raise InputError(
                f"the file system of {shown(url)} cannot be used: {error.__cause__}",
                hint="Install the package of its protocol, for example s3fs for s3://, or paramiko for sftp://.",
            ) from error
        self._root = root.rstrip("/")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def sizes(self, folder: str) -> dict[str, int]:
        """See `Target.sizes`."""
        with target_errors(self):
            path = self._path(folder)
            self._files.invalidate_cache(path)
            if not self._files.exists(path):
                return {}
            found = self._files.find(path, detail=True)
        start = len(self._root) + 1
        return {str(name)[start:]: int(facts["size"]) for name, facts in found.items()}

    def read(self, name: str) -> bytes:
        """See `Target.read`."""
        with target_errors(self):
            return cast("bytes", self._files.cat_file(self._path(name)))

    def written_at(self, name: str) -> datetime | None:
        """See `Target.written_at`."""
        with target_errors(self):
            try:
                found = self._files.modified(self._path(name))
            except NotImplementedError:
                found = self._files.info(self._path(name)).get("mtime")
        if not isinstance(found, datetime):
            return None
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found

    @contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """See `Target.opened`."""
        with target_errors(self):
            file: Any = self._files.open(self._path(name), "rb")
        with file:
            yield file

    def write(self, name: str, blocks: Iterable[bytes]) -> None:
        """See `Target.write`."""
        temporary = self._path(f"{TMP}/{_temporary(name)}")
        path = self._path(name)
        with target_errors(self):
            for folder in (posixpath.dirname(temporary), posixpath.dirname(path)):
                self._files.makedirs(folder, exist_ok=True)
            try:
                with self._files.open(temporary, "wb") as file:
                    for block in blocks:
                        file.write(block)
                checkpoint("backup:written")
                self._files.mv(temporary, path)
            finally:
                if self._files.exists(temporary):
                    self._files.rm_file(temporary)

    def remove(self, name: str, *, is_durable: bool = False) -> None:
        """See `Target.remove`."""
        with target_errors(self), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def __str__(self) -> str:
        return self.url


def _options(url: str) -> dict[str, Any]:
    """The options of the file system of a URL."""
    if "::" in url:
        raise InputError(
            f"the target of a backup must be one URL, got {shown(url)}", hint="For example: s3://bucket/bsv-store."
        )
    protocol = url.partition("://")[0].lower()
    if protocol in ("http", "https"):
        # Nothing can be written there, and fsspec would follow redirects to any host.
        raise InputError(
            f"the target of a backup must not be a web address, got {shown(url)}",
            hint="Copy the target of the backup to a folder, and restore from there.",
        )
    if protocol not in ("sftp", "ssh"):
        # Listings must be current: other processes write to the target.
        return {"use_listings_cache": False}
    from bsv_store.maintenance.backup.known_hosts import ssh_options

    # SFTP listings are not cached, and unknown options are passed to the connection.
    return ssh_options(url)


def _temporary(name: str) -> str:
    """A unique name that begins with the folder of the file to be written."""
    return f"{name.partition('/')[0]}-{secrets.token_hex(12)}.tmp"


@contextmanager
def target_errors(target: Target) -> Iterator[None]:
    """Translate what fails in a target: NoSpaceError or BackupError. FileNotFoundError is left as it is."""
    try:
        yield
    except (BsvStoreError, FileNotFoundError):
        raise
    except OSError as error:
        if is_no_space(error):
            raise NoSpaceError(
                f"no space left in the backup target {target}", hint="Free some space, or prune old snapshots there."
            ) from error
        raise BackupError(f"the backup target {target} cannot be used: {error.strerror or error}") from error
    except Exception as error:  # every file system of fsspec has errors of its own
        raise BackupError(f"the backup target {target} cannot be used: {error}") from error
