"""Frames, counts and volumes of selected experiments, on both databases."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from bsv_store import Selection, Store
from bsv_store.catalog.tables import frames
from bsv_store.errors import (
    InputError,
    MissingDataError,
    MissingUnionizesWarning,
    UnknownExperimentError,
    UnknownStructureError,
)
from tests.catalog.small_catalog import ALL_IDS, EXPERIMENTS, unionize_rows

# What is left out is tested in test_without_unionizes.py.
pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")

UNIONIZE_COLUMNS = tuple(next(unionize_rows()))

# -- experiments ------------------------------------------------------------------------------------------------------


def test_experiments_have_one_row_each_and_all_columns_of_the_view(small_store: Store) -> None:
    frame = small_store.experiments(Selection(include_withdrawn=True))
    assert list(frame.columns) == list(small_store.sql("SELECT * FROM experiments").columns)
    assert frame["experiment_id"].tolist() == list(ALL_IDS)
    by_id = frame.set_index("experiment_id")
    for row in EXPERIMENTS:
        for name in ("specimen_name", "transgenic_line", "strain", "sex", "injected_hemisphere", "withdrawn"):
            assert by_id.at[row["id"], name] == row[name], (row["id"], name)
        for name in ("injection_volume", "injection_ap", "product_id", "injection_volume_left"):
            value: Any = by_id.at[row["id"], name]
            assert pd.isna(value) if row[name] is None else value == row[name], (row["id"], name)


def test_experiment_columns_have_types_that_keep_what_is_unknown(small_store: Store) -> None:
    frame = small_store.experiments()
    types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert types["experiment_id"] == types["primary_structure_id"] == "int64"
    assert types["injection_ap"] == types["product_id"] == "Int64"
    assert types["injection_volume"] == "float64"
    assert types["withdrawn"] == "bool"
    assert types["bilateral"] == "boolean"
    assert types["primary_structure"] == "object"
    row = frame.set_index("experiment_id").loc[104]
    assert row["injection_ap"] is pd.NA
    assert row["transgenic_line"] is None
    assert row["bilateral"] is pd.NA


def test_bilateral_needs_one_percent_on_the_minor_side(small_store: Store) -> None:
    frame = small_store.experiments([101, 102, 103]).set_index("experiment_id")
    assert frame["bilateral"].to_dict() == {101: False, 102: True, 103: False}


def test_frame_of_nothing_has_the_same_columns_and_types(small_store: Store) -> None:
    empty = small_store.experiments(Selection(injected_in="TMv", injected_hemisphere="left"))
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == small_store.experiments().dtypes.to_dict()


# -- counts -----------------------------------------------------------------------------------------------------------


def test_summary_counts_descending(small_store: Store) -> None:
    counts = small_store.catalog.summary(Selection(injected_in=["VISp", "CP", "CUL4, 5"]))
    assert counts.total == 8
    assert counts.lines == (
        ("wild-type", 5),
        ("Ai75(RCL-nt)/Rbp4-Cre_KL100", 1),
        ("Rbp4-Cre_KL100", 1),
        ("Slc17a8-IRES2-Cre", 1),
    )
    assert counts.primary_structures == (("VISp", 4), ("CP", 2), ("CUL4, 5", 1), ("VISp1", 1))
    assert counts.products == ((5, 8),)
    assert counts.sexes == (("M", 6), ("F", 1), (None, 1))
    assert counts.strains == (("C57BL/6J", 6), ("FVB.CD1(ICR)", 1), (None, 1))
    assert counts.hemispheres == (("right", 8),)


def test_summary_of_nothing(small_store: Store) -> None:
    counts = small_store.catalog.summary(Selection(injected_in="TMv", injected_hemisphere="left"))
    assert counts.total == 0
    assert counts.lines == ()
    assert counts.products == ()


def test_summary_as_plain_values(small_store: Store) -> None:
    plain = small_store.catalog.summary(Selection(sex="F")).to_dict()
    assert plain["total"] == 2
    assert plain["products"] == [[5, 1], [31, 1]]


# -- unionize rows ----------------------------------------------------------------------------------------------------


def test_unionizes_are_what_was_stored(small_store: Store) -> None:
    frame = small_store.catalog.unionizes([101, 103])
    assert tuple(frame.columns) == (*UNIONIZE_COLUMNS[:2], "structure", *UNIONIZE_COLUMNS[2:])
    stored = {
        (row["experiment_id"], row["structure_id"], row["hemisphere_id"], row["is_injection"]): row
        for row in unionize_rows()
        if row["experiment_id"] in (101, 103)
    }
    assert len(frame) == len(stored)
    for found in frame.to_dict("records"):
        row = stored[found["experiment_id"], found["structure_id"], found["hemisphere_id"], found["is_injection"]]
        assert {name: found[name] for name in UNIONIZE_COLUMNS} == row
    assert str(frame["is_injection"].dtype) == "bool"
    assert str(frame["max_voxel_x"].dtype) == "int64"
    assert frame["sum_pixel_intensity"].max() == 2.6e14


def test_unionizes_come_by_experiment_then_in_graph_order(small_store: Store) -> None:
    frame = small_store.catalog.unionizes([103, 101], is_injection=False, hemisphere="both")
    assert list(zip(frame["experiment_id"], frame["structure"], strict=True)) == [
        (101, "root"),
        (101, "VISpm"),
        (101, "CP"),
        (103, "root"),
        (103, "CP"),
        (103, "CM"),
    ]


def test_unionizes_do_not_depend_on_the_blocks_in_which_they_are_read(
    small_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = small_store.catalog.unionizes([101, 103])
    monkeypatch.setattr(frames, "_BLOCK_ROWS", 2)
    found = small_store.catalog.unionizes([101, 103])
    pd.testing.assert_frame_equal(found, whole)
    # One object for each structure, not for each row.
    assert len({id(each) for each in found["structure"]}) == found["structure"].nunique()


def test_unionizes_filtered(small_store: Store) -> None:
    left = small_store.catalog.unionizes([101, 103], structures=["CP"], is_injection=False, hemisphere="left")
    assert left["projection_volume"].tolist() == [0.1, 0.3]
    inside = small_store.catalog.unionizes([101], is_injection=True)
    assert inside["hemisphere_id"].tolist() == [2, 3]


def test_descendants_only_when_asked_for(small_store: Store) -> None:
    selection = Selection(ids=[101, 103])
    options = {"is_injection": False, "hemisphere": "both"}
    assert len(small_store.catalog.unionizes(selection, structures=["TH", "VIS"], **options)) == 0  # type: ignore[arg-type]
    inside = small_store.catalog.unionizes(selection, structures=["TH", "VIS"], include_descendants=True, **options)  # type: ignore[arg-type]
    assert inside["structure"].tolist() == ["VISpm", "CM"]


def test_experiments_without_records_are_an_error_unless_left_out(small_store: Store) -> None:
    with pytest.raises(MissingDataError, match=r"injection rows .*: 201"):
        small_store.catalog.unionizes([101, 201])
    with pytest.raises(MissingDataError, match=r"projection rows .*: 105"):
        small_store.catalog.unionizes([101, 105], is_injection=False)
    with pytest.raises(MissingDataError, match=r"injection rows .*: 201"):
        small_store.catalog.unionizes([101, 105, 201], is_injection=True)
    assert len(small_store.catalog.unionizes([105], is_injection=True)) == 2
    with pytest.warns(MissingUnionizesWarning) as warned:
        frame = small_store.catalog.unionizes(Selection(), missing="leave_out")
    assert set(frame["experiment_id"]) == {101, 102, 103, 105, 201}
    assert not set(frame.attrs["without_unionizes"]).intersection([101, 102, 103])
    found = {tuple(each.message.experiment_ids) for each in warned if isinstance(each.message, MissingUnionizesWarning)}
    without = tuple(key for key in small_store.select() if key not in (101, 102, 103, 105, 201))
    # One half of the others is in the store.
    assert found == {without, (105,), (201,)}
    assert frame.attrs["without_unionizes"] == sorted([*without, 105, 201])
    with pytest.warns(MissingUnionizesWarning, match="the projection rows of 1 of the selected experiments") as warned:
        small_store.catalog.unionizes([101, 105], is_injection=False, missing="leave_out")
    assert len(warned) == 1


def test_rows_of_structures_that_are_not_measured_are_an_error(small_store: Store) -> None:
    unionizes = small_store.catalog.unionizes
    with pytest.raises(InputError, match="does not measure the signal in VISp1"):
        unionizes([101], structures=["VISp1"])
    with pytest.raises(InputError, match="does not measure the signal in VISp1"):
        unionizes([101], structures=["VISp1"], include_descendants=True)
    assert len(unionizes([101], structures=["VISp"], is_injection=False)) == 0


def test_unionizes_of_nothing(small_store: Store) -> None:
    empty = small_store.catalog.unionizes(Selection(injected_in="TMv", injected_hemisphere="left"))
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == small_store.catalog.unionizes([101]).dtypes.to_dict()


def test_unionizes_of_what_is_not_there(small_store: Store) -> None:
    with pytest.raises(UnknownExperimentError, match="7"):
        small_store.catalog.unionizes([7])
    with pytest.raises(UnknownStructureError, match="VISP"):
        small_store.catalog.unionizes([101], structures=["VISP"])
    with pytest.raises(InputError, match="'middle'"):
        small_store.catalog.unionizes([101], hemisphere="middle")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'ignore'"):
        small_store.catalog.unionizes([101], missing="ignore")  # type: ignore[arg-type]


def test_target_search_lists_experiments_without_projection_rows(small_store: Store) -> None:
    found = small_store.search.targets("CP", selection=[101, 105, 201])
    assert found.attrs["without_unionizes"] == [105]
