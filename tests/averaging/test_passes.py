"""How the work of an average is cut into passes, and the units of its results."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bsv_store import Selection
from bsv_store.averaging import passes
from bsv_store.averaging.inputs import MemberInput
from bsv_store.averaging.kernel.accumulator import MemberVolume
from bsv_store.averaging.kernel.slabs import bytes_per_plane
from bsv_store.averaging.passes import cut
from bsv_store.averaging.recipe import Recipe
from bsv_store.averaging.units import cf_unit, describe_unit, unit_text
from bsv_store.volumes.grid import Grid


def inputs_of(recipe: Recipe, groups: int) -> Any:
    """Inputs with two members in each group, whose files nobody reads."""
    volume: Any = None
    members = tuple(MemberInput(number + 1, number % groups, volume) for number in range(2 * groups))
    return SimpleNamespace(recipe=recipe, groups=tuple(range(groups)), members=members)


def ranges(found: list[passes.Pass]) -> list[tuple[range, tuple[int, int]]]:
    return [(each.groups, each.planes) for each in found]


def test_groups_share_a_pass_where_files_are_read_whole() -> None:
    inputs = inputs_of(Recipe(selection=Selection()), 7)
    # 24 MB each, of 160 MB.
    (first, second) = cut(inputs, 10)
    assert ranges([first, second]) == [(range(6), (0, 132)), (range(6, 7), (0, 132))]
    assert [each.experiment_id for each in first.members] == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13]
    assert [each.experiment_id for each in second.members] == [7, 14]


def test_each_worker_gets_a_pass_if_there_are_enough_groups() -> None:
    inputs = inputs_of(Recipe(selection=Selection()), 5)
    assert [each.groups for each in cut(inputs, 10, workers=2)] == [range(3), range(3, 5)]
    assert [each.groups for each in cut(inputs, 10, workers=9)] == [range(number, number + 1) for number in range(5)]


@pytest.mark.parametrize("spacing_um", [50, 25, 10])
def test_a_slab_of_one_group_fits_into_the_budget(spacing_um: int) -> None:
    recipe = Recipe(
        selection=Selection(),
        spacing_um=spacing_um,
        statistics=("mean", "sd", "n"),
        hemisphere_rule="subtract_contralateral",
        weight_by="injection_overlap",
        dtype="float64",
    )
    shape = Grid(spacing_um).shape
    plane = bytes_per_plane(
        shape,
        1,
        statistics=recipe.statistics,
        hemisphere_rule="subtract_contralateral",
        weighted=True,
        dtype="float64",
    )
    budget = {50: 400_000_000, 25: 400_000_000, 10: 800_000_000}[spacing_um]
    planes = budget // plane
    found = cut(inputs_of(recipe, 1), 1)
    expected = [(first, min(first + planes, shape[0])) for first in range(0, shape[0], planes)]
    assert ranges(found) == [(range(1), each) for each in expected]


class Counter:
    """An accumulator and a progress report that list what they get."""

    def __init__(self) -> None:
        self.added: list[MemberVolume] = []
        self.steps: list[int] = []

    def add_all(self, volumes: list[MemberVolume]) -> None:
        self.added += volumes

    def advance(self, count: int) -> None:
        self.steps.append(count)


def a_volume(number: int) -> MemberVolume:
    return MemberVolume(0, np.full(Grid(100).shape, number, np.float32))


def test_each_volume_is_observed_and_none_is_added_after_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    (work,) = cut(inputs_of(Recipe(selection=Selection()), 2), 10)
    one, two, three, four = work.members
    volumes = [a_volume(number) for number in range(3)]
    batches = [[(one, volumes[0])], [(two, ("damaged", "fetch it")), (three, volumes[1])], [(four, volumes[2])]]
    monkeypatch.setattr(passes, "member_volumes", lambda _files, _work: iter(batches))
    sink: Any = Counter()
    observed: list[tuple[MemberInput, Any]] = []
    damaged = passes.add_all(sink, sink, work, sink, lambda member, found: observed.append((member, found)))
    assert damaged == {2: ("damaged", "fetch it")}
    assert [member for member, _ in observed] == [one, three, four]
    assert all(found is each.voxels for (_, found), each in zip(observed, volumes, strict=True))
    assert (sink.added, sink.steps) == (volumes[:1], [1])
    observed.clear()
    recipe = Recipe(selection=Selection())
    result = passes.run(sink, recipe, work, sink, observe=lambda member, found: observed.append((member, found)))
    assert (result.arrays, result.damaged) == ({}, damaged)
    assert [member for member, _ in observed] == [one, three, four]


def test_the_units_of_results() -> None:
    assert describe_unit("projection_density", "none") == "projection density (fraction of voxel)"
    assert unit_text("projection_density", "injection_volume") == "fraction of voxel per mm³ injected"
    assert cf_unit("projection_density", "none") == "1"
    assert cf_unit("projection_density", "injection_volume") == "mm-3"
    assert cf_unit("projection_energy", "injection_volume") is None
