"""Comparing two versions: recipes, members and voxels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.recipe import canonical_json
from bsv_store.datasets.history.changes import MemberChanges, Membership, compare_members
from bsv_store.datasets.history.structures import ColumnDifference, column_differences
from bsv_store.html import text_card
from bsv_store.text import listed, number_of
from bsv_store.volumes.grid import ARRAY_AXES, Grid

if TYPE_CHECKING:
    import h5py

    from bsv_store.averaging.recipe import Recipe
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.vocabulary import ComparisonMap

# Voxels compared at once: a whole group at 100 and 50 um. In float64, with temporary arrays, about 500 MB.
_BLOCK_VOXELS = 10_000_000


@dataclass(frozen=True, slots=True)
class RecipeChange:
    """A part of the recipe that differs; values as JSON."""

    part: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class VoxelDifference:
    """The difference between the means of a group, or between the maps of two comparisons.

    Attributes
    ----------
    label : str
        Of the group, or name of the map.
    largest : float
        Largest absolute difference, in the unit of the mean or map.
    at_um : tuple of float
        AP, DV and ML of the center of that voxel.
    first, second : float
        The two values at that voxel.
    correlation : float
        Pearson's, over the voxels with data in both; NaN if one of the two is constant.
    voxels : int
        Number of voxels that differ, including those with data in only one of the two.
    is_map : bool
        Whether it is about a map of a comparison instead of a group.
    """

    label: str
    largest: float
    at_um: tuple[float, float, float]
    first: float
    second: float
    correlation: float
    voxels: int
    is_map: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class VersionDiff:
    """The differences between two versions. ``print()`` shows a short summary.

    Attributes
    ----------
    first, second : str
        Name and number.
    recipe : tuple of RecipeChange
    members : MemberChanges
    only_first, only_second : tuple of str
        Labels of groups that only one of the two has.
    voxels : tuple of VoxelDifference
        One for each group that both have, with or without a difference, then one for each map of a comparison that both
        have.
    note : str or None
        Why voxels or structures were not compared.
    columns : tuple of ColumnDifference
        Of two comparisons by structure, one for each column of their tables, with or without a difference.
    """

    first: str
    second: str
    recipe: tuple[RecipeChange, ...]
    members: MemberChanges
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    voxels: tuple[VoxelDifference, ...]
    note: str | None = None
    columns: tuple[ColumnDifference, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether recipe, members and voxels are equal."""
        differs = self.recipe or self.members or self.only_first or self.only_second or self.note
        return (
            not differs and not any(each.voxels for each in self.voxels) and not any(each.rows for each in self.columns)
        )

    def __repr__(self) -> str:
        found = "equal" if self.is_equal else "different"
        return f"<{type(self).__name__} of {self.first} and {self.second}: {found}>"

    def _repr_html_(self) -> str:
        return text_card("Differences", str(self))

    def __str__(self) -> str:
        if self.is_equal:
            values = "values" if self.columns else "voxels"
            return f"{self.first} and {self.second} are equal: recipe, members and all {values}."
        lines = [f"{self.first} and {self.second} differ"]
        lines += [f"recipe, {change.part}: {change.first} became {change.second}" for change in self.recipe]
        lines += [str(self.members)] if self.members else []
        for version, labels in ((self.first, self.only_first), (self.second, self.only_second)):
            lines += [f"groups only in {version}: {listed(labels)}"] if labels else []
        lines += [f"not compared: {self.note}"] if self.note else []
        for each in self.voxels:
            at = ", ".join(f"{axis} {place:,.0f}" for axis, place in zip(ARRAY_AXES, each.at_um, strict=True))
            found = f"differences at {number_of(each.voxels, 'voxel')}, the largest {each.largest:.3g} at {at} um"
            kind = "map" if each.is_map else "group"
            lines.append(f"{kind} {each.label}: {found if each.voxels else 'all voxels are equal'}")
        for column in self.columns:
            where = f"{column.structure} ({column.hemisphere}): {column.first:.3g} became {column.second:.3g}"
            found = f"differences in {number_of(column.rows, 'row')}, the largest in {where}"
            lines.append(f"{column.column}: {found if column.rows else 'all rows are equal'}")
        return "\n".join(lines)


class Planes(Protocol):
    """A volume from which AP planes can be read: an array, or `GroupPlanes`."""

    def __getitem__(self, planes: slice, /) -> NDArray[Any]:
        """These planes, shape (planes, dv, ml)."""


@dataclass(frozen=True, slots=True)
class MapPlanes:
    """A map of a comparison in an open result file, read on request."""

    file: h5py.File
    name: ComparisonMap

    def __getitem__(self, planes: slice, /) -> NDArray[Any]:
        """These AP planes, shape (planes, dv, ml)."""
        values: NDArray[Any] = self.file[self.name][planes]
        return values


@dataclass(frozen=True, slots=True)
class GroupPlanes:
    """The mean of a group in an open result file, read on request."""

    file: h5py.File
    group: int

    def __getitem__(self, planes: slice, /) -> NDArray[Any]:
        """These AP planes, shape (planes, dv, ml)."""
        values: NDArray[Any] = self.file["mean"][self.group, planes]
        return values


def diff_versions(first: DatasetVersion, second: DatasetVersion) -> VersionDiff:
    """The differences between two versions; see `Datasets.diff`.

    Raises
    ------
    DamagedFileError
        If a result file differs from what was published.
    """
    numbers = [{group.label: group.number for group in version.groups} for version in (first, second)]
    shared = [label for label in numbers[0] if label in numbers[1]]
    pairs = [(label, numbers[0][label], numbers[1][label]) for label in shared]
    if not shared and len(numbers[0]) == len(numbers[1]) == 1:
        # With one group each, these are compared even if their labels, such as bin edges, differ.
        pairs = [(f"{first.groups[0].label} / {second.groups[0].label}", 0, 0)]
    note = _not_comparable(first, second)
    has_voxels = first.recipe.has_voxels
    return VersionDiff(
        first.ref,
        second.ref,
        _recipe_changes(first.recipe, second.recipe),
        compare_members(Membership.of_version(first), Membership.of_version(second)),
        tuple(label for label in numbers[0] if label not in numbers[1]),
        tuple(label for label in numbers[1] if label not in numbers[0]),
        _voxel_differences(first, second, pairs) if has_voxels and not note else (),
        note,
        () if has_voxels or note else column_differences(first, second),
    )


def _voxel_differences(
    first: DatasetVersion, second: DatasetVersion, pairs: list[tuple[str, int, int]]
) -> tuple[VoxelDifference, ...]:
    maps = [name for name in first.recipe.maps if name in second.recipe.maps]
    with first.open() as one, second.open() as other:
        of_groups = [
            voxel_difference(GroupPlanes(one, left), GroupPlanes(other, right), first.grid, label)
            for label, left, right in pairs
        ]
        of_maps = [voxel_difference(MapPlanes(one, name), MapPlanes(other, name), first.grid, name) for name in maps]
    return (*of_groups, *(replace(each, is_map=True) for each in of_maps))


def voxel_difference(first: Planes, second: Planes, grid: Grid, label: str = "all") -> VoxelDifference:
    """The difference between two means on one grid; NaN = no data.

    Parameters
    ----------
    first, second : ndarray, shape (ap, dv, ml), or other `Planes`
        Read in blocks of planes.
    """
    largest, differing = 0.0, 0
    where, is_half_known = 0, False
    there = (math.nan, math.nan)
    moments = _Moments()
    for start, one, other in _blocks(first, second, grid):
        unknown = np.isnan(one), np.isnan(other)
        known = ~(unknown[0] | unknown[1])
        difference = np.where(known, np.abs(other - one), 0.0)
        half_known = unknown[0] != unknown[1]
        differing += int(((difference > 0) | half_known).sum())
        # A voxel with data in only one of the two outranks any difference.
        newly_half_known = bool(half_known.any()) and not is_half_known
        highest = float(difference.max())
        if start == 0 or newly_half_known or (highest > largest and not is_half_known):
            at = int(np.argmax(half_known if newly_half_known else difference))
            where, there = start + at, (float(one[at]), float(other[at]))
        is_half_known |= newly_half_known
        largest = max(largest, highest)
        moments.add(one[known], other[known])
    ap, dv, ml = (int(place) for place in np.unravel_index(where, grid.shape))
    at_um = tuple(float(grid.centers_um(axis)[index]) for axis, index in zip(ARRAY_AXES, (ap, dv, ml), strict=True))
    return VoxelDifference(
        label,
        largest,
        (at_um[0], at_um[1], at_um[2]),
        *there,
        moments.correlation(),
        differing,
    )


def _blocks(
    first: Planes, second: Planes, grid: Grid
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Blocks of AP planes: index of the first voxel, and the voxels in float64."""
    plane = grid.shape[1] * grid.shape[2]
    planes = max(1, _BLOCK_VOXELS // plane)
    for start in range(0, grid.shape[0], planes):
        one, other = (array[start : start + planes].astype(np.float64).reshape(-1) for array in (first, second))
        yield start * plane, one, other


class _Moments:
    """Means and products of deviations of two series, updated block by block (Chan, Golub and LeVeque 1979)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = np.zeros(2)
        self._products = np.zeros((2, 2))

    def add(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> None:
        """Add pairs of values."""
        if one.size == 0:
            return
        mean = np.array([one.mean(), other.mean()])
        one, other = one - mean[0], other - mean[1]
        shift, total = mean - self._mean, self._count + one.size
        self._products += [[one @ one, one @ other], [other @ one, other @ other]]
        self._products += np.outer(shift, shift) * (self._count * one.size / total)
        self._mean += shift * (one.size / total)
        self._count = total

    def correlation(self) -> float:
        scale = float(np.sqrt(self._products[0, 0] * self._products[1, 1]))
        return float(self._products[0, 1]) / scale if self._count > 1 and scale > 0 else float("nan")


def _recipe_changes(first: Recipe, second: Recipe) -> tuple[RecipeChange, ...]:
    before, after = _parts(first), _parts(second)
    return tuple(
        RecipeChange(part, canonical_json(before.get(part)), canonical_json(after.get(part)))
        for part in dict.fromkeys([*before, *after])
        if before.get(part) != after.get(part)
    )


def _parts(recipe: Recipe) -> dict[str, Any]:
    """The parts of a recipe, each part of its comparison separately."""
    parts = recipe.to_dict()
    comparison = parts.pop("comparison", None) or {}
    if recipe.has_voxels:
        # `Recipe.to_dict` omits it if it is 'none'.
        parts["weight_by"] = recipe.weight_by
    return {**parts, **{f"comparison.{name}": value for name, value in comparison.items()}}


def _not_comparable(first: DatasetVersion, second: DatasetVersion) -> str | None:
    if first.recipe.has_voxels != second.recipe.has_voxels:
        return "a comparison by structure has no voxels"
    if first.recipe.has_voxels and first.grid != second.grid:
        return f"voxels of {first.grid.spacing_um} um and of {second.grid.spacing_um} um cannot be compared"
    if first.quantity != second.quantity:
        return f"{first.quantity} and {second.quantity} cannot be compared"
    return None
