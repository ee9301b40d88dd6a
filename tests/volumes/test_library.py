"""Volumes as files of a store: published, read back, described."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bsv_store.errors import DamagedFileError
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile, describe, publish_volume, read_array, read_voxels
from bsv_store.volumes.volume import SparseArray, Volume


@pytest.fixture
def files(tmp_path: Path) -> StoreFiles:
    return StoreFiles(tmp_path)


def published(files: StoreFiles, *, dense: bool = False) -> tuple[VolumeFile, np.ndarray]:
    array = np.zeros(Grid(100).shape, np.float32)
    array[10:90] = np.linspace(0.1, 0.9, 80, dtype=np.float32)[:, None, None] if dense else 0
    array[3, 4, 5], array[6, 7, 8] = 0.5, np.nan
    volume = Volume("projection_density", array)
    return publish_volume(files, volume, experiment_id=7, source="test"), array


@pytest.mark.parametrize("dense", [False, True])
def test_published_volume_reads_back(files: StoreFiles, dense: bool) -> None:
    file, array = published(files, dense=dense)
    assert file.layout.encoding == ("dense" if dense else "sparse")
    np.testing.assert_array_equal(read_array(files, file), array)


def test_file_is_named_by_experiment_and_hash(files: StoreFiles) -> None:
    file, _ = published(files)
    assert file.path == f"volumes/projection_density/100um/7.{file.layout.file_sha256[:16]}.h5"
    assert [str(path.relative_to(files.root)) for path in files.root.rglob("*.h5")] == [file.path]


def test_array_is_the_callers_own_and_voxels_are_read_only(files: StoreFiles) -> None:
    file, _ = published(files)
    read_array(files, file)[0, 0, 0] = 1
    assert read_array(files, file)[0, 0, 0] == 0
    voxels = read_voxels(files, file)
    assert isinstance(voxels, SparseArray)
    with pytest.raises(ValueError, match="read-only"):
        voxels.values[0] = 1


def test_the_error_for_a_changed_file_has_the_command_that_replaces_it(files: StoreFiles) -> None:
    file, _ = published(files)
    path = files.root / file.path
    path.chmod(0o664)
    path.write_bytes(bytes(file.layout.size_bytes))
    with pytest.raises(DamagedFileError, match="differs from what was stored") as caught:
        read_array(files, file)
    command = "bsv-store fetch --refresh --ids 7 --include-excluded --kind projection_density --spacing 100"
    hint = f"Fetch it again (or adopt its folder): {command}; or repair the whole store: bsv-store repair --apply"
    assert caught.value.hint == hint


@pytest.mark.parametrize("dense", [False, True])
def test_any_flipped_bit_is_noticed(files: StoreFiles, dense: bool) -> None:
    file, _ = published(files, dense=dense)
    path = files.root / file.path
    good = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(100):
        bad = bytearray(good)
        bad[random.integers(len(bad))] ^= 1 << int(random.integers(8))
        path.write_bytes(bad)
        with pytest.raises(DamagedFileError):
            read_voxels(files, file)


def test_description_counts_what_is_known(files: StoreFiles) -> None:
    file, _ = published(files)
    facts = describe(files, file)
    assert (facts["no_data_voxels"], facts["max"], facts["shape_ap_dv_ml"]) == (1, 0.5, "132x80x114")
    assert facts["mean"] == pytest.approx(0.5 / (Grid(100).size - 1))
