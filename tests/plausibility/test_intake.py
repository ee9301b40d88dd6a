"""Wherever a volume comes from it is checked, and the one with the better evidence stays."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import text

from bsv_store.errors import DamagedFileError
from bsv_store.plausibility.anatomy import Divisions, read_divisions
from bsv_store.plausibility.facts import COARSE, GridFacts, stored_facts
from bsv_store.text import ids_option
from bsv_store.volumes.library import publish_volume
from bsv_store.volumes.volume import Volume
from bsv_store_synthetic import SyntheticServer, wire_volumes
from bsv_store_synthetic.faults import Substitute
from tests.acquisition.stored import reports_of_failure
from tests.client_defaults import client_defaults
from tests.plausibility.caches import ATLAS, add_table, fill_catalog, lateral, mirrored, true_volume, write_cache

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile

FIRST = lateral("right")
SAME_SIDE = next(i for i in ATLAS.experiment_ids if i != FIRST and ATLAS.experiment(i).injected_hemisphere == "right")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SyntheticServer]:
    monkeypatch.setitem(client_defaults(), "backoff_s", 0)
    with SyntheticServer(ATLAS) as running:
        yield running
        assert running.errors == []


def wrong_body() -> bytes:
    return wire_volumes.nrrd(mirrored(true_volume(FIRST, "injection_density")), 100, dtype="f4")


@pytest.mark.parametrize("refresh", [False, True])
def test_a_download_that_contradicts_its_experiment_is_reported_and_not_stored(
    store: Store, tmp_path: Path, server: SyntheticServer, refresh: bool
) -> None:
    fill_catalog(store, tmp_path)
    if refresh:
        store.fetch([FIRST], kind="injection_density", api_url=server.url)
    server.fail(f"download_file/{FIRST}", Substitute(wrong_body()), times=None)
    (report,) = reports_of_failure(
        lambda: store.fetch([FIRST], kind="injection_density", refresh=refresh, api_url=server.url)
    )
    (failure,) = report.failed
    assert "is not plausible as the injection_density" in failure.reason
    assert f"bsv-store sync unionizes --refresh {ids_option([FIRST])}" in failure.reason
    assert [path.name for path in (store.path / "volumes").rglob("*.h5")] == (
        [Path(store.volumes.describe(FIRST, kind="injection_density")["path"]).name] if refresh else []
    )


def test_an_orphan_that_contradicts_its_experiment_is_downloaded_again(
    store: Store, tmp_path: Path, server: SyntheticServer
) -> None:
    fill_catalog(store, tmp_path)
    wrong = Volume("injection_density", mirrored(true_volume(FIRST, "injection_density")))
    publish_volume(store.files, wrong, experiment_id=FIRST, source="interrupted")
    report = store.fetch([FIRST], kind="injection_density", api_url=server.url)
    assert (report.fetched, report.recovered) == ((FIRST,), ())
    np.testing.assert_array_equal(
        store.volume(FIRST, kind="injection_density"), true_volume(FIRST, "injection_density")
    )


def test_a_stored_volume_of_another_kind_does_not_keep_out_refreshed_ones(
    store: Store, tmp_path: Path, server: SyntheticServer
) -> None:
    """An injection density of an older registration: shifted by one voxel, which the catalog cannot tell."""
    fill_catalog(store, tmp_path)
    older = np.roll(true_volume(FIRST, "injection_density"), 1, axis=1)
    assert store.adopt(write_cache(tmp_path / "older", FIRST, {"injection_density": older})).volumes == 1
    (refused,) = store.adopt(write_cache(tmp_path / "now", FIRST, {"projection_density": true_volume(FIRST)})).refused
    assert "of the injection density is above the projection density" in refused.reason
    for kind in ("projection_density", "injection_density"):
        assert f"bsv-store fetch --refresh {ids_option([FIRST])} --kind {kind} --spacing 100" in refused.reason
    for kind in ("projection_density", "injection_density"):
        report = store.fetch([FIRST], kind=kind, refresh=True, api_url=server.url)  # type: ignore[arg-type]
        assert (report.fetched, report.failed) == ((FIRST,), ())
    assert store.volumes.check().problems == ()


def test_a_wrong_volume_at_25_um_is_refused(store: Store, tmp_path: Path) -> None:
    fill_catalog(store, tmp_path)
    wrong = mirrored(true_volume(FIRST, "injection_density"))
    cache = write_cache(tmp_path / "wrong", FIRST, {"injection_density": wrong}, spacing_um=25, dtype="f8")
    (refused,) = store.adopt(cache).refused
    assert "is not plausible as the injection_density at 25 um" in refused.reason
    cache = write_cache(tmp_path / "right", FIRST, {"injection_density": mirrored(wrong)}, spacing_um=25, dtype="f8")
    assert store.adopt(cache).volumes == 1
    assert store.volumes.check([FIRST], spacing_um=25).problems == ()
    # As in a store whose upgrade was interrupted.
    with store.database.writing() as connection:
        connection.execute(text("DELETE FROM volume_block_hashes"))
    assert store.volumes.check([FIRST], spacing_um=25).problems == ()


def test_a_volume_that_was_stored_before_its_table_is_found_and_replaced(store: Store, tmp_path: Path) -> None:
    fill_catalog(store, tmp_path, annotation=True)
    wrong = true_volume(SAME_SIDE)
    assert store.adopt(write_cache(tmp_path / "wrong", FIRST, {"projection_density": wrong})).volumes == 1
    assert store.volumes.check().problems == ()
    add_table(store, tmp_path, FIRST)
    (problem,) = store.volumes.check().problems
    assert (problem.experiment_id, problem.kind, problem.spacing_um) == (FIRST, "projection_density", 100)
    assert problem.source == f"wrong/experiment_{FIRST}/projection_density_100.nrrd"
    assert "in the unionize table" in problem.problem
    assert store.volumes.check(kind="data_mask").checked == 0
    report = store.adopt(write_cache(tmp_path / "right", FIRST, {"projection_density": true_volume(FIRST)}))
    assert (report.volumes, report.refused) == (1, ())
    (replaced,) = report.replaced
    assert replaced.reason.startswith("replaces the projection_density from wrong/")
    assert "unionize table" in replaced.reason
    assert "1 of them replaced others" in report.summary()
    np.testing.assert_array_equal(store.volume(FIRST), true_volume(FIRST))
    assert store.volumes.check().problems == ()
    (stored,) = (store.path / "volumes" / "projection_density").rglob("*.h5")
    assert stored == store.volumes.describe(FIRST)["path"]


def test_two_volumes_that_nothing_tells_apart_leave_the_stored_one(store: Store, tmp_path: Path) -> None:
    fill_catalog(store, tmp_path)
    right = true_volume(FIRST)
    store.adopt(write_cache(tmp_path / "first", FIRST, {"projection_density": right}))
    other = right * np.float32(0.999)
    (refused,) = store.adopt(write_cache(tmp_path / "second", FIRST, {"projection_density": other})).refused
    assert "which is from first/" in refused.reason
    assert "not changed: both agree with the distribution of the values, the fraction of" in refused.reason
    np.testing.assert_array_equal(store.volume(FIRST), right)


def test_a_wrong_volume_does_not_keep_out_another_kind_that_the_catalog_supports(store: Store, tmp_path: Path) -> None:
    """A projection density of another experiment is stored; the injection density agrees with the catalog."""
    fill_catalog(store, tmp_path)
    store.adopt(write_cache(tmp_path / "wrong", FIRST, {"projection_density": true_volume(SAME_SIDE)}))
    right = write_cache(
        tmp_path / "right",
        FIRST,
        {kind: true_volume(FIRST, kind) for kind in ("injection_density", "projection_density")},
    )
    report = store.adopt(right)
    assert (report.volumes, report.refused) == (2, ())
    assert len(report.replaced) == 1
    np.testing.assert_array_equal(store.volume(FIRST), true_volume(FIRST))


def test_of_a_folder_with_mirrored_volumes_nothing_is_believed(store: Store, tmp_path: Path) -> None:
    fill_catalog(store, tmp_path)
    kinds = ("data_mask", "injection_density", "projection_density")
    volumes = {kind: true_volume(FIRST, kind) for kind in kinds}  # type: ignore[arg-type]
    wrong = write_cache(tmp_path / "wrong", FIRST, {kind: mirrored(array) for kind, array in volumes.items()})
    report = store.adopt(wrong)
    assert (report.volumes, len(report.refused)) == (0, 3)
    assert "cannot be compared with the catalog, and injection_density_100.nrrd of the same experiment is not" in (
        report.refused[-1].reason
    )
    assert store.adopt(write_cache(tmp_path / "right", FIRST, volumes)).volumes == 3


def test_a_volume_that_is_replaced_during_the_check_is_checked_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_catalog(store, tmp_path, annotation=True)
    store.adopt(write_cache(tmp_path / "wrong", FIRST, {"projection_density": true_volume(SAME_SIDE)}))
    add_table(store, tmp_path, FIRST)
    right = write_cache(tmp_path / "right", FIRST, {"projection_density": true_volume(FIRST)})
    read: list[str] = []

    def replaced_before(files: StoreFiles, file: VolumeFile) -> GridFacts:
        read.append(file.path)
        if len(read) == 1:
            assert len(store.adopt(right).replaced) == 1
        return stored_facts(files, file)

    monkeypatch.setattr("bsv_store.plausibility.judge.stored_facts", replaced_before)
    report = store.volumes.check()
    assert (report.checked, report.problems) == (1, ())
    assert len({read[0], read[-1]}) == 2


def test_a_damaged_annotation_is_not_reported_as_damage_of_volumes(store: Store, tmp_path: Path) -> None:
    fill_catalog(store, tmp_path, tables=(FIRST,), annotation=True)
    cache = write_cache(tmp_path / "right", FIRST, {"projection_density": true_volume(FIRST)})
    assert store.adopt(cache).volumes == 1
    (annotation,) = store.path.glob("volumes/annotation/100um/*.h5")
    annotation.write_bytes(annotation.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match="annotation"):
        store.volumes.check()


def test_the_annotation_is_read_by_the_thread_that_owns_the_run(
    store: Store, tmp_path: Path, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_catalog(store, tmp_path, tables=(FIRST,), annotation=True)
    threads = []

    def noted(*args: Any) -> Divisions | None:
        threads.append(threading.current_thread())
        return read_divisions(*args)

    monkeypatch.setattr("bsv_store.plausibility.judge.read_divisions", noted)
    assert store.fetch([FIRST], api_url=server.url).fetched == (FIRST,)
    assert threads == [threading.main_thread()]


def test_of_several_annotations_the_most_trusted_and_finest_one_is_evidence(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[int] = []

    def noted(values: Any, wanted: Any, **options: Any) -> Any:
        looked_up.append(np.size(wanted))
        return searchsorted(values, wanted, **options)

    searchsorted = np.searchsorted
    fill_catalog(store, tmp_path)
    path = tmp_path / "annotation_50.nrrd"
    path.write_bytes(wire_volumes.annotation_nrrd(50))
    store.ingest_annotation(path)
    for origin, spacing_um in (("unchecked", 100), ("other", 50), ("like_allen", 50)):
        with store.database.writing() as connection:
            connection.execute(text("UPDATE annotation SET origin = :origin WHERE spacing_um = 50"), {"origin": origin})
        with monkeypatch.context() as patch:
            patch.setattr("bsv_store.plausibility.anatomy.np.searchsorted", noted)
            divisions = read_divisions(store.database, store.files)
        assert divisions is not None
        assert divisions.source.startswith(f"annotation at {spacing_um} um")
        assert divisions.codes.shape == (COARSE.size,)
    # Runs of equal ids, not voxels.
    assert max(looked_up) < COARSE.size / 10


def test_real_volumes_pass_and_mirrored_ones_are_refused(store: Store, tmp_path: Path, data: Path) -> None:
    import nrrd

    cache = data / "allensdk_cache"
    store.ingest_structures(cache / "structures.json")
    store.ingest_experiments(data / "experiments_2020-07_2992rows.json")
    wrong = tmp_path / "wrong" / "experiment_158375425"
    wrong.mkdir(parents=True)
    for file in sorted((cache / "experiment_158375425").glob("*_100.nrrd")):
        array, header = nrrd.read(str(file))
        nrrd.write(str(wrong / file.name), np.asfortranarray(array[..., ::-1]), header)
    report = store.adopt(wrong.parent)
    assert (report.volumes, len(report.refused)) == (0, 4)
    assert "4.9% of its signal is in the right" in report.refused[2].reason
    report = store.adopt(cache, experiment_ids=[158375425])
    assert (report.volumes, report.refused) == (4, ())
    assert store.volumes.check().problems == ()


@pytest.mark.long
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_most_real_data_masks_are_refused_under_the_names_of_other_experiments(
    store: Store, tmp_path: Path, data: Path
) -> None:
    """No real mask comes with the table of its experiment, and no table with its mask."""
    cache = data / "allensdk_cache"
    ids = [int(path.parent.name.removeprefix("experiment_")) for path in cache.glob("*/structure_unionizes.csv")]
    store.ingest_structures(cache / "structures.json")
    store.ingest_experiments(data / "experiments_2020-07_2992rows.json")
    store.ingest_annotation(cache / "annotation" / "ccf_2017" / "annotation_25.nrrd")
    for i in ids:
        store.ingest_unionizes(cache / f"experiment_{i}" / "structure_unionizes.csv")
        own = tmp_path / "wrong" / f"experiment_{i}"
        own.mkdir(parents=True)
        shutil.copy(cache / "experiment_158375425" / "data_mask_100.nrrd", own)
    report = store.adopt(tmp_path / "wrong")
    assert (report.volumes, len(report.refused)) == (12, 28)
    assert all("has valid data, but" in refused.reason for refused in report.refused)
    report = store.adopt(cache, experiment_ids=[158375425, 122642490, 127867804])
    assert (report.volumes, report.refused) == (7, ())
