"""The trash: what it contains, and restoring it; deletions; version numbers that are never given twice."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, text

from bsv_store import Selection, Store, open_store
from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.models import Base, Dataset, DatasetAnswer, DatasetTag
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.datasets.numbers import NUMBERS_FOLDER, given_numbers
from bsv_store.errors import BsvStoreWarning, DamagedFileError, InputError, ReadOnlyStoreError, UnknownDatasetError
from bsv_store.owner import current_user
from tests.cli.running import Runner
from tests.databases import both_databases
from tests.datasets.killing import killed
from tests.datasets.world import add_volume, ask
from tests.maintenance.collecting import NONE, missing_files

ROWS = ("dataset_version", "dataset_group", "dataset_member", "dataset_check", "dataset_tag")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Runs a command as the entry point does."""
    return Runner(capsys, monkeypatch)


def rows_of(store: Store) -> dict[str, Any]:
    """The rows of all versions without their row ids."""
    ids = {"id", "version_id"}
    found = {}
    with store.database.reading() as connection:
        for name in ROWS:
            columns = [column for column in Base.metadata.tables[name].columns if column.name not in ids]
            found[name] = sorted(str(tuple(row)) for row in connection.execute(select(*columns)))
    return found


def actions(store: Store, subject: str) -> list[str]:
    frame = store.admin.activity()
    return list(frame[frame["subject"] == subject]["action"])[::-1]


# -- list -------------------------------------------------------------------------------------------------------------


def test_a_deleted_version_is_listed_with_what_it_was(filled: Store) -> None:
    version = ask(filled)
    before = datetime.now(UTC)
    filled.datasets.delete("test@1")
    (item,) = filled.admin.trash(trash_days=10)
    assert (item.what, item.path, item.reason) == ("version/test@1", version.relative_path, "deleted")
    assert (item.size_bytes, item.trashed_by) == (version.size_bytes, current_user())
    assert abs(item.trashed_at - before) < timedelta(minutes=1)
    assert 9.9 < item.days_left <= 10
    assert item.file is not None
    assert (filled.path / item.file).stat().st_size == version.size_bytes


def test_a_replaced_volume_is_listed(filled: Store) -> None:
    from bsv_store.catalog.unused_files import trash_unused
    from bsv_store.catalog.volumes import record_volume
    from bsv_store.volumes.library import publish_volume
    from bsv_store.volumes.volume import Volume
    from tests.datasets.world import voxels

    file = publish_volume(filled.files, Volume("projection_density", voxels(1, seed=5)), experiment_id=1, source="test")
    with filled.database.writing() as connection:
        replaced = record_volume(connection, file)
    assert replaced is not None
    assert [path for path, _ in trash_unused(filled.database, filled.files, [replaced, file.path], "replaced")] == [
        replaced
    ]
    (item,) = filled.admin.trash()
    assert (item.what, item.reason) == ("volume/projection_density/100/1", "replaced")
    with pytest.raises(InputError, match="has a newer file"):
        filled.admin.untrash(item.item)
    assert [each.item for each in filled.admin.trash()] == [item.item]


def test_a_damaged_record_makes_its_file_unknown(filled: Store) -> None:
    ask(filled)
    filled.datasets.delete("test@1")
    (record,) = (filled.path / "trash").glob("*.json")
    record.write_bytes(record.read_bytes().replace(b'"number": 1', b'"number": 7'))
    assert {each.reason for each in filled.admin.trash()} == {None}
    with pytest.raises(InputError, match="no item 'test@1'"):
        filled.admin.untrash("test@1")
    with pytest.raises(InputError, match="no valid record"):
        filled.admin.untrash(record.stem)


# -- restore ----------------------------------------------------------------------------------------------------------


@both_databases
def test_a_restored_version_is_as_before_with_its_number_checks_and_tags(filled: Store) -> None:
    ask(filled, Selection(ids=[1]))
    version = ask(filled, Selection(ids=[1, 2, 3]))
    ask(filled, Selection(ids=[4]))
    filled.datasets.rebuild("test@2")
    filled.datasets.tag("test@2", "paper")
    before = rows_of(filled)
    filled.datasets.delete("test@2", force=True)
    with pytest.raises(UnknownDatasetError):
        filled.dataset("test@2")
    (restored,) = filled.admin.untrash("test@2")
    assert (restored.what, restored.remark) == ("version/test@2", "restored")
    assert rows_of(filled) == before
    again = filled.dataset("test@paper")
    assert (again.number, again.checks, again.experiments) == (2, filled.dataset("test@2").checks, version.experiments)
    np.testing.assert_array_equal(again.mean, version.mean)
    assert list((filled.path / "trash").iterdir()) == []
    assert actions(filled, "test@2") == ["computed", "verified", "tagged", "deleted", "untrashed"]
    assert ask(filled, Selection(ids=[1, 2, 3])).number == 2
    assert filled.datasets.rebuild("test@2").is_identical


def test_a_folder_that_is_gone_is_created_for_what_is_restored(filled: Store) -> None:
    version = ask(filled)
    filled.datasets.delete("test@1")
    version.path.parent.rmdir()
    filled.admin.untrash("test@1")
    np.testing.assert_array_equal(filled.dataset("test@1").mean, version.mean)


def test_a_restored_version_leaves_a_tag_that_moved_on(filled: Store) -> None:
    ask(filled, Selection(ids=[1]))
    ask(filled, Selection(ids=[2]))
    filled.datasets.tag("test@1", "paper")
    filled.datasets.delete("test@1", force=True)
    filled.datasets.tag("test@2", "paper")
    (restored,) = filled.admin.untrash("test@1")
    assert "without the tag paper" in restored.remark
    assert filled.dataset("test@paper").number == 2


def test_a_version_that_was_computed_again_is_not_restored(filled: Store) -> None:
    ask(filled)
    filled.datasets.delete("test@1")
    assert ask(filled).number == 2
    with pytest.raises(InputError, match="test@2 has the same recipe, inputs and result"):
        filled.admin.untrash("test@1")
    assert missing_files(filled) == []
    assert len(filled.admin.trash()) == 1
    filled.datasets.delete("test@2")
    assert [each.what for each in filled.admin.untrash("test@1")] == ["version/test@1"]
    assert filled.dataset("test@1").mean.max() > 0


def test_a_damaged_file_is_not_restored(filled: Store) -> None:
    ask(filled)
    filled.datasets.delete("test@1")
    (file,) = (filled.path / "trash").glob("*.nc")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError, match="was not restored"):
        filled.admin.untrash("test@1")
    assert filled.datasets.list() == ()


def damaged_copy(store: Store, path: Path) -> None:
    """Put a damaged copy of a trashed file in its place."""
    (trashed,) = (store.path / "trash").glob(f"*{path.suffix}")
    path.write_bytes(trashed.read_bytes()[:-1] + b"x")


def test_a_damaged_file_in_the_place_of_a_version_is_replaced(filled: Store) -> None:
    version = ask(filled)
    filled.datasets.delete("test@1")
    damaged_copy(filled, version.path)
    filled.admin.untrash("test@1")
    assert filled.dataset("test@1").mean.max() > 0
    assert filled.admin.verify(deep=True).is_intact
    assert list((filled.path / "trash").iterdir()) == []


def test_another_file_in_the_place_of_an_orphan_is_kept_and_so_is_the_item(filled: Store) -> None:
    orphan = filled.path / "volumes" / "data_mask" / "100um" / "1.0123456789abcdef.h5"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"content")
    os.utime(orphan, (0, 0))
    filled.admin.collect_garbage(apply=True, grace=NONE)
    damaged_copy(filled, orphan)
    (item,) = filled.admin.trash()
    with pytest.raises(InputError, match="another file is in its place"):
        filled.admin.untrash(item.item)
    assert orphan.read_bytes() == b"contenx"
    assert [each.item for each in filled.admin.trash()] == [item.item]
    orphan.write_bytes(b"content")
    filled.admin.untrash(item.item)
    assert (orphan.read_bytes(), filled.admin.trash()) == (b"content", ())


def test_an_orphan_moves_back_and_is_used_by_the_next_run(filled: Store) -> None:
    version = ask(filled)
    path = version.path
    filled.datasets.delete("test@1")
    (trashed,) = (filled.path / "trash").glob("*.nc")
    trashed.rename(path)
    for record in (filled.path / "trash").glob("*.json"):
        record.unlink()
    filled.admin.collect_garbage(apply=True, grace=NONE)
    (item,) = filled.admin.trash()
    assert item.reason == "orphan"
    filled.admin.untrash([item.item])
    assert path.exists()
    # The grace period begins again.
    assert not [each for each in filled.admin.collect_garbage().garbage if each.kind == "orphan"]
    assert filled.admin.trash() == ()


@pytest.mark.parametrize("items", [[], ["nothing"], ["test@9"], [3], [""]])
def test_what_the_trash_does_not_have_is_refused(filled: Store, items: list[Any]) -> None:
    with pytest.raises(InputError):
        filled.admin.untrash(items)


def test_a_read_only_store_lists_but_restores_nothing(filled: Store) -> None:
    ask(filled)
    filled.datasets.delete("test@1")
    with open_store(filled.path, read_only=True) as reader:
        assert len(reader.admin.trash()) == 1
        with pytest.raises(ReadOnlyStoreError):
            reader.admin.untrash("test@1")


def test_a_version_is_restored_by_its_name_after_a_first_deletion_was_killed(filled_location: Path) -> None:
    with open_store(filled_location) as store:
        ask(store)
    killed(filled_location, "delete:removed", "delete", "test@1")
    with open_store(filled_location) as store:
        store.datasets.delete("test@1")
        (item,) = store.admin.trash()
        assert [each.item for each in store.admin.untrash("test@1")] == [item.item]
        assert store.dataset("test@1").mean.max() > 0


@both_databases
@pytest.mark.parametrize("point", ["delete:removed", "trash:recorded", "delete:committed", "trash:moved"])
def test_a_version_whose_deletion_was_killed_is_there_or_in_the_trash(filled_location: Path, point: str) -> None:
    with open_store(filled_location) as store:
        version = ask(store)
    killed(filled_location, point, "delete", "test@1")
    with open_store(filled_location) as store:
        if not store.datasets.list():
            store.admin.untrash("test@1")
        assert store.dataset("test@1").content_sha256 == version.content_sha256
        store.admin.collect_garbage(apply=True, grace=NONE)
        assert missing_files(store) == []
        assert store.dataset("test@1").mean.max() > 0
        assert list((store.path / "trash").iterdir()) == []


# -- delete and untag -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["tag", "export", "cite"])
def test_what_is_tagged_exported_or_cited_is_deleted_only_by_force(filled: Store, tmp_path: Path, use: str) -> None:
    version = ask(filled)
    if use == "tag":
        filled.datasets.tag("test@1", "paper")
    elif use == "export":
        version.export(tmp_path / "a.nc")
        version.export(tmp_path / "b.nc")
    else:
        filled.datasets.cite("test@1")
    words = {"tag": "has the tag paper", "export": "was exported", "cite": "was cited"}[use]
    with pytest.raises(InputError, match=words) as caught:
        filled.datasets.delete("test@1")
    assert "bsv-store dataset delete --force test@1" in str(caught.value)
    assert actions(filled, "test@1")[1:] == [{"tag": "tagged", "export": "exported", "cite": "cited"}[use]]
    filled.datasets.delete("test@1", force=True)
    assert filled.datasets.list() == ()


def test_readers_export_without_a_record(filled: Store, tmp_path: Path) -> None:
    ask(filled)
    with open_store(filled.path, read_only=True) as reader:
        reader.dataset("test@1").export(tmp_path / "a.nc")
        assert reader.dataset("test@1").cite().ref == "test@1"
    assert actions(filled, "test@1") == ["computed"]


def test_a_tag_of_another_user_is_removed_only_by_force(filled: Store) -> None:
    ask(filled)
    filled.datasets.tag("test@1", "paper")
    with filled.database.writing() as connection:
        connection.execute(table_of(DatasetTag).update().values(created_by="somebody"))
    with pytest.raises(InputError, match="set by somebody") as caught:
        filled.datasets.untag("test", "paper")
    assert "--force" in str(caught.value)
    assert filled.dataset("test@paper").number == 1
    filled.datasets.untag("test", "paper", force=True)
    last = filled.admin.activity(limit=1)
    assert (last["action"][0], last["user_name"][0]) == ("untagged", current_user())
    assert last["details"][0] == {"tag": "paper", "set by": "somebody"}


@both_databases
def test_a_tag_of_another_user_is_moved_only_by_force(run: Runner, filled: Store) -> None:
    ask(filled)
    ask(filled, Selection(ids=[1, 2]))
    filled.datasets.tag("test@1", "paper")
    with filled.database.writing() as connection:
        connection.execute(table_of(DatasetTag).update().values(created_by="somebody"))
    with pytest.raises(InputError, match="set by somebody"):
        filled.datasets.tag("test@2", "paper", move=True)
    move = ("dataset", "tag", "test@2", "paper", "--move")
    run(*move, store=filled.path).refused(2, "set by somebody", "dataset tag --move --force test@2 paper")
    assert filled.dataset("test@paper").number == 1
    run(*move, "--yes", store=filled.path).succeeded()
    assert filled.dataset("test@paper").number == 2
    details = {"tag": "paper", "moved from": "test@1", "set by": "somebody"}
    assert filled.admin.activity(limit=1)["details"][0] == details


def test_a_name_without_a_version_is_refused_with_the_versions_that_exist(filled: Store) -> None:
    for identifier in (1, 2, 3):
        ask(filled, Selection(ids=[identifier]))
    filled.datasets.delete("test@3")
    with pytest.raises(InputError, match="must name the version") as caught:
        filled.datasets.delete("test")
    assert "test@1, test@2." in str(caught.value)
    assert "test@3" not in str(caught.value)
    with pytest.raises(UnknownDatasetError, match="no dataset 'other'"):
        filled.datasets.delete("other")


# -- numbers ----------------------------------------------------------------------------------------------------------


def older_database(store: Store) -> None:
    """Make the database one that knows only the first version of 'test', as after a restore."""
    with store.database.writing() as connection:
        later = [row.id for row in connection.execute(text("SELECT id FROM dataset_version WHERE number > 1"))]
        for identifier in later:
            for name in ("dataset_member", "dataset_group", "dataset_check"):
                connection.execute(text(f"DELETE FROM {name} WHERE version_id = :id"), {"id": identifier})
            connection.execute(table_of(DatasetAnswer).delete().where(DatasetAnswer.version_id == identifier))
            connection.execute(table_of(VersionRow).delete().where(VersionRow.id == identifier))
        connection.execute(table_of(Dataset).update().values(last_number=1))


def three(store: Store) -> list[str]:
    return [ask(store, Selection(ids=[identifier])).fingerprint for identifier in (1, 2, 3)]


@both_databases
def test_a_restored_older_database_does_not_give_numbers_again(filled: Store) -> None:
    three(filled)
    older_database(filled)
    with pytest.warns(BsvStoreWarning, match="test@3 was given, but the database knows test@1"):
        version = ask(filled, Selection(ids=[4]))
    assert version.number == 4
    assert ask(filled, Selection(ids=[5])).number == 5


def test_a_number_is_given_again_to_the_same_result_only(filled: Store) -> None:
    fingerprints = three(filled)
    older_database(filled)
    again = ask(filled, Selection(ids=[3]))
    assert (again.number, again.fingerprint) == (3, fingerprints[2])
    assert ask(filled, Selection(ids=[4])).number == 4


def test_a_deleted_last_version_keeps_its_number_also_after_a_restore(filled: Store) -> None:
    three(filled)
    filled.datasets.delete("test@3")
    older_database(filled)
    with pytest.warns(BsvStoreWarning, match="test@3"):
        assert ask(filled, Selection(ids=[4])).number == 4


def test_numbers_are_shared_by_names_that_differ_by_case(filled: Store) -> None:
    three(filled)
    with filled.database.writing() as connection:
        for name in ("dataset_answer", "dataset_member", "dataset_group", "dataset_version", "dataset"):
            connection.execute(text(f"DELETE FROM {name}"))
    with pytest.warns(BsvStoreWarning, match=r"Test@3.*knows no version"):
        assert ask(filled, Selection(ids=[4]), name="Test").number == 4


@both_databases
@pytest.mark.parametrize("how", ["deleted", "damaged"])
@pytest.mark.filterwarnings("ignore:the record of version numbers")
def test_without_the_records_the_database_counts(filled: Store, how: str) -> None:
    three(filled)
    if how == "deleted":
        shutil.rmtree(filled.path / NUMBERS_FOLDER)
    else:
        for path in (filled.path / NUMBERS_FOLDER).iterdir():
            path.write_bytes(path.read_bytes()[:-3])
    assert ask(filled, Selection(ids=[4])).number == 4
    assert [(each.name, each.number) for each in given_numbers(filled.files)] == [("test", 4)]


def test_a_version_that_was_not_stored_leaves_no_number(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object, **_options: object) -> int:
        raise InputError("refused by the database")

    ask(filled, Selection(ids=[1]))
    with monkeypatch.context() as patch:
        patch.setattr("bsv_store.datasets.table.add_version", refused)
        with pytest.raises(InputError, match="refused by the database"):
            ask(filled, Selection(ids=[2]))
    assert [each.number for each in given_numbers(filled.files)] == [1]
    assert ask(filled, Selection(ids=[3])).number == 2


def test_a_restore_that_fails_keeps_the_record_of_the_number(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(point: str) -> None:
        if point == "untrash:moved":
            raise InputError("refused")

    three(filled)
    filled.datasets.delete("test@3")
    before = given_numbers(filled.files)
    with monkeypatch.context() as patch:
        patch.setattr("bsv_store.maintenance.trash.checkpoint", fails)
        with pytest.raises(InputError, match="refused"):
            filled.admin.untrash("test@3")
    assert given_numbers(filled.files) == before
    assert [each.what for each in filled.admin.trash()] == ["version/test@3"]


def test_a_number_that_another_process_has_given_is_not_undone(filled: Store) -> None:
    from bsv_store.datasets.numbers import reserving

    def failing() -> None:
        with reserving(filled.files, "test") as numbers:
            numbers.reserve(0, "a", "b")
            # As after a lost connection, which ends the lock.
            with reserving(filled.files, "test") as other:
                other.record(2, "c", "d")
            raise InputError("refused")

    with pytest.raises(InputError, match="refused"):
        failing()
    assert [each.number for each in given_numbers(filled.files)] == [2]


@both_databases
def test_a_number_of_a_killed_process_is_skipped_by_another_result(filled_location: Path) -> None:
    from tests.datasets.killing import asking

    child = asking(filled_location, (1, 2), kill_at="version:inserted")
    child.communicate(timeout=120)
    with open_store(filled_location) as store:
        with pytest.warns(BsvStoreWarning, match="was killed"):
            assert ask(store, Selection(ids=[3])).number == 2
        assert ask(store, Selection(ids=[1, 2])).number == 3


# -- imports ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(filled: Store, tmp_path: Path) -> Path:
    """A bundle of test@2, which the store does not have any more; it has test@1."""
    ask(filled, Selection(ids=[1]))
    ask(filled, Selection(ids=[2])).export(tmp_path / "a.bsv.zip")
    filled.datasets.delete("test@2", force=True)
    return tmp_path / "a.bsv.zip"


def test_an_import_keeps_its_number_where_it_is_free(filled: Store, bundle: Path) -> None:
    assert filled.datasets.import_bundle(bundle, name="theirs").ref == "theirs@2"
    assert ask(filled, Selection(ids=[3]), name="theirs").number == 3


def test_an_import_says_where_its_number_is_taken(filled: Store, bundle: Path) -> None:
    with pytest.warns(BsvStoreWarning, match="version 2 of the bundle is test@3"):
        assert filled.datasets.import_bundle(bundle).ref == "test@3"


@both_databases
@pytest.mark.parametrize("refusal", ["case", "trigger", "check", "interrupt"])
def test_an_import_that_the_database_refuses_leaves_nothing(
    filled: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    name = "TEST" if refusal == "case" else "theirs"
    error: type[BaseException] = KeyboardInterrupt if refusal == "interrupt" else Exception

    def fails(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt if refusal == "interrupt" else InputError("refused")

    if refusal == "trigger":
        with filled.database.writing() as connection:
            connection.execute(text("ALTER TABLE dataset_check RENAME TO hidden"))
    elif refusal != "case":
        monkeypatch.setattr("bsv_store.datasets.table.insert_check", fails)
    before = sorted(path for path in filled.path.rglob("*") if path.is_file() and path.name != "catalog.db")
    with pytest.raises(error):
        filled.datasets.import_bundle(bundle, name=name)
    if refusal == "trigger":
        with filled.database.writing() as connection:
            connection.execute(text("ALTER TABLE hidden RENAME TO dataset_check"))
    after = sorted(path for path in filled.path.rglob("*") if path.is_file() and path.name != "catalog.db")
    assert after == before
    assert [each.name for each in filled.datasets.list()] == ["test"]


def test_a_refused_import_leaves_a_file_that_a_version_uses(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = ask(filled, Selection(ids=[1, 2]))
    version.export(tmp_path / "a.bsv.zip")

    def fails(*_arguments: object, **_options: object) -> None:
        raise InputError("refused")

    monkeypatch.setattr("bsv_store.datasets.share.bundle_import._existing", lambda *_arguments: None)
    monkeypatch.setattr("bsv_store.datasets.publish.same_version", fails)
    with pytest.raises(InputError, match="refused"):
        filled.datasets.import_bundle(tmp_path / "a.bsv.zip")
    assert filled.dataset("test@1").mean.max() > 0


# -- command line -----------------------------------------------------------------------------------------------------


def test_the_commands_delete_list_and_restore(run: Runner, filled: Store) -> None:
    ask(filled)
    assert run("trash", store=filled.path).succeeded().err == "0 items in the trash, 0 B\n"
    run("dataset", "delete", "test", store=filled.path).refused(2, "The dataset has test@1.")
    filled.datasets.tag("test@1", "paper")
    run("dataset", "delete", "test@1", store=filled.path).refused(2, "has the tag paper", "--force")
    done = run("dataset", "delete", "--force", "test@1", store=filled.path).succeeded()
    assert "To restore it: bsv-store untrash test@1" in done.err
    listed = run("trash", store=filled.path).succeeded()
    assert "version/test@1" in listed.out
    (row,) = run("trash", "--format", "json", store=filled.path).succeeded().json
    assert (row["what"], row["reason"], row["trashed_by"]) == ("version/test@1", "deleted", current_user())
    run("untrash", "test@2", store=filled.path).refused(2, "no item 'test@2'", "bsv-store trash")
    run("untrash", store=filled.path).refused(2)
    assert run("untrash", row["item"], store=filled.path).succeeded().err == "version/test@1: restored.\n"
    assert filled.dataset("test@paper").number == 1


def test_untagging_another_users_tag_is_refused_without_a_terminal(run: Runner, filled: Store) -> None:
    ask(filled)
    filled.datasets.tag("test@1", "paper")
    with filled.database.writing() as connection:
        connection.execute(table_of(DatasetTag).update().values(created_by="somebody"))
    run("dataset", "untag", "test", "paper", store=filled.path).refused(2, "set by somebody", "--force")
    run("dataset", "untag", "test", "paper", "--yes", store=filled.path).succeeded()


@pytest.mark.parametrize("answer", [True, False])
def test_untagging_another_users_tag_asks_on_a_terminal(
    run: Runner, filled: Store, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    ask(filled)
    filled.datasets.tag("test@1", "paper")
    with filled.database.writing() as connection:
        connection.execute(table_of(DatasetTag).update().values(created_by="somebody"))
    asked: list[str] = []
    monkeypatch.setattr("bsv_store_cli.output.messages.is_interactive", lambda: True)

    def confirm(question: str, **_options: Any) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr("click.confirm", confirm)
    done = run("dataset", "untag", "test", "paper", store=filled.path)
    assert done.code == (0 if answer else 2)
    assert asked == ["Remove it?"]
    assert "the tag 'paper' of test@1 was set by somebody." in done.err


def test_a_replaced_volume_keeps_the_version_that_was_computed_from_it(filled: Store) -> None:
    version = ask(filled)
    add_volume(filled, 1, seed=3)
    assert filled.datasets.lineage(version.ref).members[0].state == "replaced"
