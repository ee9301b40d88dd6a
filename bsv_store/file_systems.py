"""What is in a folder, and the kind of its file system."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bsv_store.errors import ReadOnlyStoreError, StoreError

MOUNTS = Path("/proc/self/mountinfo")

# Kinds in which several hosts see the same files, with their usual names.
_SHARED: Mapping[str, str] = {
    "nfs": "NFS",
    "nfs4": "NFS",
    "cifs": "SMB",
    "smb3": "SMB",
    "smbfs": "SMB",
    "lustre": "Lustre",
    "gpfs": "GPFS (Storage Scale)",
    "beegfs": "BeeGFS",
    "ceph": "CephFS",
    "fuse.ceph": "CephFS",
    "fuse.ceph-fuse": "CephFS",
    "glusterfs": "GlusterFS",
    "fuse.glusterfs": "GlusterFS",
    "panfs": "PanFS",
    "wekafs": "WekaFS",
    "pvfs2": "OrangeFS",
    "ocfs2": "OCFS2",
    "gfs2": "GFS2",
    "afs": "AFS",
    "9p": "9P",
    "virtiofs": "virtiofs",
    "vboxsf": "a VirtualBox shared folder",
    "fuse.vmhgfs-fuse": "a VMware shared folder",
    "fuse.sshfs": "SSHFS",
    "fuse.davfs2": "WebDAV",
    "davfs": "WebDAV",
    "fuse.s3fs": "S3",
    "fuse.rclone": "rclone",
}
# Kinds whose memory maps all processes share, as the write-ahead log of SQLite requires.
_LOCAL = frozenset(
    {"apfs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "hfs", "jfs", "overlay", "reiserfs", "tmpfs"}
    | {"ufs", "xfs", "zfs"}
)
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The file system of a folder.

    Attributes
    ----------
    kind : str
        As the system names it, such as 'ext4' or 'nfs4'.
    words : str
        The usual name.
    is_shared : bool
        Whether it is a network or cluster file system, whose locks may not reach all hosts.
    is_local : bool
        Whether it is known to be local. Some file systems are neither known to be local nor shared.
    is_read_only : bool
    mounted_at : str
    source : str
        The device or server.
    """

    kind: str
    words: str
    is_shared: bool
    is_local: bool
    is_read_only: bool
    mounted_at: str
    source: str


def is_inside(relative: str) -> bool:
    """Whether a relative path stays in its folder, on every operating system. Links are not followed."""
    return not (
        relative in ("", ".")
        or relative.startswith("/")
        or ".." in relative.split("/")
        # On Windows; elsewhere it is an unusual character of a name.
        or (os.sep != "/" and os.sep in relative)
        or "\0" in relative
    )


def entries_below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below a folder with its status, in no particular order; symbolic links are not followed.

    An entry that disappears meanwhile is left out. A folder that does not exist has no entries.
    """
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            path = Path(entry.path)
            yield path, found
            if stat.S_ISDIR(found.st_mode):
                yield from entries_below(path)


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Translate errors of the operating system while a file or folder of a store is read.

    FileNotFoundError is left as it is.

    Raises
    ------
    StoreError
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror or error}", hint="Check its permissions and the disk."
        ) from error


def require_write_access(path: Path, *, hint: str) -> None:
    """Check that this account may write to a file or folder; one that does not exist is not checked.

    Parameters
    ----------
    path : pathlib.Path
    hint : str
        What to do if the account has no permission.

    Raises
    ------
    ReadOnlyStoreError
        If it may not, or the file system is mounted read-only.
    """
    if not path.exists() or os.access(path, os.W_OK):
        return
    if hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY:
        raise ReadOnlyStoreError(
            f"the file system of {path} is mounted read-only",
            hint="Reading works. If nobody mounted it read-only, the operating system did, because of errors: see "
            "its log (dmesg).",
        )
    raise ReadOnlyStoreError(f"this account has no write access to {path}", hint=hint)


def file_system_of(folder: Path) -> FileSystem | None:
    """The file system of a folder; None if this system does not say."""
    try:
        text = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    resolved = folder.resolve()
    found: FileSystem | None = None
    for line in text.splitlines():
        place, _, rest = line.partition(" - ")
        fields, origin = place.split(), rest.split()
        if len(fields) < 6 or len(origin) < 2:
            continue
        mount = Path(_unescaped(fields[4]))
        # A later mount on the same path hides the earlier one.
        if mount in (resolved, *resolved.parents) and (found is None or len(str(mount)) >= len(found.mounted_at)):
            kind = origin[0]
            options = {*fields[5].split(","), *(origin[2].split(",") if len(origin) > 2 else ())}
            words = _SHARED.get(kind, kind)
            found = FileSystem(
                kind, words, kind in _SHARED, kind in _LOCAL, "ro" in options, str(mount), _unescaped(origin[1])
            )
    return found


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
