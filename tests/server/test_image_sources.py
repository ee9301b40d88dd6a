"""An image that is kept by the hash of its content never shows a volume that replaced it."""

from __future__ import annotations

import numpy as np
import pytest

from bsv_store import Store
from bsv_store.errors import DamagedFileError, StoreError
from bsv_store.figures.sources import source_of_volumes
from bsv_store.server.images.sources import shown_by
from tests.datasets.world import add_volume, voxels


def test_a_tile_has_the_content_of_its_hash(filled: Store) -> None:
    shown = shown_by(filled, {"experiment": "2", "kind": "projection_density", "spacing_um": "100"})
    np.testing.assert_array_equal(shown.term.read(60, 62), voxels(2)[60:62])
    before = shown.term.identity
    add_volume(filled, 2, seed=1)
    for read in (shown.term.read, shown.term.read_stored):
        assert read is not None
        with pytest.raises(StoreError, match="experiment 2 was replaced after it was looked up") as caught:
            read(60, 62)
        assert not isinstance(caught.value, DamagedFileError)
    again = shown_by(filled, {"experiment": "2", "kind": "projection_density", "spacing_um": "100"})
    assert again.term.identity != before
    np.testing.assert_array_equal(again.term.read(60, 62), voxels(2, seed=1)[60:62])


def test_a_figure_has_the_content_of_its_hash(filled: Store) -> None:
    source = source_of_volumes(filled.database, filled.files, 2)
    add_volume(filled, 2, seed=1)
    with pytest.raises(StoreError, match="experiment 2 was replaced after it was looked up"):
        source.rows[0].read(0, 60, 62)
