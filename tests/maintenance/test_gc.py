"""Collection of garbage: what the store does not need goes, and nothing else."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from bsv_store import Store, open_store
from bsv_store.acquisition.work.claims import LEASE_S, Claims
from bsv_store.datasets.answers import catalog_state
from bsv_store.errors import InputError, NoSpaceError, ReadOnlyStoreError, StoreError
from bsv_store.maintenance.gc import GRACE
from bsv_store.owner import is_running, process_owner
from tests.cli.running import Runner
from tests.databases import both_databases, sqlite_first
from tests.datasets.test_region_summary import blocks
from tests.datasets.world import add_annotation, add_volume, ask
from tests.maintenance.collecting import missing_files

RESULT = "datasets/test/0123456789abcdef.0123456789abcdef.nc"
OLD = timedelta(days=3)
NONE = timedelta(0)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Runs a command as the entry point does."""
    return Runner(capsys, monkeypatch)


def aged(path: Path, age: timedelta = OLD) -> Path:
    """The file, modified that long ago."""
    at = time.time() - age.total_seconds()
    os.utime(path, (at, at))
    return path


def put(store: Store, relative: str, age: timedelta = OLD) -> Path:
    """A file of that age in the store's folder."""
    path = store.path / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"something")
    return aged(path, age)


def found(store: Store, **options: object) -> dict[str, list[str | None]]:
    """The garbage by kind."""
    kinds: dict[str, list[str | None]] = {}
    for each in store.admin.collect_garbage(**options).garbage:  # type: ignore[arg-type]
        kinds.setdefault(each.kind, []).append(each.path)
    return kinds


# -- what is collected ------------------------------------------------------------------------------------------------


def test_an_orphan_moves_to_the_trash_after_the_grace_period(filled: Store) -> None:
    old = put(filled, "volumes/projection_density/100um/1.0123456789abcdef.h5")
    young = put(filled, "volumes/projection_density/100um/2.0123456789abcdef.h5", timedelta(hours=23))
    plan = filled.admin.collect_garbage()
    assert [(each.kind, each.path) for each in plan.garbage] == [("orphan", old.relative_to(filled.path).as_posix())]
    assert (plan.is_applied, plan.young) == (False, 1)
    assert old.exists()
    assert filled.admin.collect_garbage(apply=True).garbage == plan.garbage
    assert not old.exists()
    assert young.exists()
    (item,) = filled.admin.trash()
    assert (item.what, item.reason) == ("volume/projection_density/100/1", "orphan")
    assert filled.admin.collect_garbage(apply=True).garbage == ()


@sqlite_first
def test_files_of_others_are_left(filled: Store) -> None:
    names = (
        *("datasets/README.md", "volumes/notes.txt", "volumes/projection_density/100um/1.h5", "datasets/test/x.nc"),
        *("tmp/analysis.csv", "tmp/4711.tmp", "tmp/work/notes.txt"),
    )
    paths = [put(filled, name) for name in names]
    upkeep = filled.status().upkeep
    assert upkeep is not None
    assert upkeep.temporary.files == 0
    report = filled.admin.collect_garbage(apply=True, grace=NONE, trash_days=0)
    assert ({each.kind for each in report.garbage} <= {"changes"}, report.foreign) == (True, len(names))
    assert "Left: 7 files of other programs or users." in str(report)
    assert all(path.exists() for path in paths)


@sqlite_first
def test_gc_leaves_the_files_that_verify_reports_as_foreign(filled: Store, tmp_path: Path) -> None:
    names = [
        *(f"{folder}/notes.txt" for folder in ("volumes", "volumes/projection_density/100um", "datasets", "new/er")),
        "volumes/projection_density/100um/.DS_Store",
        "volumes/projection_density/33um/1.0123456789abcdef.h5",
        "volumes/cats/100um/1.0123456789abcdef.h5",
        # Of an experiment of another store.
        "volumes/projection_density/100um/999.0123456789abcdef.h5",
        "tmp/notes.txt",
        "datasets/link",
        "datasets/dangling",
        "volumes/pipe",
    ]
    ours = [
        "volumes/projection_density/100um/1.0123456789abcdef.h5",
        "datasets/test/0123456789abcdef.0123456789abcdef.nc",
    ]
    for name in (*names[:9], *ours):
        put(filled, name)
    (filled.path / names[9]).symlink_to(put(filled, "new/er/target"))
    (filled.path / names[10]).symlink_to(tmp_path / "nothing")
    os.mkfifo(filled.path / names[11])
    # Both only look into the folders of the store's files.
    foreign = {name for name in names if not name.startswith("new/")}
    for deep in (False, True):
        report = filled.admin.verify(deep=deep)
        assert {each.path for each in report.notes if each.kind == "foreign_file"} == foreign
        assert {each.path for each in report.notes if each.kind == "orphan"} == set(ours)
    collected = filled.admin.collect_garbage(apply=True)
    assert collected.foreign == len(foreign)
    assert {each.path for each in collected.garbage if each.kind == "orphan"} == set(ours)
    assert all(os.path.lexists(filled.path / name) for name in foreign)


@sqlite_first
def test_permissions_of_folders_of_others_are_left(filled: Store) -> None:
    for name in ("tmp/work", "datasets/notes"):
        put(filled, f"{name}/notes.txt")
        (filled.path / name).chmod(0o700)
    assert "wrong_permissions" not in {each.kind for each in filled.admin.verify().findings}
    (filled.path / "volumes").chmod(0o700)
    assert [each.path for each in filled.admin.verify().findings if each.kind == "wrong_permissions"] == ["volumes"]


def test_what_the_catalog_names_is_never_garbage(filled: Store) -> None:
    add_annotation(filled, blocks())
    version = ask(filled)
    filled.datasets.tag(version.ref, "paper")
    for path in filled.path.rglob("*.*"):
        if path.suffix in (".h5", ".nc"):
            aged(path)
    assert set(found(filled, grace=NONE, trash_days=0)) <= {"changes"}
    filled.admin.collect_garbage(apply=True, grace=NONE, trash_days=0)
    assert missing_files(filled) == []
    assert ask(filled).number == 1
    assert filled.volume(1).shape == (132, 80, 114)


def test_the_default_grace_period_is_longer_than_a_lease() -> None:
    assert timedelta(seconds=LEASE_S) < GRACE


def test_ages_are_those_of_the_file_server(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose clock is days ahead takes no new file for an old one."""
    put(filled, "volumes/projection_density/100um/1.0123456789abcdef.h5", timedelta(0))
    later = time.time() + 10 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert found(filled) == {}


def test_a_file_of_a_running_download_is_left(filled: Store) -> None:
    orphan = put(filled, "volumes/projection_density/100um/1.0123456789abcdef.h5")
    claims = Claims(filled.database)
    with filled.database.writing() as connection:
        claims.take(connection, ["volume/projection_density/100/1"])
    report = filled.admin.collect_garbage(apply=True, grace=NONE)
    assert (report.garbage, report.claimed) == ((), 1)
    assert orphan.exists()
    claims.release_all()
    assert found(filled, apply=True) == {"orphan": [orphan.relative_to(filled.path).as_posix()]}


def test_temporaries_of_ended_processes_go_at_once_and_others_after_the_grace_period(filled: Store) -> None:
    # The first temporary file of a process removes those of ended ones too.
    filled.files.server_time()
    ended = process_owner().rpartition("-")[0] + "-1"
    elsewhere = f"{'0' * 16}-1-1"
    put(filled, f"tmp/{ended}-0123456789abcdef.tmp", timedelta(0))
    put(filled, f"tmp/{elsewhere}-0123456789abcdef.tmp", OLD)
    young = put(filled, f"tmp/{elsewhere}-1123456789abcdef.tmp", timedelta(hours=1))
    mine = put(filled, f"tmp/{process_owner()}-0123456789abcdef.tmp", OLD)
    journal = put(filled, f"tmp/{process_owner()}-0123456789abcdef.tmp-journal", OLD)
    put(filled, f"tmp/doctor-{elsewhere}-01234567/probe", OLD)
    assert len(found(filled, apply=True)["temporary"]) == 3
    (filled.path / f"tmp/doctor-{elsewhere}-01234567").rmdir()
    left = sorted(path.name for path in (filled.path / "tmp").iterdir())
    assert left == sorted([young.name, mine.name, journal.name])


def test_a_temporary_file_is_named_after_its_process(filled: Store) -> None:
    with filled.files.temporary() as path:
        assert path.name.startswith(f"{process_owner()}-")


def test_trash_is_purged_when_its_days_have_passed(filled: Store) -> None:
    ask(filled)
    filled.datasets.delete("test@1")
    assert found(filled, trash_days=1) == {}
    plan = filled.admin.collect_garbage(trash_days=0)
    assert [each.kind for each in plan.garbage] == ["trash"]
    assert plan.freed_bytes > 0
    filled.admin.collect_garbage(apply=True, trash_days=0)
    assert list((filled.path / "trash").iterdir()) == []
    assert filled.admin.trash() == ()


def test_trash_of_earlier_releases_is_listed_as_unknown_and_purged(filled: Store) -> None:
    put(filled, "trash/01234567-1.0123456789abcdef.h5")
    (item,) = filled.admin.trash()
    assert (item.item, item.reason, item.path) == ("01234567", None, None)
    # When it was moved is its change time, which cannot be set.
    assert found(filled, trash_days=1) == {}
    assert found(filled, apply=True, trash_days=0) == {"trash": ["trash/01234567-1.0123456789abcdef.h5"]}
    assert filled.admin.trash() == ()


@both_databases
def test_expired_claims_are_deleted_and_live_ones_kept(filled: Store) -> None:
    live, dead = Claims(filled.database), Claims(filled.database, lease_s=-1.0)
    with filled.database.writing() as connection:
        live.take(connection, ["volume/projection_density/100/1"])
        dead.take(connection, ["volume/projection_density/100/2", "volume/projection_density/100/3"])
    (each,) = filled.admin.collect_garbage(apply=True).garbage
    assert (each.kind, each.count) == ("claims", 2)
    assert filled.sql("SELECT object_key FROM claim").object_key.to_list() == ["volume/projection_density/100/1"]


@pytest.mark.parametrize("options", [{"grace": timedelta(-1)}, {"grace": 3}, {"trash_days": -1}, {"trash_days": 1.5}])
def test_wrong_arguments_are_refused(store: Store, options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        store.admin.collect_garbage(**options)  # type: ignore[arg-type]


def test_a_read_only_store_is_planned_but_not_changed(filled: Store) -> None:
    put(filled, "volumes/projection_density/100um/1.0123456789abcdef.h5")
    with open_store(filled.path, read_only=True) as reader:
        assert set(found(reader)) == {"orphan"}
        with pytest.raises(ReadOnlyStoreError):
            reader.admin.collect_garbage(apply=True)


@pytest.mark.parametrize("kind", ["this process", "ended", "elsewhere", "unreadable"])
def test_only_a_process_of_this_host_is_certain_to_run(kind: str) -> None:
    ended = process_owner().rpartition("-")[0] + "-1"
    owner = {"this process": process_owner(), "ended": ended, "elsewhere": f"{'0' * 16}-1-1", "unreadable": ""}[kind]
    assert is_running(owner) is (kind == "this process")


def test_collecting_is_recorded_and_a_plan_is_not(filled: Store) -> None:
    put(filled, "volumes/projection_density/100um/1.0123456789abcdef.h5")
    filled.admin.collect_garbage()
    assert "collected" not in set(filled.admin.activity()["action"])
    filled.admin.collect_garbage(apply=True)
    last = filled.admin.activity(limit=1)
    assert (last["action"][0], last["details"][0]["orphan files"]) == ("collected", 1)


# -- the state of the catalog -----------------------------------------------------------------------------------------


@both_databases
def test_a_collection_that_fails_records_what_it_did(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(point: str) -> None:
        if point == "gc:files":
            raise NoSpaceError("the disk is full")

    put(filled, f"tmp/{'0' * 16}-1-1-0123456789abcdef.tmp", OLD)
    monkeypatch.setattr("bsv_store.maintenance.gc.checkpoint", fails)
    with pytest.raises(NoSpaceError, match="the disk is full"):
        filled.admin.collect_garbage(apply=True)
    last = filled.admin.activity(limit=1)
    assert last["action"][0] == "collected"
    assert last["details"][0] == {"temporary files": 1, "stopped by": "NoSpaceError"}


def test_a_folder_in_the_trash_is_left(filled: Store) -> None:
    (filled.path / "trash" / "0123456789ab-folder").mkdir(parents=True)
    assert found(filled, apply=True, trash_days=0) == {}
    assert filled.admin.trash() == ()


def state_of(store: Store) -> int:
    with store.database.reading() as connection:
        return catalog_state(connection)


def many_changes(store: Store) -> None:
    with store.database.writing() as connection:
        for _ in range(150):
            connection.execute(text("UPDATE experiment SET sex = sex WHERE id = 1"))


@both_databases
def test_pruned_changes_keep_the_state_and_the_recorded_answers(filled: Store) -> None:
    ask(filled)
    many_changes(filled)
    ask(filled)
    before = state_of(filled)
    answers = filled.sql("SELECT * FROM dataset_answer")
    assert "changes" in found(filled, apply=True)
    assert len(filled.sql("SELECT id FROM catalog_change")) == 1
    assert state_of(filled) == before
    assert filled.sql("SELECT * FROM dataset_answer").equals(answers)
    assert not ask(filled).was_computed
    add_volume(filled, 1, seed=1)
    assert state_of(filled) > before
    assert ask(filled).was_computed


@both_databases
@pytest.mark.parametrize("statement", ["DELETE FROM catalog_change", "TRUNCATE catalog_change"])
def test_whoever_deletes_changes_makes_no_stale_answer_current(filled: Store, statement: str) -> None:
    if statement.startswith("TRUNCATE") and filled.database.is_sqlite:
        pytest.skip("SQLite has no TRUNCATE")
    ask(filled)
    add_volume(filled, 1, seed=1)
    before = state_of(filled)
    with filled.database.writing() as connection:
        connection.execute(text(statement))
    assert state_of(filled) == before
    assert ask(filled).number == 2


# -- beside others ----------------------------------------------------------------------------------------------------


@both_databases
def test_a_file_that_is_about_to_get_its_row_is_published_again(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the publication of a result and its row, everything without a row is collected."""

    def meanwhile(point: str) -> None:
        if point == "version:published":
            time.sleep(0.01)
            with open_store(filled.path) as other:
                assert found(other, apply=True, grace=NONE).get("orphan")

    monkeypatch.setattr("bsv_store.datasets.publish.checkpoint", meanwhile)
    assert ask(filled).mean.max() > 0
    assert missing_files(filled) == []


@both_databases
def test_a_deletion_that_was_killed_is_completed_with_its_record(filled_location: Path) -> None:
    from tests.datasets.killing import killed

    with open_store(filled_location) as store:
        version = ask(store)
    killed(filled_location, "delete:committed", "delete", "test@1")
    with open_store(filled_location) as store:
        assert [each.what for each in store.admin.trash()] == ["version/test@1"]
        assert len(found(store, apply=True, grace=NONE)["orphan"]) == 1
        (restored,) = store.admin.untrash("test@1")
        assert restored.what == "version/test@1"
        assert store.dataset("test@1").content_sha256 == version.content_sha256


# -- command line -----------------------------------------------------------------------------------------------------


def test_the_command_plans_applies_and_prints(run: Runner, filled: Store) -> None:
    orphan = put(filled, RESULT)
    plan = run("gc", store=filled.path).succeeded()
    assert "Plan:" in plan.out
    assert "bsv-store gc --apply" in plan.err
    rows = run("gc", "--format", "json", store=filled.path).succeeded().json
    assert [(row["kind"], row["path"]) for row in rows] == [("orphan", RESULT)]
    assert run("gc", "--grace", "7d", store=filled.path).succeeded().out.startswith("Nothing to collect.")
    assert run("gc", "--files", store=filled.path).succeeded().out.count(RESULT.rpartition("/")[2]) == 1
    assert "Collected:" in run("gc", "--apply", store=filled.path).succeeded().out
    assert not orphan.exists()
    assert run("gc", "--apply", "--format", "csv", store=filled.path).succeeded().rows == []


@pytest.mark.parametrize("options", [["--grace", "3"], ["--trash-days", "-1"], ["--trash-days", "x"], ["extra"]])
def test_the_command_refuses_bad_input(run: Runner, store: Store, options: list[str]) -> None:
    run("gc", *options, store=store.path).refused(2)


@both_databases
def test_times_are_aware_utc(filled: Store) -> None:
    put(filled, RESULT)
    (each,) = filled.admin.collect_garbage().garbage
    assert each.modified_at is not None
    assert abs(each.modified_at - (datetime.now(UTC) - OLD)) < timedelta(hours=1)


def test_very_many_files_without_a_row_are_not_collected_unless_allowed(filled: Store) -> None:
    folder = filled.path / "volumes" / "projection_density" / "100um"
    for number in range(101):
        file = folder / f"1.{number:016x}.h5"
        file.write_bytes(b"x")
        os.utime(file, (0, 0))
    plan = filled.admin.collect_garbage()
    assert "Attention: 101 files in volumes/ and datasets/ are not in the catalog" in str(plan)
    with pytest.raises(StoreError, match="101 files") as refused:
        filled.admin.collect_garbage(apply=True)
    assert "repair --apply" in str(refused.value.hint)
    assert not list((filled.path / "trash").glob("*.h5"))
    report = filled.admin.collect_garbage(apply=True, allow_many=True)
    assert sum(each.kind == "orphan" for each in report.garbage) == 101


def test_the_record_of_a_file_that_was_never_moved_is_a_leftover(filled: Store) -> None:
    item = filled.files.record_trash("volumes/projection_density/100um/1.0.h5", "deleted", size_bytes=1)
    report = filled.admin.collect_garbage(apply=True, grace=timedelta(0))
    assert [(each.kind, each.path) for each in report.garbage if each.path] == [("leftover", f"trash/{item}.json")]
    assert not list((filled.path / "trash").iterdir())
