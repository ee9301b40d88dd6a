from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bsv_store.errors import FormatError, FrameError, InputError
from bsv_store.formats.density_zip import read_density_raw, read_density_zip
from bsv_store.formats.metaimage import read_metaimage_header
from tests.formats.bodies import MHD, density_zip, raw, voxels

RAW = raw(voxels())
CCFV2_BYTES = 4_955_580
BOMB_BYTES = 60_000_000


def _with(header: str = MHD, body: bytes = RAW) -> bytes:
    return density_zip({"density.mhd": header.encode(), "density.raw": body})


def test_every_golden_download_is_read(golden: Path) -> None:
    files = sorted(golden.glob("wire/*/density.zip"))
    assert len(files) == 13
    for path in files:
        volume = read_density_zip(path.read_bytes(), what=str(path))
        with zipfile.ZipFile(path) as archive:
            expected = np.frombuffer(archive.read("density.raw"), "<f4").reshape((132, 80, 114), order="F")
        assert np.array_equal(volume.array, expected)


def test_axes_are_ap_dv_ml_in_c_order() -> None:
    for volume in (read_density_zip(density_zip(), what="x"), read_density_raw(RAW, what="x")):
        assert volume.kind == "projection_density"
        assert volume.array.dtype == np.float32
        assert volume.array.flags.c_contiguous
        assert np.array_equal(volume.array, voxels())


def test_no_data_marks_become_nan() -> None:
    array = voxels()
    array[1, 2, 3] = -1
    volume = read_density_raw(raw(array), what="x")
    assert volume.no_data_voxels == 1
    assert np.isnan(volume.array[1, 2, 3])
    assert volume.array.flags.c_contiguous


def test_further_harmless_members_are_left_unread() -> None:
    body = density_zip({"data_set.xml": b"<x/>", "density.mhd": MHD.encode(), "density.raw": RAW, "energy.raw": b"no"})
    assert np.array_equal(read_density_zip(body, what="x").array, voxels())


# -- zip ----------------------------------------------------------------------------------------------------------


def _crc_error() -> bytes:
    body = bytearray(_with())
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        info = archive.getinfo("density.raw")
    body[info.header_offset + 30 + len("density.raw") + info.compress_size // 2] ^= 0x01
    return bytes(body)


def _stored_with_flipped_bit() -> bytes:
    body = bytearray(density_zip({"density.mhd": MHD.encode(), "density.raw": RAW}, compress_type=zipfile.ZIP_STORED))
    body[body.rindex(b"density.raw") - 2_000_000] ^= 0x01
    return bytes(body)


def _lying_size(claimed: int) -> bytes:
    """The central directory and the local header claim another size than the data have."""
    body = bytearray(_with(body=b"\0" * BOMB_BYTES))
    true = BOMB_BYTES.to_bytes(4, "little")
    while (at := body.find(true)) >= 0:
        body[at : at + 4] = claimed.to_bytes(4, "little")
    return bytes(body)


def _encrypted() -> bytes:
    # The flag stands 6 bytes into each local header and 8 bytes into each entry of the directory.
    body = bytearray(_with())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := body.find(signature, at + 1)) >= 0:
            body[at + offset] |= 1
    return bytes(body)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        pytest.param(lambda: b"", "not a complete zip", id="empty"),
        pytest.param(lambda: b"<html>Service trouble</html>", "web page", id="html"),
        pytest.param(lambda: b"PK\x03\x04 and nothing more", "not a complete zip", id="no zip"),
        pytest.param(lambda: _with()[:-30], "not a complete zip", id="cut at the end"),
        pytest.param(lambda: _with()[:2000], "not a complete zip", id="cut early"),
        pytest.param(_crc_error, "not a complete zip", id="flipped bit, deflated"),
        pytest.param(_stored_with_flipped_bit, "Bad CRC", id="flipped bit, stored"),
        pytest.param(lambda: density_zip({"density.mhd": MHD.encode()}), "is missing the member", id="no voxels"),
        pytest.param(lambda: density_zip({"density.raw": RAW}), "is missing the member", id="no header"),
        pytest.param(lambda: density_zip({"energy.raw": RAW}), "is missing the member", id="wrong members"),
        pytest.param(lambda: density_zip({}), "is missing the member", id="no members"),
        pytest.param(lambda: density_zip({f"{n}": b"" for n in range(40)}), "40 members", id="too many members"),
        pytest.param(lambda: _with(body=b"\0" * BOMB_BYTES), f"has {BOMB_BYTES} bytes", id="bomb"),
        pytest.param(lambda: _lying_size(len(RAW)), "not a complete zip", id="bomb that lies about its size"),
        pytest.param(lambda: _lying_size(0xFFFFFFF0), "4294967280 bytes", id="size beyond any grid"),
        pytest.param(lambda: _with(header="x = y\n" * 50_000), "density.mhd must be at most", id="endless header"),
        pytest.param(
            lambda: density_zip(compress_type=zipfile.ZIP_LZMA),
            "encrypted or has an unsupported compression",
            id="unusual packing",
        ),
        pytest.param(_encrypted, "encrypted or has an unsupported compression", id="encrypted"),
        pytest.param(lambda: density_zip(external_attr=stat.S_IFLNK << 16), "link", id="symbolic link"),
        pytest.param(lambda: density_zip(external_attr=stat.S_IFIFO << 16), "special file", id="special file"),
    ],
)
def test_invalid_downloads_are_refused_by_name(make: Callable[[], bytes], complaint: str) -> None:
    with pytest.raises(FormatError, match=f"^the download.*{complaint}"):
        read_density_zip(make(), what="the download")


@pytest.mark.parametrize(
    "name",
    ["../density.raw", "/density.raw", "a/density.raw", "..\\density.raw", "C:density.raw", "folder/", "..", "a\0.txt"],
)
def test_members_with_paths_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Put in afterwards, since the module that makes the zip would clean some of the names.
    stand_in = "#" * len(name)
    body = density_zip({"density.mhd": MHD.encode(), stand_in: b"x", "density.raw": RAW})
    assert body.count(stand_in.encode()) == 2
    with pytest.raises(FormatError, match="path in its name"):
        read_density_zip(body.replace(stand_in.encode(), name.encode()), what="x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_duplicate_member_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (("density.mhd", MHD), ("density.raw", RAW), ("density.raw", RAW)):
            archive.writestr(name, content)
    with pytest.raises(FormatError, match="twice"):
        read_density_zip(buffer.getvalue(), what="x")


# -- frames and sizes ---------------------------------------------------------------------------------------------


def test_ccfv2_grids_are_refused_as_such() -> None:
    with pytest.raises(FrameError, match="CCFv2"):
        read_density_raw(b"\0" * CCFV2_BYTES, what="x")
    with pytest.raises(FrameError, match="CCFv2"):
        read_density_zip(_with(MHD.replace("132 80 114", "133 81 115"), b"\0" * CCFV2_BYTES), what="x")
    with pytest.raises(FrameError, match="CCFv2"):
        read_density_zip(_with(body=b"\0" * CCFV2_BYTES), what="x")


@pytest.mark.parametrize("change", [-4, -1, 1, 4])
def test_raw_of_wrong_size_is_refused(change: int) -> None:
    body = (RAW + b"\0" * 4)[: len(RAW) + change]
    with pytest.raises(FormatError, match="4815360"):
        read_density_raw(body, what="x")
    with pytest.raises(FormatError, match="4815360"):
        read_density_zip(_with(body=body), what="x")
    with pytest.raises(FormatError):
        read_density_raw(b"", what="x")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.5, 1.5, -1.0001])
def test_voxels_that_are_not_densities_are_refused(value: float) -> None:
    array = voxels()
    array[50, 40, 30] = value
    with pytest.raises(FormatError):
        read_density_zip(_with(body=raw(array)), what="x")


@pytest.mark.parametrize("spacing", ["25 25 25", "100 100 50", "nan nan nan"])
def test_spacing_that_contradicts_the_grid_is_refused(spacing: str) -> None:
    with pytest.raises(FrameError, match="spacing"):
        read_density_zip(_with(MHD.replace("100 100 100", spacing)), what="x")


def test_grid_of_another_resolution_is_refused() -> None:
    with pytest.raises(FrameError, match="50 um"):
        read_density_zip(_with(MHD.replace("132 80 114", "264 160 228")), what="x")


# -- header -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        MHD,
        MHD.replace(" = ", "="),
        MHD.replace(" = ", "   =\t "),
        MHD.replace("\n", "\r\n"),
        MHD.replace("NDims", "nDIMS").replace("MET_FLOAT", "met_float").replace("False", "false"),
        MHD + "\n\n",
        MHD + "TransformMatrix = 1 0 0 0 1 0 0 0 1\nAnatomicalOrientation = ???\n",
        MHD.replace("ElementSpacing = 100 100 100\n", ""),
        MHD.replace("100 100 100", "0.1 0.1 0.1"),
        "NDims = 3\nDimSize = 132 80 114\nElementType = MET_FLOAT\nElementDataFile = density.raw",
    ],
)
def test_header_may_be_written_in_many_ways(text: str) -> None:
    header = read_metaimage_header(text.encode(), what="x")
    assert (header.shape, header.data_file) == ((132, 80, 114), "density.raw")
    assert np.array_equal(read_density_zip(_with(text), what="x").array, voxels())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("NDims = 3", "NDims = 4"),
        ("NDims = 3\n", ""),
        ("DimSize = 132 80 114", "DimSize = 132 80"),
        ("DimSize = 132 80 114", "DimSize = 132 80 x"),
        ("DimSize = 132 80 114", "DimSize = 132 80 -114"),
        ("DimSize = 132 80 114", "DimSize = 132 80 114.5"),
        ("DimSize = 132 80 114", "DimSize = 132 80 nan"),
        ("DimSize = 132 80 114\n", ""),
        ("DimSize = 132 80 114", "DimSize = 114 80 132"),
        ("MET_FLOAT", "MET_DOUBLE"),
        ("ElementType = MET_FLOAT\n", ""),
        ("MSB = False", "MSB = True"),
        ("CompressedData = False", "CompressedData = True"),
        ("BinaryData = True", "BinaryData = False"),
        ("ObjectType = Image", "ObjectType = Tube"),
        ("ObjectType = Image", "ElementNumberOfChannels = 3"),
        ("ObjectType = Image", "HeaderSize = 4"),
        ("density.raw", "LOCAL"),
        ("density.raw", "../density.raw"),
        ("density.raw", "/etc/passwd"),
        ("ElementDataFile = density.raw\n", ""),
        ("NDims = 3", "NDims 3"),
        ("NDims = 3", "NDims = 3\nNDims = 3"),
        ("NDims = 3", "= 3"),
        ("NDims = 3", "NDims = 3\u0663"),
    ],
)
def test_header_of_anything_else_is_refused(old: str, new: str) -> None:
    assert old in MHD
    with pytest.raises(FormatError, match=r"density\.mhd"):
        read_density_zip(_with(MHD.replace(old, new)), what="x")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("TransformMatrix = 1 0 0 0 1 0 0 0 -1", "transformmatrix must be 1 0 0 0 1 0 0 0 1, got '1 0 0 0 1 0 0 0 -1'"),
        ("TransformMatrix = -1", "transformmatrix must be 1 0 0 0 1 0 0 0 1, got '-1'"),
        ("TransformMatrix = 0 1 0 1 0 0 0 0 1", "transformmatrix"),
        ("Rotation = -1 0 0 0 1 0 0 0 1", "rotation"),
        ("Orientation = 1 0 0 0 -1 0 0 0 1", "orientation"),
        ("Offset = 0 0 5700", "offset must be 0 0 0, got '0 0 5700'"),
        ("Origin = 100 0 0", "origin"),
        ("Position = x", "position must be numbers, got 'x'"),
        ("ElementToIntensityFunctionSlope = 255", "elementtointensityfunctionslope"),
        ("ElementToIntensityFunctionOffset = 1", "elementtointensityfunctionoffset"),
        ("ElementByteOrderMSB = True", "elementbyteordermsb is 'True', expected false"),
        ("HeaderSize = 400", "headersize is '400'"),
        ("ElementNumberOfChannels = 2", "elementnumberofchannels"),
    ],
)
def test_fields_that_move_or_change_voxels_are_refused_by_name(line: str, words: str, tmp_path: Path) -> None:
    header = f"{MHD}{line}\n"
    with pytest.raises(FormatError, match=rf"density\.mhd.*{words}"):
        read_density_zip(_with(header), what="x")
    (tmp_path / "density.mhd").write_text(header)
    with pytest.raises(FormatError, match=rf"density\.mhd.*{words}"):
        read_density_raw(RAW, what="x", header=tmp_path / "density.mhd")


def test_neutral_fields_are_accepted() -> None:
    lines = "Offset = 0 0 -0\nCenterOfRotation = 5 5 5\nElementSize = 1 1 1\nElementToIntensityFunctionSlope = 1.0\n"
    assert np.array_equal(read_density_zip(_with(MHD + lines), what="x").array, voxels())


def test_sizes_are_looked_at_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "density.raw"
    path.write_bytes(b"")
    os.truncate(path, 10**12)
    with pytest.raises(FormatError, match="density has 1000000000000 bytes instead of 4815360"):
        read_density_raw(path, what="density")
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"^density cannot be read: it is a folder, not a regular file"):
        read_density_raw(path, what="density")
    with pytest.raises(InputError, match=r"^density cannot be read: it is a device, not a regular file"):
        read_density_raw(Path("/dev/zero"), what="density")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"^density cannot be read: it is a named pipe, not a regular file"):
        read_density_raw(tmp_path / "pipe", what="density")
    with pytest.raises(InputError, match=r"^density cannot be read: No such file"):
        read_density_raw(tmp_path / "missing", what="density")
    with pytest.raises(InputError, match=r"^density is not a valid path: .*null"):
        read_density_raw(Path("a\0b"), what="density")
