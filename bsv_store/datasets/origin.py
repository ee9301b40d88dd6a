"""The origin of a version: computed in this store, or imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.html import text_card
from bsv_store.vocabulary import DATASET_STANDINGS

if TYPE_CHECKING:
    from datetime import datetime

    from bsv_store.vocabulary import DatasetStanding


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The origin of a version at the time when the version was looked up.

    Attributes
    ----------
    standing : DatasetStanding
        'computed', 'imported, checked', 'imported, trusted', 'imported, not checked', 'imported, not reproducible', or
        'local': computed on this computer from a store on a server.
    imported_at : datetime.datetime or None
        Time of the import, aware UTC; None if it was computed in this store.
    imported_by : str or None
    trusted_at : datetime.datetime or None
        Time when a user marked it as trusted, aware UTC.
    trusted_by : str or None
    """

    standing: DatasetStanding = "computed"
    imported_at: datetime | None = None
    imported_by: str | None = None
    trusted_at: datetime | None = None
    trusted_by: str | None = None

    @property
    def can_answer(self) -> bool:
        """Whether `Store.aggregate` may return the version instead of computing the average."""
        return DATASET_STANDINGS[self.standing].can_answer

    def _repr_html_(self) -> str:
        return text_card("Origin", str(self))

    def __str__(self) -> str:
        """The standing in words, with users and dates."""
        words = DATASET_STANDINGS[self.standing].words
        if self.imported_at is not None:
            words += f" (imported by {self.imported_by} on {self.imported_at:%Y-%m-%d})"
        if self.trusted_at is not None:
            words += f"; trusted by {self.trusted_by} on {self.trusted_at:%Y-%m-%d}"
        return words


@dataclass(frozen=True, slots=True)
class Twin:
    """Another version of the dataset with the same recipe and inputs, but a different result.

    Attributes
    ----------
    ref : str
        Name and number, such as ``visual-by-AP@3``.
    standing : DatasetStanding
    largest_difference : float or None
        Largest absolute difference of the means; None if they were not compared.
    voxels : int or None
        Number of voxels, over all groups, whose mean differs; None if they were not compared.
    """

    ref: str
    standing: DatasetStanding
    largest_difference: float | None
    voxels: int | None

    def __str__(self) -> str:
        """The difference in one phrase."""
        text = f"{self.ref} ({self.standing}) has the same recipe and inputs but a different result"
        if self.largest_difference is None:
            return text
        return f"{text}: {self.voxels:,} voxels differ, by up to {self.largest_difference:g}"
