"""The inputs of an average: experiments, groups, volumes, divisors, and the experiments that are left out.

They are read in one short transaction, so that they describe one state of the catalog. No volume file is opened: the
recorded hashes identify the content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, assert_never

from bsv_store.averaging.grouping.assignment import Assignment, CoordinateRange, Group, LeftOut, assign
from bsv_store.averaging.grouping.facts import ExperimentFacts, experiment_facts
from bsv_store.averaging.grouping.grouping import CrossedGrouping, Grouping, RegionGrouping, axes_of
from bsv_store.averaging.members import (
    Member,
    ids_by_group,
    in_order,
    is_finite_number,
    members_from_json,
    members_to_json,
)
from bsv_store.averaging.recipe import Recipe, canonical_json
from bsv_store.catalog.ingest.hemisphere import sides_in_tables
from bsv_store.catalog.missing import excluded_reasons, leave_out, nothing_left, without_volume
from bsv_store.catalog.normalization import Divisor, divisors
from bsv_store.catalog.selection.commands import sync_command
from bsv_store.catalog.selection.resolve import resolve_with_exclusions
from bsv_store.catalog.structures import ancestry as read_ancestry
from bsv_store.catalog.verify import check_inputs
from bsv_store.catalog.volumes import find_volumes
from bsv_store.errors import FormatError, RecipeError
from bsv_store.text import listed_ids, shown
from bsv_store.vocabulary import AXES, HEMISPHERE_RULES, NORMALIZATIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.vocabulary import DivisorSource, Hemisphere, VolumeKind
    from bsv_store.volumes.library import VolumeFile

ALGORITHM_VERSION = 2
"""Part of every fingerprint. Increased when the same inputs would give other numbers."""


@dataclass(frozen=True, slots=True)
class MemberInput:
    """A member of a group with its files.

    Attributes
    ----------
    group : int
        From 0.
    volume : VolumeFile
    divisor : float
        1 = not normalized.
    injected : {'left', 'right'} or None
        The injected hemisphere, if the hemisphere rule needs it.
    exclude, weights : VolumeFile or None
        Injection fraction and data mask, if the recipe uses them.
    divisor_source : {'list'} or None
        'list' if the divisor is from the experiment list; None otherwise.
    """

    experiment_id: int
    group: int
    volume: VolumeFile
    divisor: float = 1.0
    injected: Hemisphere | None = None
    exclude: VolumeFile | None = None
    weights: VolumeFile | None = None
    divisor_source: DivisorSource | None = None

    def files(self) -> tuple[VolumeFile, ...]:
        """The files that are read for this member: volume, exclusion mask, weights."""
        return tuple(file for file in (self.volume, self.exclude, self.weights) if file is not None)

    @property
    def member(self) -> Member:
        """What is recorded of this member."""
        return Member(
            self.experiment_id,
            self.group,
            divisor=self.divisor,
            injected_hemisphere=self.injected,
            array_sha256=_hash(self.volume),
            injection_fraction_sha256=_hash(self.exclude),
            data_mask_sha256=_hash(self.weights),
            divisor_source=self.divisor_source,
        )


def _hash(file: VolumeFile | None) -> str | None:
    return None if file is None else file.layout.array_sha256


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that determines the numbers of a version.

    Attributes
    ----------
    groups : tuple of Group
    members : tuple of MemberInput
        Ascending by experiment id, the order in which they are added.
    left_out : tuple of LeftOut
        Ascending by experiment id.
    """

    recipe: Recipe
    groups: tuple[Group, ...]
    members: tuple[MemberInput, ...]
    left_out: tuple[LeftOut, ...]

    def files(self) -> list[VolumeFile]:
        """The files that are read for all members."""
        return [file for member in self.members for file in member.files()]

    def experiments(self) -> tuple[Member, ...]:
        """All selected experiments, ascending by id: the members and those left out."""
        placed = (each.member for each in self.members)
        return in_order([*placed, *(Member(left.experiment_id, reason=left.reason) for left in self.left_out)])

    def recorded(self) -> RecordedInputs:
        """The recorded form of these inputs, without the files."""
        return RecordedInputs(self.recipe, self.groups, self.experiments(), ALGORITHM_VERSION)

    def to_json(self) -> str:
        """Canonical JSON of `RecordedInputs.to_dict`, whose hash is the fingerprint."""
        return self.recorded().to_json()

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal: equal for equal recipes over equal inputs."""
        return self.recorded().fingerprint()


@dataclass(frozen=True, slots=True)
class RecordedInputs:
    """The inputs of a version as they are recorded, without the files.

    Attributes
    ----------
    recipe : Recipe
    groups : tuple of Group
    members : tuple of Member
        All selected experiments, ascending by id, including those left out.
    algorithm_version : int
    """

    recipe: Recipe
    groups: tuple[Group, ...]
    members: tuple[Member, ...]
    algorithm_version: int

    def experiments(self) -> tuple[Member, ...]:
        """All selected experiments, ascending by id: the members and those left out."""
        return self.members

    def to_dict(self) -> dict[str, Any]:
        """Recipe, groups, members and algorithm version as plain JSON values: the content of the fingerprint."""
        groups = [{"label": group.label, "ranges": [asdict(part) for part in group.ranges]} for group in self.groups]
        return {
            "algorithm_version": self.algorithm_version,
            "recipe": self.recipe.to_dict(),
            "groups": groups,
            **members_to_json(self.members),
        }

    def to_json(self) -> str:
        """Canonical JSON of `to_dict`: the text whose hash is the fingerprint."""
        return canonical_json(self.to_dict())

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal."""
        return fingerprint_of(self.to_json())

    @classmethod
    def from_json(cls, text: str) -> RecordedInputs:
        """The inputs from the result of `to_json`.

        Raises
        ------
        FormatError
            If the text is not exactly what `to_json` writes for valid inputs.
        RecipeError, InputError
            If the recipe is not valid.
        """
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"the inputs are not valid JSON: {error}") from error
        if not isinstance(value, dict) or set(value) != _PARTS:
            raise FormatError(f"the inputs must have exactly the keys {', '.join(sorted(_PARTS))}")
        version = value["algorithm_version"]
        if type(version) is not int or not 1 <= version <= _MAX_VERSION:
            raise FormatError(f"the algorithm version must be a positive integer, got {shown(version)}")
        recipe = Recipe.from_json(value["recipe"]) if isinstance(value["recipe"], dict) else None
        if recipe is None:
            raise FormatError("the recipe of the inputs must be a JSON object")
        members = members_from_json(value)
        found = cls(recipe, recorded_groups(value["groups"], members), members, version)
        _check_recorded(found)
        # The same values in another form, such as another order of keys, would have another fingerprint.
        if found.to_json() != text:
            raise FormatError("the inputs must be canonical JSON as written by bsv-store")
        return found


_PARTS = {"algorithm_version", "recipe", "groups", "members", "left_out"}
_MAX_VERSION = 1_000_000


def recorded_groups(value: Any, members: Sequence[Member]) -> tuple[Group, ...]:
    """The groups from their recorded form, with the ids of their members.

    Raises
    ------
    FormatError
        If the form is not valid, or a member is in an unknown group.
    """
    ids = ids_by_group(members)
    if not isinstance(value, list) or any(number >= len(value) for number in ids):
        raise FormatError("the groups must be a list that contains the group of each member")
    return tuple(_recorded_group(number, entry, ids.get(number, [])) for number, entry in enumerate(value))


def _recorded_group(number: int, entry: Any, ids: Sequence[int]) -> Group:
    if not isinstance(entry, dict) or set(entry) != {"label", "ranges"} or not isinstance(entry["ranges"], list):
        raise FormatError(f"group {number} must have a label and ranges")
    label = entry["label"]
    if not isinstance(label, str) or not label or not label.isprintable():
        raise FormatError(f"the label of group {number} must be a single line of text, got {shown(label)}")
    for part in entry["ranges"]:
        if not isinstance(part, dict) or set(part) != _RANGE_PARTS or part["axis"] not in AXES:
            raise FormatError(f"a range of group {number} must have {', '.join(sorted(_RANGE_PARTS))}")
        for name in sorted(_RANGE_PARTS - {"axis"}):
            if part[name] is not None and not is_finite_number(part[name]):
                raise FormatError(f"{name} of group {number} must be a number, got {shown(part[name])}")
    return Group(number, label, tuple(ids), tuple(CoordinateRange(**part) for part in entry["ranges"]))


_RANGE_PARTS = {each.name for each in fields(CoordinateRange)}


def _check_recorded(inputs: RecordedInputs) -> None:
    """Check that the inputs can be those of an average.

    Raises
    ------
    FormatError
    """
    ids = [member.experiment_id for member in inputs.members]
    if twice := sorted({each for each, following in pairwise(ids) if each == following}):
        raise FormatError(f"experiments occur more than once: {listed_ids(twice)}")
    if all(member.group is None for member in inputs.members):
        raise FormatError("the inputs have no members")
    labels = [group.label for group in inputs.groups]
    if len(set(labels)) != len(labels):
        raise FormatError("two groups have the same label")
    axes = axes_of(inputs.recipe.grouping)
    for group in inputs.groups:
        if tuple(part.axis for part in group.ranges) != axes:
            raise FormatError(f"the ranges of group {group.number} do not match the grouping of the recipe")
    recipe = inputs.recipe
    for member in inputs.members:
        if member.group is None:
            continue
        has_masks = member.injection_fraction_sha256 is not None, member.data_mask_sha256 is not None
        if has_masks != (recipe.exclude_injection, recipe.weight_by_data_mask):
            raise FormatError(f"the masks of experiment {member.experiment_id} do not match the recipe")
        if (member.injected_hemisphere is not None) != HEMISPHERE_RULES[recipe.hemisphere_rule].needs_side:
            raise FormatError(f"the injected hemisphere of experiment {member.experiment_id} does not match the recipe")


def fingerprint_of(text: str) -> str:
    """The fingerprint of the canonical JSON of inputs."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_recipe_inputs(connection: Connection, recipe: Recipe) -> None:
    """Check that the rows of the catalog that an average reads are undamaged.

    Raises
    ------
    DamagedCatalogError
        If a row differs from what was stored, is missing, or was added by another program.
    """
    targets = [ref for leaf in recipe.selection.leaves() for ref in leaf.projecting_to or ()]
    check_inputs(connection, kinds=recipe.kinds, spacing_um=recipe.spacing_um, targets=targets)


def gather_inputs(
    connection: Connection,
    recipe: Recipe,
    *,
    unusable: Mapping[int, str] | None = None,
) -> Inputs:
    """The inputs of a recipe in the current state of the catalog.

    Experiments are grouped first; only those in a group need data. If some are left out because data are missing, the
    others are grouped again, so that edges and centers describe the members.

    Parameters
    ----------
    unusable : mapping of int to str, optional
        Further experiments to leave out, with the reasons.

    Raises
    ------
    MissingDataError
        If data are missing and the recipe does not leave such experiments out, or no experiment remains.
    RecipeError
        If an injection is bilateral and the recipe's rule is 'error', or no experiment belongs to a group.
    EmptySelectionError
        If no experiment is selected.
    UnknownStructureError, UnknownExperimentError, SelectionError
        If the selection or grouping names something that the catalog does not have.
    DamagedCatalogError
        If rows of the catalog that the inputs depend on differ from what was stored.
    """
    check_recipe_inputs(connection, recipe)
    selected, excluded = resolve_with_exclusions(connection, recipe.selection)
    experiments = experiment_facts(connection, selected)
    ancestry = read_ancestry(connection) if _uses_regions(recipe.grouping) else {}
    # Reasons are part of the fingerprint: a changed exclusion list gives a new version.
    reasons = {**excluded_reasons(excluded), **(unusable or {})}
    required = _RequiredData(connection, recipe)
    while True:
        remaining = [each for each in experiments if each.experiment_id not in reasons]
        if not remaining:
            raise nothing_left(recipe.selection, reasons, kinds=recipe.kinds, spacing_um=recipe.spacing_um)
        assignment = assign(recipe.grouping, remaining, ancestry)
        placed = assignment.group_of()
        missing = required.missing([each for each in remaining if each.experiment_id in placed])
        if not placed:
            raise RecipeError(
                f"none of the {len(remaining)} experiments belongs to a group; {_first_reason(assignment)}",
                hint="Coordinates and edges are in um, regions are acronyms.",
            )
        if not missing:
            break
        reasons.update(missing)
    members = [required.member(each, group) for each, group in sorted(placed.items())]
    left_out = [*assignment.left_out, *(LeftOut(each, reason) for each, reason in reasons.items())]
    left_out.sort(key=lambda left: left.experiment_id)
    return Inputs(recipe, assignment.groups, tuple(members), tuple(left_out))


def _first_reason(assignment: Assignment) -> str:
    first = min(assignment.left_out, key=lambda left: left.experiment_id)
    return f"{first.experiment_id}: {first.reason}"


class _RequiredData:
    """The data of experiments that the recipe needs in addition to their facts, looked up once for each experiment."""

    def __init__(self, connection: Connection, recipe: Recipe) -> None:
        self.recipe = recipe
        self._connection = connection
        self._rule = HEMISPHERE_RULES[recipe.hemisphere_rule]
        self._volumes: dict[VolumeKind, dict[int, VolumeFile]] = {kind: {} for kind in recipe.kinds}
        self._divisors: dict[int, Divisor] | None = None
        self._sides: dict[int, Hemisphere | None] = {}
        self._known: set[int] = set()

    def missing(self, experiments: Sequence[ExperimentFacts]) -> dict[int, str]:
        """The reason for each experiment that is left out.

        Raises
        ------
        MissingDataError, RecipeError
            If the recipe makes this an error.
        """
        self._look_up(experiments)
        ids = [each.experiment_id for each in experiments]
        reasons: dict[int, str] = {}
        # Only the first reason of an experiment is recorded.
        for found in (
            self._without_volume(ids),
            self._without_divisor(ids),
            self._without_side(ids),
            self._bilateral(experiments),
        ):
            reasons = {**found, **reasons}
        return reasons

    def member(self, experiment_id: int, group: int) -> MemberInput:
        """The input of an experiment whose data are complete."""
        volumes = {kind: found[experiment_id] for kind, found in self._volumes.items()}
        divisor = Divisor(1.0) if self._divisors is None else self._divisors[experiment_id]
        return MemberInput(
            experiment_id,
            group,
            volumes[self.recipe.kind],
            divisor=divisor.value,
            injected=self._sides.get(experiment_id),
            exclude=volumes["injection_fraction"] if self.recipe.exclude_injection else None,
            weights=volumes["data_mask"] if self.recipe.weight_by_data_mask else None,
            divisor_source=divisor.source,
        )

    def _look_up(self, experiments: Sequence[ExperimentFacts]) -> None:
        new = [each for each in experiments if each.experiment_id not in self._known]
        ids = [each.experiment_id for each in new]
        self._known.update(ids)
        for kind, found in self._volumes.items():
            found.update(find_volumes(self._connection, ids, kind=kind, spacing_um=self.recipe.spacing_um))
        found_divisors = divisors(self._connection, self.recipe.normalize, ids)
        if found_divisors is not None:
            self._divisors = {**(self._divisors or {}), **found_divisors}
        if self._rule.needs_side:
            self._sides.update({each.experiment_id: each.injected_hemisphere for each in new})

    def _without_volume(self, ids: Sequence[int]) -> dict[int, str]:
        recipe, reasons = self.recipe, dict[int, str]()
        for kind, found in self._volumes.items():
            absent = [each for each in ids if each not in found]
            left = without_volume(
                recipe.selection, absent, kind=kind, spacing_um=recipe.spacing_um, missing=recipe.missing
            )
            reasons = {**left, **reasons}
        return reasons

    def _without_divisor(self, ids: Sequence[int]) -> dict[int, str]:
        found = self._divisors
        if found is None:
            return {}
        divisor, missing = NORMALIZATIONS[self.recipe.normalize].divisor, self.recipe.missing
        absent = [each for each in ids if each not in found]
        sync = f"Sync the unionize tables: {sync_command(self.recipe.selection, absent)}"
        reasons = leave_out(absent, f"the {divisor} is not known (no unionize rows)", missing=missing, hint=sync)
        zero = [each for each in ids if each in found and found[each].value <= 0]
        return {
            **reasons,
            **leave_out(
                zero, f"the {divisor} is 0, so it cannot be divided by", missing=missing, hint="Do not normalize."
            ),
        }

    def _without_side(self, ids: Sequence[int]) -> dict[int, str]:
        if not self._rule.needs_side:
            return {}
        absent = [each for each in ids if self._sides[each] is None]
        found_by_sync = absent and sides_in_tables(self._connection, absent)
        hint = "Use the hemisphere rule 'none' (--hemisphere-rule none)."
        if found_by_sync:
            hint = f"Sync the unionize tables: {sync_command(self.recipe.selection, found_by_sync)}"
        return leave_out(absent, "the injected hemisphere is not known", missing=self.recipe.missing, hint=hint)

    def _bilateral(self, experiments: Sequence[ExperimentFacts]) -> dict[int, str]:
        recipe, rule = self.recipe, self.recipe.bilateral_rule
        found = [each for each in experiments if self._rule.needs_side and each.is_bilateral]
        if rule == "larger_side" or not found:
            return {}
        if rule == "error":
            raise RecipeError(
                f"the hemisphere rule {recipe.hemisphere_rule!r} needs one injected side; injected on both sides: "
                f"{listed_ids(each.experiment_id for each in found)}",
                hint="Use bilateral_rule='larger_side' or bilateral_rule='leave_out'.",
            )
        if rule == "leave_out":
            reason = "injected on both sides ({:.1%} of the injection on the smaller one)"
            return {each.experiment_id: reason.format(each.minor_share) for each in found}
        assert_never(rule)


def _uses_regions(grouping: Grouping) -> bool:
    if isinstance(grouping, CrossedGrouping):
        return _uses_regions(grouping.first) or _uses_regions(grouping.second)
    return isinstance(grouping, RegionGrouping)
