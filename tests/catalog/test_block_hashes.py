"""The hashes of the blocks of large volumes: recorded with the volumes, and by an upgrade for those of older stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import delete, select

from bsv_store import open_store
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.models import StoredVolume, VolumeBlockHashes
from bsv_store.store.opening import upgrade_store
from bsv_store.volumes import library
from tests.catalog.small_catalog import fill
from tests.cli.running import Runner
from tests.datasets.world import add_volume, remove_volume, voxels

if TYPE_CHECKING:
    from bsv_store import Store

IDS = (101, 102)


@pytest.fixture
def large(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with two volumes as at 25 um, one sparse and one dense, and their hashes."""
    monkeypatch.setattr("bsv_store.volumes.grid.LARGE_VOXELS", 1)
    monkeypatch.setattr(library, "_computed", {})
    with store.database.writing() as connection:
        fill(connection)
    add_volume(store, IDS[0])
    add_volume(store, IDS[1], array=np.full((132, 80, 114), 0.5, np.float32))
    return store


def recorded(store: Store) -> dict[int, bytes]:
    query = select(StoredVolume.experiment_id, VolumeBlockHashes.hashes).join(VolumeBlockHashes.__table__)
    with store.database.reading() as connection:
        return {identifier: hashes for identifier, hashes in connection.execute(query)}


def test_a_new_volume_replaces_the_hashes_of_the_old_one(large: Store) -> None:
    before = recorded(large)
    assert set(before) == set(IDS)
    add_volume(large, IDS[0], seed=1)
    after = recorded(large)
    assert (after[IDS[0]] == before[IDS[0]], after[IDS[1]] == before[IDS[1]]) == (False, True)
    np.testing.assert_array_equal(large.volume(IDS[0]), voxels(IDS[0], seed=1))
    remove_volume(large, IDS[0])
    assert set(recorded(large)) == {IDS[1]}


def test_an_upgrade_records_the_hashes_of_older_stores(large: Store) -> None:
    before = recorded(large)
    schema.downgrade(large.database, "0006")
    report = upgrade_store(large.path)
    assert (report.before, report.after, report.hashed, report.damaged) == ("0006", schema.HEAD, 2, ())
    assert recorded(large) == before
    assert upgrade_store(large.path).hashed == 0


def test_an_interrupted_upgrade_is_completed_by_the_next(large: Store) -> None:
    before = recorded(large)
    with large.database.writing() as connection:
        connection.execute(delete(VolumeBlockHashes).where(VolumeBlockHashes.volume_id != 1))
    assert upgrade_store(large.path).hashed == 1
    assert recorded(large) == before


def test_a_damaged_volume_gets_no_hashes(
    large: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recorded(large)
    schema.downgrade(large.database, "0006")
    (damaged,) = (large.path / "volumes").rglob(f"{IDS[0]}.*.h5")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    done = Runner(capsys, monkeypatch)("db", "upgrade", store=large.path)
    relative = str(damaged.relative_to(large.path))
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[1:] == [
        f"Upgraded from 0006 to {schema.HEAD}.",
        "Recorded the block hashes of 1 volume.",
        f"damaged or missing: {relative}",
        "Fetch it again: `bsv-store fetch --refresh`.",
    ]
    assert recorded(large) == {IDS[1]: before[IDS[1]]}


def test_a_read_only_store_without_hashes_is_read_and_not_written(large: Store) -> None:
    with large.database.writing() as connection:
        connection.execute(delete(VolumeBlockHashes))
    with open_store(large.path, read_only=True) as store:
        found = store.search.point((6650, 4050, 5750), selection=list(IDS))
    assert found.set_index("experiment_id")["projection_density"].to_dict() == {
        IDS[0]: voxels(IDS[0])[66, 40, 57],
        IDS[1]: 0.5,
    }
    assert recorded(large) == {}
