"""Child processes for tests that start with everything imported, which saves each more than a second of CPU.

They are forked by a server process that has imported the package, without threads or connections. Otherwise they are
processes like any other: they are killed or interrupted, and what they wrote is read.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


class Child:
    """A process that makes one call, with the methods of `subprocess.Popen` that the tests need.

    Parameters
    ----------
    target : callable
        A function of a module that is not a test module, which would be imported again.
    arguments
        Of the call.
    kill_at : str, optional
        The checkpoint at which the process is to die.
    """

    def __init__(self, target: Callable[..., object], *arguments: Any, kill_at: str | None = None) -> None:
        environment = {**os.environ, **({} if kill_at is None else {"BSV_STORE_KILL_AT": kill_at})}
        self._folder = tempfile.TemporaryDirectory(prefix="bsv-store-child-")
        self._files = [Path(self._folder.name) / name for name in ("output", "errors")]
        self._said = ("", "")
        umask = os.umask(0)
        os.umask(umask)
        self._process = _context().Process(target=_run, args=(target, arguments, environment, umask, self._files))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def wrote(self) -> str:
        """What it has written to its output, while it runs."""
        return self._files[0].read_text(encoding="utf-8") if self._files[0].exists() else ""

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote to its two streams, when it has ended.

        Raises
        ------
        subprocess.TimeoutExpired
            If it does not end in time.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self._process), timeout)
        self._forget()
        return self._said

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, as a power cut would; nothing happens if it has ended."""
        self._process.kill()

    def _forget(self) -> None:
        if any(path.exists() for path in self._files):
            output, errors = (path.read_text(encoding="utf-8") if path.exists() else "" for path in self._files)
            self._said = output, errors
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.join()
        self._forget()
        self._process.close()


def read_in_fork(file: Path) -> int:
    """What `bsv_store.volumes.hdf5_probe.read_in_process` returns, from a process that has everything imported."""
    from bsv_store.volumes.hdf5_probe import TIMEOUT_S, read_all

    with Child(read_all, file) as process:
        process.communicate(TIMEOUT_S)
        assert process.returncode is not None
        return process.returncode


class PreloadedContext(ForkServerContext):
    """Starts processes that have everything imported, with the environment of the process that starts them."""

    def Process(self, *, target: Callable[..., object], args: tuple[Any, ...] = ()) -> ForkServerProcess:  # type: ignore[override]  # noqa: N802
        return _context().Process(target=_with_environment, args=(dict(os.environ), target, args))


def _with_environment(
    environment: Mapping[str, str], target: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)


@functools.cache
def ended_process() -> str:
    """The identity of a process that has ended, by `bsv_store.owner`."""
    with Child(_print_owner) as process:
        output, errors = process.communicate(60)
    assert errors == ""
    return output.strip()


def _print_owner() -> None:
    from bsv_store.owner import process_owner

    print(process_owner())  # noqa: T201


@contextlib.contextmanager
def forked(target: Callable[[Connection], object]) -> Iterator[Connection]:
    """The end of a pipe, the other end of which has a process that calls ``target`` with it.

    The process ends when this end is closed, or is killed.
    """
    ours, theirs = multiprocessing.Pipe()
    process = _context().Process(target=target, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(10)
        process.kill()
        process.join()


@functools.cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    with pytest.MonkeyPatch.context() as patch:
        # Threads of a library would not be there after a fork.
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "cli"), str(CHECKOUT / "synthetic")]))
        patch.chdir(CHECKOUT)
        forkserver.ensure_running()
    return context


def _run(
    target: Callable[..., object],
    arguments: tuple[Any, ...],
    environment: Mapping[str, str],
    umask: int,
    files: list[Path],
) -> None:
    """In the process: make the call, with streams and environment as in a new process."""
    for stream, path in enumerate(files, start=1):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, stream)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.umask(umask)
    target(*arguments)
