"""The record of who changed the store."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from bsv_store import Selection, Store, __version__, create_store
from bsv_store.acquisition.tasks.volumes import VolumeTask
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.models import Activity
from bsv_store.catalog.database.schema import HEAD
from bsv_store.errors import BsvStoreError, InputError, NoSpaceError
from bsv_store.owner import current_user
from bsv_store.vocabulary import ACTIONS, Action
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import Status
from tests.acquisition.test_adopt import allensdk_cache, written_annotation, written_lists
from tests.cli.running import Runner
from tests.databases import sqlite_first
from tests.datasets.world import ask

ATLAS = SyntheticAtlas(experiments=4)

EVERY = (
    *("created", "synced", "ingested", "fetched", "adopted", "computed", "imported", "tagged", "untagged", "deleted"),
    *("excluded", "included", "saved", "trusted", "configured", "upgraded", "downgraded", "stamped", "granted"),
    *("verified", "repaired", "collected", "evicted", "backed_up", "restored", "untrashed", "moved"),
    *("attached", "broke", "exported", "cited", "issued", "revoked"),
)


def test_actions_are_recorded_with_user_host_and_release(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "another-user")
    with store.database.writing() as connection:
        for name in EVERY:
            record_activity(connection, ACTIONS[name].name, "visual@1", {"experiments": 3})
    frame = store.admin.activity(limit=len(EVERY))
    assert list(frame["action"]) == [*reversed(EVERY)]
    assert set(frame["subject"]) == {"visual@1"}
    assert frame["details"][0] == {"experiments": 3}
    assert set(frame["user_name"]) == {pwd.getpwuid(os.getuid()).pw_name}
    assert set(frame["release"]) == {__version__}
    assert frame["database_role"].isna().all() == store.database.is_sqlite
    assert frame["at"][0].tzinfo is not None


@pytest.mark.parametrize("statement", ["UPDATE activity SET user_name = 'x'", "DELETE FROM activity"])
def test_the_database_refuses_to_change_the_record(store: Store, statement: str) -> None:
    with store.database.writing() as connection:
        record_activity(connection, "tagged", "visual@1")
    with pytest.raises(BsvStoreError, match="cannot be changed or deleted"), store.database.writing() as connection:
        connection.execute(text(statement))
    assert len(store.admin.activity(limit=1)) == 1


# -- what is recorded ----------------------------------------------------------------------------------------------


def new_records(store: Store, before: int) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Action, subject and details of what was recorded since, oldest first."""
    frame = store.admin.activity()
    rows = frame.iloc[: len(frame) - before].iloc[::-1]
    return [(row["action"], row["subject"], row["details"]) for row in rows.to_dict("records")]


def recorded(store: Store, act: Callable[[], object]) -> list[tuple[str, str | None, dict[str, Any]]]:
    """What a call recorded; the same call again, which changes nothing, records nothing."""
    before = len(store.admin.activity())
    act()
    found = new_records(store, before)
    act()
    assert new_records(store, before) == found
    return found


def without_time(details: dict[str, Any]) -> dict[str, Any]:
    assert details.pop("seconds") >= 0
    return details


def test_a_new_store_has_recorded_its_creation(tmp_path: Path, database_url: str | None) -> None:
    with create_store(tmp_path / "store", database=database_url) as store:
        ((action, subject, details),) = new_records(store, 0)
        kind = "SQLite" if database_url is None else "Postgres"
        assert (action, subject, details) == ("created", str(tmp_path / "store"), {"database": kind, "schema": HEAD})


@sqlite_first
def test_downloads_are_recorded_with_their_counts(store: Store) -> None:
    ids = ATLAS.experiment_ids
    with SyntheticServer(ATLAS) as server:
        url = server.url
        for act, action, subject, details in (
            (lambda: store.sync_structures(api_url=url), "synced", "structures", {"added": len(ATLAS.structures)}),
            (lambda: store.sync_experiments(api_url=url), "synced", "experiments", {"added": len(ids)}),
        ):
            assert recorded(store, act) == [(action, subject, details)]
        downloads: tuple[tuple[Callable[[], object], str, str, dict[str, int]], ...] = (
            (lambda: store.sync_unionizes(ids, api_url=url), "synced", "unionize tables", {"synced": 4, "of": 4}),
            (lambda: store.fetch(ids, api_url=url), "fetched", "projection_density at 100 um", {"fetched": 4, "of": 4}),
        )
        for download, action, subject, details in downloads:
            ((found, about, counts),) = recorded(store, download)
            assert (found, about, without_time(counts)) == (action, subject, details)
        first, second = recorded(store, lambda: store.sync_annotation(spacing_um=50, download_url=url))
        assert (first[0], first[1], without_time(first[2])) == ("synced", "annotation at 50 um", {"synced": 1, "of": 1})
        assert second == ("synced", "annotation at 100 um", {"derived from": "50 um"})


def test_a_fetch_that_fails_in_part_is_recorded_and_one_that_stores_nothing_is_not(store: Store) -> None:
    ids = ATLAS.experiment_ids
    with SyntheticServer(ATLAS) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        server.fail(f"download/{ids[0]}", Status(404), times=None)
        before = len(store.admin.activity())
        store.fetch(ids[1:2], api_url=server.url)
        store.fetch(ids, api_url=server.url)
        store.fetch(ids, api_url=server.url)
        _, (action, _, details) = new_records(store, before)
        assert (action, without_time(details)) == ("fetched", {"fetched": 2, "of": 3, "failed": 1})


@sqlite_first
@pytest.mark.parametrize("error", [KeyboardInterrupt, NoSpaceError])
def test_a_fetch_that_is_interrupted_is_recorded(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    ids = ATLAS.experiment_ids
    commit, commits = VolumeTask.commit, 0

    def ending(self: VolumeTask, *arguments: Any) -> Any:
        nonlocal commits
        commits += 1
        if commits == 2:
            raise error("here")
        return commit(self, *arguments)

    monkeypatch.setattr(VolumeTask, "commit", ending)
    monkeypatch.setattr(VolumeTask, "commit_batch", 1)
    with SyntheticServer(ATLAS) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        before = len(store.admin.activity())
        with pytest.raises(error, match="here"):
            store.fetch(ids, api_url=server.url)
    ((_, _, details),) = new_records(store, before)
    ended = {"interrupted": True} if error is KeyboardInterrupt else {"stopped by": "NoSpaceError"}
    assert without_time(details) == {"fetched": 1, "of": 4, **ended}


@sqlite_first
def test_files_and_caches_are_recorded(store: Store, tmp_path: Path) -> None:
    cache = allensdk_cache(tmp_path / "mouse", ATLAS.experiment_ids[0])
    folder = cache / f"experiment_{ATLAS.experiment_ids[0]}"
    written_lists(cache)
    annotation = written_annotation(cache)
    for act, expected in (
        (lambda: store.ingest_structures(cache / "structures.json"), ("structures", "structures.json")),
        (
            lambda: store.ingest_experiments(cache / "experiments.json", allow_shrinking=True),
            ("experiments", "experiments.json"),
        ),
        (
            lambda: store.ingest_unionizes(folder / "structure_unionizes.csv"),
            ("unionize tables", "structure_unionizes.csv"),
        ),
        (lambda: store.ingest_annotation(annotation), ("annotation at 100 um", "annotation_100.nrrd")),
    ):
        ((action, subject, details),) = recorded(store, act)
        assert (action, subject, details["source"]) == ("ingested", *expected)
    ((action, subject, details),) = recorded(store, lambda: store.adopt(cache))
    assert (action, subject) == ("adopted", "mouse")
    # Lists, tables and the annotation are there already, except for what the lists of another kind add.
    assert without_time(details)["volumes"] == 2
    assert "annotations" not in details


@sqlite_first
def test_changes_of_datasets_are_recorded(filled: Store, tmp_path: Path) -> None:
    version = ask(filled, name="visual")
    bundle = version.export(tmp_path / "a.bsv.zip")
    sources = {"exported as": version.ref, **version.provenance().to_details()}
    datasets = filled.datasets
    assert new_records(filled, 1)[-2:] == [
        ("computed", "visual@1", {"experiments": 5, "groups": 1}),
        ("exported", "visual@1", {}),
    ]
    for act, expected in (
        (lambda: ask(filled, name="visual", normalize="injection_volume"), ("computed", "visual@2")),
        (lambda: datasets.tag("visual@1", "fig"), ("tagged", "visual@1", {"tag": "fig"})),
        (
            lambda: datasets.tag("visual@2", "fig", move=True),
            ("tagged", "visual@2", {"tag": "fig", "moved from": "visual@1", "set by": current_user()}),
        ),
        (
            lambda: datasets.import_bundle(bundle, name="theirs"),
            ("imported", "theirs@1", {"experiments": 5, "groups": 1, "check": "identical", **sources}),
        ),
        (lambda: datasets.import_bundle(bundle, name="theirs", trust=True), ("trusted", "theirs@1", {})),
    ):
        (found,) = recorded(filled, act)
        assert found[: len(expected)] == expected
    before = len(filled.admin.activity())
    second = filled.dataset("visual@2")
    datasets.untag("visual", "fig")
    datasets.delete("visual@2")
    datasets.rebuild("visual@1")
    version.path.write_bytes(b"damaged")
    datasets.rebuild("visual@1")
    assert new_records(filled, before) == [
        ("untagged", "visual@2", {"tag": "fig", "set by": current_user()}),
        ("deleted", "visual@2", {"fingerprint": second.fingerprint}),
        ("verified", "visual@1", {"result": "identical", "file": "intact"}),
        ("repaired", "visual@1", {"replaced": "the result file"}),
        ("verified", "visual@1", {"result": "identical", "file": "damaged"}),
    ]


def test_selections_and_exclusions_are_recorded(filled: Store) -> None:
    catalog = filled.catalog
    assert recorded(filled, lambda: catalog.exclude([1, 2], "tissue torn")) == [
        ("excluded", "experiments 1, 2", {"experiments": 2, "reason": "tissue torn"})
    ]
    assert recorded(filled, lambda: catalog.save_selection("mine", Selection(ids=[3]), note="for the paper")) == [
        ("saved", "selection mine@1", {"note": "for the paper"})
    ]
    before = len(filled.admin.activity())
    catalog.lift_exclusion([2])
    assert new_records(filled, before) == [("included", "experiments 2", {"experiments": 1})]


@sqlite_first
def test_what_is_refused_is_not_recorded(filled: Store) -> None:
    ask(filled, name="visual")
    filled.datasets.tag("visual@1", "fig")
    before = len(filled.admin.activity())
    for act in (
        lambda: filled.datasets.delete("visual@1"),
        lambda: filled.datasets.untag("visual", "nothing"),
        lambda: filled.catalog.exclude([99], "no such experiment"),
        lambda: filled.catalog.lift_exclusion([1]),
    ):
        with pytest.raises(InputError):
            act()
    assert new_records(filled, before) == []


# -- filters -------------------------------------------------------------------------------------------------------


def record_as(store: Store, user: str, action: Action, age: timedelta) -> None:
    with store.database.writing() as connection:
        values = {"action": action, "user_name": user, "host": "h", "release": "1", "at": datetime.now(UTC) - age}
        connection.execute(insert(Activity).values(**values))


def test_the_record_is_filtered_by_user_action_and_age(store: Store) -> None:
    record_as(store, "miller", "fetched", timedelta(days=3))
    record_as(store, "miller", "deleted", timedelta(hours=2))
    record_as(store, "smith", "deleted", timedelta(minutes=1))

    def found(**filters: Any) -> list[tuple[str, str]]:
        frame = store.admin.activity(**filters)
        return [(row["user_name"], row["action"]) for row in frame.to_dict("records") if row["action"] != "created"]

    assert found(user="miller") == [("miller", "deleted"), ("miller", "fetched")]
    assert found(action="deleted") == [("smith", "deleted"), ("miller", "deleted")]
    assert found(since=timedelta(hours=1)) == [("smith", "deleted")]
    assert found(action="deleted", user="miller", since=timedelta(days=1)) == [("miller", "deleted")]
    assert found(user="nobody") == []
    assert len(store.admin.activity(limit=1)) == 1
    for filters in ({"action": "destroyed"}, {"user": 1}, {"since": 3600}, {"limit": 0}):
        with pytest.raises(InputError, match=next(iter(filters))):
            found(**filters)


def test_the_command_filters_and_reads_well(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Runner(capsys, monkeypatch)
    details = {"fetched": 1200, "of": 1400, "failed": 1, "not attempted": 3, "seconds": 75.2, "interrupted": True}
    with store.database.writing() as connection:
        record_activity(connection, "fetched", "projection_density at 100 um", details)
        record_activity(connection, "tagged", "visual@1", {"tag": "fig"})
    monkeypatch.setenv("COLUMNS", "200")
    user = pwd.getpwuid(os.getuid()).pw_name
    shown = run("activity", "--action", "FETCHED", "--user", user, "--since", "1h", store=store.path).succeeded()
    assert "fetched 1,200 of 1,400, 1 failed, 3 not attempted, 1 min 15 s, interrupted" in shown.out
    assert "visual@1" not in shown.out
    assert "tag fig" in run("activity", store=store.path).succeeded().out
    (row,) = run("activity", "--action", "fetched", "--format", "json", store=store.path).succeeded().json
    assert row["details"] == details
    run("activity", "--since", "soon", store=store.path).refused(2, "--since")
    run("activity", "--action", "destroyed", store=store.path).refused(2, "--action")
