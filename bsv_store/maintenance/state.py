"""The state of a store beyond its content: temporary files and trash, claims of running jobs, disk space."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sqlalchemy import Connection, and_, func, select

from bsv_store.acquisition.work.claims import held_claims
from bsv_store.catalog.database.models import Verification
from bsv_store.catalog.database.models.base import now
from bsv_store.catalog.database.models.verification import INTACT
from bsv_store.maintenance.inventory import Folder, found_files
from bsv_store.vocabulary import VERIFY_DEPTHS
from bsv_store.volumes.trash import item_of_record

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, slots=True)
class FolderState:
    """The files in one of the store's folders, except records of the trash and, in ``tmp``, files of other programs.

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
        Number of volumes, annotations, templates and results that were never verified.
    damaged : int
        Number of objects, including unionize tables, that were found damaged and not found intact since.
    oldest_at : datetime.datetime or None
        When the volume, annotation or result was verified whose last verification is the longest ago; None if none was.
    """

    never: int
    damaged: int
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
    verification : VerificationState
    disk : DiskState
    """

    temporary: FolderState
    trash: FolderState
    claims: ClaimState
    verification: VerificationState
    disk: DiskState


def upkeep(connection: Connection, files: StoreFiles, *, objects: int) -> Upkeep:
    """The state of a store.

    The folders ``volumes`` and ``datasets`` are not listed, so that it takes little time.

    Parameters
    ----------
    connection : Connection
    files : StoreFiles
    objects : int
        Number of volumes, annotations, templates and results in the catalog.
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
        if name == "trash" and item_of_record(PurePosixPath(file.path).name):
            # Describes another file.
            continue
        if name == "tmp" and file.owner is None:
            # Not written by bsv-store: `gc` leaves it there.
            continue
        count += 1
        size += file.size_bytes
        oldest = file.modified_at if oldest is None else min(oldest, file.modified_at)
    return FolderState(count, size, oldest)


def _claim_state(connection: Connection) -> ClaimState:
    held = held_claims(connection)
    ended = sum(claim.state == "ended" or claim.expires_in_s < 0 for claim in held)
    return ClaimState(len(held) - ended, ended)


def _verification_state(connection: Connection, objects: int) -> VerificationState:
    row = Verification
    # Unionize tables are verified, too, but not by a quick run.
    has_file = row.object_key.not_like("unionizes/%")
    last = select(func.max(row.verified_at).label("at")).where(has_file).group_by(row.object_key).subquery()
    verified, oldest = connection.execute(select(func.count(), func.min(last.c.at)).select_from(last)).one()
    return VerificationState(max(0, objects - verified), _damaged(connection), oldest)


def _damaged(connection: Connection) -> int:
    """The number of objects that were found damaged, and not found intact since, at the same depth or a deeper one."""
    depths = list(VERIFY_DEPTHS)
    columns = Verification.object_key, Verification.depth, Verification.verified_at
    damaged = connection.execute(select(*columns).where(Verification.outcome != INTACT)).all()
    if not damaged:
        return 0
    # Times in the future were recorded while a clock was ahead: they do not prove that the damage is gone.
    is_proof = and_(Verification.outcome == INTACT, Verification.verified_at <= now())
    intact = connection.execute(select(*columns).where(is_proof)).all()
    since: dict[str, list[tuple[int, datetime]]] = {}
    for key, depth, at in intact:
        since.setdefault(key, []).append((depths.index(depth), at))
    return len(
        {
            key
            for key, depth, at in damaged
            if not any(deep >= depths.index(depth) and later > at for deep, later in since.get(key, ()))
        }
    )


def _disk_state(files: StoreFiles) -> DiskState:
    usage = shutil.disk_usage(files.root)
    inodes = None
    if hasattr(os, "statvfs"):
        found = os.statvfs(files.root)
        inodes = found.f_favail if found.f_files else None
    return DiskState(usage.total, usage.free, inodes)
