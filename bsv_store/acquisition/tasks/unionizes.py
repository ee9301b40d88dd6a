"""Unionize tables, downloaded in batches of experiments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from bsv_store.acquisition.presence import experiments_with_unionizes
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.task import CommitResult, RunControl, Task
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.ingest import ingest_unionizes
from bsv_store.catalog.records import UnionizeTable
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import IncompleteReplyError, IncompleteTableError
from bsv_store.sources.allen import AllenClient, Reply
from bsv_store.sources.allen.transfer import RETRY_HINT

UNIONIZE_BATCH = 10
"""Experiments of one request: 16 MB of JSON, 26,000 rows."""


class UnionizeTask(Task[Reply[UnionizeTable]]):
    """Downloads both parts of the unionize tables of several experiments at once.

    Parameters
    ----------
    database : Database
    client : AllenClient
    refresh : bool
        Also download tables that the store has.
    batch : int
        Experiments of one request.
    """

    def __init__(self, database: Database, client: AllenClient, *, refresh: bool, batch: int) -> None:
        self.what = self.subject = "unionize tables"
        self.action = "synced"
        self.host = client.host
        self.connections = client.connections
        self.max_connections = client.max_connections
        self.download_batch = batch
        self.rows = 0
        self.written = 0
        self.notes: tuple[str, ...] = ()
        self._database = database
        self._client = client
        self._refresh = refresh

    def key(self, experiment_id: int) -> str:
        """The key under which the table is claimed."""
        return f"unionizes/{experiment_id}"

    def present(self, ids: Collection[int]) -> set[int]:
        """The experiments that have both parts in the store; none if all are refreshed."""
        if self._refresh:
            return set()
        with self._database.reading() as connection:
            return experiments_with_unionizes(connection, ids)

    def download(self, ids: Sequence[int], control: RunControl) -> Reply[UnionizeTable]:
        """Download the tables."""
        reply = self._client.unionizes(ids, on_bytes=control.on_bytes)
        checkpoint("sync:downloaded")
        return reply

    def commit(self, downloads: Sequence[Reply[UnionizeTable]], ids: Sequence[int], claims: Claims) -> CommitResult:
        """Store the tables, except where the claim was lost: another process may have stored newer rows."""
        (reply,) = downloads
        keys = {self.key(i): i for i in ids}
        ours = set(ids)

        def still_ours(connection: Connection) -> Collection[int]:
            ours.intersection_update(keys[key] for key in claims.confirmed(connection, keys))
            return ours

        try:
            report = ingest_unionizes(
                self._database,
                reply.value,
                source=reply.source,
                kind="api",
                upstream_date=datetime.now(UTC).date(),
                fence=still_ours,
            )
        except IncompleteTableError as error:
            raise IncompleteReplyError(
                f"incomplete reply of the Allen API: {error.message}", hint=RETRY_HINT
            ) from error
        self.rows += report.rows
        self.written += report.written
        self.notes += report.notes
        checkpoint("sync:committed")
        with self._database.writing() as connection:
            claims.release(connection, keys)
        absent = ours - set(reply.value.experiment_ids)
        reason = "the Allen API has no unionize rows of experiment {}; asked {}"
        return CommitResult(
            lost=frozenset(ids) - ours, absent={i: reason.format(i, reply.source) for i in sorted(absent)}
        )

    def abort(self) -> None:
        """Abort all downloads."""
        self._client.abort()
