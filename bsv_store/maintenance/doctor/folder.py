"""Checks of the folder of a store: file system, user, what can be done there, permissions, disk space."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bsv_store.config import SQLITE, StoreConfig
from bsv_store.errors import BsvStoreError
from bsv_store.file_systems import file_system_of
from bsv_store.maintenance.doctor.finding import Detail, Finding
from bsv_store.maintenance.permissions import check_permissions
from bsv_store.owner import current_user, process_owner
from bsv_store.text import size_text
from bsv_store.vocabulary import DoctorCheck
from bsv_store.volumes.files import is_no_space
from bsv_store.volumes.folders import sync_folder
from bsv_store.volumes.groups import group_name, has_groups

_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_SLOW_SYNC_S = 0.5
_CLOCK_S = 5.0
_LITTLE_SPACE = 2 * 10**9
_FEW_INODES = 10_000
_CHILD_S = 20.0
_TRIED: tuple[DoctorCheck, ...] = ("write", "rename", "hard_link", "fsync", "locks", "setgid", "file_clock")

# Holds the lock of a database until its standard input is closed.
_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO t VALUES (1)")
print("locked", flush=True)
sys.stdin.read()
connection.execute("COMMIT")
"""


def folder_findings(folder: Path, config: StoreConfig | None) -> Iterator[Finding]:
    """Check a folder.

    Parameters
    ----------
    folder : pathlib.Path
        An existing folder: of a store, or the one in which a store would be created.
    config : StoreConfig or None
        None if the folder is not a store, or its ``store.toml`` is not valid.
    """
    yield _file_system(folder, config)
    yield _user(folder)
    yield _umask()
    yield from _trials(folder)
    if config is not None:
        yield _permissions(folder, config)
    yield _space(folder)
    if (inodes := _inodes(folder)) is not None:
        yield inodes


def _file_system(folder: Path, config: StoreConfig | None) -> Finding:
    found = file_system_of(folder)
    if found is None:
        return Finding("file_system", "note", "this system does not name the kind of file system")
    details: dict[str, Detail] = {
        "kind": found.kind,
        "mounted_at": found.mounted_at,
        "source": found.source,
        "shared": found.is_shared,
    }
    words = f"{found.words}, mounted at {found.mounted_at}"
    if found.is_read_only:
        return Finding("file_system", "note", f"{words}, read-only", "Nothing can be stored from this host.", details)
    if found.is_shared and (config is None or config.database == SQLITE):
        return Finding(
            "file_system",
            "warning",
            f"{words}: SQLite's locks may not reach all hosts, and its database may be damaged",
            "Use the store from a single host, or move its catalog to Postgres: bsv-store store move --database URL"
            if config is not None
            else "Create the store with --database URL (Postgres), or on a local disk.",
            details,
        )
    return Finding("file_system", "ok", words, None, details)


def _user(folder: Path) -> Finding:
    user = current_user()
    groups = sorted({group_name(each) for each in {os.getegid(), *os.getgroups()}}) if has_groups() else []
    may_read = os.access(folder, os.R_OK | os.X_OK)
    may_write = os.access(folder, os.W_OK)
    details: dict[str, Detail] = {
        "user": user,
        "groups": ", ".join(groups),
        "may_read": may_read,
        "may_write": may_write,
    }
    who = f"{user}" + (f" (groups: {', '.join(groups)})" if groups else "")
    if not may_read:
        remedy = f"Ask the owner of {folder} for permission to read it: bsv-store store permissions --apply"
        return Finding("user", "fault", f"{who} may not read {folder}", remedy, details)
    if not may_write:
        return Finding("user", "note", f"{who} may read, but not write", "To add data, ask the owner.", details)
    return Finding("user", "ok", f"{who} may read and write", None, details)


def _umask() -> Finding:
    umask = _current_umask()
    return Finding(
        "umask",
        "ok",
        f"{umask:04o}; bsv-store sets the permissions of its files itself",
        None,
        {"umask": f"{umask:04o}"},
    )


def _current_umask() -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))
    except (OSError, StopIteration, ValueError, IndexError):
        # Systems without /proc: the only way is to set it.
        umask = os.umask(0o022)
        os.umask(umask)
        return umask


def _trials(folder: Path) -> Iterator[Finding]:
    """Try what the store does with files, in a temporary folder that is removed."""
    try:
        with _trial_folder(folder) as trial:
            yield from (_tried(check, trial) for check in _TRIED)
    except OSError as error:
        if error.errno in _NOT_ALLOWED:
            for check in _TRIED:
                yield Finding(check, "note", f"not tried, because this account may not write to {folder}")
            return
        yield Finding("write", "fault", f"cannot write to {folder}: {error.strerror or error}", _remedy(error))


@contextmanager
def _trial_folder(folder: Path) -> Iterator[Path]:
    inside = folder / "tmp"
    base = inside if inside.is_dir() and os.access(inside, os.W_OK) else folder
    trial = base / f"doctor-{process_owner()}-{secrets.token_hex(4)}"
    trial.mkdir()
    try:
        yield trial
    finally:
        shutil.rmtree(trial)


def _tried(check: DoctorCheck, trial: Path) -> Finding:
    try:
        return _TRIALS[check](trial)
    except OSError as error:
        return Finding(check, "fault", f"failed: {error.strerror or error}", _remedy(error))
    except (sqlite3.Error, subprocess.SubprocessError) as error:
        return Finding(check, "fault", f"failed: {error}", "Use another file system, or Postgres for the catalog.")


def _remedy(error: OSError) -> str:
    if is_no_space(error):
        return "Free disk space, or ask for a larger quota."
    return "Ask the administrator of the file server, or use another file system."


def _write(trial: Path) -> Finding:
    data = secrets.token_bytes(64 * 1024)
    file = trial / "write"
    file.write_bytes(data)
    if file.read_bytes() != data:
        return Finding("write", "fault", "a file was read back with other bytes", "Do not use this file system.")
    file.chmod(0o664)
    if has_groups() and stat.S_IMODE(file.stat().st_mode) != 0o664:
        return Finding(
            "write",
            "warning",
            "the file system ignores permissions",
            "Set them where it is mounted, for example file_mode=0664,dir_mode=2775 for SMB.",
        )
    return Finding("write", "ok", "written, read back, permissions set")


def _rename(trial: Path) -> Finding:
    source, target = trial / "source", trial / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    source.replace(target)
    if target.read_bytes() != b"new" or source.exists():
        return Finding("rename", "fault", "a rename did not replace the file", "Do not use this file system.")
    return Finding("rename", "ok", "replaces a file")


def _hard_link(trial: Path) -> Finding:
    file, link = trial / "linked", trial / "link"
    file.write_bytes(b"x")
    try:
        link.hardlink_to(file)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return Finding(
            "hard_link",
            "warning",
            f"no hard links: {error.strerror}",
            "A store cannot be created here, and backups to this file system copy every file. Use another file system.",
        )
    return Finding("hard_link", "ok", "can be created")


def _fsync(trial: Path) -> Finding:
    started = time.perf_counter()
    with (trial / "synced").open("wb") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(trial)
    seconds = time.perf_counter() - started
    details = {"seconds": round(seconds, 4)}
    found = f"{1000 * seconds:.1f} ms for a file and its folder"
    if seconds > _SLOW_SYNC_S:
        return Finding(
            "fsync", "warning", f"slow: {found}", "Downloads and commits wait for it. Use a faster disk.", details
        )
    return Finding("fsync", "ok", found, None, details)


def _locks(trial: Path) -> Finding:
    path = trial / "locks.db"
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x INTEGER)")
        holder = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _HOLDER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert holder.stdout is not None
            if holder.stdout.readline().strip() != b"locked":
                _, problem = holder.communicate(timeout=_CHILD_S)
                last = problem.decode(errors="replace").strip().splitlines()[-1:] or ["it ended"]
                return Finding("locks", "fault", f"another process cannot lock a database: {last[0]}", _LOCK_REMEDY)
            is_excluded = not _begins(connection)
            holder.communicate(timeout=_CHILD_S)
            is_released = _begins(connection)
        finally:
            holder.kill()
            holder.communicate()
    if not is_excluded:
        return Finding("locks", "fault", "two processes locked a SQLite database at the same time", _LOCK_REMEDY)
    if not is_released:
        return Finding("locks", "fault", "the lock of a process that ended was not released", _LOCK_REMEDY)
    return Finding("locks", "ok", "a SQLite lock of one process stops another")


_LOCK_REMEDY = "Do not use SQLite here. Create the store with --database URL (Postgres), or on a local disk."


def _begins(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    connection.execute("ROLLBACK")
    return True


def _setgid(trial: Path) -> Finding:
    if not has_groups():
        return Finding("setgid", "note", "this system has no groups")
    folder = trial.parent
    group = group_name(folder.stat().st_gid)
    inside = trial / "folder"
    inside.mkdir()
    (inside / "file").write_bytes(b"")
    wanted = folder.stat().st_gid
    made = {inside.stat().st_gid, (inside / "file").stat().st_gid}
    details: dict[str, Detail] = {"group": group, "setgid": bool(folder.stat().st_mode & stat.S_ISGID)}
    if made != {wanted}:
        others = ", ".join(sorted(group_name(each) for each in made - {wanted}))
        return Finding(
            "setgid",
            "warning",
            f"new files get the group {others}, not {group}, the group of {folder}",
            "Correct group and permissions: bsv-store store permissions --apply",
            details,
        )
    return Finding("setgid", "ok", f"new files get the group of the folder, {group}", None, details)


def _file_clock(trial: Path) -> Finding:
    before = time.time()
    (trial / "clock").write_bytes(b"x")
    after = time.time()
    found = (trial / "clock").stat().st_mtime
    # File systems round times down, some to two seconds.
    difference = min(found + 2.0 - before, 0.0) + max(found - after, 0.0)
    details = {"seconds": round(difference, 3)}
    if abs(difference) > _CLOCK_S:
        return Finding(
            "file_clock",
            "warning",
            f"the clock of the file server differs by {difference:+.0f} s from this host's",
            "Synchronize the clocks with NTP (`timedatectl set-ntp true`).",
            details,
        )
    return Finding("file_clock", "ok", "agrees with this host's", None, details)


_TRIALS: dict[DoctorCheck, Callable[[Path], Finding]] = {
    "write": _write,
    "rename": _rename,
    "hard_link": _hard_link,
    "fsync": _fsync,
    "locks": _locks,
    "setgid": _setgid,
    "file_clock": _file_clock,
}


def _permissions(folder: Path, config: StoreConfig) -> Finding:
    try:
        report = check_permissions(folder, config, whole=False)
    except BsvStoreError as error:
        return Finding("permissions", "warning", error.message, error.hint)
    if not report.changes:
        return Finding(
            "permissions", "ok", f"group {report.group}, as set for the store", None, {"group": report.group}
        )
    first = report.changes[0]
    return Finding(
        "permissions",
        "warning",
        f"{len(report.changes)} of {report.checked} differ from the settings of the store, such as {first.path}: "
        f"{first.mode} {first.group} instead of {first.wanted_mode} {first.wanted_group}",
        "Show and correct them: bsv-store store permissions, then with --apply",
        {"group": report.group, "differing": len(report.changes)},
    )


def _space(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    details = {"free_bytes": usage.free, "total_bytes": usage.total}
    found = f"{size_text(usage.free)} of {size_text(usage.total)} free"
    if usage.free == 0:
        return Finding("space", "fault", found, "Free disk space, or ask for a larger quota.", details)
    if usage.free < _LITTLE_SPACE:
        return Finding("space", "warning", found, "Free disk space: bsv-store gc; bsv-store quota", details)
    return Finding("space", "ok", found, None, details)


def _inodes(folder: Path) -> Finding | None:
    if not hasattr(os, "statvfs"):
        return None
    found = os.statvfs(folder)
    if found.f_files == 0:
        return Finding("inodes", "ok", "not limited on this file system")
    details = {"free": found.f_favail, "total": found.f_files}
    text = f"{found.f_favail:,} of {found.f_files:,} free"
    if found.f_favail < _FEW_INODES:
        return Finding("inodes", "warning", text, "Remove files, or ask for a larger quota.", details)
    return Finding("inodes", "ok", text, None, details)
