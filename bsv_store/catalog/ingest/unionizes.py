"""Ingest unionize rows. Only halves of an experiment's table that differ are written, each completely or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bsv_store.catalog.database.bulk import delete_rows, insert_arrays, insert_rows, table_of
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, Unionize, UnionizeCoverage
from bsv_store.catalog.ingest.checks import MAX_INT, check_structures, sha256_of
from bsv_store.catalog.ingest.hemisphere import lock_experiments, update_injected_hemispheres
from bsv_store.catalog.ingest.snapshot_log import IngestReport, record_snapshot
from bsv_store.catalog.records import UNIONIZE_COLUMNS, UNIONIZE_FIELDS, UnionizeTable
from bsv_store.catalog.unionize_seals import seal_unionizes
from bsv_store.errors import InputError, UnknownExperimentError
from bsv_store.text import listed, number_of
from bsv_store.vocabulary import UNIONIZE_PARTS, UnionizePart

_KEY = ("experiment_id", "structure_id", "hemisphere_id", "is_injection")
_COORDINATES = ("max_voxel_x", "max_voxel_y", "max_voxel_z")
# The layout of rows for hashing. It must never change, since the hashes are stored.
_HASHED = np.dtype([(column, f"<{code}" if code != "?" else code) for _, column, code in UNIONIZE_FIELDS])

_Half = tuple[int, UnionizePart]


@dataclass(frozen=True, slots=True)
class _Content:
    """One half of an experiment's table: the number of rows and their hash."""

    row_count: int
    sha256: str


def ingest_unionizes(
    database: Database,
    table: UnionizeTable,
    *,
    source: str,
    kind: str,
    fence: Callable[[Connection], Collection[int]] | None = None,
) -> IngestReport:
    """Ingest the unionize rows of one or more experiments, and report what they changed.

    For each experiment in the table, the halves in ``table.parts`` replace those in the store if they differ, all in
    one transaction; other halves stay unchanged. Memory is about three times that of the rows, so pass a bounded
    number of experiments.

    Parameters
    ----------
    source : str
        URL, file or folder name.
    kind : str
        Kind of source: ``api`` or ``file``.
    fence : callable, optional
        Called at the start of the writing transaction; returns the experiments that may be written. The others stay
        unchanged. By default all may be written.

    Raises
    ------
    UnknownExperimentError
        If an experiment is not in the catalog. Nothing is written then.
    InputError
        If a structure is not in the store's ontology, or the table is not valid. Nothing is written then.
    """
    _check(table, source)
    halves = _contents(table)
    structure_ids = {int(value) for value in np.unique(table.columns["structure_id"])}
    experiment_ids = table.experiment_ids
    with database.reading() as connection:
        _check_experiments(connection, experiment_ids, source)
        check_structures(connection, structure_ids, source)
        stored = _coverage(connection, experiment_ids)
    if all(stored.get(half) == content for half, content in halves.items()):
        return IngestReport("unionizes", kind, None, len(table), 0, 0, len(experiment_ids), 0)
    with database.writing() as connection:
        allowed = set(experiment_ids) if fence is None else set(fence(connection))
        lock_experiments(connection, experiment_ids)
        # Re-read under the lock.
        stored = _coverage(connection, experiment_ids)
        changed = {
            half: content for half, content in halves.items() if half[0] in allowed and stored.get(half) != content
        }
        outcome = _outcome(experiment_ids, stored, changed)
        snapshot_id = None
        if changed:
            snapshot_id = record_snapshot(
                connection,
                "unionizes",
                kind,
                source,
                sha256_of("".join(f"{key} {part} {halves[key, part].sha256}\n" for key, part in sorted(halves))),
                rows=len(table),
                added=outcome["added"],
                changed=outcome["changed"],
            )
            _write(connection, table, changed, stored, snapshot_id)
    return IngestReport(
        "unionizes", kind, snapshot_id, len(table), outcome["added"], outcome["changed"], outcome["unchanged"], 0
    )


def _check(table: UnionizeTable, source: str) -> None:
    missing = set(UNIONIZE_COLUMNS) - set(table.columns)
    if missing or not table.parts or not table.parts <= set(UNIONIZE_PARTS):
        raise InputError(f"{source} is not a unionize table: missing are {', '.join(sorted(missing)) or 'its parts'}")
    for _, column, code in UNIONIZE_FIELDS:
        values = table.columns[column]
        if values.dtype != np.dtype(code) or values.shape != (len(table),):
            raise InputError(f"{source}: the column {column} does not have the type {np.dtype(code)}")
        if code == "f8" and not np.isfinite(values).all():
            raise InputError(f"{source}: {column} has values that are not finite numbers")
        if column in _COORDINATES and ((values < -MAX_INT) | (values > MAX_INT)).any():
            raise InputError(f"{source}: {column} has values that are not coordinates")
    if not np.isin(table.columns["hemisphere_id"], (1, 2, 3)).all():
        raise InputError(f"{source}: hemisphere_id is not always 1, 2 or 3")
    for row in UNIONIZE_PARTS.values():
        if row.name not in table.parts and (table.columns["is_injection"] == row.is_injection).any():
            raise InputError(f"{source} has {row.name} rows, but is not marked as complete for them")
    _check_keys(table, source)


def _check_keys(table: UnionizeTable, source: str) -> None:
    count = max(0, len(table) - 1)
    ascending, equal = np.zeros(count, dtype=bool), np.ones(count, dtype=bool)
    for name in _KEY:
        values = table.columns[name]
        ascending |= equal & (values[:-1] < values[1:])
        equal &= values[:-1] == values[1:]
    if not ascending.all():
        raise InputError(f"{source}: the rows are not sorted by {', '.join(_KEY)}, or a key occurs twice")


def _contents(table: UnionizeTable) -> dict[_Half, _Content]:
    rows = np.empty(len(table), _HASHED)
    for name in UNIONIZE_COLUMNS:
        values = table.columns[name]
        # -0.0 and 0.0 are equal, and must have the same hash.
        rows[name] = values + 0.0 if values.dtype.kind == "f" else values
    ids, starts = np.unique(table.columns["experiment_id"], return_index=True)
    contents: dict[_Half, _Content] = {}
    for experiment_id, start, stop in zip(ids.tolist(), starts, [*starts[1:], len(table)], strict=True):
        own = rows[start:stop]
        for part in sorted(table.parts):
            half = own[own["is_injection"] == UNIONIZE_PARTS[part].is_injection]
            contents[experiment_id, part] = _Content(len(half), hashlib.sha256(half.tobytes()).hexdigest())
    return contents


def _check_experiments(connection: Connection, experiment_ids: Collection[int], source: str) -> None:
    known = connection.execute(select(Experiment.id).where(id_in(connection, Experiment.id, experiment_ids)))
    unknown = set(experiment_ids) - set(known.scalars())
    if unknown:
        raise UnknownExperimentError(
            f"{source} has rows of {number_of(len(unknown), 'experiment')} that the catalog does not have: "
            f"{listed(sorted(unknown))}",
            hint="Ingest an experiment list first: `bsv-store sync experiments`.",
        )


def _coverage(connection: Connection, experiment_ids: Collection[int]) -> dict[_Half, _Content]:
    stored: dict[_Half, _Content] = {}
    columns = select(
        UnionizeCoverage.experiment_id,
        UnionizeCoverage.part,
        UnionizeCoverage.row_count,
        UnionizeCoverage.content_sha256,
    )
    for row in connection.execute(columns.where(id_in(connection, UnionizeCoverage.experiment_id, experiment_ids))):
        stored[row.experiment_id, row.part] = _Content(row.row_count, row.content_sha256)
    return stored


def _outcome(experiment_ids: Collection[int], stored: Collection[_Half], changed: Collection[_Half]) -> dict[str, int]:
    replaced = {experiment_id for experiment_id, part in changed if (experiment_id, part) in stored}
    added = {experiment_id for experiment_id, _ in changed} - replaced
    unchanged = len(experiment_ids) - len(added) - len(replaced)
    return {"added": len(added), "changed": len(replaced), "unchanged": unchanged}


def _write(
    connection: Connection,
    table: UnionizeTable,
    changed: Mapping[_Half, _Content],
    stored: Collection[_Half],
    snapshot_id: int,
) -> None:
    old = sorted(half for half in changed if half in stored)
    delete_rows(
        connection,
        table_of(Unionize),
        ("experiment_id", "is_injection"),
        [(key, UNIONIZE_PARTS[part].is_injection) for key, part in old],
    )
    delete_rows(connection, table_of(UnionizeCoverage), ("experiment_id", "part"), old)
    rows = _rows_of(table, changed)
    if connection.dialect.name == "sqlite":
        rows = _by_target(rows)
    insert_arrays(connection, table_of(Unionize), rows)
    insert_rows(
        connection,
        table_of(UnionizeCoverage),
        ("experiment_id", "part", "snapshot_id", "row_count", "content_sha256"),
        [(*half, snapshot_id, changed[half].row_count, changed[half].sha256) for half in sorted(changed)],
    )
    seal_unionizes(connection, table.columns, changed)
    injected = {key for key, part in changed if part == "injection"}
    update_injected_hemispheres(connection, injected)


def _by_target(rows: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The rows in the order of the index for target searches.

    Rows in key order, one experiment after the other, would be scattered over this index, which in a full catalog is
    larger than the cache. For the clustered table the order makes no difference: rows of an experiment are appended in
    one place. In Postgres they would be scattered over the heap.
    """
    keys = ("experiment_id", "hemisphere_id", "is_injection", "structure_id")
    order = np.lexsort([rows[name] for name in keys])
    return {name: values[order] for name, values in rows.items()}


def _rows_of(table: UnionizeTable, halves: Collection[_Half]) -> dict[str, NDArray[Any]]:
    wanted = np.zeros(len(table), dtype=bool)
    for row in UNIONIZE_PARTS.values():
        ids = [key for key, half in halves if half == row.name]
        wanted |= np.isin(table.columns["experiment_id"], ids) & (table.columns["is_injection"] == row.is_injection)
    everything = bool(wanted.all())
    return {name: table.columns[name] if everything else table.columns[name][wanted] for name in UNIONIZE_COLUMNS}
