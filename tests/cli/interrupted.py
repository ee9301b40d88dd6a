"""The command line in a process that gets a signal, with parts that are held up until it does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

_HELD_S = 600


def command(arguments: tuple[object, ...], variables: Mapping[str, str]) -> None:
    """Run a command; the target of a `tests.processes.Child`."""
    os.environ.update(variables)
    folder = os.environ.get("TEST_HELD")
    if "TEST_LARGE" in os.environ:
        # As at 25 um, at a size that a test can afford; spools are temporary files.
        from bsv_store.formats import nrrd
        from bsv_store.volumes import grid

        grid.LARGE_VOXELS, nrrd._BLOCK_BYTES = 1, 1 << 20
    if folder is not None and "aggregate" in arguments:
        from bsv_store.averaging import passes

        passes.run = held  # type: ignore[assignment]
    elif folder is not None:
        from bsv_store.acquisition.work.claims import Claims

        Claims.release_all = held  # type: ignore[method-assign]
    from bsv_store_cli.main import main

    sys.argv = ["bsv-store", *map(str, arguments)]
    main()


def serve(arguments: tuple[object, ...]) -> None:
    """Run ``bsv-store serve`` or another command that starts processes; the target of a `tests.processes.Child`."""
    # The processes import the main module again, which is pytest's here.
    sys.modules["__main__"] = ModuleType("__main__")
    command(arguments, {})


def serve_in_forks(arguments: tuple[object, ...]) -> None:
    """Like `serve`, but with forks as workers, because a new process takes a second for its imports."""
    from bsv_store.server import run

    new_context, work = multiprocessing.get_context, run._work

    def in_fork(*worker_arguments: Any) -> None:
        # A fork has the handlers of the supervisor.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        work(*worker_arguments)

    run._work = in_fork  # type: ignore[assignment]
    multiprocessing.get_context = lambda _method=None: new_context("fork")  # type: ignore[assignment]
    command(arguments, {})


def held(*_arguments: Any, **_options: Any) -> None:
    """Say that this process is here, and stay."""
    (Path(os.environ["TEST_HELD"]) / str(os.getpid())).touch()
    time.sleep(_HELD_S)


if __name__ == "__main__":
    command(tuple(sys.argv[1:]), {})
