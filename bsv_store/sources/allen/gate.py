"""Limit requests to a host: a maximum number at a time, and none while it has asked clients to wait."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SLICE_S = 0.25


class Clock:
    """Time and waiting; tests use a clock that does not wait."""

    def now(self) -> float:
        """Monotonic time in seconds."""
        return time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait until the condition, which the caller holds, is notified, or for this time."""
        condition.wait(seconds)


class HostGate:
    """Slots for requests, for each host. Safe to share between threads.

    Parameters
    ----------
    connections : int
        Maximum number of simultaneous requests to one host.
    clock : Clock
    """

    def __init__(self, connections: int, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._changed = threading.Condition()
        self._running: Counter[str] = Counter()
        self._paused_until: dict[str, float] = {}

    @contextmanager
    def slot(self, host: str, check: Callable[[], None]) -> Iterator[None]:
        """Wait for a slot and hold it; ``check`` is called repeatedly while waiting and may raise to stop."""
        with self._changed:
            while (seconds := self._wait_s(host)) > 0:
                check()
                self._clock.wait(self._changed, min(seconds, _SLICE_S))
            self._running[host] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running[host] -= 1
                self._changed.notify_all()

    def pause(self, host: str, seconds: float) -> None:
        """Give no slot for this host for this time: its Retry-After applies to all requests."""
        with self._changed:
            self._paused_until[host] = max(self._paused_until.get(host, 0.0), self._clock.now() + seconds)

    def _wait_s(self, host: str) -> float:
        pause = self._paused_until.get(host, 0.0) - self._clock.now()
        if pause > 0:
            return pause
        return _SLICE_S if self._running[host] >= self._connections else 0.0
