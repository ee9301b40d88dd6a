"""Structures ranked by their signal, against plain pandas over real tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bsv_store import Store
from bsv_store.errors import InputError, MissingDataError, UnknownExperimentError, UnknownStructureError

STRUCTURES = ["VISpm", "CP", "CM"]


def test_strongest_first_by_experiment(small_store: Store) -> None:
    frame = small_store.catalog.rank_structures(
        [103, 101], is_injection=False, structures=STRUCTURES, measure="projection_volume"
    )
    assert list(frame.itertuples(index=False, name=None)) == [
        (101, 1, "CP", 672, "right", 0.4),
        (101, 2, "VISpm", 533, "right", 0.3),
        (101, 3, "CP", 672, "left", 0.1),
        (103, 1, "CP", 672, "left", 0.3),
        (103, 2, "CM", 599, "left", 0.2),
        (103, 3, "CP", 672, "right", 0.02),
    ]


def test_threshold_must_be_exceeded_and_limit_is_for_each(small_store: Store) -> None:
    options: dict[str, Any] = {"structures": STRUCTURES, "measure": "projection_volume"}
    above = small_store.catalog.rank_structures([101, 103], is_injection=False, threshold=0.3, **options)
    assert above["experiment_id"].tolist() == [101]
    one = small_store.catalog.rank_structures([101, 103], is_injection=False, limit=1, **options)
    assert one["structure"].tolist() == ["CP", "CP"]


def test_inside_the_injection(small_store: Store) -> None:
    options: dict[str, Any] = {"structures": ["root"], "measure": "projection_volume", "threshold": 0.0}
    frame = small_store.catalog.rank_structures([102], is_injection=True, hemisphere=["left", "both"], **options)
    assert frame["hemisphere"].tolist() == ["both", "left"]
    # Of 105 only what is inside the injection is known.
    assert len(small_store.catalog.rank_structures([105], is_injection=True, **options)) == 1
    with pytest.raises(MissingDataError, match=r"projection rows .*: 105"):
        small_store.catalog.rank_structures([105], is_injection=False, **options)


def test_nothing_above_the_threshold_has_the_same_columns(small_store: Store) -> None:
    empty = small_store.catalog.rank_structures([101], is_injection=False, structures=["CM"])
    full = small_store.catalog.rank_structures([101], is_injection=False, structures=["CP"])
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_what_cannot_be_asked(small_store: Store) -> None:
    with pytest.raises(UnknownExperimentError):
        small_store.catalog.rank_structures([7], is_injection=False, structures=["CP"])
    with pytest.raises(UnknownStructureError):
        small_store.catalog.rank_structures([101], is_injection=False, structures=["cp"])
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
            small_store.catalog.rank_structures([101], is_injection=False, **{"structures": ["CP"], **options})


@pytest.mark.parametrize("is_injection", [False, True])
def test_real_experiments_as_pandas_ranks_them(atlas_psu: Store, data: Path, is_injection: bool) -> None:
    files = sorted((data / "allensdk_cache").glob("experiment_*/structure_unionizes.csv"))
    rows = pd.concat([pd.read_csv(file) for file in files])
    ids = sorted(rows["experiment_id"].unique().tolist())
    summary = [row.id for row in atlas_psu.atlas.structure_set(167587189)]
    frame = atlas_psu.catalog.rank_structures(ids, is_injection=is_injection)
    name = "normalized_projection_volume"
    rows = rows[rows["structure_id"].isin(summary) & rows["hemisphere_id"].isin([1, 2]) & (rows[name] > 0.01)]
    rows = rows[rows["is_injection"] == is_injection].sort_values(["experiment_id", name], ascending=[True, False])
    expected = rows.groupby("experiment_id").head(5)
    assert len(frame) > 100
    for own, theirs in (("experiment_id", "experiment_id"), ("structure_id", "structure_id"), (name, name)):
        assert frame[own].tolist() == expected[theirs].tolist()
    assert frame["hemisphere"].map({"left": 1, "right": 2}).tolist() == expected["hemisphere_id"].tolist()
