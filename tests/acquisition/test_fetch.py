from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import event, select, update

from bsv_store.acquisition.tasks.volumes import VolumeTask
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.sharing import SharedWork
from bsv_store.acquisition.work.task import RunControl
from bsv_store.catalog.database.models import Claim
from bsv_store.errors import (
    DamagedFileError,
    InputError,
    NoSpaceError,
    ReadOnlyStoreError,
    StoreError,
    UnknownExperimentError,
)
from bsv_store.progress import NO_PROGRESS
from bsv_store.server.allen.messages import Request
from bsv_store.sources.allen import AllenClient
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes import library
from bsv_store.volumes.grid import Grid
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer, wire_volumes
from bsv_store_synthetic.faults import (
    Hang,
    MakeReply,
    Status,
    Substitute,
)
from bsv_store_synthetic.replies import Reply
from tests.acquisition.stored import all_volumes, count, reports_of_failure

from .conftest import Recorder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bsv_store import Store
    from bsv_store.volumes.files import StoreFiles


def volume_rows(store: Store) -> int:
    return count(store, "volume")


def claims(store: Store) -> int:
    return count(store, "claim")


def files_of(store: Store) -> list[Path]:
    return sorted(path for path in (store.path / "volumes").rglob("*") if path.is_file())


def leftovers(store: Store) -> list[Path]:
    return [path for folder in ("tmp", "trash") for path in (store.path / folder).glob("*")]


def file_of(store: Store, experiment_id: int) -> Path:
    return Path(store.volumes.describe(experiment_id)["path"])


# -- what is stored -----------------------------------------------------------------------------------------------


def test_volumes_are_stored_as_upstream_has_them(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, recorder: Recorder
) -> None:
    ids = atlas.experiment_ids
    report = catalog.fetch([*ids, ids[0]], progress=recorder, api_url=server.url)
    assert report.fetched == ids
    assert not report.present
    assert not report.failed
    assert not report.recovered
    assert server.requests.total == len(ids)
    assert (recorder.total, recorder.done, recorder.finished) == (len(ids), len(ids), True)
    assert recorder.size_bytes == report.downloaded_bytes
    assert recorder.what == "projection_density at 100 um"
    for i in ids:
        np.testing.assert_array_equal(catalog.volume(i), atlas.volume(i))
        assert catalog.volumes.describe(i)["source"] == f"{server.url}/grid_data/download/{i}?include=density"
    assert len(files_of(catalog)) == volume_rows(catalog) == len(ids)
    assert leftovers(catalog) == []
    assert claims(catalog) == 0


def test_downloads_are_committed_together_except_those_whose_claim_was_lost(
    catalog: Store, client: AllenClient, atlas: SyntheticAtlas
) -> None:
    """A commit waits for the disk several times: one for each volume would hold up the downloads."""
    ids = list(atlas.experiment_ids[:4])
    task = VolumeTask(catalog.database, catalog.files, client, "projection_density", 100, refresh=False)
    mine, successor = Claims(catalog.database), Claims(catalog.database)
    with catalog.database.writing() as connection:
        mine.take(connection, [task.key(i) for i in ids])
    files = [task.download([i], RunControl(NO_PROGRESS)) for i in ids]
    with catalog.database.writing() as connection:
        connection.execute(
            update(Claim)
            .where(Claim.object_key == task.key(ids[1]))
            .values(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
        )
        assert successor.take(connection, [task.key(ids[1])])
    commits: list[object] = []
    event.listen(catalog.database.engine, "commit", note := commits.append)
    result = task.commit(files, ids, mine)
    event.remove(catalog.database.engine, "commit", note)
    assert len(commits) == 1
    assert result.lost == {ids[1]}
    with catalog.database.reading() as connection:
        assert [file.experiment_id for file in all_volumes(connection)] == [ids[0], *ids[2:]]
        assert connection.execute(select(Claim.object_key)).scalars().all() == [task.key(ids[1])]


def test_what_is_there_is_not_asked_for_again(catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer) -> None:
    ids = atlas.experiment_ids
    catalog.fetch(ids[:4], api_url=server.url)
    report = catalog.fetch(ids, api_url=server.url)
    assert (report.present, report.fetched) == (ids[:4], ids[4:])
    assert server.requests.total == len(ids)
    assert "2 fetched" in report.summary()
    assert "4 already present" in report.summary()


def test_a_limit_fetches_in_parts(catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer) -> None:
    ids = atlas.experiment_ids[:5]
    assert len(catalog.plan_fetch(ids, limit=2).missing) == 2
    assert catalog.plan_fetch(ids, limit=2).postponed == 3
    fetched = [catalog.fetch(ids, limit=2, api_url=server.url).fetched for _ in range(4)]
    assert fetched == [ids[:2], ids[2:4], ids[4:], ()]
    tables = [catalog.sync_unionizes(ids, limit=3, api_url=server.url).fetched for _ in range(3)]
    assert tables == [ids[:3], ids[3:], ()]
    for wrong in (0, -1, True, "2"):
        with pytest.raises(InputError, match="limit must be a positive integer"):
            catalog.fetch(ids, limit=wrong, api_url=server.url)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="limit cannot be combined with refresh"):
        catalog.fetch(ids, limit=1, refresh=True, api_url=server.url)
    for call in (catalog.fetch, catalog.sync_unionizes):
        with pytest.raises(InputError, match="limit cannot be combined with offline"):
            call(ids, limit=1, offline=True)


def test_kinds_and_spacings_are_kept_apart(catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer) -> None:
    first = atlas.experiment_ids[0]
    wanted: list[tuple[VolumeKind, int]] = [("projection_density", 100), ("injection_fraction", 100), ("data_mask", 50)]
    for kind, spacing_um in wanted:
        report = catalog.fetch([first], kind=kind, spacing_um=spacing_um, api_url=server.url)
        assert report.fetched == (first,)
    assert volume_rows(catalog) == server.requests.total == 3


def test_large_volumes_go_over_the_disk_and_leave_nothing_there(
    catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watching(Recorder):
        """Notes the size of the temporary files while the bytes arrive."""

        def __init__(self) -> None:
            super().__init__()
            self.on_disk = 0

        def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
            super().advance(count, size_bytes=size_bytes)
            self.on_disk = max(self.on_disk, sum(path.stat().st_size for path in leftovers(catalog)))

    # What 25 um is made to do, at a size that a test can afford.
    monkeypatch.setattr("bsv_store.volumes.grid.LARGE_VOXELS", Grid(50).size)
    for spacing_um, is_large in ((50, True), (100, False)):
        watching = Watching()
        catalog.fetch(
            atlas.experiment_ids[:1],
            kind="data_mask",
            spacing_um=spacing_um,
            progress=watching,
            api_url=server.url,
        )
        assert (watching.on_disk > 0) is is_large
    assert leftovers(catalog) == []


def test_refreshing_replaces_a_damaged_file(catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer) -> None:
    first = atlas.experiment_ids[0]
    catalog.fetch([first], api_url=server.url)
    path = file_of(catalog, first)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    report = catalog.fetch([first], refresh=True, api_url=server.url)
    assert report.fetched == (first,)
    assert server.requests.total == 2
    np.testing.assert_array_equal(catalog.volume(first), atlas.volume(first))


def test_a_volume_that_changed_upstream_replaces_the_old_file(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    first, second = atlas.experiment_ids[:2]
    catalog.fetch([first, second], api_url=server.url)
    old = file_of(catalog, first)
    server.fail(f"download/{first}", Substitute(wire_volumes.grid_zip(atlas, second, ("density",))))
    report = catalog.fetch([first], refresh=True, api_url=server.url)
    assert report.fetched == (first,)
    np.testing.assert_array_equal(catalog.volume(first), atlas.volume(second))
    assert not old.exists()
    assert [path.name.endswith(old.name) for path in leftovers(catalog) if path.suffix != ".json"] == [True]
    assert len(files_of(catalog)) == 2


def test_a_volume_that_is_replaced_after_it_was_looked_up_is_read_whole(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = atlas.experiment_ids[:2]
    catalog.fetch([first], api_url=server.url)
    server.fail(f"download/{first}", Substitute(wire_volumes.grid_zip(atlas, second, ("density",))))
    real = library.read_array
    read: list[str] = []

    def overtaken(files: StoreFiles, file: library.VolumeFile) -> NDArray[np.float32]:
        if not read:
            catalog.fetch([first], refresh=True, api_url=server.url)
        read.append(file.path)
        return real(files, file)

    monkeypatch.setattr(library, "read_array", overtaken)
    np.testing.assert_array_equal(catalog.volume(first), atlas.volume(second))
    assert len(set(read)) == 2
    file_of(catalog, first).unlink()
    with pytest.raises(DamagedFileError, match="is missing"):
        catalog.volume(first)


def test_files_are_for_the_whole_group_whatever_the_umask(
    catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas
) -> None:
    before = os.umask(0o077)
    try:
        catalog.fetch(atlas.experiment_ids[:1], api_url=server.url)
    finally:
        os.umask(before)
    (path,) = files_of(catalog)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o775 == 0o775


# -- what fails ---------------------------------------------------------------------------------------------------


class StatusInTurn(Status):
    """An error whose reply waits until the failure before it was counted, so that no download starts before."""

    counted = threading.Semaphore(1)

    def apply(self, request: Request, make: MakeReply) -> Reply:
        assert self.counted.acquire(timeout=30)
        return Status.apply(self, request, make)


def test_a_server_that_answers_nothing_is_left_alone(
    catalog: Store, atlas: SyntheticAtlas, patience: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bsv_store.acquisition.work.sharing._MAX_FAILURES_IN_A_ROW", 2)
    patience(attempts=1)
    handle_error = SharedWork._handle_error

    def handle_and_count(*arguments: Any) -> None:
        handle_error(*arguments)
        StatusInTurn.counted.release()

    monkeypatch.setattr(SharedWork, "_handle_error", handle_and_count)
    with SyntheticServer(atlas) as server:
        server.fail("download", StatusInTurn(500), times=None)
        (report,) = reports_of_failure(lambda: catalog.fetch(atlas.experiment_ids, workers=1, api_url=server.url))
        assert server.requests.total < len(atlas.experiment_ids)
    assert len(report.failed) + len(report.not_attempted) == len(atlas.experiment_ids)
    assert report.not_attempted
    assert report.stopped == f"the last {len(report.failed)} downloads failed" or len(report.failed) > 2
    assert claims(catalog) == 0


def test_missing_volumes_do_not_count_as_a_server_that_is_down(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bsv_store.acquisition.work.sharing._MAX_FAILURES_IN_A_ROW", 2)
    server.fail("download", Status(404), times=5)
    report = catalog.fetch(atlas.experiment_ids, workers=1, api_url=server.url)
    assert len(report.failed) == 5
    assert len(report.fetched) == 1


def test_unknown_experiments_are_named_before_anything_is_asked(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    with pytest.raises(UnknownExperimentError, match="7"):
        catalog.fetch([*atlas.experiment_ids, 7], api_url=server.url)
    with pytest.raises(InputError, match="spacing"):
        catalog.fetch(atlas.experiment_ids, spacing_um=30, api_url=server.url)
    with pytest.raises(InputError, match="workers"):
        catalog.fetch(atlas.experiment_ids, workers=0, api_url=server.url)
    assert server.requests.total == 0


@pytest.mark.parametrize("error", [NoSpaceError("full"), StoreError("broken")])
def test_a_store_that_fails_ends_the_run_and_frees_its_claims(
    catalog: Store,
    server: SyntheticServer,
    atlas: SyntheticAtlas,
    monkeypatch: pytest.MonkeyPatch,
    error: StoreError,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("bsv_store.acquisition.tasks.volumes.publish_volume", refuse)
    with pytest.raises(type(error)):
        catalog.fetch(atlas.experiment_ids, api_url=server.url)
    assert (volume_rows(catalog), claims(catalog)) == (0, 0)
    monkeypatch.undo()
    assert len(catalog.fetch(atlas.experiment_ids, api_url=server.url).fetched) == 6


def test_being_interrupted_keeps_what_is_there_and_frees_the_rest(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    class Interrupting(Recorder):
        def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
            super().advance(count, size_bytes=size_bytes)
            if self.done >= 2 and count:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog.fetch(atlas.experiment_ids, workers=1, progress=Interrupting(), api_url=server.url)
    kept = volume_rows(catalog)
    assert kept >= 2
    assert claims(catalog) == 0
    asked = server.requests.total
    report = catalog.fetch(atlas.experiment_ids, api_url=server.url)
    assert len(report.present) == kept
    assert len(report.fetched) + len(report.recovered) == len(atlas.experiment_ids) - kept
    assert server.requests.total - asked == len(report.fetched)


def test_a_read_only_store_is_used_but_not_written(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    from bsv_store import open_store

    first, second = atlas.experiment_ids[:2]
    catalog.fetch([first], api_url=server.url)
    with open_store(catalog.path, read_only=True) as reader:
        assert reader.fetch([first], api_url=server.url).present == (first,)
        with pytest.raises(ReadOnlyStoreError):
            reader.fetch([first, second], api_url=server.url)
    assert server.requests.total == 1


def test_an_interrupt_while_a_download_is_submitted_does_not_wait_for_it(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fail("download", Hang(), times=None)
    submit = ThreadPoolExecutor.submit

    def interrupted(self: ThreadPoolExecutor, /, *arguments: Any, **named: Any) -> Any:
        submit(self, *arguments, **named)
        assert server.requests.wait_for(1, seconds=30)
        raise KeyboardInterrupt

    aborted: list[None] = []
    abort = AllenClient.abort

    def counted(self: AllenClient) -> None:
        aborted.append(None)
        abort(self)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    monkeypatch.setattr(AllenClient, "abort", counted)
    with pytest.raises(KeyboardInterrupt):
        catalog.fetch(catalog.select(), api_url=server.url)
    assert aborted
    assert catalog.admin.claims().empty
    assert not [each for each in threading.enumerate() if each.name.startswith("bsv-store-download")]
