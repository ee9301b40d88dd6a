"""Differences between the members of two versions, or of a version and the current state of the store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bsv_store.averaging.members import Member
from bsv_store.errors import StoreError

if TYPE_CHECKING:
    from bsv_store.averaging.inputs import Inputs
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.datasets.version import DatasetVersion

# Maximum number of changes listed in a summary.
_LISTED = 10


@dataclass(frozen=True, slots=True)
class MemberChange:
    """An experiment that differs, and how."""

    experiment_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class MemberChanges:
    """The differences between the members.

    Attributes
    ----------
    entered, left : tuple of MemberChange
        Experiments that are in a group in the second only, in the first only.
    changed : tuple of MemberChange
        Experiments that are in a group in both, but with another group, volume or unionize rows, mask, divisor,
        injected hemisphere or weight.
    """

    entered: tuple[MemberChange, ...]
    left: tuple[MemberChange, ...]
    changed: tuple[MemberChange, ...]

    def __bool__(self) -> bool:
        return bool(self.entered or self.left or self.changed)

    def __str__(self) -> str:
        lines = [
            f"{name}: {each.experiment_id} ({each.reason})"
            for name, changes in (("entered", self.entered), ("left", self.left), ("changed", self.changed))
            for each in changes
        ]
        more = [f"and {len(lines) - _LISTED:,} more"] if len(lines) > _LISTED else []
        return "\n".join([*lines[:_LISTED], *more]) or "no differences between the members"


@dataclass(frozen=True, slots=True)
class Membership:
    """The experiments of a version or of some inputs by id, and the labels of the groups by number.

    ``what`` is the reason if a member has another hash of what was read. ``weights`` are those of the members; empty if
    experiments have none, or the result file that has them cannot be read.
    """

    members: Mapping[int, Member]
    labels: Mapping[int, str]
    what: str = "another volume"
    weights: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def of_version(cls, version: DatasetVersion) -> Membership:
        """The experiments of a version."""
        weights: Mapping[int, float] = {}
        # The other differences can be reported without the file.
        with contextlib.suppress(StoreError):
            weights = version.weights() if version.recipe.weight_by != "none" else {}
        return cls(
            _by_id(version.experiments),
            {group.number: group.label for group in version.groups},
            _reason(version.recipe),
            weights,
        )

    @classmethod
    def of_inputs(cls, inputs: Inputs) -> Membership:
        """The experiments of inputs."""
        labels = {group.number: group.label for group in inputs.groups}
        weights = {each.experiment_id: each.weight for each in inputs.members if each.weight is not None}
        return cls(_by_id(inputs.experiments()), labels, _reason(inputs.recipe), weights)

    def placed(self) -> set[int]:
        """Ids of the experiments that are in a group."""
        return {identifier for identifier, member in self.members.items() if member.group is not None}

    def label(self, member: Member) -> str:
        """Label of the group of a member."""
        return self.labels[member.group] if member.group is not None else "none"


def compare_members(first: Membership, second: Membership) -> MemberChanges:
    """The differences from the first to the second."""
    before, after = first.placed(), second.placed()
    changed = [
        MemberChange(identifier, "; ".join(reasons))
        for identifier in sorted(before & after)
        if (reasons := _differences(first, second, identifier))
    ]
    return MemberChanges(
        tuple(MemberChange(each, _absence(first, each, "was")) for each in sorted(after - before)),
        tuple(MemberChange(each, _absence(second, each, "is")) for each in sorted(before - after)),
        tuple(changed),
    )


def _absence(membership: Membership, identifier: int, verb: str) -> str:
    member = membership.members.get(identifier)
    return f"{verb} not selected" if member is None else f"{verb} left out: {member.reason}"


def _differences(first: Membership, second: Membership, identifier: int) -> list[str]:
    before, after = first.members[identifier], second.members[identifier]
    reasons = []
    if first.label(before) != second.label(after):
        reasons.append(f"group {first.label(before)!r} became {second.label(after)!r}")
    if first.what != second.what:
        # One of the two is a comparison by structure, whose members have only values.
        return reasons
    if before.array_sha256 != after.array_sha256:
        reasons.append(first.what)
    for mask in ("injection_fraction", "data_mask"):
        one, other = getattr(before, f"{mask}_sha256"), getattr(after, f"{mask}_sha256")
        # A mask in only one of the two is due to the recipe, or was not recorded by an early schema.
        if None not in (one, other) and one != other:
            reasons.append(f"another {mask.replace('_', ' ')}")
    if before.divisor != after.divisor:
        reasons.append(f"divided by {after.divisor!r} instead of {before.divisor!r}")
    if before.divisor_source != after.divisor_source:
        names = [member.divisor_source or "unionize rows" for member in (before, after)]
        reasons.append(f"divisor from the {names[1]} instead of the {names[0]}")
    sides = before.injected_hemisphere, after.injected_hemisphere
    # It is only recorded if the recipe uses it.
    if None not in sides and sides[0] != sides[1]:
        reasons.append(f"injected hemisphere {sides[0]} became {sides[1]}")
    weights = first.weights.get(identifier), second.weights.get(identifier)
    # Weights in only one of the two are due to the recipe.
    if None not in weights and weights[0] != weights[1]:
        reasons.append(f"weight {weights[1]!r} instead of {weights[0]!r}")
    return reasons


def _reason(recipe: Recipe) -> str:
    if recipe.has_voxels:
        return "another volume"
    return "other values in the unionize table, or other structures or hemispheres"


def _by_id(members: Iterable[Member]) -> dict[int, Member]:
    return {member.experiment_id: member for member in members}
