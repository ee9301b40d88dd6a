"""Locks of a backup target: any number of backups and restores may run, but a prune only alone.

A lock is a file that its process rewrites every minute. It is ignored if its process is known to have ended, or if it
was not rewritten for half an hour, by the clock of the target, since those of hosts may differ. Locks keep a prune from
removing objects on which a running backup relies; a backup also checks at its end that all of its objects exist.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from bsv_store.documents import MAX_RECORD_BYTES, json_value
from bsv_store.errors import BackupError, BusyError, NoSpaceError
from bsv_store.maintenance.backup.target import Target
from bsv_store.owner import current_user, has_ended, process_owner

LOCKS = "locks"
_REFRESH_S = 60.0
_STALE = timedelta(minutes=30)

Purpose = Literal["backup", "restore", "verify", "prune"]
_READING: tuple[Purpose, ...] = ("restore", "verify")
# The locks that this process holds.
_held: set[str] = set()


@dataclass(slots=True)
class Lock:
    """A lock of this process."""

    target: Target
    name: str
    purpose: Purpose
    started_at: datetime
    is_written: bool = True
    _written: float = field(default=0.0)

    def refresh(self) -> None:
        """Rewrite the lock if a minute has passed. Called during long operations."""
        if not self.is_written or (self._written and time.monotonic() - self._written < _REFRESH_S):
            return
        values = {
            "owner": process_owner(),
            "host": socket.gethostname(),
            "user": current_user(),
            "purpose": self.purpose,
            "started_at": self.started_at.isoformat(),
            "refreshed_at": datetime.now(UTC).isoformat(),
        }
        self.target.write(self.name, [json.dumps(values).encode()])
        self._written = time.monotonic()


@contextmanager
def locked(target: Target, purpose: Purpose) -> Iterator[Lock]:
    """Hold a lock for the duration of the block.

    Raises
    ------
    BusyError
        If another process prunes the target, or this one is to prune it while others use it.
    """
    lock = Lock(target, f"{LOCKS}/{secrets.token_hex(12)}.json", purpose, datetime.now(UTC))
    _held.add(lock.name)
    try:
        # Write before reading: of two processes, at least one sees the other.
        try:
            lock.refresh()
        except (BackupError, NoSpaceError):
            if purpose not in _READING:
                raise
            # A full or read-only target can be read, and no process on this host can prune it.
            lock.is_written = False
        try:
            _refuse_conflicts(lock)
            yield lock
        finally:
            if lock.is_written:
                target.remove(lock.name)
    finally:
        _held.discard(lock.name)


def _refuse_conflicts(lock: Lock) -> None:
    for name in sorted(lock.target.sizes(LOCKS)):
        if name == lock.name or not name.endswith(".json"):
            continue
        try:
            other = _facts(lock.target.read(name))
            age = _age(lock, name, other)
        except FileNotFoundError:
            # Its process has just ended.
            continue
        except ValueError:
            # Locks are renamed when they are complete: this one was cut by a crash of the host.
            other, age = None, timedelta(0)
        if other is None or _is_stale(name, other, age):
            if not lock.is_written:
                continue
            with contextlib.suppress(FileNotFoundError):
                lock.target.remove(name)
        elif "prune" in (lock.purpose, other["purpose"]):
            raise BusyError(
                f"a {other['purpose']} by {other['user']} on {other['host']}, started at {other['started_at'][:19]}Z, "
                f"uses the backup target {lock.target}",
                hint="Try again when it has finished. If its host is lost, its lock expires 30 minutes after its last "
                f"sign of life ({other['refreshed_at'][:19]}Z).",
            )


def _facts(text: bytes) -> dict[str, str]:
    """The content of a lock.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    values = json_value(text, max_bytes=MAX_RECORD_BYTES)
    names = ("purpose", "user", "host", "started_at", "refreshed_at", "owner")
    if not isinstance(values, dict) or not all(isinstance(values.get(name), str) for name in names):
        raise ValueError("it is not the content of a lock")
    if datetime.fromisoformat(values["refreshed_at"]).tzinfo is None:
        raise ValueError("its time has no time zone")
    return {name: values[name] for name in names}


def _age(lock: Lock, name: str, values: dict[str, str]) -> timedelta:
    """The time since another lock was rewritten."""
    theirs, ours = lock.target.written_at(name), None
    if lock.is_written:
        # The lock of this process was just written. Without it, the age is computed from the time in the other lock.
        with contextlib.suppress(FileNotFoundError):
            ours = lock.target.written_at(lock.name)
    if ours is None or theirs is None:
        return datetime.now(UTC) - datetime.fromisoformat(values["refreshed_at"])
    return ours - theirs


def _is_stale(name: str, values: dict[str, str], age: timedelta) -> bool:
    if has_ended(values["owner"]):
        return True
    if values["owner"] == process_owner() and name not in _held:
        # The file could not be removed when the lock was released.
        return True
    return age > _STALE
