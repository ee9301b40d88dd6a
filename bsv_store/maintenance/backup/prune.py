"""Remove old snapshots by the rules of restic, and the objects that no snapshot needs afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from bsv_store.checkpoints import checkpoint
from bsv_store.errors import BackupError, InputError
from bsv_store.maintenance.backup.lock import locked
from bsv_store.maintenance.backup.manifest import SHORT, Snapshot
from bsv_store.maintenance.backup.repository import Repository, object_name, open_repository, snapshot_name
from bsv_store.maintenance.backup.target import TMP
from bsv_store.progress import do_nothing

# Temporary files of objects, manifests and databases; not those of locks, which are written at any time.
_LEFTOVERS = (f"{TMP}/objects-", f"{TMP}/snapshots-", f"{TMP}/bsv-backup-")


@dataclass(frozen=True, slots=True)
class KeepRules:
    """How many snapshots of a store are kept: the latest ones, and the latest of each day, week, month and year.

    Attributes
    ----------
    last, daily, weekly, monthly, yearly : int
        0 is no rule. Days, ISO weeks, months and years without a snapshot do not count. Times are UTC.
    """

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0


@dataclass(frozen=True, slots=True)
class PrunedSnapshot:
    """What happens to a snapshot.

    Attributes
    ----------
    snapshot : Snapshot
    reasons : tuple of str
        Rules that keep it, such as ``daily``; empty if it is removed.
    """

    snapshot: Snapshot
    reasons: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        """Whether a rule keeps it."""
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class PruneReport:
    """Result of a prune, or its plan.

    Attributes
    ----------
    snapshots : tuple of PrunedSnapshot
        Oldest first.
    objects, size_bytes : int
        Objects that are removed because no remaining snapshot needs them.
    is_applied : bool
        False for a plan.
    """

    snapshots: tuple[PrunedSnapshot, ...]
    objects: int
    size_bytes: int
    is_applied: bool


def prune_target(
    target: str | os.PathLike[str],
    rules: KeepRules,
    *,
    apply: bool = False,
    check_abort: Callable[[], None] = do_nothing,
) -> PruneReport:
    """See `bsv_store.store.restoring.prune_backup`."""
    if not any((rules.last, rules.daily, rules.weekly, rules.monthly, rules.yearly)):
        raise InputError(
            "prune needs at least one rule, or it would remove all snapshots",
            hint="For example: --keep-daily 7 --keep-weekly 4.",
        )
    repository = open_repository(target)
    if not apply:
        return _planned(repository, rules)
    with locked(repository.target, "prune") as lock:
        report = _planned(repository, rules)
        for each in report.snapshots:
            check_abort()
            if not each.is_kept:
                # Durable: otherwise a power failure could leave a snapshot without its objects.
                repository.target.remove(snapshot_name(each.snapshot.id), is_durable=True)
                checkpoint("prune:snapshot")
        # Read again: only what no manifest names is removed.
        for sha256 in sorted(_unused(repository, _readable(repository))):
            check_abort()
            lock.refresh()
            repository.target.remove(object_name(sha256))
            checkpoint("prune:object")
        for name in sorted(repository.target.sizes(TMP)):
            if name.startswith(_LEFTOVERS):
                repository.target.remove(name)
    return PruneReport(report.snapshots, report.objects, report.size_bytes, is_applied=True)


def _planned(repository: Repository, rules: KeepRules) -> PruneReport:
    found = _readable(repository)
    reasons = kept_by(found, rules)
    unused = _unused(repository, [each for each in found if reasons[each.id]])
    return PruneReport(
        tuple(PrunedSnapshot(each, reasons[each.id]) for each in found),
        len(unused),
        sum(unused.values()),
        is_applied=False,
    )


def _readable(repository: Repository) -> list[Snapshot]:
    found, damaged = repository.snapshots()
    if damaged:
        raise BackupError(
            f"the manifest of snapshot {damaged[0][:SHORT]} in {repository.target} is damaged, so it is not known "
            "which objects it needs",
            hint=f"Remove {repository.target}/{snapshot_name(damaged[0])} if it cannot be restored from elsewhere.",
        )
    return found


def _unused(repository: Repository, kept: Iterable[Snapshot]) -> dict[str, int]:
    used: set[str] = set()
    for each in kept:
        used |= each.objects().keys()
    sizes = repository.object_sizes(refresh=True)
    return {sha256: size for sha256, size in sizes.items() if sha256 not in used}


_PERIODS: tuple[tuple[str, Callable[[datetime], object]], ...] = (
    ("daily", lambda at: at.date()),
    ("weekly", lambda at: at.isocalendar()[:2]),
    ("monthly", lambda at: (at.year, at.month)),
    ("yearly", lambda at: at.year),
)


def kept_by(snapshots: Iterable[Snapshot], rules: KeepRules) -> dict[str, tuple[str, ...]]:
    """The rules that keep each snapshot, by its id. Each store has its own count."""
    newest_first = sorted(snapshots, key=lambda each: (each.created_at, each.id), reverse=True)
    reasons: dict[str, list[str]] = {each.id: [] for each in newest_first}
    for store_id in {each.store_id for each in newest_first}:
        ours = [each for each in newest_first if each.store_id == store_id]
        for each in ours[: rules.last]:
            reasons[each.id].append("last")
        for name, period_of in _PERIODS:
            seen: set[object] = set()
            for each in ours:
                period = period_of(each.created_at)
                if len(seen) < getattr(rules, name) and period not in seen:
                    seen.add(period)
                    reasons[each.id].append(name)
    return {identifier: tuple(names) for identifier, names in reasons.items()}
