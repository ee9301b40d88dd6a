"""The identity of a process, as recorded in claims and in the names of temporary files, and of its user.

A host name and a process id do not identify a process: with the same host name, a process in another PID namespace may
have the same id, and ids are reused after a restart. The identity also contains the boot id, the PID namespace and the
start time of the process. A process counts as ended only if that is certain.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from functools import lru_cache
from pathlib import Path

from bsv_store.vocabulary import OwnerState

_PROC = Path("/proc")
# Fields of /proc/PID/stat after the name of the program.
_STATE, _THREADS, _START = 0, 17, 19
_OWNER = re.compile(r"(?P<place>[0-9a-f]{16})-(?P<pid>\d+)-(?P<start>\d+)")


def current_user() -> str:
    """The login name of this user according to the operating system, or the numeric user id if there is none.

    Environment variables such as ``LOGNAME``, which users can set, are not read where the system has user ids.
    """
    if not hasattr(os, "getuid"):
        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # No such user in the password database, as in some containers.
        return str(os.getuid())


def process_owner() -> str:
    """The identity of this process: ``PLACE-PID-START``, letters a to f, digits and hyphens.

    PLACE identifies the boot of the host and the PID namespace; START is the start time of the process.
    """
    return _owner(os.getpid())


@lru_cache(maxsize=1)
def _owner(pid: int) -> str:
    # Cached by process id, so that a forked child has its own.
    return f"{_place()}-{pid}-{_start_time(pid) or 0}"


def owner_state(owner: str) -> OwnerState:
    """The state of the process with this identity.

    'unknown' if it ran on another host, in another PID namespace or before the last boot, or if the system does not
    tell.
    """
    found = _OWNER.fullmatch(owner)
    if found is None or found["place"] != _place() or not _can_check():
        return "unknown"
    pid, start = int(found["pid"]), int(found["start"])
    started = _start_time(pid)
    if started is not None:
        return "alive" if started == start else "ended"
    # Where /proc hides the processes of other users, a signal tells whether there is one.
    return "unknown" if _is_hidden(pid) else "ended"


def has_ended(owner: str) -> bool:
    """Whether the process with this identity is certain to have ended."""
    return owner_state(owner) == "ended"


def process_id(owner: str) -> int | None:
    """The process id in an identity; None if it is not one."""
    found = _OWNER.fullmatch(owner)
    return None if found is None else int(found["pid"])


def is_running(owner: str) -> bool:
    """Whether the process with this identity is certain to run: on this host, in this PID namespace."""
    found = _OWNER.fullmatch(owner)
    return found is not None and found["place"] == _place() and _can_check() and not has_ended(owner)


def _can_check() -> bool:
    return _start_time(os.getpid()) is not None


def _place() -> str:
    # Start times depend on the time namespace.
    parts = [socket.gethostname(), _text(_PROC / "sys/kernel/random/boot_id"), _namespace("pid"), _namespace("time")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _namespace(kind: str) -> str:
    try:
        return str((_PROC / "self/ns" / kind).readlink())
    except OSError:
        return ""


def _start_time(pid: int) -> int | None:
    """Start time of a process in clock ticks after boot; None if it has ended, or it cannot be known."""
    text = _text(_PROC / str(pid) / "stat")
    # The name of the program, in parentheses, may contain spaces.
    fields = text.rpartition(")")[2].split()
    if len(fields) <= _START:
        return None
    # A process that its parent has not waited for is still listed. While other threads run, it has not ended.
    is_zombie = fields[_STATE] in ("Z", "X") and int(fields[_THREADS]) <= 1
    return None if is_zombie else int(fields[_START])


def _is_hidden(pid: int) -> bool:
    if _text(_PROC / str(pid) / "stat"):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
