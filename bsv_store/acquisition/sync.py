"""Download structures, experiments and unionize tables from the Allen API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from bsv_store.acquisition.presence import check_complete, check_known, experiments_with_unionizes
from bsv_store.acquisition.tasks.unionizes import UNIONIZE_BATCH, UnionizeTask
from bsv_store.acquisition.work.outcome import Failure, failures_text, reasons, report_card
from bsv_store.acquisition.work.sharing import SharedWork
from bsv_store.catalog.database.bulk import refresh_statistics_after
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.sqlite import long_run
from bsv_store.catalog.ingest import IngestReport, ingest_experiments, ingest_structures
from bsv_store.progress import Progress
from bsv_store.sources.allen import AllenClient
from bsv_store.text import size_text

# Parsing one batch takes 100 MB of memory; more simultaneous batches would only make the server wait for the parser.
_WORKERS = 2


@dataclass(frozen=True, slots=True)
class UnionizeSyncReport:
    """Result of downloading unionize tables.

    Attributes
    ----------
    fetched : tuple of int
        Experiments whose table this run downloaded.
    present : tuple of int
        Experiments whose table was in the store already, or was stored by another process meanwhile.
    failed : tuple of Failure
    not_attempted : tuple of int
        Experiments for which no request was sent, because the run stopped early.
    stopped : str or None
        Reason why the run stopped early, such as an unreachable server; None if it did not.
    rows : int
        Rows that were downloaded.
    downloaded_bytes : int
    hint : str or None
        What the user can do about the reason in ``stopped``; None if nothing.
    notes : tuple of str
        The contradictions inside the downloaded tables, one sentence each.
    """

    fetched: tuple[int, ...]
    present: tuple[int, ...]
    failed: tuple[Failure, ...]
    rows: int
    downloaded_bytes: int
    not_attempted: tuple[int, ...] = ()
    stopped: str | None = None
    hint: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """The objects that were requested."""
        return "unionize tables"

    @property
    def reasons(self) -> dict[int, str]:
        """Reason by experiment id, for the experiments whose data are still missing."""
        return reasons(self.failed, self.not_attempted, self.stopped)

    def _repr_html_(self) -> str:
        return report_card(self.what, self.summary(), self.reasons, notes=self.notes)

    def summary(self) -> str:
        """The result in one sentence."""
        return (
            f"Unionize tables: {len(self.fetched)} fetched ({self.rows:,} rows, {size_text(self.downloaded_bytes)}), "
            f"{len(self.present)} already present, "
            f"{failures_text(self.failed, self.not_attempted, self.stopped)}."
        )


@long_run()
def sync_structures(database: Database, client: AllenClient, *, allow_shrinking: bool = False) -> IngestReport:
    """Update the structure ontology.

    Parameters
    ----------
    allow_shrinking : bool
        Accept an ontology from which many of the current structures are missing.

    Raises
    ------
    ReadOnlyStoreError
        If the current user cannot write to the store. Nothing is downloaded then.
    UpstreamError
        If the download fails. Nothing is stored then.
    IncompleteListError
        If many of the current structures are missing from the reply. Nothing is stored then.
    InputError
        If the reply is not the ontology that the store holds. Nothing is stored then.
    """
    database.require_writable()
    reply = client.structures()
    report = ingest_structures(
        database,
        reply.value,
        source=reply.source,
        kind="api",
        upstream_date=datetime.now(UTC).date(),
        allow_shrinking=allow_shrinking,
        action="synced",
    )
    refresh_statistics_after(database, report.written)
    return report


@long_run()
def sync_experiments(database: Database, client: AllenClient, *, allow_shrinking: bool = False) -> IngestReport:
    """Update the experiment list.

    Raises
    ------
    ReadOnlyStoreError
        If the current user cannot write to the store. Nothing is downloaded then.
    UpstreamError
        If the download fails. Nothing is stored then.
    InputError
        If the list names structures that the store does not have, or seems to be incomplete. Nothing is stored then.
    """
    database.require_writable()
    reply = client.experiments()
    report = ingest_experiments(
        database, reply.value, source=reply.source, allow_shrinking=allow_shrinking, action="synced"
    )
    refresh_statistics_after(database, report.written)
    return report


@long_run()
def sync_unionizes(
    database: Database,
    client: AllenClient | None,
    experiment_ids: Iterable[int],
    *,
    refresh: bool = False,
    stop_at_failure: bool = False,
    progress: Progress | None = None,
    batch: int = UNIONIZE_BATCH,
) -> UnionizeSyncReport:
    """Download the missing unionize tables of experiments.

    A table counts as present if the store has both of its parts. Each batch is committed on its own, so the next run
    continues where an interrupted one stopped. Downloads that fail are listed in the report; the others are stored. If
    the server cannot be reached, the run stops after a few failures, and the report counts what was not attempted.

    Parameters
    ----------
    client : AllenClient or None
        None means offline: missing tables are an error.
    experiment_ids : iterable of int
        Duplicates are ignored.
    refresh : bool
        Also download tables that the store has.
    stop_at_failure : bool
        Start no further downloads after the first failure.
    progress : Progress, optional
    batch : int
        Experiments of one request.

    Raises
    ------
    UnknownExperimentError
        If the catalog does not have one of the experiments. Nothing is downloaded then.
    MissingDataError
        If tables are missing and ``client`` is None.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails. Tables stored before that remain.
    """
    ids = list(dict.fromkeys(experiment_ids))
    check_known(database, ids)
    if client is None:
        with database.reading() as connection:
            present = experiments_with_unionizes(connection, ids)
        check_complete("unionize tables", [i for i in ids if i not in present])
        return UnionizeSyncReport((), tuple(ids), (), 0, 0)
    task = UnionizeTask(database, client, refresh=refresh, batch=max(1, batch))
    work = SharedWork(database, task, workers=_WORKERS, stop_at_failure=stop_at_failure, progress=progress)
    outcome = work.run(ids)
    refresh_statistics_after(database, task.written)
    return UnionizeSyncReport(
        outcome.stored,
        outcome.present,
        outcome.failed,
        task.rows,
        work.control.size_bytes,
        outcome.not_attempted,
        outcome.stopped,
        outcome.hint,
        task.notes,
    )
