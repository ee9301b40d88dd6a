"""The names of the arrays of a version: statistics with groups, and maps of a comparison without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.check import choice
from bsv_store.errors import InputError
from bsv_store.vocabulary import COMPARISON_MAPS, STATISTICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsv_store.averaging.recipe import Recipe
    from bsv_store.datasets.share.source import VersionSource
    from bsv_store.vocabulary import ComparisonMap, ComparisonMapRow, Statistic, StatisticRow


def require_voxels(version: VersionSource) -> None:
    """Refuse a comparison by structure, which has no voxels.

    Raises
    ------
    InputError
    """
    if not version.recipe.has_voxels:
        raise without_voxels(version.ref)


def without_voxels(ref: str) -> InputError:
    """The error for a request for voxels of a comparison by structure."""
    return InputError(
        f"{ref} is a comparison by structure and has no voxels",
        hint=f"Show its table: bsv-store dataset show {ref}; or draw it: bsv-store plot differences {ref} FILE.png.",
    )


def checked_array(name: str, recipe: Recipe, *, what: str) -> Statistic | ComparisonMap:
    """The name of an array of a version.

    Parameters
    ----------
    name : str
        As the user gave it.
    recipe : Recipe
        Of the version.
    what : str
        Name of the version in errors.

    Raises
    ------
    InputError
        If the version does not have the array; the hint lists those that it has.
    """
    if not recipe.has_voxels:
        raise without_voxels(what)
    rows: Mapping[str, StatisticRow | ComparisonMapRow] = {**STATISTICS, **COMPARISON_MAPS}
    found = choice("name", name, rows).name
    present = (*recipe.statistics, *recipe.maps)
    if found in present:
        return found
    if found in STATISTICS:
        raise InputError(
            f"{what} does not have the statistic {found!r}",
            hint=f"It has {', '.join(present)}. Aggregate again with statistics=[{found!r}] (--statistic {found}).",
        )
    cluster = COMPARISON_MAPS[found].cluster
    remedy = "Compare two groups" if cluster is None else f"Compare with cluster={cluster!r}"
    raise InputError(
        f"{what} does not have the map {found!r}",
        hint=f"It has {', '.join(present)}. {remedy}: bsv-store compare --by voxel.",
    )
