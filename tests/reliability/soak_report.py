"""The result of a soak."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """Result of a soak.

    Attributes
    ----------
    operations, errors : Counter
        By name of the operation; by name and class of the error.
    faults : Counter
        Injected, by name.
    wrong : list of str
        Wrong answers and unexpected errors.
    lost : list of str
        Objects that were acknowledged and are missing at the end, and damage that repair did not remove.
    grown : list of str
        Quantities that grew more than their limits.
    figures : dict
        Of the quantities: median, maximum and growth.
    """

    operations: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    grown: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of operations."""
        return self.operations.total()

    def text(self) -> str:
        """The report as text."""
        lines = [f"{self.total} operations: {dict(self.operations.most_common())}"]
        lines.append(f"errors of faults: {dict(self.errors.most_common())}")
        lines.append(f"{self.faults.total()} faults: {dict(self.faults.most_common())}")
        lines += [f"{name}: {value}" for name, value in self.figures.items()]
        for name in ("wrong", "lost", "grown"):
            found: list[str] = getattr(self, name)
            lines.append(f"{len(found)} {name}")
            lines += [f"  {each}" for each in found[:20]]
        return "\n".join(lines)
