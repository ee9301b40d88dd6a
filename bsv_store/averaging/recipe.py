"""Recipes: everything that defines an average or a comparison except the state of the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bsv_store.averaging.comparison.comparison import Comparison
from bsv_store.averaging.comparison.structure_comparison import BY, StructureComparison
from bsv_store.averaging.grouping.grouping import Grouping, NoGrouping, grouping_from_json, selections_of
from bsv_store.averaging.grouping.words import grouping_words
from bsv_store.averaging.kernel.statistics import checked_statistics
from bsv_store.averaging.units import describe_unit
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.selection.words import selection_words
from bsv_store.check import boolean, choice
from bsv_store.documents import json_value
from bsv_store.errors import UPGRADE_HINT, RecipeError
from bsv_store.html import card, folded, preformatted
from bsv_store.text import shown
from bsv_store.vocabulary import (
    ANIMAL_WEIGHTS,
    BILATERAL_RULES,
    HEMISPHERE_RULES,
    MEASURES,
    MISSING_POLICIES,
    NORMALIZATIONS,
    RESULT_DTYPES,
    STATISTICS,
    VOLUME_KINDS,
    AnimalWeight,
    BilateralRule,
    ComparisonMap,
    HemisphereRule,
    MissingPolicy,
    Normalization,
    ResultDtype,
    Statistic,
    VolumeKind,
)
from bsv_store.volumes.grid import FRAME, checked_spacing

RECIPE_VERSION = 1

# The parts that are names from a closed list.
_LISTS: Mapping[str, Mapping[str, Any]] = {
    "kind": VOLUME_KINDS,
    "normalize": NORMALIZATIONS,
    "hemisphere_rule": HEMISPHERE_RULES,
    "bilateral_rule": BILATERAL_RULES,
    "weight_by": ANIMAL_WEIGHTS,
    "missing": MISSING_POLICIES,
    "dtype": RESULT_DTYPES,
}
# The parts of a recipe without voxels.
_WITHOUT_VOXELS = ("selection", "grouping", "missing", "comparison")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Which experiments are averaged, how, and in which groups.

    Names are those of the lists in `bsv_store.vocabulary`; other spellings and synonyms are replaced by them.

    Attributes
    ----------
    selection : Selection
    kind : VolumeKind
    spacing_um : {10, 25, 50, 100}
        0 for a comparison by structure, which has no voxels.
    grouping : Grouping
    normalize : Normalization
    hemisphere_rule : HemisphereRule
    bilateral_rule : BilateralRule
        What to do about experiments injected on both sides, where the hemisphere rule needs one side.
    exclude_injection : bool
        Do not count voxels inside the injection site (injection fraction above 0).
    weight_by_data_mask : bool
        Weight every voxel by the fraction of it that has data.
    weight_by : AnimalWeight
        Weight of each experiment; cannot be combined with ``weight_by_data_mask``.
    statistics : tuple of Statistic
        The mean is always among them; empty for a comparison by structure.
    missing : MissingPolicy
        What to do about experiments that do not have a volume, a divisor or an injected hemisphere that the recipe
        needs.
    dtype : ResultDtype
        Of the result. Sums are float64 in any case.
    comparison : Comparison, StructureComparison or None
        How the two groups of the grouping are compared, by voxel or by structure; None = they are not. A comparison by
        structure reads no volumes, so that only ``selection``, ``grouping`` and ``missing`` can be combined with it.

    Raises
    ------
    RecipeError, InputError
        If a part is not valid; the hint lists the valid values.
    """

    selection: Selection
    kind: VolumeKind = "projection_density"
    spacing_um: int = 100
    grouping: Grouping = field(default_factory=NoGrouping)
    normalize: Normalization = "none"
    hemisphere_rule: HemisphereRule = "none"
    bilateral_rule: BilateralRule = "larger_side"
    exclude_injection: bool = False
    weight_by_data_mask: bool = False
    weight_by: AnimalWeight = "none"
    statistics: tuple[Statistic, ...] = ("mean",)
    missing: MissingPolicy = "error"
    dtype: ResultDtype = "float32"
    comparison: Comparison | StructureComparison | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.selection, Selection):
            raise RecipeError(
                f"selection must be a Selection, got {shown(self.selection)}",
                hint="For example: Selection(ids=[100141219]).",
            )
        if not isinstance(self.grouping, Grouping):
            raise RecipeError(
                f"grouping must be a Grouping, got {shown(self.grouping)}",
                hint="Use by_coordinate, by_region, by_field, by_selection or crossed.",
            )
        spacing_um = checked_spacing(self.spacing_um) if self.has_voxels else 0
        checked: dict[str, Any] = {
            name: choice(name, getattr(self, name), rows, error=RecipeError).name for name, rows in _LISTS.items()
        }
        checked["statistics"] = checked_statistics(self.statistics) if self.has_voxels else ()
        for name in ("exclude_injection", "weight_by_data_mask"):
            boolean(name, getattr(self, name), error=RecipeError)
        if self.weight_by_data_mask and checked["weight_by"] != "none":
            raise RecipeError(
                f"weight_by={checked['weight_by']!r} and weight_by_data_mask=True cannot be combined",
                hint="Weight either the experiments (weight_by) or their voxels (weight_by_data_mask).",
            )
        self._check_comparison(checked["weight_by"])
        if not self.has_voxels:
            self._check_without_voxels()
        checked["spacing_um"] = spacing_um
        for name, value in checked.items():
            # The object is frozen; this is the only place that sets a value.
            object.__setattr__(self, name, value)

    def _check_comparison(self, weight_by: AnimalWeight) -> None:
        if self.comparison is None:
            return
        if not isinstance(self.comparison, Comparison | StructureComparison):
            raise RecipeError(
                f"comparison must be a Comparison or None, got {shown(self.comparison)}",
                hint="For example: Comparison(permutations=10_000, seed=0).",
            )
        if isinstance(self.grouping, NoGrouping):
            raise RecipeError(
                "a comparison needs two groups of experiments",
                hint="For example: grouping=by_selection({'a': Selection(...), 'b': Selection(...)}).",
            )
        if self.weight_by_data_mask:
            raise RecipeError("a comparison cannot be weighted by the data mask", hint="Leave out weight_by_data_mask.")
        if weight_by != "none":
            raise RecipeError(
                f"a comparison cannot be {ANIMAL_WEIGHTS[weight_by].rule}",
                hint="Compare without weight_by. The criterion min_injection_overlap leaves out wide injections.",
            )

    def _check_without_voxels(self) -> None:
        """Check that parts about volumes have the default values."""
        for part in fields(self):
            value = getattr(self, part.name)
            # `dataclasses.replace` passes the spacing and statistics that a recipe without voxels has.
            is_default = value == part.default or (part.name, value) in (("spacing_um", 0), ("statistics", ()))
            if part.name not in _WITHOUT_VOXELS and not is_default:
                raise RecipeError(
                    f"{part.name} cannot be combined with a comparison by structure, got {shown(value)}",
                    hint="It reads unionize tables instead of volumes.",
                )

    @property
    def has_voxels(self) -> bool:
        """Whether volumes are read and the result has voxels; False for a comparison by structure."""
        return not isinstance(self.comparison, StructureComparison)

    @property
    def is_weighted(self) -> bool:
        """Whether voxels or experiments have weights."""
        return self.weight_by_data_mask or self.weight_by != "none"

    @property
    def structure_comparison(self) -> StructureComparison | None:
        """The comparison by structure; None if there is none."""
        return self.comparison if isinstance(self.comparison, StructureComparison) else None

    @property
    def voxel_comparison(self) -> Comparison | None:
        """The comparison by voxel; None if there is none."""
        return self.comparison if isinstance(self.comparison, Comparison) else None

    @property
    def selections(self) -> tuple[Selection, ...]:
        """All selections: of the experiments, and of the groups if the grouping is by selections."""
        return (self.selection, *(group.selection for group in selections_of(self.grouping)))

    @property
    def maps(self) -> tuple[ComparisonMap, ...]:
        """The maps of the comparison by voxel; none without one."""
        return () if self.voxel_comparison is None else self.voxel_comparison.maps

    @property
    def kinds(self) -> tuple[VolumeKind, ...]:
        """The kinds of volumes that are read for each experiment, masks included; none without voxels."""
        if not self.has_voxels:
            return ()
        masks: list[VolumeKind] = []
        if self.exclude_injection:
            masks.append("injection_fraction")
        if self.weight_by_data_mask:
            masks.append("data_mask")
        return tuple(dict.fromkeys([self.kind, *masks]))

    @property
    def quantity(self) -> str:
        """The quantity and its unit: that of the volumes, or the measure of a comparison by structure."""
        comparison = self.structure_comparison
        if comparison is None:
            return describe_unit(self.kind, self.normalize)
        words, unit = comparison.measure.replace("_", " "), MEASURES[comparison.measure].unit
        return f"{words} ({unit})" if unit else words

    @property
    def rules(self) -> tuple[str, ...]:
        """A short text for each rule: normalization and hemisphere rule always, masks and weights if used.

        Of a comparison by structure, the hemispheres and what is measured.
        """
        if self.structure_comparison is not None:
            return (f"hemisphere: {', '.join(self.structure_comparison.hemisphere)}", "outside the injection site")
        rules = [NORMALIZATIONS[self.normalize].words, HEMISPHERE_RULES[self.hemisphere_rule].words]
        if self.exclude_injection:
            rules.append("injection sites not counted")
        if self.weight_by_data_mask:
            rules.append("weighted by data mask")
        if self.weight_by != "none":
            rules.append(ANIMAL_WEIGHTS[self.weight_by].rule)
        return tuple(rules)

    def in_words(self) -> list[tuple[str, str | None]]:
        """Name and text of each part; None for those that a recipe without voxels does not have."""
        statistics = [STATISTICS[name].described(weighted=self.is_weighted) for name in self.statistics]
        return [
            ("Selection", selection_words(self.selection)),
            ("Grouping", grouping_words(self.grouping) or "all experiments in one group"),
            ("Quantity", self.quantity),
            ("Rules", "; ".join(self.rules)),
            ("Statistics", ", ".join(statistics) or None),
            ("Missing data", MISSING_POLICIES[self.missing].words),
            ("Grid", f"{self.spacing_um} um, {FRAME}; {self.dtype}" if self.has_voxels else None),
        ]

    def _repr_html_(self) -> str:
        title = "Average" if self.comparison is None else "Comparison"
        return card(title, folded("JSON", preformatted(self.to_json())), kind="recipe", facts=self.in_words())

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON values."""
        values: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        values["selection"] = self.selection.to_dict()
        values["grouping"] = self.grouping.to_dict()
        values["statistics"] = list(self.statistics)
        # Fields that were added later are omitted if they are not used, so that the text of older recipes is unchanged.
        del values["comparison"]
        if self.comparison is not None:
            values["comparison"] = self.comparison.to_dict()
        if self.weight_by == "none":
            del values["weight_by"]
        if not self.has_voxels:
            values = {name: value for name, value in values.items() if name in _WITHOUT_VOXELS}
        values["recipe_version"] = RECIPE_VERSION
        return values

    def to_json(self) -> str:
        """Canonical JSON: equal recipes give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str | Mapping[str, Any]) -> Recipe:
        """The recipe from the result of `to_json` or `to_dict`.

        Raises
        ------
        RecipeError
            If this is not a valid recipe, or one with unknown or missing parts.
        """
        values = _as_object(text)
        version = values.pop("recipe_version", RECIPE_VERSION)
        if version != RECIPE_VERSION:
            raise RecipeError(
                f"the recipe has the version {shown(version)}; this version of bsv-store reads {RECIPE_VERSION}",
                hint=UPGRADE_HINT,
            )
        known = [part.name for part in fields(cls)]
        unknown = sorted(set(values).difference(known))
        if unknown:
            raise RecipeError(f"a recipe has no part {shown(unknown[0])}", hint=f"Parts are {', '.join(known)}.")
        if "selection" not in values:
            raise RecipeError("the recipe has no selection", hint="Add the part 'selection'.")
        try:
            values["selection"] = Selection.from_dict(values["selection"])
            if "grouping" in values:
                values["grouping"] = grouping_from_json(values["grouping"])
            if "statistics" in values:
                values["statistics"] = tuple(values["statistics"])
            if values.get("comparison") is not None:
                values["comparison"] = _comparison_from_dict(values["comparison"])
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise RecipeError(f"a part of the recipe has the wrong type: {error}") from error


def _comparison_from_dict(value: Any) -> Comparison | StructureComparison:
    if isinstance(value, Mapping) and value.get("by") == BY:
        return StructureComparison.from_dict(value)
    return Comparison.from_dict(value)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and without white space, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _as_object(text: str | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(text, str):
        return dict(text)
    try:
        value = json_value(text)
    except ValueError as error:
        raise RecipeError(f"the recipe is not valid JSON: {text[:200]!r}") from error
    if not isinstance(value, dict):
        raise RecipeError(f"the recipe is not a JSON object: {text[:200]!r}")
    return value
