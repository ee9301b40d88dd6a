"""Small inputs that would take much memory, time or disk space are refused within the stated limits."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bsv_store import Selection
from bsv_store.averaging.recipe import Recipe
from bsv_store.averaging.recorded import RecordedInputs
from bsv_store.catalog.portable import portable_from_json
from bsv_store.config.files import file_values
from bsv_store.config.store_file import read_store_config
from bsv_store.datasets.share.bundle import read_bundle
from bsv_store.datasets.share.bundle_schema import MANIFEST, RESULT, TEXTS, check_structure
from bsv_store.errors import BsvStoreError, DamagedFileError, FormatError
from bsv_store.formats.density_zip import RAW_BYTES, read_density_zip
from bsv_store.formats.envelope import read_envelope
from bsv_store.formats.experiments import read_experiments
from bsv_store.formats.id_list import read_ids
from bsv_store.formats.matlab import read_injection_info
from bsv_store.formats.npy import read_npy
from bsv_store.formats.nrrd import read_nrrd
from bsv_store.formats.structures import read_structures
from bsv_store.formats.unionizes import read_unionizes
from bsv_store.maintenance.backup.manifest import decoded
from bsv_store.volumes.annotation import annotation_from_image
from bsv_store.volumes.encoding import decode_with_hdf5
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.hdf5 import opened_hdf5
from bsv_store.volumes.hdf5_limits import check_storage, text_attribute
from bsv_store.volumes.trash import read_record
from tests.formats import bodies
from tests.reliability.fuzzing.target import Prepared, Target, check

_GRID = Grid(100)
_DEEP = b"[" * 200_000
_DIGITS = b"9" * 400_000


def refused(read: Callable[[bytes], object], data: bytes, scratch: Path, *, mib: int = 64, seconds: float = 5) -> None:
    """Check that an input is refused with an error of the package, within limits of memory and CPU time."""
    target = Target("", lambda _: Prepared([], read), lambda data, _: data, seconds=seconds, memory_bytes=mib << 20)
    assert not check("bomb", target, Prepared([], read), data, scratch), "the bomb was accepted"


# -- zip --------------------------------------------------------------------------------------------------------------


def _density(raw: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("density.mhd", bodies.MHD)
        archive.writestr("density.raw", raw)
    return buffer.getvalue()


def _lying(archive: bytes, size: int) -> bytes:
    """The archive with another uncompressed size of its last member."""
    changed = bytearray(archive)
    entry = changed.rfind(b"PK\x01\x02")
    changed[entry + 24 : entry + 28] = struct.pack("<I", size)
    return bytes(changed)


def _many_members(count: int) -> bytes:
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<HHH", 1, 0, 0) + bytes(12) + b"a"
    directory = entry * count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), 0, 0)
    return directory + end


def _overlapping() -> bytes:
    """Two entries of the directory that share one compressed member."""
    archive = bytearray(_density(bytes(RAW_BYTES)))
    first = archive.find(b"PK\x01\x02")
    second = archive.rfind(b"PK\x01\x02")
    archive[second + 42 : second + 46] = archive[first + 42 : first + 46]
    return bytes(archive)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: _density(bytes(1 << 28)), id="ratio"),
        pytest.param(lambda: _lying(_density(bytes(1 << 28)), RAW_BYTES), id="false size"),
        pytest.param(lambda: _many_members(400_000), id="many members"),
        pytest.param(lambda: _density(_density(bytes(RAW_BYTES))), id="nested"),
        pytest.param(_overlapping, id="overlapping"),
    ],
)
def test_zip(make: Callable[[], bytes], tmp_path: Path) -> None:
    refused(lambda data: read_density_zip(data, what="x"), make(), tmp_path)


def _bundle(path: Path, *, method: int = zipfile.ZIP_DEFLATED, manifest: bytes = b"{}", extra: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(MANIFEST, manifest)
        for name in TEXTS:
            archive.writestr(name, b"")
        archive.writestr(RESULT, b"", zipfile.ZIP_STORED)
        for number in range(extra):
            archive.writestr(f"{number}", b"")
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_manifest_of_a_bundle(method: int, tmp_path: Path) -> None:
    whole = _bundle(tmp_path / "a.zip", method=method, manifest=b" " * (1 << 28)).read_bytes()
    entry = whole.find(b"PK\x01\x02")
    # The directory states a small size.
    data = whole[: entry + 24] + struct.pack("<I", 100) + whole[entry + 28 :]

    def read(content: bytes) -> object:
        (tmp_path / "b.zip").write_bytes(content)
        return read_bundle(tmp_path / "b.zip", tmp_path / "result.nc")

    refused(read, data, tmp_path)


def test_members_of_a_bundle(tmp_path: Path) -> None:
    path = _bundle(tmp_path / "a.zip", extra=3_000)
    with pytest.raises(FormatError, match="its directory must be at most"):
        read_bundle(path, tmp_path / "result.nc")


# -- gzip and NRRD ----------------------------------------------------------------------------------------------------


def _nrrd(**changes: str) -> bytes:
    header = {**bodies.NRRD_HEADER, **changes}
    lines = [b"NRRD0004", *(f"{name}: {value}".encode() for name, value in header.items())]
    return b"\n".join(lines) + b"\n\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: _nrrd() + gzip.compress(bytes(1 << 28), 1), id="body longer than the header states"),
        pytest.param(lambda: gzip.compress(_nrrd() + bytes(1 << 28), 1), id="compressed file"),
        pytest.param(lambda: gzip.compress(gzip.compress(_nrrd() + bytes(1 << 28), 1), 1), id="twice"),
        pytest.param(lambda: _nrrd(sizes="99999999999 80 114"), id="huge"),
        pytest.param(lambda: _nrrd(sizes="-132 -80 114"), id="negative"),
        pytest.param(lambda: _nrrd(sizes=f"{2**64 + 132} 80 114"), id="overflow"),
        pytest.param(lambda: _nrrd(sizes=f"{'9' * 5_000} 80 114"), id="many digits"),
        pytest.param(lambda: _nrrd(dimension="99999999"), id="dimension"),
        pytest.param(lambda: _nrrd(content="x" * 10_000_000), id="long header"),
    ],
)
def test_nrrd(data: Callable[[], bytes], tmp_path: Path) -> None:
    refused(lambda body: read_nrrd(body, "projection_density", what="x"), data(), tmp_path)


def _zeros_gzip(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 24)
    return b"".join([*(packer.compress(block) for _ in range(size >> 24)), packer.flush()])


@pytest.mark.parametrize("read", [read_experiments, read_unionizes])
def test_gzip_of_a_table(read: Any, tmp_path: Path) -> None:
    refused(lambda body: read(body, what="x"), _zeros_gzip(1 << 30), tmp_path, mib=160)


# -- JSON, TOML and CSV -----------------------------------------------------------------------------------------------

_TEXT_READERS: dict[str, Callable[[bytes], object]] = {
    "envelope": lambda body: read_envelope(body, what="x"),
    "experiments": lambda body: read_experiments(body, what="x"),
    "structures": lambda body: read_structures(body, what="x"),
    "unionizes": lambda body: read_unionizes(body, what="x"),
    "ids": lambda body: read_ids(body, what="x"),
    "selection": lambda body: Selection.from_json(body.decode()),
    "recipe": lambda body: Recipe.from_json(body.decode()),
    "recorded": lambda body: RecordedInputs.from_json(body.decode()),
    "portable": lambda body: portable_from_json(body.decode(), "x"),
    "trash": lambda body: read_record(body, what="x"),
    "backup": lambda body: decoded(hashlib.sha256(body).hexdigest(), body, "x"),
}


@pytest.mark.parametrize("name", _TEXT_READERS)
def test_depth_and_numbers_of_json(name: str, tmp_path: Path) -> None:
    read = _TEXT_READERS[name]
    for data in (_DEEP, b'{"a":' * 100_000, b"[" + _DIGITS + b"]", b'{"version": ' + _DIGITS + b"}", b"[1e999999]"):
        refused(read, data, tmp_path)
    # Just below the limit of the parser, where the value exists but cannot be shown.
    refused(read, b"[" * 900 + b"]" * 900, tmp_path)
    refused(read, b'{"success": true, "version": 1, "msg": ' + b"[" * 900 + b"]" * 900 + b"}", tmp_path)


def test_repeated_keys_of_a_selection(tmp_path: Path) -> None:
    pairs = [f'"{number}": 1' for number in range(200_000)]
    data = f"{{{', '.join([*pairs, pairs[-1]])}}}".encode()
    refused(lambda body: Selection.from_json(body.decode()), data, tmp_path, mib=128)


@pytest.mark.parametrize(
    "data", [b"a = " + _DEEP, b"a = " + _DIGITS, b"a." * 7_500 + b"b = 1", b"# " + b"x" * 10_000_000]
)
def test_toml(data: bytes, tmp_path: Path) -> None:
    def read(body: bytes) -> None:
        for name in ("store.toml", "config.toml"):
            (tmp_path / name).write_bytes(body)
        with pytest.raises(BsvStoreError):
            file_values(tmp_path / "config.toml")
        read_store_config(tmp_path)

    refused(read, data, tmp_path)


def _experiments_csv(**changes: str) -> bytes:
    return bodies.csv_body([{**bodies.web_row(), **changes}])


@pytest.mark.parametrize(
    ("read", "data"),
    [
        pytest.param(read_experiments, lambda: _experiments_csv(name="x" * 10_000_000), id="gigantic field"),
        pytest.param(read_experiments, lambda: b",".join([b"a"] * 300_000) + b"\n", id="many equal columns"),
        pytest.param(read_unionizes, lambda: b",".join(b"c%d" % n for n in range(300_000)) + b"\n", id="many columns"),
        pytest.param(
            read_experiments,
            lambda: _experiments_csv(**{"injection-structures": '[{"' + 'a\\"' * 40_000}),
            id="string of a Ruby hash without an end",
        ),
        pytest.param(read_ids, lambda: b"id," + b"x" * 10_000_000 + b"\n1,2\n", id="gigantic column name"),
    ],
)
def test_csv(read: Any, data: Callable[[], bytes], tmp_path: Path) -> None:
    refused(lambda body: read(body, what="x"), data(), tmp_path, mib=256)


# -- NumPy and MATLAB -------------------------------------------------------------------------------------------------


def _npy(header: str) -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000)}\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807)}\n",
        "{'descr': 'S2147483647', 'fortran_order': False, 'shape': (4,)}\n",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n",
        f"{'(' * 5_000}\n",
    ],
)
def test_npy(header: str, tmp_path: Path) -> None:
    refused(lambda body: read_npy(io.BytesIO(body), what="x", max_bytes=1 << 20), _npy(header), tmp_path)


def _element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def _mat(matrix: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + matrix


def _array(kind: int, dimensions: tuple[int, ...], *parts: bytes) -> bytes:
    flags = _element(6, struct.pack("<II", kind, 0))
    shape = _element(5, struct.pack(f"<{len(dimensions)}i", *dimensions))
    return _element(14, b"".join([flags, shape, _element(1, b"injectionInfo"), *parts]))


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param(lambda: _element(15, zlib.compress(bytes(1 << 28), 9)), id="compressed"),
        pytest.param(lambda: _array(1, (2**31 - 1, 1)), id="cells"),
        pytest.param(lambda: _array(4, (2**31 - 1, 1), _element(4, b"")), id="characters"),
        pytest.param(
            lambda: _array(2, (2**31 - 1, 2), _element(5, struct.pack("<i", 8)), _element(1, b"a".ljust(8, b"\0"))),
            id="structs",
        ),
        pytest.param(lambda: _nested_cells(5_000), id="nested"),
    ],
)
def test_mat(matrix: Callable[[], bytes], tmp_path: Path) -> None:
    refused(lambda body: read_injection_info(body, what="x"), _mat(matrix()), tmp_path, mib=128)


def _nested_cells(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = _array(1, (1, 1), data)
    return data


# -- HDF5 and netCDF --------------------------------------------------------------------------------------------------


def _hdf5(edit: Callable[[h5py.File], None]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        file.attrs["spacing_um"] = np.int64(100)
        file.attrs["source"] = np.bytes_(b"x")
        edit(file)
    return buffer.getvalue()


def _dataset(**options: Any) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file.create_dataset("volume", **options)

    return edit


def _deflate_bomb(file: h5py.File) -> None:
    shape = _GRID.shape
    dataset = file.create_dataset("volume", shape=shape, dtype="<f4", chunks=shape, compression="gzip")
    dataset.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(1 << 28), 9))


def _short_chunk(file: h5py.File) -> None:
    dataset = file.create_dataset("volume", shape=_GRID.shape, dtype="<f4", chunks=_GRID.shape, compression="gzip")
    # The mask says that the filter was not applied. HDF5 reads beyond the byte, and crashes.
    dataset.id.write_direct_chunk((0, 0, 0), b"x", 1)


_WHOLE: dict[str, Any] = {"shape": _GRID.shape, "dtype": "<f4"}


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(_dataset(shape=(2**40,), dtype="<f4", fillvalue=7), id="fill values"),
        pytest.param(_dataset(shape=(2**20, 2**20, 4), dtype="<f4", chunks=(1, 1, 4)), id="shape"),
        pytest.param(
            _dataset(**_WHOLE, maxshape=(None,) * 3, chunks=(132, 800, 1140)), id="chunk larger than the file"
        ),
        pytest.param(_dataset(**_WHOLE, chunks=True, compression="lzf"), id="LZF"),
        pytest.param(_dataset(shape=_GRID.shape, dtype="<i4", chunks=True, scaleoffset=0), id="scale-offset"),
        pytest.param(_dataset(shape=_GRID.shape, dtype="S100000"), id="long elements"),
        pytest.param(_deflate_bomb, id="deflate"),
        pytest.param(_short_chunk, id="short chunk"),
    ],
)
def test_hdf5_dataset(edit: Callable[[h5py.File], None], tmp_path: Path) -> None:
    data = _hdf5(edit)
    assert len(data) < 1_000_000
    refused(lambda body: decode_with_hdf5(body, _GRID, what="x"), data, tmp_path)
    refused(lambda body: annotation_from_image(body, what="x"), data, tmp_path)


@pytest.mark.parametrize("filter_id", [4, 5, 6, 305, 32_015, 65_535])
def test_hdf5_filters_that_are_not_written_here_are_refused(filter_id: int) -> None:
    # szip, nbit, scale-offset, LZO, zstd, and one that does not exist: none is looked up in plugins.
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((10,))
    properties.set_filter(1, h5py.h5z.FLAG_OPTIONAL, (1,))
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((100,)), properties)
        check_storage(file["x"], "x")
    image = buffer.getvalue()
    # The message that describes the filters begins with its version and their number, then the number of the first.
    at = image.find(struct.pack("<BB6xH", 1, 1, 1))
    at = at + 8 if at >= 0 else image.find(struct.pack("<BBHHH", 2, 1, 1, 1, 1)) + 2
    assert at >= 8 or at == 2 or at > 0
    changed = image[:at] + struct.pack("<H", filter_id) + image[at + 2 :]
    with pytest.raises(DamagedFileError, match="filter"), opened_hdf5(io.BytesIO(changed), what="it"):
        pass


def test_hdf5_attribute_that_states_a_length(tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        # bytes(10**12) would be a terabyte of zeros.
        file.attrs["source"] = np.int64(10**12)
        file.create_dataset("volume", data=np.zeros(_GRID.shape, "<u4"), chunks=True, compression="gzip")

    refused(lambda body: annotation_from_image(body, what="x"), _hdf5(edit), tmp_path)


def test_hdf5_attribute_that_is_too_long() -> None:
    def edit(file: h5py.File) -> None:
        file.attrs.create("text", np.bytes_(b"x"), dtype="S64000")
        for number in range(3_000):
            file.attrs[f"a{number}"] = np.zeros(100)

    with h5py.File(io.BytesIO(_hdf5(edit)), "r") as file:
        assert text_attribute(file, "text") == "x"
        with pytest.raises(ValueError, match="not a text"):
            text_attribute(file, "a5")


def test_netcdf_with_inputs_of_a_stated_length(tmp_path: Path) -> None:
    from bsv_store.datasets.share.bundle_schema import read_inputs
    from bsv_store.volumes.grid import FRAME

    def edit(file: h5py.File) -> None:
        file.attrs["frame"] = FRAME
        file.create_dataset("inputs", shape=(1,), dtype=f"S{2**31 - 1}")

    def read(body: bytes) -> object:
        with h5py.File(io.BytesIO(body), "r") as file:
            return read_inputs(file, tmp_path)

    refused(read, _hdf5(edit), tmp_path)
    assert callable(check_structure)


def test_the_limits_are_documented() -> None:
    from bsv_store.documents import MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_RECORD_BYTES, MAX_TOML_BYTES
    from bsv_store.formats.fields import MAX_COLUMNS
    from bsv_store.formats.input_file import MAX_BYTES, MAX_RATIO, MIN_UNPACKED_BYTES
    from bsv_store.formats.matlab import MAX_BYTES as MAX_MAT_BYTES
    from bsv_store.formats.zip_archive import MAX_DIRECTORY_BYTES
    from bsv_store.volumes.hdf5_limits import MAX_CHUNK_BYTES, MAX_TEXT_BYTES

    text = (Path(__file__).resolve().parents[2] / "docs" / "reliability.md").read_text("utf-8")
    limits = (MAX_DEPTH, MAX_RECORD_BYTES, MAX_TOML_BYTES, MAX_DOCUMENT_BYTES, MAX_COLUMNS, MAX_BYTES, MAX_RATIO)
    more = (MIN_UNPACKED_BYTES, MAX_MAT_BYTES, MAX_DIRECTORY_BYTES, MAX_CHUNK_BYTES, MAX_TEXT_BYTES)
    for limit in (*limits, *more):
        assert f"{limit:,}" in text, f"the limit {limit:,} is not in docs/reliability.md"
    assert json.dumps(limits)
