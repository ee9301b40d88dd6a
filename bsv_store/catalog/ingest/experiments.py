"""Ingest experiment lists: all snapshots are kept, and the current experiments are derived from all of them."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from typing import Literal, TypedDict

from sqlalchemy import Connection, bindparam, insert, select, update

from bsv_store.catalog import seals
from bsv_store.catalog.database.bulk import delete_rows, replace_rows, table_of, upsert_rows
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Experiment, ExperimentInjectionStructure, ExperimentLine, TransgenicLine
from bsv_store.catalog.ingest.checks import check_fields, check_structures, check_text
from bsv_store.catalog.ingest.current import (
    ROW_COLUMNS,
    CurrentState,
    History,
    current_state,
    sex_of,
)
from bsv_store.catalog.ingest.hemisphere import update_injected_hemispheres
from bsv_store.catalog.ingest.revisions import (
    check_snapshots,
    content_sha256,
    payloads_of,
    read_history,
    write_revisions,
)
from bsv_store.catalog.ingest.snapshot_log import (
    IngestReport,
    find_same,
    newer_upstream_date,
    record_snapshot,
    wait_for_turn,
)
from bsv_store.catalog.locks import lock_experiments
from bsv_store.catalog.ranks import rank_of
from bsv_store.catalog.records import ExperimentList, ExperimentRecord, LineRecord
from bsv_store.catalog.tables.frames import differing_injection_volumes
from bsv_store.check import boolean
from bsv_store.errors import IncompleteListError, InputError
from bsv_store.text import folded, number_of
from bsv_store.vocabulary import EXPERIMENT_SOURCE_KINDS, Action

_STRUCTURE_COLUMNS = ("experiment_id", "structure_id")
_LINE_COLUMNS = ("experiment_id", "transgenic_line_id")
_DETAILS = ("allen_id", "type_name", "description", "stock_number")

PLAUSIBLE_LOSS = 10
"""The number of experiments of the newest list of its kind that may be missing from a list; a tenth for short lists.

Allen's list lost 3 of 2,995 experiments from 2019 to 2020, so a list that lost many more is probably a search result or
otherwise incomplete.
"""
PLAUSIBLE_SIZE = 2_000
"""Minimum size of the first list of a store: Allen's lists of 2016 to 2020 have 2,279 to 2,995 experiments."""


def ingest_experiments(
    database: Database,
    experiments: ExperimentList,
    *,
    source: str,
    allow_shrinking: bool = False,
    may_be_part: bool = False,
    action: Action | None = None,
) -> IngestReport:
    """Ingest a complete experiment list, and report what it changed in the current experiments.

    The current state does not depend on the order in which lists of different upstream dates are ingested; see
    ``bsv_store.catalog.ingest.current``. A list that the store has, of the same kind and date, changes nothing.

    Parameters
    ----------
    source : str
        URL or file name.
    allow_shrinking : bool
        Accept a list that seems to be incomplete, because more than `PLAUSIBLE_LOSS` experiments of the newest list of
        its kind are missing; they are marked as withdrawn.
    may_be_part : bool
        Whether the source of the list may be incomplete. If so, a list with fewer than `PLAUSIBLE_SIZE` experiments is
        also refused if the store has no list to compare it with.
    action : Action, optional
        Recorded as the activity of this user, if anything changes.

    Raises
    ------
    IncompleteListError
        If the list seems to be incomplete, unless ``allow_shrinking``. Nothing is written then.
    InputError
        If a structure is not in the store's ontology, or a value cannot be stored. Nothing is written then.
    """
    boolean("allow_shrinking", allow_shrinking)
    check_experiments(experiments, source)
    payloads = payloads_of(experiments.experiments)
    content = content_sha256(payloads)
    with database.reading() as connection:
        if _is_known(connection, experiments, content):
            return _nothing_new(connection, experiments)
        # Not in the transaction that writes: on Postgres, it sees what others commit between its statements, and
        # tables of unionize rows, which do not wait for their turn, have snapshots too.
        check_snapshots(connection)
    with database.writing() as connection:
        wait_for_turn(connection)
        # Another process may have stored the same list meanwhile.
        if _is_known(connection, experiments, content):
            return _nothing_new(connection, experiments)
        check_structures(connection, _structure_ids(experiments), source)
        history = read_history(connection)
        if not allow_shrinking:
            _check_whole(history, experiments, source)
            if may_be_part:
                _check_size(history, experiments, source)
        return _ingest(connection, history, experiments, payloads, content, source, action)


def _ingest(
    connection: Connection,
    history: History,
    experiments: ExperimentList,
    payloads: Mapping[int, tuple[str, str]],
    content: str,
    source: str,
    action: Action | None,
) -> IngestReport:
    # A number above all ids in use: of lists with the same date, the one ingested last is the newest.
    rank = rank_of(experiments.upstream_date, sys.maxsize)
    state = current_state(history.with_list(experiments.kind, rank, experiments.experiments))
    outcome = write_state(connection, state)
    # New values in a list of the same kind are changes; only missing values of another kind are filled in.
    completed = {key for key in outcome.completed if state.experiments[key].source_kind != experiments.kind}
    changed = outcome.changed | (outcome.completed - completed)
    snapshot_id = record_snapshot(
        connection,
        "experiments",
        experiments.kind,
        source,
        content,
        rows=experiments.rows,
        added=len(outcome.added),
        changed=len(changed),
        withdrawn=len(outcome.withdrawn),
        upstream_date=experiments.upstream_date,
        action=action,
    )
    records = write_revisions(connection, experiments.kind, snapshot_id, payloads)
    remarkable = _remarkable(connection, experiments)
    return IngestReport(
        "experiments",
        experiments.kind,
        snapshot_id,
        experiments.rows,
        added=len(outcome.added),
        changed=len(changed),
        unchanged=len(payloads.keys() - outcome.added - changed - completed - outcome.historic),
        withdrawn=len(outcome.withdrawn),
        completed=len(completed),
        records=records,
        historic=len(outcome.historic),
        notes=() if remarkable["newer_list"] else _kept_by_other_kinds(state, experiments, payloads),
        **remarkable,
    )


def _kept_by_other_kinds(
    state: CurrentState, experiments: ExperimentList, payloads: Mapping[int, tuple[str, str]]
) -> tuple[str, ...]:
    """A remark about current experiments that the list does not have, if there are any."""
    row = EXPERIMENT_SOURCE_KINDS[experiments.kind]
    kept = [key for key, each in state.experiments.items() if not each.withdrawn and key not in payloads]
    if not kept or row.is_historic or row.is_partial:
        return ()
    are = "is" if len(kept) == 1 else "are"
    return (
        f"{number_of(len(kept), 'current experiment')} {are} not in this list and not withdrawn: a list of kind "
        f"{experiments.kind!r} withdraws only experiments that no list of another kind has.",
    )


def _is_known(connection: Connection, experiments: ExperimentList, content: str) -> bool:
    day = experiments.upstream_date
    return find_same(connection, "experiments", experiments.kind, content, upstream_date=day) is not None


def _nothing_new(connection: Connection, experiments: ExperimentList) -> IngestReport:
    count = len(experiments.experiments)
    remarkable = _remarkable(connection, experiments)
    return IngestReport("experiments", experiments.kind, None, experiments.rows, 0, 0, count, 0, **remarkable)


class _Remarkable(TypedDict):
    unknown_sexes: tuple[str, ...]
    merged: int
    newer_list: date | None
    different_volumes: tuple[int, ...]


def _remarkable(connection: Connection, experiments: ExperimentList) -> _Remarkable:
    newer = newer_upstream_date(connection, "experiments", experiments.kind, experiments.upstream_date)
    words = {record.sex for record in experiments.experiments if record.sex is not None and sex_of(record) is None}
    words = {word for word in words if folded(word) not in _UNKNOWN_SEX}
    return {
        "unknown_sexes": tuple(sorted(words)),
        "merged": experiments.rows - len(experiments.experiments),
        "newer_list": newer,
        "different_volumes": differing_injection_volumes(connection),
    }


# Case-folded values of the lists that mean an unknown sex. The export of 2016 has "unknown".
_UNKNOWN_SEX = ("unknown", "u", "na", "n/a", "none")


def check_experiments(experiments: ExperimentList, source: str) -> None:
    """Check that a list is not empty, and that both databases can store its values.

    Raises
    ------
    InputError
    """
    if experiments.kind not in EXPERIMENT_SOURCE_KINDS:
        valid = ", ".join(EXPERIMENT_SOURCE_KINDS)
        raise InputError(f"{source}: {experiments.kind!r} is not a kind of list", hint=f"Valid kinds are {valid}.")
    if not experiments.experiments:
        raise InputError(f"{source} contains no experiment")
    seen: set[int] = set()
    for record in experiments.experiments:
        what = f"{source}: experiment {record.id}"
        if record.id in seen:
            raise InputError(f"{what} occurs twice")
        seen.add(record.id)
        _check_record(what, record)


def _check_record(what: str, record: ExperimentRecord) -> None:
    check_fields(
        what,
        [*(getattr(record, name) for name in _IDS), *record.injection_structure_ids]
        + [line.allen_id for line in record.lines],
        [getattr(record, name) for name in _of_type("int") if name not in _IDS],
        [getattr(record, name) for name in _of_type("float")],
    )
    check_text(what, [getattr(record, name) for name in _of_type("str")])
    for line in record.lines:
        check_text(what, [line.name, line.type_name, line.description, line.stock_number])
    if len({line.name for line in record.lines}) != len(record.lines):
        raise InputError(f"{what} has a line twice")


# Ids of 64 bits; other integers have 32.
_IDS = ("id", "primary_structure_id")


@cache
def _of_type(name: Literal["int", "float", "str"]) -> tuple[str, ...]:
    """The fields of a record of a type, or of that type or None."""
    return tuple(each.name for each in fields(ExperimentRecord) if str(each.type).removesuffix(" | None") == name)


def _structure_ids(experiments: ExperimentList) -> set[int]:
    return {
        structure_id
        for record in experiments.experiments
        for structure_id in (record.primary_structure_id, *record.injection_structure_ids)
    }


def _check_whole(history: History, experiments: ExperimentList, source: str) -> None:
    kind = experiments.kind
    newest = history.newest.get(kind)
    if (
        EXPERIMENT_SOURCE_KINDS[kind].is_partial
        or newest is None
        or rank_of(experiments.upstream_date, sys.maxsize) < newest
    ):
        return
    before = {key for key, latest_record in history.latest[kind].items() if latest_record.rank == newest}
    lost = len(before - {record.id for record in experiments.experiments})
    if lost > min(PLAUSIBLE_LOSS, math.ceil(len(before) / 10)):
        raise IncompleteListError(
            f"{source} seems to be incomplete: {lost:,} of the {len(before):,} experiments of the newest list of kind "
            f"{kind!r} are missing and would be marked as withdrawn",
            hint=f"Ingest the complete list, not a search result. {_ALLOW}",
        )


def _check_size(history: History, experiments: ExperimentList, source: str) -> None:
    row = EXPERIMENT_SOURCE_KINDS[experiments.kind]
    if row.is_historic or row.is_partial or any(history.latest[kind] for kind in history.latest if _is_complete(kind)):
        return
    if len(experiments.experiments) < PLAUSIBLE_SIZE:
        raise IncompleteListError(
            f"{source} seems to be incomplete: it has {number_of(len(experiments.experiments), 'experiment')}, Allen's "
            "list about 3,000, and the store has no other list",
            hint=f"Ingest the complete list, not a search result. {_ALLOW}",
        )


def _is_complete(kind: str) -> bool:
    return not EXPERIMENT_SOURCE_KINDS[kind].is_partial


_ALLOW = "If it is complete, accept it with allow_shrinking=True."


@dataclass(frozen=True, slots=True)
class StateChange:
    """Experiments that differ between two states. Each is in exactly one of the sets.

    Attributes
    ----------
    added, changed, completed, withdrawn : frozenset of int
        Current experiments that are new, have changed or reappeared, had missing values filled in, or are no longer
        current.
    historic : frozenset of int
        New or changed experiments that were not current before and are not current now.
    """

    added: frozenset[int]
    changed: frozenset[int]
    completed: frozenset[int]
    withdrawn: frozenset[int]
    historic: frozenset[int]


# No line means wild type.
_NULL_IS_A_VALUE = ("transgenic_line",)


def write_state(connection: Connection, state: CurrentState) -> StateChange:
    """Write a state, and return what changed. Only rows that differ are written."""
    before = _stored_rows(connection)
    after = {key: row.row() for key, row in state.experiments.items()}
    differing = [key for key, row in after.items() if before.get(key) != row]
    lock_experiments(connection, differing)
    upsert_rows(connection, table_of(Experiment), ROW_COLUMNS, [after[key] for key in sorted(differing)])
    linked = _write_structures(connection, state) | _write_lines(connection, state)
    touched = linked.union(differing)
    update_injected_hemispheres(connection, differing)
    seals.seal_experiments(
        connection,
        ROW_COLUMNS,
        {
            key: (after[key], experiment.line_names, experiment.injection_structure_ids)
            for key, experiment in state.experiments.items()
        },
    )
    seals.seal_lines(connection)
    withdrawn_at = ROW_COLUMNS.index("withdrawn")
    outcome: dict[str, set[int]] = {each.name: set() for each in fields(StateChange)}
    for key in touched:
        old, new = before.get(key), after[key]
        was_current = old is not None and not old[withdrawn_at]
        if new[withdrawn_at]:
            where = "withdrawn" if was_current else "historic"
        elif old is None:
            where = "added"
        elif key not in linked and all(
            was == now or (was is None and name not in _NULL_IS_A_VALUE)
            for name, was, now in zip(ROW_COLUMNS, old, new, strict=True)
        ):
            where = "completed"
        else:
            where = "changed"
        outcome[where].add(key)
    return StateChange(**{name: frozenset(keys) for name, keys in outcome.items()})


def _stored_rows(connection: Connection) -> dict[int, tuple[object, ...]]:
    table = table_of(Experiment)
    rows = connection.execute(select(*(table.c[name] for name in ROW_COLUMNS)))
    return {row[0]: tuple(row) for row in rows}


def _write_structures(connection: Connection, state: CurrentState) -> set[int]:
    table = table_of(ExperimentInjectionStructure)
    before = {tuple(row) for row in connection.execute(select(*(table.c[name] for name in _STRUCTURE_COLUMNS)))}
    after = {
        (key, structure_id) for key, row in state.experiments.items() for structure_id in row.injection_structure_ids
    }
    replace_rows(connection, table, _STRUCTURE_COLUMNS, before, after)
    return {key for key, _ in before ^ after}


def _write_lines(connection: Connection, state: CurrentState) -> set[int]:
    ids = _write_line_details(connection, state.lines)
    table = table_of(ExperimentLine)
    before = {tuple(row) for row in connection.execute(select(*(table.c[name] for name in _LINE_COLUMNS)))}
    after = {(key, ids[name]) for key, row in state.experiments.items() for name in row.line_names}
    replace_rows(connection, table, _LINE_COLUMNS, before, after)
    # Delete lines that no experiment has, so that the table does not depend on the order of ingestion.
    unused = [(line_id,) for name, line_id in ids.items() if name not in state.lines]
    delete_rows(connection, table_of(TransgenicLine), ("id",), unused)
    return {key for key, _ in before ^ after}


def _write_line_details(connection: Connection, lines: Mapping[str, LineRecord]) -> dict[str, int]:
    """Write the lines that are new or differ, and return the ids of all lines by name."""
    table = table_of(TransgenicLine)
    columns = [table.c[name] for name in ("name", *_DETAILS)]
    before = {row.name: tuple(row)[1:] for row in connection.execute(select(*columns))}
    after = {name: tuple(getattr(line, detail) for detail in _DETAILS) for name, line in lines.items()}
    new = [name for name in after if name not in before]
    if new:
        rows = [{"name": name, **dict(zip(_DETAILS, after[name], strict=True))} for name in sorted(new)]
        connection.execute(insert(table), rows)
    differing = [name for name in after if name in before and before[name] != after[name]]
    if differing:
        statement = (
            update(table)
            .where(table.c.name == bindparam("line_name"))
            .values({detail: bindparam(f"new_{detail}") for detail in _DETAILS})
        )
        rows = [
            {"line_name": name, **{f"new_{d}": value for d, value in zip(_DETAILS, after[name], strict=True)}}
            for name in sorted(differing)
        ]
        connection.execute(statement, rows)
    return {row.name: row.id for row in connection.execute(select(table.c.name, table.c.id))}
