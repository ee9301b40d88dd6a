"""Ingest unionize rows. Only halves of a table that differ are written, each completely or not at all.

Incomplete tables are refused, and so are tables that may be older than the stored ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bsv_store.catalog.database.bulk import delete_rows, insert_arrays, insert_rows, table_of
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import (
    Experiment,
    SourceSnapshot,
    Unionize,
    UnionizeCoverage,
    UnionizeRevision,
)
from bsv_store.catalog.ingest.checks import MAX_INT, check_structures, sha256_of
from bsv_store.catalog.ingest.completeness import check_complete_tables, injected_structures, ontology_facts
from bsv_store.catalog.ingest.hemisphere import update_injected_hemispheres
from bsv_store.catalog.ingest.snapshot_log import IngestReport, record_snapshot
from bsv_store.catalog.locks import lock_experiments
from bsv_store.catalog.records import UNIONIZE_COLUMNS, UNIONIZE_FIELDS, UnionizeTable
from bsv_store.catalog.tables.frames import (
    differing_injection_volumes,
    injection_volumes,
    list_injection_volumes,
    same_injection_volume,
)
from bsv_store.catalog.unionize_arithmetic import notes_on_contradictions, root_injection_volumes
from bsv_store.catalog.unionize_seals import damaged_halves, seal_unionizes
from bsv_store.errors import DamagedCatalogError, InputError, UnknownExperimentError
from bsv_store.text import ids_option, listed, number_of
from bsv_store.vocabulary import UNIONIZE_PARTS, Action, UnionizePart

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


@dataclass(frozen=True, slots=True)
class _Stored:
    """A half in the store, and its origin."""

    content: _Content
    snapshot_id: int
    remark: str | None
    source: str
    upstream_date: date | None


def ingest_unionizes(
    database: Database,
    table: UnionizeTable,
    *,
    source: str,
    kind: str,
    upstream_date: date | None = None,
    replace: bool = False,
    fence: Callable[[Connection], Collection[int]] | None = None,
    action: Action | None = None,
) -> IngestReport:
    """Ingest the unionize rows of one or more experiments, and report what they changed.

    For each experiment in the table, the halves in ``table.parts`` that are new are stored, all in one transaction.
    A half that differs from the stored one replaces it if it is from the API, if both have a date and it is newer, or
    if ``replace`` is True; the hash, size and origin of the replaced one stay in the table ``unionize_revision``.
    One that is the same as the stored one is written again if the rows in the store have been damaged.
    Memory is about three times that of the rows, so pass a bounded number of experiments.

    Parameters
    ----------
    source : str
        URL, file or folder name.
    kind : str
        Kind of source: ``api`` or ``file``.
    upstream_date : datetime.date, optional
        Date of the content upstream.
    replace : bool
        Replace stored rows regardless of their date, and store rows whose injection volume differs from the list.
    fence : callable, optional
        Called at the start of the writing transaction; returns the experiments that may be written. The others stay
        unchanged. By default all may be written.
    action : Action, optional
        Recorded as the activity of this user, if anything changes.

    Raises
    ------
    UnknownExperimentError
        If an experiment is not in the catalog. Nothing is written then.
    IncompleteTableError
        If rows of an experiment are missing. Nothing is written then.
    InputError
        If a structure is not in the store's ontology, the table is not valid, its injection volume differs from the
        experiment list, or it would replace rows that may be newer. Nothing is written then.
    """
    _check(table, source)
    halves = _contents(table)
    structure_ids = {int(value) for value in np.unique(table.columns["structure_id"])}
    experiment_ids = table.experiment_ids
    with database.reading() as connection:
        _check_experiments(connection, experiment_ids, source)
        check_structures(connection, structure_ids, source)
        listed_volumes = list_injection_volumes(connection, experiment_ids)
        injected = injected_structures(connection, {key for key, volume in listed_volumes.items() if volume > 0})
        ontology = ontology_facts(connection)
        check_complete_tables(table, ontology, source, injected=injected)
        notes = notes_on_contradictions(table.columns, parents=ontology.parents)
        stored = _coverage(connection, experiment_ids)
        measured = root_injection_volumes(table.columns)
        stored_volumes = injection_volumes(connection, experiment_ids)
        new = {
            key: volume
            for key, volume in measured.items()
            if not _is_stored(stored, (key, "injection"), halves.get((key, "injection")))
        }
        remarks = _check_volumes(new, listed_volumes, stored_volumes, source, replace=replace)
        damaged = _damaged(connection, stored)
    if not damaged and all(_is_stored(stored, half, content) for half, content in halves.items()):
        outcome = {"added": 0, "changed": 0, "unchanged": len(experiment_ids)}
        return _report(database, table, kind, None, outcome, notes)
    with database.writing() as connection:
        allowed = set(experiment_ids) if fence is None else set(fence(connection))
        lock_experiments(connection, experiment_ids)
        # Re-read under the lock.
        stored = _coverage(connection, experiment_ids)
        ours = {half: content for half, content in halves.items() if half[0] in allowed}
        new_content = {half: content for half, content in ours.items() if not _is_stored(stored, half, content)}
        repaired = _damaged(connection, stored) & (ours.keys() - new_content.keys())
        if not replace and kind != "api":
            stored_volumes = injection_volumes(connection, experiment_ids)
            supported = {
                key: words
                for key, listed_volume in listed_volumes.items()
                if (words := _supported(measured.get(key), stored_volumes.get(key), listed_volume))
            }
            older = {half: stored[half] for half in new_content if half in stored}
            _refuse_older(older, upstream_date, source, supported)
        changed = new_content | {half: ours[half] for half in repaired}
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
                upstream_date=upstream_date,
                action=action,
            )
            _write_history(connection, {half: stored[half] for half in new_content if half in stored}, snapshot_id)
            _write(connection, table, changed, stored, snapshot_id, remarks)
    return _report(database, table, kind, snapshot_id, outcome, notes)


def _is_stored(stored: Mapping[_Half, _Stored], half: _Half, content: _Content | None) -> bool:
    return half in stored and stored[half].content == content


def _report(
    database: Database,
    table: UnionizeTable,
    kind: str,
    snapshot_id: int | None,
    outcome: Mapping[str, int],
    notes: tuple[str, ...],
) -> IngestReport:
    with database.reading() as connection:
        different = differing_injection_volumes(connection, table.experiment_ids)
    return IngestReport(
        "unionizes",
        kind,
        snapshot_id,
        len(table),
        outcome["added"],
        outcome["changed"],
        outcome["unchanged"],
        0,
        different_volumes=different,
        notes=notes,
    )


def _check_volumes(
    measured: Mapping[int, float],
    listed_volumes: Mapping[int, float],
    stored_volumes: Mapping[int, float],
    source: str,
    *,
    replace: bool,
) -> dict[int, str]:
    """Compare injection volumes with the experiment list; returns a remark for each overridden experiment.

    Raises
    ------
    InputError
        If one differs and ``replace`` is False.
    """
    remarks: dict[int, str] = {}
    for experiment_id, volume in measured.items():
        listed_volume = listed_volumes.get(experiment_id)
        if listed_volume is None or same_injection_volume(volume, listed_volume):
            continue
        remark = (
            f"the injection volume is {volume:.8g} mm3 in these rows, but {listed_volume:.8g} mm3 in the experiment "
            "list"
        )
        if not replace:
            raise InputError(
                f"{source}, experiment {experiment_id}: {remark}"
                f"{_supported(volume, stored_volumes.get(experiment_id), listed_volume)}",
                hint="One of them is outdated. Update the list (bsv-store sync experiments) or the table (bsv-store "
                f"sync unionizes --refresh {ids_option([experiment_id])}), or store the rows with replace=True.",
            )
        remarks[experiment_id] = remark
    return remarks


def _supported(new: float | None, stored: float | None, listed_volume: float) -> str:
    """Which of two tables agrees with the experiment list, if only one does; empty otherwise."""
    if new is None or stored is None:
        return ""
    new_agrees, stored_agrees = (same_injection_volume(volume, listed_volume) for volume in (new, stored))
    if new_agrees == stored_agrees:
        return ""
    one, other = ("the file", "the stored rows") if new_agrees else ("the stored rows", "the file")
    return f"; the injection volume of {one} agrees with the experiment list, that of {other} does not"


def _refuse_older(
    stored: Mapping[_Half, _Stored], upstream_date: date | None, source: str, supported: Mapping[int, str]
) -> None:
    """Refuse to replace rows unless the new ones are known to be newer.

    ``supported`` says by experiment which of the two agrees with the experiment list, where only one does.

    Raises
    ------
    InputError
    """
    for (experiment_id, part), old in sorted(stored.items()):
        if upstream_date is not None and old.upstream_date is not None and upstream_date > old.upstream_date:
            continue
        dated = f" of {old.upstream_date}" if old.upstream_date is not None else ""
        known = upstream_date is not None and old.upstream_date is not None
        raise InputError(
            f"{source}: the {part} rows of experiment {experiment_id} differ from those in the store, which are from "
            f"{old.source}{dated}; {'they are not newer' if known else 'it is not known which are newer'}"
            f"{supported.get(experiment_id, '')}",
            hint="Replace them with replace=True, or specify the date of the file with upstream_date.",
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


def _coverage(connection: Connection, experiment_ids: Collection[int]) -> dict[_Half, _Stored]:
    query = (
        select(
            UnionizeCoverage.experiment_id,
            UnionizeCoverage.part,
            UnionizeCoverage.row_count,
            UnionizeCoverage.content_sha256,
            UnionizeCoverage.snapshot_id,
            UnionizeCoverage.remark,
            SourceSnapshot.source,
            SourceSnapshot.upstream_date,
        )
        .join_from(UnionizeCoverage, SourceSnapshot, SourceSnapshot.id == UnionizeCoverage.snapshot_id)
        .where(id_in(connection, UnionizeCoverage.experiment_id, experiment_ids))
    )
    return {
        (row.experiment_id, row.part): _Stored(
            _Content(row.row_count, row.content_sha256), row.snapshot_id, row.remark, row.source, row.upstream_date
        )
        for row in connection.execute(query)
    }


def _damaged(connection: Connection, stored: Collection[_Half]) -> set[_Half]:
    """Those of the stored halves whose rows differ from their seal."""
    found: set[_Half] = set()
    for experiment_id in sorted({experiment_id for experiment_id, _ in stored}):
        try:
            found.update((experiment_id, part) for part in damaged_halves(connection, experiment_id))
        except DamagedCatalogError:
            # A value that its column cannot have; which half it is in is not known.
            found.update(half for half in stored if half[0] == experiment_id)
    return found & set(stored)


def _outcome(experiment_ids: Collection[int], stored: Collection[_Half], changed: Collection[_Half]) -> dict[str, int]:
    replaced = {experiment_id for experiment_id, part in changed if (experiment_id, part) in stored}
    added = {experiment_id for experiment_id, _ in changed} - replaced
    unchanged = len(experiment_ids) - len(added) - len(replaced)
    return {"added": len(added), "changed": len(replaced), "unchanged": unchanged}


def _write(
    connection: Connection,
    table: UnionizeTable,
    changed: Mapping[_Half, _Content],
    stored: Mapping[_Half, _Stored],
    snapshot_id: int,
    remarks: Mapping[int, str],
) -> None:
    old = {half: stored[half] for half in sorted(changed) if half in stored}
    delete_rows(
        connection,
        table_of(Unionize),
        ("experiment_id", "is_injection"),
        [(key, UNIONIZE_PARTS[part].is_injection) for key, part in old],
    )
    delete_rows(connection, table_of(UnionizeCoverage), ("experiment_id", "part"), list(old))
    rows = _rows_of(table, changed)
    if connection.dialect.name == "sqlite":
        rows = _by_target(rows)
    insert_arrays(connection, table_of(Unionize), rows)
    insert_rows(
        connection,
        table_of(UnionizeCoverage),
        ("experiment_id", "part", "snapshot_id", "row_count", "content_sha256", "remark"),
        [
            (
                *half,
                snapshot_id,
                changed[half].row_count,
                changed[half].sha256,
                _remark(half, changed[half], stored, remarks),
            )
            for half in sorted(changed)
        ],
    )
    seal_unionizes(connection, table.columns, changed)
    injected = {key for key, part in changed if part == "injection"}
    update_injected_hemispheres(connection, injected)


def _remark(half: _Half, content: _Content, stored: Mapping[_Half, _Stored], remarks: Mapping[int, str]) -> str | None:
    """What is overridden by storing a half; of the same rows as before, what was."""
    if _is_stored(stored, half, content):
        return stored[half].remark
    return remarks.get(half[0]) if half[1] == "injection" else None


def _write_history(connection: Connection, old: Mapping[_Half, _Stored], snapshot_id: int) -> None:
    """Record halves that are about to be replaced."""
    if not old:
        return
    volumes = injection_volumes(connection, {key for key, part in old if part == "injection"})
    insert_rows(
        connection,
        table_of(UnionizeRevision),
        (
            "experiment_id",
            "part",
            "snapshot_id",
            "replaced_by_id",
            "row_count",
            "content_sha256",
            "injection_volume",
            "remark",
        ),
        [
            (
                key,
                part,
                half.snapshot_id,
                snapshot_id,
                half.content.row_count,
                half.content.sha256,
                volumes.get(key) if part == "injection" else None,
                half.remark,
            )
            for (key, part), half in old.items()
        ],
    )


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
