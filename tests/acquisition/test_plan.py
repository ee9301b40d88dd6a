from __future__ import annotations

import shutil
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from bsv_store import Selection
from bsv_store.acquisition.plan import FillPlan, Plan, plan_unionizes
from bsv_store.catalog.database.models import StoredVolume
from bsv_store.errors import InputError, MissingDataError, NoSpaceError, UnknownExperimentError
from bsv_store.text import duration_text
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

if TYPE_CHECKING:
    from bsv_store import Store


def test_a_plan_lists_present_and_missing_data_without_requests(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    ids = atlas.experiment_ids
    catalog.fetch(ids[:2], api_url=server.url)
    server.requests.clear()
    plan = catalog.plan_fetch([*ids, ids[0]])
    assert (plan.present, plan.missing, plan.requests) == (ids[:2], ids[2:], 4)
    assert server.requests.total == 0
    assert "2 present, 4 missing; 4 requests" in plan.summary()
    assert catalog.plan_fetch(ids[:2]).summary().endswith("all 2 present.")
    assert catalog.plan_fetch(ids, refresh=True).missing == ids


def test_a_lost_file_is_missing(catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas) -> None:
    first = atlas.experiment_ids[0]
    catalog.fetch([first], api_url=server.url)
    shutil.rmtree(catalog.path / "volumes")
    assert catalog.plan_fetch([first]).missing == (first,)


def test_sizes_are_those_of_the_stores_own_files(
    catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas
) -> None:
    ids = atlas.experiment_ids
    before = catalog.plan_fetch(ids)
    assert before.store_bytes == 6 * 698_000
    catalog.fetch(ids[:2], api_url=server.url)
    sizes = [path.stat().st_size for path in (catalog.path / "volumes").rglob("*.h5")]
    plan = catalog.plan_fetch(ids)
    assert plan.store_bytes == pytest.approx(4 * sum(sizes) / 2, abs=1)
    assert plan.download_bytes < plan.store_bytes


def test_sizes_grow_with_the_number_of_voxels(catalog: Store, atlas: SyntheticAtlas) -> None:
    coarse, fine = (catalog.plan_fetch(atlas.experiment_ids, spacing_um=spacing_um) for spacing_um in (100, 25))
    assert fine.store_bytes == 64 * coarse.store_bytes


def test_duration_is_estimated_from_the_latest_arrivals(
    catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas
) -> None:
    ids = atlas.experiment_ids
    catalog.fetch(ids, api_url=server.url)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    with catalog.database.writing() as connection:
        for number, row in enumerate(connection.execute(select(StoredVolume.id)).scalars().all()):
            # Every three seconds, but for a night before the last one.
            when = start + timedelta(seconds=3 * number, hours=10 * (number == 5))
            connection.execute(update(StoredVolume).where(StoredVolume.id == row).values(fetched_at=when))
    assert catalog.plan_fetch(ids, refresh=True).seconds is None
    with catalog.database.writing() as connection:
        connection.execute(
            update(StoredVolume)
            .where(StoredVolume.fetched_at > start + timedelta(hours=1))
            .values(fetched_at=start + timedelta(seconds=15))
        )
    plan = catalog.plan_fetch(ids, refresh=True)
    assert plan.seconds == pytest.approx(18)
    assert "about 18 s at the recent rate" in plan.summary()


def test_a_kind_without_arrivals_is_estimated_from_others(
    catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas
) -> None:
    ids = atlas.experiment_ids
    assert catalog.plan_fetch(ids, spacing_um=25).seconds is None
    catalog.fetch(ids, api_url=server.url)
    with catalog.database.writing() as connection:
        for number, row in enumerate(connection.execute(select(StoredVolume.id)).scalars().all()):
            when = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
            connection.execute(update(StoredVolume).where(StoredVolume.id == row).values(fetched_at=when))
    fine = catalog.plan_fetch(ids, spacing_um=25)
    # A second for each, of 64 times as many voxels.
    assert fine.seconds == pytest.approx(6 * 64)


def test_a_part_of_a_plan_takes_its_share(catalog: Store, atlas: SyntheticAtlas) -> None:
    ids = atlas.experiment_ids
    whole = catalog.plan_fetch(ids)
    part = whole.first(2)
    assert (part.missing, part.requests) == (ids[:2], 2)
    assert 3 * part.store_bytes == whole.store_bytes
    assert whole.first(6) == whole
    tables = plan_unionizes(catalog.database, catalog.files, ids, batch=4)
    assert tables.first(5).requests == 2


def test_plans_of_several_things_are_added_up(
    catalog: Store, atlas: SyntheticAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = catalog.plan_fetch(atlas.experiment_ids)
    tables = catalog.plan_sync_unionizes(atlas.experiment_ids)
    # Room for each of them, and not for both.
    room = max(volumes.store_bytes, tables.store_bytes) + 100_000_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=room))
    volumes = catalog.plan_fetch(atlas.experiment_ids)
    tables = replace(catalog.plan_sync_unionizes(atlas.experiment_ids), seconds=4.0)
    fill = FillPlan((tables, volumes))
    assert volumes.fits_on_disk
    assert tables.fits_on_disk
    assert not fill.fits_on_disk
    assert fill.seconds is None
    assert fill.store_bytes == volumes.store_bytes + tables.store_bytes
    with pytest.raises(NoSpaceError, match=r"unionize tables .* and projection_density"):
        fill.require_disk_space()
    assert FillPlan((tables, replace(volumes, missing=(), requests=0))).seconds == 4.0


def test_a_full_disk_is_seen_before_anything_is_fetched(
    catalog: Store, atlas: SyntheticAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = catalog.plan_fetch(atlas.experiment_ids)
    assert plan.fits_on_disk
    plan.require_disk_space()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50_000_000))
    plan = catalog.plan_fetch(atlas.experiment_ids)
    assert not plan.fits_on_disk
    assert "NOT ENOUGH DISK SPACE" in plan.summary()
    with pytest.raises(NoSpaceError, match=r"4\.2 MB.*50\.0 MB"):
        plan.require_disk_space()


@pytest.mark.parametrize(("spacing_um", "voxels"), [(25, 528 * 320 * 456), (10, 1320 * 800 * 1140)])
def test_volumes_that_are_spooled_need_room_meanwhile(
    catalog: Store, atlas: SyntheticAtlas, monkeypatch: pytest.MonkeyPatch, spacing_um: int, voxels: int
) -> None:
    """Each worker has its download and its spool, of at most four bytes per voxel, under ``tmp/``."""

    def plan(workers: int, free: int) -> Plan:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        ids = atlas.experiment_ids
        return catalog.plan_fetch(ids, spacing_um=spacing_um, workers=workers)

    each = plan(1, 0).scratch_bytes
    assert each == 4 * voxels + round(plan(1, 0).download_bytes / 6)
    assert plan(4, 0).scratch_bytes == 4 * each
    assert plan(16, 0).scratch_bytes == 6 * each
    assert plan(4, 0).first(3).scratch_bytes == 3 * each
    # Several kinds are fetched one after the other.
    assert FillPlan((plan(2, 0), plan(4, 0))).scratch_bytes == 4 * each
    needed = plan(2, 0).store_bytes + 2 * each + 100_000_000
    assert plan(2, needed).fits_on_disk
    assert "for temporary files)" in plan(2, needed).summary()
    assert not plan(2, needed - 1).fits_on_disk
    with pytest.raises(NoSpaceError, match=r"for temporary files, but only .* are free") as caught:
        plan(4, needed).require_disk_space()
    assert "fewer workers" in str(caught.value.hint)


def test_small_volumes_are_in_memory_meanwhile(catalog: Store, atlas: SyntheticAtlas) -> None:
    plan = catalog.plan_fetch(atlas.experiment_ids, spacing_um=50)
    assert plan.scratch_bytes == 0
    assert "temporary" not in plan.summary()


def test_unionize_tables_are_planned_in_batches(catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas) -> None:
    ids = atlas.experiment_ids
    catalog.sync_unionizes(ids[:1], api_url=server.url)
    plan = plan_unionizes(catalog.database, catalog.files, ids, batch=2)
    assert (plan.present, plan.missing, plan.requests) == (ids[:1], ids[1:], 3)
    assert plan.seconds is None


@pytest.mark.parametrize("what", ["volumes", "unionizes"])
def test_a_plan_names_unknown_experiments(catalog: Store, what: str) -> None:
    plan = catalog.plan_fetch if what == "volumes" else catalog.plan_sync_unionizes
    with pytest.raises(UnknownExperimentError, match="7"):
        plan([7])


def test_a_plan_for_no_grid_is_refused(catalog: Store, atlas: SyntheticAtlas) -> None:
    with pytest.raises(InputError, match="spacing"):
        catalog.plan_fetch(atlas.experiment_ids, spacing_um=30)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3600 * 5 + 120, "5 h 02 min")]
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


# -- offline ------------------------------------------------------------------------------------------------------


def test_offline_what_is_there_is_enough(catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer) -> None:
    first = atlas.experiment_ids[0]
    catalog.fetch([first], api_url=server.url)
    catalog.sync_unionizes([first], api_url=server.url)
    server.requests.clear()
    assert catalog.fetch([first], offline=True).present == (first,)
    assert catalog.sync_unionizes([first], offline=True).present == (first,)
    assert server.requests.total == 0


def test_offline_what_is_missing_is_named(catalog: Store, atlas: SyntheticAtlas) -> None:
    named = ", ".join(map(str, atlas.experiment_ids))
    with pytest.raises(MissingDataError, match=rf"projection_density.*: {named}"):
        catalog.fetch(atlas.experiment_ids, offline=True)
    with pytest.raises(MissingDataError, match="unionize tables"):
        catalog.sync_unionizes(atlas.experiment_ids, offline=True)


def test_offline_opens_no_socket(
    catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = atlas.experiment_ids[:2]
    catalog.fetch([first], api_url=server.url)
    catalog.sync_unionizes([first], api_url=server.url)

    class Forbidden(socket.socket):
        def __init__(self, *_: object, **__: object) -> None:
            pytest.fail("a socket was opened offline")

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a name was looked up offline")

    monkeypatch.setattr(socket, "socket", Forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    # The database's connection is none of Python's sockets.
    assert catalog.fetch(Selection(ids=[first]), offline=True).present == (first,)
    assert catalog.sync_unionizes(Selection(ids=[first]), offline=True).present == (first,)
    catalog.plan_fetch(Selection())
    for download in (catalog.fetch, catalog.sync_unionizes):
        with pytest.raises(MissingDataError, match=str(second)):
            download(Selection(ids=[first, second]), offline=True)
