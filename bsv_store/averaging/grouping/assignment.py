"""The groups of experiments that a grouping makes, and the experiments that are in none."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bsv_store.averaging.grouping.bins import OUTSIDE, make_bins
from bsv_store.averaging.grouping.facts import ExperimentFacts
from bsv_store.averaging.grouping.grouping import (
    CoordinateGrouping,
    FieldGrouping,
    Grouping,
    NoGrouping,
    RegionGrouping,
    SelectionGrouping,
    factors_of,
)
from bsv_store.errors import EmptySelectionError, InputError, RecipeError, UnknownStructureError
from bsv_store.text import listed, listed_ids, number_of
from bsv_store.vocabulary import GROUPING_FIELDS, Axis

SINGLE_GROUP_LABEL = "all"
# Not a comma: acronyms such as "CUL4, 5" have one.
CROSSED = " & "
"""Joins the two labels of a crossed grouping."""

Ancestry = Mapping[str, Sequence[str]]
"""For each structure of the ontology: acronym -> acronyms from itself up to the root, nearest first."""

Membership = Mapping[str, frozenset[int]]
"""For each group of a `SelectionGrouping`: label -> ids of the selected experiments."""


@dataclass(frozen=True, slots=True)
class CoordinateRange:
    """The range of a group along an axis.

    Attributes
    ----------
    lower_um, upper_um : float or None
        Edges of the bin; None if all experiments are in one group.
    center_um : float or None
        Mean injection coordinate of the members; None if none is known.
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
        Members, in the order in which the experiments were given.
    ranges : tuple of CoordinateRange
        One for each coordinate factor: none, one, or two if two coordinates are crossed.
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
        """Lower bin edge along `axis`."""
        return self.ranges[0].lower_um if self.ranges else None

    @property
    def upper_um(self) -> float | None:
        """Upper bin edge along `axis`."""
        return self.ranges[0].upper_um if self.ranges else None

    @property
    def center_um(self) -> float | None:
        """Mean coordinate of the members along `axis`."""
        return self.ranges[0].center_um if self.ranges else None

    @property
    def n(self) -> int:
        """Number of members."""
        return len(self.experiment_ids)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An experiment that is in no group, and the reason."""

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
        In the order in which the experiments were given.
    axis_edges : mapping of axis to tuple of float
        Bin edges in um of each coordinate factor that was divided into bins, including bins without members.
    """

    groups: tuple[Group, ...]
    left_out: tuple[LeftOut, ...]
    axis_edges: Mapping[Axis, tuple[float, ...]]

    @property
    def edges(self) -> tuple[float, ...] | None:
        """Bin edges in um of the first coordinate factor; None if there is none."""
        return next(iter(self.axis_edges.values()), None)

    def group_of(self) -> dict[int, int]:
        """Group number of each member, by experiment id."""
        return {member: group.number for group in self.groups for member in group.experiment_ids}


@dataclass(frozen=True, slots=True)
class _Factor:
    """A grouping applied to experiments: the group labels, and for each experiment its group or why it has none."""

    labels: list[str]
    places: list[int | str]
    keep_empty: bool = False
    axis: Axis | None = None
    edges: tuple[float, ...] | None = None

    def range_of(self, number: int, members: Sequence[ExperimentFacts]) -> tuple[CoordinateRange, ...]:
        if self.axis is None:
            return ()
        known = [value for member in members if (value := member.coordinate(self.axis)) is not None]
        center = float(np.mean(known)) if known else None
        lower, upper = (None, None) if self.edges is None else self.edges[number : number + 2]
        return (CoordinateRange(self.axis, lower, upper, center),)


def assign(
    grouping: Grouping,
    experiments: Sequence[ExperimentFacts],
    ancestry: Ancestry = MappingProxyType({}),
    membership: Membership = MappingProxyType({}),
) -> Assignment:
    """The groups into which a grouping divides experiments.

    Parameters
    ----------
    grouping : Grouping
    experiments : sequence of ExperimentFacts
        With unique ids. Their order is preserved within groups.
    ancestry : mapping of str to sequence of str
        Acronym of every structure -> acronyms from itself up to the root. Needed for grouping by region only.
    membership : mapping of str to set of int
        Label -> ids of the selected experiments. Needed for grouping by selection only.

    Returns
    -------
    Assignment

    Raises
    ------
    EmptySelectionError
        If there are no experiments.
    InputError
        If an experiment is listed twice.
    UnknownStructureError
        If a listed region, or an experiment's primary structure, is not in the ontology.
    RecipeError
        If no experiment belongs to a group, or one is in several of the selections to group by.
    """
    _check_experiments(experiments)
    factors = [_factor(part, experiments, ancestry, membership) for part in factors_of(grouping)]
    members, left_out = _placed(factors, experiments)
    if not members:
        raise RecipeError(
            f"no experiment belongs to a group; {left_out[0].experiment_id}: {left_out[0].reason}",
            hint="Use another grouping, or a wider selection.",
        )
    groups = tuple(
        Group(
            number,
            CROSSED.join(factor.labels[part] for factor, part in zip(factors, place, strict=True)),
            tuple(experiment.experiment_id for experiment in members[place]),
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


def _check_experiments(experiments: Sequence[ExperimentFacts]) -> None:
    if not experiments:
        raise EmptySelectionError("there are no experiments to group", hint="Widen the selection.")
    seen: set[int] = set()
    for experiment in experiments:
        if experiment.experiment_id in seen:
            raise InputError(f"experiment {experiment.experiment_id} is listed twice")
        seen.add(experiment.experiment_id)


def _placed(
    factors: Sequence[_Factor], experiments: Sequence[ExperimentFacts]
) -> tuple[dict[tuple[int, ...], list[ExperimentFacts]], list[LeftOut]]:
    """Members by place (a group number for each factor), and experiments without a place."""
    members: dict[tuple[int, ...], list[ExperimentFacts]] = {}
    if len(factors) == 1 and factors[0].keep_empty:
        members = {(number,): [] for number in range(len(factors[0].labels))}
    left_out: list[LeftOut] = []
    for position, experiment in enumerate(experiments):
        places = [factor.places[position] for factor in factors]
        reasons = [place for place in places if isinstance(place, str)]
        if reasons:
            left_out.append(LeftOut(experiment.experiment_id, "; ".join(reasons)))
        else:
            members.setdefault(tuple(place for place in places if isinstance(place, int)), []).append(experiment)
    return members, left_out


def _factor(
    grouping: Grouping, experiments: Sequence[ExperimentFacts], ancestry: Ancestry, membership: Membership
) -> _Factor:
    if isinstance(grouping, CoordinateGrouping):
        return _by_coordinate(grouping, experiments)
    if isinstance(grouping, RegionGrouping):
        return _by_region(grouping, experiments, ancestry)
    if isinstance(grouping, FieldGrouping):
        return _by_field(grouping, experiments)
    if isinstance(grouping, SelectionGrouping):
        return _by_selection(grouping, experiments, membership)
    if isinstance(grouping, NoGrouping):
        return _Factor([SINGLE_GROUP_LABEL], [0] * len(experiments))
    raise RecipeError(
        f"{type(grouping).__name__} is not a valid grouping",
        hint="Use by_coordinate, by_region, by_field, by_selection or crossed.",
    )


def _by_coordinate(grouping: CoordinateGrouping, experiments: Sequence[ExperimentFacts]) -> _Factor:
    axis = grouping.axis
    coordinates = [experiment.coordinate(axis) for experiment in experiments]
    bins = make_bins(grouping, [value for value in coordinates if value is not None])
    if bins is None:
        return _Factor([SINGLE_GROUP_LABEL], [0] * len(experiments), axis=axis)
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


def _by_region(grouping: RegionGrouping, experiments: Sequence[ExperimentFacts], ancestry: Ancestry) -> _Factor:
    places: list[int | str] = []
    for experiment, found in zip(experiments, _region_numbers(grouping, experiments, ancestry), strict=True):
        acronym = experiment.primary_structure
        places.append(f"{acronym} is neither one of the listed regions nor inside one" if found is None else found)
    return _Factor([group.label for group in grouping.groups], places, keep_empty=True)


def _region_numbers(
    grouping: RegionGrouping, experiments: Sequence[ExperimentFacts], ancestry: Ancestry
) -> list[int | None]:
    """The number of the group whose regions contain the primary structure of each experiment."""
    number_of = {region: number for number, group in enumerate(grouping.groups) for region in group.regions}
    for region in number_of:
        _ancestors(region, ancestry, "listed to group by")
    found = []
    for experiment in experiments:
        role = f"the primary structure of experiment {experiment.experiment_id}"
        chain = _ancestors(experiment.primary_structure, ancestry, role)
        # The chain starts with the structure itself: an exact match comes first, then the nearest ancestor.
        found.append(next((number_of[ancestor] for ancestor in chain if ancestor in number_of), None))
    return found


def source_acronyms(
    grouping: Grouping, experiments: Sequence[ExperimentFacts], ancestry: Ancestry = MappingProxyType({})
) -> dict[int, tuple[str, ...]]:
    """The structures that are the source of each experiment, by experiment id.

    The source is the primary injection structure, or, if a factor of the grouping is by region, the regions of the
    group. Parameters and errors are those of `assign`.
    """
    sources: dict[int, tuple[str, ...]] = {each.experiment_id: (each.primary_structure,) for each in experiments}
    for part in factors_of(grouping):
        if isinstance(part, RegionGrouping):
            numbers = _region_numbers(part, experiments, ancestry)
            for each, number in zip(experiments, numbers, strict=True):
                if number is not None:
                    sources[each.experiment_id] = part.groups[number].regions
    return sources


def _ancestors(acronym: str, ancestry: Ancestry, role: str) -> Sequence[str]:
    if acronym not in ancestry:
        near = difflib.get_close_matches(acronym, ancestry)
        raise UnknownStructureError(
            f"the structure {acronym!r}, {role}, is not in the ontology",
            hint=f"Did you mean {', '.join(near)}?" if near else "Acronyms are case-sensitive, such as VISp.",
        )
    return ancestry[acronym]


def _by_field(grouping: FieldGrouping, experiments: Sequence[ExperimentFacts]) -> _Factor:
    row = GROUPING_FIELDS[grouping.field]
    found = [experiment.fields.get(row.name) for experiment in experiments]
    # An empty text is not a value.
    values = [row.null_label if value is None or value == "" else value for value in found]
    known = {value for value in values if value is not None}
    # The group of experiments without a value, such as wild type, is the reference, so it comes first.
    ordered = sorted(known, key=lambda value: (value != row.null_label, value))
    number_of = {value: number for number, value in enumerate(ordered)}
    unknown = f"the {row.name.replace('_', ' ')} is not known"
    places: list[int | str] = [unknown if value is None else number_of[value] for value in values]
    return _Factor([f"{row.label_prefix}{value}" for value in ordered], places)


def _by_selection(
    grouping: SelectionGrouping, experiments: Sequence[ExperimentFacts], membership: Membership
) -> _Factor:
    labels = [group.label for group in grouping.groups]
    places: list[int | str] = []
    for experiment in experiments:
        found = [number for number, label in enumerate(labels) if experiment.experiment_id in membership[label]]
        if len(found) > 1:
            both = [each.experiment_id for each in experiments if _is_in_all(each, found, labels, membership)]
            raise RecipeError(
                f"{listed(repr(labels[number]) for number in found)} have {number_of(len(both), 'experiment')} in "
                f"common: {listed_ids(both)}",
                hint="Subtract one selection from the other, or leave these experiments out of one of them.",
            )
        places.append(found[0] if found else "in none of the selections to group by")
    return _Factor(labels, places, keep_empty=True)


def _is_in_all(
    experiment: ExperimentFacts, numbers: Sequence[int], labels: Sequence[str], membership: Membership
) -> bool:
    return all(experiment.experiment_id in membership[labels[number]] for number in numbers)
