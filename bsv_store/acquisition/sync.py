"""The catalog brought up to date from the Allen API: structures, experiments, unionize tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from bsv_store.acquisition.presence import check_known, covered_experiments, refuse_missing
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.outcome import Failure, size_text
from bsv_store.acquisition.work.sharing import Kept, SharedWork, Task, Watch
from bsv_store.catalog.database.bulk import refresh_statistics_after
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.ingest import IngestReport, ingest_experiments, ingest_structures, ingest_unionizes
from bsv_store.catalog.records import UnionizeTable
from bsv_store.checkpoints import checkpoint
from bsv_store.progress import Progress
from bsv_store.sources.allen import AllenClient, Reply

UNIONIZE_BATCH = 10
"""Experiments asked for at once: 16 MB of JSON, 26,000 rows."""

# The parser's objects of one batch take 100 MB; more batches at once would make the server wait for us, not us for it.
_WORKERS = 2


@dataclass(frozen=True, slots=True)
class UnionizeSyncReport:
    """What a synchronization of unionize tables did.

    Attributes
    ----------
    fetched : tuple of int
        Experiments whose table this run brought.
    present : tuple of int
        Experiments whose table was there, or was brought by somebody else meanwhile.
    failed : tuple of Failure
    rows : int
        Rows that came.
    downloaded_bytes : int
    """

    fetched: tuple[int, ...]
    present: tuple[int, ...]
    failed: tuple[Failure, ...]
    rows: int
    downloaded_bytes: int

    @property
    def what(self) -> str:
        """What was asked for."""
        return "unionize tables"

    def summary(self) -> str:
        """One sentence for people."""
        return (
            f"Unionize tables: {len(self.fetched)} fetched ({self.rows:,} rows, {size_text(self.downloaded_bytes)}), "
            f"{len(self.present)} already there, {len(self.failed)} failed."
        )


def sync_structures(database: Database, client: AllenClient) -> IngestReport:
    """What bringing the structure ontology up to date changed.

    Raises
    ------
    ReadOnlyStoreError
        If this account may not write to the store; nothing is asked for then.
    UpstreamError
        If it cannot be had; nothing is written then.
    InputError
        If it is not of the ontology that the store holds; nothing is written then.
    """
    database.require_writable()
    reply = client.structures()
    report = ingest_structures(database, reply.value, source=reply.source, kind="api")
    refresh_statistics_after(database, report.written)
    return report


def sync_experiments(database: Database, client: AllenClient) -> IngestReport:
    """What bringing the experiment list up to date changed.

    Raises
    ------
    ReadOnlyStoreError
        If this account may not write to the store; nothing is asked for then.
    UpstreamError
        If it cannot be had; nothing is written then.
    InputError
        If it names structures that the store does not have, or seems to be a part of the list; nothing is written then.
    """
    database.require_writable()
    reply = client.experiments()
    report = ingest_experiments(database, reply.value, source=reply.source)
    refresh_statistics_after(database, report.written)
    return report


def sync_unionizes(
    database: Database,
    client: AllenClient | None,
    experiment_ids: Iterable[int],
    *,
    refresh: bool = False,
    progress: Progress | None = None,
    batch: int = UNIONIZE_BATCH,
) -> UnionizeSyncReport:
    """What came of bringing the unionize tables of some experiments into the store.

    Tables of which both halves are there are not asked for. Each batch is committed on its own, so that an interrupted
    run goes on where it was; and what cannot be had does no harm to the others.

    Parameters
    ----------
    client : AllenClient or None
        None works offline: nothing may be missing.
    experiment_ids : iterable of int
        Each counts once.
    refresh : bool
        Ask again for what is there.
    progress : Progress, optional
    batch : int
        Experiments asked for at once.

    Raises
    ------
    UnknownExperimentError
        If the catalog lacks one of the experiments; nothing is asked for then.
    MissingDataError
        If something is missing, and there is no client.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails. What has been brought stays.
    """
    ids = list(dict.fromkeys(experiment_ids))
    check_known(database, ids)
    if client is None:
        with database.reading() as connection:
            covered = covered_experiments(connection, ids)
        refuse_missing("unionize tables", [i for i in ids if i not in covered])
        return UnionizeSyncReport((), tuple(ids), (), 0, 0)
    task = UnionizeTask(database, client, refresh=refresh, batch=max(1, batch))
    work = SharedWork(database, task, workers=_WORKERS, progress=progress)
    outcome = work.run(ids)
    refresh_statistics_after(database, task.written)
    return UnionizeSyncReport(outcome.brought, outcome.present, outcome.failed, task.rows, work.watch.size_bytes)


class UnionizeTask(Task[Reply[UnionizeTable]]):
    """Brings both halves of the unionize tables of a few experiments."""

    def __init__(self, database: Database, client: AllenClient, *, refresh: bool, batch: int) -> None:
        self.what = "unionize tables"
        self.host = client.host
        self.connections = client.connections
        self.batch = batch
        self.rows = 0
        self.written = 0
        self._database = database
        self._client = client
        self._refresh = refresh

    def key(self, experiment_id: int) -> str:
        """The name under which the table is claimed."""
        return f"unionizes/{experiment_id}"

    def present(self, ids: Collection[int]) -> set[int]:
        """Those of which both halves are in the store; none where all are to be refreshed."""
        if self._refresh:
            return set()
        with self._database.reading() as connection:
            return covered_experiments(connection, ids)

    def bring(self, ids: Sequence[int], watch: Watch) -> Reply[UnionizeTable]:
        """Download the tables."""
        reply = self._client.unionizes(ids, on_bytes=watch.on_bytes)
        checkpoint("sync:downloaded")
        return reply

    def keep(self, brought: Sequence[Reply[UnionizeTable]], ids: Sequence[int], claims: Claims) -> Kept:
        """Take the tables in, but for those whose claim was lost: what has been brought since may be newer."""
        (reply,) = brought
        keys = {self.key(i): i for i in ids}
        ours = set(ids)

        def still_ours(connection: Connection) -> Collection[int]:
            ours.intersection_update(keys[key] for key in claims.confirmed(connection, keys))
            return ours

        report = ingest_unionizes(self._database, reply.value, source=reply.source, kind="api", fence=still_ours)
        self.rows += report.rows
        self.written += report.written
        checkpoint("sync:committed")
        with self._database.writing() as connection:
            claims.release(connection, keys)
        absent = ours - set(reply.value.experiment_ids)
        reason = "the Allen API has no unionize rows of experiment {}; asked {}"
        return Kept(lost=frozenset(ids) - ours, absent={i: reason.format(i, reply.source) for i in sorted(absent)})

    def cut(self) -> None:
        """End the downloads under way."""
        self._client.cut()
