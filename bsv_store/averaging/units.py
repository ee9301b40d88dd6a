"""What the numbers of a result are, in words and in the notation of the CF conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.vocabulary import VOLUME_KINDS

if TYPE_CHECKING:
    from bsv_store.averaging.recipe import Recipe


def unit_text(kind: str, normalize: str) -> str:
    """The unit as a reader wants it beside a color scale."""
    unit = VOLUME_KINDS[kind].unit
    return f"{unit} per mm³ injected" if normalize == "injection_volume" else unit


def describe_unit(kind: str, normalize: str) -> str:
    """What the numbers are, such as 'projection density (fraction of voxel)'."""
    return f"{VOLUME_KINDS[kind].words} ({unit_text(kind, normalize)})"


def cf_unit(kind: str, normalize: str) -> str | None:
    """The unit as the CF conventions write it; None for the arbitrary units of intensities."""
    unit = VOLUME_KINDS[kind].cf_unit
    return "mm-3" if unit is not None and normalize == "injection_volume" else unit


_HEMISPHERES = {
    "none": "hemispheres as imaged",
    "subtract_contralateral": "other hemisphere subtracted",
    "flip_to_right": "left injections flipped to the right",
    "flip_to_left": "right injections flipped to the left",
    "fold_ipsilateral": "right half ipsilateral, left half contralateral",
}


def rule_texts(recipe: Recipe) -> tuple[str, ...]:
    """How volumes became this result, a few words for each rule: normalization and hemispheres always, then masks."""
    by_volume = recipe.normalize == "injection_volume"
    rules = ["divided by injection volume" if by_volume else "not normalized", _HEMISPHERES[recipe.hemisphere_rule]]
    if recipe.exclude_injection:
        rules.append("injection sites not counted")
    if recipe.weight_by_data_mask:
        rules.append("weighted by data mask")
    return tuple(rules)
