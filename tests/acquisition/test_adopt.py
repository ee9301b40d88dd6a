from __future__ import annotations

import csv
import functools
import gzip
import io
import json
import os
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bsv_store.catalog.ingest import ingest_unionizes
from bsv_store.errors import InputError, NoSpaceError
from bsv_store.sources.allen import AllenClient
from bsv_store.text import ids_option
from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import SyntheticServer, wire, wire_volumes
from tests.acquisition.stored import count
from tests.catalogs import ATLAS

from .conftest import Recorder

if TYPE_CHECKING:
    from bsv_store import Store

FIRST, SECOND, THIRD = ATLAS.experiment_ids[:3]


@functools.cache
def packed_volume(experiment_id: int, kind: VolumeKind = "projection_density", spacing_um: int = 100) -> bytes:
    return wire_volumes.grid_nrrd(ATLAS, experiment_id, kind, spacing_um)


def bsv_cache(folder: Path, *ids: int) -> Path:
    """A cache as Brain Street View leaves it behind."""
    for i in ids:
        own = folder / str(i)
        own.mkdir(parents=True)
        (own / "density.raw").write_bytes(ATLAS.volume(i).tobytes(order="F"))
        rows = [{**row, "experimentID": i} for row in wire.unionize_rows(ATLAS, i) if row["is_injection"]]
        (own / "injectionSummary_all.json").write_text(json.dumps(rows))
    (folder / "temp.zip").write_bytes(b"left over")
    return folder


def csv_of(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def unionize_csv(experiment_id: int) -> str:
    rows = wire.unionize_rows(ATLAS, experiment_id)
    return csv_of([{"experiment_id": row.pop("section_data_set_id"), **row} for row in map(dict, rows)])


def written_lists(folder: Path, ids: Sequence[int] = ATLAS.experiment_ids) -> None:
    """Write the structures, and the list of these experiments."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "structures.json").write_text(json.dumps(wire.structure_rows(structure_sets=True)))
    lines = [row for i in ids for row in wire.connectivity_rows(ATLAS.experiment(i))]
    (folder / "experiments.json").write_text(json.dumps(lines))


def written_annotation(folder: Path) -> Path:
    path = folder / "annotation" / "ccf_2017" / "annotation_100.nrrd"
    path.parent.mkdir(parents=True)
    path.write_bytes(wire_volumes.annotation_nrrd(100))
    return path


def allensdk_cache(folder: Path, *ids: int, mask_um: int = 100) -> Path:
    """A cache as AllenSDK leaves it behind, with the tables and volumes of experiments, but without their list."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text("{}")
    for i in ids:
        own = folder / f"experiment_{i}"
        own.mkdir()
        (own / "structure_unionizes.csv").write_text(unionize_csv(i))
        (own / "projection_density_100.nrrd").write_bytes(packed_volume(i))
        (own / f"data_mask_{mask_um}.nrrd").write_bytes(packed_volume(i, "data_mask", mask_um))
    return folder


# -- AllenSDK -----------------------------------------------------------------------------------------------------


def test_an_allensdk_cache_fills_an_empty_store_once(store: Store, tmp_path: Path, recorder: Recorder) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST, SECOND, mask_um=50)
    written_lists(folder)
    written_annotation(folder)
    report = store.adopt(folder, progress=recorder)
    assert report.layout == "allensdk"
    assert report.structures is not None
    assert report.structures.added == len(ATLAS.structures)
    assert report.experiments is not None
    assert report.experiments.added == len(ATLAS.experiment_ids)
    assert (report.unionizes, report.volumes, report.annotations) == (2, 4, 1)
    assert (report.present, report.refused) == (0, ())
    assert "2 unionize tables, 1 annotation and 4 volumes adopted" in report.summary()
    np.testing.assert_array_equal(store.atlas.annotation(spacing_um=100), ATLAS.annotation)
    assert count(store, "unionize") == sum(len(ATLAS.unionize(i)) for i in (FIRST, SECOND))
    assert count(store, "unionize_coverage") == 4
    np.testing.assert_array_equal(store.volume(FIRST), ATLAS.volume(FIRST))
    assert store.volume(SECOND, kind="data_mask", spacing_um=50).shape == (264, 160, 228)
    sources = set(store.sql("SELECT source FROM volume")["source"])
    assert f"mouse/experiment_{FIRST}/projection_density_100.nrrd" in sources
    assert (recorder.done, recorder.finished) == (recorder.total, True)
    assert recorder.size_bytes == report.size_bytes > 0

    snapshots = count(store, "source_snapshot")
    again = store.adopt(folder)
    assert (again.unionizes, again.volumes, again.annotations) == (0, 0, 0)
    assert (again.present, again.refused) == (7, ())
    assert count(store, "source_snapshot") == snapshots
    assert "7 already present" in again.summary()


def test_named_experiments_that_a_cache_does_not_have_are_listed(catalog: Store, tmp_path: Path) -> None:
    cache = allensdk_cache(tmp_path / "mouse", FIRST, SECOND)
    # The ids may be of any type, and can be read only once.
    report = catalog.adopt(cache, experiment_ids=(each for each in (SECOND, THIRD)))  # type: ignore[arg-type]
    assert (report.unionizes, report.volumes) == (1, 2)
    assert f"The cache has no files of 1 experiment: {THIRD}." in report.remarks
    assert catalog.adopt(cache, experiment_ids=FIRST).volumes == 2  # type: ignore[arg-type]
    with pytest.raises(InputError, match="experiment_ids must be a positive integer, got 'all'"):
        catalog.adopt(cache, experiment_ids="all")  # type: ignore[arg-type]


def test_the_cache_is_only_read_and_other_files_are_listed(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST)

    def state() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}

    before = state()
    report = catalog.adopt(folder)
    assert state() == before
    assert {refused.path.name: refused.reason for refused in report.ignored} == {
        "manifest.json": "AllenSDK's own list of paths",
    }


def test_an_invalid_annotation_is_refused_and_the_other_files_are_adopted(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST)
    path = written_annotation(folder)
    path.write_bytes(path.read_bytes()[:-100])
    report = catalog.adopt(folder)
    assert (report.annotations, report.volumes) == (0, 2)
    assert [refused.path for refused in report.refused] == [path]
    assert "truncated" in report.refused[0].reason


def test_an_annotation_under_a_wrong_name_is_refused(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse")
    path = written_annotation(folder)
    path.rename(path.with_name("annotation_25.nrrd"))
    assert "not of 25 um" in catalog.adopt(folder).refused[0].reason


def test_an_annotation_that_the_store_has_otherwise_is_kept_out(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse")
    path = written_annotation(folder)
    catalog.adopt(folder)
    path.write_bytes(wire_volumes.nrrd(ATLAS.annotation[..., ::-1], 100, dtype="u4"))
    assert "differs" in catalog.adopt(folder).refused[0].reason
    np.testing.assert_array_equal(catalog.atlas.annotation(spacing_um=100), ATLAS.annotation)


def test_only_the_named_experiments_are_adopted_and_no_annotation(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST, SECOND)
    written_annotation(folder)
    report = catalog.adopt(folder, experiment_ids=[SECOND])
    assert (report.unionizes, report.volumes, report.annotations, report.refused) == (1, 2, 0, ())
    assert set(catalog.sql("SELECT experiment_id FROM volume")["experiment_id"]) == {SECOND}


def test_a_template_is_adopted_once_and_not_replaced(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse")
    written_annotation(folder)
    path = folder / "average_template_100.nrrd"
    path.write_bytes(wire_volumes.template_nrrd(100))
    report = catalog.adopt(folder)
    assert (report.templates, report.refused) == (1, ())
    assert "1 annotation, 1 template and 0 volumes adopted" in report.summary()
    # Compared with the annotation of the same cache.
    assert any("It fits the brain in the annotation at 100 um" in remark for remark in report.remarks)
    template = catalog.atlas.template(spacing_um=100)
    assert catalog.atlas.recorded_template(spacing_um=100).source == "mouse/average_template_100.nrrd"
    assert catalog.adopt(folder).templates == 0
    path.write_bytes(wire_volumes.nrrd(template + 1, 100, dtype="u2"))
    assert "the stored template was kept" in catalog.adopt(folder).refused[0].reason
    path.rename(folder / "average_template_25.nrrd")
    assert "not of 25 um" in catalog.adopt(folder).refused[0].reason
    np.testing.assert_array_equal(catalog.atlas.template(spacing_um=100), template)


def damaged(folder: Path, name: str) -> Path:
    """One file of the cache spoiled; its path."""
    path = folder / f"experiment_{FIRST}" / name
    if name.endswith(".nrrd"):
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.write_text(path.read_text()[:-30])
    return path


@pytest.mark.parametrize("name", ["projection_density_100.nrrd", "data_mask_100.nrrd", "structure_unionizes.csv"])
def test_a_damaged_file_is_refused_and_the_others_are_adopted(catalog: Store, tmp_path: Path, name: str) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST, SECOND)
    bad = damaged(folder, name)
    report = catalog.adopt(folder)
    assert [refused.path for refused in report.refused] == [bad]
    assert str(bad) in report.refused[0].reason
    assert "Get it again from its source" in report.refused[0].reason
    assert report.unionizes + report.volumes == 5
    assert report.volumes == count(catalog, "volume")
    assert len([*(catalog.path / "volumes").rglob("*.h5")]) == report.volumes


@pytest.mark.parametrize("name", ["structures.json", "experiments.json"])
def test_a_damaged_list_is_refused_and_dependent_files_report_it(store: Store, tmp_path: Path, name: str) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST)
    written_lists(folder)
    written_annotation(folder)
    (folder / name).write_text((folder / name).read_text()[:-5])
    report = store.adopt(folder)
    assert folder / name in [refused.path for refused in report.refused]
    # Without its list nothing of an experiment can be placed, nor, without structures, the annotation.
    assert len(report.refused) == (6 if name == "structures.json" else 4)
    assert "bsv-store sync experiments" in report.refused[-1].reason
    assert count(store, "experiment") == 0
    assert count(store, "structure") == (0 if name == "structures.json" else len(ATLAS.structures))


def test_an_unknown_experiment_is_refused(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST)
    (folder / f"experiment_{FIRST}").rename(folder / "experiment_7")
    report = catalog.adopt(folder)
    assert len(report.refused) == 3
    assert all("does not have 1 of the experiments: 7" in refused.reason for refused in report.refused)
    assert count(catalog, "volume") == 0


def test_a_table_under_another_experiments_name_is_refused(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST)
    (folder / f"experiment_{FIRST}" / "structure_unionizes.csv").write_text(unionize_csv(SECOND))
    report = catalog.adopt(folder)
    (refused,) = report.refused
    assert f"has rows of the experiments ({SECOND},), not of {FIRST}" in refused.reason
    assert count(catalog, "unionize") == 0


def test_a_volume_of_another_spacing_than_its_name_is_refused(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST)
    own = folder / f"experiment_{FIRST}"
    (own / "data_mask_100.nrrd").rename(own / "data_mask_50.nrrd")
    report = catalog.adopt(folder)
    assert ["of 100 um, not of 50 um" in refused.reason for refused in report.refused] == [True]


# -- Brain Street View --------------------------------------------------------------------------------------------


def test_a_bsv_cache_is_adopted(catalog: Store, tmp_path: Path) -> None:
    report = catalog.adopt(bsv_cache(tmp_path / "cache", FIRST, SECOND))
    assert (report.layout, report.structures, report.experiments) == ("bsv", None, None)
    assert (report.unionizes, report.volumes, report.present, report.refused) == (2, 2, 0, ())
    assert [refused.path.name for refused in report.ignored] == ["temp.zip"]
    np.testing.assert_array_equal(catalog.volume(FIRST), ATLAS.volume(FIRST))
    parts = catalog.sql("SELECT experiment_id, part FROM unionize_coverage ORDER BY experiment_id")
    side = catalog.sql("SELECT injected_hemisphere FROM experiment WHERE id = :id", {"id": FIRST}).iloc[0, 0]
    assert parts.to_numpy().tolist() == [[FIRST, "injection"], [SECOND, "injection"]]
    assert side == ATLAS.experiment(FIRST).injected_hemisphere


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: raw[:-4], "instead of 4815360"),
        (lambda raw: bytes(4_955_580), "CCFv2"),
        (lambda raw: np.float32(np.nan).tobytes() + raw[4:], "NaN or infinite"),
        (lambda raw: np.float32(2).tobytes() + raw[4:], "fraction of a voxel"),
    ],
    ids=["cut", "old frame", "NaN", "above 1"],
)
def test_a_bad_density_is_refused(catalog: Store, tmp_path: Path, change: Any, reason: str) -> None:
    folder = bsv_cache(tmp_path / "cache", FIRST, SECOND)
    path = folder / str(FIRST) / "density.raw"
    path.write_bytes(change(path.read_bytes()))
    report = catalog.adopt(folder)
    assert [(refused.path, reason in refused.reason) for refused in report.refused] == [(path, True)]
    assert (report.volumes, count(catalog, "volume")) == (1, 1)


def test_an_empty_summary_is_refused(catalog: Store, tmp_path: Path) -> None:
    folder = bsv_cache(tmp_path / "cache", FIRST)
    (folder / str(FIRST) / "injectionSummary_all.json").write_text("[]")
    report = catalog.adopt(folder)
    assert len(report.refused) == 1
    assert report.volumes == 1


# -- beside what the store has ------------------------------------------------------------------------------------


def test_what_came_from_the_api_is_present(catalog: Store, server: SyntheticServer, tmp_path: Path) -> None:
    catalog.fetch([FIRST], api_url=server.url)
    catalog.sync_unionizes([FIRST], api_url=server.url)
    snapshots = count(catalog, "source_snapshot")
    report = catalog.adopt(bsv_cache(tmp_path / "cache", FIRST))
    assert (report.unionizes, report.volumes, report.present) == (0, 0, 2)
    assert count(catalog, "source_snapshot") == snapshots


def test_the_half_that_is_not_from_the_api_is_adopted(catalog: Store, client: AllenClient, tmp_path: Path) -> None:
    """Some have synchronized only what lies inside the injection; the cache of AllenSDK has both halves."""
    reply = client.unionizes([FIRST])
    inside = reply.value.of_parts(["injection"])
    ingest_unionizes(catalog.database, inside, source=reply.source, kind="api")
    folder = allensdk_cache(tmp_path / "cache", FIRST)
    table = folder / f"experiment_{FIRST}" / "structure_unionizes.csv"
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    inside_volumes = {row.projection_volume for row in ATLAS.unionize(FIRST) if row.is_injection}
    # What the API has sent is kept, whatever the file says.
    table.write_text(csv_of([{**row, "volume": "5.0"} for row in rows]))
    report = catalog.adopt(folder)
    assert (report.unionizes, report.refused) == (1, ())
    assert count(catalog, "unionize") == len(ATLAS.unionize(FIRST))
    found = list(catalog.sql("SELECT is_injection, volume, projection_volume FROM unionize").itertuples())
    assert {row.volume for row in found if not row.is_injection} == {5.0}
    assert 5.0 not in {row.volume for row in found if row.is_injection}
    assert {row.projection_volume for row in found if row.is_injection} == inside_volumes
    again = catalog.adopt(folder)
    assert (again.unionizes, again.present) == (0, 3)


def test_a_file_that_differs_from_the_stores_is_refused(
    catalog: Store, server: SyntheticServer, tmp_path: Path
) -> None:
    catalog.fetch([FIRST], api_url=server.url)
    folder = bsv_cache(tmp_path / "cache", FIRST, SECOND)
    (folder / str(SECOND) / "density.raw").replace(folder / str(FIRST) / "density.raw")
    report = catalog.adopt(folder)
    (refused,) = report.refused
    assert f"differs from the projection_density at 100 um of experiment {FIRST}" in refused.reason
    assert server.url in refused.reason
    command = f"bsv-store fetch --refresh {ids_option([FIRST])} --kind projection_density --spacing 100"
    assert refused.reason.endswith(f"current volume: {command}")
    np.testing.assert_array_equal(catalog.volume(FIRST), ATLAS.volume(FIRST))


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "damaged"])
def test_a_lost_or_damaged_file_is_replaced_from_the_cache(
    catalog: Store, server: SyntheticServer, tmp_path: Path, is_lost: bool
) -> None:
    catalog.fetch([FIRST], api_url=server.url)
    (path,) = (catalog.path / "volumes").rglob("*.h5")
    content = path.read_bytes()
    path.unlink()
    if not is_lost:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    report = catalog.adopt(bsv_cache(tmp_path / "cache", FIRST))
    assert report.volumes == 1
    np.testing.assert_array_equal(catalog.volume(FIRST), ATLAS.volume(FIRST))
    assert count(catalog, "volume") == 1


@pytest.mark.parametrize("factor", [1, 0.999])
def test_a_volume_that_is_fetched_during_the_adoption_stays(
    catalog: Store, server: SyntheticServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    folder = bsv_cache(tmp_path / "cache", FIRST)
    changed = ATLAS.volume(FIRST) * np.float32(factor)
    (folder / str(FIRST) / "density.raw").write_bytes(changed.tobytes(order="F"))

    def meanwhile(point: str) -> None:
        if point == "adopt:published":
            assert catalog.fetch([FIRST], refresh=True, api_url=server.url).fetched == (FIRST,)

    monkeypatch.setattr("bsv_store.acquisition.adopt.checkpoint", meanwhile)
    report = catalog.adopt(folder)
    assert report.volumes == 0
    if factor == 1:
        assert (report.present, report.refused) == (1, ())
    else:
        (refused,) = report.refused
        assert "another process has stored the projection_density at 100 um" in refused.reason
    assert catalog.volumes.describe(FIRST)["source"].startswith(server.url)
    np.testing.assert_array_equal(catalog.volume(FIRST), ATLAS.volume(FIRST))
    assert len([*(catalog.path / "volumes").rglob("*.h5")]) == 1


def test_lists_that_shrink_are_adopted_on_request(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    written_lists(folder)
    store.adopt(folder)
    rows = wire.structure_rows(structure_sets=True)
    few = [row for row in rows if len([*filter(None, str(row["structure_id_path"]).split("/"))]) <= 2]
    (folder / "structures.json").write_text(json.dumps(few))
    lines = [row for i in ATLAS.experiment_ids[:1] for row in wire.connectivity_rows(ATLAS.experiment(i))]
    (folder / "experiments.json").write_text(json.dumps(lines))
    refused = {item.path.name: item.reason for item in store.adopt(folder).refused}
    assert "allow_shrinking=True" in refused["structures.json"]
    assert "allow_shrinking=True" in refused["experiments.json"]
    report = store.adopt(folder, allow_shrinking=True)
    assert {item.path.name for item in report.refused}.isdisjoint(refused)
    assert report.experiments is not None
    assert report.experiments.withdrawn == len(ATLAS.experiment_ids) - 1
    with pytest.raises(InputError, match="allow_shrinking must be"):
        store.adopt(folder, allow_shrinking="yes")  # type: ignore[arg-type]


def test_adopted_volumes_are_not_fetched(catalog: Store, server: SyntheticServer, tmp_path: Path) -> None:
    catalog.adopt(bsv_cache(tmp_path / "cache", FIRST))
    assert catalog.fetch([FIRST], api_url=server.url).present == (FIRST,)
    assert server.requests.total == 0


# -- trouble ------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_a_cache_is_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a cache"):
        store.adopt(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        store.adopt(tmp_path / "nowhere")
    file = tmp_path / "file.nrrd"
    file.touch()
    with pytest.raises(InputError, match=r"file\.nrrd is not a folder"):
        store.adopt(file)


def test_a_full_disk_ends_the_run(catalog: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise NoSpaceError("no space left")

    monkeypatch.setattr("bsv_store.acquisition.adopt.publish_volume", full)
    with pytest.raises(NoSpaceError):
        catalog.adopt(bsv_cache(tmp_path / "cache", FIRST))
    assert count(catalog, "volume") == 0


# -- real files ---------------------------------------------------------------------------------------------------


def test_the_real_allensdk_cache_has_one_bad_file(store: Store, data: Path, tmp_path: Path) -> None:
    """At 100 um, and the truncated file: the 25 um volumes take a minute."""
    real = data / "allensdk_cache"
    folder = tmp_path / "cache"
    for path in sorted(real.rglob("*")):
        is_slow = path.name.endswith("_25.nrrd") and path.parent.name != "experiment_288169135"
        if path.is_file() and not is_slow:
            copy = folder / path.relative_to(real)
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy) if path.stat().st_dev == folder.stat().st_dev else copy.write_bytes(path.read_bytes())
    report = store.adopt(folder)
    assert [refused.path.name for refused in report.refused] == ["projection_density_25.nrrd"]
    assert report.refused[0].path.parent.name == "experiment_288169135"
    assert "is truncated" in report.refused[0].reason
    assert (report.unionizes, report.volumes) == (40, 4)
    assert report.structures is not None
    assert report.structures.added == 1327
    assert report.experiments is not None
    assert report.experiments.added == 2995


@pytest.mark.parametrize(("version", "is_old"), [(1.2, True), (1.0, True), (1.3, False)])
def test_the_list_of_an_old_allensdk_cache_is_refused_by_name(
    store: Store, data: Path, tmp_path: Path, version: float, is_old: bool
) -> None:
    manifest = json.loads((data / "allensdk_cache" / "manifest.json").read_text(encoding="utf-8"))
    manifest["manifest"][0]["value"] = version
    folder = tmp_path / "cache"
    written_lists(folder)
    (folder / "mouse_connectivity_manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    report = store.adopt(folder)
    assert (report.experiments is None) == is_old
    assert [refused.path.name for refused in report.refused] == (["experiments.json"] if is_old else [])
    for refused in report.refused:
        assert f"of version {version:g}: the cache was written by AllenSDK 0.13 or older" in refused.reason
        assert "sync experiments" in refused.reason


def test_a_cache_in_a_folder_whose_name_is_not_utf_8_is_adopted(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9"
    written_lists(folder)
    assert store.adopt(folder).refused == ()
    assert [each.source for each in store.catalog.snapshots()] == [
        "caf\\udce9/structures.json",
        "caf\\udce9/experiments.json",
    ]
    written_lists(tmp_path / "fewer", ATLAS.experiment_ids[1:])
    list_file = tmp_path / "liste_\udce9_2020-07.json"
    (tmp_path / "fewer" / "experiments.json").rename(list_file)
    assert store.ingest_experiments(list_file, allow_shrinking=True).withdrawn == 1
    assert store.catalog.snapshots()[-1].source == "liste_\\udce9_2020-07.json"


@pytest.mark.long
def test_the_whole_real_allensdk_cache_is_adopted(store: Store, data: Path) -> None:
    report = store.adopt(data / "allensdk_cache")
    assert [refused.path.name for refused in report.refused] == ["projection_density_25.nrrd"]
    assert (report.unionizes, report.volumes, report.annotations) == (40, 7, 1)
    assert {refused.path.name for refused in report.ignored} == {"manifest.json"}


# -- files in other forms -----------------------------------------------------------------------------------------


def test_a_header_that_turns_its_density_is_refused(catalog: Store, tmp_path: Path) -> None:
    folder = bsv_cache(tmp_path / "cache", FIRST)
    with zipfile.ZipFile(io.BytesIO(wire_volumes.grid_zip(ATLAS, FIRST, ("density",)))) as archive:
        header = archive.read("density.mhd").decode()
    path = folder / str(FIRST) / "density.mhd"
    path.write_text(header.replace("1 0 0 0 1 0 0 0 1", "1 0 0 0 1 0 0 0 -1"))
    (refused,) = catalog.adopt(folder).refused
    assert refused.path.name == "density.raw"
    assert "transformmatrix must be 1 0 0 0 1 0 0 0 1, got '1 0 0 0 1 0 0 0 -1'" in refused.reason
    path.write_text(header)
    report = catalog.adopt(folder)
    assert (report.volumes, report.refused) == (1, ())


def test_compressed_files_are_adopted(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST)
    for path in sorted((folder / f"experiment_{FIRST}").iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    report = catalog.adopt(folder)
    assert (report.unionizes, report.volumes, report.refused) == (1, 2, ())
    np.testing.assert_array_equal(catalog.volume(FIRST), ATLAS.volume(FIRST))
    assert count(catalog, "unionize") == len(ATLAS.unionize(FIRST))
    # The same voxels, compressed as one gzip member instead of two.
    head, body = packed_volume(FIRST).split(b"\n\n", 1)
    voxels = gzip.decompress(body)
    two_members = gzip.compress(voxels[:1_000_000], 1) + gzip.compress(voxels[1_000_000:], 1)
    own = tmp_path / "two" / f"experiment_{FIRST}"
    own.mkdir(parents=True)
    (own / "projection_density_100.nrrd").write_bytes(head + b"\n\n" + two_members)
    report = catalog.adopt(tmp_path / "two")
    assert (report.volumes, report.present, report.refused) == (0, 1, ())


def test_summaries_of_matlab_are_adopted(catalog: Store, tmp_path: Path) -> None:
    loadmat = pytest.importorskip("scipy.io", reason="SciPy writes the MAT files")
    for i in (FIRST, SECOND):
        own = tmp_path / "cache" / str(i)
        own.mkdir(parents=True)
        rows = [{**row, "experimentID": i} for row in wire.unionize_rows(ATLAS, i) if row["is_injection"]]
        # In MATLAB all numbers are doubles.
        numbers = [tuple(v if isinstance(v, bool) else float(v) for v in row.values()) for row in rows]
        found = np.empty((len(rows), 1), [(name, object) for name in rows[0]])
        found[:, 0] = numbers
        loadmat.savemat(own / "injectionSummary_all.mat", {"injectionInfo": found}, do_compression=True)
    report = catalog.adopt(tmp_path / "cache")
    assert (report.unionizes, report.refused) == (2, ())
    expected = sum(row.is_injection for i in (FIRST, SECOND) for row in ATLAS.unionize(i))
    assert count(catalog, "unionize") == expected
    stored = catalog.sql(f"SELECT sum(projection_volume) AS v FROM unionize WHERE experiment_id = {FIRST}")["v"].item()
    assert stored == pytest.approx(sum(row.projection_volume for row in ATLAS.unionize(FIRST) if row.is_injection))


def test_a_summary_of_matlab_may_be_a_cell_array_behind_objects(catalog: Store, tmp_path: Path) -> None:
    savemat = pytest.importorskip("scipy.io", reason="SciPy writes the MAT files").savemat
    rows = [{**row, "experimentID": FIRST} for row in wire.unionize_rows(ATLAS, FIRST) if row["is_injection"]]
    path = tmp_path / "cache" / str(FIRST) / "injectionSummary_all.mat"
    path.parent.mkdir(parents=True)
    savemat(path, {"injectionInfo": np.array(rows, object)})
    body = path.read_bytes()
    # A string of MATLAB: an array of the class 17, which has a name and no shape.
    parts = (
        struct.pack("<4I", 6, 8, 17, 0) + struct.pack("<2I8s", 1, 8, b"greeting") + struct.pack("<2I8s", 1, 4, b"MCOS")
    )
    path.write_bytes(body[:128] + struct.pack("<2I", 14, len(parts)) + parts + body[128:])
    report = catalog.adopt(tmp_path / "cache")
    assert (report.unionizes, report.refused) == (1, ())
    assert count(catalog, "unionize") == sum(row.is_injection for row in ATLAS.unionize(FIRST))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"MATLAB 5.0 MAT-file", "is not a readable MAT file"),
        (b"\0" * 512 + b"\x89HDF\r\n\x1a\n", "is a MAT file of version 7.3, which is not supported"),
        (b"", "is not a readable MAT file"),
    ],
)
def test_damaged_summaries_of_matlab_are_refused(catalog: Store, tmp_path: Path, body: bytes, words: str) -> None:
    path = tmp_path / "cache" / str(FIRST) / "injectionSummary_all.mat"
    path.parent.mkdir(parents=True)
    path.write_bytes(body)
    (refused,) = catalog.adopt(tmp_path / "cache").refused
    assert words in refused.reason


def test_ignored_files_are_counted_by_reason(catalog: Store, tmp_path: Path) -> None:
    folder = allensdk_cache(tmp_path / "mouse", FIRST)
    for name in "abcde":
        (folder / f"experiment_{FIRST}" / f"{name}.txt").write_text("notes")
    report = catalog.adopt(folder)
    assert report.ignored_by_reason(names=2) == (
        f"5 files ignored, unknown file: experiment_{FIRST}/a.txt, experiment_{FIRST}/b.txt and 3 more",
        "1 file ignored, AllenSDK's own list of paths: manifest.json",
    )
