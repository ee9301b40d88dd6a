"""The record of what was taken in: one row for each list, graph or set of tables that was new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.models import SourceSnapshot
from bsv_store.catalog.database.models.base import now
from bsv_store.errors import InputError
from bsv_store.text import number_of
from bsv_store.vocabulary import SnapshotContent

# Any number, the same in all processes; not the one that migrations take.
_ADVISORY_LOCK = 0x696E67657374


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What taking something in did to the current state of the catalog.

    Attributes
    ----------
    what : {'structures', 'experiments', 'unionizes'}
    kind : str
        Kind of source.
    snapshot_id : int or None
        The snapshot recorded; None where the store had all of it.
    rows : int
        Rows the source had.
    added, changed, unchanged : int
        Structures, or experiments, that are new, differ from before, or stayed as they were. For unionizes: experiments
        with a half of the table that is new, that differs, or with neither.
    withdrawn : int
        Structures, or experiments, marked withdrawn by this run.
    merged : int
        Rows of an experiment list that name an experiment once more, with another line, and were merged with the first.
    newer_list : datetime.date or None
        Where an experiment list is older than another of its kind that the store has: the day that the newest of these
        was made upstream. It stays in force, and what was taken in is history.
    """

    what: SnapshotContent
    kind: str
    snapshot_id: int | None
    rows: int
    added: int
    changed: int
    unchanged: int
    withdrawn: int
    merged: int = 0
    newer_list: date | None = None

    @property
    def written(self) -> int:
        """Rows of the source, if any of them was news; else 0."""
        return 0 if self.snapshot_id is None else self.rows

    def remarks(self) -> tuple[str, ...]:
        """What the numbers do not tell, one sentence each."""
        found = []
        if self.newer_list is not None:
            found.append(f"History only: the newer {self.kind} list of {self.newer_list} is in force.")
        if self.merged:
            rows = f"{number_of(self.merged, 'row')} of experiments that stand there more than once"
            found.append(f"Merged: {rows}, with the lines of each.")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was taken in, from where and when, and what it did to the state of that moment."""

    id: int
    what: SnapshotContent
    kind: str
    source: str
    upstream_date: date | None
    taken_at: datetime
    content_sha256: str
    rows: int
    added: int
    changed: int
    withdrawn: int


def snapshots(connection: Connection, *, what: SnapshotContent | None = None) -> list[Snapshot]:
    """All snapshots, or those of one content, in the order they were taken."""
    query = select(*_COLUMNS).order_by(SourceSnapshot.id)
    if what is not None:
        query = query.where(SourceSnapshot.what == what)
    return [_snapshot(row) for row in connection.execute(query)]


def _snapshot(row: Sequence[Any]) -> Snapshot:
    return Snapshot(*row)


_COLUMNS = (
    SourceSnapshot.id,
    SourceSnapshot.what,
    SourceSnapshot.kind,
    SourceSnapshot.source,
    SourceSnapshot.upstream_date,
    SourceSnapshot.taken_at,
    SourceSnapshot.content_sha256,
    SourceSnapshot.row_count,
    SourceSnapshot.added,
    SourceSnapshot.changed,
    SourceSnapshot.withdrawn,
)


def find_snapshot(connection: Connection, snapshot_id: int) -> Snapshot:
    """One snapshot by its id.

    Raises
    ------
    InputError
        If there is none of that id.
    """
    # SQLite's driver takes no whole number beyond 64 bits.
    is_possible = abs(snapshot_id) < 2**63
    query = select(*_COLUMNS).where(SourceSnapshot.id == (snapshot_id if is_possible else -1))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise InputError(f"there is no snapshot {snapshot_id}", hint="`bsv-store catalog snapshots` lists them.")
    return _snapshot(row)


def find_same(
    connection: Connection,
    what: SnapshotContent,
    kind: str,
    content_sha256: str,
    *,
    upstream_date: date | None = None,
) -> int | None:
    """Id of the last snapshot of the same kind and upstream date if it has the same content, else None.

    An earlier one with the same content does not count: after A and B of one date, A again is news.
    """
    query = select(SourceSnapshot.id, SourceSnapshot.content_sha256).where(
        SourceSnapshot.what == what,
        SourceSnapshot.kind == kind,
        SourceSnapshot.upstream_date.is_not_distinct_from(upstream_date),
    )
    last = connection.execute(query.order_by(SourceSnapshot.id.desc()).limit(1)).one_or_none()
    return last.id if last is not None and last.content_sha256 == content_sha256 else None


def newer_upstream_date(
    connection: Connection, what: SnapshotContent, kind: str, upstream_date: date | None
) -> date | None:
    """The newest upstream date of the snapshots of a kind if it is later than this one, else None."""
    query = select(func.max(SourceSnapshot.upstream_date)).where(
        SourceSnapshot.what == what, SourceSnapshot.kind == kind
    )
    newest: date | None = connection.execute(query).scalar_one()
    # A list without a date is older than every list that has one.
    return newest if newest is not None and (upstream_date is None or newest > upstream_date) else None


def record_snapshot(
    connection: Connection,
    what: SnapshotContent,
    kind: str,
    source: str,
    content_sha256: str,
    *,
    rows: int,
    added: int,
    changed: int,
    withdrawn: int = 0,
    upstream_date: date | None = None,
) -> int:
    """Id of a new snapshot, taken now by the database's clock."""
    values = {
        "what": what,
        "kind": kind,
        "source": source,
        "upstream_date": upstream_date,
        "taken_at": now(),
        "content_sha256": content_sha256,
        "row_count": rows,
        "added": added,
        "changed": changed,
        "withdrawn": withdrawn,
    }
    result = connection.execute(insert(table_of(SourceSnapshot)).values(values).returning(SourceSnapshot.id))
    return int(result.scalar_one())


def wait_for_turn(connection: Connection) -> None:
    """Let one list or graph be taken in at a time: what follows reads, decides and writes.

    On SQLite the writing transaction has seen to that; on Postgres the lock ends with the transaction.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
