"""The documentation of the views and tables, against the databases themselves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Boolean, DateTime, Double, Integer, String, inspect, select, text, update
from sqlalchemy.types import TypeEngine

from bsv_store import Selection, Store
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.tables.views import VIEWS, ColumnKind, schema_markdown, tables, view
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.catalog.small_catalog import fill

DESCRIBED = {**VIEWS, **tables()}

_TYPES: dict[ColumnKind, type[TypeEngine[Any]]] = {
    "integer": Integer,
    "float": Double,
    "text": String,
    "boolean": Boolean,
    "time": DateTime,
}


def test_every_view_is_described(small_catalog: Database) -> None:
    assert set(inspect(small_catalog.engine).get_view_names()) == set(VIEWS)


@pytest.mark.parametrize("name", DESCRIBED)
def test_columns_are_described_one_by_one_in_order(small_catalog: Database, name: str) -> None:
    columns = inspect(small_catalog.engine).get_columns(name)
    assert [column["name"] for column in columns] == [described.name for described in DESCRIBED[name].columns]


@pytest.mark.parametrize("name", DESCRIBED)
def test_kinds_are_those_of_the_database(small_catalog: Database, name: str) -> None:
    if small_catalog.is_sqlite:
        # It knows no types of computed columns: look at the values.
        _check_values(small_catalog, name)
        return
    for column, described in zip(inspect(small_catalog.engine).get_columns(name), DESCRIBED[name].columns, strict=True):
        assert isinstance(column["type"], _TYPES[described.kind]), (name, column)


def _check_values(database: Database, name: str) -> None:
    python = {"integer": int, "float": float, "text": str, "boolean": int, "time": str}
    with database.reading() as connection:
        rows = connection.exec_driver_sql(f'SELECT * FROM "{name}"').mappings().all()
    for described in DESCRIBED[name].columns:
        kinds = {type(row[described.name]) for row in rows} - {type(None)}
        assert kinds <= {python[described.kind]}, (name, described)


@pytest.fixture
def filled_from_the_api(store: Store, tmp_path: Path) -> Store:
    atlas = SyntheticAtlas(experiments=12)
    visp = Selection(injected_in="VISp")
    with SyntheticServer(atlas) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes(visp, api_url=server.url)
        store.fetch(visp, api_url=server.url)
    bundle = store.aggregate(visp, name="visual").export(tmp_path / "visual.bsv.zip")
    store.datasets.import_bundle(bundle, name="imported", trust=True)
    return store


@pytest.mark.parametrize("name", DESCRIBED)
def test_descriptions_say_something(name: str) -> None:
    assert DESCRIBED[name].description.endswith(".")
    for column in DESCRIBED[name].columns:
        assert len(column.description) > 2, (name, column)
        assert "|" not in column.description
        assert "\n" not in column.description


def test_markdown_has_every_column() -> None:
    text = schema_markdown()
    for described in DESCRIBED.values():
        section = text.split(f"### {described.name}\n", 1)[1].split("###", 1)[0]
        assert section.count("\n| ") == len(described.columns) + 1
        for column in described.columns:
            assert f"| {column.name} | {column.kind} |" in section


def test_views_serve_in_queries_with_their_types(small_catalog: Database) -> None:
    experiments = view("experiments")
    query = select(experiments.c.experiment_id, experiments.c.withdrawn, experiments.c.bilateral).order_by(
        experiments.c.experiment_id
    )
    with small_catalog.reading() as connection:
        rows = {
            row.experiment_id: row
            for row in connection.execute(query.where(experiments.c.experiment_id.in_([102, 301])))
        }
    assert rows[102].bilateral is True
    assert rows[102].withdrawn is False
    assert rows[301].bilateral is None
    assert rows[301].withdrawn is True


# Columns that have no value in the store below, which is filled from the API.
ABSENT_FROM_THE_API: set[tuple[str, str]] = set()


def test_no_column_of_a_view_is_always_empty(filled_from_the_api: Store) -> None:
    empty = set()
    with filled_from_the_api.database.reading() as connection:
        for described in VIEWS.values():
            for column in described.columns:
                query = text(f"SELECT count(*), count({column.name}) FROM {described.name}")
                rows, values = connection.execute(query).one()
                assert rows, described.name
                if not values:
                    empty.add((described.name, column.name))
    assert empty == ABSENT_FROM_THE_API


def test_each_view_states_its_source() -> None:
    for described in VIEWS.values():
        assert "Source: " in described.description, described.name
    # What no list has is derived.
    for name in ("injected_hemisphere", "injection_volume_left", "injection_volume_right", "projection_volume"):
        (column,) = (each for each in VIEWS["experiments"].columns if each.name == name)
        assert "unionize rows" in column.description or "source" in column.description, name


def test_projection_volumes_come_from_the_list_or_else_from_the_root(filled_from_the_api: Store) -> None:
    store = filled_from_the_api
    roots = store.sql(
        "SELECT experiment_id, projection_volume FROM projections WHERE structure_id = 997 AND hemisphere_id = 3"
    )
    expected = dict(zip(roots.experiment_id, roots.projection_volume, strict=True))
    experiments = store.experiments().set_index("experiment_id")["projection_volume"]
    assert set(experiments.dropna().index) == set(expected)
    assert len(expected) < len(experiments)
    assert experiments.dropna().to_dict() == expected
    first = next(iter(expected))
    with store.database.writing() as connection:
        connection.execute(update(Experiment).where(Experiment.id == first).values(projection_volume=7.5))
    assert store.experiments().set_index("experiment_id")["projection_volume"][first] == 7.5


def test_derived_projection_volumes_are_those_of_the_real_list(atlas_psu: Store, data: Path) -> None:
    """The list of this store has none; the column `sum` of the CSV export has."""
    with (data / "allenAtlasProjection_info.csv").open(encoding="utf-8", newline="") as file:
        listed = {int(row["id"]): float(row["sum"]) for row in csv.DictReader(file)}
    frame = atlas_psu.sql(
        "SELECT experiment_id, projection_volume FROM experiments WHERE projection_volume IS NOT NULL"
    )
    derived = dict(zip(frame.experiment_id, frame.projection_volume, strict=True))
    assert len(derived) == 40
    both = sorted(derived.keys() & listed.keys())
    assert len(both) > 30
    np.testing.assert_allclose([derived[each] for each in both], [listed[each] for each in both], rtol=1e-9)


def test_postgres_shows_the_descriptions_as_comments(postgres_store: Store) -> None:
    with postgres_store.database.reading() as connection:
        for described in VIEWS.values():
            inspected = inspect(connection)
            assert inspected.get_table_comment(described.name)["text"] == described.description
            comments = {column["name"]: column["comment"] for column in inspected.get_columns(described.name)}
            assert comments == {column.name: column.description for column in described.columns}


def test_the_id_of_an_experiment_is_renamed_down_and_up(store: Store) -> None:
    def columns() -> list[str]:
        with store.database.reading() as connection:
            return [column["name"] for column in inspect(connection).get_columns("experiments")]

    with store.database.writing() as connection:
        fill(connection)
    before = store.experiments()
    schema.downgrade(store.database, "0005")
    assert columns()[0] == "id"
    schema.upgrade(store.database)
    assert columns()[0] == "experiment_id"
    pd.testing.assert_frame_equal(store.experiments(), before)


def test_an_upgrade_corrects_what_is_not_known_of_injections(store: Store) -> None:
    with store.database.writing() as connection:
        fill(connection)
    before = store.experiments()
    schema.downgrade(store.database, "0006")
    with store.database.writing() as connection:
        side = "UPDATE experiment SET hemisphere_source = 'coordinate', injected_hemisphere"
        connection.exec_driver_sql(f"{side} = 'right' WHERE id = 109")
        connection.exec_driver_sql(
            f"{side} = 'right', injection_ap = 0, injection_dv = 0, injection_ml = 0 WHERE id = 104"
        )
    schema.upgrade(store.database)
    pd.testing.assert_frame_equal(store.experiments(), before)


def test_criteria_of_saved_selections_are_renamed_down_and_up(store: Store) -> None:
    def texts() -> list[str]:
        with store.database.reading() as connection:
            return list(connection.scalars(text("SELECT selection FROM named_selection ORDER BY id")))

    with store.database.writing() as connection:
        fill(connection)
    near = Selection(near=(8000, 1500, 8500), radius_um=500, injected_hemisphere="left")
    target = Selection(projecting_to="CP", target_measure="volume", target_threshold=0.5, target_hemisphere="left")
    store.catalog.save_selection("one", near - (target | Selection(ids=[101])))
    before = texts()
    schema.downgrade(store.database, "0005")
    assert json.loads(texts()[0]) == {
        "version": 1,
        "minus": [
            {"hemisphere": "left", "near": [8000.0, 1500.0, 8500.0], "radius": 500.0},
            {"ids": [101]},
            {"measure": "volume", "projecting_to": ["CP"], "target_hemisphere": "left", "threshold": 0.5},
        ],
    }
    schema.upgrade(store.database)
    assert texts() == before
    assert store.catalog.selection("one") == near - (target | Selection(ids=[101]))
