"""A load generator for HTTP servers: many clients in one process, with connections that stay open."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np


@dataclass
class Load:
    """What the clients measured.

    Attributes
    ----------
    seconds : list of float
        Time of each request, from the first byte sent to the last one received.
    size_bytes : int
        Length of all bodies.
    elapsed_s : float
        Time of the whole run.
    """

    seconds: list[float] = field(default_factory=list)
    size_bytes: int = 0
    elapsed_s: float = 0.0

    def figures(self) -> dict[str, float]:
        """Median, 99th percentile and highest time of a request, ms; requests and MB per second."""
        times = np.array(self.seconds) * 1e3
        return {
            "requests": float(len(times)),
            "p50_ms": float(np.percentile(times, 50)),
            "p99_ms": float(np.percentile(times, 99)),
            "max_ms": float(times.max()),
            "requests_per_s": len(times) / self.elapsed_s,
            "mb_per_s": self.size_bytes / 1e6 / self.elapsed_s,
        }


def load(
    url: str,
    targets: Iterable[str],
    *,
    clients: int = 50,
    requests: int,
    headers: Mapping[str, str] | None = None,
    pause_s: float = 0.0,
) -> Load:
    """Send requests from simultaneous clients, each of which waits for its answer before it sends the next.

    Parameters
    ----------
    url : str
        Base address.
    targets : iterable of str
        Paths with queries, requested in turn and repeatedly.
    clients : int
    requests : int
        Number of requests of all clients together.
    headers : mapping, optional
        Of each request.
    pause_s : float
        Time between an answer and the next request of a client.

    Raises
    ------
    RuntimeError
        If an answer is not 200 or 206.
    """
    return asyncio.run(_load(url, itertools.cycle(targets), clients, requests, headers or {}, pause_s))


async def _load(
    url: str, targets: Iterable[str], clients: int, requests: int, headers: Mapping[str, str], pause_s: float
) -> Load:
    result = Load()
    left = iter(range(requests))
    queue = iter(targets)
    start = time.perf_counter()
    await asyncio.gather(*(_client(url, queue, left, headers, result, pause_s) for _ in range(clients)))
    result.elapsed_s = time.perf_counter() - start
    return result


async def _client(
    url: str,
    targets: Iterable[str],
    left: Iterable[int],
    headers: Mapping[str, str],
    result: Load,
    pause_s: float,
) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    fixed = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    queue = iter(targets)
    try:
        for _ in left:
            target = next(queue)
            began = time.perf_counter()
            request = f"GET {parts.path}{target} HTTP/1.1\r\nHost: {parts.netloc}\r\n{fixed}\r\n"
            writer.write(request.encode())
            received = await _answer(reader, target)
            result.size_bytes += received
            result.seconds.append(time.perf_counter() - began)
            if pause_s:
                await asyncio.sleep(pause_s)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, target: str) -> int:
    """Read one answer; returns the length of its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if status not in (200, 206):
        raise RuntimeError(f"{target} was answered with status {status}")
    if b"\r\ntransfer-encoding: chunked" in head:
        return await _chunks(reader)
    length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
    left = length
    while left:
        received = len(await reader.read(min(left, 1 << 18)))
        if not received:
            raise RuntimeError(f"the answer to {target} is {left} bytes short")
        left -= received
    return length


async def _chunks(reader: asyncio.StreamReader) -> int:
    total = 0
    while size := int(await reader.readuntil(b"\r\n"), 16):
        total += len(await reader.readexactly(size + 2)) - 2
    await reader.readexactly(2)
    return total
