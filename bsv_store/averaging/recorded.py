"""The inputs of an average as they are recorded: canonical JSON, whose hash is the fingerprint of a version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from typing import Any

from bsv_store.averaging.comparison.design import CovariateValues, check_groups, recorded_covariates
from bsv_store.averaging.comparison.structure_values import (
    ComparedStructure,
    structures_from_json,
    structures_to_json,
)
from bsv_store.averaging.grouping.assignment import CoordinateRange, Group
from bsv_store.averaging.grouping.grouping import axes_of
from bsv_store.averaging.members import Member, ids_by_group, is_finite_number, members_from_json, members_to_json
from bsv_store.averaging.recipe import Recipe, canonical_json
from bsv_store.documents import json_value
from bsv_store.errors import FormatError
from bsv_store.text import listed_ids, shown
from bsv_store.vocabulary import AXES, HEMISPHERE_RULES


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
    covariates : mapping of covariate to tuple of float
        Of the recipe's comparison; values in the order of the members that are in a group.
    structures : tuple of ComparedStructure
        Those that were compared; empty unless the recipe compares by structure.
    """

    recipe: Recipe
    groups: tuple[Group, ...]
    members: tuple[Member, ...]
    algorithm_version: int
    covariates: CovariateValues = field(default_factory=dict)
    structures: tuple[ComparedStructure, ...] = ()

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights in the order of the members that are in a group; empty unless the recipe weights experiments."""
        return tuple(member.weight for member in self.members if member.weight is not None)

    def experiments(self) -> tuple[Member, ...]:
        """All selected experiments, ascending by id: the members and those left out."""
        return self.members

    def to_dict(self) -> dict[str, Any]:
        """Recipe, groups, members and algorithm version as plain JSON values: the content of the fingerprint."""
        groups = [{"label": group.label, "ranges": [asdict(part) for part in group.ranges]} for group in self.groups]
        covariates = {name: list(values) for name, values in self.covariates.items()}
        return {
            "algorithm_version": self.algorithm_version,
            "recipe": self.recipe.to_dict(),
            "groups": groups,
            **members_to_json(self.members),
            **({"covariates": covariates} if covariates else {}),
            **({"structures": structures_to_json(self.structures)} if self.structures else {}),
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
            value = json_value(text)
        except ValueError as error:
            raise FormatError(f"the inputs are not valid JSON: {error}") from error
        if not isinstance(value, dict) or set(value) - _OPTIONAL_PARTS != _PARTS:
            raise FormatError(f"the inputs must have exactly the keys {', '.join(sorted(_PARTS))}")
        version = value["algorithm_version"]
        if type(version) is not int or not 1 <= version <= _MAX_VERSION:
            raise FormatError(f"the algorithm version must be a positive integer, got {shown(version)}")
        recipe = Recipe.from_json(value["recipe"]) if isinstance(value["recipe"], dict) else None
        if recipe is None:
            raise FormatError("the recipe of the inputs must be a JSON object")
        members = members_from_json(value)
        placed = sum(member.group is not None for member in members)
        covariates = recorded_covariates(value.get("covariates"), recipe.comparison, placed)
        structures = structures_from_json(value.get("structures"), recipe.structure_comparison)
        groups = recorded_groups(value["groups"], members)
        found = cls(recipe, groups, members, version, covariates, structures)
        _check_recorded(found)
        # The same values in another form, such as another order of keys, would have another fingerprint.
        if found.to_json() != text:
            raise FormatError("the inputs must be canonical JSON as written by bsv-store")
        return found


_PARTS = {"algorithm_version", "recipe", "groups", "members", "left_out"}
_OPTIONAL_PARTS = {"covariates", "structures", "weights"}
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
    if recipe.comparison is not None:
        check_groups(inputs.groups)
    if bool(inputs.weights) != (recipe.weight_by != "none"):
        raise FormatError(f"the inputs have {'' if inputs.weights else 'no '}weights, which does not match the recipe")
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
