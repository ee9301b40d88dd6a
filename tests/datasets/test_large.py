"""Results at 25 and 10 um: slabs are read and results built on disk. At 100 um, which a test can afford."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from sqlalchemy import delete

from bsv_store import Selection, by_field
from bsv_store.averaging import passes
from bsv_store.catalog.database.models import VolumeBlockHashes
from bsv_store.datasets import publish as publish_module
from bsv_store.datasets.workers import in_order
from bsv_store.errors import BsvStoreError, DamagedFileError, InputError
from bsv_store.formats.nrrd import write_nrrd
from bsv_store.volumes import library
from bsv_store.volumes.encoding import VolumeLayout
from tests.datasets.world import IDS, VISUAL, add_volume, ask, fill, voxels
from tests.formats.images import image_of
from tests.stores import store_with
from tests.volumes.damage import Damage, chunks_of, damaged

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store

EVERYBODY = Selection(ids=IDS)
CHECKOUT = Path(__file__).resolve().parents[2]


def _make_large(patch: pytest.MonkeyPatch) -> None:
    """Treat volumes as at 25 um: in files of slabs."""
    patch.setattr("bsv_store.volumes.grid.LARGE_VOXELS", 1)
    patch.setattr("bsv_store.volumes.layout._SLAB_BYTES", 1 << 20)


def _fill_large(store: Store) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _make_large(patch)
        fill(store)


filled_large = store_with(_fill_large)


@pytest.fixture
def large(filled_large: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The filled store with volumes as at 25 um."""
    _make_large(monkeypatch)
    return filled_large


def asked(store: Store, **options: Any) -> DatasetVersion:
    return ask(
        store,
        EVERYBODY,
        by_field("primary_structure"),
        statistics=("mean", "sd", "n"),
        hemisphere_rule="subtract_contralateral",
        normalize="injection_volume",
        **options,
    )


def leftovers(store: Store) -> list[Path]:
    return [*(store.path / "tmp").iterdir()]


def test_a_result_has_the_bytes_that_it_has_in_memory(large: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "_BUDGET_BYTES", {100: 40_000_000})
    on_disk = asked(large)
    assert leftovers(large) == []
    # The same volumes in small files, averaged in memory.
    monkeypatch.setattr("bsv_store.volumes.grid.LARGE_VOXELS", 50_000_000)
    for identifier in IDS:
        assert not add_volume(large, identifier).layout.has_slabs
    report = large.datasets.rebuild("test@1")
    assert report.is_identical
    in_memory = asked(large, name="other")
    assert in_memory.was_computed
    assert (in_memory.file_sha256, in_memory.content_sha256) == (on_disk.file_sha256, on_disk.content_sha256)


def test_each_slab_of_a_file_is_read_once(large: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int, int]] = []
    real = library.read_large  # type: ignore[attr-defined]

    def count(stream: Any, layout: VolumeLayout, start: int, stop: int, *, what: str) -> Any:
        read.append((what, start, stop))
        return real(stream, layout, start, stop, what=what)

    monkeypatch.setattr(library, "read_large", count)
    monkeypatch.setattr(passes, "_BUDGET_BYTES", {100: 1})
    asked(large)
    assert len(read) == len(set(read)) == 4 * len(IDS)
    for name in {name for name, _, _ in read}:
        planes = [plane for what, start, stop in read if what == name for plane in range(start, stop)]
        assert sorted(planes) == list(range(132))


class Client:
    """As Dask's: futures of its own kind."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, function: Any, /, *arguments: Any) -> Any:
        self.calls += 1
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(function, *arguments)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("executor", [ThreadPoolExecutor(3), Client(), None], ids=["threads", "client", "processes"])
@pytest.mark.parametrize("workers", [2, 5])
def test_who_computes_does_not_change_a_bit(
    filled: Store, executor: Any, workers: int, request: pytest.FixtureRequest
) -> None:
    if workers == 2:
        request.getfixturevalue("new_worker_processes")
    alone = asked(filled)
    together = asked(filled, name="together", executor=executor, workers=workers)
    assert together.was_computed
    assert together.file_sha256 == alone.file_sha256


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_slabs_of_several_processes_join_to_the_same_bytes(large: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "_BUDGET_BYTES", {100: 60_000_000})
    alone = asked(large)
    with ProcessPoolExecutor(2) as executor:
        together = asked(large, name="together", executor=executor)
    assert together.was_computed
    assert together.file_sha256 == alone.file_sha256


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("workers", [1, 2])
def test_damage_is_reported_for_any_number_of_workers(filled: Store, workers: int) -> None:
    damaged = [filled.path / str(filled.volumes.describe(identifier)["path"]) for identifier in (1, 2)]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match=r"experiment 1 \(and 1 more: 2\)"):
        asked(filled, missing="leave_out", workers=workers)


def test_a_lost_process_is_an_error() -> None:
    with ProcessPoolExecutor(1) as executor, pytest.raises(BsvStoreError, match="ended unexpectedly") as caught:
        list(in_order(executor, [(os._exit, 1)], at_once=1))
    assert caught.value.hint is not None
    assert "fewer workers" in caught.value.hint


def test_a_number_of_workers_that_makes_no_sense_is_an_error(filled: Store) -> None:
    with pytest.raises(InputError, match=r"workers .*got 0"):
        asked(filled, workers=0)


FULL = """
import resource, sys
from bsv_store import Selection, open_store
from bsv_store.errors import NoSpaceError
from bsv_store.volumes import grid
from tests.datasets.world import ask

grid.LARGE_VOXELS = 1
with open_store(sys.argv[1]) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        ask(store, Selection(ids=[1, 2, 3]))
    except NoSpaceError as error:
        print("refused:", error.hint)
"""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("limit", [0, 5_000, 150_000])
def test_a_full_disk_is_a_clean_error_and_leaves_nothing(filled: Store, limit: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(filled.path), str(limit)],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "refused: Free disk space and run the command again.\n"
    assert leftovers(filled) == []
    assert not (filled.path / "datasets" / "test").exists()


@pytest.mark.parametrize("streamed", [True, False])
def test_an_error_of_the_computation_is_not_called_one_of_writing(
    filled: Store, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    """A network drive that answers a reader with an error, or a process that cannot be started."""
    monkeypatch.setattr("bsv_store.volumes.grid.LARGE_VOXELS", 1 if streamed else 50_000_000)
    error = OSError(errno.EACCES, "Permission denied")

    def fail(*_arguments: Any) -> Any:
        raise error

    monkeypatch.setattr(passes, "run", fail)
    with pytest.raises(OSError, match="Permission denied") as caught:
        asked(filled)
    assert caught.value is error
    assert leftovers(filled) == []


def test_a_result_that_vanished_is_computed_again(large: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process deletes a version with the same bytes just after they were published."""
    deleted = 0

    def delete_once(point: str) -> None:
        nonlocal deleted
        if point == "version:published" and not deleted:
            deleted = 1
            for path in (large.path / "datasets" / "test").iterdir():
                path.unlink()

    monkeypatch.setattr(publish_module, "checkpoint", delete_once)
    version = asked(large)
    assert deleted
    assert version.path.exists()
    assert version.number == 1
    assert leftovers(large) == []


def test_checking_a_version_writes_nothing_into_the_store(large: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(large)
    before = sorted(large.path.rglob("*"))

    def refuse(*_: object) -> AbstractContextManager[None]:
        pytest.fail("nothing is to be written")
        return nullcontext()

    monkeypatch.setattr(type(large.files), "temporary", refuse)
    assert large.datasets.rebuild("test@1", check_only=True).is_identical
    assert sorted(large.path.rglob("*")) == before


def test_a_damaged_result_is_restored(large: Store) -> None:
    version = asked(large)
    version.path.write_bytes(b"damaged")
    assert large.datasets.rebuild("test@1").was_restored
    assert version.mean.shape[1:] == (132, 80, 114)
    assert leftovers(large) == []


@pytest.mark.parametrize(
    "key",
    [
        2,
        (0, 84),
        (slice(1, 3), slice(80, 90)),
        (0, slice(90, 80, -3), 5),
        (0, slice(5, 5)),
        (1, -1),
        (0, slice(0, 99, 7)),
    ],
    ids=str,
)
def test_a_stack_reads_only_the_planes_that_are_asked_for(
    large: Store, monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    plain = np.stack([voxels(identifier) for identifier in range(1, 6)])
    stack = large.datasets.stack(ask(large))
    read: list[int] = []
    real = library.read_large  # type: ignore[attr-defined]

    def count(stream: Any, layout: VolumeLayout, start: int, stop: int, *, what: str) -> Any:
        read.append(stop - start)
        return real(stream, layout, start, stop, what=what)

    monkeypatch.setattr(library, "read_large", count)
    np.testing.assert_array_equal(stack[key], plain[key])
    volumes = len(np.atleast_1d(np.arange(5)[key[0] if isinstance(key, tuple) else key]))
    wanted = np.atleast_1d(np.arange(132)[key[1]]) if isinstance(key, tuple) else np.arange(132)
    assert read == [int(np.ptp(wanted)) + 1 if wanted.size else 1] * volumes
    with pytest.raises(IndexError):
        stack[0, 132]


def test_a_point_is_looked_up_in_its_plane(large: Store) -> None:
    ap, dv, ml = (int(place) for place in np.argwhere(voxels(1) > 0)[100])
    point = (ap * 100 + 50, dv * 100 + 50, ml * 100 + 50)
    found = large.search.point(point, selection=VISUAL)
    assert found.set_index("experiment_id")["projection_density"][1] == voxels(1)[ap, dv, ml]


DAMAGES = get_args(Damage)


def _fill_in_chunks(store: Store) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _make_large(patch)
        patch.setattr("bsv_store.volumes.blocks._CHUNK_VALUES", 4096)
        fill(store)


filled_in_chunks = store_with(_fill_in_chunks)


@pytest.fixture
def in_chunks(filled_in_chunks: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """As `large`, with six chunks for each array of a volume."""
    _make_large(monkeypatch)
    monkeypatch.setattr("bsv_store.volumes.blocks._CHUNK_VALUES", 4096)
    return filled_in_chunks


# Stores that were created before the hashes of blocks were recorded have none.
WITHOUT_HASHES: tuple[Damage, ...] = ("chunk of zeros", "chunks swapped")


@pytest.mark.parametrize(
    ("damage", "recorded"),
    [*((damage, True) for damage in DAMAGES), *((damage, False) for damage in WITHOUT_HASHES)],
)
def test_no_answer_comes_from_a_damaged_volume(
    in_chunks: Store, monkeypatch: pytest.MonkeyPatch, damage: Damage, recorded: bool
) -> None:
    store = in_chunks
    if not recorded:
        with store.database.writing() as connection:
            connection.execute(delete(VolumeBlockHashes))
        monkeypatch.setattr(library, "_computed", {})
    version = asked(store)
    stack = store.datasets.stack(version)
    monkeypatch.setattr(library, "_computed", {})
    path = store.path / str(store.volumes.describe(1)["path"])
    # Only their hashes tell that chunks of values changed places.
    chunks = chunks_of(path, "values")
    voxels_of = np.flatnonzero(voxels(1))
    with damaged(path, damage, np.random.default_rng(5), chunks, hole_bytes=40_000) as hit:
        # A voxel of each chunk that was hit, or any.
        numbers = [chunks.index(chunk) for chunk in hit]
        with pytest.raises(DamagedFileError, match="experiment 1"):
            ask(store, EVERYBODY, name="other")
        with pytest.raises(DamagedFileError):
            _ = stack[0]
        with pytest.raises(DamagedFileError):
            store.datasets.rebuild(version.ref)
        assert store.dataset(version.ref).checks[-1].outcome == "inputs damaged"
        for number in numbers:
            flat = int(voxels_of[number * 4096 + 10])
            ap, dv, ml = (int(place) * 100 + 50 for place in np.unravel_index(flat, voxels(1).shape))
            try:
                found = store.search.point((ap, dv, ml), selection=Selection(ids=[1]))
            except DamagedFileError:
                continue
            assert damage in ("chunk copied", "bit flipped")
            assert found["projection_density"].to_list() == [voxels(1).reshape(-1)[flat]]
        # A damaged volume is not a missing one.
        with pytest.raises(DamagedFileError, match="experiment 1"):
            ask(store, EVERYBODY, name="left", missing="leave_out")
    assert store.datasets.rebuild(version.ref).is_identical


def test_exports_are_those_of_the_whole_array(large: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.where(voxels(1) > 0.9, np.float32(np.nan), voxels(1))
    add_volume(large, 1, array=array)
    # A few passes over the file.
    monkeypatch.setattr("bsv_store.volumes.layout._BLOCK_BYTES", 1 << 20)
    for name in ("large.npy", "large.nrrd"):
        large.volumes.export(1, tmp_path / name)
    np.save(tmp_path / "small.npy", array)
    write_nrrd(image_of(array, title="projection_density experiment 1"), tmp_path / "small.nrrd")
    large_npy, small_npy = ((tmp_path / f"{name}.npy").read_bytes() for name in ("large", "small"))
    assert large_npy == small_npy
    # The header of the stored volume also has its facts.
    large_nrrd, small_nrrd = ((tmp_path / f"{name}.nrrd").read_bytes() for name in ("large", "small"))
    assert large_nrrd.split(b"\n\n", 1)[1] == small_nrrd.split(b"\n\n", 1)[1]


# In a separate process: a cluster that starts under pytest's warning filters hangs.
ASK_DASK = """
import sys
from bsv_store import open_store
from tests.datasets.test_large import asked

if __name__ == "__main__":
    import distributed

    with (
        open_store(sys.argv[1]) as store,
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        print(asked(store, name="together", executor=client, workers=3).file_sha256)
"""


def test_a_client_of_dask_computes_the_same_bytes(filled: Store) -> None:
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    alone = asked(filled)
    done = subprocess.run(
        [sys.executable, "-c", ASK_DASK, str(filled.path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [alone.file_sha256]
