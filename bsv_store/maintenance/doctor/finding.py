"""What a check of the environment found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bsv_store.vocabulary import DOCTOR_CHECKS, DoctorArea, DoctorCheck, DoctorOutcome

Detail = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    check : DoctorCheck
    outcome : DoctorOutcome
    found : str
        What was found.
    remedy : str or None
        What to do about it.
    details : mapping of str to str, int, float, bool or None
        Measured values.
    """

    check: DoctorCheck
    outcome: DoctorOutcome
    found: str
    remedy: str | None = None
    details: Mapping[str, Detail] = field(default_factory=dict)

    @property
    def area(self) -> DoctorArea:
        """The part of the environment that was checked."""
        return DOCTOR_CHECKS[self.check].area

    @property
    def words(self) -> str:
        """What was checked."""
        return DOCTOR_CHECKS[self.check].words
