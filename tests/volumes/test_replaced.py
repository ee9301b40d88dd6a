"""A volume that another process replaces after it was looked up: read again as it is now, or an error that says so."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bsv_store import Store
from bsv_store.catalog.current_volume import CurrentVolume
from bsv_store.errors import DamagedFileError, MissingDataError, StoreError
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes import library
from bsv_store.volumes.library import VolumeFile
from tests.datasets.world import SHAPE, add_annotation, add_volume, remove_volume, voxels

REPLACED = 2
IDS = (1, REPLACED, 3)
Reader = Callable[[Store, Path], Any]


def _exported(store: Store, folder: Path) -> Any:
    store.volumes.export(REPLACED, folder / "x.npy")
    return np.load(folder / "x.npy")


# What reads volumes that it looked up before. The result for the volume as it is now is that of a second call.
READERS: Mapping[str, Reader] = {
    "read": lambda s, _: s.volumes.read(REPLACED),
    "describe": lambda s, _: s.volumes.describe(REPLACED)["array_sha256"],
    "export": _exported,
    "threshold": lambda s, _: s.volumes.threshold(REPLACED, 0.5).mask,
    "stack": lambda s, _: s.volumes.stack(IDS)[:],
    "dask": lambda s, _: s.volumes.stack(IDS).to_dask().compute(scheduler="sync"),
    "injection_centroids": lambda s, _: s.volumes.injection_centroids(IDS),
    "signal": lambda s, _: s.atlas.signal(IDS, ["VISp"]),
    "subregions": lambda s, _: s.atlas.subregions(IDS, ["VISp"], bins={"AP": 2}),
    "point": lambda s, _: s.search.point((5_050, 4_050, 5_050)),
}


@pytest.fixture
def replaced(filled: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """A volume is replaced when the first file of any volume is read; whether it was."""
    add_annotation(filled, np.full(SHAPE, 385, np.uint32))
    for each in IDS:
        add_volume(filled, each, kind="injection_density")
    real = library.read_voxels
    done: list[bool] = []

    def overtaken(*arguments: Any) -> Any:
        if not done:
            done.append(True)
            kinds: tuple[VolumeKind, ...] = ("projection_density", "injection_density")
            for kind in kinds:
                old = filled.volumes.recorded(REPLACED, kind=kind)
                add_volume(filled, REPLACED, seed=1, kind=kind)
                assert not (filled.path / old.path).exists()
        return real(*arguments)

    monkeypatch.setattr(library, "read_voxels", overtaken)
    return lambda: bool(done)


@pytest.mark.parametrize("name", READERS)
def test_a_reader_gets_the_volume_that_replaced_it(
    filled: Store, replaced: Callable[[], bool], tmp_path: Path, name: str
) -> None:
    read = READERS[name]
    found = read(filled, tmp_path)
    assert replaced()
    (tmp_path / "again").mkdir()
    now = read(filled, tmp_path / "again")
    if isinstance(now, pd.DataFrame):
        pd.testing.assert_frame_equal(found, now)
    else:
        assert np.array_equal(found, now)
    assert np.array_equal(filled.volume(REPLACED), voxels(REPLACED, seed=1))


def test_a_stack_does_not_mix_two_contents(filled: Store) -> None:
    stack = filled.volumes.stack(IDS)
    np.testing.assert_array_equal(stack[1, 60], voxels(REPLACED)[60])
    add_volume(filled, REPLACED, seed=1)
    with pytest.raises(StoreError, match="experiment 2 was replaced after it was looked up") as caught:
        stack[1, 61]
    assert not isinstance(caught.value, DamagedFileError)
    assert "Look it up again" in str(caught.value.hint)
    np.testing.assert_array_equal(stack[0], voxels(1))
    np.testing.assert_array_equal(filled.volumes.stack(IDS)[1], voxels(REPLACED, seed=1))


def test_copies_of_a_stack_have_the_content_of_the_original(filled: Store) -> None:
    copied = pickle.dumps(filled.volumes.stack(IDS))
    add_volume(filled, REPLACED, seed=1)
    copy = pickle.loads(copied)
    with pytest.raises(StoreError, match="was replaced"):
        copy[1]
    np.testing.assert_array_equal(copy[2], voxels(3))
    for each in copy._current:
        each._database.close()


def test_the_blocks_of_a_record_are_those_of_its_content(filled: Store) -> None:
    recorded = filled.volumes.recorded(REPLACED)
    (block,) = filled.volumes.ml_blocks(recorded)
    np.testing.assert_array_equal(block, voxels(REPLACED))
    add_volume(filled, REPLACED, seed=1)
    with pytest.raises(StoreError, match="was replaced"):
        next(iter(filled.volumes.ml_blocks(recorded)))


def test_a_volume_that_was_removed_is_missing(filled: Store) -> None:
    stack = filled.volumes.stack(IDS)
    (filled.path / filled.volumes.recorded(REPLACED).path).unlink()
    with pytest.raises(DamagedFileError, match="is missing"):
        stack[1]
    remove_volume(filled, REPLACED)
    with pytest.raises(MissingDataError, match="of experiment 2"):
        stack[1]


def test_threads_that_meet_a_replacement_read_the_same_content(filled: Store) -> None:
    old = filled.volumes.recorded(REPLACED)
    current = CurrentVolume(filled.database, old)

    def overtaken(file: VolumeFile) -> str:
        if file == old:
            # Another thread meets the replacement before this one, and reads the new content.
            add_volume(filled, REPLACED, seed=1)
            assert current.read(lambda new: new.path if new != old else missing()) != old.path
            missing()
        return file.path

    def missing() -> str:
        raise DamagedFileError("is missing")

    assert current.read(overtaken) == filled.volumes.recorded(REPLACED).path
