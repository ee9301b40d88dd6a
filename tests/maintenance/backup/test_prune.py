"""Which snapshots are kept, and which objects are removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bsv_store import Selection, Store
from bsv_store.errors import BackupError, InputError
from bsv_store.maintenance.backup.manifest import DatabaseCopy, Snapshot
from bsv_store.maintenance.backup.prune import KeepRules, kept_by
from bsv_store.store.restoring import list_backups, prune_backup, restore_store, verify_backup
from tests.databases import sqlite_first
from tests.datasets.world import ask
from tests.maintenance.backup import checks


def snapshot(at: datetime, store: str = "a") -> Snapshot:
    copy = DatabaseCopy(0, "", ())
    name = f"{store} {at:%Y-%m-%d %H}"
    return Snapshot(name, store, "/", at, "sqlite", "1", "1", "h", "u", 0o664, 0o775, 1, copy, (), (), (), {}, 0, 0)


def kept(snapshots: list[Snapshot], **rules: int) -> dict[str, tuple[str, ...]]:
    return {name: why for name, why in kept_by(snapshots, KeepRules(**rules)).items() if why}


NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
# Two a day, for 100 days; the last one on a Tuesday.
HALF_DAYS = [snapshot(NOON - timedelta(hours=12 * number)) for number in range(200)]


def test_rules_keep_the_latest_of_each_period() -> None:
    assert list(kept(HALF_DAYS, last=2)) == ["a 2026-03-31 12", "a 2026-03-31 00"]
    assert list(kept(HALF_DAYS, daily=3)) == ["a 2026-03-31 12", "a 2026-03-30 12", "a 2026-03-29 12"]
    assert list(kept(HALF_DAYS, weekly=3)) == ["a 2026-03-31 12", "a 2026-03-29 12", "a 2026-03-22 12"]
    assert list(kept(HALF_DAYS, monthly=3)) == ["a 2026-03-31 12", "a 2026-02-28 12", "a 2026-01-31 12"]
    assert list(kept(HALF_DAYS, yearly=5)) == ["a 2026-03-31 12", "a 2025-12-31 12"]


def test_rules_are_combined_as_restic_does() -> None:
    found = kept(HALF_DAYS, daily=7, weekly=4)
    assert len(found) == 7 + 4 - 2
    assert found["a 2026-03-31 12"] == ("daily", "weekly")
    assert found["a 2026-03-29 12"] == ("daily", "weekly")
    assert found["a 2026-03-30 12"] == ("daily",)
    assert found["a 2026-03-15 12"] == ("weekly",)


def test_days_without_a_snapshot_do_not_count() -> None:
    gaps = [snapshot(NOON - timedelta(days=days)) for days in (0, 10, 300)]
    assert len(kept(gaps, daily=3)) == 3
    assert len(kept(gaps, monthly=2)) == 2


def test_each_store_has_its_own_count() -> None:
    both = [snapshot(NOON - timedelta(days=days), store) for days in range(3) for store in "ab"]
    assert sorted(kept(both, last=1)) == ["a 2026-03-31 12", "b 2026-03-31 12"]


@sqlite_first
def test_a_plan_changes_nothing_and_its_application_what_it_said(filled: Store, target: str, tmp_path: Path) -> None:
    ask(filled, Selection(ids=[1, 2]))
    filled.admin.backup(target)
    filled.datasets.delete("test@1")
    filled.admin.backup(target)
    before = checks.contents(Path(target))
    plan = prune_backup(target, keep_last=1)
    assert [each.is_kept for each in plan.snapshots] == [False, True]
    assert plan.objects >= 2
    assert checks.contents(Path(target)) == before
    done = prune_backup(target, keep_last=1, apply=True)
    assert (done.objects, done.size_bytes) == (plan.objects, plan.size_bytes)
    after = checks.contents(Path(target))
    assert len(before) - len(after) == plan.objects + 1
    assert sum(map(len, before.values())) - sum(map(len, after.values())) > plan.size_bytes
    assert verify_backup(target, deep=True).unused_objects == 0
    restore_store(target, tmp_path / "new")
    checks.assert_intact(tmp_path / "new")


@sqlite_first
def test_leftovers_of_killed_backups_are_removed(filled: Store, target: str) -> None:
    filled.admin.backup(target)
    checks.killed(checks.back_up, filled.path, target, at="backup:database")
    ask(filled, Selection(ids=[1, 2]))
    checks.killed(checks.back_up, filled.path, target, at="backup:manifest")
    assert list((Path(target) / "tmp").iterdir())
    assert verify_backup(target).unused_objects >= 1
    prune_backup(target, keep_last=1, apply=True)
    assert not list((Path(target) / "tmp").iterdir())
    check = verify_backup(target, deep=True)
    assert (check.findings, check.unused_objects) == ((), 0)


@sqlite_first
@pytest.mark.parametrize("point", ["prune:snapshot", "prune:object"])
def test_a_killed_prune_leaves_complete_snapshots(filled: Store, target: str, point: str) -> None:
    for ids in ([1, 2], [1, 3], [2, 3]):
        ask(filled, Selection(ids=ids))
        filled.admin.backup(target)
        filled.datasets.delete("test@latest")
    checks.killed(checks.prune_to_one, target, at=point)
    assert verify_backup(target, deep=True).findings == ()
    prune_backup(target, keep_last=1, apply=True)
    assert len(list_backups(target)[0]) == 1
    assert verify_backup(target, deep=True).unused_objects == 0


@sqlite_first
def test_a_lock_that_was_cut_by_a_crash_is_removed(filled: Store, target: str) -> None:
    filled.admin.backup(target)
    lock = Path(target) / "locks" / "0123456789ab.json"
    lock.write_text('{"owner": ')
    assert prune_backup(target, keep_last=1, apply=True).is_applied
    assert not lock.exists()


@sqlite_first
def test_nothing_is_removed_without_a_rule_or_beside_a_damaged_manifest(filled: Store, target: str) -> None:
    first = filled.admin.backup(target).snapshot
    filled.admin.backup(target)
    with pytest.raises(InputError, match="at least one rule"):
        prune_backup(target, apply=True)
    for wrong in (-1, 1.5, "3", True):
        with pytest.raises(InputError, match="keep_last must be an integer >= 0"):
            prune_backup(target, keep_last=wrong)  # type: ignore[arg-type]
    checks.flip(Path(target) / "snapshots" / f"{first.id}.json")
    with pytest.raises(BackupError, match="is damaged, so it is not known which objects it needs"):
        prune_backup(target, keep_last=1, apply=True)
    assert len(list((Path(target) / "snapshots").iterdir())) == 2
    assert [each.path for each in verify_backup(target).findings] == ["manifest"]
