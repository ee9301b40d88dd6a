"""Anatomy for figures, on both databases."""

from __future__ import annotations

import numpy as np
import pytest

from bsv_store import Store
from bsv_store.reports.anatomy import SUMMARY_SET_ID, divisions, rows_of, stored_brain, stored_surface
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
    assert [part.row.acronym for part in divisions(store, SUMMARY_SET_ID)] == ["VISp", "VISl", "VISpm", "CP", "TH"]
    assert {acronym: row.id for acronym, row in rows_of(store, ["CP", TH]).items()} == {"CP": CP, "TH": TH}
    assert rows_of(store, []) == {}


def test_a_new_annotation_gives_a_new_brain(store: Store) -> None:
    assert stored_brain(store) is None
    assert stored_surface(store) == []
    fill(store)
    first = stored_brain(store)
    assert first is not None
    assert stored_brain(store) is first
    assert [region.acronym for region in stored_surface(store)] == ["VISp"]
    shifted = np.roll(annotation(), 5, axis=0)
    shifted[shifted == VISP] = VISPM
    add_annotation(store, shifted)
    second = stored_brain(store)
    assert second is not None
    np.testing.assert_array_equal(second.annotation, shifted)
    assert [region.acronym for region in stored_surface(store)] == ["VISpm"]
