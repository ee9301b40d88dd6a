"""The log of ingestion: one snapshot for each list, graph or set of tables with new content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from bsv_store.catalog import seals
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.models import SourceSnapshot
from bsv_store.catalog.database.models.base import now
from bsv_store.errors import InputError
from bsv_store.html import card
from bsv_store.text import listed, listed_ids, number_of, shown
from bsv_store.vocabulary import SNAPSHOT_CONTENTS, Action, SnapshotContent

# An arbitrary number, the same in all processes; migrations use a different one.
_ADVISORY_LOCK = 0x696E67657374


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Result of an ingestion.

    Changes of the current state and additions to the history are counted separately: a list can add records to the
    history without changing any current experiment.

    Attributes
    ----------
    what : {'structures', 'experiments', 'unionizes'}
    kind : str
        Kind of source.
    snapshot_id : int or None
        The snapshot; None if the content was not new.
    rows : int
        Rows of the source.
    added, changed, unchanged : int
        Numbers of current structures or experiments that are new, have changed or reappeared, or are in the source
        without a change. For unionize tables: numbers of experiments with a new half of the table, with a changed one,
        or with neither.
    withdrawn : int
        Structures or experiments that were marked as withdrawn.
    completed : int
        Number of current experiments in which this list filled in missing values of a more trusted kind of list.
    records : int
        Number of records of an experiment list that are new in the history of its kind.
    historic : int
        Number of experiments that were added or changed in the history only, because the current list does not have
        them.
    unknown_sexes : tuple of str
        Values for the sex that are neither M nor F, sorted; the sex of these experiments is unknown.
    merged : int
        Rows of an experiment list that repeat an experiment with another line, and were merged.
    newer_list : datetime.date or None
        If the store has a newer list of the same kind: its upstream date. That list stays current.
    different_volumes : tuple of int
        Experiments whose injection volume differs between the experiment list and the unionize rows.
    notes : tuple of str
        Further remarks, one sentence each.
    """

    what: SnapshotContent
    kind: str
    snapshot_id: int | None
    rows: int
    added: int
    changed: int
    unchanged: int
    withdrawn: int
    completed: int = 0
    records: int = 0
    historic: int = 0
    unknown_sexes: tuple[str, ...] = ()
    merged: int = 0
    newer_list: date | None = None
    different_volumes: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        facts = [(name.capitalize(), f"{getattr(self, name):,}") for name in ("rows", "added", "changed", "withdrawn")]
        return card(SNAPSHOT_CONTENTS[self.what].words, kind="ingested", facts=facts, notes=self.remarks())

    @property
    def written(self) -> int:
        """Rows of the source if its content was new, else 0."""
        return 0 if self.snapshot_id is None else self.rows

    def remarks(self) -> tuple[str, ...]:
        """Further remarks, one sentence each."""
        found = []
        if self.newer_list is not None:
            found.append(
                f"The newer {self.kind} list of {self.newer_list} stays current; this one is stored as history."
            )
        if self.completed:
            found.append(f"Filled in missing values of {number_of(self.completed, 'experiment')}.")
        if self.records > self.added + self.changed + self.completed:
            found.append(f"Added {number_of(self.records, 'record')} to the history.")
        if self.historic:
            found.append(
                f"{number_of(self.historic, 'experiment')} {'is' if self.historic == 1 else 'are'} missing from the "
                "current list and only added to the history, as withdrawn."
            )
        if self.unknown_sexes:
            words = listed(shown(each) for each in self.unknown_sexes)
            found.append(f"The sex is unknown where the list has {words}; it must be M, F, male or female.")
        if self.merged:
            found.append(f"Merged {number_of(self.merged, 'row')}: repeats of an experiment with another line.")
        if self.different_volumes:
            found.append(
                f"The injection volume of {number_of(len(self.different_volumes), 'experiment')} differs between the "
                "experiment list (used by selections) and the unionize rows (used to normalize averages): "
                f"{listed_ids(self.different_volumes)}."
            )
        return (*found, *self.notes)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An ingested list, graph or set of tables, and what it changed at that time."""

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
    """All snapshots, or those of one content, oldest first."""
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
    """The snapshot with that id.

    Raises
    ------
    InputError
        If there is none.
    """
    # SQLite's driver accepts integers of up to 64 bits.
    is_possible = abs(snapshot_id) < 2**63
    query = select(*_COLUMNS).where(SourceSnapshot.id == (snapshot_id if is_possible else -1))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise InputError(f"unknown snapshot {snapshot_id}", hint="List them: `bsv-store catalog snapshots`.")
    return _snapshot(row)


def find_same(
    connection: Connection,
    what: SnapshotContent,
    kind: str,
    content_sha256: str,
    *,
    upstream_date: date | None = None,
) -> int | None:
    """The id of the last snapshot of the same kind and upstream date if it has the same content, else None.

    Earlier snapshots do not count: if A and then B of the same date were ingested, A is new again.
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
    """The newest upstream date of a kind if it is later than this one, else None."""
    query = select(func.max(SourceSnapshot.upstream_date)).where(
        SourceSnapshot.what == what, SourceSnapshot.kind == kind
    )
    newest: date | None = connection.execute(query).scalar_one()
    # A list without a date is older than every list with one.
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
    action: Action | None = None,
) -> int:
    """Record a snapshot with the time of the database, and return its id.

    Parameters
    ----------
    action : Action, optional
        Recorded as the activity of this user; by default the caller records it, for several lists at once.
    """
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
    identifier = int(result.scalar_one())
    seals.seal_rows(connection, SourceSnapshot, [identifier])
    if action is not None:
        counts = {"added": added, "changed": changed, "withdrawn": withdrawn}
        details = {name: count for name, count in counts.items() if count}
        # A URL is the same for all users, and is in the snapshot.
        origin = {} if action == "synced" else {"source": source}
        record_activity(connection, action, SNAPSHOT_CONTENTS[what].subject, {**details, **origin})
    return identifier


def wait_for_turn(connection: Connection) -> None:
    """Wait until no other list or graph is being ingested.

    On SQLite the writing transaction is the lock; on Postgres the lock ends with the transaction.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
