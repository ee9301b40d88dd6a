"""`repair`: a plan, and after it a store that `verify --deep` finds intact, or the reason why not."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import text

from bsv_store import open_store
from bsv_store.acquisition.annotation import derive_annotations
from bsv_store.checkpoints import set_hook
from bsv_store.datasets import delete
from bsv_store.datasets.refs import parse_ref
from bsv_store.datasets.table import delete_version_rows, version_id
from bsv_store.errors import DamagedFileError, NoSpaceError, ReadOnlyStoreError
from bsv_store.maintenance import orphan_results
from bsv_store.vocabulary import REPAIR_ACTIONS
from bsv_store_synthetic import wire_volumes
from tests.databases import sqlite_first
from tests.datasets.world import VISP, add_annotation, add_volume

from .conftest import VISP as VISUAL
from .test_verify import change, flip, objects, objects_path, path_of, replace_by_link, restrict, truncate, volume_keys

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.maintenance.repair_plan import RepairReport
    from bsv_store_synthetic import SyntheticServer


def outcomes(report: RepairReport) -> dict[str, tuple[str, str]]:
    return {step.object: (step.action, step.outcome) for step in report.steps}


def assert_repaired(store: Store, report: RepairReport) -> None:
    assert report.left == (), str(report)
    assert {step.outcome for step in report.steps} <= {"done"}, str(report)
    assert store.admin.verify(deep=True).findings == ()


def arrays(store: Store) -> dict[str, str]:
    """The hash of the content of each object. Files contain the address of the server, which has another port."""
    return {key: each.array_sha256 for key, each in objects(store).items()}


def contents(store: Store) -> dict[str, bytes]:
    return {each.path: (store.path / each.path).read_bytes() for each in objects(store).values()}


# -- the plan ---------------------------------------------------------------------------------------------------------


@sqlite_first
def test_without_apply_nothing_is_changed(whole: Store) -> None:
    one, other = volume_keys(whole, 2)
    flip(path_of(whole, one))
    path_of(whole, other).unlink()
    before = sorted(path.relative_to(whole.path) for path in whole.path.rglob("*"))
    report = whole.admin.repair()
    assert outcomes(report) == {one: ("fetch", "planned"), other: ("fetch", "planned")}
    assert all(step.how.startswith("bsv-store fetch --refresh --ids ") for step in report.steps)
    assert report.summary() == "2 repairs planned, 0 not automatic."
    assert sorted(path.relative_to(whole.path) for path in whole.path.rglob("*")) == before
    assert whole.admin.repair().steps == report.steps


@sqlite_first
def test_a_store_in_order_needs_no_repair(whole: Store) -> None:
    assert whole.admin.repair().summary() == "Nothing to repair."
    assert whole.admin.repair(apply=True).steps == ()


@sqlite_first
def test_what_was_verified_recently_is_not_read_again(whole: Store) -> None:
    (key,) = volume_keys(whole, 1)
    flip(path_of(whole, key))
    whole.admin.verify(deep=True)
    report = whole.admin.repair(since=timedelta(days=1))
    assert report.before.checked == 1
    assert outcomes(report) == {key: ("fetch", "planned")}


def test_a_reader_gets_the_plan_but_cannot_carry_it_out(whole: Store) -> None:
    flip(path_of(whole, volume_keys(whole, 1)[0]))
    with open_store(whole.path, read_only=True) as reader:
        assert len(reader.admin.repair().steps) == 1
        with pytest.raises(ReadOnlyStoreError):
            reader.admin.repair(apply=True)


# -- files ------------------------------------------------------------------------------------------------------------


_DAMAGES: tuple[Callable[[Path], None], ...] = (flip, truncate, Path.unlink, replace_by_link, restrict)


@pytest.mark.parametrize(
    "damages", [_DAMAGES, *(pytest.param((each,) * 5, marks=pytest.mark.long) for each in _DAMAGES)]
)
def test_files_of_every_kind_of_object_are_repaired(
    whole: Store, server: SyntheticServer, damages: tuple[Callable[[Path], None], ...]
) -> None:
    before = arrays(whole)
    keys = ["annotation/100", "template/100", "version/two@1", "version/visual@1", *volume_keys(whole, 1)]
    for key, damage in zip(keys, damages, strict=True):
        damage(path_of(whole, key))
    report = whole.admin.repair(apply=True)
    assert set(outcomes(report)) == set(keys)
    if replace_by_link in damages:
        # The target of the link is still there, and is not a file of the store.
        assert {each.kind for each in report.after.findings} == {"foreign_file"}  # type: ignore[union-attr]
        for path in whole.path.rglob("elsewhere"):
            path.unlink()
    assert_repaired(whole, report)
    assert arrays(whole) == before


@sqlite_first
def test_damaged_files_are_moved_to_the_trash_and_recorded(whole: Store, server: SyntheticServer) -> None:
    (key,) = volume_keys(whole, 1)
    path = path_of(whole, key)
    flip(path)
    damaged = path.read_bytes()
    whole.admin.repair(apply=True)
    assert damaged in [each.read_bytes() for each in (whole.path / "trash").rglob("*") if each.is_file()]
    activity = whole.admin.activity()
    (details,) = activity[activity["subject"] == key]["details"]
    assert details["quarantined"] == path.relative_to(whole.path).as_posix()
    assert activity.iloc[0]["action"] == "repaired"
    assert activity.iloc[0]["details"] == {"done": 1, "failed": 0, "left": 0}


@sqlite_first
def test_files_that_changed_places_are_put_back_without_a_download(whole: Store, server: SyntheticServer) -> None:
    one, other = volume_keys(whole, 2)
    before = contents(whole)
    first, second = path_of(whole, one), path_of(whole, other)
    first.rename(first.with_suffix(".x"))
    second.rename(first)
    first.with_suffix(".x").rename(second)
    report = whole.admin.repair(apply=True)
    assert outcomes(report) == {one: ("restore_copy", "done"), other: ("restore_copy", "done")}
    assert_repaired(whole, report)
    assert contents(whole) == before
    assert server.requests.all == ()


@sqlite_first
def test_a_file_in_the_trash_is_used_instead_of_a_download(whole: Store, server: SyntheticServer) -> None:
    (key,) = volume_keys(whole, 1)
    whole.files.trash(objects(whole)[key].path, "deleted")
    report = whole.admin.repair(apply=True)
    assert outcomes(report) == {key: ("restore_copy", "done")}
    assert_repaired(whole, report)
    assert server.requests.all == ()


# -- rows -------------------------------------------------------------------------------------------------------------


@sqlite_first
def test_a_file_whose_row_is_lost_is_recorded_without_a_download(whole: Store, server: SyntheticServer) -> None:
    (key,) = volume_keys(whole, 1)
    before = objects(whole)[key]
    change(whole, f"DELETE FROM volume WHERE path = '{before.path}'")
    report = whole.admin.repair(apply=True)
    assert outcomes(report) == {key: ("record", "done")}
    assert_repaired(whole, report)
    assert (objects(whole)[key].path, objects(whole)[key].array_sha256) == (before.path, before.array_sha256)
    assert server.requests.all == ()


def test_damaged_rows_are_written_again_from_their_files(whole: Store) -> None:
    keys = volume_keys(whole, 3)
    before = {key: objects(whole)[key] for key in keys}
    changes = ("array_sha256 = 'x'", "size_bytes = 1", "path = 'volumes/x'")
    for each, column in zip(before.values(), changes, strict=True):
        change(whole, f"UPDATE volume SET {column} WHERE path = '{each.path}'")
    report = whole.admin.repair(apply=True, offline=True)
    assert outcomes(report) == dict.fromkeys(keys, ("record", "done"))
    assert_repaired(whole, report)
    after = objects(whole)
    assert {key: (after[key].path, after[key].array_sha256) for key in keys} == {
        key: (each.path, each.array_sha256) for key, each in before.items()
    }
    assert list((whole.path / "trash").iterdir()) == []


def test_a_row_that_has_become_that_of_another_experiment_is_replaced(whole: Store) -> None:
    one, other = volume_keys(whole, 2)
    ids = [int(key.rpartition("/")[2]) for key in (one, other)]
    change(whole, f"UPDATE volume SET kind = 'data_mask' WHERE experiment_id = {ids[0]} AND path LIKE '%projection%'")
    report = whole.admin.repair(apply=True, offline=True)
    assert report.left == (), str(report)
    assert whole.admin.verify(deep=True).findings == ()
    assert one in objects(whole)


@sqlite_first
def test_a_row_and_its_file_that_are_both_lost_are_downloaded(whole: Store, server: SyntheticServer) -> None:
    (key,) = volume_keys(whole, 1)
    before = objects(whole)[key]
    path_of(whole, key).unlink()
    change(whole, f"DELETE FROM volume WHERE path = '{before.path}'")
    report = whole.admin.repair(apply=True)
    assert outcomes(report) == {key: ("record", "done")}
    assert_repaired(whole, report)
    assert objects(whole)[key].array_sha256 == before.array_sha256


def test_damaged_unionize_tables_are_downloaded_again(whole: Store, server: SyntheticServer) -> None:
    (key,) = volume_keys(whole, 1)
    experiment_id = key.rpartition("/")[2]
    change(whole, f"UPDATE unionize SET projection_density = 0.5 WHERE experiment_id = {experiment_id}")
    report = whole.admin.repair(apply=True)
    assert outcomes(report) == {f"unionizes/{experiment_id}": ("fetch", "done")}
    assert_repaired(whole, report)


def test_a_version_number_is_not_assigned_twice_after_a_repair(whole: Store) -> None:
    change(whole, "UPDATE dataset SET last_number = 0")
    report = whole.admin.repair(apply=True, offline=True)
    assert outcomes(report) == {"dataset/two": ("correct", "done"), "dataset/visual": ("correct", "done")}
    assert_repaired(whole, report)


@sqlite_first
def test_damage_without_an_automatic_repair_is_left_with_its_remedy(whole: Store) -> None:
    change(whole, "UPDATE source_snapshot SET row_count = 3")
    report = whole.admin.repair(apply=True, offline=True)
    assert outcomes(report) == {"catalog/source_snapshot": ("none", "left")}
    assert {each.object for each in report.left} == {"catalog/source_snapshot"}
    assert "backup restore" in report.why_left(report.left[0])


# -- what is needed for a repair is missing ---------------------------------------------------------------------------


@sqlite_first
def test_offline_says_what_is_left_and_why(whole: Store) -> None:
    (key,) = volume_keys(whole, 1)
    path_of(whole, key).unlink()
    report = whole.admin.repair(apply=True, offline=True)
    assert outcomes(report) == {key: ("fetch", "failed")}
    assert [(each.object, report.why_left(each)) for each in report.left] == [(key, "not downloaded: offline")]
    assert "not downloaded: offline" in str(report)


def test_rows_without_bytes_are_removed_only_when_told(whole: Store) -> None:
    (key,) = volume_keys(whole, 1)
    path_of(whole, key).unlink()
    report = whole.admin.repair(apply=True, offline=True, drop_missing=True)
    assert outcomes(report) == {key: ("drop", "done")}
    assert key not in objects(whole)
    # Averages that include it have changed inputs.
    assert {each.kind for each in whole.admin.verify(deep=True).findings} <= {"changed_inputs"}


@sqlite_first
def test_a_tagged_version_is_not_removed(whole: Store) -> None:
    path_of(whole, "version/visual@1").unlink()
    for key in volume_keys(whole, 9):
        path_of(whole, key).unlink()
    report = whole.admin.repair(apply=True, offline=True, drop_missing=True)
    assert outcomes(report)["version/visual@1"] == ("rebuild", "failed")
    assert "has the tag paper" in report.why_left(report.left[0])
    assert "version/visual@1" in objects(whole)


@sqlite_first
def test_a_result_that_is_another_one_today_is_not_restored(whole: Store) -> None:
    path_of(whole, "version/two@1").unlink()
    change(whole, f"UPDATE dataset_version SET content_sha256 = '{'0' * 64}' WHERE path LIKE '%two%'")
    report = whole.admin.repair(apply=True, offline=True)
    assert outcomes(report) == {"version/two@1": ("rebuild", "failed")}
    assert "the result is another one" in report.why_left(report.left[0])


@sqlite_first
def test_a_volume_is_downloaded_again_though_the_annotation_is_lost(whole: Store, server: SyntheticServer) -> None:
    add_annotation(whole, annotation())
    whole.close()
    with open_store(whole.path) as store:
        (one,) = volume_keys(store, 1)
        path_of(store, one).unlink()
        path_of(store, "annotation/100").unlink()
        report = store.admin.repair(apply=True, api_url=server.url)
        assert outcomes(report)[one] == ("fetch", "done"), str(report)
        assert [each.object for each in report.left] == ["annotation/100"]


@sqlite_first
def test_an_annotation_from_a_file_is_left_with_the_command(filled: Store) -> None:
    file = add_annotation(filled, annotation())
    flip(filled.path / file.path)
    report = filled.admin.repair(apply=True, offline=True)
    assert outcomes(report) == {"annotation/100": ("none", "left")}
    assert "ingest annotation" in report.steps[0].how


@sqlite_first
def test_a_template_is_verified_downloaded_again_or_left_with_the_command(
    whole: Store, server: SyntheticServer, tmp_path: Path
) -> None:
    path = path_of(whole, "template/100")
    before = whole.atlas.template().tobytes()
    flip(path)
    (finding,) = whole.admin.verify(deep=True).findings
    assert (finding.object, finding.kind) == ("template/100", "damaged_file")
    assert outcomes(whole.admin.repair(apply=True)) == {"template/100": ("fetch", "done")}
    assert whole.atlas.template().tobytes() == before
    # A row that names other values is noticed when the file is decoded.
    with whole.database.writing() as connection:
        connection.execute(text("UPDATE template SET array_sha256 = 'x'"))
    assert [each.kind for each in whole.admin.verify(decode=True).findings] == ["damaged_content"]
    assert outcomes(whole.admin.repair(apply=True, decode=True))["template/100"] == ("fetch", "done")
    # Without its row the file is an orphan, which is downloaded again.
    with whole.database.writing() as connection:
        connection.execute(text("DELETE FROM template"))
    report = whole.admin.repair(apply=True)
    assert outcomes(report) == {"template/100": ("fetch", "done")}
    assert whole.atlas.template().tobytes() == before
    file = tmp_path / "average_template_100.nrrd"
    file.write_bytes(wire_volumes.template_nrrd(100))
    with whole.database.writing() as connection:
        connection.execute(text("UPDATE template SET source = 'average_template_100.nrrd'"))
    path_of(whole, "template/100").unlink()
    report = whole.admin.repair(apply=True, offline=True)
    assert outcomes(report) == {"template/100": ("none", "left")}
    assert "ingest template --replace" in report.steps[0].how
    assert outcomes(whole.admin.repair(apply=True, offline=True, drop_missing=True)) == {
        "template/100": ("drop", "done")
    }
    assert whole.atlas.templates() == ()
    assert whole.ingest_template(file).outcome == "added"


def annotation(shape: tuple[int, int, int] = (132, 80, 114)) -> np.ndarray:
    ids = np.zeros(shape, np.uint32)
    ids[: shape[0] // 2] = VISP
    return ids


@sqlite_first
def test_a_derived_annotation_is_derived_again(filled: Store) -> None:
    add_annotation(filled, annotation((264, 160, 228)))
    derive_annotations(filled.database, filled.files)
    before = contents(filled)
    flip(path_of(filled, "annotation/100"))
    report = filled.admin.repair(apply=True, offline=True)
    assert outcomes(report) == {"annotation/100": ("derive", "done")}
    assert_repaired(filled, report)
    assert contents(filled) == before
    for key in ("annotation/50", "annotation/100"):
        path_of(filled, key).unlink()
    report = filled.admin.repair(apply=True, offline=True)
    assert outcomes(report) == {"annotation/50": ("none", "left"), "annotation/100": ("derive", "failed")}
    reasons = {each.object: report.why_left(each) for each in report.left}
    assert "no finer annotation" in reasons["annotation/100"]


def test_rows_about_the_use_of_volumes_that_do_not_exist_are_removed(whole: Store) -> None:
    if not whole.database.is_sqlite:
        pytest.skip("Postgres enforces foreign keys for every program")
    with closing(sqlite3.connect(whole.path / "catalog.db")) as connection, connection:
        connection.execute("INSERT INTO volume_use VALUES (999999, '2026-01-02')")
    report = whole.admin.repair(apply=True, offline=True)
    assert outcomes(report) == {"catalog/volume_use": ("correct", "done")}
    assert_repaired(whole, report)


# -- hints ------------------------------------------------------------------------------------------------------------


@sqlite_first
def test_an_error_about_a_damaged_file_names_this_command(filled: Store) -> None:
    version = filled.aggregate([1, 2], name="two")
    flip(filled.path / objects(filled)["volume/projection_density/100/3"].path)
    flip(version.path)
    with pytest.raises(DamagedFileError) as of_volume:
        filled.volumes.read(3)
    with pytest.raises(DamagedFileError) as of_version:
        filled.dataset("two@1").mean  # noqa: B018
    for caught in (of_volume, of_version):
        assert caught.value.hint is not None
        assert "bsv-store repair --apply" in caught.value.hint


@sqlite_first
def test_an_implausible_volume_is_downloaded_again(whole: Store, server: SyntheticServer) -> None:
    one, other = (int(key.rpartition("/")[2]) for key in volume_keys(whole, 2))
    right = objects(whole)[f"volume/projection_density/100/{other}"].array_sha256
    add_volume(whole, other, array=whole.volumes.read(one)[:, :, ::-1].copy())
    report = whole.admin.repair(apply=True, decode=True)
    key = f"volume/projection_density/100/{other}"
    assert outcomes(report)[key] == ("fetch", "done")
    assert objects(whole)[key].array_sha256 == right
    assert whole.admin.verify(decode=True).is_intact


def test_every_action_is_used() -> None:
    assert set(REPAIR_ACTIONS) == {
        *("set_permissions", "restore_copy", "record", "fetch", "derive", "rebuild", "correct", "drop", "none")
    }


# -- results without a version ----------------------------------------------------------------------------------------


def forget(store: Store, ref: str) -> str:
    """Delete the rows of a version, as in a database that is restored from an older copy. Returns the file's path."""
    path = objects_path(store, path_of(store, f"version/{ref}"))
    wanted = parse_ref(ref)
    with store.database.writing() as connection:
        delete_version_rows(connection, version_id(connection, wanted))
        last = {"name": wanted.name, "last": int(ref.rpartition("@")[2]) - 1}
        connection.execute(text("UPDATE dataset SET last_number = :last WHERE name = :name"), last)
    return path


def test_results_that_are_newer_than_the_database_are_recorded_and_the_last_keeps_its_number(whole: Store) -> None:
    ids = list(whole.select(VISUAL))
    newer = [whole.aggregate(ids[:count], name="two") for count in (1, 3, 4)]
    paths = [forget(whole, each.ref) for each in reversed(newer)]
    keys = {f"result/two/{each.fingerprint[:16]}" for each in newer}
    # Nothing is computed unless it is asked for.
    assert outcomes(whole.admin.repair(apply=True, offline=True)) == {}
    report = whole.admin.repair(apply=True, offline=True, adopt_results=True)
    assert outcomes(report) == dict.fromkeys(keys, ("record", "done"))
    # The folder knows the last number only. The others are not given again.
    again = [whole.dataset(f"two@{number}") for number in (4, 5, 6)]
    assert again[0].relative_path == paths[0]
    assert {each.content_sha256 for each in again} == {each.content_sha256 for each in newer}
    assert again[0].members.equals(newer[-1].members)
    assert whole.admin.verify(deep=True).findings == ()
    activity = whole.admin.activity()
    assert activity[activity["subject"] == "two@4"]["action"].tolist() == ["computed", "computed"]


@sqlite_first
def test_a_result_that_cannot_be_recorded_stays(whole: Store) -> None:
    version = whole.aggregate(list(whole.select(VISUAL))[:1], name="two")
    path = forget(whole, version.ref)
    key = f"result/two/{version.fingerprint[:16]}"

    def fill_disk(name: str) -> None:
        if name == "version:published":
            raise NoSpaceError("no space left")

    set_hook(fill_disk)
    try:
        report = whole.admin.repair(apply=True, offline=True, adopt_results=True)
    finally:
        set_hook(None)
    assert outcomes(report) == {key: ("record", "failed")}
    assert (whole.path / path).exists()
    report = whole.admin.repair(apply=True, offline=True, adopt_results=True)
    assert outcomes(report) == {key: ("record", "done")}
    assert whole.dataset(version.ref).content_sha256 == version.content_sha256


@sqlite_first
@pytest.mark.filterwarnings("ignore:with . and . experiments")
def test_a_comparison_by_structure_is_recorded_like_an_average(whole: Store) -> None:
    ids = list(whole.select(VISUAL))
    table = whole.compare_structures(ids[:2], ids[2:4], name="sides", permutations=20, bootstrap=20)
    version = whole.dataset("sides@1")
    forget(whole, "sides@1")
    report = whole.admin.repair(apply=True, offline=True, adopt_results=True)
    assert outcomes(report) == {f"result/sides/{version.fingerprint[:16]}": ("record", "done")}
    again = whole.dataset("sides@1")
    assert again.content_sha256 == version.content_sha256
    assert again.comparison_table().equals(table)


@sqlite_first
def test_a_result_that_cannot_be_computed_again_or_differs_is_not_recorded(
    whole: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = whole.dataset("two@1")
    key = f"result/two/{version.fingerprint[:16]}"
    forget(whole, "two@1")
    with monkeypatch.context() as patch:
        patch.setattr(orphan_results, "content_hash", lambda *_, **__: "0" * 64)
        report = whole.admin.repair(apply=True, offline=True, adopt_results=True)
    assert outcomes(report) == {key: ("record", "failed")}
    assert "differs from the file" in str(report.steps[0].result)
    member = version.members.experiment_id.iloc[0]
    path_of(whole, f"volume/projection_density/100/{member}").unlink()
    report = whole.admin.repair(apply=True, offline=True, drop_missing=True, adopt_results=True)
    assert outcomes(report)[key] == ("record", "failed")
    assert not [each for each in whole.datasets.list() if each.name == "two" and each.versions]


@sqlite_first
def test_a_deleted_version_and_a_second_file_of_a_result_are_not_recorded(
    whole: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = whole.dataset("two@1")
    content = version.path.read_bytes()
    other = version.path.with_name(f"{version.fingerprint[:16]}.{hashlib.sha256(content + b'x').hexdigest()[:16]}.nc")
    other.write_bytes(content + b"x")
    other.chmod(0o664)
    assert whole.admin.repair(adopt_results=True).steps == ()
    other.unlink()
    with monkeypatch.context() as patch:
        # As in a process that is killed before it moves the file.
        patch.setattr(delete, "trash_recorded", lambda *_: False)
        whole.datasets.delete("two@1")
    assert version.path.exists()
    report = whole.admin.repair(apply=True, offline=True, adopt_results=True)
    (step,) = report.steps
    assert (step.outcome, "was deleted" in str(step.result)) == ("failed", True)
