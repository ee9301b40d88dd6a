"""The interface through which long operations report their progress."""

from __future__ import annotations

from typing import Protocol


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
