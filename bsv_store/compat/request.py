"""The arguments of ``fetch_connectivity_data``, checked and turned into a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bsv_store.averaging.grouping.grouping import Grouping, by_coordinate, by_region, no_grouping
from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.selection.selection import Selection
from bsv_store.check import choice, several, text
from bsv_store.errors import EmptySelectionError, InputError, RecipeError
from bsv_store.vocabulary import AXES, NORMALIZATIONS, AxisRow, WordRow

_GROUPING_METHODS: dict[str, WordRow[str] | AxisRow] = {"": WordRow("", "one group", ("none",)), **AXES}
_ATLASES = {"allen": WordRow("allen", "Allen CCFv3")}


@dataclass(frozen=True, slots=True)
class Request:
    """A checked call of ``fetch_connectivity_data``.

    Attributes
    ----------
    experiment_ids : tuple of int
        Unique, in call order.
    recipe : Recipe
        The recipe by the rules of bsv-store.
    regions : tuple of (str, int)
        Acronym and group number, in the order listed; empty unless grouped by region.
    repeated : int
        Number of ids that were dropped because they had been listed before.
    """

    experiment_ids: tuple[int, ...]
    recipe: Recipe
    regions: tuple[tuple[str, int], ...]
    include_excluded: bool
    repeated: int


def checked_request(
    experiment_ids: Sequence[Any],
    *,
    normalization_method: str,
    subtract_other_hemisphere: bool,
    grouping_method: str,
    grouping_bins: int,
    input_regions: Sequence[str] | str | None,
    region_groups: Sequence[int] | int | None,
    atlas_type: str,
    missing: str,
    include_excluded: bool,
    bsv_rules: bool,
) -> Request:
    """The arguments of a call as one checked value.

    Raises
    ------
    EmptySelectionError
        If no id is given.
    InputError, RecipeError
        If an argument is not valid; the hint lists the valid values.
    """
    choice("atlas_type", atlas_type, _ATLASES)
    given = _checked_ids(experiment_ids)
    ids = tuple(dict.fromkeys(given))
    regions = _regions(input_regions, region_groups)
    grouping = _grouping(grouping_method, grouping_bins, () if bsv_rules else regions)
    recipe = Recipe(
        selection=Selection(ids=ids, include_excluded=include_excluded),
        normalize=choice("normalization_method", normalization_method, NORMALIZATIONS, error=RecipeError).name,
        hemisphere_rule="subtract_contralateral" if subtract_other_hemisphere else "none",
        grouping=grouping,
        missing=missing,  # type: ignore[arg-type]  # checked there
        dtype="float64",
    )
    return Request(ids, recipe, regions, include_excluded, repeated=len(given) - len(ids))


def groups_of(regions: Iterable[tuple[str, int]]) -> dict[int, list[str]]:
    """Acronyms by group number, ascending: the order of the groups in the result."""
    groups: dict[int, list[str]] = {}
    for acronym, number in regions:
        groups.setdefault(number, []).append(acronym)
    return dict(sorted(groups.items()))


def _grouping(method: str, bins: int, regions: Sequence[tuple[str, int]]) -> Grouping:
    axis = choice("grouping_method", method, _GROUPING_METHODS, error=RecipeError).name
    if regions:
        return by_region({str(number): acronyms for number, acronyms in groups_of(regions).items()})
    # As in Brain Street View, fewer than one bin means one.
    return by_coordinate(axis, bins=max(1, _integer("grouping_bins", bins))) if axis else no_grouping()


def _checked_ids(experiment_ids: Sequence[Any]) -> list[int]:
    values = several("experiment_ids", experiment_ids, such_as="[288168426, 298404860]")
    if not values:
        raise EmptySelectionError(
            "experiment_ids must not be empty", hint="find_connectivity_experiments(['VISp']) returns some ids."
        )
    return [_integer("experiment_ids", value) for value in values]


def _regions(
    input_regions: Sequence[str] | str | None, region_groups: Sequence[int] | int | None
) -> tuple[tuple[str, int], ...]:
    if input_regions is None or region_groups is None:
        return ()
    regions = several("input_regions", input_regions, such_as="['VISp', 'VISl']")
    groups = several("region_groups", region_groups, such_as="[1, 2]")
    if not regions or not groups:
        return ()
    if len(regions) != len(groups):
        raise InputError(
            f"input_regions has {len(regions)} items, region_groups has {len(groups)}",
            hint="List one group number per region.",
        )
    acronyms = [text("input_regions", region, such_as="VISp") for region in regions]
    return tuple(zip(acronyms, (_integer("region_groups", group) for group in groups), strict=True))


def _integer(name: str, value: Any) -> int:
    # Scripts read numbers from tables, where they may be strings, or floats beside missing values.
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must be an integer, got {value!r}") from error
    if not isinstance(value, str) and number != value:
        raise InputError(f"{name} must be an integer, got {value!r}")
    return number
