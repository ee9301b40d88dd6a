from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bsv_store import Selection, by_coordinate, by_field
from bsv_store.datasets.history.compare import voxel_difference
from bsv_store.volumes.grid import Grid
from tests.datasets.world import add_volume, ask, voxels

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.datasets.history.changes import MemberChange


def listed(changes: Iterable[MemberChange]) -> list[tuple[int, str]]:
    return [(change.experiment_id, change.reason) for change in changes]


def test_equal_versions_have_no_difference(filled: Store) -> None:
    diff = filled.datasets.diff(ask(filled), ask(filled, name="other"))
    assert diff.is_equal
    assert (diff.recipe, diff.only_first, diff.only_second, diff.note) == ((), (), (), None)
    assert [(each.voxels, each.largest) for each in diff.voxels] == [(0, 0.0)]
    assert diff.voxels[0].correlation == pytest.approx(1)


def test_differences_print_as_a_summary(filled: Store) -> None:
    first, equal = ask(filled), ask(filled, name="other")
    assert str(filled.datasets.diff(first, equal)) == "test@1 and other@1 are equal: recipe, members and all voxels."
    second = ask(filled, Selection(ids=[1, 2]), normalize="injection_volume")
    found = filled.datasets.diff(first, second)
    text = str(found)
    assert text.startswith("test@1 and test@2 differ\nrecipe, ")
    assert 'normalize: "none" became "injection_volume"' in text
    assert "left: 3 (is not selected)" in text
    assert f"not compared: {found.note}" in text
    assert repr(found) == "<VersionDiff of test@1 and test@2: different>"
    third = filled.datasets.diff(first, ask(filled, Selection(ids=[1, 2])))
    (voxels_of_all,) = third.voxels
    assert (
        f"group all: differences at {voxels_of_all.voxels:,} voxels, the largest {voxels_of_all.largest:.3g} at"
        in str(third)
    )


def test_the_injected_hemisphere_has_not_changed_if_only_one_recipe_uses_it(filled: Store) -> None:
    mirrored = ask(filled, hemisphere_rule="flip_to_right")
    assert filled.datasets.diff(ask(filled), mirrored).members.changed == ()


def test_members_that_entered_and_left_are_named_with_the_reason(filled: Store) -> None:
    grouping = by_coordinate("AP", edges=[7900, 8600, 9600])
    first = ask(filled, Selection(ids=[1, 2, 3, 7]), grouping)
    second = ask(filled, Selection(ids=[2, 3, 5, 6]), grouping)
    members = filled.datasets.diff(first, second).members
    assert listed(members.entered) == [(5, "was not selected")]
    assert listed(members.left) == [(1, "is not selected")]
    assert members.changed == ()
    third = ask(filled, Selection(ids=[2, 3, 5, 6]), by_coordinate("AP", edges=[3900, 8600, 9600]))
    members = filled.datasets.diff(second, third).members
    assert listed(members.entered) == [(6, "was left out: AP 4,000 um lies outside the bin edges")]
    assert {change.experiment_id for change in members.changed} == {2, 3}
    back = filled.datasets.diff(third, second).members
    assert listed(back.left) == [(6, "is left out: AP 4,000 um lies outside the bin edges")]


def test_members_that_go_in_differently_are_named(filled: Store) -> None:
    first = ask(filled)
    add_volume(filled, 2, seed=1)
    second = ask(filled)
    assert listed(filled.datasets.diff(first, second).members.changed) == [(2, "another volume")]
    third = ask(filled, normalize="injection_volume")
    change = filled.datasets.diff(second, third).members.changed[0]
    assert (change.experiment_id, change.reason) == (1, "divided by 0.2 instead of 1.0")


def test_the_largest_difference_is_found_and_where(filled: Store) -> None:
    array = voxels(2).copy()
    first = ask(filled, Selection(ids=[2]))
    array[10, 20, 30] = 1.0 if array[10, 20, 30] < 0.5 else 0.0
    array[11, 20, 30] += 0.01 if array[11, 20, 30] < 0.5 else -0.01
    add_volume(filled, 2, array=array)
    (difference,) = filled.datasets.diff(first, ask(filled, Selection(ids=[2]))).voxels
    assert difference.at_um == (1050.0, 2050.0, 3050.0)
    assert difference.first == voxels(2)[10, 20, 30]
    assert difference.second == array[10, 20, 30]
    assert difference.largest == abs(difference.second - difference.first)
    assert difference.voxels == 2
    expected = np.corrcoef(voxels(2).reshape(-1), array.reshape(-1))[0, 1]
    assert difference.correlation == pytest.approx(expected)


def test_groups_are_matched_by_label(filled: Store) -> None:
    everybody = Selection(ids=range(1, 8))
    first = ask(filled, everybody, by_field("primary_structure"))
    second = ask(filled, Selection(ids=[1, 3, 6, 7]), by_field("primary_structure"))
    diff = filled.datasets.diff(first, second)
    assert diff.only_first == ("VISl", "VISpm")
    assert [each.label for each in diff.voxels] == ["MOp", "VISp"]
    assert diff.voxels[0].voxels == 0
    assert not diff.is_equal
    assert [change.part for change in diff.recipe] == ["selection"]


def test_results_that_cannot_be_compared_say_so(filled: Store) -> None:
    diff = filled.datasets.diff(ask(filled), ask(filled, normalize="injection_volume"))
    assert diff.voxels == ()
    assert "cannot be compared" in str(diff.note)
    assert [(change.part, change.first) for change in diff.recipe] == [("normalize", '"none"')]


def test_voxels_that_only_one_side_knows_differ() -> None:
    grid = Grid(100)
    first = np.zeros(grid.shape, np.float32)
    second = first.copy()
    first[1, 2, 3] = np.nan
    second[4, 5, 6] = np.nan
    second[7, 8, 9] = 5
    first[0, 0, 0] = second[0, 0, 0] = np.nan
    difference = voxel_difference(first, second, grid)
    assert difference.voxels == 3
    assert difference.largest == 5
    assert difference.at_um == (150.0, 250.0, 350.0)
    assert math.isnan(difference.first)
    assert math.isnan(voxel_difference(first, first, grid).correlation)


def test_results_are_compared_without_a_group_in_memory(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 10 um a group takes 4.8 GB, and there are two of them."""
    grouping = by_coordinate("AP", edges=[3000, 8200, 9400])
    first, second = ask(filled, grouping=grouping), ask(filled, Selection(ids=[2, 3, 5, 6]), grouping, name="other")
    whole = filled.datasets.diff(first, second)
    monkeypatch.setattr("bsv_store.datasets.history.compare._BLOCK_VOXELS", 1)
    tracemalloc.start()
    cut = filled.datasets.diff(first, second)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < first.mean[0].nbytes / 2
    assert [each.voxels for each in cut.voxels] == [each.voxels for each in whole.voxels] != [0, 0]
    for group, (one, other) in enumerate(zip(cut.voxels, whole.voxels, strict=True)):
        assert (one.label, one.largest, one.at_um) == (other.label, other.largest, other.at_um)
        difference = np.abs(second.mean[group].astype(float) - first.mean[group])
        assert one.largest == np.nanmax(difference)
        place = np.unravel_index(np.nanargmax(difference), difference.shape)
        assert (one.first, one.second) == (first.mean[group][place], second.mean[group][place])


@pytest.mark.parametrize("half_known", [False, True])
def test_planes_compared_one_by_one_are_the_whole(monkeypatch: pytest.MonkeyPatch, half_known: bool) -> None:
    random = np.random.default_rng(1)
    first, second = random.random((2, *Grid(100).shape))
    first[3], second[3], first[40:60] = np.nan, np.nan, 0.5
    if half_known:
        second[90, 4, 5] = np.nan
    whole = voxel_difference(first, second, Grid(100))
    monkeypatch.setattr("bsv_store.datasets.history.compare._BLOCK_VOXELS", 1)
    cut = voxel_difference(first, second, Grid(100))
    assert (cut.largest, cut.at_um, cut.voxels) == (whole.largest, whole.at_um, whole.voxels)
    np.testing.assert_array_equal([cut.first, cut.second], [whole.first, whole.second])
    assert cut.correlation == pytest.approx(whole.correlation, rel=1e-12)
    known = ~(np.isnan(first) | np.isnan(second))
    assert whole.correlation == pytest.approx(np.corrcoef(first[known], second[known])[0, 1], rel=1e-9)
    if half_known:
        assert cut.at_um == (9050, 450, 550)
