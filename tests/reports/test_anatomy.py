"""Anatomy for figures, on both databases."""

from __future__ import annotations

import numpy as np
import pytest

from bsv_store import Store
from bsv_store.reports.anatomy import brain_of, divisions, rows_of
from bsv_store.vocabulary import PLANES, SUMMARY_STRUCTURE_SET_ID
from tests.datasets.world import add_annotation
from tests.reports.charts import CP, ISOCORTEX, TH, VISP, VISPM, annotation, fill

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")


def test_divisions_have_their_descendants_and_colors(store: Store) -> None:
    assert divisions(store) == ()
    fill(store)
    isocortex, thalamus = divisions(store)
    assert (isocortex.row.acronym, isocortex.color) == ("Isocortex", "#70ff71")
    assert {ISOCORTEX, VISP, VISPM} < isocortex.ids
    assert not {TH, CP} & isocortex.ids
    assert thalamus.ids == {TH, 599}
    assert [part.row.acronym for part in divisions(store, SUMMARY_STRUCTURE_SET_ID)] == [
        "VISp",
        "VISl",
        "VISpm",
        "CP",
        "TH",
    ]
    assert {acronym: row.id for acronym, row in rows_of(store, ["CP", TH]).items()} == {"CP": CP, "TH": TH}
    assert rows_of(store, []) == {}


def test_a_brain_is_the_current_annotation(store: Store) -> None:
    empty = brain_of(store)
    assert (empty.voxels(), empty.surface_from_above(), empty.silhouettes([PLANES["coronal"]])) == (None, None, None)
    fill(store)
    surface = brain_of(store).surface_from_above()
    assert surface is not None
    # Rows are AP and columns ML: the surface is VISp, and nothing is seen beside the brain.
    assert surface.ids.shape == (132, 114)
    assert set(np.unique(surface.ids)) == {0, VISP}
    assert (surface.ids[20:120, 10:104] == VISP).all()
    shifted = np.roll(annotation(), 5, axis=0)
    shifted[shifted == VISP] = VISPM
    # The right half has no VISpm, so deeper structures are seen from above.
    shifted[:, :25, 57:] = 0
    add_annotation(store, shifted)
    brain = brain_of(store)
    voxels, surface = brain.voxels(), brain.surface_from_above()
    assert voxels is not None
    assert surface is not None
    np.testing.assert_array_equal(voxels.ids, shifted)
    assert set(np.unique(surface.ids[:, :57])) == {0, VISPM}
    assert set(np.unique(surface.ids[:, 57:])) == {0, TH, CP}
    assert surface.ids[30, 80] == CP
