from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import delete

from bsv_store.catalog.database.models import StoredVolume
from bsv_store.sources.allen import AllenClient
from bsv_store.volumes.library import publish_volume
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer, wire_volumes
from bsv_store_synthetic.faults import Substitute
from tests.databases import both_databases, sqlite_first

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases


@pytest.fixture
def orphan(catalog: Store, server: SyntheticServer, atlas: SyntheticAtlas) -> Path:
    """A published file of the first experiment without its row."""
    catalog.fetch(atlas.experiment_ids[:1], api_url=server.url)
    with catalog.database.writing() as connection:
        connection.execute(delete(StoredVolume))
    (path,) = (catalog.path / "volumes").rglob("*.h5")
    return path


def test_a_valid_orphan_gets_its_missing_row(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, orphan: Path
) -> None:
    first = atlas.experiment_ids[0]
    report = catalog.fetch([first], api_url=server.url)
    assert report.recovered == (first,)
    assert not report.fetched
    assert "1 recovered" in report.summary()
    assert server.requests.total == 1
    np.testing.assert_array_equal(catalog.volume(first), atlas.volume(first))
    facts = catalog.volumes.describe(first)
    assert facts["path"] == orphan
    assert facts["source"].startswith(server.url)


@sqlite_first
def test_an_outdated_orphan_does_not_stand_in_for_a_lost_file(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, orphan: Path
) -> None:
    """Published, not recorded; then superseded by a newer content, whose file is lost later."""
    first, second = atlas.experiment_ids[:2]
    body = wire_volumes.grid_zip(atlas, second, ("density",))
    server.fail(f"download/{first}", Substitute(body), times=None)
    catalog.fetch([first], refresh=True, api_url=server.url)
    assert orphan.exists()
    (newer,) = [path for path in orphan.parent.iterdir() if path != orphan]
    newer.unlink()
    report = catalog.fetch([first], api_url=server.url)
    assert (report.fetched, report.recovered) == ((first,), ())
    np.testing.assert_array_equal(catalog.volume(first), atlas.volume(second))


@sqlite_first
def test_a_lost_file_that_lies_under_another_name_is_recovered(
    catalog: Store, client: AllenClient, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    """The same content from another address makes another file."""
    first = atlas.experiment_ids[0]
    catalog.fetch([first], api_url=server.url)
    (lost,) = (catalog.path / "volumes").rglob("*.h5")
    publish_volume(catalog.files, client.volume(first).value, experiment_id=first, source="elsewhere")
    lost.unlink()
    server.requests.clear()
    assert catalog.fetch([first], api_url=server.url).recovered == (first,)
    assert server.requests.total == 0
    np.testing.assert_array_equal(catalog.volume(first), atlas.volume(first))


@sqlite_first
def test_refreshing_takes_no_orphan(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, orphan: Path
) -> None:
    report = catalog.fetch(atlas.experiment_ids[:1], refresh=True, api_url=server.url)
    assert not report.recovered
    assert server.requests.total == 2


def damage(path: Path, how: str) -> None:
    if how == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "empty":
        os.truncate(path, 0)
    elif how == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.write_text(how)


@sqlite_first
@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "some text"])
def test_a_damaged_orphan_is_downloaded_again(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, orphan: Path, how: str
) -> None:
    damage(orphan, how)
    report = catalog.fetch(atlas.experiment_ids[:1], api_url=server.url)
    assert (report.fetched, report.recovered) == (atlas.experiment_ids[:1], ())
    np.testing.assert_array_equal(catalog.volume(atlas.experiment_ids[0]), atlas.volume(atlas.experiment_ids[0]))


@sqlite_first
def test_an_orphan_that_cannot_be_read_is_left_alone(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, orphan: Path
) -> None:
    first, second = atlas.experiment_ids[:2]
    folder = orphan.with_name(orphan.name.replace(str(first), str(second)))
    folder.mkdir()
    report = catalog.fetch([second], api_url=server.url)
    assert (report.fetched, report.recovered) == ((second,), ())
    assert folder.is_dir()


@sqlite_first
def test_a_file_named_for_another_experiment_is_not_recovered(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, orphan: Path
) -> None:
    first, second = atlas.experiment_ids[:2]
    shutil.copy(orphan, orphan.with_name(orphan.name.replace(str(first), str(second))))
    report = catalog.fetch([first, second], api_url=server.url)
    assert (report.fetched, report.recovered) == ((second,), (first,))
    np.testing.assert_array_equal(catalog.volume(second), atlas.volume(second))


@sqlite_first
def test_a_file_of_another_kind_is_not_recovered(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, orphan: Path
) -> None:
    other = catalog.path / "volumes" / "data_mask" / "100um" / orphan.name
    other.parent.mkdir(parents=True)
    shutil.copy(orphan, other)
    report = catalog.fetch(atlas.experiment_ids[:1], kind="data_mask", api_url=server.url)
    assert (report.fetched, report.recovered) == (atlas.experiment_ids[:1], ())


@sqlite_first
def test_other_files_in_the_folder_are_left_alone(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer, orphan: Path
) -> None:
    second = atlas.experiment_ids[1]
    others = [orphan.with_name(name) for name in ("notes.txt", ".hidden", "x.0123.h5", str(second))]
    for other in others:
        other.write_text("mine")
    report = catalog.fetch([second], api_url=server.url)
    assert (report.fetched, report.recovered) == ((second,), ())
    assert [other.read_text() for other in others] == ["mine"] * 4
