"""Counters of requests, as metrics of Prometheus. Those of several worker processes are added up.

Each worker writes its counters to a file in a folder that all workers of a server share, at most once per second. So
any of them can answer for all, and the counters of a worker that was replaced are not lost.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from bsv_store.documents import json_value, read_document

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_INTERVAL_S = 1.0

LOG = logging.getLogger("bsv_store.server")


class ServerMetrics:
    """The counters of one worker process, and those of the others in the same folder.

    Parameters
    ----------
    folder : pathlib.Path, optional
        A folder that the workers of one server share.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = None if folder is None else folder / f"{os.getpid()}.json"
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()
        self._bytes = 0
        self._cache: Counter[tuple[str, str]] = Counter()
        self._errors = 0
        self._lock = threading.Lock()
        self._next_save = 0.0
        self.in_flight = 0

    def count_request(self, method: str, route: str, status: int, seconds: float, size_bytes: int) -> None:
        """Count an answered request. Called in the event loop only."""
        self._requests[method, route, status] += 1
        buckets = self._buckets.get(route)
        if buckets is None:
            buckets = self._buckets[route] = [0] * (len(BUCKETS_S) + 1)
        buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self._seconds[route] += seconds  # type: ignore[assignment]
        self._bytes += size_bytes
        if self._file is not None and time.monotonic() >= self._next_save:
            self.save()

    def count_cache(self, cache: str, *, hit: bool) -> None:
        """Count a look-up in a cache of the server, such as ``answers``. Safe in threads."""
        with self._lock:
            self._cache[cache, "hit" if hit else "miss"] += 1

    def count_error(self) -> None:
        """Count an unexpected error."""
        self._errors += 1

    def save(self) -> None:
        """Write the counters to the shared folder, if there is one."""
        self._next_save = time.monotonic() + _INTERVAL_S
        if self._file is None:
            return
        part = self._file.with_suffix(".part")
        try:
            part.write_text(json.dumps(self._values()), encoding="utf-8")
            part.replace(self._file)
        except FileNotFoundError:
            # The folder is removed when the server stops.
            return
        except OSError as error:
            LOG.warning("the counters cannot be written for the other workers: %s", error)

    def _values(self) -> dict[str, Any]:
        with self._lock:
            cache = [[*key, count] for key, count in self._cache.items()]
        # The event loop may count a request meanwhile; these copies are made in one step.
        return {
            "requests": [[*key, count] for key, count in list(self._requests.items())],
            "buckets": dict(self._buckets),
            "seconds": dict(self._seconds),
            "bytes": self._bytes,
            "cache": cache,
            "errors": self._errors,
            "in_flight": self.in_flight,
        }

    def _all_values(self) -> list[dict[str, Any]]:
        others = []
        for path in [] if self._file is None else sorted(self._file.parent.glob("*.json")):
            if path != self._file:
                # A worker may be starting.
                with contextlib.suppress(FileNotFoundError):
                    others.append(json_value(read_document(path)))
        return [self._values(), *others]

    def exposition(self) -> str:
        """The metrics of all workers in the text format of Prometheus."""
        workers = self._all_values()
        requests: Counter[tuple[str, str, int]] = Counter()
        cache: Counter[tuple[str, str]] = Counter()
        seconds: Counter[str] = Counter()
        buckets: dict[str, list[int]] = {}
        for values in workers:
            requests.update({(method, route, status): count for method, route, status, count in values["requests"]})
            cache.update({(name, result): count for name, result, count in values["cache"]})
            seconds.update(values["seconds"])
            for route, counts in values["buckets"].items():
                before = buckets.get(route, [0] * len(counts))
                buckets[route] = [a + b for a, b in zip(before, counts, strict=True)]
        lines = [
            *_family("requests_total", "counter", "Answered requests."),
            *(
                _sample("requests_total", count, method=method, route=route, status=status)
                for (method, route, status), count in sorted(requests.items())
            ),
            *_family("request_duration_seconds", "histogram", "Time from a request to the end of its answer."),
        ]
        for route, counts in sorted(buckets.items()):
            lines += _histogram(route, counts, seconds[route])
        lines += [
            *_family("response_bytes_total", "counter", "Bytes of answers, without headers."),
            _sample("response_bytes_total", sum(values["bytes"] for values in workers)),
            *_family("errors_total", "counter", "Requests that failed by an unexpected error."),
            _sample("errors_total", sum(values["errors"] for values in workers)),
            *_family("requests_in_progress", "gauge", "Requests that are being answered."),
            _sample("requests_in_progress", sum(values["in_flight"] for values in workers)),
            *_family("cache_total", "counter", "Look-ups in caches of the server."),
            *(_sample("cache_total", n, cache=name, result=result) for (name, result), n in sorted(cache.items())),
        ]
        return "\n".join(lines) + "\n"


def forget_requests(folder: Path, process_id: int | None) -> None:
    """Record that a worker which ended has no requests in progress; its other counters stay."""
    file = folder / f"{process_id}.json"
    try:
        values = json_value(read_document(file))
        part = file.with_suffix(".part")
        part.write_text(json.dumps({**values, "in_flight": 0}), encoding="utf-8")
        part.replace(file)
    except FileNotFoundError:
        # It ended before it had written them.
        return
    except OSError as error:
        LOG.warning("the counters of a worker that ended cannot be corrected: %s", error)


def _family(name: str, kind: str, words: str) -> Iterable[str]:
    return f"# HELP bsv_store_server_{name} {words}", f"# TYPE bsv_store_server_{name} {kind}"


def _sample(name: str, value: float, **labels: object) -> str:
    # Values of labels are methods, routes and names of the server itself, none of which need escapes.
    text = ",".join(f'{key}="{each}"' for key, each in labels.items())
    return f"bsv_store_server_{name}{{{text}}} {value}" if text else f"bsv_store_server_{name} {value}"


def _histogram(route: str, counts: list[int], seconds: float) -> Iterable[str]:
    total = 0
    for limit, count in zip((*BUCKETS_S, "+Inf"), counts, strict=True):
        total += count
        yield _sample("request_duration_seconds_bucket", total, route=route, le=limit)
    yield _sample("request_duration_seconds_sum", round(seconds, 6), route=route)
    yield _sample("request_duration_seconds_count", total, route=route)
