"""A grouping applied to experiments: who is in which group, who is left out and why."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bsv_store.averaging.grouping.bins import OUTSIDE, make_bins
from bsv_store.averaging.grouping.grouping import (
    CoordinateGrouping,
    CrossedGrouping,
    FieldGrouping,
    Grouping,
    NoGrouping,
    RegionGrouping,
)
from bsv_store.errors import EmptySelectionError, InputError, RecipeError, UnknownStructureError
from bsv_store.volumes.grid import AXES, Axis, Hemisphere

WILD_TYPE_LABEL = "wild-type"
EVERYBODY_LABEL = "all"
# Not a comma: acronyms such as "CUL4, 5" have one.
CROSSED = " & "
"""Stands between the two labels of a crossed grouping."""

Ancestry = Mapping[str, Sequence[str]]
"""Of every structure of the ontology: acronym -> acronyms from itself up to the root, nearest first."""


def is_known(coordinate: float | None) -> bool:
    """Whether an injection coordinate in um is one.

    Lists without coordinates have 0 or nothing there; 0 is the face of the CCF box, far outside the brain.
    """
    return coordinate is not None and math.isfinite(coordinate) and coordinate != 0


@dataclass(frozen=True, slots=True)
class Subject:
    """What grouping needs to know of an experiment. Coordinates are um; None means not known.

    Attributes
    ----------
    line : str or None
        None is wild type.
    """

    experiment_id: int
    primary_structure: str
    primary_structure_id: int
    injection_ap: float | None = None
    injection_dv: float | None = None
    injection_ml: float | None = None
    injected_hemisphere: Hemisphere | None = None
    line: str | None = None
    sex: str | None = None
    product_id: int | None = None
    strain: str | None = None

    def coordinate(self, axis: Axis) -> float | None:
        """Injection coordinate in um along an axis, None where it is not known."""
        value = (self.injection_ap, self.injection_dv, self.injection_ml)[AXES.index(axis)]
        return float(value) if value is not None and is_known(value) else None


@dataclass(frozen=True, slots=True)
class CoordinateRange:
    """Where a group lies along an axis.

    Attributes
    ----------
    lower_um, upper_um : float or None
        Edges of the bin; None where everybody is in one group.
    center_um : float or None
        Mean injection coordinate of the members, None if none is known.
    """

    axis: Axis
    lower_um: float | None
    upper_um: float | None
    center_um: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """Experiments that are averaged together.

    Attributes
    ----------
    number : int
        From 0, in order.
    label : str
        Unique among the groups.
    experiment_ids : tuple of int
        Members, in the order in which the subjects were given.
    ranges : tuple of CoordinateRange
        One for each coordinate factor: none, one, or two where AP, DV and ML are crossed.
    """

    number: int
    label: str
    experiment_ids: tuple[int, ...]
    ranges: tuple[CoordinateRange, ...] = ()

    @property
    def axis(self) -> Axis | None:
        """Axis of the first coordinate factor."""
        return self.ranges[0].axis if self.ranges else None

    @property
    def lower_um(self) -> float | None:
        """Lower bin edge along :attr:`axis`."""
        return self.ranges[0].lower_um if self.ranges else None

    @property
    def upper_um(self) -> float | None:
        """Upper bin edge along :attr:`axis`."""
        return self.ranges[0].upper_um if self.ranges else None

    @property
    def center_um(self) -> float | None:
        """Mean coordinate of the members along :attr:`axis`."""
        return self.ranges[0].center_um if self.ranges else None

    @property
    def n(self) -> int:
        """Number of members."""
        return len(self.experiment_ids)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An experiment that is in no group, and why."""

    experiment_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """The groups of a grouping.

    Attributes
    ----------
    groups : tuple of Group
        Numbered from 0 in order.
    left_out : tuple of LeftOut
        In the order in which the subjects were given.
    axis_edges : mapping of axis to tuple of float
        Bin edges in um of each coordinate factor that was divided into bins; bins without members included.
    """

    groups: tuple[Group, ...]
    left_out: tuple[LeftOut, ...]
    axis_edges: Mapping[Axis, tuple[float, ...]]

    @property
    def edges(self) -> tuple[float, ...] | None:
        """Bin edges in um of the first coordinate factor, None without one."""
        return next(iter(self.axis_edges.values()), None)

    def group_of(self) -> dict[int, int]:
        """Group number of each member, by experiment id."""
        return {member: group.number for group in self.groups for member in group.experiment_ids}


@dataclass(frozen=True, slots=True)
class _Factor:
    """One grouping applied: labels of its groups, and for each subject a group number or the reason why it has none."""

    labels: list[str]
    places: list[int | str]
    keep_empty: bool = False
    axis: Axis | None = None
    edges: tuple[float, ...] | None = None

    def range_of(self, number: int, members: Sequence[Subject]) -> tuple[CoordinateRange, ...]:
        if self.axis is None:
            return ()
        known = [value for member in members if (value := member.coordinate(self.axis)) is not None]
        center = float(np.mean(known)) if known else None
        lower, upper = (None, None) if self.edges is None else self.edges[number : number + 2]
        return (CoordinateRange(self.axis, lower, upper, center),)


def assign(grouping: Grouping, subjects: Sequence[Subject], ancestry: Ancestry = MappingProxyType({})) -> Assignment:
    """The groups into which a grouping divides experiments.

    Parameters
    ----------
    grouping : Grouping
    subjects : sequence of Subject
        Unique ids; their order is kept inside the groups.
    ancestry : mapping of str to sequence of str
        Every structure's acronym -> acronyms from itself up to the root; needed to group by region only.

    Returns
    -------
    Assignment

    Raises
    ------
    EmptySelectionError
        If there are no subjects.
    InputError
        If an experiment is given twice.
    UnknownStructureError
        If a listed region, or an experiment's primary structure, is not in the ontology.
    RecipeError
        If no experiment can be placed and so there is no group at all.
    """
    _check_subjects(subjects)
    if isinstance(grouping, CrossedGrouping):
        factors = [_factor(part, subjects, ancestry) for part in (grouping.first, grouping.second)]
    else:
        factors = [_factor(grouping, subjects, ancestry)]
    members, left_out = _placed(factors, subjects)
    if not members:
        raise RecipeError(
            f"no experiment can be placed in a group; the first: {left_out[0].reason}", hint="Group by something else."
        )
    groups = tuple(
        Group(
            number,
            CROSSED.join(factor.labels[part] for factor, part in zip(factors, place, strict=True)),
            tuple(subject.experiment_id for subject in members[place]),
            tuple(
                item
                for factor, part in zip(factors, place, strict=True)
                for item in factor.range_of(part, members[place])
            ),
        )
        for number, place in enumerate(sorted(members))
    )
    edges = {factor.axis: factor.edges for factor in factors if factor.axis is not None and factor.edges is not None}
    return Assignment(groups, tuple(left_out), MappingProxyType(edges))


def _check_subjects(subjects: Sequence[Subject]) -> None:
    if not subjects:
        raise EmptySelectionError("there are no experiments to group", hint="Widen the selection.")
    seen: set[int] = set()
    for subject in subjects:
        if subject.experiment_id in seen:
            raise InputError(f"experiment {subject.experiment_id} is given twice", hint="List each experiment once.")
        seen.add(subject.experiment_id)


def _placed(
    factors: Sequence[_Factor], subjects: Sequence[Subject]
) -> tuple[dict[tuple[int, ...], list[Subject]], list[LeftOut]]:
    """Members by place (a group number for each factor), and those without a place."""
    members: dict[tuple[int, ...], list[Subject]] = {}
    if len(factors) == 1 and factors[0].keep_empty:
        members = {(number,): [] for number in range(len(factors[0].labels))}
    left_out: list[LeftOut] = []
    for position, subject in enumerate(subjects):
        places = [factor.places[position] for factor in factors]
        reasons = [place for place in places if isinstance(place, str)]
        if reasons:
            left_out.append(LeftOut(subject.experiment_id, "; ".join(reasons)))
        else:
            members.setdefault(tuple(place for place in places if isinstance(place, int)), []).append(subject)
    return members, left_out


def _factor(grouping: Grouping, subjects: Sequence[Subject], ancestry: Ancestry) -> _Factor:
    if isinstance(grouping, CoordinateGrouping):
        return _by_coordinate(grouping, subjects)
    if isinstance(grouping, RegionGrouping):
        return _by_region(grouping, subjects, ancestry)
    if isinstance(grouping, FieldGrouping):
        return _by_field(grouping, subjects)
    if isinstance(grouping, NoGrouping):
        return _Factor([EVERYBODY_LABEL], [0] * len(subjects))
    raise RecipeError(f"{type(grouping).__name__} is no grouping", hint="Use the constructors of bsv_store.averaging.")


def _by_coordinate(grouping: CoordinateGrouping, subjects: Sequence[Subject]) -> _Factor:
    axis = grouping.axis
    coordinates = [subject.coordinate(axis) for subject in subjects]
    bins = make_bins(grouping, [value for value in coordinates if value is not None])
    if bins is None:
        return _Factor([EVERYBODY_LABEL], [0] * len(subjects), axis=axis)
    numbers = bins.place([math.nan if value is None else value for value in coordinates])
    places: list[int | str] = []
    for value, number in zip(coordinates, numbers.tolist(), strict=True):
        if value is None:
            places.append(f"the {axis} injection coordinate is not known")
        elif number == OUTSIDE:
            places.append(f"{axis} {value:,.10g} um lies outside the bin edges")
        else:
            places.append(number)
    return _Factor(bins.labels(), places, keep_empty=grouping.edges is not None, axis=axis, edges=bins.edges)


def _by_region(grouping: RegionGrouping, subjects: Sequence[Subject], ancestry: Ancestry) -> _Factor:
    number_of = {region: number for number, group in enumerate(grouping.groups) for region in group.regions}
    for region in number_of:
        _ancestors(region, ancestry, "listed to group by")
    places: list[int | str] = []
    for subject in subjects:
        acronym = subject.primary_structure
        chain = _ancestors(acronym, ancestry, f"the primary structure of experiment {subject.experiment_id}")
        # The chain begins with the structure itself: an exact match comes first, then the nearest ancestor.
        found = next((number_of[ancestor] for ancestor in chain if ancestor in number_of), None)
        places.append(f"{acronym} is not one of the listed regions, nor inside one" if found is None else found)
    return _Factor([group.label for group in grouping.groups], places, keep_empty=True)


def _ancestors(acronym: str, ancestry: Ancestry, role: str) -> Sequence[str]:
    if acronym not in ancestry:
        near = difflib.get_close_matches(acronym, ancestry, n=3)
        raise UnknownStructureError(
            f"the structure {acronym!r}, {role}, is not in the ontology",
            hint=f"Did you mean {', '.join(near)}?" if near else "Acronyms are case-sensitive, such as VISp.",
        )
    return ancestry[acronym]


_FIELDS: dict[str, Callable[[Subject], str | int | None]] = {
    "primary_structure": lambda subject: subject.primary_structure,
    "line": lambda subject: subject.line or WILD_TYPE_LABEL,
    "sex": lambda subject: subject.sex or None,
    "product": lambda subject: subject.product_id,
    "injected_hemisphere": lambda subject: subject.injected_hemisphere,
    "strain": lambda subject: subject.strain or None,
}


def _by_field(grouping: FieldGrouping, subjects: Sequence[Subject]) -> _Factor:
    values = [_FIELDS[grouping.field](subject) for subject in subjects]
    known = {value for value in values if value is not None}
    # Wild type is the reference that everybody compares with, so it comes first; the rest in the order of its names.
    ordered = sorted(known, key=lambda value: (value != WILD_TYPE_LABEL, value))
    number_of = {value: number for number, value in enumerate(ordered)}
    unknown = f"the {grouping.field.replace('_', ' ')} is not known"
    places: list[int | str] = [unknown if value is None else number_of[value] for value in values]
    prefix = "product " if grouping.field == "product" else ""
    return _Factor([f"{prefix}{value}" for value in ordered], places)
