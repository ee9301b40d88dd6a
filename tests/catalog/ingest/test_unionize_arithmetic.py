"""Unionize tables in which a column or a row does not follow from the others."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from bsv_store import Store
from tests.catalog.ingest.test_unionize_completeness import EXPERIMENT, atlas, original, saved

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["atlas", "original", "saved"]

pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")

CP, MRN = 672, 128
DENSITY = "projection_density is not sum_projection_pixels / sum_pixels"


def change_one_cell(frame: DataFrame, column: str, factor: float = 2.0) -> None:
    """Change a cell of the rows outside the injection site, with a signal."""
    rows = frame[~frame["is_injection"] & (frame["projection_density"] > 0) & (frame["hemisphere_id"] == 1)]
    frame.loc[rows.index[0], column] *= factor


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("volume", "volume is {} sum_pixels x 1.225e-09 mm3"),
        ("projection_density", "projection_density is {} sum_projection_pixels / sum_pixels"),
        ("projection_intensity", "projection_intensity is {} sum_projection_pixel_intensity / sum_projection_pixels"),
        ("projection_energy", "projection_energy is {} sum_projection_pixel_intensity / sum_pixels"),
        ("normalized_projection_volume", "normalized_projection_volume is {} projection_volume / injection volume"),
    ],
)
def test_a_changed_cell_and_a_scaled_column_are_noted(atlas: Store, saved: Any, column: str, words: str) -> None:
    one = atlas.ingest_unionizes(saved(lambda frame: change_one_cell(frame, column), "one.csv"))
    (remark,) = one.remarks()
    assert f"experiment {EXPERIMENT} contradicts itself" in remark
    assert words.format("not") in remark
    assert " in 1 of " in remark

    def scale(frame: DataFrame) -> None:
        frame[column] *= 0.5

    every = atlas.ingest_unionizes(saved(scale, "every.csv"), replace=True)
    (remark,) = every.remarks()
    assert remark.endswith(f"{words.format('0.5 times')} in all rows.")


def test_a_signal_that_moved_to_another_structure_is_noted(atlas: Store, saved: Any) -> None:
    def move(frame: DataFrame) -> None:
        outside = frame[~frame["is_injection"]].set_index(["structure_id", "hemisphere_id"])
        index = frame.set_index(["structure_id", "hemisphere_id", "is_injection"]).index
        signals = ["sum_projection_pixels", "sum_projection_pixel_intensity"]
        for here, there in ((CP, MRN), (MRN, CP)):
            for hemisphere in (1, 2, 3):
                moved = outside.loc[(there, hemisphere), signals].to_numpy()
                frame.loc[index == (here, hemisphere, False), signals] = moved
        pixels, intensity = frame["sum_projection_pixels"], frame["sum_projection_pixel_intensity"]
        root = frame[(index == (997, 3, True))]
        frame["projection_density"] = pixels / frame["sum_pixels"]
        frame["projection_energy"] = intensity / frame["sum_pixels"]
        frame["projection_intensity"] = (intensity / pixels).fillna(0.0)
        frame["projection_volume"] = pixels * 1.225e-9
        frame["normalized_projection_volume"] = frame["projection_volume"] / float(root["projection_volume"].iloc[0])

    remarks = atlas.ingest_unionizes(saved(move)).remarks()
    assert remarks
    assert all("is not the sum over its substructures" in each for each in remarks)


@pytest.mark.parametrize("decimals", [3, 6, 9])
def test_a_rounded_column_is_not_noted(atlas: Store, saved: Any, decimals: int) -> None:
    def rounded(frame: DataFrame) -> None:
        frame["projection_density"] = frame["projection_density"].round(decimals)

    assert atlas.ingest_unionizes(saved(rounded)).remarks() == ()


@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_rounded_sums_are_not_noted(atlas: Store, saved: Any, decimals: int) -> None:
    sums = ["sum_pixels", "sum_projection_pixels", "sum_pixel_intensity", "sum_projection_pixel_intensity"]

    def rounded(frame: DataFrame) -> None:
        frame[sums] = frame[sums].round(decimals)

    assert atlas.ingest_unionizes(saved(rounded, "rounded.csv")).remarks() == ()

    def changed(frame: DataFrame) -> None:
        rounded(frame)
        change_one_cell(frame, "projection_density")

    (remark,) = atlas.ingest_unionizes(saved(changed), replace=True).remarks()
    assert f"{DENSITY} in 1 of " in remark


@pytest.mark.parametrize("column", ["projection_intensity", "projection_energy", "projection_density", "volume"])
def test_columns_of_other_units_or_made_by_hand_are_not_noted(atlas: Store, saved: Any, column: str) -> None:
    def made(frame: DataFrame) -> None:
        frame[column] = [0.25 + number % 7 / 10 for number in range(len(frame))]

    assert atlas.ingest_unionizes(saved(made)).remarks() == ()


def test_verification_finds_a_stored_contradiction(atlas: Store, saved: Any) -> None:
    atlas.ingest_unionizes(saved(lambda frame: change_one_cell(frame, "projection_density")))
    report = atlas.admin.verify(deep=True)
    (finding,) = report.findings
    assert (finding.object, finding.kind, finding.is_damage) == (
        f"unionizes/{EXPERIMENT}",
        "contradictory_table",
        False,
    )
    assert DENSITY in finding.problem
    assert f"sync unionizes --refresh --ids {EXPERIMENT}" in finding.remedy
    # It is intact.
    assert atlas.admin.repair().steps == ()


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE unionize SET hemisphere_id = 9 WHERE structure_id = (SELECT max(structure_id) FROM unionize)"
        " AND hemisphere_id = 1",
        "DELETE FROM unionize",
    ],
)
def test_verification_of_damaged_rows_does_not_look_for_contradictions(atlas: Store, saved: Any, change: str) -> None:
    atlas.ingest_unionizes(saved(lambda frame: change_one_cell(frame, "projection_density")))
    with closing(sqlite3.connect(atlas.path / "catalog.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        assert connection.execute(change).rowcount
    found = {(each.object, each.kind) for each in atlas.admin.verify(deep=True).findings}
    assert (f"unionizes/{EXPERIMENT}", "damaged_catalog") in found
    assert "contradictory_table" not in {kind for _, kind in found}


def test_adopting_notes_a_contradiction(atlas: Store, saved: Callable[..., Path], tmp_path: Path) -> None:
    table = saved(lambda frame: change_one_cell(frame, "projection_density"))
    folder = tmp_path / "cache" / f"experiment_{EXPERIMENT}"
    folder.mkdir(parents=True)
    pd.read_csv(table, index_col=0).to_csv(folder / "structure_unionizes.csv")
    report = atlas.adopt(tmp_path / "cache")
    assert report.unionizes == 1
    assert any(DENSITY in remark for remark in report.remarks)
