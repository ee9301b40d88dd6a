"""The state of a store beyond its content: temporary files and trash, claims of running jobs, disk space."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, DateTime, func, select

from bsv_store.catalog.database.models import Base, Claim
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
    """

    files: int
    size_bytes: int
    oldest_at: datetime | None


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
class VerificationState:
    """What is known about the last verification of stored objects.

    Attributes
    ----------
    never : int
        Number of objects that were never verified.
    oldest_at : datetime.datetime or None
        When the object was verified whose last verification is the longest ago; None if none was.
    """

    never: int
    oldest_at: datetime | None


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
    verification : VerificationState or None
        None if this version of the schema does not record verifications.
    disk : DiskState
    """

    temporary: FolderState
    trash: FolderState
    claims: ClaimState
    verification: VerificationState | None
    disk: DiskState


def upkeep(connection: Connection, files: StoreFiles, *, objects: int) -> Upkeep:
    """The state of a store.

    The folders ``volumes`` and ``datasets`` are not listed, so that it takes little time.

    Parameters
    ----------
    connection : Connection
    files : StoreFiles
    objects : int
        Number of volumes, annotations and results in the catalog.
    """
    return Upkeep(
        _folder_state(files, "tmp"),
        _folder_state(files, "trash"),
        _claim_state(connection),
        _verification_state(connection, objects),
        _disk_state(files),
    )


def _folder_state(files: StoreFiles, name: Folder) -> FolderState:
    count, size = 0, 0
    oldest: datetime | None = None
    for file in found_files(files, name):
        count += 1
        size += file.size_bytes
        oldest = file.modified_at if oldest is None else min(oldest, file.modified_at)
    return FolderState(count, size, oldest)


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
        # HOST/PROCESS/TOKEN
        if is_valid and not has_ended(owner.rpartition("/")[0].rpartition("/")[2]):
            live += 1
        else:
            ended += 1
    return ClaimState(live, ended)


def _verification_state(connection: Connection, objects: int) -> VerificationState | None:
    table = Base.metadata.tables.get("verification")
    if table is None:
        return None
    last = select(func.max(table.c.verified_at).label("at")).group_by(table.c.object_key).subquery()
    verified, oldest = connection.execute(select(func.count(), func.min(last.c.at)).select_from(last)).one()
    return VerificationState(max(0, objects - verified), oldest)


def _disk_state(files: StoreFiles) -> DiskState:
    usage = shutil.disk_usage(files.root)
    inodes = None
    if hasattr(os, "statvfs"):
        found = os.statvfs(files.root)
        inodes = found.f_favail if found.f_files else None
    return DiskState(usage.total, usage.free, inodes)
