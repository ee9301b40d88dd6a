"""What came of bringing things for many experiments."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """An experiment for which something could not be had.

    Attributes
    ----------
    experiment_id : int
    reason : str
        One sentence that names the object and the address.
    """

    experiment_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each experiment that was asked for.

    Attributes
    ----------
    brought : tuple of int
        Those that this run brought.
    present : tuple of int
        Those that were there, or that somebody else brought meanwhile.
    failed : tuple of Failure
    """

    brought: tuple[int, ...]
    present: tuple[int, ...]
    failed: tuple[Failure, ...]


def size_text(size_bytes: int) -> str:
    """A size for people, in powers of 1,000."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
