from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import nrrd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from numpy.typing import NDArray

from bsv_store import Selection, by_coordinate
from bsv_store.datasets.groups import GroupInfo, group_number
from bsv_store.datasets.share.export import VERSION_FORMATS
from bsv_store.errors import DamagedFileError, InputError
from tests.datasets.world import IDS, ask, fill
from tests.stores import store_with

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store


def average(store: Store) -> DatasetVersion:
    return ask(store, Selection(ids=IDS), by_coordinate("AP", edges=[3000, 8200, 9400]), statistics=("mean", "sd"))


def fill_and_average(store: Store) -> None:
    fill(store)
    average(store)


averaged = store_with(fill_and_average)


@pytest.fixture
def version(averaged: Store) -> DatasetVersion:
    found = average(averaged)
    assert not found.was_computed
    return found


def test_netcdf_is_the_file_of_the_store(version: DatasetVersion, tmp_path: Path) -> None:
    path = version.export(tmp_path / "a.nc")
    assert path.read_bytes() == version.path.read_bytes()
    with xr.open_dataset(path, engine="h5netcdf") as data:
        assert dict(data.sizes) == {"group": 2, "ap": 132, "dv": 80, "ml": 114, "member": 7, "document": 1}


def test_nrrd_of_several_groups_has_a_list_axis(version: DatasetVersion, tmp_path: Path) -> None:
    array, header = nrrd.read(str(version.export(tmp_path / "a.nrrd")))
    assert array.shape == (132, 80, 114, 2)
    np.testing.assert_array_equal(np.moveaxis(array, -1, 0), version.mean)
    assert header["kinds"] == ["domain", "domain", "domain", "list"]
    assert header["labels"] == ["AP", "DV", "ML", "group"]
    np.testing.assert_array_equal(header["space directions"][:3], [[0, 0.1, 0], [0, 0, -0.1], [-0.1, 0, 0]])
    like_allen = nrrd.read_header(str(version.export(tmp_path / "b.nrrd", like_allen=True)))
    np.testing.assert_array_equal(like_allen["space directions"][:3], np.diag([100.0] * 3))
    assert header["groups"] == "0: AP 3,000-8,200 um (n=3); 1: AP 8,200-9,400 um (n=3)"
    assert header["dataset"] == "test@1"


def test_nrrd_of_one_group_is_three_dimensional(filled: Store, tmp_path: Path) -> None:
    version = ask(filled)
    array, header = nrrd.read(str(version.export(tmp_path / "a.nrrd")))
    np.testing.assert_array_equal(array, version.mean[0])
    assert header["kinds"] == ["domain", "domain", "domain"]


IMAGE_ENDINGS = ("nrrd", "nii", "nii.gz", "npy", "ome.zarr")


def voxels_of(path: Path) -> NDArray[Any]:
    if path.name.endswith(".zarr"):
        root: Any = zarr.open_group(path, mode="r")
        return np.asarray(root["0"][:])
    if path.suffix == ".npy":
        return np.asarray(np.load(path))
    if path.suffix == ".nrrd":
        return np.asarray(nrrd.read(str(path))[0])
    return np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj)


@pytest.mark.parametrize(
    ("ending", "group"), [*((each, 1) for each in IMAGE_ENDINGS), ("nrrd", "1"), ("nrrd", "AP 8,200-9,400 um")]
)
def test_one_group_is_a_three_dimensional_image(
    version: DatasetVersion, tmp_path: Path, ending: str, group: int | str
) -> None:
    found = voxels_of(version.export(tmp_path / f"a.{ending}", group=group))
    np.testing.assert_array_equal(found, version.mean[1])


@pytest.mark.parametrize("ending", IMAGE_ENDINGS)
def test_each_group_is_a_file_of_its_own(version: DatasetVersion, tmp_path: Path, ending: str) -> None:
    paths = version.export_groups(tmp_path / f"mean.{ending}")
    assert [path.name for path in paths] == [f"mean-group{number}.{ending}" for number in range(2)]
    for path, mean in zip(paths, version.mean, strict=True):
        np.testing.assert_array_equal(voxels_of(path), mean)


def test_a_file_of_one_group_names_it(version: DatasetVersion, tmp_path: Path) -> None:
    header = nrrd.read_header(str(version.export(tmp_path / "a.nrrd", group=1)))
    assert header["kinds"] == ["domain"] * 3
    assert header["groups"] == "1: AP 8,200-9,400 um (n=3)"
    assert header["content"] == "mean projection density (fraction of voxel), group 1"


def test_no_file_is_written_if_one_of_the_groups_exists(version: DatasetVersion, tmp_path: Path) -> None:
    (tmp_path / "mean-group1.nrrd").write_text("mine")
    with pytest.raises(InputError, match=r"mean-group1\.nrrd exists"):
        version.export_groups(tmp_path / "mean.nrrd")
    assert [path.name for path in tmp_path.glob("*.nrrd")] == ["mean-group1.nrrd"]
    assert len(version.export_groups(tmp_path / "mean.nrrd", overwrite=True)) == 2


@pytest.mark.parametrize("group", [2, -1, "2", "AP", True, 0.5, "", "9" * 5_000, "\ud800"])
def test_an_unknown_group_is_an_error_that_lists_the_groups(
    version: DatasetVersion, tmp_path: Path, group: int | str
) -> None:
    with pytest.raises(InputError, match="there is no group") as caught:
        version.export(tmp_path / "a.nrrd", group=group)
    assert "0: AP 3,000-8,200 um; 1: AP 8,200-9,400 um" in str(caught.value.hint)
    assert not (tmp_path / "a.nrrd").exists()


@pytest.mark.parametrize("ending", ["nc", "npz", "csv", "bsv.zip"])
def test_a_group_of_other_formats_than_images_is_an_error(version: DatasetVersion, tmp_path: Path, ending: str) -> None:
    for export in (lambda path: version.export(path, group=0), version.export_groups):
        with pytest.raises(InputError, match="do not support the option group") as caught:
            export(tmp_path / f"a.{ending}")
        assert ".nrrd, .nii, .nii.gz, .npy, .zarr" in str(caught.value.hint)


@pytest.mark.parametrize("ending", ["nii", "npy", "nc"])
def test_only_nrrd_files_are_like_allens(version: DatasetVersion, tmp_path: Path, ending: str) -> None:
    with pytest.raises(InputError, match="do not support the option like_allen") as caught:
        version.export(tmp_path / f"a.{ending}", like_allen=True)
    assert ".nrrd" in str(caught.value.hint)


def test_a_label_that_is_another_groups_number_is_ambiguous() -> None:
    groups = [GroupInfo.of(number, label, [], []) for number, label in enumerate(["1", "0", "2"])]
    with pytest.raises(InputError, match="'0' is both a label and a number of groups"):
        group_number(groups, "0", what="test@1")
    assert [group_number(groups, group, what="test@1") for group in (0, 1, "2")] == [0, 1, 2]


def test_numpy_has_axes_and_groups(version: DatasetVersion, tmp_path: Path) -> None:
    with np.load(version.export(tmp_path / "a.npz")) as data:
        np.testing.assert_array_equal(data["mean"], version.mean)
        np.testing.assert_array_equal(data["sd"], version.statistic("sd"))
        assert data["ap_um"][[0, -1]].tolist() == [50.0, 13150.0]
        assert data["group_label"].tolist() == [group.label for group in version.groups]
        assert data["group_lower_um"].tolist() == [3000.0, 8200.0]
        assert str(data["recipe"]) == version.recipe.to_json()
        assert str(data["fingerprint"]) == version.fingerprint


def test_csv_has_the_members(version: DatasetVersion, tmp_path: Path) -> None:
    frame = pd.read_csv(version.export(tmp_path / "a.csv"))
    assert frame.experiment_id.to_list() == list(IDS)
    assert frame.columns[0] == "dataset"
    assert frame.group.isna().sum() == 1


def content_of(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of each file in a folder."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}


def test_npy_is_the_mean(version: DatasetVersion, tmp_path: Path) -> None:
    np.testing.assert_array_equal(np.load(version.export(tmp_path / "a.npy")), version.mean)


def test_ome_zarr_has_a_channel_for_each_group(version: DatasetVersion, tmp_path: Path) -> None:
    root: Any = zarr.open_group(version.export(tmp_path / "a.ome.zarr"), mode="r")
    np.testing.assert_array_equal(root["0"][:], version.mean)
    attributes = root.attrs.asdict()
    assert [each["label"] for each in attributes["ome"]["omero"]["channels"]] == [
        group.label for group in version.groups
    ]
    assert attributes["bsv_store"]["fingerprint"] == version.fingerprint


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ending", ["nrrd", "nii", "nii.gz", "npy", "npz", "zarr"])
def test_large_results_are_written_part_by_part(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, dtype: str
) -> None:
    """At 10 um each group takes 4.8 GB."""
    version = ask(filled, Selection(ids=IDS), by_coordinate("AP", edges=[3000, 8200, 9400]), dtype=dtype)
    # zarr may keep chunks of 2 MB, or 4, that it has written; small ones do not matter.
    monkeypatch.setattr("bsv_store.formats.ome_zarr._CHUNK", (8, 128, 128))
    whole = content_of(version.export(tmp_path / f"whole.{ending}"))
    monkeypatch.setattr("bsv_store.volumes.layout._BLOCK_BYTES", 1 << 20)
    monkeypatch.setattr("bsv_store.datasets.share.image._SLAB_BYTES", 1)
    # How many chunks zarr writes at the same time otherwise depends on the machine.
    with zarr.config.set({"async.concurrency": 1}):
        tracemalloc.start()
        parts = version.export(tmp_path / f"parts.{ending}")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert "mean" not in vars(version)
    # A few chunks and blocks of 1 MB each; the result has 10 MB, or 20.
    assert peak < 6_000_000
    if ending == "npz":
        with np.load(parts) as data, np.load(tmp_path / "whole.npz") as other:
            assert sorted(data) == sorted(other)
            np.testing.assert_array_equal(data["mean"], version.mean)
            assert data["mean"].dtype == dtype
    else:
        assert content_of(parts) == whole


@pytest.mark.parametrize("ending", ["nc", "nrrd", "npz", "csv"])
def test_a_file_that_exists_is_replaced_only_where_allowed(
    version: DatasetVersion, tmp_path: Path, ending: str
) -> None:
    target = tmp_path / f"a.{ending}"
    target.write_text("mine")
    with pytest.raises(InputError, match="exists"):
        version.export(target)
    assert target.read_text() == "mine"
    version.export(target, overwrite=True)
    assert target.stat().st_size > 100
    assert [path.name for path in tmp_path.iterdir() if path.name != "store"] == [target.name]


@pytest.mark.parametrize("name", ["a.tif", "a", "a.nc.gz"])
def test_other_endings_are_errors(version: DatasetVersion, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        version.export(tmp_path / name)
    assert ".nc, .nrrd, .nii, .nii.gz, .npy, .zarr, .npz, .csv" in str(caught.value.hint)


@pytest.mark.parametrize("ending", ["nc", "nrrd", "npz"])
def test_a_damaged_result_is_not_exported(version: DatasetVersion, tmp_path: Path, ending: str) -> None:
    content = bytearray(version.path.read_bytes())
    content[100] ^= 1
    version.path.write_bytes(content)
    target = tmp_path / f"a.{ending}"
    with pytest.raises(DamagedFileError):
        version.export(target)
    assert [path.name for path in tmp_path.iterdir() if path.name != "store"] == []


@pytest.mark.parametrize("ending", [each.ending for each in VERSION_FORMATS])
def test_a_normalized_version_of_several_groups_goes_into_every_format(
    filled: Store, tmp_path: Path, ending: str
) -> None:
    version = ask(filled, grouping=by_coordinate("AP", bins=2), normalize="injection_volume")
    target = tmp_path / f"result{ending}"
    version.export(target)
    assert target.stat().st_size > 0
