"""Checks: records of rebuilding a version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

FileState = Literal["intact", "damaged"]
CheckOutcome = Literal["identical", "different", "inputs missing", "inputs damaged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCheck:
    """The result of rebuilding a version, not recorded yet.

    Attributes
    ----------
    software : str
        Versions of the software that rebuilt it.
    outcome : {'identical', 'different', 'inputs missing', 'inputs damaged'}
    file_state : {'intact', 'damaged'}
        Of the stored result at that time; 'damaged' includes missing.
    largest_difference : float or None
        Largest absolute difference of a mean, in the unit of the mean; None if nothing could be compared.
    voxels : int or None
        Number of voxels of all groups whose mean differs.
    was_restored : bool
        Whether a damaged file was replaced by an identical one.
    note : str or None
        What was missing or damaged.
    """

    software: str
    outcome: CheckOutcome
    file_state: FileState
    largest_difference: float | None = None
    voxels: int | None = None
    was_restored: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCheck(NewCheck):
    """A recorded check; see `NewCheck`.

    Attributes
    ----------
    checked_at : datetime.datetime
        Aware UTC.
    checked_by : str
    """

    checked_at: datetime
    checked_by: str
