from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import nrrd as pynrrd
import numpy as np
import pytest

from bsv_store.errors import FormatError, FrameError, InputError
from bsv_store.formats import nrrd as reader
from bsv_store.formats.nrrd import read_nrrd, spool_nrrd
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.spool import VolumeSpool
from bsv_store.volumes.volume import Volume
from tests.formats.bodies import GRID, nrrd, raw, voxels

RAW = raw(voxels())
PACKED = gzip.compress(RAW, 1, mtime=0)


def _read(body: bytes | Path, kind: VolumeKind = "projection_density") -> Volume:
    return read_nrrd(body, kind, what="the file")


# -- real files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["projection_density", "injection_density", "injection_fraction", "data_mask"])
def test_real_grids_at_100_um_equal_what_pynrrd_reads(data: Path, kind: VolumeKind) -> None:
    path = data / f"allensdk_cache/experiment_158375425/{kind}_100.nrrd"
    expected, _ = pynrrd.read(str(path), index_order="F")
    for source in (path, path.read_bytes()):
        volume = read_nrrd(source, kind, what=path.name, spacing_um=100)
        assert volume.kind == kind
        assert volume.array.flags.c_contiguous
        assert np.array_equal(volume.array, expected)


def test_real_projection_density_has_its_known_share_of_signal(data: Path) -> None:
    volume = _read(data / "allensdk_cache/experiment_158375425/projection_density_100.nrrd")
    assert np.count_nonzero(volume.array) / volume.array.size == pytest.approx(0.072, abs=0.001)


@pytest.mark.long
def test_real_grid_of_doubles_at_25_um_lies_on_the_right_side(data: Path) -> None:
    volume = read_nrrd(
        data / "allensdk_cache/experiment_127867804/injection_density_25.nrrd",
        "injection_density",
        what="x",
        spacing_um=25,
    )
    assert volume.array.dtype == np.float32
    assert volume.array.shape == (528, 320, 456)
    # Its coordinate lies left of the midline, but nearly all of its density right of it.
    by_ml = volume.array.sum(axis=(0, 1), dtype=np.float64)
    assert by_ml[volume.grid.midline :].sum() / by_ml.sum() == pytest.approx(0.9876, abs=1e-4)


def test_real_file_that_was_cut_at_its_source_is_refused(data: Path) -> None:
    path = data / "allensdk_cache/experiment_288169135/projection_density_25.nrrd"
    with pytest.raises(FormatError, match="the file is truncated"):
        _read(path)


# -- forms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(nrrd(), id="float, gzip"),
        pytest.param(nrrd(RAW, encoding="raw"), id="raw"),
        pytest.param(nrrd(gzip.compress(raw(voxels(), ">f4")), endian="big"), id="big endian"),
        pytest.param(nrrd(encoding="gz"), id="gz"),
        pytest.param(nrrd(gzip.compress(RAW[:9], 1) + gzip.compress(RAW[9:], 1)), id="two gzip members"),
        pytest.param(nrrd(PACKED + gzip.compress(b"")), id="an empty last member"),
        pytest.param(gzip.compress(nrrd(), 1), id="compressed as a whole"),
        pytest.param(gzip.compress(nrrd(RAW, encoding="raw"), 1), id="raw, compressed as a whole"),
        pytest.param(nrrd(byte_skip="0", line_skip="0"), id="nothing skipped"),
        pytest.param(nrrd(axis_maxs="13200 8000 11400", axis_mins="0 0 0"), id="an extent"),
        pytest.param(
            nrrd(space_directions="(0.1,0,0) (0,0.1,0) (0,0,0.1)", space_units='"mm" "mm" "mm"'), id="directions in mm"
        ),
        pytest.param(nrrd(space_directions="(100.0,0,0) (0,1e2,0) (0,0,100)"), id="directions written otherwise"),
        pytest.param(nrrd(without=["space directions"]), id="no directions"),
        pytest.param(
            nrrd(without=["space directions", "space", "space origin"], spacings="100 100 100"), id="spacings"
        ),
        pytest.param(nrrd(space="right-anterior-superior"), id="another space, which is ignored"),
        pytest.param(nrrd(without=["space", "kinds", "space origin"]), id="fewer fields"),
        pytest.param(nrrd().replace(b"NRRD0004", b"NRRD0005"), id="newer version"),
        pytest.param(nrrd().replace(b"# made for a test", b"key:=value"), id="key and value"),
    ],
)
def test_every_form_gives_the_same_volume(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.nrrd"
    path.write_bytes(body)
    for source in (body, path):
        volume = _read(source)
        assert np.array_equal(volume.array, voxels())
        assert volume.array.dtype == np.float32
        assert volume.array.flags.c_contiguous


def test_windows_line_ends_in_the_header_are_accepted() -> None:
    head, _, data = nrrd().partition(b"\n\n")
    assert np.array_equal(_read(head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + data).array, voxels())


def test_doubles_and_whole_numbers_are_read_by_their_type() -> None:
    double = nrrd(gzip.compress(raw(voxels(), "<f8"), 1), type="double")
    assert np.array_equal(_read(double).array, voxels())
    mask = (voxels() > 0.5).astype(np.uint8)
    body = nrrd(gzip.compress(raw(mask, "u1"), 1), without=["endian"], type="unsigned char")
    assert np.array_equal(_read(body, "data_mask").array, mask)


def test_no_data_marks_become_nan_and_energies_have_no_bound() -> None:
    array = voxels()
    array[1, 2, 3] = -1
    array[4, 5, 6] = 900
    volume = _read(nrrd(gzip.compress(raw(array), 1)), "projection_energy")
    assert np.isnan(volume.array[1, 2, 3])
    assert volume.array[4, 5, 6] == 900
    assert volume.no_data_voxels == 1
    assert volume.array.flags.c_contiguous


def test_grids_that_span_several_blocks_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_BLOCK_BYTES", 5 * 132 * 80 * 4 + 17)
    monkeypatch.setattr(reader, "_INPUT_BYTES", 1000)
    assert np.array_equal(_read(nrrd()).array, voxels())
    assert np.array_equal(_read(nrrd(RAW, encoding="raw")).array, voxels())


def test_members_that_end_within_a_read_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_INPUT_BYTES", 7)
    parts = [gzip.compress(RAW[first : first + 500_000], 1) for first in range(0, len(RAW), 500_000)]
    assert np.array_equal(_read(nrrd(b"".join(parts))).array, voxels())


# -- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        pytest.param(b"", "must be an NRRD file, got empty", id="empty"),
        pytest.param(b"\x1f\x8b\x08\x00", "not a complete gzip file", id="gzip"),
        pytest.param(gzip.compress(b"<html>"), "must be an NRRD file, got a web page", id="a compressed web page"),
        pytest.param(gzip.compress(nrrd())[:-9], "truncated|not a complete gzip file", id="compressed and truncated"),
        pytest.param(
            nrrd(gzip.compress(RAW[:9]) + gzip.compress(RAW[9:])[:-20]), "truncated", id="a cut second member"
        ),
        pytest.param(nrrd(PACKED + gzip.compress(b"x")), "more data", id="a member too many"),
        pytest.param(nrrd(PACKED + b"\0"), "more data", id="a byte too many"),
        pytest.param(b"\x00\xff\x1b[31m" * 9, "got binary data of an unknown format\n", id="binary"),
        pytest.param(b"<html>no such grid</html>", "web page", id="html"),
        pytest.param(b'{"success": false, "msg": "no"}', "must be an NRRD file", id="error envelope"),
        pytest.param(b"NRRD0004\ntype: float\n", "has no end", id="cut in the header"),
        pytest.param(b"NRRD0004\n" + b"# x\n" * 50_000, "has no end", id="endless header"),
        pytest.param(nrrd()[:-1000], "truncated", id="cut"),
        pytest.param(nrrd()[:-4], "truncated", id="cut in the checksum"),
        pytest.param(nrrd(b""), "truncated", id="no data"),
        pytest.param(nrrd(PACKED[:20]), "truncated", id="hardly any data"),
        pytest.param(nrrd(RAW[:-1], encoding="raw"), "truncated", id="raw, cut"),
        pytest.param(nrrd() + b"x", "more data", id="trailing byte"),
        pytest.param(nrrd(PACKED + PACKED), "more data", id="two streams"),
        pytest.param(nrrd(RAW + b"x", encoding="raw"), "more data", id="raw, trailing byte"),
        pytest.param(nrrd(gzip.compress(RAW + b"\0", 1)), "more data", id="more inside"),
        pytest.param(nrrd(gzip.compress(RAW[:-4], 1)), "truncated", id="less inside"),
        pytest.param(nrrd(PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:]), "damaged", id="wrong checksum"),
        pytest.param(nrrd(RAW), "damaged", id="raw data called gzip"),
        pytest.param(nrrd(PACKED, encoding="raw"), "truncated", id="gzip data called raw"),
        pytest.param(nrrd(zlib.compress(RAW, 1)), "damaged", id="zlib is not gzip"),
        pytest.param(nrrd(type="double"), "truncated", id="type too wide"),
        pytest.param(nrrd(type="short"), "more data|fraction|negative", id="type too narrow"),
        pytest.param(nrrd(type="int"), "fraction|negative", id="type wrong"),
        pytest.param(nrrd(type="block"), "type", id="type block"),
        pytest.param(nrrd(without=["type"]), "type", id="no type"),
        pytest.param(nrrd(without=["endian"]), "byte order", id="no byte order"),
        pytest.param(nrrd(endian="middle"), "byte order", id="unknown byte order"),
        pytest.param(nrrd(without=["encoding"]), "encoding", id="no encoding"),
        pytest.param(nrrd(encoding="bzip2"), "encoding", id="bzip2"),
        pytest.param(nrrd(encoding="ascii"), "encoding", id="text"),
        pytest.param(nrrd(dimension="2"), "3-D", id="dimension 2"),
        pytest.param(nrrd(without=["dimension"]), "3-D|header", id="no dimension"),
        pytest.param(nrrd(sizes="132 80"), "3-D", id="two sizes"),
        pytest.param(nrrd(sizes="132 80 abc"), "header", id="sizes that are no numbers"),
        pytest.param(nrrd(without=["sizes"]), "3-D", id="no sizes"),
        pytest.param(nrrd(space_directions="(100,0,0) (0,100,0"), "header|directions", id="broken directions"),
        pytest.param(nrrd().replace(b"kinds:", b"sizes:"), "header", id="sizes twice"),
        pytest.param(nrrd().replace(b"# made for a test", b"no field"), "header", id="a line that is no field"),
        pytest.param(nrrd(b"", data_file="/etc/passwd"), "data file", id="data elsewhere"),
        pytest.param(nrrd(b"", datafile="LIST"), "datafile", id="data in a list of files"),
        pytest.param(nrrd(byte_skip="-1"), "byte skip", id="skipped bytes"),
        pytest.param(nrrd(line_skip="1"), "line skip", id="skipped lines"),
        pytest.param(nrrd(old_max="255"), "'old max' states that the values were scaled", id="scaled values"),
        pytest.param(nrrd(space_origin="(0,0,100)"), "space origin", id="shifted"),
        pytest.param(nrrd(space_directions="(100,0,0) (0,100,0) (0,0,-100)"), "space directions", id="flipped"),
        pytest.param(nrrd(space_directions="(0,100,0) (100,0,0) (0,0,100)"), "space directions", id="turned"),
        pytest.param(nrrd(measurement_frame="(-1,0,0) (0,1,0) (0,0,1)"), "measurement frame", id="turned frame"),
        pytest.param(nrrd(axis_mins="0 0 11400", axis_maxs="13200 8000 0"), "axis mins", id="flipped extent"),
        pytest.param(nrrd(axis_maxs="13200 8000 5700"), "axis maxs", id="cropped extent"),
        pytest.param(nrrd(space_units='"km" "km" "km"'), "the units", id="other units"),
        pytest.param(nrrd(kinds="RGB-color domain domain"), "kind 'RGB-color'", id="colors"),
        pytest.param(nrrd(encoding="bzip2"), "'bzip2' is not supported", id="another compression"),
        pytest.param(nrrd(sizes="10000 10000 10000"), "shape 10000x10000x10000", id="10^12 voxels"),
        pytest.param(nrrd(sizes="9" * 5000 + " 80 114"), "which is not a CCFv3 grid", id="a size of 5,000 digits"),
    ],
)
def test_invalid_files_are_refused_by_name(body: bytes, complaint: str) -> None:
    with pytest.raises(FormatError, match=f"^the file.*(?:{complaint})"):
        _read(body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(nrrd(sizes="133 81 115"), id="CCFv2"),
        pytest.param(nrrd(sizes="114 80 132"), id="axes swapped"),
        pytest.param(nrrd(sizes="132 80 -114"), id="negative"),
        pytest.param(nrrd(sizes="999999999 999999999 999999999"), id="huge"),
        pytest.param(nrrd(space_directions="(25,0,0) (0,25,0) (0,0,25)"), id="directions of another grid"),
        pytest.param(nrrd(space_directions="(0,100,0) (100,0,0) (0,0,100)"), id="axes turned"),
        pytest.param(nrrd(space_directions="(100,0,0) (0,100,0) (0,0,-100)"), id="axis reversed"),
        pytest.param(nrrd(space_directions="none (0,100,0) (0,0,100)"), id="no direction"),
        pytest.param(nrrd(without=["space directions"], spacings="100 100 50"), id="spacings that differ"),
    ],
)
def test_other_frames_are_refused(body: bytes) -> None:
    with pytest.raises(FrameError, match="the file"):
        _read(body)


def test_spacing_other_than_asked_for_is_refused() -> None:
    with pytest.raises(FrameError, match="100 um, not of 25 um"):
        read_nrrd(nrrd(), "data_mask", what="x", spacing_um=25)


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.5, 1.01])
def test_voxels_out_of_range_are_refused(value: float, dtype: str) -> None:
    array = voxels().astype(dtype)
    array[50, 40, 30] = value
    body = nrrd(gzip.compress(raw(array, dtype), 1), type={"<f4": "float", "<f8": "double"}[dtype])
    with pytest.raises(FormatError):
        _read(body)


@pytest.mark.parametrize("value", [-1e-60, -1 - 1e-12, 1e300])
def test_rounding_of_doubles_hides_no_fault(value: float) -> None:
    array = voxels().astype(np.float64)
    array[50, 40, 30] = value
    with pytest.raises(FormatError):
        _read(nrrd(gzip.compress(raw(array, "<f8"), 1), type="double"), "projection_energy")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_flipped_bit_is_noticed(part: float) -> None:
    noise = np.random.default_rng(5).random(GRID.shape, np.float32)
    body = bytearray(nrrd(gzip.compress(raw(noise), 1)))
    body[int(len(body) * part)] ^= 0x10
    with pytest.raises(
        FormatError, match=r"^the file (?:is damaged|is truncated|contains more data)|fraction|negative|infinite"
    ):
        _read(bytes(body))


def test_bomb_is_not_inflated_beyond_its_header() -> None:
    bomb = gzip.compress(bytes(200_000_000), 1)
    body = nrrd(bomb)
    tracemalloc.start()
    with pytest.raises(FormatError, match="more data"):
        _read(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000


def test_file_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        _read(tmp_path / "missing.nrrd")
    with pytest.raises(InputError, match="is a folder, not a regular file"):
        _read(tmp_path)


# -- into a spool -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<f4", ">f8"])
def test_spooled_volume_is_the_one_that_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    monkeypatch.setattr(reader, "_BLOCK_BYTES", 500_000)
    array = voxels()
    array[5, 6, :] = -1.0
    endian = "big" if dtype[0] == ">" else "little"
    kind = {"4": "float", "8": "double"}[dtype[2]]
    body = nrrd(gzip.compress(raw(array, dtype), 1), type=kind, endian=endian)
    expected = _read(body).array
    with VolumeSpool(tmp_path / "spool") as spool:
        volume = spool_nrrd(body, "projection_density", spool, what="x", spacing_um=100)
        assert volume.no_data_voxels == 114
        np.testing.assert_array_equal(np.concatenate(list(volume.slabs())), expected)


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 1.01])
def test_a_fault_in_any_plane_ends_spooling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, place: int
) -> None:
    monkeypatch.setattr(reader, "_BLOCK_BYTES", 500_000)
    array = voxels()
    array[place, place, place] = value
    body = nrrd(gzip.compress(raw(array), 1))
    with VolumeSpool(tmp_path / "spool") as spool, pytest.raises(FormatError):
        spool_nrrd(body, "projection_density", spool, what="x")


@pytest.mark.parametrize("change", [lambda body: body[:-100], lambda body: body + b"more"], ids=["cut", "longer"])
def test_a_file_that_is_not_whole_ends_spooling(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    with VolumeSpool(tmp_path / "spool") as spool, pytest.raises(FormatError):
        spool_nrrd(change(nrrd()), "projection_density", spool, what="x")
