"""The outcome of a download, experiment by experiment."""

from __future__ import annotations

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
    """

    stored: tuple[int, ...]
    present: tuple[int, ...]
    failed: tuple[Failure, ...]
