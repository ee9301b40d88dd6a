from __future__ import annotations

import io

import h5py
import pytest

from bsv_store.vocabulary import SPACINGS_UM
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import create_dense, slab_ranges


@pytest.mark.parametrize("spacing", SPACINGS_UM)
def test_slabs_cover_the_grid_and_cut_no_chunk(spacing: int) -> None:
    grid = Grid(spacing)
    slabs = slab_ranges(grid)
    assert [start for start, _ in slabs] == [0, *(stop for _, stop in slabs[:-1])]
    assert slabs[-1][1] == grid.shape[0]
    with h5py.File(io.BytesIO(), "w") as file:
        chunk = create_dense(file, grid).chunks[0]
    assert all(start % chunk == 0 for start, _ in slabs)
    assert max(stop - start for start, stop in slabs) * grid.shape[1] * grid.shape[2] * 4 <= 1 << 24
