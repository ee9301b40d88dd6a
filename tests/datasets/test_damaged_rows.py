"""A row that another program changed, deleted or added: inputs of averages are the same as before, or refused."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import tests.examples
from bsv_store import Selection, by_field, by_region, by_selection
from bsv_store.averaging.comparison.structure_comparison import StructureComparison
from bsv_store.averaging.inputs import gather_inputs
from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.records import UNIONIZE_FIELDS
from bsv_store.catalog.seals import DERIVED_COLUMNS
from bsv_store.errors import DamagedCatalogError
from tests.datasets.test_seals import RECIPE, fill_whole
from tests.datasets.world import MOP, SHAPE, VISP, add_volume
from tests.sealing import sealed_changes
from tests.stores import store_with

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store import Store

_TO_MOP = Selection(
    projecting_to="MOp",
    target_measure="normalized_projection_volume",
    target_threshold=0.3,
    target_hemisphere="contralateral",
)
_SIDES = by_selection({"a": Selection(injected_in="VISp"), "b": Selection(injected_in=["VISl", "VISpm", "MOp"])})
RECIPES = {
    "many criteria": RECIPE,
    "ids": Recipe(selection=Selection(ids=[1, 3, 4]), normalize="injection_volume"),
    "withdrawn and excluded": Recipe(
        selection=Selection(include_withdrawn=True, include_excluded=True, exclude_ids=[1]),
        hemisphere_rule="flip_to_right",
        missing="leave_out",
    ),
    "line": Recipe(selection=Selection(line="any-cre") | Selection(line="wild-type"), grouping=by_field("line")),
    "volume": Recipe(selection=Selection(min_injection_volume=0.12), normalize="injection_volume", missing="leave_out"),
    "one side": Recipe(selection=Selection(bilateral=False), missing="leave_out"),
    "difference": Recipe(selection=Selection(injected_in="VIS") - Selection(injected_hemisphere="left")),
    "place": Recipe(selection=Selection(near=(8000, 2000, 7000), radius_um=600)),
    "groups by selections": Recipe(
        selection=Selection(injected_in="grey"),
        grouping=by_selection({"a": _TO_MOP, "b": Selection(with_volume="data_mask") - _TO_MOP}),
        missing="leave_out",
    ),
    "weights": Recipe(
        selection=Selection(injected_in="VIS", min_injection_overlap=0.5),
        grouping=by_region(["VIS"]),
        weight_by="injection_overlap",
    ),
    "outside": Recipe(selection=Selection(max_injection_outside_primary=0.6)),
    "laterality": Recipe(selection=Selection(min_laterality_index=-0.5)),
    "tables": Recipe(selection=Selection(with_unionizes=False) | Selection(ids=[1])),
    "masks": Recipe(selection=Selection(ids=[1, 5]), weight_by_data_mask=True),
    "structures": Recipe(
        selection=Selection(injected_in="grey"),
        grouping=_SIDES,
        comparison=StructureComparison(targets=(MOP, VISP), hemisphere=("both", "ipsilateral")),
        missing="leave_out",
    ),
}
# The large and the decisive tables more often.
_TABLES = (
    *("exclusion", "experiment", "experiment_injection_structure", "experiment_line", "transgenic_line"),
    *("structure", "structure_ancestor", "structure_set", "structure_set_member"),
    *("unionize", "unionize", "unionize_coverage", "unionize_coverage", "unionize_seal", "seal", "volume", "volume"),
)


def fill_all(store: Store) -> None:
    """Also an exclusion, masks, injections that are partly elsewhere, and an experiment without a table."""
    fill_whole(store)
    for each in (1, 2, 5):
        add_volume(store, each, kind="data_mask", array=np.ones(SHAPE, np.float32))
    store.catalog.exclude([2], "tissue torn")
    names = [column for _, column, _ in UNIONIZE_FIELDS]
    with sealed_changes(store.database) as connection:
        for structure, share in (("e.primary_structure_id", 0.7), ("669", 0.8)):
            replaced = {"structure_id": structure, "projection_volume": f"{share} * u.projection_volume"}
            values = ", ".join(replaced.get(name, f"u.{name}") for name in names)
            connection.execute(
                text(
                    f"INSERT INTO unionize ({', '.join(names)}) SELECT {values} FROM unionize AS u JOIN experiment AS e"
                    " ON e.id = u.experiment_id WHERE u.structure_id = 997 AND u.is_injection AND e.id < 6"
                )
            )
        for table in ("unionize", "unionize_coverage"):
            connection.execute(text(f"DELETE FROM {table} WHERE experiment_id = 7"))
        unknown = ", ".join(f"{name} = NULL" for name in DERIVED_COLUMNS)
        connection.execute(text(f"UPDATE experiment SET {unknown} WHERE id = 7"))


filled = store_with(fill_all)


def inputs_of(connection: Connection, recipe: Recipe) -> tuple[object, ...] | None:
    """What an average is computed from; None if rows are damaged."""
    try:
        inputs = gather_inputs(connection, recipe)
    except DamagedCatalogError:
        return None
    values = None if inputs.table is None else inputs.table.values.tobytes()
    return inputs.fingerprint(), repr(inputs.members), repr(inputs.groups), repr(inputs.left_out), values


def other_value(draw: random.Random, old: Any) -> Any:
    """Another value of the same type, or at least another value."""
    if isinstance(old, int):
        return draw.choice([old ^ (1 << draw.randrange(10)), -old, old + 1, 1 - old, 997, MOP, VISP])
    if isinstance(old, float):
        return draw.choice([2 * old, old + 64, -old, 0.0, 0.01 * old])
    if isinstance(old, str | bytes) and old:
        values = bytearray(old.encode() if isinstance(old, str) else old)
        values[draw.randrange(len(values))] ^= 1 << draw.randrange(5)
        return values.decode() if isinstance(old, str) else bytes(values)
    return draw.choice([0, 1, 0.5, "left", "right"])


def damage(connection: Connection, draw: random.Random) -> str | None:
    """Change, delete or add a row; what was done, or None if the table does not allow it."""
    table = draw.choice(_TABLES)
    columns = connection.exec_driver_sql(f"PRAGMA table_info({table})").all()
    names, keys = [row[1] for row in columns], [row[1] for row in columns if row[5]]
    rows = connection.exec_driver_sql(f"SELECT {', '.join(names)} FROM {table}").all()
    if not rows:
        return None
    row = dict(zip(names, draw.choice(rows), strict=True))
    where, key = " AND ".join(f"{name} = ?" for name in keys), tuple(row[name] for name in keys)
    how, name = draw.choice(["change", "change", "exchange", "delete", "add"]), draw.choice(names)
    if how == "delete":
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE {where}", key)
        return f"{table}: deleted {row}"
    new = other_value(draw, row[name]) if how == "change" else draw.choice(rows)[names.index(name)]
    if how == "add":
        added = row | {name: new} | ({"experiment_id": draw.randint(1, 7)} if "experiment_id" in names else {})
        added |= {"id": draw.randint(8, 2000)} if "id" in keys else {}
        marks = ", ".join("?" * len(names))
        connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({marks})", tuple(added.values()))
        return f"{table}: added {added}"
    connection.exec_driver_sql(f"UPDATE {table} SET {name} = ? WHERE {where}", (new, *key))
    return f"{table}: {name} = {new!r} in {row}"


class _UndoneError(Exception):
    """Ends a transaction without a commit."""


# Postgres refuses most of these changes.
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_damaged_row_changes_no_inputs_without_an_error(filled: Store) -> None:
    with filled.database.reading() as connection:
        right = {name: inputs_of(connection, recipe) for name, recipe in RECIPES.items()}
    assert None not in right.values()
    draw, trials, refused = random.Random(5), 60 if tests.examples.FEW else 600, 0
    done = 0
    while done < trials:
        with contextlib.suppress(_UndoneError), filled.database.writing() as connection:
            # Not possible inside a transaction.
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                what = damage(connection, draw)
            except (DBAPIError, OverflowError, UnicodeDecodeError):
                # Two rows with one key, or a value that cannot be stored.
                what = None
            if what is not None:
                done += 1
                for name in draw.sample(sorted(RECIPES), 4 if tests.examples.FEW else len(RECIPES)):
                    found = inputs_of(connection, RECIPES[name])
                    refused += found is None
                    assert found in (None, right[name]), f"{what}: {name}"
            raise _UndoneError
    # Otherwise nothing has been changed.
    assert refused >= trials
    with filled.database.reading() as connection:
        assert {name: inputs_of(connection, recipe) for name, recipe in RECIPES.items()} == right
