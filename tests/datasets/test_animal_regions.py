"""Means of the animals of a version over structures, and their statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Store, by_coordinate
from bsv_store.errors import InputError, MissingDataError
from tests.datasets.test_region_summary import blocks
from tests.datasets.world import BY_ID, SHAPE, VISL, VISP, add_annotation, add_volume, ask, fill, remove_volume, voxels
from tests.stores import store_with

LEFT, RIGHT, BOTH = slice(0, 57), slice(57, None), slice(None)


def _fill(store: Store) -> None:
    fill(store)
    add_annotation(store, blocks())


annotated = store_with(_fill)


def mean_of(array: NDArray[Any], half: slice, ids: list[int] = [VISP]) -> float:  # noqa: B006
    inside = np.isin(blocks()[..., half], ids)
    return float(array[..., half][inside].astype(float).mean())


def side(identifier: int, name: str) -> slice:
    injected = BY_ID[identifier].injected
    return LEFT if (name == "ipsilateral") == (injected == "left") else RIGHT


def test_statistics_are_over_the_means_of_the_animals(annotated: Store) -> None:
    version = ask(
        annotated, grouping=by_coordinate("AP", edges=[7000, 8200, 9200, 10_000]), normalize="injection_volume"
    )
    frame = annotated.datasets.regions(version, structures=["VISp", "VIS"], over_animals=True)
    assert frame.columns.to_list() == [
        *("group", "group_label", "structure_id", "structure", "name", "hemisphere"),
        *("voxels", "n", "mean", "sd", "sem"),
    ]
    assert frame.hemisphere.unique().tolist() == ["left", "right", "both", "ipsilateral", "contralateral"]
    found = frame.set_index(["group", "structure", "hemisphere"])
    for group, members in enumerate(([1, 2], [3, 4], [5])):
        for name, ids in (("VISp", [VISP]), ("VIS", [VISP, VISL])):
            for hemisphere in ("left", "both", "ipsilateral", "contralateral"):
                halves = {"left": LEFT, "both": BOTH}
                values = [
                    mean_of(voxels(each) / BY_ID[each].volume, halves.get(hemisphere) or side(each, hemisphere), ids)
                    for each in members
                ]
                row = found.loc[(group, name, hemisphere)]
                assert (row["n"], row["mean"]) == (len(members), pytest.approx(np.mean(values)))
                if len(members) > 1:
                    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
                    assert row["sem"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(2))
                else:
                    assert np.isnan([row["sd"], row["sem"]]).all()
    # The means of the groups agree: every voxel counts all animals.
    plain = annotated.datasets.regions(version, structures=["VISp", "VIS"])
    both = frame[frame.hemisphere.isin(["left", "right", "both"])].reset_index(drop=True)
    np.testing.assert_allclose(both["mean"], plain["mean"], rtol=1e-6)
    assert both.voxels.to_list() == plain.voxels.to_list()


def test_animals_are_listed_one_by_one(annotated: Store) -> None:
    version = ask(annotated, grouping=by_coordinate("AP", bins=2))
    frame = annotated.datasets.animal_regions(version, structures="VISp", hemisphere=["ipsilateral", "both"])
    assert frame.experiment_id.to_list() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert frame.group.to_list() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    for row in frame.itertuples():
        half = BOTH if row.hemisphere == "both" else side(row.experiment_id, "ipsilateral")
        assert row.mean == pytest.approx(mean_of(voxels(row.experiment_id), half))
    second = annotated.datasets.animal_regions(version, structures="VISp", groups=1)
    assert set(second.experiment_id) == {4, 5}
    statistics = annotated.datasets.regions(version, structures="VISp", hemisphere="both", over_animals=True)
    means = frame[frame.hemisphere == "both"].groupby("group")["mean"]
    np.testing.assert_allclose(statistics["sem"], means.sem())


@pytest.mark.parametrize("rule", ["fold_ipsilateral", "flip_to_right", "flip_to_left", "subtract_contralateral"])
def test_hemispheres_are_those_after_the_rule(annotated: Store, rule: Any) -> None:
    version = ask(annotated, hemisphere_rule=rule)
    frame = annotated.datasets.animal_regions(version, structures="VISp", hemisphere="ipsilateral")
    for row in frame.itertuples():
        own, injected = voxels(row.experiment_id).astype(float), BY_ID[row.experiment_id].injected
        if rule == "subtract_contralateral":
            expected = mean_of(own - own[..., ::-1], side(row.experiment_id, "ipsilateral"))
        else:
            wanted = "left" if rule == "flip_to_left" else "right"
            own = own if injected == wanted else own[..., ::-1]
            expected = mean_of(own, LEFT if wanted == "left" else RIGHT)
        assert row.mean == pytest.approx(expected)
    names = annotated.datasets.regions(version, structures="VISp", over_animals=True).hemisphere.to_list()
    assert ("left" in names) is (rule != "fold_ipsilateral")


def test_masks_apply_to_each_animal(annotated: Store) -> None:
    random = np.random.default_rng(5)
    inside, weights = {}, {}
    for each in (1, 2, 3, 4, 5):
        inside[each] = np.where(random.random(SHAPE) < 0.2, 1, 0).astype(np.float32)
        weights[each] = np.where(random.random(SHAPE) < 0.1, 0, random.random(SHAPE)).astype(np.float32)
        add_volume(annotated, each, kind="injection_fraction", array=inside[each])
        add_volume(annotated, each, kind="data_mask", array=weights[each])
    version = ask(annotated, exclude_injection=True, weight_by_data_mask=True)
    frame = annotated.datasets.animal_regions(version, structures="VISp", hemisphere="both")
    for row in frame.itertuples():
        each = row.experiment_id
        counted = (blocks() == VISP) & (inside[each] == 0) & (weights[each] > 0)
        expected = np.average(voxels(each)[counted].astype(float), weights=weights[each][counted].astype(float))
        assert (row.voxels, row.mean) == (counted.sum(), pytest.approx(expected))


def test_what_cannot_be_computed_is_refused(annotated: Store) -> None:
    version = ask(annotated)
    with pytest.raises(InputError, match="no hemisphere 'ipsilateral'") as caught:
        annotated.datasets.regions(version, structures="VISp", hemisphere="ipsilateral")
    assert "over_animals=True" in str(caught.value.hint)
    folded = ask(annotated, hemisphere_rule="fold_ipsilateral")
    with pytest.raises(InputError, match="no hemisphere 'left'"):
        annotated.datasets.animal_regions(folded, structures="VISp", hemisphere="left")
    remove_volume(annotated, 2)
    with pytest.raises(MissingDataError, match="is not in the store: 2"):
        annotated.datasets.regions(version, structures="VISp", over_animals=True)
