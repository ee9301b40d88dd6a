"""The signal of many experiments in many structures as arrays, read by the fastest path of each database.

A missing row means 0 if Allen measures the structure and the store has all rows of the experiment outside the
injection site; otherwise it means NaN.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.hemispheres import hemisphere_ids
from bsv_store.catalog.injected_hemispheres import injected_hemispheres
from bsv_store.catalog.structures import (
    StructureRef,
    StructureRow,
    find_structures,
    not_measured,
    structure_set,
    unmeasured_structures,
)
from bsv_store.check import choice
from bsv_store.errors import InputError
from bsv_store.vocabulary import MEASURED_HEMISPHERES, MEASURES, SUMMARY_STRUCTURE_SET_ID, Measure, MeasuredHemisphere

_ROW = np.dtype([("experiment", "i8"), ("structure", "i8"), ("value", "f8")])
# The layout of such a row in COPY BINARY: the number of fields, then the length of each before its value.
_COPIED = np.dtype(
    [
        ("count", ">i2"),
        ("length_1", ">i4"),
        ("experiment", ">i8"),
        ("length_2", ">i4"),
        ("structure", ">i8"),
        ("length_3", ">i4"),
        ("value", ">f8"),
    ]
)
_COPY_HEADER_BYTES, _COPY_TRAILER_BYTES = 19, 2
# From this number of experiments on, the rows of all experiments are read in one pass over the index and filtered here.
_MANY = 200


@dataclass(frozen=True, slots=True)
class Signal:
    """A measure of the unionize rows outside the injection site.

    Attributes
    ----------
    experiment_ids : ndarray of int64, shape (n_experiments,)
        Ascending.
    structure_ids : ndarray of int64, shape (n_structures,)
        In the requested order.
    hemisphere : MeasuredHemisphere
    values : ndarray of float64, shape (n_experiments, n_structures)
        A row is NaN if the experiment's unionize rows are not in the store, or if the hemisphere is relative to an
        injected hemisphere that is not known.
    """

    experiment_ids: NDArray[np.int64]
    structure_ids: NDArray[np.int64]
    hemisphere: MeasuredHemisphere
    values: NDArray[np.float64]


def read_signal(
    connection: Connection,
    experiment_ids: Collection[int],
    rows: Sequence[StructureRow],
    *,
    measure: Measure,
    hemisphere: MeasuredHemisphere,
) -> Signal:
    """The signal of experiments in structures.

    Raises
    ------
    InputError
        If the measure or the hemisphere is not valid.
    """
    measured = choice("measure", measure, MEASURES).name
    side = choice("hemisphere", hemisphere, MEASURED_HEMISPHERES).name
    experiments = np.array(sorted(set(experiment_ids)), dtype=np.int64)
    structures = np.array([row.id for row in rows], dtype=np.int64)
    on_left, on_right = hemisphere_ids(side)
    values = _side(connection, experiments, structures, measured, on_left)
    if on_left != on_right:
        right = _side(connection, experiments, structures, measured, on_right)
        injected_left, injected_right = _injected(connection, experiments)
        values = np.where(injected_left[:, None], values, np.where(injected_right[:, None], right, np.nan))
    values[~_covered(connection, experiments)] = np.nan
    return Signal(experiments, structures, side, values)


def find_targets(
    connection: Connection, structures: StructureRef | Sequence[StructureRef] | None, structure_set_id: int | None
) -> tuple[StructureRow, ...]:
    """The structures, or the measured members of a set (by default the summary structures), in graph order.

    Raises
    ------
    UnknownStructureError
        If the ontology does not have a structure.
    InputError
        If both are given, the set does not exist, or Allen does not measure the signal in one of the structures.
    """
    if structures is None:
        rows = structure_set(connection, SUMMARY_STRUCTURE_SET_ID if structure_set_id is None else structure_set_id)
        unmeasured = set(unmeasured_structures(connection, rows))
        return tuple(row for row in rows if row not in unmeasured)
    if structure_set_id is not None:
        raise InputError("structures and structure_set cannot both be given", hint="Use only one of them.")
    rows = find_structures(connection, structures)
    if not rows:
        raise InputError(
            "structures must not be empty", hint="Name one or more, or leave it out for the summary structures."
        )
    absent = unmeasured_structures(connection, rows)
    if absent:
        raise not_measured(absent)
    return tuple(sorted(set(rows), key=lambda row: (row.graph_order, row.id)))


def _covered(connection: Connection, experiments: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.isin(experiments, np.array(connection.scalars(covered("projection")).all(), dtype=np.int64))


def _injected(connection: Connection, experiments: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    sides = injected_hemispheres(connection, experiments.tolist())
    known = [sides.get(identifier) for identifier in experiments.tolist()]
    return np.array([side == "left" for side in known], bool), np.array([side == "right" for side in known], bool)


def _side(
    connection: Connection,
    experiments: NDArray[np.int64],
    structures: NDArray[np.int64],
    measure: Measure,
    hemisphere_id: int,
) -> NDArray[np.float64]:
    values = np.zeros((len(experiments), len(structures)))
    if not values.size:
        return values
    # Only integers that were looked up and a name from a closed list: the text contains no user input.
    statement = (
        f"SELECT experiment_id, structure_id, {measure} FROM unionize"
        f" WHERE is_injection = FALSE AND hemisphere_id = {int(hemisphere_id)} AND {measure} <> 0"
        f" AND structure_id IN ({_listed(structures)})"
    )
    if len(experiments) < _MANY:
        statement += f" AND experiment_id IN ({_listed(experiments)})"
    rows = _fetched(connection, statement)
    columns = np.argsort(structures, kind="stable")
    ordered = structures[columns]
    at = np.minimum(np.searchsorted(experiments, rows["experiment"]), len(experiments) - 1)
    wanted = experiments[at] == rows["experiment"]
    values[at[wanted], columns[np.searchsorted(ordered, rows["structure"][wanted])]] = rows["value"][wanted]
    return values


def _listed(ids: NDArray[np.int64]) -> str:
    return ",".join(map(str, ids.tolist()))


def _fetched(connection: Connection, statement: str) -> NDArray[Any]:
    """The rows of a statement that selects two ids and a number, none of them null."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        # Row by row into the array, without an intermediate list of two million tuples.
        return np.fromiter(driver.execute(statement), dtype=_ROW)
    buffer = bytearray()
    with driver.cursor() as cursor, cursor.copy(f"COPY ({statement}) TO STDOUT (FORMAT BINARY)") as copy:
        for part in copy:
            buffer += part
    count = (len(buffer) - _COPY_HEADER_BYTES - _COPY_TRAILER_BYTES) // _COPIED.itemsize
    return np.frombuffer(buffer, dtype=_COPIED, count=count, offset=_COPY_HEADER_BYTES)
