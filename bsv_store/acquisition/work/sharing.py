"""Work on many experiments, shared with all other processes that want the same: each object is brought once.

Anything else that goes by a number, such as the annotation by its spacing, is shared in the same way.

One thread (the caller's) talks to the database: it claims what is missing, hands it to worker threads that download and
write files, and commits what they bring. What others have claimed is waited for, and taken over if they fail.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy import Connection

from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.outcome import Failure, Outcome
from bsv_store.acquisition.work.politeness import share_of_connections
from bsv_store.catalog.database.engine import Database
from bsv_store.errors import InputError, NotFoundUpstreamError, UpstreamError
from bsv_store.progress import SILENCE, Progress

B = TypeVar("B")

_SHORTEST_POLL_S = 0.05
_LONGEST_POLL_S = 1.0
# Objects claimed for each worker, the one that it is at included.
_CLAIMED_AHEAD = 4
# Just below the largest that glibc counts.
_LARGEST_BLOCK_BYTES = 32 * 1024 * 1024 - 65_536
# A server that fails so often in a row is left alone.
_MOST_FAILURES_IN_A_ROW = 20


class StoppedError(Exception):
    """Raised inside a worker thread when the work is given up; nobody outside sees it."""


class Task(ABC, Generic[B]):
    """One kind of object that is brought for experiments.

    Attributes
    ----------
    what : str
        For people, for example "projection_density at 100 um".
    host : str
        Server that is asked, of which all runs on the store share the connections.
    connections : int
        Downloads at a time that the task itself allows.
    unpacking : int
        Threads beyond those, so that the line does not idle while others unpack what they have brought.
    batch : int
        Experiments that one `bring` is for.
    kept_at_once : int
        Results that one `keep` may be for. A commit waits for the disk several times, so that one for each result
        would hold up the workers.
    """

    what: str
    host: str
    connections: int
    unpacking: int = 0
    batch: int = 1
    kept_at_once: int = 1

    @abstractmethod
    def key(self, experiment_id: int) -> str:
        """The name under which the object is claimed."""

    @abstractmethod
    def present(self, ids: Collection[int]) -> set[int]:
        """Those of the experiments whose object is in the store, so that it need not be brought."""

    @abstractmethod
    def bring(self, ids: Sequence[int], watch: Watch) -> B:
        """Download, check and publish; in a worker thread, without the database.

        Raises
        ------
        UpstreamError
            If upstream fails: the experiments are reported, the rest goes on.
        """

    @abstractmethod
    def keep(self, brought: Sequence[B], ids: Sequence[int], claims: Claims) -> Kept:
        """Commit what was brought, and release the claims; what became of those that are not in the store now."""

    @abstractmethod
    def cut(self) -> None:
        """Make what `bring` waits for fail at once, in whatever thread."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a commit did not keep.

    Attributes
    ----------
    lost : frozenset of int
        Experiments whose claim somebody else had taken over.
    absent : mapping of int to str
        Experiments for which upstream has nothing, and the reason for people.
    """

    lost: frozenset[int] = frozenset()
    absent: Mapping[int, str] = field(default_factory=dict)


class Watch:
    """What a worker thread reports to, and learns from that it should stop."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.size_bytes = 0

    def on_bytes(self, count: int) -> None:
        """Count bytes that have arrived.

        Raises
        ------
        StoppedError
            If the work was given up.
        """
        if self._stop.is_set():
            raise StoppedError
        if count:
            with self._lock:
                self.size_bytes += count
            self._progress.advance(0, size_bytes=count)

    def go_on(self) -> None:
        """Go on with what takes long and brings no bytes, such as unpacking.

        Raises
        ------
        StoppedError
            If the work was given up.
        """
        self.on_bytes(0)

    def stop(self) -> None:
        """Make every worker give up at its next bytes, or block of what it unpacks."""
        self._stop.set()

    def pause(self, seconds: float) -> None:
        """Wait, or until somebody stops the work."""
        self._stop.wait(seconds)


class SharedWork(Generic[B]):
    """One run of a task over some experiments.

    Parameters
    ----------
    database : Database
    task : Task
    workers : int
        Downloads at the same time, if so many connections are left.
    progress : Progress, optional
    """

    def __init__(self, database: Database, task: Task[B], *, workers: int, progress: Progress | None = None) -> None:
        if workers < 1:
            raise InputError(f"{workers} workers cannot do anything", hint="At least 1.")
        self._database = database
        self._task = task
        self._workers = workers
        self._progress = progress or SILENCE
        self._claims = Claims(database)
        self.watch = Watch(self._progress)
        self._waiting: deque[int] = deque()
        self._elsewhere: set[int] = set()
        self._running: dict[Future[B], list[int]] = {}
        self._brought: set[int] = set()
        self._present: set[int] = set()
        self._failed: dict[int, Failure] = {}
        self._failures_in_a_row = 0
        self._poll_s = _SHORTEST_POLL_S

    def run(self, ids: Sequence[int]) -> Outcome:
        """What became of each experiment. Nothing is written if all is there.

        Raises
        ------
        NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
            If the store fails: then going on makes no sense. What has been brought stays.
        """
        self._present = self._task.present(ids)
        self._waiting = deque(i for i in ids if i not in self._present)
        if self._waiting:
            self._progress.start(len(self._waiting), self._task.what)
            try:
                self._work()
            finally:
                self._progress.finish()
        return Outcome(
            tuple(i for i in ids if i in self._brought),
            tuple(i for i in ids if i in self._present),
            tuple(self._failed[i] for i in ids if i in self._failed),
        )

    def _work(self) -> None:
        _let_freed_memory_be_kept()
        try:
            self._workers = self._threads()
        except BaseException:
            self._claims.release_all()
            raise
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="bsv-store-bring")
        try:
            while self._waiting or self._running or self._elsewhere:
                self._fill(pool)
                self._collect(pool)
                self._claims.renew_if_due()
        finally:
            # Also after Ctrl-C: workers give up, and what they held is free for others.
            self.watch.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            while under_way := [future for future in self._running if not future.done()]:
                # Again and again: one may just be about to open its connection.
                self._task.cut()
                wait(under_way, timeout=_SHORTEST_POLL_S)
            pool.shutdown(wait=True)
            self._claims.release_all()

    def _threads(self) -> int:
        task = self._task
        wanted = min(self._workers, task.connections)
        granted = share_of_connections(self._database, self._claims, task.host, wanted=wanted)
        # Where the task allows more than were granted, the number of threads is what keeps to it.
        return granted + task.unpacking if granted == task.connections else granted

    def _fill(self, pool: ThreadPoolExecutor) -> None:
        """Claim as much as the workers can soon begin, and hand it to them."""
        if not self._waiting and self._elsewhere and len(self._running) < self._workers:
            self._look_elsewhere()
        # Ahead, so that no worker idles while the database is busy, and not for each of them: that is a commit too.
        if len(self._running) > self._workers:
            return
        room = _CLAIMED_AHEAD * self._workers - len(self._running)
        batch = self._task.batch
        wanted = [self._waiting.popleft() for _ in range(min(room * batch, len(self._waiting)))]
        if not wanted:
            return
        mine = self._claimed(wanted)
        for start in range(0, len(mine), batch):
            self._submit(pool, mine[start : start + batch])

    def _claimed(self, wanted: Sequence[int]) -> list[int]:
        """Those that are ours to bring; what others hold is noted, what they have brought by now is done."""
        keys = {self._task.key(i): i for i in wanted}
        with self._database.writing() as connection:
            granted = {keys[key] for key in self._claims.take(connection, keys)}
        self._elsewhere.update(i for i in wanted if i not in granted)
        # Looked up after the claim: who held it before has committed by then.
        there = self._task.present(granted)
        if there:
            with self._database.writing() as connection:
                self._release(connection, there)
            self._done(self._present, there)
        return [i for i in wanted if i in granted and i not in there]

    def _look_elsewhere(self) -> None:
        keys = {self._task.key(i): i for i in self._elsewhere}
        there = self._task.present(self._elsewhere)
        with self._database.reading() as connection:
            free = {keys[key] for key in self._claims.free(connection, keys)} - there
        self._done(self._present, there)
        self._waiting.extend(sorted(free))
        self._elsewhere -= there | free
        self._poll_s = _SHORTEST_POLL_S if there or free else min(2 * self._poll_s, _LONGEST_POLL_S)

    def _submit(self, pool: ThreadPoolExecutor, ids: list[int]) -> None:
        self._running[pool.submit(self._task.bring, ids, self.watch)] = ids

    def _collect(self, pool: ThreadPoolExecutor) -> None:
        if not self._running:
            if self._elsewhere and not self._waiting:
                self.watch.pause(self._poll_s)
            return
        # The longest wait keeps claims alive while all workers are at slow downloads.
        done, _ = wait(self._running, timeout=self._poll_s if self._elsewhere else 5.0, return_when=FIRST_COMPLETED)
        results: list[tuple[B, list[int]]] = []
        for future in done:
            ids = self._running.pop(future)
            try:
                results.append((future.result(), ids))
            except (UpstreamError, InputError) as error:
                self._failed_for(pool, ids, error)
        # All that came while the last commit was waiting for the disk goes into the next one.
        for start in range(0, len(results), self._task.kept_at_once):
            self._keep(pool, results[start : start + self._task.kept_at_once])

    def _keep(self, pool: ThreadPoolExecutor, results: Sequence[tuple[B, list[int]]]) -> None:
        ids = [i for _, of_one in results for i in of_one]
        try:
            kept = self._task.keep([brought for brought, _ in results], ids, self._claims)
        except (UpstreamError, InputError) as error:
            self._failed_for(pool, ids, error)
        else:
            self._failures_in_a_row = 0
            self._elsewhere |= kept.lost
            self._done(self._brought, set(ids) - kept.lost - kept.absent.keys())
            self._fail(kept.absent)

    def _failed_for(self, pool: ThreadPoolExecutor, ids: list[int], error: UpstreamError | InputError) -> None:
        if len(ids) > 1:
            # One of them may be at fault: the others are not to suffer.
            for i in ids:
                self._submit(pool, [i])
            return
        with self._database.writing() as connection:
            self._release(connection, ids)
        self._fail({ids[0]: error.message})
        if isinstance(error, UpstreamError) and not isinstance(error, NotFoundUpstreamError):
            self._failures_in_a_row += 1
        if self._failures_in_a_row >= _MOST_FAILURES_IN_A_ROW:
            self._give_up()

    def _give_up(self) -> None:
        """Leave a server alone that answers nothing."""
        reason = f"{self._task.what}: not tried, for the last {self._failures_in_a_row} downloads failed"
        self._fail(dict.fromkeys((*self._waiting, *self._elsewhere), reason))
        self._waiting.clear()
        self._elsewhere.clear()

    def _release(self, connection: Connection, ids: Collection[int]) -> None:
        self._claims.release(connection, [self._task.key(i) for i in ids])

    def _fail(self, reasons: Mapping[int, str]) -> None:
        for i, reason in reasons.items():
            self._failed[i] = Failure(i, reason)
            self._progress.advance()

    def _done(self, where: set[int], ids: Collection[int]) -> None:
        where.update(ids)
        if ids:
            self._progress.advance(len(ids))


def _let_freed_memory_be_kept() -> None:
    """Teach the C library that large blocks come and go.

    glibc gives freed memory back as soon as it exceeds twice the largest block that it has ever seen freed, and each
    thread has a heap of its own. Volumes are unpacked in blocks just below that, over and over: returning and mapping
    their pages anew took a fifth of the CPU (2,350 page faults a volume). A large block freed once raises the limit;
    its pages are never touched.
    """
    bytearray(_LARGEST_BLOCK_BYTES)
