"""Large volumes: through a spool, into a file of slabs, and back in parts. At 100 um, which a test can afford."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.errors import DamagedFileError, NoSpaceError
from bsv_store.volumes.encoding import array_sha256, decode_with_hdf5
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.large import read_content, read_large, slabs_sha256
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.library import (
    VolumeFile,
    dense_slabs,
    describe,
    publish_volume,
    read_array,
    read_slab,
    read_voxels,
)
from bsv_store.volumes.spool import SpooledVolume, VolumeSpool
from bsv_store.volumes.volume import SparseArray, Volume
from tests.examples import FEW
from tests.volumes.damage import Damage, chunks_of, damaged

SHAPE = Grid(100).shape
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def files(tmp_path: Path) -> StoreFiles:
    return StoreFiles(tmp_path)


@pytest.fixture(autouse=True)
def _all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five slabs and many chunks, as at 25 um."""
    monkeypatch.setattr("bsv_store.volumes.grid.LARGE_VOXELS", 1)
    monkeypatch.setattr("bsv_store.volumes.layout._SLAB_BYTES", 1 << 20)
    monkeypatch.setattr("bsv_store.volumes.blocks._CHUNK_VALUES", 4096)


def voxels(fraction: float, *, seed: int = 7) -> NDArray[np.float32]:
    """That fraction of the voxels is not 0, a few of them without data; some planes are empty, and some are full."""
    random = np.random.default_rng(seed)
    array = random.random(SHAPE, np.float32)
    array[random.random(SHAPE) >= fraction] = 0
    if 0 < fraction < 1:
        array[30:60], array[:, :, 50:60], array[70, :, :40], array[0, 0, :3] = 0, 0, 0.5, np.nan
    return array


def blocks(array: NDArray[np.float32], depth: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for first in range(0, array.shape[2], depth):
        yield first, np.asfortranarray(array[:, :, first : first + depth])


def spooled(files: StoreFiles, spool: VolumeSpool, array: NDArray[np.float32], depth: int = 9) -> SpooledVolume:
    return spool.fill("projection_density", Grid(100), blocks(array, depth))


def published(files: StoreFiles, array: NDArray[np.float32]) -> VolumeFile:
    return publish_volume(files, Volume("projection_density", array), experiment_id=7, source="test")


FRACTIONS = [(0.0, "sparse"), (0.07, "sparse"), (0.3, "sparse"), (0.9, "dense"), (1.0, "dense")]


@pytest.mark.parametrize(("fraction", "encoding"), FRACTIONS)
@pytest.mark.parametrize("depth", [1, 9, 114])
def test_spool_gives_the_slabs_of_the_whole_array(
    files: StoreFiles, fraction: float, encoding: str, depth: int
) -> None:
    array = voxels(fraction)
    assert len(slab_ranges(Grid(100))) == 5
    with files.temporary() as path, VolumeSpool(path) as spool:
        volume = spooled(files, spool, array, depth)
        assert (volume.non_zero, volume.no_data_voxels) == (int(np.count_nonzero(array)), int(np.isnan(array).sum()))
        np.testing.assert_array_equal(np.concatenate(list(volume.slabs())), array)
        assert slabs_sha256(volume) == array_sha256(array)
        assert path.stat().st_size <= array.nbytes
    assert list((files.root / "tmp").iterdir()) == []


def test_spool_is_used_again_from_its_start(files: StoreFiles) -> None:
    with files.temporary() as path, VolumeSpool(path) as spool:
        spooled(files, spool, voxels(1.0))
        volume = spooled(files, spool, voxels(0.07))
        np.testing.assert_array_equal(np.concatenate(list(volume.slabs())), voxels(0.07))
        assert path.stat().st_size < voxels(0.07).nbytes / 2


@pytest.mark.parametrize(("fraction", "encoding"), FRACTIONS)
def test_file_reads_back_whole_in_slabs_and_by_any_hdf5_program(
    files: StoreFiles, fraction: float, encoding: str
) -> None:
    array = voxels(fraction)
    with files.temporary() as path, VolumeSpool(path) as spool:
        file = publish_volume(files, spooled(files, spool, array), experiment_id=7, source="test")
    layout = file.layout
    assert (layout.encoding, layout.index_offset, layout.value_offset) == (encoding, None, None)
    assert layout.has_slabs
    assert layout.array_sha256 == array_sha256(array)
    content = (files.root / file.path).read_bytes()
    assert (layout.size_bytes, layout.file_sha256) == (len(content), hashlib.sha256(content).hexdigest())
    np.testing.assert_array_equal(read_array(files, file), array)
    np.testing.assert_array_equal(decode_with_hdf5(content, Grid(100), what="x"), array)
    for start, stop in ((0, 1), (0, 132), (27, 61), (31, 58), (70, 71), (131, 132)):
        part = read_slab(files, file, start, stop)
        dense = part.dense_planes(start, stop) if isinstance(part, SparseArray) else part
        np.testing.assert_array_equal(dense, array[start:stop])
    assert [start for start, _ in dense_slabs(files, file)] == [start for start, _ in slab_ranges(Grid(100))]
    # The same bytes from the array in memory.
    assert published(files, array).layout == layout


def test_what_is_known_of_a_file_is_read_from_it(files: StoreFiles) -> None:
    for fraction in (0.07, 1.0):
        file = published(files, voxels(fraction))
        with (files.root / file.path).open("rb") as stream:
            content = read_content(stream, Grid(100), kind="projection_density", experiment_id=7, what="x")
            assert (content.array_sha256, content.value_count) == (file.layout.array_sha256, file.layout.value_count)
            assert content.no_data_voxels == file.layout.no_data_voxels
            with pytest.raises(DamagedFileError, match="another volume"):
                read_content(stream, Grid(100), kind="data_mask", experiment_id=7, what="x")


def test_description_is_that_of_the_small_file(files: StoreFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    array = voxels(0.07)
    large = describe(files, published(files, array))
    monkeypatch.setattr("bsv_store.volumes.grid.LARGE_VOXELS", array.size + 1)
    small = describe(files, published(files, array))
    same = ("shape_ap_dv_ml", "non_zero", "max", "no_data_voxels", "encoding", "array_sha256")
    assert [large[name] for name in same] == [small[name] for name in same]
    assert large["mean"] == pytest.approx(small["mean"], rel=1e-12)


@pytest.mark.parametrize("fraction", [0.02, 0.9])
def test_no_flipped_bit_changes_what_a_slab_reads(files: StoreFiles, fraction: float) -> None:
    array = voxels(fraction)
    file = published(files, array)
    path = files.root / file.path
    good = path.read_bytes()
    random = np.random.default_rng(0)
    noticed = 0
    count = 50 if FEW else 150
    # Half of them where the description lies.
    places = [*random.integers(len(good), size=count), *random.integers(4096, size=count)]
    with path.open("r+b") as stream:

        def write(place: int, value: int) -> None:
            stream.seek(place)
            stream.write(bytes([value]))
            stream.flush()

        for place in map(int, places):
            write(place, good[place] ^ 1 << int(random.integers(8)))
            with pytest.raises(DamagedFileError):
                read_voxels(files, file)
            try:
                part = read_slab(files, file, 20, 80)
            except DamagedFileError:
                noticed += 1
            else:
                dense = part.dense_planes(20, 80) if isinstance(part, SparseArray) else part
                np.testing.assert_array_equal(dense, array[20:80], err_msg=str(place))
            write(place, good[place])
    assert noticed > count // 5


@pytest.mark.parametrize("damage", ["chunk of zeros", "chunks swapped", "chunk copied"])
def test_dense_chunks_are_known_by_their_place(files: StoreFiles, damage: Damage) -> None:
    """Chunks of constants take the same space, and so change places."""
    array = np.empty(SHAPE, np.float32)
    array[:] = (1 + np.arange(SHAPE[0], dtype=np.float32) // 28)[:, None, None] / 8
    file = published(files, array)
    path = files.root / file.path
    with damaged(path, damage, np.random.default_rng(0), chunks_of(path, "volume")):
        errors = 0
        for start in range(0, SHAPE[0], 28):
            try:
                np.testing.assert_array_equal(read_slab(files, file, start, start + 5), array[start : start + 5])
            except DamagedFileError:
                errors += 1
    assert errors == (2 if damage == "chunks swapped" else 1)


def test_another_volumes_file_of_the_same_size_is_noticed(files: StoreFiles) -> None:
    one = published(files, voxels(1.0, seed=1))
    array = voxels(0.0)
    array[3, 4, 5] = 0.5
    first = published(files, array)
    array[3, 4, 5] = 0.25
    second = published(files, array)
    assert first.layout.size_bytes == second.layout.size_bytes
    (files.root / second.path).replace(files.root / first.path)
    with pytest.raises(DamagedFileError, match="a different volume"):
        read_slab(files, first, 100, 101)
    assert one.layout.encoding == "dense"


@pytest.mark.parametrize("damage", ["missing", "cut", "longer"])
def test_a_missing_or_cut_file_is_noticed(files: StoreFiles, damage: str) -> None:
    file = published(files, voxels(0.07))
    path = files.root / file.path
    content = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(content[:-1] if damage == "cut" else content + b"x")
    with pytest.raises(DamagedFileError, match=r"7\."):
        read_slab(files, file, 0, 1)


def test_a_slab_is_read_without_the_rest(files: StoreFiles) -> None:
    file = published(files, voxels(0.3))
    path = files.root / file.path
    read: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self.file = path.open("rb")

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

        def readinto(self, buffer: memoryview) -> int:
            read.append(len(buffer))
            return self.file.readinto(buffer)

    counting = Counting()
    with counting.file:
        read_large(counting, file.layout, 100, 106, what="x")  # type: ignore[arg-type]
    # 6 of 132 planes, a chunk's worth at either end of both arrays, and the description.
    assert sum(read) < file.layout.size_bytes * 6 / 100 + 4 * 4096 * 4 + 10_000


WRITE_TO_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from bsv_store.errors import NoSpaceError
from bsv_store.volumes import blocks, grid
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.library import publish_volume
from bsv_store.volumes.volume import Volume

grid.LARGE_VOXELS, blocks._CHUNK_VALUES = 1, 4096
array = np.random.default_rng(7).random(grid.Grid(100).shape, np.float32)
array[array > float(sys.argv[2])] = 0
for limit in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        publish_volume(
            StoreFiles(Path(sys.argv[1])), Volume("projection_density", array), experiment_id=7, source="test"
        )
    except NoSpaceError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        left = [path for path in Path(sys.argv[1]).rglob("*") if path.is_file()]
        print(limit, "refused:", error.hint, left)
"""


@pytest.mark.parametrize("fraction", [0.2, 0.9], ids=["sparse", "dense"])
def test_a_full_disk_is_a_clean_error_and_leaves_nothing(tmp_path: Path, fraction: float) -> None:
    limits = ["0", "100", "3000", "50000", "300000"]
    done = subprocess.run(
        [sys.executable, "-c", WRITE_TO_A_FULL_DISK, str(tmp_path), str(fraction), *limits],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    hint = "Free disk space and run the command again."
    assert done.stdout.splitlines() == [f"{limit} refused: {hint} []" for limit in limits]


def test_a_full_disk_stops_the_spool(files: StoreFiles) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with files.temporary() as path, VolumeSpool(path) as spool, pytest.raises(NoSpaceError):
            spooled(files, spool, voxels(1.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((files.root / "tmp").iterdir()) == []


def test_an_error_of_the_source_leaves_nothing(files: StoreFiles) -> None:
    def failing() -> Iterator[tuple[int, NDArray[np.float32]]]:
        yield from list(blocks(voxels(0.07), 9))[:-1]
        raise DamagedFileError("the source is cut")

    with pytest.raises(DamagedFileError), files.temporary() as path, VolumeSpool(path) as spool:
        spool.fill("projection_density", Grid(100), failing())
    assert [path for path in files.root.rglob("*") if path.is_file()] == []


STORE_25_UM = """
import resource, sys
from pathlib import Path
import h5py, numpy as np
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import dense_slabs, describe, publish_volume, read_slab
from bsv_store.volumes.spool import VolumeSpool

grid, random = Grid(25), np.random.default_rng(7)

def blocks():
    for first in range(0, grid.shape[2], 6):
        block = np.zeros((*grid.shape[:2], min(6, grid.shape[2] - first)), np.float32, order="F")
        if sys.argv[2] == "dense":
            block[:] = 0.5
        block[100:400, 50:110] = random.random(block[100:400, 50:110].shape, np.float32)
        yield first, block

files = StoreFiles(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with files.temporary() as path, VolumeSpool(path) as spool:
    volume = spool.fill("projection_density", grid, blocks())
    file = publish_volume(files, volume, experiment_id=7, source="test")
read_slab(files, file, 100, 140)
assert describe(files, file)["encoding"] == sys.argv[2]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["sparse", "dense"])
def test_memory_at_25_um_is_that_of_slabs(tmp_path: Path, encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STORE_25_UM, str(tmp_path), encoding],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    # The volume itself has 308 MB.
    assert float(done.stdout) < 150


def test_file_says_where_each_plane_begins(files: StoreFiles) -> None:
    array = voxels(0.07)
    file = published(files, array)
    with h5py.File(files.root / file.path) as opened:
        counts = np.diff(opened["plane_start"][:].astype(np.int64))
    np.testing.assert_array_equal(counts, np.count_nonzero(array, axis=(1, 2)))
