"""What 25 and 10 um go through on their way in, at 100 um, which a test can afford."""

from __future__ import annotations

import errno
import gzip
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import delete

from bsv_store.catalog.database.models import StoredVolume
from bsv_store.errors import NoSpaceError
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.library import VolumeFile, read_array, read_slab
from bsv_store.volumes.volume import SparseArray
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer, wire_volumes
from bsv_store_synthetic.faults import Substitute, Truncate
from tests.acquisition.interrupts import interrupt_at
from tests.acquisition.stored import all_volumes, reports_of_failure

if TYPE_CHECKING:
    from bsv_store import Store

IDS = SyntheticAtlas(experiments=6).experiment_ids[:3]
# Arrives as NRRD even at 100 um.
KIND: VolumeKind = "injection_density"


@pytest.fixture(autouse=True)
def _all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks, slabs and chunks, as at 25 um."""
    monkeypatch.setattr("bsv_store.volumes.grid.LARGE_VOXELS", 1)
    monkeypatch.setattr("bsv_store.volumes.layout._SLAB_BYTES", 1 << 20)
    monkeypatch.setattr("bsv_store.formats.nrrd._BLOCK_BYTES", 1 << 20)


def stored(store: Store) -> list[VolumeFile]:
    with store.database.reading() as connection:
        return all_volumes(connection)


def leftovers(store: Store) -> list[str]:
    return [path.name for folder in ("tmp", "trash") for path in (store.path / folder).glob("*")]


@pytest.mark.parametrize("kind", ["injection_density", "data_mask", "projection_density"])
def test_fetched_volumes_are_those_of_the_atlas(
    catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas, kind: VolumeKind
) -> None:
    report = catalog.fetch(IDS, kind=kind, api_url=server.url)
    assert set(report.fetched) == set(IDS)
    assert leftovers(catalog) == []
    for file in stored(catalog):
        assert file.layout.has_slabs
        array = atlas.volume(file.experiment_id, kind)
        np.testing.assert_array_equal(read_array(catalog.files, file), array)
        part = read_slab(catalog.files, file, 60, 70)
        np.testing.assert_array_equal(
            part.dense_planes(60, 70) if isinstance(part, SparseArray) else part, array[60:70]
        )


def last_plane_nan(body: bytes) -> bytes:
    header, _, packed = body.partition(b"\n\n")
    return header + b"\n\n" + gzip.compress(gzip.decompress(packed)[:-4] + np.float32(np.nan).tobytes(), 1)


@pytest.mark.parametrize("how", ["cut on the way", "cut at its source", "more than it says", "NaN in the last plane"])
def test_a_faulty_body_is_refused_and_leaves_nothing(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, how: str
) -> None:
    body = wire_volumes.grid_nrrd(atlas, IDS[0], KIND, 100)
    header, _, packed = body.partition(b"\n\n")
    faults = {
        "cut on the way": Truncate(100),
        "cut at its source": Substitute(body[:-200]),
        "more than it says": Substitute(header + b"\n\n" + gzip.compress(gzip.decompress(packed) + b"more", 1)),
        "NaN in the last plane": Substitute(last_plane_nan(body)),
    }
    server.fail(f"/{IDS[0]}", faults[how], times=None)
    (report,) = reports_of_failure(lambda: catalog.fetch(IDS[:1], kind=KIND, api_url=server.url))
    assert len(report.failed) == 1
    assert stored(catalog) == []
    assert leftovers(catalog) == []
    assert [path for path in (catalog.path / "volumes").rglob("*") if path.is_file()] == []


def test_a_body_that_was_damaged_once_is_spooled_again(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    body = wire_volumes.grid_nrrd(atlas, IDS[0], KIND, 100)
    server.fail(f"/{IDS[0]}", Substitute(last_plane_nan(body)))
    report = catalog.fetch(IDS[:1], kind=KIND, api_url=server.url)
    assert report.fetched == IDS[:1]
    np.testing.assert_array_equal(catalog.volume(IDS[0], kind=KIND), atlas.volume(IDS[0], KIND))


STEPS = {
    "unpacking": "bsv_store.volumes.spool:_records",
    "writing": "bsv_store.volumes.large:little_endian",
    "recovering": "bsv_store.volumes.large:read_large",
}


@pytest.mark.parametrize("moment", STEPS)
def test_an_interrupt_ends_what_is_under_way_and_leaves_nothing(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """At 10 um each of these takes minutes."""
    if moment == "recovering":
        catalog.fetch(IDS[:1], kind=KIND, api_url=server.url)
        with catalog.database.writing() as connection:
            connection.execute(delete(StoredVolume))
    with monkeypatch.context() as patch:
        passed = interrupt_at(patch, STEPS[moment], passage=2)
        with pytest.raises(KeyboardInterrupt):
            catalog.fetch(IDS[:1], kind=KIND, api_url=server.url)
    assert len(passed) == 2
    assert passed[0] != threading.main_thread().name
    assert stored(catalog) == []
    assert leftovers(catalog) == []
    assert [*(catalog.path / "volumes").rglob("*.h5")] == [] or moment == "recovering"
    report = catalog.fetch(IDS[:1], kind=KIND, api_url=server.url)
    assert report.recovered == IDS[:1] if moment == "recovering" else report.fetched == IDS[:1]


@pytest.mark.parametrize("kind", ["injection_density", "data_mask"])
def test_a_recovered_file_gets_the_row_that_it_had(catalog: Store, server: SyntheticServer, kind: VolumeKind) -> None:
    catalog.fetch(IDS[:1], kind=kind, api_url=server.url)
    (before,) = stored(catalog)
    with catalog.database.writing() as connection:
        connection.execute(delete(StoredVolume))
    assert catalog.fetch(IDS[:1], kind=kind, api_url=server.url).recovered == IDS[:1]
    (after,) = stored(catalog)
    assert (after.layout, after.path, after.source) == (before.layout, before.path, before.source)


@pytest.mark.parametrize("how", ["cut", "flipped", "renamed"])
def test_a_damaged_orphan_is_downloaded_again(catalog: Store, server: SyntheticServer, how: str) -> None:
    catalog.fetch(IDS[:1], kind=KIND, api_url=server.url)
    (path,) = (catalog.path / "volumes").rglob("*.h5")
    with catalog.database.writing() as connection:
        connection.execute(delete(StoredVolume))
    if how == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.rename(path.with_name(path.name.replace(str(IDS[0]), str(IDS[1]))))
    wanted = IDS[1:2] if how == "renamed" else IDS[:1]
    assert catalog.fetch(wanted, kind=KIND, api_url=server.url).fetched == wanted


def test_a_full_disk_is_said_at_once_and_not_asked_for_again(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bsv_store.sources.allen.resume.PartialBody.write", full)
    with pytest.raises(NoSpaceError, match="no space left for the download"):
        catalog.fetch(IDS[:1], kind=KIND, api_url=server.url)
    assert server.requests.total == 1
    assert leftovers(catalog) == []


def cache(folder: Path, atlas: SyntheticAtlas, *, factor: float = 1.0) -> Path:
    """A cache of AllenSDK with the volume of the first experiment, times a factor."""
    own = folder / f"experiment_{IDS[0]}"
    own.mkdir(parents=True)
    array = atlas.volume(IDS[0], KIND) * np.float32(factor)
    (own / "injection_density_100.nrrd").write_bytes(wire_volumes.nrrd(array, 100, dtype="f4"))
    (folder / "manifest.json").write_text("{}")
    return folder


def test_a_cache_is_adopted_once_and_what_differs_is_refused(
    catalog: Store, atlas: SyntheticAtlas, tmp_path: Path
) -> None:
    folder = cache(tmp_path / "cache", atlas)
    assert catalog.adopt(folder).volumes == 1
    assert catalog.adopt(folder).present == 1
    other = cache(tmp_path / "other", atlas, factor=0.9999)
    (refused,) = catalog.adopt(other).refused
    assert "differs from the injection_density at 100 um" in refused.reason
    np.testing.assert_array_equal(catalog.volume(IDS[0], kind=KIND), atlas.volume(IDS[0], KIND))
    assert leftovers(catalog) == []
