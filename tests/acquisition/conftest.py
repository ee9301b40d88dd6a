"""A small synthetic atlas behind a loopback server, and a store that knows its catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bsv_store.sources.allen import AllenClient
from bsv_store_synthetic import SyntheticServer
from tests.catalogs import filled_catalog, known_replies, retries_at_once, small_atlas
from tests.processes import Child

from .worker import start

catalog, atlas, reply_cache = filled_catalog, small_atlas, known_replies
_retries_at_once = retries_at_once


@pytest.fixture
def client(server: SyntheticServer) -> Iterator[AllenClient]:
    with AllenClient(api_url=server.url, backoff_s=0, read_timeout_s=10) as opened:
        yield opened


class Recorder:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self.size_bytes = 0
        self.finished = False

    def start(self, total: int, what: str) -> None:
        self.total = total
        self.what = what

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        self.done += count
        self.size_bytes += size_bytes

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def launch() -> Iterator[Callable[..., Child]]:
    """Start processes as `tests.acquisition.worker.start` does; what still runs at the end is killed."""
    started: list[Child] = []

    def start_noted(*arguments: Any, **options: Any) -> Child:
        started.append(start(*arguments, **options))
        return started[-1]

    yield start_noted
    for process in started:
        with process:
            process.kill()
