from __future__ import annotations

import json
import re
from dataclasses import astuple, replace
from datetime import UTC, datetime
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from bsv_store.acquisition.tasks.unionizes import UnionizeTask
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.task import RunControl
from bsv_store.catalog.database.models import Claim, Unionize, UnionizeCoverage
from bsv_store.errors import MissingDataError, UnknownExperimentError
from bsv_store.progress import NO_PROGRESS
from bsv_store.sources.allen import AllenClient
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import Substitute
from tests.acquisition.stored import count
from tests.servers import with_one_doubled_density

from .conftest import Recorder

if TYPE_CHECKING:
    from bsv_store import Store


def test_structures_and_experiments_come_from_the_api(
    store: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    assert store.sync_structures(api_url=server.url).added == len(atlas.structures)
    assert store.sync_experiments(api_url=server.url).added == len(atlas.experiment_ids)
    assert server.requests.total == 2
    structures = store.sql(
        "SELECT id, acronym, name, coalesce(parent_structure_id, 0) AS parent_id, graph_order, color_hex_triplet"
        " FROM structure"
    )
    members = store.sql("SELECT structure_set_id, structure_id FROM structure_set_member")
    expected = [replace(each, parent_structure_id=each.parent_structure_id or 0) for each in atlas.structures]
    assert set(structures.itertuples(index=False, name=None)) == {astuple(each)[:6] for each in expected}
    assert set(members.itertuples(index=False, name=None)) == {
        (set_id, each.id) for each in atlas.structures for set_id in each.structure_set_ids
    }
    assert count(store, "experiment") == len(atlas.experiment_ids)
    snapshots = store.catalog.snapshots()
    assert {snapshot.kind for snapshot in snapshots} == {"api"}
    assert all(snapshot.source.startswith(server.url) for snapshot in snapshots)


def test_asking_again_changes_nothing(catalog: Store, server: SyntheticServer) -> None:
    assert catalog.sync_structures(api_url=server.url).snapshot_id is None
    report = catalog.sync_experiments(api_url=server.url)
    assert (report.snapshot_id, report.added, report.changed, report.withdrawn) == (None, 0, 0, 0)


def test_unionizes_come_in_batches_and_only_once(store: Store, recorder: Recorder) -> None:
    atlas = SyntheticAtlas(experiments=13)
    ids = atlas.experiment_ids
    with SyntheticServer(atlas) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        server.requests.clear()
        report = store.sync_unionizes(ids, progress=recorder, api_url=server.url)
        assert report.fetched == ids
        assert not report.failed
        assert not report.present
        assert server.requests.total == 2
        assert report.rows == count(store, "unionize") == sum(len(atlas.unionize(i)) for i in ids)
        assert count(store, "unionize_coverage") == 2 * len(ids)
        assert count(store, "claim") == 0
        assert (recorder.total, recorder.done, recorder.finished) == (13, 13, True)
        assert recorder.size_bytes == report.downloaded_bytes > 0
        again = store.sync_unionizes(ids, api_url=server.url)
        assert (again.present, again.fetched) == (ids, ())
        assert server.requests.total == 2
        assert "13 already present" in again.summary()


def test_statistics_are_refreshed_by_the_run_that_stores_tables(
    catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed: list[object] = []
    monkeypatch.setattr("bsv_store.catalog.database.bulk.refresh_statistics", refreshed.append)
    # The synthetic atlas is small.
    monkeypatch.setattr("bsv_store.catalog.database.bulk._MANY_ROWS", 100)
    assert catalog.sync_unionizes(atlas.experiment_ids, api_url=server.url).rows > 100
    assert len(refreshed) == 1
    catalog.sync_unionizes(atlas.experiment_ids, refresh=True, api_url=server.url)
    assert len(refreshed) == 1


def test_the_injected_hemisphere_follows_from_the_tables(
    catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas
) -> None:
    catalog.sync_unionizes(atlas.experiment_ids, api_url=server.url)
    rows = catalog.sql("SELECT id, injected_hemisphere FROM experiment")
    assert dict(zip(rows["id"], rows["injected_hemisphere"], strict=True)) == {
        i: atlas.experiment(i).injected_hemisphere for i in atlas.experiment_ids
    }


def test_an_interrupted_run_is_continued(catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer) -> None:
    ids = atlas.experiment_ids
    catalog.sync_unionizes(ids[:2], api_url=server.url)
    server.requests.clear()
    report = catalog.sync_unionizes(ids, api_url=server.url)
    assert (report.present, report.fetched) == (ids[:2], ids[2:])
    assert server.requests.total == 1


def test_refreshing_requests_again_and_changes_nothing(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    catalog.sync_unionizes(atlas.experiment_ids, api_url=server.url)
    before = count(catalog, "source_snapshot")
    report = catalog.sync_unionizes(atlas.experiment_ids, refresh=True, api_url=server.url)
    assert report.fetched == atlas.experiment_ids
    assert server.requests.total == 2
    assert count(catalog, "source_snapshot") == before


def test_a_downloaded_table_that_contradicts_itself_is_noted(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    first, second, *_ = atlas.experiment_ids
    server.fail(str(first), Substitute(with_one_doubled_density(first)))
    report = catalog.sync_unionizes([first, second], api_url=server.url)
    assert report.fetched == (first, second)
    (note,) = report.notes
    assert note.startswith(f"The table of experiment {first} contradicts itself, unlike Allen's tables: projection_den")
    assert note in unescape(report._repr_html_())
    assert catalog.sync_unionizes([first, second], refresh=True, api_url=server.url).notes == ()


def test_one_faulty_experiment_does_no_harm_to_its_batch(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    first, *others = atlas.experiment_ids

    def spoil(body: bytes) -> bytes:
        return body.replace(b'"hemisphere_id":3', b'"hemisphere_id":4')

    server.fail(lambda request: str(first) in request.line, Substitute(spoil), times=None)
    report = catalog.sync_unionizes(atlas.experiment_ids, api_url=server.url)
    assert report.fetched == tuple(others)
    (failure,) = report.failed
    assert failure.experiment_id == first
    assert "hemisphere_id 4 is not 1, 2 or 3" in failure.reason
    assert server.url in failure.reason
    # The batch, then one by one.
    assert server.requests.total == 7
    assert count(catalog, "unionize_coverage") == 2 * len(others)
    assert count(catalog, "claim") == 0


def test_an_experiment_without_rows_upstream_is_reported(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    first, *others = atlas.experiment_ids

    def drop(body: bytes) -> bytes:
        import json

        reply = json.loads(body)
        reply["msg"] = [row for row in reply["msg"] if row["section_data_set_id"] != first]
        reply["total_rows"] = reply["num_rows"] = len(reply["msg"])
        return json.dumps(reply).encode()

    server.fail(str(first), Substitute(drop), times=None)
    report = catalog.sync_unionizes(atlas.experiment_ids, api_url=server.url)
    assert report.fetched == tuple(others)
    assert [failure.experiment_id for failure in report.failed] == [first]
    assert f"no unionize rows of experiment {first}" in report.failed[0].reason
    assert server.requests.total == 1


@pytest.mark.parametrize(
    ("dropped", "reason"),
    [
        (lambda row: row["structure_id"] == 997, "of 54 measured structures: root"),
        (lambda row: row["structure_id"] % 2, "measured structures: "),
        (
            lambda row: row["structure_id"] == 997 and row["is_injection"],
            "inside the injection site .* structure: root",
        ),
    ],
    ids=["root", "half of the structures", "the root inside the injection"],
)
def test_a_reply_without_some_rows_is_refused_and_asked_for_again(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, dropped: Any, reason: str
) -> None:
    first, *others = atlas.experiment_ids

    def drop(body: bytes) -> bytes:
        reply = json.loads(body)
        reply["msg"] = [row for row in reply["msg"] if row["section_data_set_id"] != first or not dropped(row)]
        reply["total_rows"] = reply["num_rows"] = len(reply["msg"])
        return json.dumps(reply).encode()

    server.fail(lambda request: str(first) in request.line, Substitute(drop), times=None)
    report = catalog.sync_unionizes(atlas.experiment_ids, api_url=server.url)
    assert set(report.fetched) == set(others)
    (failure,) = report.failed
    assert failure.experiment_id == first
    assert re.search(rf"incomplete reply of the Allen API: .*{reason}", failure.reason)
    with pytest.raises(MissingDataError):
        catalog.catalog.unionizes([first])

    server.faults.clear()
    assert catalog.sync_unionizes(atlas.experiment_ids, api_url=server.url).fetched == (first,)


def test_a_current_table_replaces_an_older_one_which_stays_in_the_history(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    first = atlas.experiment_ids[0]

    def renew(body: bytes) -> bytes:
        return body.replace(b'"max_voxel_density":', b'"max_voxel_density":0.25,"former":')

    server.fail(str(first), Substitute(renew))
    catalog.sync_unionizes([first], api_url=server.url)
    catalog.sync_unionizes([first], refresh=True, api_url=server.url)
    history = catalog.catalog.unionize_history([first])
    assert [(each.part, each.source.startswith(server.url)) for each in history] == [
        ("injection", True),
        ("projection", True),
    ]
    assert history[0].upstream_date == datetime.now(UTC).date()
    assert history[0].injection_volume == pytest.approx(atlas.experiment(first).injection_volume)


def test_unknown_experiments_are_named_before_anything_is_asked(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    with pytest.raises(UnknownExperimentError, match="7, 8"):
        catalog.sync_unionizes([8, *atlas.experiment_ids, 7], api_url=server.url)
    assert server.requests.total == 0


def test_a_late_worker_does_not_overwrite_what_its_successor_brought(
    catalog: Store, client: AllenClient, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    """It lost its claims while it slept; meanwhile another run stored newer rows of the first experiment."""
    first, second = atlas.experiment_ids[:2]
    task = UnionizeTask(catalog.database, client, refresh=True, batch=2)
    late, successor = Claims(catalog.database), Claims(catalog.database)
    with catalog.database.writing() as connection:
        late.take(connection, [task.key(first), task.key(second)])
    old = task.download([first, second], RunControl(NO_PROGRESS))

    def renew(body: bytes) -> bytes:
        return body.replace(b'"max_voxel_density":', b'"max_voxel_density":0.25,"former":')

    server.fail(str(first), Substitute(renew))
    new = task.download([first], RunControl(NO_PROGRESS))
    with catalog.database.writing() as connection:
        connection.execute(
            update(Claim).where(Claim.object_key == task.key(first)).values(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
        )
        assert successor.take(connection, [task.key(first)])
    assert not task.commit([new], [first], successor).lost

    result = task.commit([old], [first, second], late)
    assert result.lost == {first}
    assert not result.absent
    with catalog.database.reading() as connection:
        rows = connection.execute(select(Unionize.experiment_id, Unionize.max_voxel_density)).all()
        covered = set(connection.execute(select(UnionizeCoverage.experiment_id)).scalars())
    assert {row.max_voxel_density for row in rows if row.experiment_id == first} == {0.25}
    assert covered == {first, second}
    assert len(rows) == sum(len(atlas.unionize(i)) for i in (first, second))
    assert count(catalog, "claim") == 0
