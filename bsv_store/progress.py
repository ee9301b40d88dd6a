"""Progress of long work: a small interface that the command line draws and other callers may implement."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a piece of work.

    The methods may be called from several threads.
    """

    def start(self, total: int, what: str) -> None:
        """Work on ``total`` items begins; ``what`` describes it."""

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        """``count`` more items are done and ``size_bytes`` more bytes were received; either may be 0."""

    def finish(self) -> None:
        """The work has ended, whether complete or not."""


class NoProgress:
    """A progress that does nothing."""

    def start(self, total: int, what: str) -> None:
        """Do nothing."""

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


NO_PROGRESS: Progress = NoProgress()


def do_nothing() -> None:
    """Do nothing: the default of callbacks that long work calls between steps and that may raise to stop it."""
