"""The outcome of a download, experiment by experiment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """An experiment whose data could not be downloaded.

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
    """The outcome for each requested experiment.

    Attributes
    ----------
    stored : tuple of int
        Experiments whose data this run stored.
    present : tuple of int
        Experiments whose data were in the store already, or were stored by another process meanwhile.
    failed : tuple of Failure
    not_attempted : tuple of int
        Experiments for which no request was sent, because the run stopped early.
    stopped : str or None
        Reason why the run stopped early; None if it did not.
    """

    stored: tuple[int, ...]
    present: tuple[int, ...]
    failed: tuple[Failure, ...]
    not_attempted: tuple[int, ...] = ()
    stopped: str | None = None


def failures_text(failed: Sequence[Failure], not_attempted: Sequence[int], stopped: str | None) -> str:
    """The failures as the end of a summary, such as ``3 failed, 30 not attempted: the host cannot be reached``."""
    text = f"{len(failed):,} failed"
    return f"{text}, {len(not_attempted):,} not attempted: {stopped}" if stopped else text


def reasons(failed: Iterable[Failure], not_attempted: Iterable[int], stopped: str | None) -> dict[int, str]:
    """Reason by experiment id, for the experiments whose data a run did not store."""
    return {each.experiment_id: each.reason for each in failed} | dict.fromkeys(
        not_attempted, f"not attempted: {stopped}"
    )
