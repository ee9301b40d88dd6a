"""Progress bars on standard error, if it is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bsv_store_cli.output.messages import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


# Shortest time for which a rate is computed.
_MIN_S = 0.1


class ProgressBar:
    """Draws `bsv_store.progress.Progress` with rich; safe to share between threads."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._bytes = 0
        self._started = 0.0

    def start(self, total: int, what: str) -> None:
        """Add a bar."""
        self._bytes = 0
        self._started = time.monotonic()
        self._task = self._bars.add_task(printable(what), total=total, size="")

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        """Advance the bar."""
        from bsv_store.text import size_text

        if self._task is not None:
            self._bytes += size_bytes
            rate = size_text(round(self._bytes / max(_MIN_S, time.monotonic() - self._started)))
            size = f"{size_text(self._bytes)}, {rate}/s" if self._bytes else ""
            self._bars.update(self._task, advance=count, size=size)

    def finish(self) -> None:
        """Stop the bar, and leave it on the screen."""
        if self._task is not None:
            self._bars.stop_task(self._task)
            self._task = None


@contextmanager
def progress_bar() -> Iterator[ProgressBar | None]:
    """A progress bar for the duration of the block; None if standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[size]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield ProgressBar(bars)
