"""The interface through which long operations report their progress, and the bars that show it."""

from __future__ import annotations

import html
import sys
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from bsv_store.config import setting
from bsv_store.text import size_text

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Progress(Protocol):
    """A receiver of progress reports, such as a progress bar. Its methods may be called from several threads."""

    def start(self, total: int, what: str) -> None:
        """Begin an operation on ``total`` items; ``what`` describes it."""

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        """Report ``count`` more finished items and ``size_bytes`` more received bytes; either may be 0."""

    def finish(self) -> None:
        """End the operation, complete or not."""


class NoProgress:
    """A receiver that does nothing."""

    def start(self, total: int, what: str) -> None:
        """Do nothing."""

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


NO_PROGRESS: Progress = NoProgress()


def do_nothing() -> None:
    """Do nothing. The default of callbacks that are called between steps of an operation and may raise to stop it."""


def shown_progress(progress: Progress | None) -> Progress:
    """The receiver of a call: the argument, or by default a bar in notebooks and terminals.

    The setting ``progress`` (``BSV_STORE_PROGRESS``) switches the bar off, or on elsewhere too.
    """
    if progress is not None:
        return progress
    wanted = setting("progress").value
    if wanted == "off":
        return NO_PROGRESS
    if in_notebook():
        return NotebookBar()
    return TerminalBar() if wanted == "on" or sys.stderr.isatty() else NO_PROGRESS


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, which displays HTML."""
    # Imported by a notebook long before, and by nothing else here.
    interactive: Any = sys.modules.get("IPython")
    shell = None if interactive is None else interactive.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


# Shortest time for which a rate is computed.
_MIN_S = 0.1
# Shortest time between two states of a bar in a notebook.
_NOTEBOOK_S = 0.2


class _Amount:
    """Received bytes and their rate."""

    def __init__(self) -> None:
        self._bytes = 0
        self._started = time.monotonic()

    def add(self, size_bytes: int) -> str:
        """The bytes so far and their rate, as text; '' if there are none."""
        self._bytes += size_bytes
        rate = size_text(round(self._bytes / max(_MIN_S, time.monotonic() - self._started)))
        return f"{size_text(self._bytes)}, {rate}/s" if self._bytes else ""


def rich_bars() -> RichProgress:
    """An empty display of progress bars on standard error."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[size]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class RichBar:
    """A bar for each operation in a display of rich; safe to share between threads."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._amount = _Amount()

    def start(self, total: int, what: str) -> None:
        """Add a bar."""
        self._amount = _Amount()
        self._task = self._bars.add_task(_printable(what), total=total, size="")

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        """Advance the bar."""
        if self._task is not None:
            self._bars.update(self._task, advance=count, size=self._amount.add(size_bytes))

    def finish(self) -> None:
        """Stop the bar, and leave it on the screen."""
        if self._task is not None:
            self._bars.stop_task(self._task)
            self._task = None


class TerminalBar:
    """A bar on standard error while an operation runs."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._bar: RichBar | None = None

    def start(self, total: int, what: str) -> None:
        """Show a bar."""
        self.finish()
        self._bars = rich_bars()
        self._bars.start()
        self._bar = RichBar(self._bars)
        self._bar.start(total, what)

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.advance(count, size_bytes=size_bytes)

    def finish(self) -> None:
        """Stop the bar, and leave it on the screen."""
        if self._bar is not None and self._bars is not None:
            self._bar.finish()
            self._bars.stop()
            self._bar = self._bars = None


class NotebookBar:
    """A bar in the output of a notebook cell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._display: Any = None
        self._what = ""
        self._total = self._done = 0
        self._amount = _Amount()
        self._shown_at = 0.0

    def start(self, total: int, what: str) -> None:
        """Show a bar."""
        with self._lock:
            self._what, self._total, self._done, self._amount = what, total, 0, _Amount()
            self._display = _ipython_display().display(self._html(""), display_id=True)

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        """Advance the bar, a few times per second."""
        with self._lock:
            self._done += count
            size = self._amount.add(size_bytes)
            is_last = self._done >= self._total
            if self._display is not None and (is_last or time.monotonic() - self._shown_at >= _NOTEBOOK_S):
                self._shown_at = time.monotonic()
                self._display.update(self._html(size))

    def finish(self) -> None:
        """Leave the bar in its last state."""
        with self._lock:
            if self._display is not None:
                self._display.update(self._html(self._amount.add(0)))
                self._display = None

    def _html(self, size: str) -> Any:
        done = f"{self._done:,}/{self._total:,}"
        texts = " · ".join(html.escape(each) for each in (self._what, done, size) if each)
        bar = f'<progress value="{self._done}" max="{max(self._total, 1)}" aria-label="{html.escape(self._what)}">'
        return _ipython_display().HTML(f"<div>{bar}</progress> {texts}</div>")


def _ipython_display() -> Any:
    # Not an import statement, because only notebooks have it.
    return import_module("IPython.display")


def _printable(text: str) -> str:
    """The text without characters that control a terminal."""
    return "".join(each if each.isprintable() else "�" for each in text)
