"""What differs between two sets of inputs, experiment by experiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.datasets.records import Member, experiments_of

if TYPE_CHECKING:
    from bsv_store.averaging.inputs import Inputs
    from bsv_store.datasets.stored import StoredVersion


@dataclass(frozen=True, slots=True)
class MemberChange:
    """An experiment that is not in both sides in the same way, and why."""

    experiment_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class MemberChanges:
    """What became of the members.

    Attributes
    ----------
    entered, left : tuple of MemberChange
        Experiments of a group on the second side only, on the first side only.
    changed : tuple of MemberChange
        Experiments of a group on both sides whose group, volume, masks, divisor or injected side differ.
    """

    entered: tuple[MemberChange, ...]
    left: tuple[MemberChange, ...]
    changed: tuple[MemberChange, ...]

    def __bool__(self) -> bool:
        return bool(self.entered or self.left or self.changed)


@dataclass(frozen=True, slots=True)
class Side:
    """Experiments as one version, or the store as it is now, has them."""

    members: Mapping[int, Member]
    labels: Mapping[int, str]

    @classmethod
    def of_version(cls, version: StoredVersion) -> Side:
        """The experiments of a version."""
        return cls(_by_id(version.experiments), {group.number: group.label for group in version.groups})

    @classmethod
    def of_inputs(cls, inputs: Inputs) -> Side:
        """The experiments that would go into a version now."""
        return cls(_by_id(experiments_of(inputs)), {group.number: group.label for group in inputs.groups})

    def placed(self) -> set[int]:
        """Ids of the experiments that are in a group."""
        return {identifier for identifier, member in self.members.items() if member.group is not None}

    def label(self, member: Member) -> str:
        """Label of a member's group."""
        return self.labels[member.group] if member.group is not None else "none"


def compare_members(first: Side, second: Side) -> MemberChanges:
    """What became of the experiments from the first side to the second."""
    before, after = first.placed(), second.placed()
    changed = [
        MemberChange(identifier, "; ".join(reasons))
        for identifier in sorted(before & after)
        if (reasons := _differences(first, second, identifier))
    ]
    return MemberChanges(
        tuple(MemberChange(each, _absence(first, each, "was not selected")) for each in sorted(after - before)),
        tuple(MemberChange(each, _absence(second, each, "is not selected")) for each in sorted(before - after)),
        tuple(changed),
    )


def _absence(side: Side, identifier: int, otherwise: str) -> str:
    member = side.members.get(identifier)
    if member is None:
        return otherwise
    return f"{'was' if otherwise.startswith('was') else 'is'} left out: {member.reason}"


def _differences(first: Side, second: Side, identifier: int) -> list[str]:
    before, after = first.members[identifier], second.members[identifier]
    reasons = []
    if first.label(before) != second.label(after):
        reasons.append(f"group {first.label(before)!r} became {second.label(after)!r}")
    if before.array_sha256 != after.array_sha256:
        reasons.append("another volume")
    for mask in ("injection_fraction", "data_mask"):
        one, other = getattr(before, f"{mask}_sha256"), getattr(after, f"{mask}_sha256")
        # A mask on one side only is a matter of the recipe, or was not recorded by an early schema.
        if None not in (one, other) and one != other:
            reasons.append(f"another {mask.replace('_', ' ')}")
    if before.divisor != after.divisor:
        reasons.append(f"divided by {after.divisor!r} instead of {before.divisor!r}")
    if before.injected_hemisphere != after.injected_hemisphere:
        reasons.append(f"injected side {before.injected_hemisphere} became {after.injected_hemisphere}")
    return reasons


def _by_id(members: Iterable[Member]) -> dict[int, Member]:
    return {member.experiment_id: member for member in members}
