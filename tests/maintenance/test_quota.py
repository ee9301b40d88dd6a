"""Quota: what can be downloaded again is deleted, what was not used for the longest time first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text

from bsv_store import Selection, Store, open_store
from bsv_store.acquisition.work.claims import Claims
from bsv_store.catalog import volume_use
from bsv_store.compat import fetch_connectivity_data
from bsv_store.errors import BusyError, InputError, MissingDataError, ReadOnlyStoreError
from bsv_store.figures.sources import source_of_volumes
from tests.cli.running import Runner
from tests.counting import counted
from tests.databases import both_databases
from tests.datasets.test_region_summary import blocks
from tests.datasets.world import IDS, add_annotation, ask
from tests.maintenance.collecting import NONE, missing_files
from tests.sealing import sealed_changes

URL = "https://api.brain-map.org/grid_data/download/1"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Runs a command as the entry point does."""
    return Runner(capsys, monkeypatch)


@pytest.fixture(autouse=True)
def _nothing_recorded_by_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_use, "_recorded", set())


@pytest.fixture
def downloaded(filled: Store) -> Store:
    """The filled store, as if all volumes but the last had been downloaded long ago."""
    with sealed_changes(filled.database) as connection:
        connection.execute(text("UPDATE volume SET fetched_at = '2024-01-01 00:00:00+00:00'"))
        connection.execute(
            text("UPDATE volume SET source = :source WHERE experiment_id <> :last"), {"source": URL, "last": IDS[-1]}
        )
    return filled


def used_on(store: Store, day: date, ids: Iterable[int]) -> None:
    """Record that volumes were used on that day."""
    with store.database.writing() as connection:
        for identifier in ids:
            query = "INSERT INTO volume_use SELECT id, :day FROM volume WHERE experiment_id = :id"
            connection.execute(
                text(query), {"day": day.isoformat() if store.database.is_sqlite else day, "id": identifier}
            )


def uses(store: Store) -> dict[int, str]:
    frame = store.sql("SELECT experiment_id, used_on FROM volume_use JOIN volume ON volume.id = volume_id")
    return {int(row.experiment_id): str(row.used_on)[:10] for row in frame.itertuples()}


def evicted(store: Store, max_bytes: int = 0, **options: Any) -> list[int]:
    """The experiments whose volumes are to be deleted, in order."""
    report = store.admin.enforce_quota(max_bytes, **options)
    return [int(each.key.rpartition("/")[2]) for each in report.evicted]


# -- what is deleted --------------------------------------------------------------------------------------------------


@both_databases
def test_the_least_recently_used_volumes_are_deleted_first_until_it_fits(downloaded: Store) -> None:
    used_on(downloaded, date(2025, 3, 1), [2])
    used_on(downloaded, date(2025, 1, 1), [1])
    order = evicted(downloaded)
    assert order[-2:] == [1, 2]
    assert set(order) == set(IDS[:-1])
    report = downloaded.admin.enforce_quota(0)
    sizes = [each.size_bytes for each in report.evicted]
    enough = report.used_bytes - sum(sizes[:2])
    assert evicted(downloaded, enough) == order[:2]
    assert evicted(downloaded, enough - 1) == order[:3]
    assert evicted(downloaded, report.used_bytes) == []
    assert missing_files(downloaded) == []


def test_deleted_volumes_are_missing_and_everything_else_is_as_before(downloaded: Store) -> None:
    add_annotation(downloaded, blocks())
    version = ask(downloaded)
    used_on(downloaded, date(2025, 1, 1), [])
    with downloaded.database.writing() as connection:
        connection.execute(text("DELETE FROM volume_use"))
    report = downloaded.admin.enforce_quota(0, apply=True)
    assert len(report.evicted) == len(IDS) - 1
    assert report.excess_bytes > 0
    assert missing_files(downloaded) == []
    assert sorted(downloaded.sql("SELECT experiment_id FROM volume").experiment_id) == [IDS[-1]]
    assert list((downloaded.path / "trash").iterdir()) == []
    assert downloaded.catalog.verify().is_intact
    assert downloaded.dataset(version.ref).mean.max() > 0
    with pytest.raises(MissingDataError, match="fetch"):
        downloaded.volume(1)
    files = [path for path in (downloaded.path / "volumes" / "projection_density").rglob("*.h5")]
    assert len(files) == 1
    last = downloaded.admin.activity(limit=1)
    assert (last["action"][0], last["details"][0]["volumes"]) == ("evicted", len(IDS) - 1)


@pytest.mark.parametrize("use", ["tag", "export", "cite"])
def test_what_a_tagged_exported_or_cited_version_needs_is_kept(downloaded: Store, tmp_path: Path, use: str) -> None:
    version = ask(downloaded, Selection(ids=[1, 2]))
    if use == "tag":
        downloaded.datasets.tag(version.ref, "paper")
    elif use == "export":
        version.export(tmp_path / "a.nc")
    else:
        version.cite()
    assert set(evicted(downloaded, unused_for=NONE)) == set(IDS[:-1]) - {1, 2}
    report = downloaded.admin.enforce_quota(0, unused_for=NONE)
    assert sum(count for reason, count in report.kept.items() if "tagged" in reason) == 2


@both_databases
def test_claimed_recent_and_withdrawn_volumes_are_kept(downloaded: Store) -> None:
    claims = Claims(downloaded.database)
    with downloaded.database.writing() as connection:
        claims.take(connection, ["volume/projection_density/100/1"])
    downloaded.volume(2)
    with sealed_changes(downloaded.database) as connection:
        connection.execute(text("UPDATE experiment SET withdrawn = true WHERE id = 3"))
    assert set(evicted(downloaded)) == set(IDS[:-1]) - {1, 2, 3}
    assert 2 in evicted(downloaded, unused_for=NONE)
    claims.release_all()
    assert 1 in evicted(downloaded)


def test_volumes_stored_recently_are_kept(filled: Store) -> None:
    with sealed_changes(filled.database) as connection:
        connection.execute(text("UPDATE volume SET source = :source"), {"source": URL})
    assert evicted(filled) == []
    assert set(evicted(filled, unused_for=NONE)) == set(IDS)


@both_databases
def test_what_changed_since_the_plan_is_respected(downloaded: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from bsv_store.maintenance import quota

    real = quota._evict

    def late(database: Any, files: Any, chosen: Any, unused_for: Any) -> Any:
        version = ask(downloaded, Selection(ids=[1, 2]))
        downloaded.datasets.tag(version.ref, "paper")
        return real(database, files, chosen, unused_for)

    monkeypatch.setattr(quota, "_evict", late)
    assert set(evicted(downloaded, apply=True, unused_for=NONE)) == set(IDS[:-1]) - {1, 2}
    assert downloaded.datasets.rebuild("test@paper").is_identical


@both_databases
def test_a_volume_that_is_replaced_meanwhile_keeps_its_new_row(
    downloaded: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bsv_store.catalog.locks import lock_experiments
    from bsv_store.catalog.volumes import record_volume
    from bsv_store.maintenance import quota
    from bsv_store.volumes.library import publish_volume
    from bsv_store.volumes.volume import Volume
    from tests.datasets.world import voxels

    volume = Volume("projection_density", voxels(1, seed=5))
    file = publish_volume(downloaded.files, volume, experiment_id=1, source=URL)
    real = quota._candidates
    threads: list[Thread] = []

    def replace() -> None:
        with open_store(downloaded.path) as other, other.database.writing() as connection:
            lock_experiments(connection, [1])
            record_volume(connection, file)

    def meanwhile(connection: Any, unused_for: Any, ids: Any = None) -> Any:
        found = real(connection, unused_for, ids)
        if ids is not None:
            threads.append(Thread(target=replace))
            threads[0].start()
            # It is to wait for this transaction.
            threads[0].join(0.5)
        return found

    monkeypatch.setattr(quota, "_candidates", meanwhile)
    downloaded.admin.enforce_quota(0, apply=True)
    threads[0].join()
    assert list(downloaded.sql("SELECT path FROM volume WHERE experiment_id = 1").path) == [file.path]
    assert missing_files(downloaded) == []
    assert downloaded.catalog.verify().is_intact


@both_databases
def test_a_use_that_was_not_recorded_is_recorded_by_the_next_read(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_arguments: Any) -> None:
        raise BusyError("the database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(volume_use, "_record", busy)
        filled.volume(1)
    filled.volume(1)
    assert list(uses(filled)) == [1]


@pytest.mark.parametrize(("max_bytes", "options"), [(-1, {}), (1.5, {}), ("500GB", {}), (0, {"unused_for": 3})])
def test_wrong_arguments_are_refused(store: Store, max_bytes: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        store.admin.enforce_quota(max_bytes, **options)


def test_a_read_only_store_is_planned_but_not_changed(downloaded: Store) -> None:
    with open_store(downloaded.path, read_only=True) as reader:
        assert len(evicted(reader)) == len(IDS) - 1
        with pytest.raises(ReadOnlyStoreError):
            reader.admin.enforce_quota(0, apply=True)


# -- recording of use -------------------------------------------------------------------------------------------------


def test_averages_and_reads_record_the_day(filled: Store) -> None:
    ask(filled, Selection(ids=[1, 2]))
    filled.volume(3)
    assert set(uses(filled)) == {1, 2, 3}
    assert len(set(uses(filled).values())) == 1


def _read_by_brain_street_view(store: Store) -> None:
    fetch_connectivity_data(
        [1, 2],
        str(store.path.parent),
        file_name="",
        normalization_method="none",
        subtract_other_hemisphere=False,
        store=store,
        offline=True,
    )


_READS: dict[str, Callable[[Store], object]] = {
    "signal": lambda store: store.atlas.signal([1, 2], "VISp"),
    "point": lambda store: store.search.point((6600, 4000, 5700), selection=[1, 2]),
    "stack": lambda store: store.volumes.stack([1, 2]),
    "stack of a version": lambda store: store.datasets.stack("test"),
    "animals of a version": lambda store: store.datasets.regions("test", structures="VISp", over_animals=True),
    "figure": lambda store: source_of_volumes(store.database, store.files, [1, 2]),
    "Brain Street View": _read_by_brain_street_view,
}


@pytest.mark.parametrize("name", _READS)
def test_every_way_to_read_volumes_records_the_day(filled: Store, name: str) -> None:
    add_annotation(filled, blocks())
    ask(filled, Selection(ids=[1, 2]))
    with filled.database.writing() as connection:
        connection.execute(text("DELETE FROM volume_use"))
    volume_use._recorded.clear()
    _READS[name](filled)
    assert set(uses(filled)) == {1, 2}


@pytest.mark.parametrize("is_new_process", [False, True])
def test_a_second_average_on_the_same_day_writes_nothing(
    filled: Store, monkeypatch: pytest.MonkeyPatch, is_new_process: bool
) -> None:
    ask(filled, Selection(ids=[1, 2, 3]))
    if is_new_process:
        monkeypatch.setattr(volume_use, "_recorded", set())
    with counted() as work:
        ask(filled, Selection(ids=[1, 2]))
    about = [statement for statement in work.statements if "volume_use" in statement]
    assert [statement for statement in about if statement.startswith(("INSERT", "UPDATE"))] == []
    assert len(about) == is_new_process


@both_databases
def test_the_use_of_many_volumes_is_recorded_in_one_statement(filled: Store) -> None:
    with counted() as work:
        ask(filled, Selection(ids=IDS))
    assert len([each for each in work.statements if each.startswith("INSERT INTO volume_use")]) == 1


@both_databases
def test_use_on_another_day_is_recorded_again(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    used_on(filled, date(2025, 1, 1), [1])
    filled.volume(1)
    assert uses(filled)[1] > "2025-01-01"


@both_databases
def test_recording_fails_and_delays_no_read(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_arguments: Any) -> None:
        raise BusyError("the database is locked")

    monkeypatch.setattr(volume_use, "_record", busy)
    assert filled.volume(1).max() > 0
    assert uses(filled) == {}


@both_databases
def test_a_read_does_not_wait_for_a_writer(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.catalog.database.sqlite.BUSY_TIMEOUT_S", 10.0**6)
    with open_store(filled.path) as other, other.database.writing() as connection:
        connection.execute(text("UPDATE volume SET source = source"))
        assert filled.volume(1).max() > 0


def test_a_read_only_store_records_nothing(filled: Store) -> None:
    with open_store(filled.path, read_only=True) as reader:
        reader.volume(1)
    assert uses(filled) == {}


@both_databases
def test_use_does_not_change_the_state_of_the_catalog(filled: Store) -> None:
    ask(filled)
    filled.volume(6)
    assert 6 in uses(filled)
    with counted() as work:
        assert not ask(filled).was_computed
    assert not any("FROM experiment" in each for each in work.statements)


# -- command line -----------------------------------------------------------------------------------------------------


def test_the_command_plans_applies_and_reports_an_excess(run: Runner, downloaded: Store) -> None:
    plan = run("quota", "--max-bytes", "1kB", store=downloaded.path)
    assert plan.code == 1
    assert "To delete: 6 volumes" in plan.out
    assert "above the quota" in plan.out
    assert "Nothing was changed" in plan.err
    assert run("quota", "--max-bytes", "1TB", store=downloaded.path).succeeded().out.endswith("Nothing to delete.\n")
    rows = run("quota", "--max-bytes", "1kB", "--format", "json", store=downloaded.path).json
    assert len(rows) == 6
    assert run("quota", "--max-bytes", "1kB", "--apply", store=downloaded.path).code == 1
    assert len(downloaded.sql("SELECT id FROM volume")) == 1


@pytest.mark.parametrize(
    "options", [[], ["--max-bytes", "much"], ["--max-bytes", "-1"], ["--max-bytes", "1GB", "--unused-for", "3"]]
)
def test_the_command_refuses_bad_input(run: Runner, store: Store, options: list[str]) -> None:
    run("quota", *options, store=store.path).refused(2)


def test_the_default_keeps_what_was_used_within_a_day() -> None:
    from bsv_store.maintenance.quota import UNUSED_FOR

    assert timedelta(days=1) == UNUSED_FOR
