"""Signal of single experiments in structures, from their voxels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Selection, Store
from bsv_store.catalog.seals import DERIVED_COLUMNS
from bsv_store.errors import (
    DamagedFileError,
    EmptySelectionError,
    InputError,
    MissingDataError,
    UnknownHemisphereWarning,
    UnknownStructureError,
)
from bsv_store.vocabulary import INJECTION_COLUMNS, MeasuredHemisphere
from tests.datasets.world import BY_ID, IDS, MOP, SHAPE, VISL, VISP, VISUAL, add_annotation, add_volume, fill, voxels
from tests.sealing import sealed_changes
from tests.stores import store_with

VISUAL_IDS = (1, 2, 3, 4, 5)
HALVES = {"left": slice(0, 57), "right": slice(57, None), "both": slice(None)}


def blocks() -> NDArray[np.uint32]:
    array = np.zeros(SHAPE, np.uint32)
    array[80:90, 10:40, 40:74] = VISP
    array[85:90, 10:40, 74:90] = VISL
    array[40:50, 10:20, 60:70] = MOP
    return array


def _fill(store: Store) -> None:
    fill(store)
    add_annotation(store, blocks())


annotated = store_with(_fill)


def expected(identifier: int, ids: list[int], side: str, array: NDArray[np.float32] | None = None) -> tuple[int, float]:
    half = HALVES[side]
    content = voxels(identifier) if array is None else array
    values = content[..., half][np.isin(blocks()[..., half], ids)].astype(np.float64)
    known = values[~np.isnan(values)]
    return known.size, float(known.sum())


def test_mean_and_sum_per_experiment_are_those_of_the_voxels(annotated: Store) -> None:
    frame = annotated.atlas.signal(VISUAL, "VIS")
    assert frame.columns.to_list() == [
        "experiment_id",
        "structure_id",
        "structure",
        "hemisphere",
        "voxels",
        "mean",
        "sum",
    ]
    assert frame.experiment_id.to_list() == list(VISUAL_IDS)
    assert frame.attrs["without_volume"] == []
    for row in frame.itertuples():
        count, total = expected(row.experiment_id, [VISP, VISL], "both")
        assert (row.structure_id, row.structure, row.hemisphere, row.voxels) == (669, "VIS", "both", count)
        assert row.sum == pytest.approx(total, rel=1e-12)
        assert row.mean == pytest.approx(total / count, rel=1e-12)


def test_several_structures_and_hemispheres_in_order(annotated: Store) -> None:
    sides: tuple[MeasuredHemisphere, ...] = ("ipsilateral", "contralateral", "left", "right")
    frame = annotated.atlas.signal(Selection(ids=[5, 1]), ["MOp", "VISp"], hemisphere=sides)
    keys = [(i, name, side) for i in (1, 5) for name in ("VISp", "MOp") for side in sides]
    assert list(zip(frame.experiment_id, frame.structure, frame.hemisphere, strict=True)) == keys
    table = frame.set_index(["experiment_id", "structure", "hemisphere"])
    for i, name, side in keys:
        injected = BY_ID[i].injected
        assert injected is not None
        other = "left" if injected == "right" else "right"
        absolute = {"ipsilateral": injected, "contralateral": other}.get(side, side)
        count, total = expected(i, [VISP if name == "VISp" else MOP], absolute)
        assert table.loc[(i, name, side), "voxels"] == count
        known = total if count else np.nan
        assert table.loc[(i, name, side), "sum"] == pytest.approx(known, rel=1e-12, nan_ok=True)
    # No voxel, so nothing is known; not "no signal".
    assert table.loc[(1, "MOp", "left"), ["mean", "sum"]].isna().all()


def test_voxels_without_data_are_not_counted(annotated: Store) -> None:
    array = voxels(1).copy()
    array[80:83, 10:20, 40:74] = np.nan
    add_volume(annotated, 1, array=array)
    (row,) = annotated.atlas.signal(Selection(ids=[1]), "VISp").itertuples()
    count, total = expected(1, [VISP], "both", array)
    assert (row.voxels, row.sum) == (count, pytest.approx(total))
    assert count < expected(1, [VISP], "both")[0]


def test_dense_volumes_are_read_as_well(annotated: Store) -> None:
    array = np.ones(SHAPE, np.float32)
    add_volume(annotated, 1, kind="data_mask", array=array)
    (row,) = annotated.atlas.signal(Selection(ids=[1]), "VISp", kind="data_mask").itertuples()
    assert (row.voxels, row.mean) == ((blocks() == VISP).sum(), 1)


def test_a_hemisphere_that_depends_on_an_unknown_injection_is_nan(annotated: Store) -> None:
    with sealed_changes(annotated.database) as connection:
        for table in ("unionize", "unionize_coverage"):
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE experiment_id = 1")
        unknown = ", ".join(f"{name} = NULL" for name in (*DERIVED_COLUMNS, *INJECTION_COLUMNS))
        connection.exec_driver_sql(f"UPDATE experiment SET {unknown} WHERE id = 1")
    with pytest.warns(UnknownHemisphereWarning, match="has no ipsilateral values, because .* not known: 1"):
        frame = annotated.atlas.signal(Selection(ids=[1]), "VISp", hemisphere=["ipsilateral", "both"])
    assert frame["sum"].isna().tolist() == [True, False]
    assert frame["mean"].isna().tolist() == [True, False]
    assert frame.voxels.to_list()[0] == 0
    assert frame.attrs["without_hemisphere"] == [1]
    assert annotated.atlas.signal(Selection(ids=[1]), "VISp").attrs["without_hemisphere"] == []


def test_missing_volumes_are_an_error_or_left_out_as_asked(annotated: Store) -> None:
    everything = Selection(ids=IDS)
    with sealed_changes(annotated.database) as connection:
        connection.exec_driver_sql("DELETE FROM volume WHERE experiment_id IN (2, 4)")
    with pytest.raises(MissingDataError, match="2, 4") as caught:
        annotated.atlas.signal(everything, "VISp")
    assert "bsv-store fetch --ids 2,4 --kind projection_density --spacing 100" in str(caught.value)
    frame = annotated.atlas.signal(everything, "VISp", missing="leave_out")
    assert frame.experiment_id.to_list() == [1, 3, 5, 6, 7]
    assert frame.attrs["without_volume"] == [2, 4]
    with pytest.raises(MissingDataError):
        annotated.atlas.signal(Selection(ids=[2, 4]), "VISp", missing="leave_out")


def test_bad_questions_are_named(annotated: Store) -> None:
    one = Selection(ids=[1])
    for options, complaint in (
        ({"hemisphere": "top"}, "top"),
        ({"kind": "densities"}, "densities"),
        ({"missing": "ignore"}, "ignore"),
        ({"spacing_um": 30}, "30"),
    ):
        with pytest.raises(InputError, match=complaint):
            annotated.atlas.signal(one, "VISp", **options)
    with pytest.raises(InputError, match="structures must not be empty"):
        annotated.atlas.signal(one, [])
    with pytest.raises(InputError, match="hemisphere must not be empty"):
        annotated.atlas.signal(one, "VISp", hemisphere=[])
    with pytest.raises(UnknownStructureError):
        annotated.atlas.signal(one, "VISx")
    with pytest.raises(EmptySelectionError):
        annotated.atlas.signal(Selection(box=((0, 30), (0, 30), (0, 30))), "VISp")


def test_without_an_annotation_the_command_is_named(filled: Store) -> None:
    with pytest.raises(MissingDataError) as caught:
        filled.atlas.signal(VISUAL, "VISp")
    assert "bsv-store sync annotation --spacing 100" in str(caught.value)


def test_a_damaged_volume_is_noticed(annotated: Store) -> None:
    path = annotated.path / str(annotated.volumes.describe(1)["path"])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError):
        annotated.atlas.signal(Selection(ids=[1]), "VISp")


def test_a_damaged_volume_is_not_left_out_as_a_missing_one(annotated: Store) -> None:
    path = annotated.path / str(annotated.volumes.describe(1)["path"])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError):
        annotated.atlas.signal(Selection(ids=[1, 2]), "VISp", missing="leave_out")


def test_means_are_divided_by_the_injection_volume(annotated: Store) -> None:
    plain = annotated.atlas.signal(VISUAL, "VISp")
    normalized = annotated.atlas.signal(VISUAL, "VISp", normalize="injection_volume")
    volumes = np.array([BY_ID[identifier].volume for identifier in plain.experiment_id])
    np.testing.assert_allclose(normalized["mean"], plain["mean"] / volumes)
    np.testing.assert_allclose(normalized["sum"], plain["sum"] / volumes)
    assert normalized.voxels.to_list() == plain.voxels.to_list()
    assert normalized.attrs["unit"].endswith("per mm³ injected")
    with pytest.raises(InputError, match="normalize must be one of none, injection_volume"):
        annotated.atlas.signal(VISUAL, "VISp", normalize="volume")  # type: ignore[arg-type]
