"""Long operations that run in threads, and how they end when the server stops."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from bsv_store.errors import BusyError

T = TypeVar("T")

_STOP_S: Final = 4.0
# Longer than an operation takes to remove its temporary files, which the exception would interrupt.
_REPEAT_S: Final = 1.5


class _StoppedError(BaseException):
    """Raised inside an operation that must end. Not an `Exception`, which the operation could handle."""


class LongWork:
    """The long operations of one server process. Thread-safe."""

    def __init__(self) -> None:
        self._threads: set[int] = set()
        self._changed = threading.Condition()

    def run(self, work: Callable[[], T]) -> T:
        """The result of an operation.

        Raises
        ------
        BusyError
            If `stop` ended it.
        """
        thread = threading.get_ident()
        try:
            with self._changed:
                self._threads.add(thread)
            try:
                return work()
            finally:
                with self._changed:
                    self._threads.discard(thread)
                    self._changed.notify_all()
        except _StoppedError:
            # It may have interrupted the block above.
            with self._changed:
                self._threads.discard(thread)
                self._changed.notify_all()
            raise BusyError("the operation was stopped, because the server is shutting down") from None

    def stop(self) -> None:
        """End all running operations. Returns when they have ended, or after a few seconds.

        Exports cannot be asked to stop, so an exception is raised in their threads, at the next instruction of Python.
        It passes their context managers, which remove temporary files.
        """
        deadline = time.monotonic() + _STOP_S
        with self._changed:
            while self._threads and time.monotonic() < deadline:
                for thread in self._threads:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_StoppedError))
                # Raised again later, because code that is called by a C library may lose an exception. Not when one of
                # several operations ends, since the others are ending, too.
                self._changed.wait_for(lambda: not self._threads, _REPEAT_S)
