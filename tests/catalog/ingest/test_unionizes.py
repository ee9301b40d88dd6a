from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import select, update

from bsv_store.catalog.database.models import Experiment, Unionize
from bsv_store.catalog.ingest import (
    hemisphere as hemisphere_module,
)
from bsv_store.catalog.ingest import (
    ingest_experiments,
    ingest_unionizes,
    update_injected_hemispheres,
)
from bsv_store.catalog.ingest.hemisphere import experiments_with_wrong_sides, sides_in_tables
from bsv_store.catalog.records import (
    UNIONIZE_COLUMNS,
    UNIONIZE_FIELDS,
    ExperimentList,
    ExperimentRecord,
    UnionizeTable,
)
from bsv_store.errors import InputError, UnknownExperimentError
from bsv_store.formats.unionizes import read_unionizes
from bsv_store.vocabulary import UnionizePart
from tests.catalog.ingest.dump import dump, rows
from tests.databases import both_databases
from tests.stores import store_with

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.catalog.database.engine import Database

BOTH: frozenset[UnionizePart] = frozenset({"injection", "projection"})
INJECTION: frozenset[UnionizePart] = frozenset({"injection"})
PROJECTION: frozenset[UnionizePart] = frozenset({"projection"})
TABLES = ("unionize", "unionize_coverage", "source_snapshot", "experiment")

Key = tuple[int, int, int, bool]


def a_table(values: dict[Key, float], parts: frozenset[UnionizePart] = BOTH) -> UnionizeTable:
    """A table with these projection volumes by key; the other numbers follow from the key."""
    keys = sorted(values)
    columns: dict[str, Any] = {}
    for number, (_, column, code) in enumerate(UNIONIZE_FIELDS):
        if number < 4:
            columns[column] = np.array([key[number] for key in keys], dtype=code)
        else:
            columns[column] = np.array([number + 10 * key[1] + key[2] for key in keys], dtype=code)
    columns["projection_volume"] = np.array([values[key] for key in keys])
    return UnionizeTable(columns, parts)


def with_column(table: UnionizeTable, name: str, values: Any) -> UnionizeTable:
    return replace(table, columns={**table.columns, name: values})


def stored(database: Database) -> dict[Key, float]:
    found = rows(
        database, "SELECT experiment_id, structure_id, hemisphere_id, is_injection, projection_volume FROM unionize"
    )
    return {tuple(row.values())[:4]: row["projection_volume"] for row in found}


def hemisphere(database: Database, experiment_id: int = 1) -> tuple[Any, ...]:
    (row,) = rows(
        database,
        "SELECT injected_hemisphere, hemisphere_source, injection_volume_left, injection_volume_right"
        f" FROM experiment WHERE id = {experiment_id}",
    )
    return tuple(row.values())


@pytest.fixture
def atlas(small_atlas: Database) -> Database:
    """Experiments 1 (coordinate left), 2 (right) and 3 (unknown)."""
    records = [
        ExperimentRecord(key, 10, "A10", injection_ap=1, injection_dv=2, injection_ml=ml)
        for key, ml in ((1, 5000), (2, 6000))
    ]
    records.append(ExperimentRecord(3, 10, "A10"))
    ingest_experiments(small_atlas, ExperimentList("api", tuple(records), 3), source="list")
    return small_atlas


WHOLE: dict[Key, float] = {
    (1, 997, 1, True): 0.25,
    (1, 997, 2, True): 0.5,
    (1, 997, 3, True): 0.75,
    (1, 997, 1, False): 2.0,
    (1, 997, 3, False): 2.0,
}


# -- what is stored -----------------------------------------------------------------------------------------------


def test_every_number_is_stored_as_it_is(atlas: Database) -> None:
    generator = np.random.default_rng(1)
    table = a_table({(e, s, h, i): 0.0 for e in (1, 2) for s in (8, 997) for h in (1, 2, 3) for i in (False, True)})
    columns: dict[str, Any] = dict(table.columns)
    for number, (_, column, code) in enumerate(UNIONIZE_FIELDS):
        if number > 3:
            numbers = generator.standard_normal(len(table)) * 1e7 ** (number % 3)
            columns[column] = numbers if code == "f8" else generator.integers(0, 13_200, len(table))
    columns["id"] = columns["id"] + 2**40
    columns["sum_pixel_intensity"][0] = 2.6e14 + 1 / 32
    table = UnionizeTable(columns, BOTH)

    report = ingest_unionizes(atlas, table, source="x", kind="api")

    assert (report.rows, report.added, report.changed, report.unchanged) == (24, 2, 0, 0)
    with atlas.reading() as connection:
        order = (Unionize.experiment_id, Unionize.structure_id, Unionize.hemisphere_id, Unionize.is_injection)
        query = select(*(getattr(Unionize, name) for name in UNIONIZE_COLUMNS)).order_by(*order)
        found = [tuple(row) for row in connection.execute(query)]
    assert found == list(zip(*(columns[name].tolist() for name in UNIONIZE_COLUMNS), strict=True))


def test_again_changes_nothing(atlas: Database) -> None:
    ingest_unionizes(atlas, a_table(WHOLE), source="x", kind="file")
    before = dump(atlas, *TABLES)

    report = ingest_unionizes(atlas, a_table(WHOLE), source="y", kind="api")

    assert (report.snapshot_id, report.added, report.changed, report.unchanged) == (None, 0, 0, 1)
    assert dump(atlas, *TABLES) == before


def test_minus_zero_is_not_a_change(atlas: Database) -> None:
    ingest_unionizes(atlas, a_table({(1, 997, 1, False): 0.0}), source="x", kind="file")
    assert ingest_unionizes(atlas, a_table({(1, 997, 1, False): -0.0}), source="x", kind="file").unchanged == 1


def test_only_the_experiment_that_differs_is_replaced(store: Store, atlas: Database) -> None:
    both = WHOLE | {(2, *key[1:]): value for key, value in WHOLE.items()}
    first = ingest_unionizes(atlas, a_table(both), source="first", kind="file")
    changed = both | {(2, 997, 1, False): 3.0}
    del changed[2, 997, 3, False]

    report = ingest_unionizes(atlas, a_table(changed), source="second", kind="file", replace=True)

    assert (report.added, report.changed, report.unchanged) == (0, 1, 1)
    assert stored(atlas) == changed
    coverage = rows(atlas, "SELECT experiment_id, part, snapshot_id, row_count FROM unionize_coverage ORDER BY 1, 2")
    assert [tuple(row.values()) for row in coverage] == [
        (1, "injection", first.snapshot_id, 3),
        (1, "projection", first.snapshot_id, 2),
        (2, "injection", first.snapshot_id, 3),
        (2, "projection", report.snapshot_id, 1),
    ]
    kept = [one for one in store.catalog.snapshots() if one.what == "unionizes"]
    assert [(one.source, one.rows, one.added, one.changed) for one in kept] == [
        ("first", 10, 2, 0),
        ("second", 9, 0, 1),
    ]


def test_one_half_leaves_the_other_as_it_is(atlas: Database) -> None:
    ingest_unionizes(atlas, a_table(WHOLE), source="x", kind="file")
    injection: dict[Key, float] = {(1, 997, 1, True): 0.9}

    report = ingest_unionizes(atlas, a_table(injection, INJECTION), source="summary", kind="file", replace=True)

    assert (report.added, report.changed) == (0, 1)
    assert stored(atlas) == injection | {key: value for key, value in WHOLE.items() if not key[3]}
    assert hemisphere(atlas) == ("left", "unionize", 0.9, 0.0)


def test_halves_come_one_after_the_other(atlas: Database) -> None:
    for parts, is_injection in ((INJECTION, True), (PROJECTION, False)):
        half = {key: value for key, value in WHOLE.items() if key[3] is is_injection}
        report = ingest_unionizes(atlas, a_table(half, parts), source="x", kind="file")
        assert (report.added, report.changed) == (1, 0)
        assert hemisphere(atlas) == ("right", "unionize", 0.25, 0.5)
    assert stored(atlas) == WHOLE
    assert ingest_unionizes(atlas, a_table(WHOLE), source="whole", kind="file").snapshot_id is None


def test_empty_half_is_known_to_be_empty(atlas: Database) -> None:
    ingest_unionizes(atlas, a_table({(1, 997, 1, False): 1.0}), source="x", kind="file")
    found = rows(atlas, "SELECT part, row_count FROM unionize_coverage ORDER BY part")
    assert [tuple(row.values()) for row in found] == [("injection", 0), ("projection", 1)]
    assert hemisphere(atlas) == ("left", "coordinate", 0.0, 0.0)


def _fill_real_tables(store: Store, data: Path) -> None:
    """Ingest the real ontology, the list of 2019 and the forty real tables."""
    store.ingest_structures(data / "allensdk_cache" / "structures.json")
    store.ingest_experiments(data / "allensdk_cache" / "experiments.json")
    for path, frame in _frames(data).items():
        report = ingest_unionizes(store.database, _read(path), source=path.name, kind="file")
        assert (report.added, report.rows) == (1, len(frame))


real_tables = store_with(_fill_real_tables, "data")


def test_real_tables_are_stored_whole(real_tables: Store, data: Path) -> None:
    real_atlas, frames = real_tables.database, _frames(data)
    counts = {row["experiment_id"]: row["n"] for row in rows(
        real_atlas, "SELECT experiment_id, count(*) AS n FROM unionize GROUP BY 1")}  # fmt: skip
    assert counts == {int(frame["experiment_id"].iloc[0]): len(frame) for frame in frames.values()}
    assert sum(counts.values()) == 103_418
    sums = rows(real_atlas, "SELECT sum(sum_pixel_intensity) AS a, sum(max_voxel_x) AS b, sum(id) AS c FROM unionize")
    assert sums[0]["a"] == pytest.approx(
        sum(frame["sum_pixel_intensity"].sum() for frame in frames.values()), rel=1e-12
    )
    assert sums[0]["b"] == sum(int(frame["max_voxel_x"].sum()) for frame in frames.values())
    assert sums[0]["c"] == sum(int(frame["id"].sum()) for frame in frames.values())


# -- the injected hemisphere --------------------------------------------------------------------------------------


def test_hemisphere_of_the_real_tables(real_tables: Store, real_lists: dict[str, ExperimentList], data: Path) -> None:
    real_atlas = real_tables.database
    ml = {record.id: record.injection_ml or 0 for record in real_lists["2019-02"].experiments}

    expected = {}
    disagreeing, bilateral = 0, 0
    for frame in _frames(data).values():
        experiment_id = int(frame["experiment_id"].iloc[0])
        root = frame[(frame["structure_id"] == 997) & frame["is_injection"]].set_index("hemisphere_id")
        left, right = (float(root["projection_volume"].get(side, 0.0)) for side in (1, 2))
        side = "left" if left > right else "right"
        expected[experiment_id] = (side, "unionize", left, right)
        disagreeing += side != ("left" if ml[experiment_id] < 5700 else "right")
        bilateral += min(left, right) >= 0.01 * (left + right)

    assert {key: hemisphere(real_atlas, key) for key in expected} == expected
    assert (len(expected), disagreeing, bilateral) == (40, DISAGREEING, BILATERAL)
    (found,) = rows(real_atlas, "SELECT count(*) AS n FROM experiments WHERE bilateral")
    assert found["n"] == bilateral


# Of the forty tables; 158314987 and 175106053 are both.
DISAGREEING, BILATERAL = 2, 2


@pytest.mark.parametrize(
    ("experiment_id", "left", "right", "expected"),
    [
        (1, 0.2, 0.3, ("right", "unionize", 0.2, 0.3)),
        (2, 0.3, 0.2, ("left", "unionize", 0.3, 0.2)),
        (1, None, 0.3, ("right", "unionize", 0.0, 0.3)),
        (2, 0.3, None, ("left", "unionize", 0.3, 0.0)),
        (1, 0.3, 0.3, ("left", "coordinate", 0.3, 0.3)),
        (2, 0.0, 0.0, ("right", "coordinate", 0.0, 0.0)),
        (3, 0.3, 0.3, (None, None, 0.3, 0.3)),
        (3, 0.3, 0.1, ("left", "unionize", 0.3, 0.1)),
    ],
)
def test_hemisphere_is_the_larger_side_and_else_that_of_the_coordinate(
    atlas: Database, experiment_id: int, left: float | None, right: float | None, expected: tuple[Any, ...]
) -> None:
    values: dict[Key, float] = {(experiment_id, 997, 3, True): 9.0, (experiment_id, 8, 1, True): 99.0}
    # Rows outside the injection do not count.
    values |= {(experiment_id, 997, 1, False): 50.0, (experiment_id, 997, 2, False): 60.0}
    values |= {
        (experiment_id, 997, side, True): volume for side, volume in ((1, left), (2, right)) if volume is not None
    }
    ingest_unionizes(atlas, a_table(values), source="x", kind="file")
    assert hemisphere(atlas, experiment_id) == expected


def test_projection_rows_alone_tell_no_hemisphere(atlas: Database) -> None:
    ingest_unionizes(atlas, a_table({(1, 997, 2, False): 5.0}, PROJECTION), source="x", kind="file")
    with atlas.writing() as connection:
        assert update_injected_hemispheres(connection) == 0
    assert hemisphere(atlas, 1) == ("left", "coordinate", None, None)
    assert hemisphere(atlas, 3) == (None, None, None, None)


def test_changed_list_keeps_the_hemisphere_of_the_rows(atlas: Database) -> None:
    ingest_unionizes(atlas, a_table(WHOLE), source="x", kind="file")
    record = ExperimentRecord(1, 10, "A10", injection_ml=100, sex="F")
    ingest_experiments(atlas, ExperimentList("api", (record,), 1), source="newer", allow_shrinking=True)
    assert hemisphere(atlas) == ("right", "unionize", 0.25, 0.5)


def test_hemispheres_of_all_experiments_are_corrected(atlas: Database) -> None:
    ingest_unionizes(atlas, a_table(WHOLE), source="x", kind="file")
    before = dump(atlas, "experiment")
    with atlas.writing() as connection:
        assert update_injected_hemispheres(connection) == 0
        connection.exec_driver_sql("UPDATE experiment SET injected_hemisphere = NULL, injection_volume_left = 7")
        assert update_injected_hemispheres(connection, [2]) == 1
        assert update_injected_hemispheres(connection) == 2
        assert update_injected_hemispheres(connection, []) == 0
    assert dump(atlas, "experiment") == before


def test_experiments_with_wrong_sides_are_found(atlas: Database) -> None:
    ingest_unionizes(atlas, a_table(WHOLE), source="x", kind="file")
    with atlas.writing() as connection:
        assert experiments_with_wrong_sides(connection) == []
        connection.exec_driver_sql("UPDATE experiment SET injection_volume_right = 7 WHERE id IN (1, 3)")
        assert experiments_with_wrong_sides(connection) == [1, 3]
        assert experiments_with_wrong_sides(connection, [3, 2]) == [3]
        connection.exec_driver_sql("UPDATE experiment SET injected_hemisphere = 'left' WHERE id = 2")
        assert experiments_with_wrong_sides(connection, [3, 2, 1]) == [1, 2, 3]


def test_tables_that_are_not_in_the_store_may_tell_a_side_but_for_the_retina(
    atlas: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = {key: volume for key, volume in WHOLE.items() if not key[3]}
    ingest_unionizes(atlas, a_table(outside, PROJECTION), source="x", kind="file")
    with atlas.reading() as connection:
        assert sides_in_tables(connection, [3, 1]) == [1, 3]
    inside = {key: volume for key, volume in WHOLE.items() if key[3]}
    ingest_unionizes(atlas, a_table(inside, INJECTION), source="x", kind="file")
    with atlas.writing() as connection:
        assert sides_in_tables(connection, [3, 2, 1]) == [2, 3]
        connection.execute(update(Experiment).where(Experiment.id == 2).values(primary_structure_id=20))
        monkeypatch.setattr(hemisphere_module, "RETINA_STRUCTURE_ID", 20)
        assert sides_in_tables(connection, [3, 2, 1]) == [3]


# -- what is refused ----------------------------------------------------------------------------------------------


def test_unknown_experiments_are_named_before_anything_is_written(atlas: Database) -> None:
    table = a_table(WHOLE | {(77, 10, 1, False): 1.0, (2**62, 997, 1, False): 1.0})
    before = dump(atlas, *TABLES)
    with pytest.raises(UnknownExperimentError, match=f"77, {2**62}") as caught:
        ingest_unionizes(atlas, table, source="x", kind="file")
    assert "experiment list" in str(caught.value.hint)
    assert dump(atlas, *TABLES) == before


def test_unknown_structures_are_named_before_anything_is_written(atlas: Database) -> None:
    before = dump(atlas, *TABLES)
    with pytest.raises(InputError, match="does not have: 12345"):
        ingest_unionizes(atlas, a_table(WHOLE | {(1, 12345, 1, False): 1.0}), source="x", kind="file")
    assert dump(atlas, *TABLES) == before


def _bad_tables() -> Iterable[Any]:
    good = a_table(WHOLE)
    yield pytest.param(UnionizeTable({k: v for k, v in good.columns.items() if k != "volume"}, BOTH), id="no volume")
    yield pytest.param(replace(good, parts=frozenset()), id="no parts")
    yield pytest.param(replace(good, parts=INJECTION), id="rows of another half")
    yield pytest.param(replace(good, columns={k: v[::-1] for k, v in good.columns.items()}), id="not sorted")
    doubled = {name: np.repeat(values, 2) for name, values in good.columns.items()}
    yield pytest.param(replace(good, columns=doubled), id="key twice")
    for value in (np.nan, np.inf, -np.inf):
        yield pytest.param(with_column(good, "volume", np.array([1.0, value, 1.0, 1.0, 1.0])), id=str(value))
    for value in (2**31, -(2**31) - 1, -(2**63)):
        yield pytest.param(with_column(good, "max_voxel_x", np.full(5, value)), id=f"coordinate {value}")
    yield pytest.param(with_column(good, "hemisphere_id", np.array([1, 3, 1, 2, 4])), id="hemisphere 4")
    yield pytest.param(with_column(good, "volume", np.zeros(4)), id="short column")
    yield pytest.param(with_column(good, "volume", np.zeros(5, dtype="f4")), id="single precision")


@pytest.mark.parametrize("table", list(_bad_tables()))
def test_bad_tables_are_refused(atlas: Database, table: UnionizeTable) -> None:
    with pytest.raises(InputError):
        ingest_unionizes(atlas, table, source="x", kind="file")
    assert stored(atlas) == {}


@both_databases
@pytest.mark.parametrize("point", ["delete_rows", "insert_arrays", "insert_rows", "update_injected_hemispheres"])
def test_cut_short_leaves_what_was_there(atlas: Database, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    ingest_unionizes(atlas, a_table(WHOLE), source="x", kind="file")
    before = dump(atlas, *TABLES)
    changed = a_table({key: value * 2 for key, value in WHOLE.items()})

    def fail(*_: object, **__: object) -> int:
        raise RuntimeError("cut short")

    with monkeypatch.context() as patched:
        patched.setattr(f"bsv_store.catalog.ingest.unionizes.{point}", fail)
        with pytest.raises(RuntimeError, match="cut short"):
            ingest_unionizes(atlas, changed, source="y", kind="file", replace=True)
    assert dump(atlas, *TABLES) == before

    assert ingest_unionizes(atlas, changed, source="y", kind="file", replace=True).changed == 1


@both_databases
def test_writers_of_the_same_rows_do_not_disturb_each_other(atlas: Database) -> None:
    tables = [a_table({(e, *key[1:]): value + n for e in (1, 2) for key, value in WHOLE.items()}) for n in range(8)]
    outcomes: Counter[str] = Counter()
    start = threading.Barrier(len(tables))

    def work(table: UnionizeTable) -> None:
        start.wait()
        try:
            ingest_unionizes(atlas, table, source="x", kind="file", replace=True)
            outcomes["done"] += 1
        except Exception as error:  # noqa: BLE001
            outcomes[repr(error)] += 1

    threads = [threading.Thread(target=work, args=(table,)) for table in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == {"done": 8}
    found = stored(atlas)
    assert any(found == dict(_values(table)) for table in tables)
    assert hemisphere(atlas)[2:] == (found[1, 997, 1, True], found[1, 997, 2, True])


def _values(table: UnionizeTable) -> Iterable[tuple[Key, float]]:
    keys = zip(*(table.columns[name].tolist() for name in UNIONIZE_COLUMNS[:4]), strict=True)
    return zip(keys, table.columns["projection_volume"].tolist(), strict=True)


@lru_cache(maxsize=64)
def _read(path: Path) -> UnionizeTable:
    return read_unionizes(path.read_bytes(), what=path.name)


@lru_cache(maxsize=1)
def _frames(data: Path) -> dict[Path, Any]:
    import pandas as pd

    paths = sorted((data / "allensdk_cache").glob("*/structure_unionizes.csv"))
    return {path: _typed(pd.read_csv(path, dtype=str)) for path in paths}


def _typed(frame: Any) -> Any:
    # Python's own float(), since pandas' parser is not exact in all versions.
    for name in frame.columns:
        values = frame[name]
        frame[name] = values == "True" if name == "is_injection" else [float(value) for value in values]
    return frame
