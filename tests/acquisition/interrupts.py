"""Ctrl-C while a worker thread is in the middle of something."""

from __future__ import annotations

import pkgutil
import signal
import threading
from typing import Any

import pytest

from bsv_store.acquisition.work.task import RunControl


def interrupt_at(monkeypatch: pytest.MonkeyPatch, function: str, *, passage: int) -> list[str]:
    """Interrupt the process at a passage of ``module:function``, which goes on when the work was given up.

    Returns
    -------
    list of str
        Threads that passed, one entry each time; it grows as they do.
    """
    place, _, name = function.rpartition(".") if "." in function.partition(":")[2] else function.rpartition(":")
    owner = pkgutil.resolve_name(place)
    real, real_stop = getattr(owner, name), RunControl.stop
    main = threading.main_thread().ident
    assert main is not None
    passed: list[str] = []
    stopped = threading.Event()

    def intercepted(*arguments: Any, **options: Any) -> Any:
        passed.append(threading.current_thread().name)
        if len(passed) == passage:
            signal.pthread_kill(main, signal.SIGINT)
            assert stopped.wait(30)
        return real(*arguments, **options)

    def stop(control: RunControl) -> None:
        real_stop(control)
        stopped.set()

    monkeypatch.setattr(owner, name, intercepted)
    monkeypatch.setattr(RunControl, "stop", stop)
    return passed
