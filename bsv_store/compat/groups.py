"""Into which group each experiment of a call goes, under our rules or Brain Street View's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bsv_store.averaging.grouping.assignment import assign
from bsv_store.averaging.grouping.grouping import NoGrouping
from bsv_store.compat.inputs import Facts
from bsv_store.compat.request import Request


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a call.

    Attributes
    ----------
    members : tuple of tuple of int
        Experiment ids of each group, in call order; a region's group may be empty.
    centers : tuple of float or None
        Mean coordinate of each group's members, um, where grouped by coordinate.
    edges : tuple of float or None
        Edges of all coordinate bins, those that are empty and make no group included.
    axis : str or None
    left_out : mapping of int to str
        Reason by experiment id.
    """

    members: tuple[tuple[int, ...], ...]
    centers: tuple[float, ...] | None
    edges: tuple[float, ...] | None
    axis: str | None
    left_out: Mapping[int, str]


def make_groups(
    request: Request, facts: Sequence[Facts], ancestry: Mapping[str, Sequence[str]], *, bsv_rules: bool
) -> Groups:
    """The groups of the experiments of a call.

    Raises
    ------
    UnknownStructureError
        Under our rules, if a listed region is not in the ontology.
    """
    if request.regions and bsv_rules:
        return _by_prefix(request, facts)
    grouping = request.grouping()
    if isinstance(grouping, NoGrouping):
        return Groups((tuple(item.experiment_id for item in facts),), None, None, None, {})
    result = assign(grouping, facts, ancestry)
    left_out = {item.experiment_id: item.reason for item in result.left_out}
    members = tuple(group.experiment_ids for group in result.groups)
    if request.axis is None:
        return Groups(members, None, None, None, left_out)
    centers = tuple(float("nan") if g.center_um is None else g.center_um for g in result.groups)
    return Groups(members, centers, result.axis_edges.get(request.axis), request.axis, left_out)


def _by_prefix(request: Request, facts: Sequence[Facts]) -> Groups:
    """Brain Street View's rule: the first listed region that the acronym begins with, so that VISp takes VISpm."""
    numbers = request.group_numbers
    members: list[list[int]] = [[] for _ in numbers]
    left_out: dict[int, str] = {}
    for item in facts:
        matching = (number for region, number in request.regions if item.primary_structure.startswith(region))
        number = next(matching, None)
        if number is None:
            left_out[item.experiment_id] = f"{item.primary_structure!r} begins with no listed region"
        else:
            members[numbers.index(number)].append(item.experiment_id)
    return Groups(tuple(map(tuple, members)), None, None, None, left_out)
