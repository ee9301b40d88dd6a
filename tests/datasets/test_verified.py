"""A part of a result is read without the rest, and never from another file than the one that was published."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Selection
from bsv_store.datasets import version as version_module
from bsv_store.datasets.result import file as result_file
from bsv_store.datasets.result import verified
from bsv_store.errors import DamagedFileError, StoreError
from bsv_store.volumes import file_identity
from tests.datasets.world import add_volume, ask, fill
from tests.stores import store_with
from tests.volumes.damage import Damage, chunks_of, damaged

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store

ANTERIOR = ((0, 1000), (0, 8000), (0, 11400))


def _fill(store: Store) -> None:
    fill(store)
    ask(store)


answered = store_with(_fill)


@pytest.fixture
def version(answered: Store) -> DatasetVersion:
    return answered.dataset("test@1")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were hashed, one entry each time."""
    monkeypatch.setattr(verified, "_hashed", {})
    seen: list[Path] = []
    real = result_file.checked_stream

    def watch(path: Path, **facts: Any) -> Any:
        seen.append(path)
        return real(path, **facts)

    monkeypatch.setattr(verified, "checked_stream", watch)
    return seen


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are trusted by their times at once."""
    monkeypatch.setattr(file_identity, "_SETTLED_NS", 0)


def test_the_whole_is_checked_once(version: DatasetVersion, hashed: list[Path]) -> None:
    for _ in range(3):
        version.statistic("mean", box=ANTERIOR)
    assert hashed == [version.path]


def test_only_the_array_that_is_read_is_opened(
    version: DatasetVersion, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    version.statistic("mean", box=ANTERIOR)
    opened: list[bytes] = []
    real = h5py.h5o.open

    def observed(file: Any, name: bytes, *others: Any, **options: Any) -> Any:
        opened.append(name)
        return real(file, name, *others, **options)

    monkeypatch.setattr(h5py.h5o, "open", observed)
    version.statistic("mean", box=ANTERIOR)
    assert set(opened) == {b"mean"}


def test_a_file_of_this_moment_is_not_trusted_by_its_times(
    version: DatasetVersion, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_identity, "_SETTLED_NS", 10**18)
    for _ in range(2):
        version.statistic("mean", box=ANTERIOR)
    assert len(hashed) == 2


def test_a_file_that_settles_only_while_it_is_hashed_is_not_trusted(
    version: DatasetVersion, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change after its beginning was hashed can leave the times as they were."""
    written_ns = version.path.stat().st_ctime_ns
    monkeypatch.setattr(file_identity, "_SETTLED_NS", 2 * 10**9)
    # First hashed from one second after it was written until three seconds after it.
    clock = SimpleNamespace(time_ns=lambda: written_ns + (3 if hashed else 1) * 10**9)
    monkeypatch.setattr(verified, "time", clock)
    for _ in range(3):
        version.statistic("mean", box=ANTERIOR)
    assert len(hashed) == 2


@pytest.mark.parametrize(
    ("moment", "whole"),
    [("looked at", False), ("opened", False), ("opened", True), ("hashed", False), ("hashed", True)],
)
def test_a_file_that_cannot_be_read_is_not_called_damaged(
    version: DatasetVersion, monkeypatch: pytest.MonkeyPatch, moment: str, whole: bool
) -> None:
    """A missing drive or changed permissions: rebuilding would not help."""

    def refuse(*_arguments: Any, **_options: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    if moment == "hashed":
        monkeypatch.setattr("hashlib.file_digest", refuse)
    else:
        name, real = ("stat", Path.stat) if moment == "looked at" else ("open", Path.open)
        monkeypatch.setattr(
            Path, name, lambda path, *args, **rest: refuse() if path == version.path else real(path, *args, **rest)
        )
    with pytest.raises(StoreError, match="cannot be read") as caught:
        version.statistic("mean", box=None if whole else ANTERIOR)
    assert not isinstance(caught.value, DamagedFileError)
    assert "permissions" in str(caught.value.hint)


@pytest.mark.parametrize("seen_before", [False, True])
def test_another_file_of_the_same_size_is_refused(filled: Store, seen_before: bool, hashed: list[Path]) -> None:
    version = ask(filled, Selection(ids=[1, 2]))
    if seen_before:
        version.statistic("mean", box=ANTERIOR)
    other = ask(filled, Selection(ids=[1, 2, 3]), name="other")
    # Of the same size, whatever the two compress to.
    version.path.write_bytes(other.path.read_bytes()[: version.size_bytes].ljust(version.size_bytes, b"\0"))
    with pytest.raises(DamagedFileError, match="differs from what was stored"):
        version.statistic("mean", box=ANTERIOR)


@pytest.mark.parametrize("seen_before", [False, True])
def test_a_changed_voxel_is_detected(version: DatasetVersion, seen_before: bool) -> None:
    """HDF5 writes a valid checksum with it; only the hash of the whole tells."""
    if seen_before:
        version.statistic("mean", box=ANTERIOR)
    size = version.path.stat().st_size
    with h5py.File(version.path, "r+") as file:
        file.attrs.modify("spacing_um", np.int64(25))
    assert version.path.stat().st_size == size
    with pytest.raises(DamagedFileError, match="differs from what was stored"):
        version.statistic("mean", box=ANTERIOR)


@pytest.mark.parametrize("seen_before", [False, True])
def test_damage_anywhere_is_noticed(version: DatasetVersion, seen_before: bool) -> None:
    if seen_before:
        version.statistic("mean", box=ANTERIOR)
    content = bytearray(version.path.read_bytes())
    content[len(content) // 2] ^= 1
    version.path.write_bytes(content)
    for box in (ANTERIOR, None):
        with pytest.raises(DamagedFileError, match="differs from what was stored"):
            version.statistic("mean", box=box)
    version.path.write_bytes(content[:-1])
    with pytest.raises(DamagedFileError, match="differs from what was stored"):
        version.statistic("mean", box=ANTERIOR)
    version.path.unlink()
    with pytest.raises(DamagedFileError, match="is missing"):
        version.statistic("mean", box=ANTERIOR)


@pytest.mark.parametrize("damage", ["chunk of zeros", "chunks swapped", "chunk copied", "hole", "truncated"])
@pytest.mark.parametrize("times", ["changed", "unchanged"])
def test_chunks_that_are_lost_or_change_places_are_noticed(
    filled: Store, monkeypatch: pytest.MonkeyPatch, damage: Damage, times: str
) -> None:
    """A failing disk changes no times of a file. Chunks of constants take the same space, and so change places."""
    planes: NDArray[np.float32] = np.repeat(np.array([1, 2, 3, 4], np.float32) / 8, 33)
    array = np.broadcast_to(planes[:, None, None], (132, 80, 114)).copy()
    add_volume(filled, 1, array=array)
    version = ask(filled, Selection(ids=[1]))
    monkeypatch.setattr(verified, "_BLOCK_BYTES", 4096)
    monkeypatch.setattr(verified, "_hashed", {})
    chunks = chunks_of(version.path, "mean")
    version.statistic("mean", box=ANTERIOR)
    if times == "unchanged":
        identity = verified._identity(version.path, "")
        monkeypatch.setattr(verified, "_identity", lambda *_: identity)
    with damaged(version.path, damage, np.random.default_rng(1), chunks) as hit:
        first = min(chunks.index(chunk) for chunk in hit) * 3300 if hit else 0
        with pytest.raises(DamagedFileError):
            version.statistic("mean", box=((first, first + 3300), (0, 8000), (0, 11400)))
    np.testing.assert_array_equal(version.statistic("mean", box=ANTERIOR)[0], array[:10])


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(
    version: DatasetVersion, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = version_module.read_part  # type: ignore[attr-defined]
    shutil.copy(version.path, tmp_path / "copy.nc")

    def swapped(*arguments: Any, **facts: Any) -> Any:
        values = real(*arguments, **facts)
        (tmp_path / "copy.nc").replace(version.path)
        return values

    monkeypatch.setattr(version_module, "read_part", swapped)
    with pytest.raises(DamagedFileError, match="replaced while"):
        version.statistic("mean", box=ANTERIOR)
    monkeypatch.undo()
    assert version.statistic("mean", box=ANTERIOR).shape == (1, 10, 80, 114)
