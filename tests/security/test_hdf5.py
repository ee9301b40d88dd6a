"""HDF5 and netCDF files cannot make the library open another file, in any reader."""

from __future__ import annotations

import ast
import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import xxhash

from bsv_store.datasets.result.file import open_result
from bsv_store.datasets.result.verified import read_part, unchanged
from bsv_store.errors import DamagedFileError
from bsv_store.volumes.annotation import annotation_from_image, opened_annotation
from bsv_store.volumes.encoding import decode_with_hdf5
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.hdf5 import opened_hdf5
from bsv_store.volumes.large import read_content
from tests.datasets.world import ask
from tests.security.source import calls, imported, keywords

if TYPE_CHECKING:
    from bsv_store import Store

SHAPE = (3, 3, 3)


def _external_link(file: h5py.File, other: Path) -> None:
    file["volume"] = h5py.ExternalLink(str(other), "/volume")


def _soft_link(file: h5py.File, _other: Path) -> None:
    file["elsewhere"] = np.zeros(SHAPE, "<f4")
    file["volume"] = h5py.SoftLink("/elsewhere")


def _soft_link_to_external_link(file: h5py.File, other: Path) -> None:
    file["elsewhere"] = h5py.ExternalLink(str(other), "/")
    file["volume"] = h5py.SoftLink("/elsewhere/volume")


def _dangling_link(file: h5py.File, _other: Path) -> None:
    file["volume"] = h5py.SoftLink("/nothing")


def _unused_external_link(file: h5py.File, other: Path) -> None:
    file["volume"] = np.zeros(SHAPE, "<f4")
    file["unused"] = h5py.ExternalLink(str(other), "/volume")


def _virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout(shape=SHAPE, dtype="<f4")
    layout[...] = h5py.VirtualSource(str(other), "volume", shape=SHAPE)
    file.create_virtual_dataset("volume", layout)


def _virtual_of_itself(file: h5py.File, _other: Path) -> None:
    file["elsewhere"] = np.zeros(SHAPE, "<f4")
    layout = h5py.VirtualLayout(shape=SHAPE, dtype="<f4")
    layout[...] = h5py.VirtualSource(".", "elsewhere", shape=SHAPE)
    file.create_virtual_dataset("volume", layout)


def _external_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("volume", shape=SHAPE, dtype="<f4", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def _group(file: h5py.File, _other: Path) -> None:
    file.create_group("volume")["inner"] = np.zeros(3)


def _loop_of_groups(file: h5py.File, _other: Path) -> None:
    file["volume"] = file["/"]


def _references(file: h5py.File, _other: Path) -> None:
    file["elsewhere"] = np.zeros(3)
    file.create_dataset("volume", data=np.array([file["elsewhere"].ref], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)


def _region_references(file: h5py.File, _other: Path) -> None:
    file["elsewhere"] = np.zeros(3)
    region = file["elsewhere"].regionref[0:2]
    file.create_dataset("volume", data=np.array([region], dtype=h5py.regionref_dtype), dtype=h5py.regionref_dtype)


def _compound(file: h5py.File, _other: Path) -> None:
    file["elsewhere"] = np.zeros(3)
    kind = np.dtype([("at", h5py.ref_dtype), ("number", "<f4")])
    file.create_dataset("volume", shape=(1,), dtype=kind)


def _named_type(file: h5py.File, _other: Path) -> None:
    file["volume"] = np.dtype("<f4")


def _opaque(file: h5py.File, _other: Path) -> None:
    file.create_dataset("volume", data=np.void(b"\x80\x04N."))


def _foreign_filter(file: h5py.File, _other: Path) -> None:
    file.create_dataset("volume", data=np.zeros(SHAPE, "<f4"), compression="lzf")


def _unknown_filter(file: h5py.File, _other: Path) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(SHAPE)
    # Registered for plugins; optional, so that the dataset can be created without one.
    properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    h5py.h5d.create(file.id, b"volume", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(SHAPE), properties)


def _many_arrays(file: h5py.File, _other: Path) -> None:
    for number in range(1001):
        file.create_dataset(str(number), data=0)


HOSTILE = (
    _external_link,
    _soft_link,
    _soft_link_to_external_link,
    _dangling_link,
    _unused_external_link,
    _virtual,
    _virtual_of_itself,
    _external_storage,
    _group,
    _loop_of_groups,
    _references,
    _region_references,
    _compound,
    _named_type,
    _opaque,
    _foreign_filter,
    _unknown_filter,
    _many_arrays,
)


def _as_volume(image: bytes, _folder: Path) -> None:
    decode_with_hdf5(image, Grid(100), what="the volume")


def _as_large_volume(image: bytes, _folder: Path) -> None:
    read_content(io.BytesIO(image), Grid(100), kind="projection_density", experiment_id=1, what="the volume")


def _as_annotation(image: bytes, _folder: Path) -> None:
    annotation_from_image(image, what="the annotation")


def _as_stored_annotation(image: bytes, folder: Path) -> None:
    (folder / "annotation.h5").write_bytes(image)
    row: Any = SimpleNamespace(path="annotation.h5", size_bytes=len(image), file_xxh3=xxhash.xxh3_64_hexdigest(image))
    with opened_annotation(StoreFiles(folder), row) as dataset:
        dataset[0]


def _as_result(image: bytes, folder: Path) -> None:
    path = folder / "result.nc"
    path.write_bytes(image)
    digest = hashlib.sha256(image).hexdigest()
    with open_result(path, size_bytes=len(image), file_sha256=digest, what="a@1") as file:
        file["volume"][()]


def _as_part_of_a_result(image: bytes, folder: Path) -> None:
    path = folder / "result.nc"
    path.write_bytes(image)
    digest = hashlib.sha256(image).hexdigest()
    with unchanged(path, size_bytes=len(image), file_sha256=digest, what="a@1") as hashed:
        read_part(path, "volume", (0,), hashed=hashed, size_bytes=len(image), what="a@1")


READERS = (_as_volume, _as_large_volume, _as_annotation, _as_stored_annotation, _as_result, _as_part_of_a_result)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that an account may read, but not show: as bytes, and as an HDF5 file."""
    path = tmp_path_factory.mktemp("other") / "secret.h5"
    with h5py.File(path, "w") as file:
        file["volume"] = np.full(SHAPE, 0.25, "<f4")
        file.attrs["source"] = np.bytes_(b"elsewhere")
    return path


def hostile(make: Callable[[h5py.File, Path], None], other: Path) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=("v110", "v110")) as file:
        make(file, other)
        file.attrs["kind"] = np.bytes_(b"projection_density")
        file.attrs["experiment_id"] = 1
        file.attrs["spacing_um"] = 100
        file.attrs["array_sha256"] = np.bytes_(b"0" * 64)
        file.attrs["source"] = np.bytes_(b"test")
    return memory.getvalue()


@pytest.mark.parametrize(
    ("make", "read"),
    # A part of a result is read from one array, and only that is checked.
    [pair for pair in product(HOSTILE, READERS) if pair != (_unused_external_link, _as_part_of_a_result)],
    ids=lambda each: each.__name__,
)
def test_content_elsewhere_is_refused(
    make: Callable[[h5py.File, Path], None], read: Callable[[bytes, Path], None], other: Path, tmp_path: Path
) -> None:
    image = hostile(make, other)
    with pytest.raises(DamagedFileError, match="not a file that bsv-store writes"):
        read(image, tmp_path)


def test_without_the_check_the_library_would_follow_them(other: Path, tmp_path: Path) -> None:
    # So that the test above does not pass because such a file could not be read anyway.
    for make in (_external_link, _soft_link_to_external_link, _virtual, _external_storage):
        path = tmp_path / "hostile.h5"
        path.write_bytes(hostile(make, other))
        with h5py.File(path, "r") as file:
            assert file["volume"].shape == SHAPE
            assert file["volume"][0, 0, 0] != 0
        with path.open("rb") as stream, pytest.raises(DamagedFileError), opened_hdf5(stream, what="it"):
            pass


def test_hdf5_files_are_opened_in_one_place() -> None:
    opening = []
    for path, name, call in calls():
        if name in ("h5py.File", "h5py.h5f.open"):
            mode = [*call.args[1:2], *(keywords(call)[each] for each in ("mode",) if each in keywords(call))]
            # All others are new files that are written.
            if [ast.literal_eval(each) for each in mode] != ["w"]:
                opening.append(path)
    assert opening == ["bsv_store/volumes/hdf5.py"]
    # In no other way: by parts of h5py, or by another library.
    others = {path for path, name in imported() if name.startswith(("h5py.", "netCDF4", "h5netcdf", "tables"))}
    assert others == {"bsv_store/volumes/hdf5.py"}
    # Checked before xarray reads it: see the test below.
    loading = {path for path, name, _ in calls() if name.endswith(("open_dataset", "load_dataset"))}
    assert loading == {"bsv_store/datasets/version.py"}


# Has a method of SSH keys with the name of one of h5py.
_SSH = "bsv_store/maintenance/backup/known_hosts.py"


def test_references_in_files_are_not_followed() -> None:
    # Attributes may contain references (the dimension scales of netCDF do), which are only followed if asked for.
    names = {name.rpartition(".")[2] for path, name, _ in calls() if path != _SSH}
    assert names.isdisjoint({"dereference", "get_region", "get_name", "AttachScale", "RegionReference"})


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_version_with_links_is_not_given_to_xarray(filled: Store, other: Path) -> None:
    # An attacker who can change the file and its row in the catalog.
    version = ask(filled)
    with h5py.File(version.path, "r+") as file:
        file["unused"] = h5py.ExternalLink(str(other), "/volume")
    content = version.path.read_bytes()
    changed = replace(version, size_bytes=len(content), file_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(DamagedFileError, match="'unused' is a link to another place"):
        changed.to_xarray()
