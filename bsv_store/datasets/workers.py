"""Calls that run at the same time, on this machine or on others, and whose results come in order."""

from __future__ import annotations

import os
import reprlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from bsv_store.check import whole_number
from bsv_store.errors import BsvStoreError, InputError

T = TypeVar("T")


class Executor(Protocol):
    """What calls can be given to: an executor of ``concurrent.futures``, or a client of Dask."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """A future: ``future.result()`` waits for what the call returns, or raises what it raised."""


def checked_workers(workers: int | None, executor: Executor | None) -> int:
    """How many calls are to be under way at a time.

    Parameters
    ----------
    workers : int or None
        None is 1, with an executor the number of processors here.

    Raises
    ------
    InputError
        If it is below 1, or nothing can be given to the executor.
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise InputError(
            f"executor is {reprlib.repr(executor)}, and calls cannot be given to it",
            hint="Give an executor of concurrent.futures or a client of Dask, such as dask.distributed.Client(); or "
            "leave it out and say workers=4.",
        )
    if workers is None:
        return 1 if executor is None else os.cpu_count() or 1
    return whole_number("workers", workers, least=1)


@contextmanager
def pool(workers: int) -> Iterator[Executor]:
    """That many processes of our own. Threads would wait for each other: HDF5 lets in one at a time."""
    import multiprocessing
    import signal
    from concurrent.futures import ProcessPoolExecutor

    # Not forked: a copy of a process with threads can stop for good. Ctrl-C ends them all, without a word.
    executor = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def in_order(executor: Executor, calls: Sequence[tuple[Any, ...]], *, at_once: int) -> Iterator[Any]:
    """The results of calls, each a function and its arguments, in their order; no more of them are under way at a time.

    Raises
    ------
    BsvStoreError
        If a process that was to do a call has gone.
    Exception
        What a call raised. Calls that have not begun by then are given up.
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
            "a process that was computing has ended, perhaps for lack of memory",
            hint="Run the same again with fewer workers. A script that asks for workers must do its work under "
            "`if __name__ == '__main__':`, since each of them imports it.",
        ) from error
    finally:
        for future in waiting:
            future.cancel()
