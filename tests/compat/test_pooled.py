"""The pooled injection rows look like a dictionary of lists to everybody, whenever they are read."""

from __future__ import annotations

import copy
import json
import operator
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bsv_store import Store
from bsv_store.catalog.records import UNIONIZE_FIELDS
from bsv_store.compat.pooled import FIELDS, InjectionRows, injection_rows, injection_tables
from bsv_store.errors import StoreError
from tests.compat.golden import cases, wire_injection_rows

COLUMNS: dict[str, list[Any]] = {field: [place, 0.5] for place, field in enumerate(FIELDS)}


def rows() -> InjectionRows:
    return InjectionRows(lambda: copy.deepcopy(COLUMNS))


def _copied(rows: InjectionRows) -> dict[str, Any]:
    other: dict[str, Any] = {}
    other.update(rows)
    return other


def with_c(rows: InjectionRows) -> Any:
    return json.loads(json.dumps(rows))


WAYS: dict[str, Callable[[InjectionRows], Any]] = {
    "dict": dict,
    "unpacked": lambda rows: {**rows},
    "json": with_c,
    "pickle": lambda rows: pickle.loads(pickle.dumps(rows)),
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "own copy": lambda rows: rows.copy(),
    "items": lambda rows: dict(rows.items()),
    "keys and items": lambda rows: {key: rows[key] for key in rows},
    "get": lambda rows: {key: rows.get(key) for key in COLUMNS},
    "values": lambda rows: dict(zip(rows.keys(), rows.values(), strict=True)),
    "union": lambda rows: rows | {},
    "right union": lambda rows: {} | rows,
    "update of another": _copied,
    "popped": lambda rows: {key: rows.pop(key) for key in COLUMNS},
    "repr": lambda rows: eval(repr(rows)),
    "frame": lambda rows: pd.DataFrame(rows).to_dict("list"),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_looking_finds_the_values(way: str) -> None:
    assert WAYS[way](rows()) == COLUMNS


def test_rows_equal_the_dictionary_of_their_values() -> None:
    assert operator.eq(rows(), COLUMNS)
    assert operator.eq(COLUMNS, rows())
    assert not operator.ne(rows(), COLUMNS)


def test_length_and_fields_are_known_before_anything_is_read() -> None:
    unread = InjectionRows(lambda: pytest.fail("read too early"))
    assert len(unread) == len(COLUMNS)
    assert "projection_volume" in unread
    assert isinstance(unread, dict)


def test_what_a_script_changes_stays_changed() -> None:
    changed = rows()
    changed["projection_volume"] = [1.0]
    assert changed["projection_volume"] == [1.0]
    assert changed["experimentID"] == COLUMNS["experimentID"]


def test_rows_are_those_of_the_wire_in_call_order(filled: tuple[Store, Path], golden: Path) -> None:
    ids = list(reversed(cases(golden)["none"]["experiment_ids"]))
    store = filled[0]
    with store.database.reading() as connection:
        tables = injection_tables(connection, ids)
    pooled = injection_rows(store.path, ids, tables)
    assert pooled["experimentID"] == pooled["section_data_set_id"]
    assert list(dict.fromkeys(pooled["experimentID"])) == ids
    for experiment_id in ids:
        expected = wire_injection_rows(golden, experiment_id)
        own = [place for place, value in enumerate(pooled["experimentID"]) if value == experiment_id]
        found = [{field: pooled[field][place] for field, _, _ in UNIONIZE_FIELDS} for place in own]
        by_key = ("structure_id", "hemisphere_id")
        assert sorted(found, key=lambda row: [row[k] for k in by_key]) == sorted(
            expected, key=lambda row: [row[k] for k in by_key]
        )


def test_rows_that_were_replaced_after_the_call_are_refused(filled: tuple[Store, Path], golden: Path) -> None:
    ids = cases(golden)["none"]["experiment_ids"][:2]
    store = filled[0]
    with store.database.reading() as connection:
        tables = injection_tables(connection, ids)
    pooled = injection_rows(store.path, ids, {**tables, ids[0]: "another hash"})
    with pytest.raises(StoreError, match="replaced since the call"):
        pooled["projection_volume"]


def test_what_came_later_for_others_of_the_call_is_left_out(filled: tuple[Store, Path], golden: Path) -> None:
    ids = cases(golden)["none"]["experiment_ids"][:2]
    with filled[0].database.reading() as connection:
        tables = injection_tables(connection, ids)
    pooled = injection_rows(filled[0].path, ids, {ids[1]: tables[ids[1]]})
    assert set(pooled["experimentID"]) == {ids[1]}


def test_no_rows_give_empty_columns(filled: tuple[Store, Path]) -> None:
    assert injection_rows(filled[0].path, [], {}) == {field: [] for field in FIELDS}
