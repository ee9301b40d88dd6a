"""Politeness: at most so many requests at a time to one host, and none while it has asked us to wait."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SLICE_S = 0.25


class Clock:
    """The time, and waiting for it; tests bring one that waits for nothing."""

    def now(self) -> float:
        """Seconds that only ever grow."""
        return time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait until the condition, which the caller holds, is notified, or for so long."""
        condition.wait(seconds)


class HostGate:
    """Turns for requests, host by host. Safe to share between threads.

    Parameters
    ----------
    connections : int
        Requests that may run to one host at a time.
    clock : Clock
    """

    def __init__(self, connections: int, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._changed = threading.Condition()
        self._running: Counter[str] = Counter()
        self._closed_until: dict[str, float] = {}

    @contextmanager
    def turn(self, host: str, keep_waiting: Callable[[], None]) -> Iterator[None]:
        """Wait for a turn and hold it; ``keep_waiting`` is called again and again and raises to give up."""
        with self._changed:
            while (seconds := self._obstacle_s(host)) > 0:
                keep_waiting()
                self._clock.wait(self._changed, min(seconds, _SLICE_S))
            self._running[host] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running[host] -= 1
                self._changed.notify_all()

    def close_for(self, host: str, seconds: float) -> None:
        """Give no turn to this host for so long: it has sent Retry-After, which holds for all that we ask of it."""
        with self._changed:
            self._closed_until[host] = max(self._closed_until.get(host, 0.0), self._clock.now() + seconds)

    def _obstacle_s(self, host: str) -> float:
        pause = self._closed_until.get(host, 0.0) - self._clock.now()
        if pause > 0:
            return pause
        return _SLICE_S if self._running[host] >= self._connections else 0.0
