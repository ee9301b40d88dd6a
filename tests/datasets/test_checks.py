"""The outcomes of rebuilding versions are recorded, on both databases."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bsv_store import open_store
from bsv_store.datasets.history import rebuild as module
from bsv_store.datasets.history.checks import NewCheck
from bsv_store.datasets.table import add_check
from bsv_store.errors import DamagedFileError, MissingDataError
from tests.datasets.killing import killed
from tests.datasets.world import add_volume, ask

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.datasets.history.checks import VersionCheck


def rebuild(store: Store, *, check_only: bool = True) -> Any:
    return store.datasets.rebuild("test", check_only=check_only)


def checks(store: Store) -> tuple[VersionCheck, ...]:
    return store.dataset("test").checks


def test_a_version_that_comes_out_the_same_is_recorded_as_identical(filled: Store) -> None:
    assert ask(filled).checks == ()
    report = rebuild(filled)
    assert report.was_recorded
    (check,) = checks(filled)
    assert (check.outcome, check.file_state, check.checked_by, check.software) == (
        "identical",
        "intact",
        getpass.getuser(),
        report.software_now,
    )
    assert (check.largest_difference, check.voxels, check.was_restored, check.note) == (0.0, 0, False, None)
    assert check.checked_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - check.checked_at) < timedelta(minutes=10)


def test_a_difference_is_recorded_with_its_size(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    ask(filled)
    real = module.compute  # type: ignore[attr-defined]

    def off(files: Any, inputs: Any, progress: Any, **options: Any) -> Any:
        member = replace(inputs.members[0], divisor=2.0)
        return real(files, replace(inputs, members=(member, *inputs.members[1:])), progress, **options)

    monkeypatch.setattr(module, "compute", off)
    report = rebuild(filled)
    (check,) = checks(filled)
    assert (check.outcome, check.largest_difference, check.voxels) == (
        "different",
        report.largest_difference,
        report.voxels,
    )
    assert report.voxels > 10_000


def test_missing_inputs_are_recorded_and_still_an_error(filled: Store) -> None:
    ask(filled)
    add_volume(filled, 2, seed=1)
    with pytest.raises(MissingDataError, match="has been replaced: 2"):
        rebuild(filled)
    (check,) = checks(filled)
    assert check.outcome == "inputs missing"
    assert "has been replaced: 2" in str(check.note)
    assert (check.largest_difference, check.voxels) == (None, None)


def test_damaged_inputs_are_recorded_and_still_an_error(filled: Store) -> None:
    ask(filled)
    for identifier in (2, 4):
        next((filled.path / "volumes").rglob(f"{identifier}.*.h5")).unlink()
    with pytest.raises(DamagedFileError, match="2"):
        rebuild(filled)
    (check,) = checks(filled)
    assert (check.outcome, check.note) == ("inputs damaged", "volumes of 2, 4 are missing or damaged")


def test_every_check_is_kept_in_order(filled: Store) -> None:
    version = ask(filled)
    version.path.write_bytes(version.path.read_bytes()[:-1])
    rebuild(filled)
    rebuild(filled, check_only=False)
    rebuild(filled)
    assert [(check.file_state, check.was_restored) for check in checks(filled)] == [
        ("damaged", False),
        ("damaged", True),
        ("intact", False),
    ]


def test_a_check_is_of_one_version(filled: Store) -> None:
    ask(filled)
    rebuild(filled)
    add_volume(filled, 1, seed=3)
    assert ask(filled).number == 2
    assert checks(filled) == ()
    assert len(filled.dataset("test@1").checks) == 1


def test_a_read_only_store_checks_and_records_nothing(filled: Store) -> None:
    ask(filled)
    with open_store(filled.path, read_only=True) as reader:
        report = rebuild(reader)
    assert (report.is_identical, report.was_recorded) == (True, False)
    assert checks(filled) == ()


def test_deleting_a_version_takes_its_checks_along(filled: Store) -> None:
    version = ask(filled)
    rebuild(filled)
    filled.datasets.delete("test@latest")
    assert filled.sql("SELECT * FROM dataset_check").empty
    check = NewCheck(software="x", outcome="identical", file_state="intact")
    with filled.database.writing() as connection:
        assert not add_check(connection, version, check, checked_by="x")


@pytest.mark.parametrize(("point", "recorded"), [("rebuild:computed", 0), ("rebuild:checked", 1)])
def test_a_check_survives_a_kill(filled_location: Path, point: str, recorded: int) -> None:
    with open_store(filled_location) as store:
        ask(store)
    killed(filled_location, point, "rebuild", "test", check_only=True)
    with open_store(filled_location) as store:
        assert len(checks(store)) == recorded
        assert rebuild(store).is_identical
