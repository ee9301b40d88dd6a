"""Collection of garbage: files that no row names, leftovers of killed processes, rows that only grow, old trash.

Nothing that a row names is touched, so tags, datasets and the volumes behind them are safe by construction. A file
without a row may be about to get one: see `bsv_store.catalog.unused_files`. Because of the
grace period and live claims, such a file rarely has to be published again. Files of other programs and stores are left.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from bsv_store import check
from bsv_store.acquisition.work.claims import LEASE_S, delete_expired, expired_claims, live_keys
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.models import CatalogChange
from bsv_store.catalog.unused_files import forget_unmoved, trash_recorded, trash_unused
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.answers import remove_old_changes
from bsv_store.errors import BsvStoreError, StoreError
from bsv_store.html import text_card
from bsv_store.maintenance.inventory import FoundFile, expected_objects, found_files
from bsv_store.maintenance.trash import TRASH_DAYS, current_time, read_trash, trash_items
from bsv_store.maintenance.unlisted import Foreign, identified, identified_temporary, known_ids
from bsv_store.owner import has_ended, is_running
from bsv_store.text import duration_text, number_of, size_text
from bsv_store.vocabulary import GARBAGE_KINDS
from bsv_store.volumes.files import store_errors
from bsv_store.volumes.trash import object_key

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import GarbageKind
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.trash import TrashRecord

GRACE = timedelta(days=1)
"""Age from which files without a row are collected. Longer than the lease of a claim."""
assert timedelta(seconds=LEASE_S) < GRACE

# With more files than this, and more than this share of the files in the catalog, the catalog is probably too old.
_MANY_ORPHANS = 100
_MANY_ORPHANS_SHARE = 0.2
# Fewer counted changes are not worth a transaction.
_KEPT_CHANGES = 100
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Garbage:
    """A file, or a number of rows, that the store does not need.

    Attributes
    ----------
    kind : GarbageKind
    path : str or None
        Relative to the store's folder; None for rows.
    count : int
        1 for a file, the number of rows otherwise.
    size_bytes : int
        0 for rows.
    modified_at : datetime.datetime or None
        Of the file, aware UTC; for trashed files, the time when they were moved there.
    """

    kind: GarbageKind
    path: str | None
    count: int
    size_bytes: int
    modified_at: datetime | None


@dataclass(frozen=True, slots=True, repr=False)
class GarbageReport:
    """What the store does not need. ``print()`` shows a summary.

    Attributes
    ----------
    is_applied : bool
        Whether it was collected; otherwise this is a plan.
    garbage : tuple of Garbage
    young, claimed, foreign : int
        Numbers of files without a row that were left: younger than the grace period; claimed by a running download;
        not of this store, which `verify` lists.
    grace : datetime.timedelta
    trash_days : float
    many_orphans : str or None
        Why the files without a row should be looked at before they are collected.
    """

    is_applied: bool
    garbage: tuple[Garbage, ...]
    young: int
    claimed: int
    foreign: int
    grace: timedelta
    trash_days: int
    many_orphans: str | None

    @property
    def freed_bytes(self) -> int:
        """Size of the files that are deleted; files that move to the trash free no space."""
        return sum(each.size_bytes for each in self.garbage if each.kind != "orphan")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {number_of(len(self.garbage), 'item')}, is_applied={self.is_applied}>"

    def _repr_html_(self) -> str:
        return text_card("Garbage", str(self))

    def __str__(self) -> str:
        counts: Counter[GarbageKind] = Counter()
        sizes: Counter[GarbageKind] = Counter()
        for each in self.garbage:
            counts[each.kind] += each.count
            sizes[each.kind] += each.size_bytes
        lines = [
            f"{counts[row.name]:>8,}  {size_text(sizes[row.name]) if sizes[row.name] else '-':>8}  {row.words}"
            for row in GARBAGE_KINDS.values()
            if counts[row.name]
        ]
        done = "Collected" if self.is_applied else "Plan"
        lines = [f"{done}:", *lines] if lines else ["Nothing to collect."]
        grace = duration_text(self.grace.total_seconds())
        if self.young:
            young = number_of(self.young, "file")
            lines.append(f"Left: {young} without a row, younger than the grace period of {grace}.")
        if self.claimed:
            lines.append(f"Left: {number_of(self.claimed, 'file')} of running downloads.")
        if self.foreign:
            foreign = number_of(self.foreign, "file")
            lines.append(f"Left: {foreign} of other programs or users. To list them: bsv-store verify")
        if self.many_orphans and not self.is_applied:
            lines.append(f"Attention: {self.many_orphans}. {_MANY_HINT}")
        return "\n".join(lines)


def collect_garbage(
    database: Database,
    files: StoreFiles,
    *,
    apply: bool = False,
    grace: timedelta = GRACE,
    trash_days: int = TRASH_DAYS,
    allow_many: bool = False,
) -> GarbageReport:
    """See `Admin.collect_garbage`."""
    grace = check.duration("grace", grace)
    days = check.whole_number("trash_days", trash_days, least=0)
    if apply:
        database.require_writable()
    now = current_time(database, files)
    plan = _Plan(database, files, now, grace, days)
    if apply and plan.many_orphans and not allow_many:
        raise StoreError(plan.many_orphans, hint=f"{_MANY_HINT} If they are really not needed, use allow_many=True.")
    garbage = plan.carry_out() if apply else plan.garbage
    return GarbageReport(apply, tuple(garbage), plan.young, plan.claimed, plan.foreign, grace, days, plan.many_orphans)


_MANY_HINT = "If the database was restored from an older backup, adopt them: bsv-store repair --apply --adopt-results."


class _Plan:
    """What is found, and how it is removed."""

    def __init__(self, database: Database, files: StoreFiles, now: datetime, grace: timedelta, trash_days: int) -> None:
        self._database = database
        self._files = files
        self._before = now - grace
        self.young = self.claimed = self.foreign = 0
        # Listed before the rows are read: what is recorded meanwhile is no orphan.
        listed = list(found_files(files, "volumes", "datasets"))
        self._records, self._trashed = read_trash(files)
        with database.reading() as connection:
            self._expected = {each.path for each in expected_objects(connection)}
            self._claims = live_keys(connection)
            self._experiments = known_ids(connection)
            expired = expired_claims(connection)
            changes = connection.execute(select(func.count()).select_from(CatalogChange)).scalar_one() - 1
        self._orphans = list(self._find_orphans(listed))
        self._temporaries = list(self._find_temporaries())
        trashed = trash_items(database, files, now, trash_days=trash_days)
        self._purged = [each for each in trashed if each.days_left <= 0]
        self._leftovers = list(self._find_leftovers())
        self.garbage = [
            *(_file("orphan", each) for each in self._orphans),
            *(_file("temporary", each) for each in self._temporaries),
            *(Garbage("trash", each.file, 1, each.size_bytes, each.trashed_at) for each in self._purged if each.file),
            *(Garbage("leftover", f"trash/{each.item}.json", 1, 0, each.trashed_at) for each in self._leftovers),
            *([Garbage("claims", None, expired, 0, None)] if expired else []),
            *([Garbage("changes", None, changes, 0, None)] if changes >= _KEPT_CHANGES else []),
        ]

    @property
    def many_orphans(self) -> str | None:
        """A sentence, if so many files have no row that the database is probably older than the folder."""
        found, expected = len(self._orphans), len(self._expected)
        if found <= _MANY_ORPHANS or found <= _MANY_ORPHANS_SHARE * expected:
            return None
        return f"{found:,} files in volumes/ and datasets/ are not in the catalog, which has {expected:,}"

    def _find_orphans(self, listed: list[FoundFile]) -> Iterator[FoundFile]:
        for found in sorted(listed, key=lambda each: each.path):
            if found.path in self._expected:
                continue
            if isinstance(identified(found, self._experiments), Foreign):
                self.foreign += 1
            elif object_key(found.path) in self._claims:
                self.claimed += 1
            elif found.modified_at >= self._before:
                self.young += 1
            else:
                yield found

    def _find_temporaries(self) -> Iterator[FoundFile]:
        for found in sorted(found_files(self._files, "tmp"), key=lambda each: each.path):
            owner = identified_temporary(found)
            if isinstance(owner, Foreign):
                self.foreign += 1
            elif has_ended(owner) or (found.modified_at < self._before and not is_running(owner)):
                yield found

    def _find_leftovers(self) -> Iterator[TrashRecord]:
        """Records of files that were never moved, or are deleted."""
        for record in self._records.values():
            is_old = record.item not in self._trashed and record.trashed_at < self._before
            # Otherwise its file is an orphan, which moves to the trash as this item.
            if is_old and (record.path in self._expected or not self._files.path(record.path).exists()):
                yield record

    # -- carry out ----------------------------------------------------------------------------------------------------

    def carry_out(self) -> list[Garbage]:
        """Remove what was found; returns what was removed."""
        done: list[Garbage] = []
        try:
            for part in (self._move_orphans, self._delete_temporaries, self._purge, self._delete_leftovers):
                for each in part():
                    done.append(each)
            checkpoint("gc:files")
            self._delete_rows(done)
        except BaseException as error:
            # This error is reported, even if the store fails again.
            with contextlib.suppress(BsvStoreError), self._database.writing() as connection:
                _record(connection, done, {}, stopped_by=type(error).__name__)
            raise
        checkpoint("gc:committed")
        return done

    def _delete_rows(self, done: list[Garbage]) -> None:
        with self._database.writing() as connection:
            expired = delete_expired(connection)
            planned = {each.kind for each in self.garbage}
            changes = remove_old_changes(connection) if "changes" in planned else 0
            rows = {name: count for name, count in (("claims", expired), ("changes", changes)) if count}
            _record(connection, done, rows)
            checkpoint("gc:recorded")
        done += [Garbage("claims", None, expired, 0, None)] if expired else []
        done += [Garbage("changes", None, changes, 0, None)] if changes else []

    def _move_orphans(self) -> Iterator[Garbage]:
        by_path = {each.path: each for each in self._orphans}
        # The rows of interrupted deletions are in their records.
        deleted = {
            record.path: record
            for record in self._records.values()
            if record.rows is not None and record.item not in self._trashed and record.path in by_path
        }
        for path, record in deleted.items():
            if trash_recorded(self._database, self._files, path, record.item):
                yield _file("orphan", by_path[path])
        others = [path for path in by_path if path not in deleted]
        for path, _ in trash_unused(self._database, self._files, others, "orphan", before=self._before):
            yield _file("orphan", by_path[path])

    def _delete_temporaries(self) -> Iterator[Garbage]:
        for found in self._temporaries:
            if _delete(self._files.path(found.path)):
                checkpoint("gc:temporary")
                yield _file("temporary", found)

    def _purge(self) -> Iterator[Garbage]:
        for item in self._purged:
            if item.file is not None and _delete(self._files.path(item.file)):
                checkpoint("gc:purged")
                yield Garbage("trash", item.file, 1, item.size_bytes, item.trashed_at)
                if item.path is not None:
                    self._files.forget_trash(item.item)

    def _delete_leftovers(self) -> Iterator[Garbage]:
        for record in self._leftovers:
            if forget_unmoved(self._database, self._files, record):
                yield Garbage("leftover", f"trash/{record.item}.json", 1, 0, record.trashed_at)


def _record(
    connection: Connection, done: Iterable[Garbage], rows: Mapping[str, int], *, stopped_by: str | None = None
) -> None:
    """Record what was collected, if anything was."""
    removed = Counter(f"{each.kind} files" for each in done if each.path is not None)
    if removed or rows:
        ended = {} if stopped_by is None else {"stopped by": stopped_by}
        record_activity(connection, "collected", None, {**removed, **rows, **ended})


def _file(kind: GarbageKind, found: FoundFile) -> Garbage:
    return Garbage(kind, found.path, 1, found.size_bytes, found.modified_at.astimezone(UTC))


def _delete(path: Path) -> bool:
    with store_errors(path):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
    return True
