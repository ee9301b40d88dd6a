"""Backups of a store while others fetch, compute and delete: every one restores to an intact store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store.maintenance.backup.manifest import BackedUpFile
from bsv_store.maintenance.backup.snapshot import BackupReport
from bsv_store.store.restoring import restore_store, verify_backup
from bsv_store_synthetic import SyntheticServer
from tests.cli.conftest import ATLAS
from tests.conftest import DatabaseKind
from tests.maintenance.backup import checks
from tests.processes import Child


@pytest.fixture
def busy_location(database: DatabaseKind, empty_database: Callable[[DatabaseKind], str | None], tmp_path: Path) -> Path:
    from tests.cli.conftest import _fill

    return _fill(tmp_path / "store", empty_database(database))


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.long)])
def test_a_backup_of_a_busy_store_restores_to_an_intact_one(
    busy_location: Path, target: str, tmp_path: Path, rounds: int
) -> None:
    stop = tmp_path / "stop"
    taken: list[BackupReport] = []
    with SyntheticServer(ATLAS) as server:
        workers = [Child(checks.work, busy_location, server.url, stop, kind) for kind in ("fetch", "compute")]
        try:
            with open_store(busy_location) as store:
                while len(taken) < rounds or len(_states(taken)) < 2 or not _both_worked(busy_location):
                    if any(each.returncode is not None for each in workers):
                        break
                    taken.append(store.admin.backup(target))
                    assert not taken[-1].snapshot.problems
        finally:
            stop.touch()
            ended = [each.communicate(timeout=120) for each in workers]
        assert [(each.returncode, said) for each, said in zip(workers, ended, strict=True)] == [(0, ("", ""))] * 2
    assert len(_states(taken)) > 1
    assert verify_backup(target, deep=True).findings == ()
    for report in taken[-rounds:]:
        restore_store(target, tmp_path / "new", snapshot=report.snapshot.id)
        checks.assert_intact(tmp_path / "new")
        shutil.rmtree(tmp_path / "new")
    checks.assert_intact(busy_location)


def _states(taken: list[BackupReport]) -> set[frozenset[BackedUpFile]]:
    """The different sets of files that were backed up."""
    assert len(taken) < 500
    return {frozenset(each.snapshot.files) for each in taken}


def _both_worked(location: Path) -> bool:
    """Whether both workers have changed the store."""
    with open_store(location) as store:
        fetched = store.sql("SELECT count(*) AS n FROM volume WHERE kind = 'injection_fraction'").n[0]
        numbers = store.sql("SELECT name, last_number FROM dataset")
    return bool(fetched) and "busy-1" in set(numbers.name)
