"""Comparisons of two selections, or of two groups of a version: the recipe of the version that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bsv_store.averaging.comparison.design import warn_if_small
from bsv_store.averaging.comparison.structure_comparison import StructureComparison
from bsv_store.averaging.grouping.grouping import SelectionGrouping, by_selection
from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.search.signal import find_targets
from bsv_store.catalog.selection.selection import Selection, as_selection
from bsv_store.catalog.selection.short_words import contrasting_words, label_of
from bsv_store.catalog.structures import find_structure
from bsv_store.check import choice, several
from bsv_store.datasets.arrays import require_voxels
from bsv_store.datasets.groups import GroupInfo, group_number
from bsv_store.errors import EmptySelectionError, RecipeError
from bsv_store.text import shown
from bsv_store.vocabulary import MISSING_POLICIES

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.averaging.comparison.comparison import Comparison
    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.datasets.share.source import VersionSource
    from bsv_store.vocabulary import (
        MissingPolicy,
    )

_LABELS = ("a", "b")


def two_sides(
    a: SelectionLike | GroupInfo, b: SelectionLike | GroupInfo, labels: Sequence[str] | None = None
) -> SelectionGrouping:
    """The grouping into the two sides of a comparison.

    Parameters
    ----------
    a, b : Selection, experiment ids, or GroupInfo
        Of a group of a version, its members.
    labels : sequence of two str, optional
        By default the labels of groups, and for selections the result of `default_labels`.

    Raises
    ------
    RecipeError
        If the labels are not two different lines of text, or both sides are the same group.
    EmptySelectionError
        If a group has no members.
    """
    sides = (a, b)
    if isinstance(a, GroupInfo) and a == b:
        raise _same_group(a)
    if labels is None:
        given = list(default_labels(a, b))
    else:
        given = several("labels", labels, such_as="['VISp', 'VISl']", error=RecipeError)
        if len(given) != len(sides) or not all(isinstance(each, str) for each in given):
            raise RecipeError(f"labels must be two strings, got {shown(labels)}", hint="For example: ['VISp', 'VISl'].")
    if given[0] == given[1]:
        raise RecipeError(
            f"the two sides of a comparison have the same label {shown(given[0])}",
            hint="Give other labels, for example labels=['young', 'old'].",
        )
    return by_selection({label: _selection(side) for label, side in zip(given, sides, strict=True)})


def default_labels(
    a: SelectionLike | GroupInfo, b: SelectionLike | GroupInfo, *, names: Sequence[str | None] = (None, None)
) -> tuple[str, str]:
    """The default labels of the two groups of a comparison.

    A group of a version keeps its label, and a saved selection has its name. Other selections are labeled with the
    criteria that differ, in a few words, or 'a' and 'b' if only their lists of ids differ.

    Parameters
    ----------
    a, b : Selection, experiment ids, or GroupInfo
    names : sequence of two str or None
        Names of saved selections.
    """
    sides = (a, b)
    known = [side.label if isinstance(side, GroupInfo) else name for side, name in zip(sides, names, strict=True)]
    first, second = (None if isinstance(side, GroupInfo) else as_selection(side) for side in sides)
    if first is not None and second is not None:
        words = contrasting_words(first, second) or _LABELS
    else:
        # A group of a version has its own label.
        words = "" if first is None else label_of(first), "" if second is None else label_of(second)
    label, other = (name or word for name, word in zip(known, words, strict=True))
    if label != other or (first is None and second is None):
        return label, other
    # For example, a selection that was saved as 'b' and a list of ids, or the same selection twice.
    label, other = (name or own for name, own in zip(known, _LABELS, strict=True))
    return (label, other) if label != other else _LABELS


def _same_group(group: GroupInfo) -> RecipeError:
    return RecipeError(f"the group {group.label!r} cannot be compared with itself", hint="Name two groups.")


def _selection(side: SelectionLike | GroupInfo, *, include_excluded: bool = False) -> Selection:
    if not isinstance(side, GroupInfo):
        return as_selection(side)
    if not side.experiment_ids:
        raise EmptySelectionError(f"the group {side.label!r} has no experiments", hint="Compare other groups.")
    return Selection(ids=side.experiment_ids, include_excluded=include_excluded)


def union_of(sides: SelectionGrouping) -> Selection:
    """The experiments of both sides."""
    first, second = (group.selection for group in sides.groups)
    return first | second


def structure_recipe(
    connection: Connection,
    sides: SelectionGrouping,
    comparison: StructureComparison,
    *,
    targets: StructureRef | Sequence[StructureRef] | None,
    structure_set: int | None,
    within: StructureRef | None,
    missing: MissingPolicy,
) -> Recipe:
    """The recipe of a comparison by structure; structures are recorded by their ids.

    Raises
    ------
    UnknownStructureError
        If the ontology does not have a structure.
    RecipeError, InputError
        If an argument is not valid.
    """
    comparison = replace(
        comparison,
        targets=None if targets is None else tuple(row.id for row in find_targets(connection, targets, structure_set)),
        structure_set=structure_set,
        within=None if within is None else find_structure(connection, within).id,
    )
    policy = choice("missing", missing, MISSING_POLICIES).name
    return Recipe(selection=union_of(sides), grouping=sides, missing=policy, comparison=comparison)


def comparison_of_groups(
    version: VersionSource, a: int | str, b: int | str, comparison: Comparison, *, missing: MissingPolicy
) -> Recipe:
    """The recipe that compares two groups of a version, with the members and the rules of the version.

    Raises
    ------
    InputError
        If the version does not have a group, or it is the same one.
    RecipeError
        If the version has a rule that comparisons do not have.
    """
    first, second = (version.groups[group_number(version.groups, group, what=version.ref)] for group in (a, b))
    require_voxels(version)
    if first == second:
        raise _same_group(first)
    # The members of the version may be on the exclusion list.
    with_excluded = any(leaf.include_excluded for leaf in version.recipe.selection.leaves())
    sides = by_selection({group.label: _selection(group, include_excluded=with_excluded) for group in (first, second)})
    return replace(
        version.recipe,
        selection=union_of(sides),
        grouping=sides,
        missing=missing,
        comparison=comparison,
    )


def warn_if_few(version: VersionSource) -> None:
    """Warn if the groups of a comparison are too small for any difference to have a p of 0.05."""
    comparison = version.recipe.comparison
    if comparison is not None:
        n_a, n_b = (group.n for group in version.groups)
        warn_if_small(n_a, n_b, comparison.permutations, has_covariates=bool(comparison.covariates))
