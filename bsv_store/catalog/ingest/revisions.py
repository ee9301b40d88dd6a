"""The records of all ingested lists as canonical JSON, stored once for each distinct content."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, select

from bsv_store.catalog import seals
from bsv_store.catalog.database.bulk import insert_rows, table_of
from bsv_store.catalog.database.models import ExperimentRevision, SnapshotMember, SourceSnapshot
from bsv_store.catalog.ingest.checks import canonical_json, sha256_of
from bsv_store.catalog.ingest.current import History, LatestRecord
from bsv_store.catalog.ranks import Rank, rank_of
from bsv_store.catalog.records import ExperimentRecord, LineRecord

_FIELDS = tuple(field.name for field in fields(ExperimentRecord))
_LINE_FIELDS = tuple(field.name for field in fields(LineRecord))


def payload_of(record: ExperimentRecord) -> str:
    """The record as canonical JSON."""
    values: dict[str, Any] = {name: getattr(record, name) for name in _FIELDS}
    for name in ("injection_volume", "projection_volume"):
        values[name] = None if values[name] is None else float(values[name])
    values["injection_structure_ids"] = sorted(set(record.injection_structure_ids))
    lines = sorted(record.lines, key=lambda line: line.name)
    values["lines"] = [{name: getattr(line, name) for name in _LINE_FIELDS} for line in lines]
    return canonical_json(values)


def record_of(payload: str) -> ExperimentRecord:
    """The record of a payload."""
    values = json.loads(payload)
    values["injection_structure_ids"] = tuple(values["injection_structure_ids"])
    values["lines"] = tuple(LineRecord(**line) for line in values["lines"])
    return ExperimentRecord(**values)


def read_history(connection: Connection) -> History:
    """The newest record of each experiment by kind, from all snapshots of experiment lists.

    Raises
    ------
    DamagedCatalogError
        If a record or a list differs from its hash. Call `check_snapshots` too.
    """
    # The current experiments are derived from these rows and then sealed, so damage must be found first.
    seals.refuse("snapshot", damaged_revisions(connection) or damaged_snapshots(connection))
    query = select(SourceSnapshot.id, SourceSnapshot.kind, SourceSnapshot.upstream_date)
    ranks: dict[int, Rank] = {}
    newest: dict[str, int] = {}
    for row in connection.execute(query.where(SourceSnapshot.what == "experiments")):
        ranks[row.id] = rank_of(row.upstream_date, row.id)
        if row.kind not in newest or ranks[newest[row.kind]] < ranks[row.id]:
            newest[row.kind] = row.id
    latest: dict[str, dict[int, LatestRecord]] = {kind: {} for kind in newest}
    for kind, snapshot_id in newest.items():
        for member in _members(connection, snapshot_id):
            latest[kind][member["experiment_id"]] = LatestRecord(ranks[snapshot_id], record_of(member["payload"]))
        # The few experiments that are no longer in the list.
        for gone in _left(connection, kind, snapshot_id, ranks):
            rank = ranks[gone["snapshot_id"]]
            latest[kind][gone["experiment_id"]] = LatestRecord(rank, record_of(gone["payload"]))
    return History({kind: ranks[snapshot_id] for kind, snapshot_id in newest.items()}, latest)


def check_snapshots(connection: Connection) -> None:
    """Check the snapshots of all lists and tables. The transaction must see a single state of the database.

    Raises
    ------
    DamagedCatalogError
    """
    seals.check_rows(connection, SourceSnapshot)


def damaged_revisions(connection: Connection) -> list[str]:
    """The records of experiments in ingested lists that differ from their hash."""
    query = select(ExperimentRevision.experiment_id, ExperimentRevision.sha256, ExperimentRevision.payload)
    return [
        f"record of experiment {identifier}"
        for identifier, sha256, payload in connection.execute(query)
        if sha256_of(payload) != sha256
    ]


def damaged_snapshots(connection: Connection) -> list[str]:
    """The ingested lists whose members differ from the hash of the list."""
    query = (
        select(SnapshotMember.snapshot_id, ExperimentRevision.experiment_id, ExperimentRevision.sha256)
        .join(ExperimentRevision, ExperimentRevision.id == SnapshotMember.revision_id)
        # A record of another kind of list, or of a list that is not there, does not belong to it.
        .join(
            SourceSnapshot,
            and_(SourceSnapshot.id == SnapshotMember.snapshot_id, SourceSnapshot.kind == ExperimentRevision.kind),
        )
        .order_by(SnapshotMember.snapshot_id, ExperimentRevision.experiment_id)
    )
    found: dict[int, dict[int, tuple[str, str]]] = {}
    for snapshot_id, identifier, sha256 in connection.execute(query):
        found.setdefault(snapshot_id, {})[identifier] = (sha256, "")
    lists = select(SourceSnapshot.id, SourceSnapshot.content_sha256).where(SourceSnapshot.what == "experiments")
    return [
        f"list {snapshot_id}"
        for snapshot_id, content in connection.execute(lists)
        if content_sha256(found.get(snapshot_id, {})) != content
    ]


def members(connection: Connection, snapshot_id: int) -> dict[int, ExperimentRecord]:
    """The records of a snapshot, by experiment."""
    return {row["experiment_id"]: record_of(row["payload"]) for row in _members(connection, snapshot_id)}


def _members(connection: Connection, snapshot_id: int) -> Sequence[RowMapping]:
    query = (
        select(ExperimentRevision.experiment_id, ExperimentRevision.payload)
        .join(SnapshotMember, SnapshotMember.revision_id == ExperimentRevision.id)
        .where(SnapshotMember.snapshot_id == snapshot_id)
    )
    return connection.execute(query).mappings().all()


def _left(connection: Connection, kind: str, newest_id: int, ranks: Mapping[int, Rank]) -> list[RowMapping]:
    """The newest records of the experiments of a kind that are not in its newest list."""
    present = (
        select(ExperimentRevision.experiment_id)
        .join(SnapshotMember, SnapshotMember.revision_id == ExperimentRevision.id)
        .where(SnapshotMember.snapshot_id == newest_id)
    )
    query = (
        select(ExperimentRevision.experiment_id, SnapshotMember.snapshot_id, ExperimentRevision.payload)
        .join(SnapshotMember, SnapshotMember.revision_id == ExperimentRevision.id)
        .where(and_(ExperimentRevision.kind == kind, ExperimentRevision.experiment_id.not_in(present)))
    )
    best: dict[int, RowMapping] = {}
    for row in connection.execute(query).mappings():
        known = best.get(row["experiment_id"])
        if known is None or ranks[known["snapshot_id"]] < ranks[row["snapshot_id"]]:
            best[row["experiment_id"]] = row
    return list(best.values())


def write_revisions(
    connection: Connection, kind: str, snapshot_id: int, payloads: Mapping[int, tuple[str, str]]
) -> int:
    """Record the members of a snapshot, write those of their revisions that are new, and return the number of these.

    Parameters
    ----------
    payloads : mapping of int to (str, str)
        SHA-256 and canonical JSON, by experiment.
    """
    known = _revision_ids(connection, kind)
    new = [
        (experiment_id, kind, sha256, payload)
        for experiment_id, (sha256, payload) in sorted(payloads.items())
        if (experiment_id, sha256) not in known
    ]
    if new:
        columns = ("experiment_id", "kind", "sha256", "payload")
        insert_rows(connection, table_of(ExperimentRevision), columns, new)
        known = _revision_ids(connection, kind)
    ids = sorted(known[experiment_id, sha256] for experiment_id, (sha256, _) in payloads.items())
    rows = [(snapshot_id, revision_id) for revision_id in ids]
    insert_rows(connection, table_of(SnapshotMember), ("snapshot_id", "revision_id"), rows)
    return len(new)


def _revision_ids(connection: Connection, kind: str) -> dict[tuple[int, str], int]:
    query = select(ExperimentRevision.experiment_id, ExperimentRevision.sha256, ExperimentRevision.id)
    rows = connection.execute(query.where(ExperimentRevision.kind == kind))
    return {(experiment_id, sha256): revision_id for experiment_id, sha256, revision_id in rows}


def content_sha256(payloads: Mapping[int, tuple[str, str]]) -> str:
    """Hash of a complete list, independent of its file format."""
    return sha256_of("".join(f"{key} {sha256}\n" for key, (sha256, _) in sorted(payloads.items())))


def payloads_of(records: Iterable[ExperimentRecord]) -> dict[int, tuple[str, str]]:
    """SHA-256 and canonical JSON of each record, by experiment."""
    found = {}
    for record in records:
        payload = payload_of(record)
        found[record.id] = (sha256_of(payload), payload)
    return found
