"""What a call asks for, checked before any work: Brain Street View takes every unknown word for a default."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bsv_store.averaging.grouping.grouping import Grouping, by_coordinate, by_region, no_grouping
from bsv_store.errors import EmptySelectionError, InputError, RecipeError
from bsv_store.vocabulary import Axis

# Two names, one computation: both divide by the injection volume.
_NORMALIZATIONS = {"none": False, "injectionVolume": True, "injectionIntensity": True}
_AXES: tuple[Axis, ...] = ("AP", "ML", "DV")


@dataclass(frozen=True, slots=True)
class Request:
    """A checked call of ``fetch_connectivity_data``.

    Attributes
    ----------
    experiment_ids : tuple of int
        Unique, in call order.
    normalize, subtract : bool
    axis : str or None
        'AP', 'ML' or 'DV' where grouped by coordinate.
    bins : int
    regions : tuple of (str, int)
        Acronym and group number, in the order listed; empty unless grouped by region.
    """

    experiment_ids: tuple[int, ...]
    normalize: bool
    subtract: bool
    axis: Axis | None
    bins: int
    regions: tuple[tuple[str, int], ...]

    @property
    def group_numbers(self) -> tuple[int, ...]:
        """Distinct group numbers of the regions, ascending: the order of the groups in the result."""
        return tuple(sorted({number for _, number in self.regions}))

    def grouping(self) -> Grouping:
        """The grouping under our rules."""
        if self.regions:
            return by_region(
                {
                    str(number): [acronym for acronym, its_number in self.regions if its_number == number]
                    for number in self.group_numbers
                }
            )
        return by_coordinate(self.axis, bins=self.bins) if self.axis is not None else no_grouping()


def checked_request(
    experiment_ids: Sequence[Any],
    *,
    normalization_method: str,
    subtract_other_hemisphere: bool,
    grouping_method: str,
    grouping_bins: int,
    input_regions: Sequence[str] | None,
    region_groups: Sequence[int] | None,
    atlas_type: str,
) -> Request:
    """The call's arguments as one checked value.

    Raises
    ------
    EmptySelectionError
        If no id is given.
    InputError, RecipeError
        On what cannot be meant, naming what can.
    """
    if normalization_method not in _NORMALIZATIONS:
        raise RecipeError(
            f"there is no normalization method {normalization_method!r}",
            hint=f"Methods are {', '.join(map(repr, _NORMALIZATIONS))}.",
        )
    if grouping_method not in ("", *_AXES):
        raise RecipeError(
            f"there is no grouping method {grouping_method!r}",
            hint=f"Methods are '' (one group), {', '.join(map(repr, _AXES))}, or regions in input_regions.",
        )
    if atlas_type != "allen":
        raise InputError(f"there is no atlas {atlas_type!r} in the store", hint="It holds the Allen atlas: 'allen'.")
    regions = _regions(input_regions, region_groups)
    return Request(
        experiment_ids=_unique_ids(experiment_ids),
        normalize=_NORMALIZATIONS[normalization_method],
        subtract=bool(subtract_other_hemisphere),
        axis=None if regions else next((axis for axis in _AXES if axis == grouping_method), None),
        bins=max(1, int(grouping_bins)),
        regions=regions,
    )


def _unique_ids(experiment_ids: Sequence[Any]) -> tuple[int, ...]:
    try:
        ids = [int(value) for value in experiment_ids]
    except (TypeError, ValueError) as error:
        raise InputError(f"experiment ids are whole numbers: {error}") from error
    if not ids:
        raise EmptySelectionError(
            "no experiment ids were given", hint="find_connectivity_experiments(['VISp']) finds some."
        )
    unique = tuple(dict.fromkeys(ids))
    if len(unique) < len(ids):
        warnings.warn(f"{len(ids) - len(unique)} experiment ids are given twice; each counts once", stacklevel=4)
    return unique


def _regions(regions: Sequence[str] | None, groups: Sequence[int] | None) -> tuple[tuple[str, int], ...]:
    if regions is None or groups is None or len(regions) == 0 or len(groups) == 0:
        return ()
    if len(regions) != len(groups):
        raise InputError(
            f"{len(regions)} input_regions, but {len(groups)} region_groups",
            hint="Give a group number for each region.",
        )
    return tuple((str(region), int(group)) for region, group in zip(regions, groups, strict=True))
