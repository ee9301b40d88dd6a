"""How long work reports where it is: a small interface that the command line draws and libraries may ignore."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Somebody who wants to know how far a piece of work is.

    The methods may be called from several threads.
    """

    def start(self, total: int, what: str) -> None:
        """Work on ``total`` things begins; ``what`` says on what, for people."""

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        """So many more things are done, and so many more bytes have arrived; either may be 0."""

    def finish(self) -> None:
        """The work is over, done or not."""


class Silence:
    """Progress that nobody watches."""

    def start(self, total: int, what: str) -> None:
        """Do nothing."""

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


SILENCE: Progress = Silence()


def go_on() -> None:
    """Between two steps of long work: nobody wants it to stop."""
