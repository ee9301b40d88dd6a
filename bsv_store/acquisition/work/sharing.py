"""Run a task for many experiments, shared with other processes: each object is downloaded once.

Only the caller's thread accesses the database: it claims missing objects, passes them to worker threads, which download
and write files, and commits their results. It waits for objects that other processes have claimed, and takes them over
if those processes fail.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from sqlalchemy import Connection

from bsv_store import check
from bsv_store.acquisition.work.activity import recorded_run
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.connections import claim_connections
from bsv_store.acquisition.work.outcome import Failure, Outcome
from bsv_store.acquisition.work.task import RunControl, Task
from bsv_store.catalog.activity import Details
from bsv_store.catalog.database.engine import Database
from bsv_store.errors import InputError, NotFoundUpstreamError, UnreachableUpstreamError, UpstreamError
from bsv_store.progress import Progress, shown_progress

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_MIN_POLL_S = 0.05
_MAX_POLL_S = 1.0
# Longest wait for a download, so that claims are renewed while all workers are at slow ones.
_MAX_WAIT_S = 5.0
# Objects claimed for each worker, including the current one.
_CLAIMED_PER_WORKER = 4
# Just below the largest block that glibc takes into account.
_LARGEST_BLOCK_BYTES = 32 * 1024 * 1024 - 65_536
# Consecutive failures after which the run stops asking the server.
_MAX_FAILURES_IN_A_ROW = 20
# The same, if the server cannot be reached.
_MAX_UNREACHABLE_IN_A_ROW = 3
_ONE_FAILED = "one download failed, and all are required"


class _NotAttemptedError(Exception):
    """Raised in a worker thread that would start a download after the run was stopped."""


class SharedWork(Generic[T]):
    """One run of a task over some experiments.

    Parameters
    ----------
    database : Database
    task : Task
    workers : int
        Number of simultaneous downloads, if that many connections are available.
    stop_at_failure : bool
        Start no further downloads after the first failure, because the caller needs all objects.
    progress : Progress, optional
    """

    def __init__(
        self,
        database: Database,
        task: Task[T],
        *,
        workers: int,
        stop_at_failure: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._database = database
        self._task = task
        self._workers = min(check.whole_number("workers", workers, least=1), task.max_connections)
        self._stop_at_failure = stop_at_failure
        self._progress = shown_progress(progress)
        self._claims = Claims(database)
        self.control = RunControl(self._progress)
        self._waiting: deque[int] = deque()
        self._elsewhere: set[int] = set()
        self._running: dict[Future[T], list[int]] = {}
        self._wanted = 0
        self._stored: set[int] = set()
        self._present: set[int] = set()
        self._failed: dict[int, Failure] = {}
        self._failures_in_a_row = 0
        self._unreachable_in_a_row: deque[str] = deque(maxlen=_MAX_UNREACHABLE_IN_A_ROW)
        self._unreachable: dict[int, str] = {}
        self._not_attempted: set[int] = set()
        self._stopped: str | None = None
        self._hints: dict[str, str | None] = {}
        self._poll_s = _MIN_POLL_S

    def run(self, ids: Sequence[int]) -> Outcome:
        """Run the task for these experiments. Nothing is written if the store has all objects.

        Raises
        ------
        NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
            If the store fails. Objects stored before that remain.
        """
        self._wanted = len(ids)
        self._present = self._task.present(ids)
        self._waiting = deque(i for i in ids if i not in self._present)
        if self._waiting:
            self._progress.start(len(self._waiting), self._task.what)
            try:
                with recorded_run(self._database, self._task.action, self._task.subject, self._counts):
                    self._work()
            finally:
                self._progress.finish()
        self._count_unreachable()
        return Outcome(
            tuple(i for i in ids if i in self._stored),
            tuple(i for i in ids if i in self._present),
            tuple(self._failed[i] for i in ids if i in self._failed),
            tuple(i for i in ids if i in self._not_attempted),
            self._stopped,
            None if self._stopped is None else self._hints.get(self._stopped),
        )

    def _counts(self) -> Details | None:
        """What the run has done, for its record; None if it has changed nothing."""
        if not self._stored:
            return None
        counts = {"failed": len(self._failed), "not attempted": len(self._not_attempted)}
        return {
            self._task.action: len(self._stored),
            "of": self._wanted - len(self._present),
            **{name: count for name, count in counts.items() if count},
        }

    def _work(self) -> None:
        _keep_freed_memory()
        try:
            self._workers = self._threads()
            self._download_all()
        finally:
            self._claims.release_all()

    def _download_all(self) -> None:
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="bsv-store-download")
        try:
            while self._waiting or self._running or self._elsewhere:
                if self._stopped is not None:
                    self._leave_rest()
                self._fill(pool)
                self._collect(pool)
                self._claims.renew_if_due()
        finally:
            # Also after Ctrl-C or a signal.
            self.control.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            # Not the futures in `_running`: an interrupt while a download is submitted leaves one that is not there.
            while not self.control.wait_until_idle(_MIN_POLL_S):
                # Repeatedly: a worker may be about to open its connection.
                self._task.abort()
            pool.shutdown(wait=True)

    def _threads(self) -> int:
        task = self._task
        wanted = min(self._workers, task.connections)
        granted = claim_connections(self._database, self._claims, task.host, wanted=wanted, limit=task.max_connections)
        # If fewer connections were granted than the task may open, the number of threads enforces the limit.
        return granted + task.extra_threads if granted == task.connections else granted

    def _fill(self, pool: ThreadPoolExecutor) -> None:
        """Claim the next objects for the workers, and submit them."""
        if not self._waiting and self._elsewhere and len(self._running) < self._workers:
            self._check_elsewhere()
        # Claim several at once: no worker then idles while the database is busy, and each claim costs a commit.
        if len(self._running) > self._workers:
            return
        free = _CLAIMED_PER_WORKER * self._workers - len(self._running)
        batch = self._task.download_batch
        wanted = [self._waiting.popleft() for _ in range(min(free * batch, len(self._waiting)))]
        if not wanted:
            return
        claimed = self._claim(wanted)
        for start in range(0, len(claimed), batch):
            self._submit(pool, claimed[start : start + batch])

    def _claim(self, wanted: Sequence[int]) -> list[int]:
        """Claim objects, and return those to download; the others are claimed by other processes, or stored by now."""
        keys = {self._task.key(i): i for i in wanted}
        with self._database.writing() as connection:
            granted = {keys[key] for key in self._claims.take(connection, keys)}
        if len(granted) < len(wanted):
            number = len(wanted) - len(granted)
            _LOG.info("waiting for %d objects of other jobs", number, extra={"event": "wait", "objects": number})
        self._elsewhere.update(i for i in wanted if i not in granted)
        # Checked after the claim: a previous owner has committed by then.
        present = self._task.present(granted)
        if present:
            with self._database.writing() as connection:
                self._release(connection, present)
            self._finish(self._present, present)
        return [i for i in wanted if i in granted and i not in present]

    def _check_elsewhere(self) -> None:
        """Find out which objects other processes have stored or given up."""
        keys = {self._task.key(i): i for i in self._elsewhere}
        present = self._task.present(self._elsewhere)
        with self._database.reading() as connection:
            free = {keys[key] for key in self._claims.free(connection, keys)} - present
        self._finish(self._present, present)
        self._waiting.extend(sorted(free))
        self._elsewhere -= present | free
        self._poll_s = _MIN_POLL_S if present or free else min(2 * self._poll_s, _MAX_POLL_S)

    def _submit(self, pool: ThreadPoolExecutor, ids: list[int]) -> None:
        self._running[pool.submit(self._download, ids)] = ids

    def _download(self, ids: list[int]) -> T:
        """Download, in a worker thread.

        Failures that stop the run are detected here, because other threads start their next object immediately.
        """
        if self._stopped is not None:
            raise _NotAttemptedError
        try:
            with self.control.working():
                return self._task.download(ids, self.control)
        except UnreachableUpstreamError as error:
            self._hints[error.reason] = error.hint
            self._unreachable_in_a_row.append(error.reason)
            if self._unreachable_in_a_row.count(error.reason) >= _MAX_UNREACHABLE_IN_A_ROW:
                self._stop(error.reason)
            raise
        except (UpstreamError, InputError):
            if self._stop_at_failure and len(ids) == 1:
                self._stop(_ONE_FAILED)
            raise

    def _collect(self, pool: ThreadPoolExecutor) -> None:
        if not self._running:
            if self._elsewhere and not self._waiting:
                self.control.wait(self._poll_s)
            return
        timeout = self._poll_s if self._elsewhere else _MAX_WAIT_S
        done, _ = wait(self._running, timeout=timeout, return_when=FIRST_COMPLETED)
        results: list[tuple[T, list[int]]] = []
        for future in done:
            ids = self._running.pop(future)
            try:
                results.append((future.result(), ids))
            except _NotAttemptedError:
                self._give_back([ids])
            except (UpstreamError, InputError) as error:
                self._handle_error(pool, ids, error)
        # The next commit stores all downloads that finished during the last one.
        batch = self._task.commit_batch
        for start in range(0, len(results), batch):
            self._commit(pool, results[start : start + batch])

    def _commit(self, pool: ThreadPoolExecutor, results: Sequence[tuple[T, list[int]]]) -> None:
        ids = [i for _, of_one in results for i in of_one]
        try:
            result = self._task.commit([download for download, _ in results], ids, self._claims)
        except (UpstreamError, InputError) as error:
            self._handle_error(pool, ids, error)
        else:
            self._failures_in_a_row = 0
            self._unreachable_in_a_row.clear()
            self._elsewhere |= result.lost
            self._finish(self._stored, set(ids) - result.lost - result.absent.keys())
            self._fail(result.absent)

    def _handle_error(self, pool: ThreadPoolExecutor, ids: list[int], error: UpstreamError | InputError) -> None:
        is_unreachable = isinstance(error, UnreachableUpstreamError)
        if len(ids) > 1 and not is_unreachable and self._stopped is None:
            # A single experiment may be the cause: retry one by one.
            for i in ids:
                self._submit(pool, [i])
            return
        with self._database.writing() as connection:
            self._release(connection, ids)
        if isinstance(error, UnreachableUpstreamError):
            if self._stop_at_failure:
                # The reason applies to all objects, and is then reported once.
                self._stop(error.reason)
            self._fail(dict.fromkeys(ids, error.reason), logged=error.message)
            self._unreachable.update(dict.fromkeys(ids, error.reason))
            return
        self._fail(dict.fromkeys(ids, error.message))
        if isinstance(error, UpstreamError) and not isinstance(error, NotFoundUpstreamError):
            self._failures_in_a_row += 1
        if self._failures_in_a_row >= _MAX_FAILURES_IN_A_ROW:
            self._stop(f"the last {self._failures_in_a_row} downloads failed")

    def _stop(self, reason: str) -> None:
        """Start no further downloads; those in progress are finished."""
        if self._stopped is None:
            self._stopped = reason
            _LOG.error("stopped: %s", reason, extra={"event": "stopped"})

    def _leave_rest(self) -> None:
        """Release all objects whose download has not started."""
        self._not_attempted.update(self._waiting, self._elsewhere)
        self._waiting.clear()
        self._elsewhere.clear()
        queued = [future for future in self._running if future.cancel()]
        if queued:
            self._give_back([self._running.pop(future) for future in queued])

    def _give_back(self, batches: Sequence[list[int]]) -> None:
        """Release the claims of objects whose download has not started."""
        ids = [i for batch in batches for i in batch]
        with self._database.writing() as connection:
            self._release(connection, ids)
        self._not_attempted.update(ids)

    def _count_unreachable(self) -> None:
        """Count the objects that were not requested because the server cannot be reached.

        A failure for each of them would repeat the same message.
        """
        reasons = set(self._unreachable.values())
        if self._stopped is None and not self._stored and len(reasons) == 1:
            self._stop(*reasons)
        if self._stopped in reasons:
            never_asked = {i for i, reason in self._unreachable.items() if reason == self._stopped}
            self._not_attempted |= never_asked
            self._failed = {i: failure for i, failure in self._failed.items() if i not in never_asked}

    def _release(self, connection: Connection, ids: Collection[int]) -> None:
        self._claims.release(connection, [self._task.key(i) for i in ids])

    def _fail(self, reasons: Mapping[int, str], *, logged: str | None = None) -> None:
        """Record failures; ``logged`` is the text for the log if the reasons do not name the object."""
        for i, reason in reasons.items():
            self._failed[i] = Failure(i, reason)
            _LOG.warning(
                "download failed: %s",
                logged or reason,
                extra={"event": "download failed", "object": self._task.key(i)},
            )
            self._progress.advance()
        if reasons and self._stop_at_failure:
            self._stop(_ONE_FAILED)

    def _finish(self, where: set[int], ids: Collection[int]) -> None:
        where.update(ids)
        if ids:
            self._progress.advance(len(ids))


def _keep_freed_memory() -> None:
    """Make glibc reuse large blocks of memory instead of returning them to the system.

    glibc returns freed memory once it exceeds twice the largest block that it has seen freed, and each thread has a
    heap of its own. Volumes are decompressed in blocks just below that limit; returning and mapping their pages again
    took a fifth of the CPU time (2,350 page faults a volume). Freeing one large block raises the limit; its pages are
    never touched.
    """
    bytearray(_LARGEST_BLOCK_BYTES)
