"""The unit of a result, in words and as CF conventions write it, and the rules of a recipe in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.vocabulary import ANIMAL_WEIGHTS, HEMISPHERE_RULES, MEASURES, NORMALIZATIONS, VOLUME_KINDS

if TYPE_CHECKING:
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.vocabulary import Normalization, VolumeKind


def unit_text(kind: VolumeKind, normalize: Normalization) -> str:
    """The unit in words, such as 'fraction of voxel per mm³ injected'."""
    return VOLUME_KINDS[kind].unit + NORMALIZATIONS[normalize].unit_suffix


def describe_unit(kind: VolumeKind, normalize: Normalization) -> str:
    """The quantity and its unit, such as 'projection density (fraction of voxel)'."""
    return f"{VOLUME_KINDS[kind].words} ({unit_text(kind, normalize)})"


def cf_unit(kind: VolumeKind, normalize: Normalization) -> str | None:
    """The unit in the notation of the CF conventions; None for the arbitrary units of intensities."""
    unit = VOLUME_KINDS[kind].cf_unit
    return unit if unit is None else NORMALIZATIONS[normalize].cf_unit or unit


def quantity_of(recipe: Recipe) -> str:
    """The quantity of a recipe and its unit: that of the volumes, or the measure of a comparison by structure."""
    comparison = recipe.structure_comparison
    if comparison is None:
        return describe_unit(recipe.kind, recipe.normalize)
    words, unit = comparison.measure.replace("_", " "), MEASURES[comparison.measure].unit
    return f"{words} ({unit})" if unit else words


def rule_texts(recipe: Recipe) -> tuple[str, ...]:
    """A short text for each rule of a recipe: normalization and hemisphere rule always, masks and weights if used.

    Of a comparison by structure, the hemispheres and what is measured.
    """
    if recipe.structure_comparison is not None:
        return (f"hemisphere: {', '.join(recipe.structure_comparison.hemisphere)}", "outside the injection site")
    rules = [NORMALIZATIONS[recipe.normalize].words, HEMISPHERE_RULES[recipe.hemisphere_rule].words]
    if recipe.exclude_injection:
        rules.append("injection sites not counted")
    if recipe.weight_by_data_mask:
        rules.append("weighted by data mask")
    if recipe.weight_by != "none":
        rules.append(ANIMAL_WEIGHTS[recipe.weight_by].rule)
    return tuple(rules)
