"""Structures ranked by their signal, against plain pandas over real tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bsv_store.catalog.database.engine import Database
from bsv_store.errors import InputError, MissingDataError, UnknownExperimentError, UnknownStructureError
from bsv_store.store.catalog import Catalog

STRUCTURES = ["VISpm", "CP", "CM"]


def test_strongest_first_by_experiment(catalog: Catalog) -> None:
    frame = catalog.rank_structures([103, 101], is_injection=False, structures=STRUCTURES, measure="projection_volume")
    assert list(frame.itertuples(index=False, name=None)) == [
        (101, 1, "CP", 672, "right", 0.4),
        (101, 2, "VISpm", 533, "right", 0.3),
        (101, 3, "CP", 672, "left", 0.1),
        (103, 1, "CP", 672, "left", 0.3),
        (103, 2, "CM", 599, "left", 0.2),
        (103, 3, "CP", 672, "right", 0.02),
    ]


def test_threshold_must_be_exceeded_and_limit_is_for_each(catalog: Catalog) -> None:
    options: dict[str, Any] = {"structures": STRUCTURES, "measure": "projection_volume"}
    above = catalog.rank_structures([101, 103], is_injection=False, threshold=0.3, **options)
    assert above["experiment_id"].tolist() == [101]
    one = catalog.rank_structures([101, 103], is_injection=False, limit=1, **options)
    assert one["structure"].tolist() == ["CP", "CP"]


def test_inside_the_injection(catalog: Catalog) -> None:
    options: dict[str, Any] = {"structures": ["root"], "measure": "projection_volume", "threshold": 0.0}
    frame = catalog.rank_structures([102], is_injection=True, hemisphere=["left", "both"], **options)
    assert frame["hemisphere"].tolist() == ["both", "left"]
    # Of 105 only what is inside the injection is known.
    assert len(catalog.rank_structures([105], is_injection=True, **options)) == 1
    with pytest.raises(MissingDataError, match="projection rows of 1 experiment are not in the store: 105"):
        catalog.rank_structures([105], is_injection=False, **options)


def test_nothing_above_the_threshold_has_the_same_columns(catalog: Catalog) -> None:
    empty = catalog.rank_structures([101], is_injection=False, structures=["CM"])
    full = catalog.rank_structures([101], is_injection=False, structures=["CP"])
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_what_cannot_be_asked(catalog: Catalog) -> None:
    with pytest.raises(UnknownExperimentError):
        catalog.rank_structures([7], is_injection=False, structures=["CP"])
    with pytest.raises(UnknownStructureError):
        catalog.rank_structures([101], is_injection=False, structures=["cp"])
    wrong: list[dict[str, Any]] = [
        {"hemisphere": []},
        {"hemisphere": ["ipsilateral"]},
        {"hemisphere": 3},
        {"threshold": float("nan")},
        {"limit": 0},
        {"measure": "1; --"},
    ]
    for options in wrong:
        with pytest.raises(InputError):
            catalog.rank_structures([101], is_injection=False, **{"structures": ["CP"], **options})


@pytest.mark.parametrize("is_injection", [False, True])
def test_real_experiments_as_pandas_ranks_them(atlas_psu: Database, data: Path, is_injection: bool) -> None:
    files = sorted((data / "allensdk_cache").glob("experiment_*/structure_unionizes.csv"))
    rows = pd.concat([pd.read_csv(file) for file in files])
    ids = sorted(rows["experiment_id"].unique().tolist())
    with atlas_psu.reading() as connection:
        members = connection.exec_driver_sql(
            "SELECT structure_id FROM structure_set_member WHERE structure_set_id = 167587189"
        )
        summary = [row[0] for row in members]
    frame = Catalog(atlas_psu).rank_structures(ids, is_injection=is_injection)
    name = "normalized_projection_volume"
    rows = rows[rows["structure_id"].isin(summary) & rows["hemisphere_id"].isin([1, 2]) & (rows[name] > 0.01)]
    rows = rows[rows["is_injection"] == is_injection].sort_values(["experiment_id", name], ascending=[True, False])
    expected = rows.groupby("experiment_id").head(5)
    assert len(frame) > 100
    for own, theirs in (("experiment_id", "experiment_id"), ("structure_id", "structure_id"), (name, name)):
        assert frame[own].tolist() == expected[theirs].tolist()
    assert frame["hemisphere"].map({"left": 1, "right": 2}).tolist() == expected["hemisphere_id"].tolist()
