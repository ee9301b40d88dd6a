"""Damage to a volume of 25 um, as stored on a failing disk: no slab that is read is silently wrong."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.errors import DamagedFileError
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes import library
from bsv_store.volumes.files import StoreFiles, hashes_of
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.library import VolumeFile, computed_block_hashes, publish_volume, read_slab
from bsv_store.volumes.volume import SparseArray
from tests.volumes.damage import DAMAGES, Chunk, Damage, chunks_of, damaged

GRID = Grid(25)
PLANE = GRID.shape[1] * GRID.shape[2]
PLANES = GRID.shape[0]


@dataclass(frozen=True)
class Scattered:
    """A volume of 25 um with some non-zero voxels, which is never in memory as a whole."""

    index: NDArray[np.uint32]
    values: NDArray[np.float32]
    kind: VolumeKind = "projection_density"
    grid: Grid = GRID
    no_data_voxels: int = 0

    @property
    def non_zero(self) -> int:
        return len(self.index)

    def slabs(self) -> Iterator[NDArray[np.float32]]:
        for start, stop in slab_ranges(GRID):
            yield self.part(start, stop).dense_planes(start, stop)

    def part(self, start: int, stop: int) -> SparseArray:
        return SparseArray(GRID, self.index, self.values).planes(start, stop)


def scattered(count: int) -> Scattered:
    """In the middle half of the brain, so that some planes are empty."""
    random = np.random.default_rng(25)
    index = np.unique(random.integers(100 * PLANE, 420 * PLANE, size=count, dtype=np.uint32))
    return Scattered(index, 1 - random.random(len(index), dtype=np.float32))


@dataclass(frozen=True)
class Stored:
    """A published volume, and what it contains."""

    volume: Scattered
    files: StoreFiles
    file: VolumeFile
    chunks: list[Chunk]

    @property
    def path(self) -> Path:
        return self.files.path(self.file.path)

    def planes_of(self, chunk: Chunk) -> tuple[int, int]:
        """AP planes [start, stop) of the voxels of a chunk."""
        name, _, size = chunk
        number = [each for each in self.chunks if each[0] == name].index(chunk)
        # Each has a checksum of four bytes.
        length = (size - 4) // 4
        voxels = self.volume.index[number * length : (number + 1) * length]
        return int(voxels[0]) // PLANE, int(voxels[-1]) // PLANE + 1

    def is_silently_wrong(self, start: int, stop: int) -> bool | None:
        """Whether reading a slab gives other voxels than were stored; None if it is an error."""
        try:
            found = read_slab(self.files, self.file, start, stop)
        except DamagedFileError:
            return None
        assert isinstance(found, SparseArray)
        wanted = self.volume.part(start, stop)
        return not (np.array_equal(found.index, wanted.index) and np.array_equal(found.values, wanted.values))


def stored(folder: Path, count: int) -> Stored:
    volume, files = scattered(count), StoreFiles(folder)
    file = publish_volume(files, volume, experiment_id=7, source="test")  # type: ignore[arg-type]
    return Stored(volume, files, file, chunks_of(files.path(file.path), "indices_0", "values"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Ten chunks for each of the two arrays."""
    return stored(tmp_path_factory.mktemp("small"), 600_000)


def campaign(there: Stored, count: int, *, hole_bytes: int) -> Counter[tuple[Damage, str]]:
    """What became of ``count`` damages of each kind, each seen by reads where it is and elsewhere."""
    random = np.random.default_rng(12)
    outcomes: Counter[tuple[Damage, str]] = Counter()
    for damage in DAMAGES:
        for _ in range(count):
            with damaged(there.path, damage, random, there.chunks, hole_bytes=hole_bytes) as hit:
                places = sorted(int(place) for place in random.integers(PLANES + 1, size=2))
                reads = [(places[0], max(places[1], places[0] + 1)) if places[0] < PLANES else (0, 1)]
                reads += [there.planes_of(chunk) for chunk in hit[:2]]
                for start, stop in reads:
                    wrong = there.is_silently_wrong(start, min(stop, PLANES))
                    outcomes[damage, {None: "error", False: "right", True: "SILENT"}[wrong]] += 1
                    # A read of the planes of a chunk that was replaced cannot succeed.
                    if (start, stop) != reads[0] and damage in ("chunk of zeros", "chunks swapped"):
                        assert wrong is None
    assert there.is_silently_wrong(0, PLANES) is False
    return outcomes


def test_no_damage_changes_what_a_slab_reads(small: Stored) -> None:
    outcomes = campaign(small, 12, hole_bytes=300_000)
    assert {outcome for _, outcome in outcomes} == {"error", "right"}, outcomes
    assert all(outcomes[damage, "error"] for damage in DAMAGES), outcomes


@pytest.mark.long
def test_no_damage_of_a_thousand_changes_what_a_slab_reads(tmp_path: Path) -> None:
    outcomes = campaign(stored(tmp_path, 5_000_000), 170, hole_bytes=4 << 20)
    print(dict(outcomes))  # noqa: T201
    assert {outcome for _, outcome in outcomes} == {"error", "right"}, outcomes
    assert all(outcomes[damage, "error"] for damage in DAMAGES), outcomes


@pytest.fixture
def unhashed(small: Stored, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """The same file as a store has it that was created before the hashes of blocks were recorded."""
    monkeypatch.setattr(library, "_computed", {})
    return replace(small, file=replace(small.file, layout=replace(small.file.layout, block_hashes=None)))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("when", ["before the first read", "after it"])
def test_a_file_without_recorded_hashes_is_verified_all_the_same(unhashed: Stored, damage: Damage, when: str) -> None:
    if when == "after it":
        assert unhashed.is_silently_wrong(0, 1) is False
    random = np.random.default_rng(3)
    with damaged(unhashed.path, damage, random, unhashed.chunks, hole_bytes=100_000) as hit:
        planes = unhashed.planes_of(hit[0]) if hit else (0, PLANES)
        assert unhashed.is_silently_wrong(*planes) in (None, False)
        if when == "before the first read":
            # Wherever the damage is.
            assert unhashed.is_silently_wrong(0, 1) is None
    assert unhashed.is_silently_wrong(*planes) is False


def test_hashes_computed_from_a_file_are_those_that_were_recorded(small: Stored, unhashed: Stored) -> None:
    assert computed_block_hashes(unhashed.files, unhashed.file) == small.file.layout.block_hashes
    with damaged(small.path, "chunk of zeros", np.random.default_rng(0), small.chunks), pytest.raises(DamagedFileError):
        computed_block_hashes(unhashed.files, unhashed.file)


def test_the_file_is_hashed_once_per_process(unhashed: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[object] = []

    def counted(file: Any) -> Any:
        hashed.append(file)
        return hashes_of(file)

    monkeypatch.setattr("bsv_store.volumes.files.hashes_of", counted)
    for plane in (200, 300, 200):
        assert unhashed.is_silently_wrong(plane, plane + 1) is False
    assert len(hashed) == 1


def rewritten(there: Stored, name: str, values: NDArray[np.generic], **options: object) -> Stored:
    """The same volume with another dataset in its file, under hashes that are valid for the file."""
    with h5py.File(there.path, "r+") as file:
        del file[name]
        file.create_dataset(name, data=values, **options)
    with there.path.open("rb") as stream:
        hashes = hashes_of(stream)
    layout = replace(there.file.layout, size_bytes=hashes.size_bytes, file_xxh3=hashes.xxh3, file_sha256=hashes.sha256)
    return replace(there, file=replace(there.file, layout=replace(layout, block_hashes=None)))


@pytest.fixture
def copy(small: Stored, tmp_path: Path) -> Stored:
    shutil.copytree(small.files.root, tmp_path / "copy")
    return replace(small, files=StoreFiles(tmp_path / "copy"))


CHUNKS = {"chunks": (65536,), "fletcher32": True}


def test_a_stored_zero_is_refused(copy: Stored) -> None:
    values = copy.volume.values.copy()
    values[100_000] = 0
    with pytest.raises(DamagedFileError, match="zeros among the stored values"):
        read_slab(copy.files, rewritten(copy, "values", values, **CHUNKS).file, 0, PLANES)


def test_indices_that_do_not_ascend_are_refused(copy: Stored) -> None:
    index = copy.volume.index.copy()
    index[[100_000, 100_001]] = index[[100_001, 100_000]]
    with pytest.raises(DamagedFileError, match="do not ascend"):
        read_slab(copy.files, rewritten(copy, "indices_0", index, **CHUNKS).file, 0, PLANES)


def test_planes_that_begin_elsewhere_are_refused(copy: Stored) -> None:
    counts = np.bincount(copy.volume.index // PLANE, minlength=PLANES)
    places = np.concatenate([[0], np.cumsum(counts)]).astype("<u8")
    places[200] += 1
    with pytest.raises(DamagedFileError, match="inconsistent"):
        read_slab(
            copy.files, rewritten(copy, "plane_start", places, chunks=places.shape, fletcher32=True).file, 198, 202
        )


@pytest.mark.parametrize(
    ("name", "change", "options"),
    [
        ("values", lambda values: values.astype("<f8"), CHUNKS),
        ("values", lambda values: values.astype(">f4"), CHUNKS),
        ("values", lambda values: values[:-1], CHUNKS),
        ("values", lambda values: values, {"chunks": (4096,), "fletcher32": True}),
        ("values", lambda values: values, {}),
        ("indices_0", lambda index: index.astype("<i8"), CHUNKS),
    ],
    ids=["float64", "big-endian", "shorter", "smaller chunks", "contiguous", "int64"],
)
def test_another_type_shape_or_chunk_size_is_refused(
    copy: Stored, name: str, change: object, options: dict[str, object]
) -> None:
    before = copy.volume.values if name == "values" else copy.volume.index
    changed = rewritten(copy, name, change(before), **options)  # type: ignore[operator]
    with pytest.raises(DamagedFileError, match="another shape, type or chunk size"):
        read_slab(copy.files, changed.file, 0, PLANES)
