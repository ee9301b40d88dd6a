"""The spatial search: voxels looked up in sparse and dense files, ranked."""

from __future__ import annotations

import numpy as np
import pytest

from bsv_store import Selection, Store
from bsv_store.errors import EmptySelectionError, InputError, LeftOutWarning, MissingDataError
from tests.datasets.world import SHAPE, add_volume


def with_volumes(store: Store) -> dict[int, np.ndarray]:
    found = {}
    for identifier in store.select():
        try:
            found[identifier] = store.volume(identifier)
        except MissingDataError:
            continue
    return found


def test_values_at_a_point_are_those_of_the_volumes(filled: Store) -> None:
    volumes = with_volumes(filled)
    assert len(volumes) > 2
    densest = np.unravel_index(int(np.nanargmax(sum(map(np.nan_to_num, volumes.values())))), (132, 80, 114))
    for voxel in (tuple(map(int, densest)), (13, 0, 0), (131, 79, 113)):
        point = [100 * number + 50 for number in voxel]
        frame = filled.search.point(point)
        assert dict(zip(frame["experiment_id"], frame["projection_density"], strict=True)) == {
            identifier: pytest.approx(float(volume[voxel]), nan_ok=True) for identifier, volume in volumes.items()
        }
        values = frame["projection_density"].dropna()
        assert values.is_monotonic_decreasing
    assert frame.attrs["without_volume"] == [key for key in filled.select() if key not in volumes]


def test_a_dense_file_is_read_too(filled: Store) -> None:
    array = np.linspace(0, 1, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    identifier = filled.select()[0]
    file = add_volume(filled, identifier, kind="projection_energy", array=array)
    assert file.layout.encoding == "dense"
    with pytest.warns(LeftOutWarning, match="the projection_energy at 100 um is not in the store") as warned:
        frame = filled.search.point((5050, 4050, 3050), kind="projection_energy")
    (warning,) = (each.message for each in warned)
    assert isinstance(warning, LeftOutWarning)
    assert list(warning.experiment_ids) == frame.attrs["without_volume"] == list(filled.select()[1:])
    assert frame["experiment_id"].tolist() == [identifier]
    assert frame["projection_energy"].tolist() == [float(array[50, 40, 30])]


def test_limit_and_selection(filled: Store) -> None:
    ids = sorted(with_volumes(filled))
    assert len(filled.search.point((5050, 4050, 3050), limit=1)) == 1
    some = filled.search.point((5050, 4050, 3050), selection=Selection(ids=ids[:2]))
    assert sorted(some["experiment_id"]) == ids[:2]


def test_what_cannot_be_looked_up(filled: Store) -> None:
    with pytest.raises(MissingDataError, match="projection density at 25 um"):
        filled.search.point((5050, 4050, 3050), spacing_um=25)
    for point in ((1, 2), (14_000, 0, 0), (-1, 0, 0)):
        with pytest.raises(InputError):
            filled.search.point(point)
    filled.catalog.exclude(filled.select(), "all of them")
    with pytest.raises(EmptySelectionError, match="exclusion list"):
        filled.search.point((5050, 4050, 3050))
