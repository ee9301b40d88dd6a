"""Signals that end the command line: work is stopped and cleaned up first, as after Ctrl-C.

A batch system or service manager sends SIGTERM, a terminal that is closed sends SIGHUP. The first signal raises
`TerminatedError` in the main thread, so that workers stop, claims are released and temporary files removed. A second
one ends the process at once; what it leaves is removed by later runs.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class TerminatedError(KeyboardInterrupt):
    """Raised by a signal; a KeyboardInterrupt, so that libraries treat it as Ctrl-C."""


class Signals:
    """The signals received while `handled` is active.

    Attributes
    ----------
    received : signal.Signals or None
        The first one.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal; that of Ctrl-C if none was received."""
        return 128 + (self.received or signal.SIGINT)

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals until the end of the block. Signals that are ignored, as under ``nohup``, remain ignored."""
        before = {}
        for name in _NAMES:
            # Windows has no SIGHUP.
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        for name in _NAMES:
            other = getattr(signal, name, None)
            if other is not None and signal.getsignal(other) == self._receive:
                # A closed terminal sends SIGHUP several times.
                signal.signal(other, signal.SIG_IGN if name == "SIGHUP" else signal.SIG_DFL)
        raise TerminatedError
