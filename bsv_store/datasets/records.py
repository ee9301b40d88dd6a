"""What the catalog records of a version: its groups, its experiments, and what identifies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from bsv_store.averaging.grouping.assignment import CoordinateRange
    from bsv_store.averaging.inputs import Inputs
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.vocabulary import Hemisphere


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group of a version, in the order of the result's first axis.

    Attributes
    ----------
    number : int
        From 0.
    label : str
    lower, upper : float or None
        Edges of the coordinate bin in um; None where groups are no bins.
    center : float or None
        Mean injection coordinate of the members in um; None where groups are no bins.
    n : int
        Members whose volumes went in.
    experiment_ids : tuple of int
        Ascending.
    second_lower, second_upper, second_center : float or None
        The same along the second axis, where two coordinates are crossed.
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

    @classmethod
    def of(cls, number: int, label: str, ranges: Sequence[CoordinateRange], experiment_ids: Iterable[int]) -> GroupInfo:
        """The group with these ranges, one for each coordinate factor, and these members."""
        ids = tuple(sorted(experiment_ids))
        edges = [(part.lower_um, part.upper_um, part.center_um) for part in ranges]
        first, second, *_ = [*edges, (None, None, None), (None, None, None)]
        return cls(number, label, *first, len(ids), ids, *second)


@dataclass(frozen=True, slots=True)
class Member:
    """An experiment that was asked for: the group it went into, or why it was left out.

    Attributes
    ----------
    group : int or None
        None = left out.
    reason : str or None
        Why it was left out.
    divisor : float or None
        What its volume was divided by: the injection volume in mm3, or 1.
    injected_hemisphere : {'left', 'right'} or None
        Where the hemisphere rule used it.
    array_sha256 : str or None
        Hash of the volume that went in.
    injection_fraction_sha256, data_mask_sha256 : str or None
        Hashes of the masks that went in, where the recipe asks for them.
    """

    experiment_id: int
    group: int | None
    reason: str | None = None
    divisor: float | None = None
    injected_hemisphere: Hemisphere | None = None
    array_sha256: str | None = None
    injection_fraction_sha256: str | None = None
    data_mask_sha256: str | None = None


def groups_of(inputs: Inputs) -> tuple[GroupInfo, ...]:
    """The groups that a version of these inputs has."""
    return tuple(GroupInfo.of(group.number, group.label, group.ranges, group.experiment_ids) for group in inputs.groups)


def experiments_of(inputs: Inputs) -> tuple[Member, ...]:
    """The experiments that a version of these inputs records, ascending by id."""
    members = [
        Member(
            member.experiment_id,
            member.group,
            divisor=member.divisor,
            injected_hemisphere=member.injected,
            array_sha256=member.volume.layout.array_sha256,
            injection_fraction_sha256=None if member.exclude is None else member.exclude.layout.array_sha256,
            data_mask_sha256=None if member.weights is None else member.weights.layout.array_sha256,
        )
        for member in inputs.members
    ]
    left_out = [Member(left.experiment_id, None, reason=left.reason) for left in inputs.left_out]
    return tuple(sorted([*members, *left_out], key=lambda member: member.experiment_id))


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be written; its file is published already.

    Attributes
    ----------
    created_at : datetime.datetime or None
        None = now, by the database's clock.
    """

    recipe: Recipe
    fingerprint: str
    algorithm_version: int
    content_sha256: str
    path: str
    size_bytes: int
    file_sha256: str
    groups: tuple[GroupInfo, ...]
    experiments: tuple[Member, ...]
    created_by: str
    software: str
    created_at: datetime | None = None
