from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
import xarray as xr

from bsv_store import Selection, by_coordinate, by_field, crossed
from bsv_store.datasets.original_inputs import content_of_file
from bsv_store.datasets.result.content_hash import planes_per_chunk
from bsv_store.datasets.result.contents import read_inputs, write_labels
from bsv_store.datasets.result.file import _sealed_memory
from bsv_store.errors import DamagedFileError
from bsv_store.vocabulary import SPACINGS_UM, STATISTICS
from bsv_store.volumes.grid import Grid
from tests.datasets.world import IDS, VISUAL, ask

if TYPE_CHECKING:
    from bsv_store import Store

EVERYBODY = Selection(ids=IDS)


def test_xarray_opens_the_file_with_labelled_axes(filled: Store) -> None:
    version = ask(filled, EVERYBODY, by_coordinate("AP", edges=[3000, 8200, 9400]), statistics=("mean", "sd", "n"))
    with xr.open_dataset(version.path, engine="h5netcdf") as data:
        assert data["mean"].dims == ("group", "ap", "dv", "ml")
        assert data["group"].to_numpy().tolist() == ["AP 3,000-8,200 um", "AP 8,200-9,400 um"]
        assert data["ap"].to_numpy()[[0, -1]].tolist() == [50.0, 13150.0]
        assert data["ml"].attrs["units"] == "um"
        assert data["group_center"].to_numpy().tolist() == [6700.0, 26900 / 3]
        assert data["group_lower"].to_numpy().tolist() == [3000.0, 8200.0]
        assert data["group_center"].attrs["axis_name"] == "AP"
        assert data["member"].to_numpy().tolist() == [*range(1, 7), 7]
        assert data["member_group"].to_numpy().tolist() == [0, 0, 1, 1, 1, 0, -1]
        assert data["member_left_out_reason"].to_numpy()[-1] == "the AP injection coordinate is not known"
        assert data.attrs["Conventions"] == "CF-1.10"
        assert data.attrs["orientation"] == "asl"
        assert data.attrs["recipe"] == version.recipe.to_json()
        assert data.attrs["fingerprint"] == version.fingerprint
        picked = data["mean"].sel(group="AP 3,000-8,200 um").sel(ap=8040, dv=2000, ml=7000, method="nearest")
        assert float(picked) == version.mean[0, 80, 19, 69] or float(picked) == version.mean[0, 80, 20, 70]
        np.testing.assert_array_equal(data["mean"].to_numpy(), version.mean)
        assert data["n"].dtype == np.uint32


def test_to_xarray_is_what_xarray_reads_from_the_file(filled: Store) -> None:
    grouping = crossed(by_coordinate("AP", edges=[0, 8200, 9400]), by_coordinate("ML", edges=[0, 5700, 11400]))
    version = ask(filled, EVERYBODY, grouping, statistics=tuple(STATISTICS))
    with xr.open_dataset(version.path, engine="h5netcdf") as data:
        found = version.to_xarray()
        xr.testing.assert_equal(found, data)
        assert set(found.coords) == set(data.coords)
        assert {name: variable.attrs for name, variable in found.variables.items()} == {
            name: variable.attrs for name, variable in data.variables.items()
        }
        assert found.attrs == {**data.attrs, "dataset": version.ref, "empty_groups": []}


def test_groups_are_coordinates_and_every_variable_is_described(filled: Store) -> None:
    version = ask(filled, EVERYBODY, by_coordinate("AP", edges=[3000, 8200, 9400]), statistics=tuple(STATISTICS))
    with xr.open_dataset(version.path, engine="h5netcdf") as data:
        of_groups = {"group_label", "group_n", "group_center", "group_lower", "group_upper"}
        of_members = {name for name in data.variables if str(name).startswith("member_")}
        assert len(of_members) == 5
        assert set(data.coords) == {"group", "ap", "dv", "ml", "member", "inputs", *of_groups, *of_members}
        assert set(data.data_vars) == set(STATISTICS)
        # Nothing that a table of voxels would repeat in every row.
        assert set(data["mean"].coords) == {"group", "ap", "dv", "ml", *of_groups}
        np.testing.assert_allclose(data.mean("ml")["mean"], version.mean.mean(axis=-1), rtol=1e-5)
        assert data["group_label"].to_numpy().tolist() == data["group"].to_numpy().tolist()
        assert data["group_n"].to_numpy().tolist() == [group.n for group in version.groups]
        assert [name for name, variable in data.variables.items() if not variable.attrs.get("long_name")] == []
        assert "bsv-store" in data.attrs["history"]
        assert f"algorithm version {version.algorithm_version}" in data.attrs["history"]


def test_a_file_of_an_earlier_version_is_read_in_the_same_way(filled: Store, tmp_path: Path) -> None:
    version = ask(filled, EVERYBODY, by_coordinate("AP", edges=[3000, 8200, 9400]))
    expected = version.to_xarray()
    older = tmp_path / "older.nc"
    older.write_bytes(version.path.read_bytes())
    with h5py.File(older, "r+") as file:
        del file["mean"].attrs["coordinates"]
        text = read_inputs(file)
        for name in ("group_label", "label_length", "inputs", "document"):
            del file[name]
        for name in ("history", "coordinates"):
            del file.attrs[name]
        file.create_dataset("inputs", data=text, dtype=h5py.string_dtype())
    content = older.read_bytes()
    version.path.write_bytes(content)
    old = replace(version, size_bytes=len(content), file_sha256=hashlib.sha256(content).hexdigest())
    found = old.to_xarray()
    assert set(found.coords) == set(expected.coords) - {"group_label"}
    xr.testing.assert_equal(found, expected.drop_vars("group_label"))
    assert content_of_file(old) == content_of_file(ask(filled, EVERYBODY, version.recipe.grouping, name="new"))
    np.testing.assert_array_equal(old.mean, expected["mean"])


@pytest.mark.parametrize("labels", [["wild-type", "Müller-Cre µ"], ["", "a"], [""]])
def test_labels_as_characters_are_those_of_the_groups(labels: list[str], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nc", "w") as file:
        write_labels(file, labels)
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as data:
        assert data["group_label"].to_numpy().tolist() == data["group"].to_numpy().tolist() == labels


def test_plain_hdf5_programs_read_the_file(filled: Store) -> None:
    version = ask(filled)
    with h5py.File(version.path, "r") as file:
        np.testing.assert_array_equal(file["mean"][()], version.mean)
        assert file["group"].asstr()[()].tolist() == ["all"]
        assert [file["mean"].dims[axis][0].name for axis in range(4)] == ["/group", "/ap", "/dv", "/ml"]
        assert file["mean"].fletcher32
        assert np.isnan(file["group_lower"][0])


def test_the_second_coordinate_of_crossed_groups_is_recorded_too(filled: Store) -> None:
    grouping = crossed(by_coordinate("AP", edges=[0, 8200, 9400]), by_coordinate("ML", edges=[0, 5700, 11400]))
    version = ask(filled, VISUAL, grouping)
    with h5py.File(version.path, "r") as file:
        assert file["group_center_2"].attrs["axis_name"] == "ML"
        assert file["group_lower"][()].tolist() == [0.0, 8200.0, 8200.0]
        assert file["group_lower_2"][()].tolist() == [5700.0, 0.0, 5700.0]
    assert ask(filled, VISUAL, crossed(by_field("line"), by_coordinate("AP", bins=2))).axis == "AP"


def test_the_same_result_has_the_same_bytes(filled: Store) -> None:
    versions = [
        ask(filled, EVERYBODY, by_coordinate("AP", bins=3), name=name, statistics=("mean", "sd")) for name in "abc"
    ]
    assert all(version.was_computed for version in versions)
    images = {version.path.read_bytes() for version in versions}
    assert len(images) == 1


def test_the_same_result_has_the_same_bytes_in_another_process(filled: Store) -> None:
    version = ask(filled)
    code = (
        "import sys\n"
        "from bsv_store import open_store\n"
        "from tests.datasets.world import ask\n"
        "with open_store(sys.argv[1]) as store:\n"
        "    print(ask(store, name='other').file_sha256)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(filled.path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=sys.path[0] or ".",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [version.file_sha256]


@pytest.mark.parametrize("place", ["first", "middle", "label", "last"])
def test_a_flipped_bit_is_noticed_before_anything_is_read(filled: Store, place: str) -> None:
    version = ask(filled, EVERYBODY, by_field("line"))
    content = bytearray(version.path.read_bytes())
    where = {"first": 0, "middle": len(content) // 2, "label": content.find(b"wild-type"), "last": len(content) - 1}
    assert where[place] >= 0
    content[where[place]] ^= 4
    version.path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="differs from what was stored") as caught:
        _ = version.mean
    assert caught.value.hint is not None
    assert "bsv-store dataset rebuild test@1" in caught.value.hint


@pytest.mark.parametrize("change", ["missing", "cut", "longer", "empty"])
def test_a_missing_or_cut_file_is_noticed(filled: Store, change: str) -> None:
    version = ask(filled)
    content = version.path.read_bytes()
    if change == "missing":
        version.path.unlink()
    else:
        version.path.write_bytes({"cut": content[:-1], "longer": content + b"\0", "empty": b""}[change])
    with pytest.raises(DamagedFileError, match="missing" if change == "missing" else "differs from what was stored"):
        version.statistic("mean", group=0)


@pytest.mark.parametrize("spacing", SPACINGS_UM)
def test_chunks_divide_the_grid(spacing: int) -> None:
    grid = Grid(spacing)
    planes = planes_per_chunk(grid, 4)
    assert grid.shape[0] % planes == 0
    assert planes == 1 or planes * grid.shape[1] * grid.shape[2] * 4 <= 1_250_000


def test_a_result_in_memory_does_not_keep_its_file_from_being_closed() -> None:
    memory = io.BytesIO()
    memory.write(b"image")
    image, size, _ = _sealed_memory(memory)
    # The garbage collector closes it before the view if both are in a cycle.
    memory.close()
    assert (bytes(image), size) == (b"image", 5)
