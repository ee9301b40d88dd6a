"""Run calls simultaneously, on this machine or on others, with results in order."""

from __future__ import annotations

import os
import reprlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bsv_store.check import whole_number
from bsv_store.errors import BsvStoreError, InputError

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

T = TypeVar("T")


class Executor(Protocol):
    """An executor of ``concurrent.futures``, a Dask client, or anything else with this method."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """A future, whose method ``result()`` waits for the call and returns its result, or raises its error."""


def checked_workers(workers: int | None, executor: Executor | None) -> int:
    """The number of simultaneous calls.

    Parameters
    ----------
    workers : int or None
        None means 1, with an executor the number of processors of this machine.

    Raises
    ------
    InputError
        If it is not a positive integer, or the executor is not valid.
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise InputError(
            f"executor must have a method submit, got {reprlib.repr(executor)}",
            hint="Use an executor of concurrent.futures, a Dask client, or workers=4 without an executor.",
        )
    if workers is None:
        return 1 if executor is None else os.cpu_count() or 1
    return whole_number("workers", workers, least=1)


@contextmanager
def pool(workers: int) -> Iterator[Executor]:
    """A pool of processes. Threads would not help, since HDF5 allows one at a time."""
    from concurrent.futures import ProcessPoolExecutor

    executor = ProcessPoolExecutor(workers, mp_context=start_context(), initializer=_begin_worker)
    try:
        yield executor
    except BaseException:
        # A pass may take minutes: do not wait for it.
        for process in list(executor._processes.values()):
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def start_context() -> BaseContext:
    """How worker processes are started: as new ones, since a forked process with threads can deadlock."""
    import multiprocessing

    return multiprocessing.get_context("spawn")


def _begin_worker() -> None:
    """Make a worker process end with its parent, and at SIGINT without a traceback."""
    import signal
    import threading

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, name="bsv-store-parent", daemon=True).start()


def _end_with_parent() -> None:
    # A worker that waits for its next call would not notice that its parent was killed.
    from multiprocessing import parent_process

    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def in_order(executor: Executor, calls: Sequence[tuple[Any, ...]], *, at_once: int) -> Iterator[Any]:
    """The results of calls, each a function and its arguments, in their order.

    Parameters
    ----------
    executor : Executor
    calls : sequence of tuple
    at_once : int
        Maximum number of simultaneous calls.

    Raises
    ------
    BsvStoreError
        If a process ended unexpectedly.
    Exception
        The error of a call. Calls that have not started are canceled.
    """
    from concurrent.futures import BrokenExecutor

    waiting: deque[Any] = deque()
    try:
        for call in calls:
            waiting.append(executor.submit(*call))
            if len(waiting) >= at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenExecutor as error:
        raise BsvStoreError(
            "a worker process ended unexpectedly, perhaps because memory ran out",
            hint="Use fewer workers. A script that uses workers needs `if __name__ == '__main__':`, since each worker "
            "imports it.",
        ) from error
    finally:
        for future in waiting:
            future.cancel()
