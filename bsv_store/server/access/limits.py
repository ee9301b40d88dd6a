"""Limits on the rate of requests: a token bucket for each token or client address."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from bsv_store.server.access.buckets import Bucket, Buckets, LocalBuckets

_BURST_S = 5.0


@dataclass(frozen=True, slots=True)
class Quota:
    """What a client may still do after a request.

    Attributes
    ----------
    is_within : bool
        Whether the request is permitted.
    remaining : int
        Requests that are permitted at once.
    retry_after_s : int
        Whole seconds until the next request is permitted; 0 if it is now.
    reset_s : int
        Whole seconds until all requests of a burst are permitted again.
    """

    is_within: bool
    remaining: int
    retry_after_s: int
    reset_s: int


class RateLimit:
    """Token buckets by client.

    Parameters
    ----------
    per_second : float
        Requests per second; a client may send those of five seconds at once.
    clock : callable
        Seconds that never decrease.
    buckets : Buckets, optional
        By default those of this process.
    """

    def __init__(
        self, per_second: float, *, clock: Callable[[], float] = time.monotonic, buckets: Buckets | None = None
    ) -> None:
        self.per_second = per_second
        self.burst = max(1, math.ceil(per_second * _BURST_S))
        self.policy = f'"requests";q={self.burst};w={math.ceil(self.burst / per_second)}'.encode()
        self._clock = clock
        self._buckets = LocalBuckets() if buckets is None else buckets

    def take(self, client: str) -> Quota:
        """Count a request of a client, unless it is above the limit."""
        now = self._clock()
        is_within, content = False, 0.0

        def taken(found: Bucket | None) -> Bucket:
            nonlocal is_within, content
            content, before = (float(self.burst), now) if found is None else found
            content = min(float(self.burst), content + max(0.0, now - before) * self.per_second)
            is_within = content >= 1
            if is_within:
                content -= 1
            # Another worker may have looked at the clock later.
            return content, max(now, before)

        self._buckets.update(client, taken)
        wait = 0 if is_within else math.ceil((1 - content) / self.per_second)
        return Quota(is_within, int(content), wait, math.ceil((self.burst - content) / self.per_second))
