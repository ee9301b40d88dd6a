"""Quota: remove volumes that can be downloaded again, those unused for the longest time first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store import check
from bsv_store.acquisition.work.claims import live_keys
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.models import (
    Dataset,
    DatasetMember,
    DatasetTag,
    DatasetVersion,
    Experiment,
    StoredVolume,
    VolumeUse,
)
from bsv_store.catalog.locks import lock_experiments
from bsv_store.catalog.unused_files import delete_unused
from bsv_store.catalog.volume_use import today
from bsv_store.catalog.volumes import remove_volumes, volume_key
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.shared_uses import shared_uses
from bsv_store.html import text_card
from bsv_store.maintenance.inventory import found_files
from bsv_store.maintenance.repair_plan import is_address
from bsv_store.text import number_of, size_text

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles

UNUSED_FOR = timedelta(days=1)
"""Volumes that were used or stored within this time are kept: a running average may read them."""
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Evicted:
    """A volume that is removed to stay within a quota.

    Attributes
    ----------
    key : str
        ``volume/KIND/SPACING/EXPERIMENT``.
    path : str
        Relative to the store's folder.
    size_bytes : int
    last_used : datetime.date
        Day on which it was last read; if it never was, on which it was stored.
    """

    key: str
    path: str
    size_bytes: int
    last_used: date


@dataclass(frozen=True, slots=True, repr=False)
class QuotaReport:
    """What a quota requires. ``print()`` shows a summary.

    Attributes
    ----------
    is_applied : bool
        Whether the volumes were removed; otherwise this is a plan.
    max_bytes, used_bytes : int
        The quota, and the size of all files in the store's folder before, except a catalog in SQLite.
    trash_bytes : int
        Part of it that is in the trash.
    evicted : tuple of Evicted
        Unused for the longest time first.
    kept : dict of str to int
        Number of volumes that may not be removed, by reason.
    """

    is_applied: bool
    max_bytes: int
    used_bytes: int
    trash_bytes: int
    evicted: tuple[Evicted, ...]
    kept: dict[str, int]

    @property
    def freed_bytes(self) -> int:
        """Size of the removed volumes."""
        return sum(each.size_bytes for each in self.evicted)

    @property
    def excess_bytes(self) -> int:
        """Size by which the store exceeds the quota even without the removed volumes."""
        return max(0, self.used_bytes - self.freed_bytes - self.max_bytes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {number_of(len(self.evicted), 'volume')}, is_applied={self.is_applied}>"

    def _repr_html_(self) -> str:
        return text_card("Quota", str(self))

    def __str__(self) -> str:
        lines = [f"The store has {size_text(self.used_bytes)}; the quota is {size_text(self.max_bytes)}."]
        if self.evicted:
            done = "Deleted" if self.is_applied else "To delete"
            lines.append(
                f"{done}: {number_of(len(self.evicted), 'volume')}, {size_text(self.freed_bytes)}, last used between "
                f"{self.evicted[0].last_used} and {self.evicted[-1].last_used}. They can be downloaded again."
            )
        else:
            lines.append("Nothing to delete." if self.excess_bytes == 0 else "No volume may be deleted.")
        if self.excess_bytes:
            lines.append(f"The store remains {size_text(self.excess_bytes)} above the quota.")
            if self.kept:
                lines.append("Volumes that are kept:")
            lines += [f"{count:>8,}  {reason}" for reason, count in sorted(self.kept.items())]
            if self.trash_bytes:
                trash = size_text(self.trash_bytes)
                lines.append(f"{trash} are in the trash. To delete them: bsv-store gc --apply --trash-days 0")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Candidate:
    id: int
    experiment_id: int
    kind: str
    spacing_um: int
    evicted: Evicted


def enforce_quota(
    database: Database,
    files: StoreFiles,
    max_bytes: int,
    *,
    apply: bool = False,
    unused_for: timedelta = UNUSED_FOR,
) -> QuotaReport:
    """See `Admin.enforce_quota`."""
    limit = check.whole_number("max_bytes", max_bytes, least=0)
    unused_for = check.duration("unused_for", unused_for)
    if apply:
        database.require_writable()
    sizes = Counter[str]()
    for found in found_files(files):
        sizes[found.path.partition("/")[0]] += found.size_bytes
    with database.reading() as connection:
        candidates, kept = _candidates(connection, unused_for)
    chosen, excess = [], sizes.total() - limit
    for each in candidates:
        if excess <= 0:
            break
        chosen.append(each)
        excess -= each.evicted.size_bytes
    evicted = _evict(database, files, chosen, unused_for) if apply else [each.evicted for each in chosen]
    return QuotaReport(apply, limit, sizes.total(), sizes["trash"], tuple(evicted), dict(kept))


def _candidates(
    connection: Connection, unused_for: timedelta, ids: Collection[int] | None = None
) -> tuple[list[_Candidate], Counter[str]]:
    """The volumes that may be removed, unused for the longest time first, and how many may not, by reason."""
    since = datetime.combine(today(connection), datetime.min.time(), UTC) - unused_for
    claims, needed = live_keys(connection), _needed_hashes(connection)
    withdrawn = set(connection.scalars(select(Experiment.id).where(Experiment.withdrawn)))
    query = select(
        StoredVolume.id,
        StoredVolume.experiment_id,
        StoredVolume.kind,
        StoredVolume.spacing_um,
        StoredVolume.path,
        StoredVolume.size_bytes,
        StoredVolume.array_sha256,
        StoredVolume.source,
        StoredVolume.fetched_at,
        VolumeUse.used_on,
    ).outerjoin(VolumeUse.__table__, VolumeUse.volume_id == StoredVolume.id)
    found: list[_Candidate] = []
    kept: Counter[str] = Counter()
    for row in connection.execute(query):
        if ids is not None and row.id not in ids:
            continue
        key = volume_key(row.experiment_id, kind=row.kind, spacing_um=row.spacing_um)
        last_used = max(row.fetched_at.date(), row.used_on or date.min)
        if not is_address(row.source):
            kept["not downloaded, so the store cannot get them back by itself"] += 1
        elif row.experiment_id in withdrawn:
            kept["of experiments that Allen has withdrawn"] += 1
        elif row.array_sha256 in needed:
            kept["needed by dataset versions that are tagged, exported or cited"] += 1
        elif key in claims:
            kept["claimed by a running download"] += 1
        elif unused_for and last_used >= since.date():
            kept["used or stored too recently"] += 1
        else:
            evicted = Evicted(key, row.path, row.size_bytes, last_used)
            found.append(_Candidate(row.id, row.experiment_id, row.kind, row.spacing_um, evicted))
    found.sort(key=lambda each: (each.evicted.last_used, -each.evicted.size_bytes, each.id))
    return found, kept


def _needed_hashes(connection: Connection) -> set[str]:
    """The array hashes of all volumes that tagged, exported and cited versions were computed from."""
    tagged = set(connection.scalars(select(DatasetTag.version_id)))
    shared = shared_uses(connection)
    versions = select(DatasetVersion.id, Dataset.name, DatasetVersion.number).join(
        Dataset.__table__, Dataset.id == DatasetVersion.dataset_id
    )
    kept = [row.id for row in connection.execute(versions) if row.id in tagged or f"{row.name}@{row.number}" in shared]
    hashes = (DatasetMember.array_sha256, DatasetMember.injection_fraction_sha256, DatasetMember.data_mask_sha256)
    needed: set[str] = set()
    for identifier in kept:
        for row in connection.execute(select(*hashes).where(DatasetMember.version_id == identifier)):
            needed.update(each for each in row if each is not None)
    return needed


def _evict(database: Database, files: StoreFiles, chosen: Sequence[_Candidate], unused_for: timedelta) -> list[Evicted]:
    """Remove volumes: first their rows, then their files; returns those that were removed."""
    evicted: list[Evicted] = []
    for start in range(0, len(chosen), _BATCH):
        ids = [each.id for each in chosen[start : start + _BATCH]]
        with database.writing() as connection:
            # So that no other process replaces the volumes until they are removed.
            lock_experiments(connection, {each.experiment_id for each in chosen[start : start + _BATCH]})
            # Another process may have tagged, claimed or used them since the plan was made.
            batch, _ = _candidates(connection, unused_for, set(ids))
            remove_volumes(connection, [(each.experiment_id, each.kind, each.spacing_um) for each in batch])
            size_bytes = sum(each.evicted.size_bytes for each in batch)
            if batch:
                record_activity(connection, "evicted", None, {"volumes": len(batch), "size_bytes": size_bytes})
            checkpoint("quota:removed")
        checkpoint("quota:committed")
        for each in batch:
            # Not to the trash, where they would take the same space. If this is interrupted, `gc` finds the files.
            delete_unused(database, files, each.evicted.path)
            evicted.append(each.evicted)
    return evicted
