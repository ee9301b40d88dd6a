from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from bsv_store import Store, by_coordinate
from bsv_store.errors import DamagedFileError, InputError, MissingDataError, UnknownStructureError
from tests.datasets.world import MOP, SHAPE, VISL, VISP, VISPM, add_annotation, ask, fill
from tests.sealing import sealed_changes
from tests.stores import store_with


def blocks() -> NDArray[np.uint32]:
    """Three blocks; VISp in both hemispheres."""
    array = np.zeros(SHAPE, np.uint32)
    array[80:90, 10:20, 40:74] = VISP
    array[80:90, 10:20, 80:90] = VISL
    array[40:50, 10:20, 60:70] = MOP
    return array


def _fill(store: Store) -> None:
    fill(store)
    add_annotation(store, blocks())


annotated = store_with(_fill)


def test_means_per_structure_and_hemisphere(annotated: Store) -> None:
    version = ask(annotated, grouping=by_coordinate("AP", bins=2))
    frame = annotated.datasets.regions(version.ref, structures=[MOP, "VISp", "VIS", "VISp"])
    assert frame.columns.to_list() == [
        "group",
        "group_label",
        "structure_id",
        "structure",
        "name",
        "hemisphere",
        "voxels",
        "mean",
    ]
    # In ontology order, each once, however they were asked for.
    assert frame.structure.to_list()[::3] == ["VIS", "VISp", "MOp"] * 2
    assert frame.hemisphere.to_list() == ["left", "right", "both"] * 6
    picked = frame.set_index(["group", "structure", "hemisphere"])
    right = np.isin(blocks(), [VISP, VISL])
    right[..., :57] = False
    assert picked.loc[(1, "VIS", "right"), "mean"] == pytest.approx(version.mean[1][right].mean(dtype=float))
    assert picked.loc[(0, "VISp", "both"), "voxels"] == (blocks() == VISP).sum()
    assert picked.loc[(0, "MOp", "left"), "voxels"] == 0
    assert np.isnan(picked.loc[(0, "MOp", "left"), "mean"])
    assert picked.loc[(1, "VIS", "right"), "group_label"] == version.groups[1].label


def test_one_structure_needs_no_list(annotated: Store) -> None:
    ask(annotated)
    for structure in ("VISp", VISP, str(VISP)):
        assert set(annotated.datasets.regions("test@1", structures=structure).structure) == {"VISp"}


def test_a_group_without_experiments_has_no_mean(annotated: Store) -> None:
    version = ask(annotated, grouping=by_coordinate("AP", edges=[7000, 7500, 9500]))
    assert [group.n for group in version.groups] == [0, 5]
    assert version.empty_groups == version.groups[:1]
    assert not version.mean[0].any()
    frame = annotated.datasets.regions(version, structures="VISp")
    assert frame[frame.group == 0].voxels.to_list() == [0, 0, 0]
    assert frame[frame.group == 0]["mean"].isna().all()
    assert (frame[frame.group == 1]["mean"] > 0).all()
    assert frame.voxels.dtype == np.int64


def test_groups_and_hemispheres_can_be_chosen(annotated: Store) -> None:
    version = ask(annotated, grouping=by_coordinate("AP", bins=2))
    everything = annotated.datasets.regions(version.ref, structures=["VISp", "VIS"])
    some = annotated.datasets.regions(version.ref, structures=["VISp", "VIS"], groups=1, hemisphere="right")
    expected = everything[(everything.group == 1) & (everything.hemisphere == "right")].reset_index(drop=True)
    pd.testing.assert_frame_equal(some, expected)
    with pytest.raises(InputError, match="no group 2") as caught:
        annotated.datasets.regions(version.ref, structures="VISp", groups=[0, 2])
    assert caught.value.hint == "Its groups are 0 to 1."
    with pytest.raises(InputError, match="no hemisphere 'ipsilateral'") as caught:
        annotated.datasets.regions(version.ref, structures="VISp", hemisphere="ipsilateral")
    assert "left, right, both" in str(caught.value.hint)
    with pytest.raises(InputError, match=r"limit .*got 0"):
        annotated.datasets.regions(version.ref, structures="VISp", limit=0)


def test_the_strongest_structures_come_first(annotated: Store) -> None:
    version = ask(annotated, grouping=by_coordinate("AP", bins=2))
    wanted = ["VIS", "VISp", "VISl", "MOp"]
    everything = annotated.datasets.regions(version, structures=wanted)
    frame = annotated.datasets.regions(version, structures=wanted, hemisphere=["right", "both"], limit=2)
    assert frame.hemisphere.to_list() == ["right", "right", "both", "both"] * 2
    for (group, side), found in frame.groupby(["group", "hemisphere"]):
        of_side = everything[(everything.group == group) & (everything.hemisphere == side)]
        assert found["mean"].to_list() == sorted(of_side["mean"].dropna(), reverse=True)[:2]


def test_hemispheres_of_a_folded_result_are_those_of_the_injection(annotated: Store) -> None:
    ask(annotated, hemisphere_rule="fold_ipsilateral")
    frame = annotated.datasets.regions("test", structures="VISp")
    assert frame.hemisphere.to_list() == ["contralateral", "ipsilateral", "both"]


def test_a_set_of_structures(annotated: Store) -> None:
    ask(annotated)
    with pytest.raises(InputError, match="167587189"):
        annotated.datasets.regions("test")
    add_structure_set(annotated, 167587189, [MOP, VISPM])
    add_structure_set(annotated, 5, [VISL])
    assert list(dict.fromkeys(annotated.datasets.regions("test").structure)) == ["VISpm", "MOp"]
    assert set(annotated.datasets.regions("test", structure_set=5).structure) == {"VISl"}
    with pytest.raises(InputError, match="structure_set"):
        annotated.datasets.regions("test", structures="VISp", structure_set=5)


def add_structure_set(store: Store, set_id: int, members: list[int]) -> None:
    from sqlalchemy import insert

    from bsv_store.catalog.database.models import StructureSet, StructureSetMember

    with sealed_changes(store.database) as connection:
        connection.execute(insert(StructureSet).values(id=set_id))
        rows = [{"structure_set_id": set_id, "structure_id": member} for member in members]
        connection.execute(insert(StructureSetMember), rows)


def test_without_an_annotation_the_command_is_named(filled: Store) -> None:
    version = ask(filled)
    with pytest.raises(MissingDataError, match="no annotation at 100 um") as caught:
        filled.datasets.regions(version.ref, structures="VISp")
    assert "bsv-store sync annotation --spacing 100" in str(caught.value)


def test_unknown_and_no_structures_are_errors(annotated: Store) -> None:
    ask(annotated)
    with pytest.raises(UnknownStructureError):
        annotated.datasets.regions("test", structures=["VISx"])
    with pytest.raises(InputError, match="structures must not be empty"):
        annotated.datasets.regions("test", structures=[])


def test_a_damaged_annotation_is_noticed(annotated: Store) -> None:
    ask(annotated)
    (path,) = annotated.path.glob("volumes/annotation/100um/*.h5")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError):
        annotated.datasets.regions("test", structures="VISp")
