"""The projection matrix: by hand on the small catalog, and against plain pandas on real tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bsv_store import Selection, Store
from bsv_store.errors import EmptySelectionError, InputError, UnknownStructureError

# What is left out is tested in test_without_unionizes.py.
pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")

MEASURED = Selection(ids=[101, 102, 103, 201])
TARGETS = ["CM", "VISpm", "CP"]


def test_by_experiment_in_ontology_order_with_zeros_and_gaps(small_store: Store) -> None:
    frame = small_store.catalog.matrix(
        MEASURED | Selection(ids=[105]),
        rows="experiments",
        targets=TARGETS,
        hemisphere="both",
        measure="projection_volume",
    )
    # Primary structures VISp (101, 201), VISp1 (102), VISpm (103), VISC (105).
    assert frame.index.tolist() == [101, 201, 102, 103, 105]
    assert frame.columns.tolist() == ["VISpm", "CP", "CM"]
    expected = [[0.3, 0.5, 0], [1.25, 0, 0], [0, 0.05, 0], [0, 0.32, 0.2], [np.nan] * 3]
    np.testing.assert_array_equal(frame.to_numpy(), expected)
    assert frame.index.name == "experiment_id"
    assert frame.columns.name == "target"


def test_sides_follow_the_injected_hemisphere(small_store: Store) -> None:
    frame = small_store.catalog.matrix(
        Selection(ids=[101, 103]),
        rows="experiments",
        targets=["CP"],
        hemisphere=["ipsilateral", "contralateral", "left", "right"],
        measure="projection_volume",
    )
    assert frame.columns.names == ["hemisphere", "target"]
    # 101 was injected on the right, 103 on the left.
    np.testing.assert_array_equal(frame.to_numpy(), [[0.4, 0.1, 0.1, 0.4], [0.3, 0.02, 0.3, 0.02]])


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("mean", [[(0.3 + 1.25) / 2, 0.25, 0], [0, 0.05, 0], [0, 0.32, 0.2], [np.nan] * 3]),
        ("median", [[(0.3 + 1.25) / 2, 0.25, 0], [0, 0.05, 0], [0, 0.32, 0.2], [np.nan] * 3]),
        ("n", [[2, 2, 2], [1, 1, 1], [1, 1, 1], [0, 0, 0]]),
    ],
)
def test_by_source(small_store: Store, statistic: Any, expected: list[list[float]]) -> None:
    frame = small_store.catalog.matrix(
        MEASURED | Selection(ids=[105]),
        targets=TARGETS,
        hemisphere="both",
        measure="projection_volume",
        statistic=statistic,
    )
    assert frame.index.tolist() == ["VISp", "VISp1", "VISpm", "VISC"]
    np.testing.assert_allclose(frame.to_numpy(), expected, rtol=1e-15)


def test_sources_pool_by_the_nearest_one_above(small_store: Store) -> None:
    def pooled(*sources: str) -> pd.DataFrame:
        return small_store.catalog.matrix(
            Selection(), sources=sources, targets=["CP"], hemisphere="both", statistic="n"
        )

    # VISp1 (102) belongs to VISp; VISpm (103) to VIS.
    assert pooled("VIS", "VISp")["CP"].to_dict() == {"VIS": 1, "VISp": 3}
    assert pooled("VIS")["CP"].to_dict() == {"VIS": 4}
    with pytest.raises(InputError, match="none of the"):
        small_store.catalog.matrix(Selection(injected_in="VIS"), sources=["TH"], targets=["CP"])


@pytest.mark.parametrize("statistic", ["mean", "median", "n"])
def test_one_statement_gives_the_same(small_store: Store, statistic: Any) -> None:
    options: dict[str, Any] = {
        "targets": TARGETS,
        "hemisphere": ["contralateral", "ipsilateral", "both"],
        "measure": "projection_volume",
        "statistic": statistic,
    }
    frame = small_store.catalog.matrix(**options)
    statement = small_store.catalog.matrix_sql(**options)
    name = [] if statistic == "n" else ["projection_volume"]
    cells = small_store.sql(statement)
    assert cells.columns.tolist() == ["source", "hemisphere", "target", "n", *name]
    known = frame[(frame > 0).any(axis=1)] if statistic == "n" else frame.dropna()
    long = [(source, *column, known.at[source, column]) for source in known.index for column in known.columns]
    assert list(zip(cells["source"], cells["hemisphere"], cells["target"], strict=True)) == [row[:3] for row in long]
    np.testing.assert_allclose(cells[cells.columns[-1]].astype(float), [row[3] for row in long], rtol=1e-14)


@pytest.mark.parametrize("rows", ["experiments", "sources"])
def test_many_experiments_are_read_another_way_with_the_same_result(
    small_store: Store, monkeypatch: pytest.MonkeyPatch, rows: Any
) -> None:
    def frame() -> pd.DataFrame:
        # 102 and 201, which project to these targets too, lie between and after those selected.
        return small_store.catalog.matrix(Selection(ids=[101, 103]), rows=rows, targets=TARGETS)

    few = frame()
    monkeypatch.setattr("bsv_store.catalog.search.signal._MANY", 1)
    pd.testing.assert_frame_equal(frame(), few)
    assert few.to_numpy()[:2].any()


def test_what_cannot_be_asked(small_store: Store) -> None:
    with pytest.raises(InputError, match="VISp1"):
        small_store.catalog.matrix(MEASURED, targets=["CP", "VISp1"])
    with pytest.raises(UnknownStructureError, match="cp"):
        small_store.catalog.matrix(MEASURED, targets=["cp"])
    with pytest.raises(EmptySelectionError):
        small_store.catalog.matrix(Selection(injected_in="TMv", injected_hemisphere="left"), targets=["CP"])
    wrong: list[dict[str, Any]] = [
        {"measure": "id; drop table unionize"},
        {"hemisphere": "middle"},
        {"hemisphere": []},
        {"statistic": "mode"},
        {"rows": "lines"},
        {"rows": "experiments", "statistic": "median"},
        {"targets": []},
        {"structure_set": 184527634},
        {"targets": None, "structure_set": 1},
    ]
    for options in wrong:
        with pytest.raises(InputError):
            small_store.catalog.matrix(MEASURED, **{"targets": ["CP"], **options})


# -- against the real tables ------------------------------------------------------------------------------------------


def pairs(store: Store, query: str) -> dict[Any, Any]:
    return dict(store.sql(query).itertuples(index=False, name=None))


@pytest.fixture(scope="module")
def tables(data: Path) -> pd.DataFrame:
    files = sorted((data / "allensdk_cache").glob("experiment_*/structure_unionizes.csv"))
    assert len(files) == 40
    return pd.concat([pd.read_csv(file) for file in files])


@pytest.mark.parametrize("measure", ["normalized_projection_volume", "projection_density", "sum_pixel_intensity"])
@pytest.mark.parametrize("hemisphere", ["left", "right", "both"])
def test_real_experiments_as_pandas_has_them(
    atlas_psu: Store, tables: pd.DataFrame, measure: Any, hemisphere: Any
) -> None:
    number = {"left": 1, "right": 2, "both": 3}[hemisphere]
    rows = tables[~tables["is_injection"] & (tables["hemisphere_id"] == number)]
    wide = rows.pivot(index="experiment_id", columns="structure_id", values=measure).fillna(0.0)
    ids = sorted(tables["experiment_id"].unique().tolist())
    frame = atlas_psu.catalog.matrix(
        Selection(ids=ids, include_excluded=True),
        rows="experiments",
        structure_set=184527634,
        hemisphere=hemisphere,
        measure=measure,
    )
    order = pairs(atlas_psu, "SELECT acronym, id FROM structure")
    graph = pairs(atlas_psu, "SELECT acronym, graph_order FROM structure")
    assert frame.shape == (40, 832)
    assert [graph[name] for name in frame.columns] == sorted(graph[name] for name in frame.columns)
    expected = wide.reindex(index=frame.index, columns=[order[name] for name in frame.columns]).fillna(0.0)
    np.testing.assert_array_equal(frame.to_numpy(), expected.to_numpy())


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_real_sources_as_pandas_has_them(atlas_psu: Store, tables: pd.DataFrame, statistic: Any) -> None:
    ids = sorted(tables["experiment_id"].unique().tolist())
    frame = atlas_psu.catalog.matrix(
        ids, hemisphere=["left", "right"], measure="projection_energy", statistic=statistic
    )
    source = pairs(atlas_psu, "SELECT experiment_id, primary_structure FROM experiments")
    acronym = pairs(atlas_psu, "SELECT id, acronym FROM structure")
    assert frame.shape[1] == 2 * 316
    for number, side in ((1, "left"), (2, "right")):
        rows = tables[~tables["is_injection"] & (tables["hemisphere_id"] == number)]
        wide = rows.pivot(index="experiment_id", columns="structure_id", values="projection_energy")
        wide = wide.reindex(index=ids).fillna(0.0).rename(columns=acronym)
        grouped = getattr(wide.groupby(wide.index.map(source)), statistic)()
        own = frame[side]
        expected = grouped.reindex(index=own.index, columns=own.columns).fillna(0.0)
        np.testing.assert_allclose(own.to_numpy(), expected.to_numpy(), rtol=1e-12)


@pytest.mark.parametrize("hemisphere", ["both", ["ipsilateral", "contralateral"]])
@pytest.mark.parametrize("statistic", ["mean", "n"])
def test_layouts_hold_the_same_values(small_store: Store, hemisphere: Any, statistic: Any) -> None:
    def matrix(layout: Any, limit: int | None = None) -> pd.DataFrame:
        return small_store.catalog.matrix(
            targets=TARGETS, hemisphere=hemisphere, statistic=statistic, layout=layout, limit=limit
        )

    wide = matrix("wide")
    pd.testing.assert_frame_equal(matrix("transposed"), wide.T)
    long = matrix("long")
    name = "n" if statistic == "n" else "normalized_projection_volume"
    assert (long[name].diff().dropna() <= 0).all()
    assert len(long) == wide.notna().to_numpy().sum()
    for row in long.to_dict("records"):
        column = row["target"] if hemisphere == "both" else (row["hemisphere"], row["target"])
        assert wide.loc[row["source"], column] == row[name]
    pd.testing.assert_frame_equal(matrix("long", 3), long.head(3))
    two = matrix("wide", 2)
    assert two.columns.to_list() == [column for column in wide.columns if column in set(two.columns)]
    largest = wide.max()
    assert two.shape[1] == 2
    assert largest[two.columns].min() >= largest.drop(two.columns.to_list()).max()
    assert two.attrs["without_unionizes"] == wide.attrs["without_unionizes"] == long.attrs["without_unionizes"] != []


def test_layouts_and_limits_are_checked(small_store: Store) -> None:
    with pytest.raises(InputError, match="layout must be one of"):
        small_store.catalog.matrix(targets=TARGETS, layout="tall")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="limit"):
        small_store.catalog.matrix(targets=TARGETS, limit=0)
