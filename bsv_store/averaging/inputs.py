"""What goes into a dataset version: which experiments, in which groups, with which volumes, divided by what.

Everything is read in one short transaction, so that a version never mixes two states of the catalog. No volume file is
opened here: the hashes recorded with the volumes stand for their content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from bsv_store.averaging.grouping.assignment import Assignment, Group, LeftOut, Subject, assign
from bsv_store.averaging.grouping.grouping import CrossedGrouping, Grouping, RegionGrouping
from bsv_store.averaging.grouping.subjects import subject_attributes
from bsv_store.averaging.hemisphere import needs_side
from bsv_store.averaging.recipe import canonical_json
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.selection.commands import fetch_command, sync_command
from bsv_store.catalog.selection.resolve import excluded_from, resolve_nonempty
from bsv_store.catalog.structures import ancestry as read_ancestry
from bsv_store.catalog.tables.frames import injection_volumes
from bsv_store.catalog.volumes import find_volumes
from bsv_store.errors import MissingDataError, RecipeError
from bsv_store.text import listed_ids, number_of
from bsv_store.vocabulary import Hemisphere

if TYPE_CHECKING:
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.vocabulary import VolumeKind
    from bsv_store.volumes.library import VolumeFile

ALGORITHM_VERSION = 1
"""Part of every fingerprint: goes up when the same inputs would give other numbers."""

BILATERAL_SHARE = 0.01
"""An injection is bilateral if its smaller side holds at least this share of its volume."""


@dataclass(frozen=True, slots=True)
class MemberInput:
    """One experiment of a group and what it brings.

    Attributes
    ----------
    group : int
        From 0.
    volume : VolumeFile
    divisor : float
        Injection volume in mm3, or 1.
    injected : {'left', 'right'} or None
        Injected side, where the hemisphere rule uses it.
    exclude, weights : VolumeFile or None
        Injection fraction and data mask, where the recipe asks for them.
    """

    experiment_id: int
    group: int
    volume: VolumeFile
    divisor: float = 1.0
    injected: Hemisphere | None = None
    exclude: VolumeFile | None = None
    weights: VolumeFile | None = None

    def files(self) -> tuple[VolumeFile, ...]:
        """All files that are read for this member: volume, exclusion mask, weights."""
        return tuple(file for file in (self.volume, self.exclude, self.weights) if file is not None)


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that determines the numbers of a version.

    Attributes
    ----------
    groups : tuple of Group
    members : tuple of MemberInput
        Ascending by experiment id; also the order in which they are added up.
    left_out : tuple of LeftOut
        Ascending by experiment id.
    """

    recipe: Recipe
    groups: tuple[Group, ...]
    members: tuple[MemberInput, ...]
    left_out: tuple[LeftOut, ...]

    def to_dict(self) -> dict[str, Any]:
        """What the fingerprint covers, as plain JSON values: recipe, groups, inputs and algorithm."""
        return {
            "algorithm_version": ALGORITHM_VERSION,
            "recipe": self.recipe.to_dict(),
            "groups": [
                {"label": group.label, "ranges": [asdict(part) for part in group.ranges]} for group in self.groups
            ],
            "members": [_member_values(member) for member in self.members],
            "left_out": [asdict(left) for left in self.left_out],
        }

    def to_json(self) -> str:
        """Canonical JSON of :meth:`to_dict`: the text that the fingerprint is the hash of."""
        return canonical_json(self.to_dict())

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal: the same for equal questions over equal inputs."""
        return fingerprint_of(self.to_json())


def fingerprint_of(text: str) -> str:
    """The fingerprint that belongs to the canonical JSON of inputs."""
    return hashlib.sha256(text.encode()).hexdigest()


def gather_inputs(
    connection: Connection,
    recipe: Recipe,
    *,
    damaged: Mapping[int, str] | None = None,
) -> Inputs:
    """The inputs of a recipe, as the catalog has them now.

    Experiments are grouped first; only those in a group need data. Where some are left out for lack of data, the rest
    is grouped again, so that edges and centers describe what went in.

    Parameters
    ----------
    damaged : mapping of int to str, optional
        Experiments whose files proved damaged, and how; they are left out.

    Raises
    ------
    MissingDataError
        If data are missing and the recipe does not leave such experiments out, or nothing remains.
    RecipeError
        If a bilateral injection meets the policy 'error', or no experiment can be placed in a group.
    EmptySelectionError
        If no experiment is selected.
    UnknownStructureError, UnknownExperimentError, SelectionError
        If the selection or grouping names what the catalog does not have.
    """
    selected = resolve_nonempty(connection, recipe.selection)
    subjects = [Subject(**attributes) for attributes in subject_attributes(connection, selected)]
    ancestry = read_ancestry(connection) if _uses_regions(recipe.grouping) else {}
    # What the lab's exclusion list takes out is part of the answer: a changed list makes another version.
    excluded = {
        identifier: f"excluded: {why}" for identifier, why in excluded_from(connection, recipe.selection).items()
    }
    reasons = {**excluded, **(damaged or {})}
    needs = _Needs(connection, recipe, _minor_shares(connection, selected))
    while True:
        remaining = [subject for subject in subjects if subject.experiment_id not in reasons]
        if not remaining:
            raise _nothing_left(recipe, reasons)
        assignment = assign(recipe.grouping, remaining, ancestry)
        placed = assignment.group_of()
        lacking = needs.lacking([subject for subject in remaining if subject.experiment_id in placed])
        if not placed:
            raise RecipeError(
                f"none of the {len(remaining)} experiments falls into a group; {_first_reason(assignment)}",
                hint="Coordinates and edges are um, regions acronyms.",
            )
        if not lacking:
            break
        reasons.update(lacking)
    return _inputs(recipe, assignment, needs, reasons)


def _first_reason(assignment: Assignment) -> str:
    first = min(assignment.left_out, key=lambda left: left.experiment_id)
    return f"{first.experiment_id}: {first.reason}"


def _inputs(recipe: Recipe, assignment: Assignment, needs: _Needs, reasons: Mapping[int, str]) -> Inputs:
    members = [needs.member(identifier, group) for identifier, group in sorted(assignment.group_of().items())]
    left_out = [*assignment.left_out, *(LeftOut(identifier, reason) for identifier, reason in reasons.items())]
    return Inputs(
        recipe,
        assignment.groups,
        tuple(members),
        tuple(sorted(left_out, key=lambda left: left.experiment_id)),
    )


class _Needs:
    """What the recipe needs of each experiment beside its row: looked up once for all that are asked about."""

    def __init__(self, connection: Connection, recipe: Recipe, shares: Mapping[int, float]) -> None:
        self.recipe = recipe
        self._connection = connection
        self._minor_share = shares
        self._volumes: dict[VolumeKind, dict[int, VolumeFile]] = {kind: {} for kind in recipe.kinds}
        self._divisors: dict[int, float] = {}
        self._sides: dict[int, Hemisphere | None] = {}
        self._known: set[int] = set()

    def lacking(self, subjects: Sequence[Subject]) -> dict[int, str]:
        """Experiments that cannot go in, and why.

        Raises
        ------
        MissingDataError, RecipeError
            If the recipe says that this is an error.
        """
        self._look_up(subjects)
        ids = [subject.experiment_id for subject in subjects]
        reasons = self._without_volume(ids)
        for identifier, reason in {**self._without_divisor(ids), **self._without_side(ids)}.items():
            reasons.setdefault(identifier, reason)
        for identifier, reason in self._bilateral(ids).items():
            reasons.setdefault(identifier, reason)
        return reasons

    def member(self, experiment_id: int, group: int) -> MemberInput:
        """The input of an experiment that lacks nothing."""
        volumes = {kind: found[experiment_id] for kind, found in self._volumes.items()}
        return MemberInput(
            experiment_id,
            group,
            volumes[self.recipe.kind],
            divisor=self._divisors.get(experiment_id, 1.0),
            injected=self._sides.get(experiment_id),
            exclude=volumes["injection_fraction"] if self.recipe.exclude_injection else None,
            weights=volumes["data_mask"] if self.recipe.weight_by_data_mask else None,
        )

    def _look_up(self, subjects: Sequence[Subject]) -> None:
        new = [subject for subject in subjects if subject.experiment_id not in self._known]
        ids = [subject.experiment_id for subject in new]
        self._known.update(ids)
        for kind, found in self._volumes.items():
            found.update(find_volumes(self._connection, ids, kind=kind, spacing_um=self.recipe.spacing_um))
        if self.recipe.normalize == "injection_volume":
            self._divisors.update(injection_volumes(self._connection, ids))
        if needs_side(self.recipe.hemisphere_rule):
            self._sides.update({subject.experiment_id: subject.injected_hemisphere for subject in new})

    def _without_volume(self, ids: Sequence[int]) -> dict[int, str]:
        reasons: dict[int, str] = {}
        spacing = self.recipe.spacing_um
        for kind, found in self._volumes.items():
            absent = [identifier for identifier in ids if identifier not in found]
            what = f"the {kind} at {spacing} um is not in the store"
            self._refuse(
                absent,
                what,
                hint=f"Bring them: {fetch_command(self.recipe.selection, absent, kind=kind, spacing_um=spacing)}",
            )
            reasons.update({identifier: what for identifier in absent if identifier not in reasons})
        return reasons

    def _without_divisor(self, ids: Sequence[int]) -> dict[int, str]:
        if self.recipe.normalize != "injection_volume":
            return {}
        absent = [identifier for identifier in ids if identifier not in self._divisors]
        what = "the injection volume is not known (no unionize rows)"
        self._refuse(absent, what, hint=f"Bring them: {sync_command(self.recipe.selection, absent)}")
        zero = [identifier for identifier in ids if self._divisors.get(identifier, 1.0) <= 0]
        nothing = "the injection volume is 0, so it cannot be divided by"
        self._refuse(zero, nothing, hint="Leave such experiments out, or do not normalize.")
        return {**dict.fromkeys(absent, what), **dict.fromkeys(zero, nothing)}

    def _without_side(self, ids: Sequence[int]) -> dict[int, str]:
        if not needs_side(self.recipe.hemisphere_rule):
            return {}
        absent = [identifier for identifier in ids if self._sides[identifier] is None]
        what = "the injected hemisphere is not known"
        self._refuse(absent, what, hint=f"Bring the unionize rows: {sync_command(self.recipe.selection, absent)}")
        return dict.fromkeys(absent, what)

    def _bilateral(self, ids: Sequence[int]) -> dict[int, str]:
        recipe = self.recipe
        if not needs_side(recipe.hemisphere_rule) or recipe.bilateral_rule == "larger_side":
            return {}
        shares = {identifier: self._minor_share.get(identifier, 0.0) for identifier in ids}
        both = {identifier: share for identifier, share in shares.items() if share >= BILATERAL_SHARE}
        if both and recipe.bilateral_rule == "error":
            raise RecipeError(
                f"injected on both sides, which {recipe.hemisphere_rule!r} does not admit: {listed_ids(both)}",
                hint="Say what becomes of them: bilateral larger_side or leave_out (--bilateral-rule).",
            )
        return {
            identifier: f"injected on both sides ({share:.1%} of the injection on the smaller one)"
            for identifier, share in both.items()
        }

    def _refuse(self, ids: Sequence[int], what: str, *, hint: str) -> None:
        if ids and self.recipe.missing == "error":
            raise MissingDataError(f"{what}: {number_of(len(ids), 'experiment')}, {listed_ids(ids)}", hint=hint)


def _uses_regions(grouping: Grouping) -> bool:
    if isinstance(grouping, CrossedGrouping):
        return _uses_regions(grouping.first) or _uses_regions(grouping.second)
    return isinstance(grouping, RegionGrouping)


def _minor_shares(connection: Connection, ids: Sequence[int]) -> dict[int, float]:
    """The share of the smaller injected side, where it is known."""
    columns = (Experiment.id, Experiment.injection_volume_left, Experiment.injection_volume_right)
    rows = connection.execute(select(*columns).where(id_in(connection, Experiment.id, ids)))
    return {
        identifier: min(left, right) / (left + right)
        for identifier, left, right in rows
        if left is not None and right is not None and left + right > 0
    }


def _member_values(member: MemberInput) -> dict[str, Any]:
    files = {"volume": member.volume, "exclude": member.exclude, "weights": member.weights}
    return {
        "experiment_id": member.experiment_id,
        "group": member.group,
        "divisor": member.divisor,
        "injected": member.injected,
        **{role: None if file is None else file.layout.array_sha256 for role, file in files.items()},
    }


def _nothing_left(recipe: Recipe, reasons: Mapping[int, str]) -> MissingDataError:
    first = min(reasons)
    command = fetch_command(recipe.selection, list(reasons), kind=recipe.kind, spacing_um=recipe.spacing_um)
    return MissingDataError(
        f"none of the {len(reasons)} selected experiments can go in; {first}: {reasons[first]}",
        hint=f"Bring what is missing: {command}",
    )
