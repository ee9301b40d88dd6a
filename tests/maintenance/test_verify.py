"""`verify`: every kind of damage is found under its name, and what is intact is not."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select, text, update

from bsv_store import open_store
from bsv_store.catalog.database.models import StoredVolume, Verification
from bsv_store.datasets.numbers import reserving
from bsv_store.errors import BusyError, DamagedCatalogError, InputError
from bsv_store.maintenance.inventory import expected_objects
from bsv_store.maintenance.object_checks import ObjectCheck, ObjectChecker
from bsv_store.vocabulary import FINDING_KINDS
from bsv_store.volumes import grid
from tests.databases import sqlite_first
from tests.datasets.world import add_volume, ask, voxels
from tests.sealing import sealed_changes

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.maintenance.verify_report import VerifyReport
    from bsv_store.volumes.stored_object import StoredObject

DAY = timedelta(days=1)


def objects(store: Store) -> dict[str, StoredObject]:
    with store.database.reading() as connection:
        return {each.key: each for each in expected_objects(connection)}


def path_of(store: Store, key: str) -> Path:
    return store.path / objects(store)[key].path


def volume_keys(store: Store, count: int) -> list[str]:
    return sorted(key for key in objects(store) if key.startswith("volume/projection_density"))[:count]


def flip(path: Path, *, at: int | None = None) -> None:
    """Flip one bit, keeping size and permissions."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 4
    path.write_bytes(content)


def found(report: VerifyReport) -> set[tuple[str, str]]:
    return {(each.object, each.kind) for each in report.findings}


def change(store: Store, statement: str) -> None:
    """Change the database as another program would: without seals."""
    with store.database.writing() as connection:
        assert connection.execute(text(statement)).rowcount > 0


# -- what is intact ---------------------------------------------------------------------------------------------------


def test_a_store_in_order_is_intact_at_every_depth(whole: Store) -> None:
    choices: tuple[dict[str, Any], ...] = ({}, {"deep": True}, {"decode": True})
    for options in choices:
        report = whole.admin.verify(**options)
        assert report.findings == ()
        assert report.is_intact
        assert report.is_complete
        assert report.was_recorded
        assert report.checked >= len(objects(whole))
    assert report.size_bytes == sum(each.size_bytes for each in objects(whole).values())
    assert str(report).endswith("0 problems found.")


# -- files ------------------------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def restrict(path: Path) -> None:
    path.chmod(0o600)


@sqlite_first
@pytest.mark.parametrize(
    ("damage", "kind", "is_quick"),
    [
        (flip, "damaged_file", False),
        (truncate, "wrong_size", True),
        (Path.unlink, "missing", True),
        (replace_by_link, "wrong_type", True),
        (restrict, "wrong_permissions", True),
    ],
)
def test_damage_of_files_of_every_kind_of_object_is_found_by_name(
    whole: Store, damage: Callable[[Path], None], kind: str, is_quick: bool
) -> None:
    stored = objects(whole)
    keys = [
        next(each for each in sorted(stored) if each.startswith(prefix))
        for prefix in ("volume", "annotation", "version")
    ]
    for key in keys:
        damage(path_of(whole, key))
    quick, deep = whole.admin.verify(), whole.admin.verify(deep=True)
    assert {(each.object, each.kind) for each in deep.damage} == {(key, kind) for key in keys}
    assert {each.object for each in quick.damage} == (set(keys) if is_quick else set())
    assert {each.remedy for each in deep.damage} == {"bsv-store repair --apply"}
    assert {each.path for each in deep.damage} == {stored[key].path for key in keys}


@sqlite_first
def test_an_unreadable_file_is_found(whole: Store) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    (key,) = volume_keys(whole, 1)
    path_of(whole, key).chmod(0)
    assert found(whole.admin.verify(deep=True)) == {(key, "unreadable"), (key, "wrong_permissions")}


@sqlite_first
def test_files_that_changed_places_are_named(whole: Store) -> None:
    one, other = volume_keys(whole, 2)
    first, second = path_of(whole, one), path_of(whole, other)
    content = first.read_bytes(), second.read_bytes()
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    # Of the same size, so that only the bytes tell.
    change(whole, f"UPDATE volume SET size_bytes = {len(content[1])} WHERE path LIKE '%/{first.name}'")
    deep = {each.object: each for each in whole.admin.verify(deep=True).findings if each.kind == "damaged_file"}
    assert deep[one].problem == f"the file contains the bytes of {other}"


@sqlite_first
def test_a_file_of_another_store_in_the_place_of_ours_is_damage(whole: Store) -> None:
    (key,) = volume_keys(whole, 1)
    path = path_of(whole, key)
    other = bytearray(path.read_bytes())
    other[-500:] = bytes(500)
    path.write_bytes(other)
    assert found(whole.admin.verify(deep=True)) == {(key, "damaged_file")}


@sqlite_first
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("volumes/projection_density/100um/100.0123456789abcdef.h5", "foreign_file"),
        ("volumes/notes.txt", "foreign_file"),
        ("datasets/visual/0123456789abcdef.0123456789abcdef.nc", "orphan"),
    ],
)
def test_files_that_the_catalog_does_not_list_are_notes(whole: Store, name: str, kind: str) -> None:
    (whole.path / name).write_bytes(b"not ours")
    (whole.path / name).chmod(0o664)
    report = whole.admin.verify(deep=True)
    assert [(each.path, each.kind) for each in report.notes] == [(name, kind)]
    assert report.is_intact


def test_an_orphan_and_an_old_temporary_file_are_notes(whole: Store) -> None:
    (key,) = volume_keys(whole, 1)
    orphan = path_of(whole, key)
    with whole.database.writing() as connection:
        connection.execute(delete(StoredVolume).where(StoredVolume.path == objects_path(whole, orphan)))
    temporary = whole.path / "tmp" / f"{'0' * 16}-1-1-0123456789abcdef.tmp"
    temporary.write_bytes(b"half")
    name = f"tmp/{temporary.name}"
    assert (name, "temporary") not in found(whole.admin.verify())
    os.utime(temporary, (0, 0))
    report = whole.admin.verify()
    assert {(name, "temporary"), (key, "orphan")} <= found(report)
    assert {each.kind for each in report.notes} == {"orphan", "temporary"}
    # The row is lost too, which only the catalog can tell.
    assert {each.kind for each in report.damage} == {"damaged_catalog"}


def objects_path(store: Store, path: Path) -> str:
    return path.relative_to(store.path).as_posix()


@sqlite_first
def test_an_earlier_file_of_a_volume_is_an_orphan_to_collect(whole: Store) -> None:
    (key,) = volume_keys(whole, 1)
    path = path_of(whole, key)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    experiment_id = key.rpartition("/")[2]
    earlier = path.with_name(f"{experiment_id}.{hashlib.sha256(content).hexdigest()[:16]}.h5")
    earlier.write_bytes(content)
    (note,) = whole.admin.verify(deep=True).findings
    assert (note.kind, note.is_damage, note.path) == ("orphan", False, objects_path(whole, earlier))
    assert "gc" in note.remedy


# -- content ----------------------------------------------------------------------------------------------------------


@sqlite_first
def test_an_array_that_differs_from_its_recorded_hash_is_found_by_decoding(filled: Store) -> None:
    with sealed_changes(filled.database) as connection:
        connection.execute(update(StoredVolume).where(StoredVolume.experiment_id == 3).values(array_sha256="0" * 64))
    assert filled.admin.verify(deep=True).is_intact
    report = filled.admin.verify(decode=True)
    assert found(report) == {("volume/projection_density/100/3", "damaged_content")}


@sqlite_first
def test_a_damaged_row_makes_a_deep_verification_decode_the_file(filled: Store) -> None:
    change(filled, f"UPDATE volume SET array_sha256 = '{'0' * 64}' WHERE experiment_id = 3")
    key = "volume/projection_density/100/3"
    assert found(filled.admin.verify(deep=True)) == {(key, "damaged_catalog"), (key, "damaged_content")}


@sqlite_first
def test_a_volume_that_contradicts_its_experiment_is_implausible(whole: Store) -> None:
    one, other = (int(key.rpartition("/")[2]) for key in volume_keys(whole, 2))
    array = whole.volumes.read(one)[:, :, ::-1]
    add_volume(whole, other, array=array.copy())
    report = whole.admin.verify(decode=True)
    assert (f"volume/projection_density/100/{other}", "implausible") in found(report)


@pytest.mark.parametrize("column", ["content_sha256", "fingerprint"])
def test_rows_of_a_version_that_differ_from_its_file_are_found(whole: Store, column: str) -> None:
    assert whole.admin.verify(deep=True).is_intact
    change(whole, f"UPDATE dataset_version SET {column} = '{'0' * 64}' WHERE number = 1 AND path LIKE '%two%'")
    kinds = {each.kind for each in whole.admin.verify(deep=True).damage if each.object == "version/two@1"}
    assert kinds >= {{"content_sha256": "damaged_content", "fingerprint": "wrong_fingerprint"}[column]}


@sqlite_first
def test_damaged_block_hashes_of_a_large_volume_are_found(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # Volumes at 100 um are then stored as those at 25 um.
    monkeypatch.setattr(grid, "LARGE_VOXELS", 1)
    add_volume(filled, 2, array=voxels(2, seed=5))
    assert filled.admin.verify(deep=True).is_intact
    zeros = "zeroblob(32)" if filled.database.is_sqlite else "decode(repeat('00', 32), 'hex')"
    change(filled, f"UPDATE volume_block_hashes SET hashes = {zeros}")
    report = filled.admin.verify(deep=True, since=DAY)
    assert found(report) == {("volume/projection_density/100/2", "damaged_content")}


# -- the catalog ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "key", "kind"),
    [
        ("UPDATE experiment SET injection_volume = 9", "catalog/experiments", "damaged_catalog"),
        ("UPDATE dataset SET last_number = 0 WHERE name = 'visual'", "dataset/visual", "inconsistent_rows"),
        ("UPDATE dataset_version SET member_count = 99 WHERE path LIKE '%two%'", "version/two@1", "inconsistent_rows"),
        ("UPDATE dataset_group SET member_count = 99", "version/two@1", "inconsistent_rows"),
        ("UPDATE dataset_member SET divisor = 3", "version/visual@1", "inconsistent_rows"),
        (
            "UPDATE dataset_tag SET dataset_id = (SELECT id FROM dataset WHERE name = 'two')",
            "dataset/two",
            "broken_reference",
        ),
        ("UPDATE source_snapshot SET row_count = 3", "catalog/source_snapshot", "damaged_catalog"),
        ("DELETE FROM snapshot_member", "catalog/lists", "damaged_catalog"),
    ],
)
def test_damage_of_the_catalog_is_found_by_name(whole: Store, statement: str, key: str, kind: str) -> None:
    change(whole, statement)
    assert (key, kind) in found(whole.admin.verify(deep=True))


def test_lost_rows_are_noticed_by_a_quick_verification(whole: Store) -> None:
    change(whole, "DELETE FROM volume WHERE kind = 'injection_density'")
    assert ("catalog/volume", "damaged_catalog") in found(whole.admin.verify())


def test_damage_of_unionize_tables_is_found_by_experiment(whole: Store) -> None:
    with whole.database.reading() as connection:
        experiment_id = connection.scalar(text("SELECT min(experiment_id) FROM unionize"))
    change(whole, f"UPDATE unionize SET projection_volume = 7 WHERE experiment_id = {experiment_id}")
    kinds = found(whole.admin.verify(deep=True))
    assert (f"unionizes/{experiment_id}", "damaged_catalog") in kinds


@pytest.mark.parametrize("value", ["max_voxel_x + 0.5", "x'01'"])
def test_a_value_that_is_not_of_the_type_of_its_column_is_found(whole: Store, value: str) -> None:
    if not whole.database.is_sqlite:
        pytest.skip("Postgres does not allow them")
    with whole.database.reading() as connection:
        experiment_id = connection.scalar(text("SELECT min(experiment_id) FROM unionize"))
    change(whole, f"UPDATE unionize SET max_voxel_x = {value} WHERE experiment_id = {experiment_id}")
    report = whole.admin.verify(deep=True)
    assert (f"unionizes/{experiment_id}", "damaged_catalog") in found(report)
    assert len([each for each in report.damage if each.object.startswith("unionizes/")]) == 1
    with pytest.raises(DamagedCatalogError, match="does not have the type of its column"):
        whole.catalog.stored_unionizes([experiment_id])


def test_rows_that_refer_to_nothing_are_found_on_sqlite(whole: Store) -> None:
    if not whole.database.is_sqlite:
        pytest.skip("Postgres does not allow them")
    with closing(sqlite3.connect(whole.path / "catalog.db")) as connection:
        connection.execute("UPDATE dataset_tag SET version_id = 99")
        connection.commit()
    assert ("catalog/dataset_tag", "broken_reference") in found(whole.admin.verify(deep=True))


def test_rows_of_an_unknown_experiment_are_found(whole: Store) -> None:
    with whole.database.reading() as connection:
        experiment_id = connection.scalar(text("SELECT min(experiment_id) FROM unionize"))
    change(whole, f"UPDATE unionize SET experiment_id = 7 WHERE experiment_id = {experiment_id}")
    kinds = found(whole.admin.verify(deep=True))
    assert ("catalog/unionize", "broken_reference") in kinds
    assert ("unionizes/7", "damaged_catalog") in kinds


@sqlite_first
def test_a_version_whose_volumes_have_been_replaced_is_a_note(filled: Store) -> None:
    filled.aggregate([1, 2, 3], name="visual")
    add_volume(filled, 2, array=voxels(2, seed=5))
    report = filled.admin.verify(deep=True)
    assert found(report) == {("version/visual@1", "changed_inputs")}
    assert "1 of 3 volumes" in report.notes[0].problem
    assert report.is_intact


@sqlite_first
def test_an_annotation_derived_from_one_that_is_gone_is_a_note(whole: Store) -> None:
    change(whole, "UPDATE annotation SET derived_from_um = 50, derived_from_sha256 = 'x'")
    assert ("annotation/100", "outdated_annotation") in found(whole.admin.verify(deep=True))


# -- what was verified is recorded ------------------------------------------------------------------------------------


def records(store: Store) -> dict[tuple[str, str], str]:
    with store.database.reading() as connection:
        rows = connection.execute(select(Verification.object_key, Verification.depth, Verification.outcome))
        return {(row[0], row[1]): row[2] for row in rows}


def age(store: Store, days: int) -> None:
    """Make all records older."""
    sql = "datetime(verified_at, '{} days')" if store.database.is_sqlite else "verified_at + interval '{} days'"
    change(store, f"UPDATE verification SET verified_at = {sql.format(-days)}")


def test_each_object_has_a_record_of_each_depth(whole: Store) -> None:
    (key,) = volume_keys(whole, 1)
    path_of(whole, key).unlink()
    whole.admin.verify()
    whole.admin.verify(deep=True)
    found = records(whole)
    assert {each for each, depth in found if depth == "quick"} == set(objects(whole))
    assert found[key, "quick"] == found[key, "deep"] == "missing"
    assert {outcome for (each, _), outcome in found.items() if each != key} == {"intact"}
    assert any(each.startswith("unionizes/") for each, _ in found)


def test_what_was_verified_recently_is_skipped_unless_it_was_damaged(whole: Store) -> None:
    (key,) = volume_keys(whole, 1)
    flip(path_of(whole, key))
    first = whole.admin.verify(deep=True)
    again = whole.admin.verify(deep=True, since=DAY)
    assert (again.checked, again.skipped) == (1, first.checked - 1)
    assert again.damage == first.damage
    age(whole, 2)
    assert whole.admin.verify(deep=True, since=DAY).skipped == 0


def test_a_clock_that_was_ahead_hides_no_damage(whole: Store) -> None:
    (key,) = volume_keys(whole, 1)
    whole.admin.verify(decode=True)
    age(whole, -400)
    flip(path_of(whole, key))
    report = whole.admin.verify(deep=True, since=DAY)
    assert report.skipped == 0
    assert [each.object for each in report.damage] == [key]
    upkeep = whole.status().upkeep
    assert upkeep is not None
    assert upkeep.verification.damaged == 1
    again = whole.admin.verify(deep=True, since=DAY)
    assert (again.checked, again.damage) == (1, report.damage)


@sqlite_first
def test_a_quick_verification_is_no_deep_one(whole: Store) -> None:
    whole.admin.verify()
    assert whole.admin.verify(deep=True, since=DAY).skipped == 0
    tables = sum(key.startswith("unionizes/") for key, _ in records(whole))
    # Decoding covers the rest; tables are not decoded.
    assert whole.admin.verify(decode=True, since=DAY).skipped >= tables


@sqlite_first
def test_a_recipe_that_cannot_be_read_is_one_finding_also_of_what_was_verified_before(filled: Store) -> None:
    version = ask(filled)
    assert filled.admin.verify(deep=True).is_intact
    change(filled, "UPDATE dataset_version SET recipe = '{'")
    for since in (DAY, None):
        (finding,) = filled.admin.verify(deep=True, since=since).damage
        assert (finding.object, finding.kind) == (f"version/{version.ref}", "inconsistent_rows")
        assert f"cannot read the recipe of {version.ref}" in finding.problem
        assert f"bsv-store dataset delete {version.ref}" in finding.remedy


def test_the_record_of_a_file_does_not_hold_for_the_one_that_replaces_it(filled: Store) -> None:
    filled.admin.verify(deep=True)
    add_volume(filled, 2, array=voxels(2, seed=5))
    report = filled.admin.verify(deep=True, since=DAY)
    assert report.checked == 1
    assert report.size_bytes == objects(filled)["volume/projection_density/100/2"].size_bytes


def test_records_of_deleted_objects_are_deleted(whole: Store) -> None:
    whole.admin.verify(deep=True)
    whole.datasets.delete("two@1")
    whole.admin.verify()
    assert not [key for key, _ in records(whole) if key == "version/two@1"]
    assert [key for key, _ in records(whole) if key.startswith("unionizes/")]


def test_runs_with_a_time_limit_continue_with_what_was_verified_longest_ago(whole: Store) -> None:
    total = whole.admin.verify(deep=True).checked
    age(whole, 3)
    stopped = whole.admin.verify(deep=True, time_limit=timedelta(0))
    assert (stopped.checked, stopped.remaining, stopped.is_complete) == (0, total, False)
    assert stopped.is_intact
    (key,) = volume_keys(whole, 1)
    change(whole, f"DELETE FROM verification WHERE object_key = '{key}'")
    order: list[str] = []
    check = ObjectChecker.check

    def noted(self: ObjectChecker, stored: StoredObject, *arguments: Any, **options: Any) -> ObjectCheck:
        order.append(stored.key)
        return check(self, stored, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectChecker, "check", noted)
        whole.admin.verify(deep=True, workers=1)
    assert order[0] == key


def test_a_reader_verifies_and_records_nothing(whole: Store) -> None:
    (key,) = volume_keys(whole, 1)
    flip(path_of(whole, key))
    with open_store(whole.path, read_only=True) as reader:
        report = reader.admin.verify(deep=True)
        assert found(report) == {(key, "damaged_file")}
        assert not report.was_recorded
        assert "not recorded" in report.summary()
    assert records(whole) == {}


@sqlite_first
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"since": DAY}, "needs a deep verification"),
        ({"time_limit": DAY}, "needs a deep verification"),
        ({"deep": True, "since": -DAY}, "must not be negative"),
        ({"workers": 0}, "workers must be"),
        ({"deep": "yes"}, "deep must be"),
    ],
)
def test_bad_arguments_are_refused(whole: Store, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        whole.admin.verify(**options)  # type: ignore[arg-type]


def test_runs_are_recorded_as_activity_if_deep_or_with_damage(whole: Store) -> None:
    whole.admin.verify()
    assert "verified" not in set(whole.admin.activity()["action"])
    whole.admin.verify(deep=True)
    row = whole.admin.activity().iloc[0]
    assert (row["action"], row["details"]["depth"], row["details"]["problems"]) == ("verified", "deep", 0)


# -- other processes write meanwhile ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"deep": True}])
def test_volumes_that_are_replaced_meanwhile_are_no_damage(filled: Store, options: Any) -> None:
    is_over = threading.Event()

    def replace() -> None:
        for seed in range(1, 1_000):
            if is_over.is_set():
                return
            add_volume(filled, 1 + seed % 7, array=voxels(seed, seed=1))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(replace)
        try:
            reports = [filled.admin.verify(**options) for _ in range(8)]
        finally:
            is_over.set()
        writing.result()
    assert [each.damage for each in reports] == [()] * 8
    assert filled.admin.verify(deep=True).is_intact


# -- vocabulary -------------------------------------------------------------------------------------------------------


def test_every_kind_of_finding_says_whether_it_is_damage() -> None:
    notes = {"orphan", "foreign_file", "temporary", "contradictory_table", "changed_inputs", "outdated_annotation"}
    assert {name for name, row in FINDING_KINDS.items() if not row.is_damage} == notes
    damage = {
        *("missing", "wrong_size", "wrong_type", "unreadable", "damaged_file", "damaged_content", "implausible"),
        *("wrong_permissions", "damaged_catalog", "broken_reference", "inconsistent_rows", "wrong_fingerprint"),
    }
    assert set(FINDING_KINDS) == notes | damage


# -- others ------------------------------------------------------------------------------------------------------------


@sqlite_first
def test_findings_are_reported_even_if_the_database_stays_busy(whole: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = volume_keys(whole, 1)
    flip(path_of(whole, key))

    def busy(*_arguments: object) -> None:
        raise BusyError("another job is writing")

    monkeypatch.setattr("bsv_store.maintenance.verified._record", busy)
    report = whole.admin.verify(deep=True)
    assert [each.object for each in report.damage] == [key]
    assert not report.was_recorded
    assert "busy" in report.summary()


def test_a_number_that_an_older_catalog_does_not_know_is_noted(whole: Store) -> None:
    with reserving(whole.files, "two") as numbers:
        numbers.record(7)
    (note,) = whole.admin.verify().findings
    assert (note.path, note.is_damage) == ("datasets/.numbers/two.json", False)
    assert "two@7 was assigned, but the highest number in the catalog is 1" in note.problem
