"""The interface of tasks, each of which downloads one kind of object, to the runner that shares downloads."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bsv_store.acquisition.work.claims import Claims
from bsv_store.progress import Progress
from bsv_store.vocabulary import Action

T = TypeVar("T")


class StoppedError(Exception):
    """Raised inside a worker thread when the run was stopped; never leaves the run."""


class Task(ABC, Generic[T]):
    """A task: downloads one kind of object for experiments.

    Objects with another kind of number, such as the annotation with its spacing, are handled in the same way.

    Attributes
    ----------
    what : str
        For messages, for example "projection_density at 100 um".
    action : Action
        What is recorded of the run in the activity.
    subject : str
        Of the recorded activity.
    host : str
        The server. All runs on the store share the connections to it.
    connections : int
        Maximum number of simultaneous downloads of this task.
    max_connections : int
        Connections to the server that all runs on the store share.
    extra_threads : int
        Threads beyond the connections, so that downloads continue while other threads decompress.
    download_batch : int
        Number of experiments of one call of `download`.
    commit_batch : int
        Maximum number of downloads that one call of `commit` stores. A commit waits for the disk several times, so
        one commit for each download would slow down the workers.
    """

    what: str
    action: Action
    subject: str
    host: str
    connections: int
    max_connections: int
    extra_threads: int = 0
    download_batch: int = 1
    commit_batch: int = 1

    @abstractmethod
    def key(self, experiment_id: int) -> str:
        """The key under which the object is claimed."""

    @abstractmethod
    def present(self, ids: Collection[int]) -> set[int]:
        """The experiments whose object is in the store and need not be downloaded."""

    @abstractmethod
    def download(self, ids: Sequence[int], control: RunControl) -> T:
        """Download, check and publish the objects. Runs in a worker thread, without access to the database.

        Raises
        ------
        UpstreamError
            If the download fails. The experiments are reported; the run continues.
        """

    @abstractmethod
    def commit(self, downloads: Sequence[T], ids: Sequence[int], claims: Claims) -> CommitResult:
        """Record the downloads of these experiments in the database, and release their claims."""

    @abstractmethod
    def abort(self) -> None:
        """Abort the transfers that `download` is waiting for, in all threads."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The experiments whose download a commit did not store.

    Attributes
    ----------
    lost : frozenset of int
        Experiments whose claim another process has taken over.
    absent : mapping of int to str
        Experiments for which the server has no data, with the reason.
    """

    lost: frozenset[int] = frozenset()
    absent: Mapping[int, str] = field(default_factory=dict)


class RunControl:
    """The connection of worker threads to their run: it counts received bytes and signals when to stop."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._working = 0
        self.size_bytes = 0

    def on_bytes(self, count: int) -> None:
        """Count received bytes.

        Raises
        ------
        StoppedError
            If the run was stopped.
        """
        if self._stop.is_set():
            raise StoppedError
        if count:
            with self._lock:
                self.size_bytes += count
            self._progress.advance(0, size_bytes=count)

    def raise_if_stopped(self) -> None:
        """Check during long work that receives no bytes, such as decompression.

        Raises
        ------
        StoppedError
            If the run was stopped.
        """
        self.on_bytes(0)

    def stop(self) -> None:
        """Stop every worker when it next reports bytes or checks."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Wait for this time, or until the run is stopped."""
        self._stop.wait(seconds)

    @contextmanager
    def working(self) -> Iterator[None]:
        """A block of a worker thread, for which `wait_until_idle` waits.

        Raises
        ------
        StoppedError
            If the run was stopped before the block.
        """
        with self._idle:
            self._working += 1
        try:
            # After it is counted: a worker that passes the check is waited for.
            self.raise_if_stopped()
            yield
        finally:
            with self._idle:
                self._working -= 1
                self._idle.notify_all()

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no worker thread is working; False if one still is after this time."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._working, timeout=seconds)
