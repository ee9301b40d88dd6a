"""The groups of a version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.check import is_group
from bsv_store.errors import InputError
from bsv_store.html import card, table
from bsv_store.text import label_in_prose, listed, number_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bsv_store.averaging.grouping.assignment import CoordinateRange
    from bsv_store.averaging.grouping.grouping import Grouping
    from bsv_store.averaging.inputs import Inputs
    from bsv_store.averaging.recorded import RecordedInputs
    from bsv_store.vocabulary import Axis

# Maximum number of groups listed in an error.
_LISTED = 12
_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group of a version, in the order of the result's first axis.

    Attributes
    ----------
    number : int
        From 0.
    label : str
    lower, upper : float or None
        Edges of the coordinate bin in um; None if groups are not bins.
    center : float or None
        Mean injection coordinate of the members in um; None if groups are not bins.
    n : int
        Number of members.
    experiment_ids : tuple of int
        Ascending.
    second_lower, second_upper, second_center : float or None
        The same along the second axis, if two coordinates are crossed.
    """

    number: int
    label: str
    lower: float | None
    upper: float | None
    center: float | None
    n: int
    experiment_ids: tuple[int, ...]
    second_lower: float | None = None
    second_upper: float | None = None
    second_center: float | None = None

    def _repr_html_(self) -> str:
        edges = [(self.lower, self.upper, self.center), (self.second_lower, self.second_upper, self.second_center)]
        ranges = [
            f"{low:,.10g} to {high:,.10g} um{'' if center is None else f', mean of the members {center:,.0f} um'}"
            for low, high, center in edges
            if low is not None and high is not None
        ]
        facts = [
            ("Number", self.number),
            ("Bin", "; ".join(ranges)),
            ("Experiments", f"{self.n:,}: {listed(self.experiment_ids, limit=10)}" if self.n else "none"),
        ]
        return card(self.label, kind="group", facts=facts)

    @classmethod
    def of(cls, number: int, label: str, ranges: Sequence[CoordinateRange], experiment_ids: Iterable[int]) -> GroupInfo:
        """The group with these ranges, one for each coordinate factor, and these members."""
        ids = tuple(sorted(experiment_ids))
        edges = [(part.lower_um, part.upper_um, part.center_um) for part in ranges]
        first, second, *_ = [*edges, (None, None, None), (None, None, None)]
        return cls(number, label, *first, len(ids), ids, *second)


class Groups(tuple[GroupInfo, ...]):
    """The groups of a version, in the order of the result's first axis: a tuple with a card for notebooks."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        values: dict[str, list[object]] = {
            "group": [each.number for each in self],
            "label": [each.label for each in self],
            "lower um": [each.lower for each in self],
            "upper um": [each.upper for each in self],
            "center um": [each.center for each in self],
            "second lower um": [each.second_lower for each in self],
            "second upper um": [each.second_upper for each in self],
            "second center um": [each.second_center for each in self],
            "n": [each.n for each in self],
        }
        known = {name: column for name, column in values.items() if any(value is not None for value in column)}
        rows = list(zip(*known.values(), strict=True))
        return card(number_of(len(self), "group"), table(list(known), rows), kind="of a dataset version")


def group_in_prose(group: GroupInfo) -> str:
    """The label of a group in a sentence, with its number of members."""
    return f"{label_in_prose(group.label)} (n = {group.n})"


def group_number(groups: Sequence[GroupInfo], group: int | str, *, what: str) -> int:
    """The number of the group with this number or label.

    Raises
    ------
    InputError
        If there is no such group, or the string is the label of one group and the number of another.
    """
    labels = [each.label for each in groups]
    found = set()
    if isinstance(group, str):
        found |= {number for number, label in enumerate(labels) if label == group}
        # Python refuses to convert thousands of digits.
        is_short = group.isdecimal() and len(group) <= _MAX_DIGITS
        found |= {int(group)} if is_short and int(group) < len(groups) else set()
    elif is_group(group, len(groups)):
        found.add(int(group))
    if len(found) == 1:
        return found.pop()
    names = "; ".join(f"{number}: {label}" for number, label in enumerate(labels[:_LISTED]))
    more = f"; and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
    both = f"{shown(group)} is both a label and a number of groups"
    problem = both if found else f"there is no group {shown(group)}"
    raise InputError(f"{what}: {problem}", hint=f"Its groups are {names}{more}. Use the number of one, or its label.")


def groups_of(inputs: Inputs | RecordedInputs) -> Groups:
    """The groups of a version with these inputs."""
    return Groups(GroupInfo.of(each.number, each.label, each.ranges, each.experiment_ids) for each in inputs.groups)


def empty_ranges(
    grouping: Grouping, ranges: Mapping[str, NDArray[np.float64]]
) -> dict[Axis, tuple[tuple[float, float], ...]]:
    """See `DatasetVersion.empty_ranges`; ``ranges`` is the result of `DatasetVersion.group_ranges`."""
    found: dict[Axis, tuple[tuple[float, float], ...]] = {}
    # Imported here, since commands that only list versions import this module.
    from bsv_store.averaging.grouping.grouping import coordinates_of

    for factor, suffix in zip(coordinates_of(grouping), ("", "_2"), strict=False):
        # If crossed, a bin occurs once for each group along the other axis. A single group of all has no edges.
        lower, upper = (_known(ranges[f"group_{name}{suffix}"]) for name in ("lower", "upper"))
        if not lower:
            continue
        first, last = (factor.edges[0], factor.edges[-1]) if factor.edges else (lower[0], upper[-1])
        gaps = zip([first, *upper], [*lower, last], strict=True)
        if empty := tuple((low, high) for low, high in gaps if low < high):
            found[factor.axis] = empty
    return found


def _known(values: NDArray[np.float64]) -> list[float]:
    import numpy as np

    known: list[float] = np.unique(values[~np.isnan(values)]).tolist()
    return known
