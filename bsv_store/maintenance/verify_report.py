"""`VerifyReport`: the result of verifying a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.html import text_card
from bsv_store.text import number_of, size_text
from bsv_store.vocabulary import VerifyDepth

if TYPE_CHECKING:
    from bsv_store.maintenance.findings import Finding


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Result of verifying a store.

    Attributes
    ----------
    depth : VerifyDepth
    findings : tuple of Finding
        Damage first.
    checked : int
        Number of objects that were checked: files, and for a deep verification unionize tables.
    skipped : int
        Number of objects that were not checked, because they were found intact within the requested time.
    remaining : int
        Number of objects that were not checked, because the time was over. Those that were verified longest ago are
        checked first, so the next run continues with these.
    size_bytes : int
        Number of bytes that were read and hashed.
    seconds : float
    was_recorded : bool
        Whether the results were recorded; False if the store is busy at the end, or cannot be written.
    """

    depth: VerifyDepth
    findings: tuple[Finding, ...]
    checked: int
    skipped: int
    remaining: int
    size_bytes: int
    seconds: float
    was_recorded: bool

    @property
    def damage(self) -> tuple[Finding, ...]:
        """The findings that mean damage."""
        return tuple(each for each in self.findings if each.is_damage)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings for information."""
        return tuple(each for each in self.findings if not each.is_damage)

    @property
    def is_intact(self) -> bool:
        """Whether no damage was found in what was checked."""
        return not self.damage

    @property
    def is_complete(self) -> bool:
        """Whether nothing remains to be checked."""
        return not self.remaining

    def summary(self) -> str:
        """The result in one sentence."""
        parts = [f"{number_of(self.checked, 'object')} verified ({self.depth})"]
        if self.size_bytes:
            parts.append(f"{size_text(self.size_bytes)} read in {self.seconds:.1f} s")
        if self.skipped:
            parts.append(f"{self.skipped:,} skipped, verified recently")
        if self.remaining:
            parts.append(f"{self.remaining:,} left for the next run")
        parts.append(number_of(len(self.damage), "problem") + " found")
        if self.notes:
            parts.append(number_of(len(self.notes), "note"))
        if not self.was_recorded:
            parts.append("not recorded, because the store is busy or cannot be written")
        return f"{', '.join(parts)}."

    def _repr_html_(self) -> str:
        return text_card("Verification", str(self))

    def __str__(self) -> str:
        return "\n".join([self.summary(), *map(str, self.findings)])
