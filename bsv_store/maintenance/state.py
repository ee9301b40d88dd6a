"""The state of a store beyond its content: temporary files and trash, claims of running jobs, disk space."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, DateTime, func, select

from bsv_store.catalog.database.models import Claim
from bsv_store.maintenance.inventory import Folder, found_files
from bsv_store.owner import has_ended

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, slots=True)
class FolderState:
    """The files in one of the store's folders.

    Attributes
    ----------
    files : int
    size_bytes : int
    oldest_at : datetime.datetime or None
        Last modification of the oldest file; aware UTC, by the clock of the file server.
    expired : int
        Number of files older than the setting ``trash_days``.
    """

    files: int
    size_bytes: int
    oldest_at: datetime | None
    expired: int


@dataclass(frozen=True, slots=True)
class ClaimState:
    """The claims of jobs on objects that they download or compute.

    Attributes
    ----------
    live : int
        Claims whose lease has not expired.
    ended : int
        Claims whose lease has expired, or whose process is known to have ended; others may take them over.
    """

    live: int
    ended: int


@dataclass(frozen=True, slots=True)
class DiskState:
    """The file system of the store's folder. Quotas of users are not included.

    Attributes
    ----------
    total_bytes, free_bytes : int
    free_inodes : int or None
        None if inodes are not limited.
    """

    total_bytes: int
    free_bytes: int
    free_inodes: int | None


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The state of a store beyond its content.

    Attributes
    ----------
    temporary, trash : FolderState
        The folders ``tmp`` and ``trash``.
    claims : ClaimState
    disk : DiskState
    """

    temporary: FolderState
    trash: FolderState
    claims: ClaimState
    disk: DiskState


def upkeep(connection: Connection, files: StoreFiles, *, trash_days: int) -> Upkeep:
    """The state of a store. The folders ``volumes`` and ``datasets`` are not listed, so that it takes little time."""
    return Upkeep(
        _folder_state(files, "tmp", trash_days),
        _folder_state(files, "trash", trash_days),
        _claim_state(connection),
        _disk_state(files),
    )


def _folder_state(files: StoreFiles, name: Folder, days: int) -> FolderState:
    count, size, expired = 0, 0, 0
    oldest: datetime | None = None
    limit = datetime.now(UTC) - timedelta(days=days)
    for file in found_files(files, name):
        count += 1
        size += file.size_bytes
        expired += file.modified_at < limit
        oldest = file.modified_at if oldest is None else min(oldest, file.modified_at)
    return FolderState(count, size, oldest, expired)


def _claim_state(connection: Connection) -> ClaimState:
    is_sqlite = connection.dialect.name == "sqlite"
    # Leases are by the clock of the database.
    now = (
        func.strftime("%Y-%m-%d %H:%M:%f000", "now", type_=Claim.__table__.c.expires_at.type)
        if is_sqlite
        else func.clock_timestamp(type_=DateTime(timezone=True))
    )
    live, ended = 0, 0
    for owner, is_valid in connection.execute(select(Claim.owner, Claim.expires_at >= now)):
        if is_valid and not has_ended(owner):
            live += 1
        else:
            ended += 1
    return ClaimState(live, ended)


def _disk_state(files: StoreFiles) -> DiskState:
    usage = shutil.disk_usage(files.root)
    inodes = None
    if hasattr(os, "statvfs"):
        found = os.statvfs(files.root)
        inodes = found.f_favail if found.f_files else None
    return DiskState(usage.total, usage.free, inodes)
