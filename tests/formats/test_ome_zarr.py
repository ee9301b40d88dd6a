from __future__ import annotations

import builtins
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from bsv_store.errors import InputError
from bsv_store.formats.ome_zarr import write_ome_zarr
from bsv_store.formats.table import IMAGE_FORMATS, write_file
from bsv_store.volumes.grid import Grid
from tests.formats.bodies import voxels
from tests.formats.images import image_of


def written(path: Path, array: NDArray[Any], **facts: Any) -> Any:
    """The group of the written file; zarr has types for each version of its format."""
    write_file(image_of(array, **facts), path, IMAGE_FORMATS)
    return zarr.open_group(path, mode="r")


@pytest.mark.parametrize("name", ["a.zarr", "a.ome.zarr"])
def test_a_volume_reads_back_equal(tmp_path: Path, name: str) -> None:
    array = voxels()
    array[1, 2, 3] = np.nan
    level = written(tmp_path / name, array)["0"]
    assert level.metadata.zarr_format == 3
    assert (level.dtype, level.metadata.dimension_names) == (np.float32, ("z", "y", "x"))
    np.testing.assert_array_equal(level[:], array)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_voxels_are_where_they_are_in_the_ccf(tmp_path: Path) -> None:
    attributes = written(tmp_path / "a.zarr", voxels()).attrs.asdict()
    assert attributes["ome"]["version"] == "0.5"
    (image,) = attributes["ome"]["multiscales"]
    assert [axis["unit"] for axis in image["axes"]] == ["micrometer"] * 3
    (level,) = image["datasets"]
    scale, translation = level["coordinateTransformations"]
    grid = Grid(100)
    for axis, number in (("AP", 0), ("DV", 1), ("ML", 2)):
        centers = np.arange(grid.shape[number]) * scale["scale"][number] + translation["translation"][number]
        np.testing.assert_array_equal(centers, grid.centers_um(axis))  # type: ignore[arg-type]
    assert attributes["bsv_store"]["axes"] == {"z": "AP", "y": "DV", "x": "ML"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_groups_are_channels(tmp_path: Path, dtype: str) -> None:
    means = np.stack([voxels() * factor for factor in (1, -2)]).astype(dtype)
    means[0, 0, 0, 0] = np.nan
    root = written(tmp_path / "a.zarr", means, groups=("one", "two"))
    level = root["0"]
    assert (level.dtype, level.metadata.dimension_names) == (dtype, ("c", "z", "y", "x"))
    np.testing.assert_array_equal(level[:], means)
    ome = root.attrs.asdict()["ome"]
    assert ome["multiscales"][0]["axes"][0] == {"name": "c", "type": "channel"}
    transformations = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert transformations == [
        {"type": "scale", "scale": [1.0, 100.0, 100.0, 100.0]},
        {"type": "translation", "translation": [0.0, 50.0, 50.0, 50.0]},
    ]
    channels = ome["omero"]["channels"]
    assert [channel["label"] for channel in channels] == ["one", "two"]
    assert channels[0]["window"]["max"] == np.nanmax(means[0])
    assert channels[1]["window"]["min"] == means[1].min()


def test_a_group_without_data_has_a_window(tmp_path: Path) -> None:
    root = written(tmp_path / "a.zarr", np.full((1, *Grid(100).shape), np.nan, np.float32))
    assert root.attrs.asdict()["ome"]["omero"]["channels"][0]["window"]["max"] == 0


def test_masks_are_numbers(tmp_path: Path) -> None:
    mask = voxels() > 0.5
    level = written(tmp_path / "a.zarr", mask, content="mask")["0"]
    assert level.dtype == np.uint8
    np.testing.assert_array_equal(level[:], mask)


@pytest.mark.parametrize("planes", [1, 7, 64])
def test_slabs_are_cut_into_chunks_in_bounded_memory(tmp_path: Path, planes: int) -> None:
    array = voxels()
    slabs = [(start, array[start : start + planes]) for start in range(0, len(array), planes)]
    tracemalloc.start()
    level = written(tmp_path / "a.zarr", array, slabs=lambda _: slabs)["0"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A layer of 32 planes has 1.2 MB, the array 4.8 MB.
    assert peak < 4_000_000
    np.testing.assert_array_equal(level[:], array)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def broken(_: int) -> Any:
        yield 0, voxels()[:40]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        written(tmp_path / "a.zarr", voxels(), slabs=broken)
    assert list(tmp_path.iterdir()) == []


def test_without_zarr_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "zarr":
            raise ImportError(name)
        return load(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match="not installed") as caught:
        write_ome_zarr(image_of(voxels()), tmp_path / "a.zarr")
    assert "bsv-store[zarr]" in str(caught.value.hint)
