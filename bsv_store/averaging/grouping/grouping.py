"""Groupings: values that define which experiments are averaged together, their constructors and canonical JSON.

`bsv_store.averaging.grouping.assignment.assign` applies a grouping to experiments.
"""

from __future__ import annotations

import json
import math
import operator
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bsv_store.catalog.selection.selection import Selection, SelectionLike, as_selection
from bsv_store.check import choice, several
from bsv_store.documents import json_value
from bsv_store.errors import RecipeError
from bsv_store.text import listed, shown
from bsv_store.vocabulary import (
    AXES,
    BIN_METHODS,
    GROUPING_FIELDS,
    Axis,
    AxisRow,
    BinMethod,
    GroupingField,
    GroupingFieldRow,
)

DEFAULT_BINS = 5
# Bins of less than 1 um along every axis. Many more would not fit into memory.
MAX_BINS = 100_000
_MAX_LABEL = 200


class Grouping(ABC):
    """Base of all groupings: frozen, hashable values with a canonical JSON form."""

    __slots__ = ()

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The grouping as plain JSON values."""

    def to_json(self) -> str:
        """Canonical JSON: keys sorted, no white space, so that equal groupings give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, slots=True)
class NoGrouping(Grouping):
    """All experiments in one group."""

    def to_dict(self) -> dict[str, Any]:
        """The grouping as plain JSON values."""
        return {"by": "none"}


@dataclass(frozen=True, slots=True)
class CoordinateGrouping(Grouping):
    """Bins of the injection coordinate along one axis.

    Attributes
    ----------
    axis : {'AP', 'DV', 'ML'}
    method : {'equal_width', 'quantile', 'edges'}
        See `by_coordinate`.
    bins : int
        Number of bins. Empty ones are dropped unless the edges were given.
    edges : tuple of float or None
        Bin edges in um, strictly ascending; only with the method 'edges'.
    """

    axis: Axis
    method: BinMethod
    bins: int
    edges: tuple[float, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The grouping as plain JSON values."""
        rule: dict[str, Any] = {"bins": self.bins} if self.edges is None else {"edges": list(self.edges)}
        return {"by": "coordinate", "axis": self.axis, "method": self.method, **rule}


@dataclass(frozen=True, slots=True)
class RegionGroup:
    """A group of regions: its label and acronyms."""

    label: str
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegionGrouping(Grouping):
    """Groups of regions that contain the primary injection structure."""

    groups: tuple[RegionGroup, ...]

    def to_dict(self) -> dict[str, Any]:
        """The grouping as plain JSON values."""
        groups = [{"label": group.label, "regions": list(group.regions)} for group in self.groups]
        return {"by": "region", "groups": groups}


@dataclass(frozen=True, slots=True)
class FieldGrouping(Grouping):
    """One group for each value of a field of the catalog."""

    field: GroupingField

    def to_dict(self) -> dict[str, Any]:
        """The grouping as plain JSON values."""
        return {"by": "field", "field": self.field}


@dataclass(frozen=True, slots=True)
class SelectionGroup:
    """The experiments of a selection as a group, with its label."""

    label: str
    selection: Selection


@dataclass(frozen=True, slots=True)
class SelectionGrouping(Grouping):
    """One group for each of some selections."""

    groups: tuple[SelectionGroup, ...]

    def to_dict(self) -> dict[str, Any]:
        """The grouping as plain JSON values."""
        groups = [{"label": group.label, "selection": group.selection.to_dict()} for group in self.groups]
        return {"by": "selection", "groups": groups}


@dataclass(frozen=True, slots=True)
class CrossedGrouping(Grouping):
    """Two factors at once: one group for each combination that has members."""

    first: Grouping
    second: Grouping

    def to_dict(self) -> dict[str, Any]:
        """The grouping as plain JSON values."""
        return {"by": "crossed", "first": self.first.to_dict(), "second": self.second.to_dict()}


def no_grouping() -> NoGrouping:
    """Grouping of all experiments into one group."""
    return NoGrouping()


def by_coordinate(
    axis: str,
    *,
    bins: int | None = None,
    method: str | None = None,
    edges: Sequence[float] | None = None,
) -> CoordinateGrouping:
    """Grouping by the injection coordinate along one axis.

    Parameters
    ----------
    axis : {'AP', 'DV', 'ML'}
    bins : int, optional
        Number of bins, 1 to 100,000; 5 unless given. Bins without members are dropped.
    method : {'equal_width', 'quantile'}, optional
        Equal width (the default) between the smallest and largest coordinate, or about equally many members.
    edges : sequence of float, optional
        Explicit edges in um, strictly ascending, instead of `bins` and `method`. A bin includes its lower edge; the
        last one includes both edges. Empty bins are groups too, so that results of different selections match.

    Returns
    -------
    CoordinateGrouping

    Raises
    ------
    RecipeError
        If the axis, the method or the number of bins is not valid, or edges are not finite and ascending.

    Examples
    --------
    >>> by_coordinate("AP", bins=5).to_json()
    '{"axis":"AP","bins":5,"by":"coordinate","method":"equal_width"}'
    """
    along = choice("axis", axis, AXES, error=RecipeError).name
    default = "equal_width" if edges is None else "edges"
    chosen = choice("method", default if method is None else method, BIN_METHODS, error=RecipeError).name
    if (edges is None) == (chosen == "edges"):
        raise RecipeError(
            f"method {chosen!r} cannot be combined with {'no' if edges is None else 'explicit'} edges",
            hint="Use either edges alone, or bins and one of the methods 'equal_width' and 'quantile'.",
        )
    if edges is not None:
        if bins is not None:
            raise RecipeError("bins cannot be combined with edges", hint="The edges determine the number of bins.")
        checked = _checked_edges(edges)
        return CoordinateGrouping(along, "edges", len(checked) - 1, checked)
    return CoordinateGrouping(along, chosen, _checked_bins(DEFAULT_BINS if bins is None else bins))


def by_region(regions: Sequence[str | Sequence[str]] | Mapping[str, str | Sequence[str]]) -> RegionGrouping:
    """Grouping by the primary injection structure.

    An experiment belongs to the group that lists its primary structure, else to the one that lists the nearest
    ancestor. Groups without experiments are groups too.

    Parameters
    ----------
    regions : sequence of str or of sequences of str, or mapping of label to these
        Acronyms; an inner sequence of acronyms is one group. By default the label of a group is its acronyms joined by
        '+'.

    Returns
    -------
    RegionGrouping

    Raises
    ------
    RecipeError
        If no region is listed, a group is empty, or an acronym or label is listed twice.

    Examples
    --------
    >>> [group.label for group in by_region(["VISp", ["VISl", "VISam"]]).groups]
    ['VISp', 'VISl+VISam']
    """
    if isinstance(regions, str):
        regions = [regions]
    if isinstance(regions, Mapping):
        groups = tuple(RegionGroup(str(label), _acronyms(listed)) for label, listed in regions.items())
    else:
        listed_groups = [
            _acronyms(listed) for listed in several("regions", regions, such_as="['VISp', 'VISl']", error=RecipeError)
        ]
        groups = tuple(RegionGroup("+".join(listed), listed) for listed in listed_groups)
    if not groups:
        raise RecipeError("regions must not be empty", hint="For example: ['VISp', 'VISl'].")
    _refuse_repeated("region", [acronym for group in groups for acronym in group.regions])
    _refuse_repeated("group label", [group.label for group in groups])
    return RegionGrouping(groups)


def by_field(field: str) -> FieldGrouping:
    """Grouping by the values of a field, one group each.

    Parameters
    ----------
    field : {'primary_structure', 'line', 'sex', 'product', 'injected_hemisphere', 'strain'}
        Experiments without a line are wild type. Experiments whose sex, product, injected hemisphere or strain is not
        known are left out.

    Returns
    -------
    FieldGrouping

    Raises
    ------
    RecipeError
        If the field is not valid.
    """
    return FieldGrouping(choice("field", field, GROUPING_FIELDS, error=RecipeError).name)


def by_selection(selections: Mapping[str, SelectionLike]) -> SelectionGrouping:
    """Grouping by selections, one group each.

    Experiments that are in none of the selections are left out. An experiment in more than one is an error when the
    grouping is applied. Selections without experiments are groups too.

    Parameters
    ----------
    selections : mapping of str to Selection or experiment ids
        The label of each group, and which experiments belong to it.

    Returns
    -------
    SelectionGrouping

    Raises
    ------
    RecipeError
        If there is no selection, or a label is not a line of text.

    Examples
    --------
    >>> lateral = Selection(injected_in="VISl")
    >>> [group.label for group in by_selection({"primary": Selection(injected_in="VISp"), "lateral": lateral}).groups]
    ['primary', 'lateral']
    """
    given: Any = selections
    if not isinstance(given, Mapping) or not given:
        raise RecipeError(
            f"selections must be a mapping of labels to selections, got {shown(given)}",
            hint="For example: by_selection({'primary': Selection(injected_in='VISp'), 'lateral': [100141219]}).",
        )
    for label in given:
        if not isinstance(label, str) or not label.strip() or not label.isprintable() or len(label) > _MAX_LABEL:
            raise RecipeError(
                f"the label of a selection must be a line of at most {_MAX_LABEL} characters, got {shown(label)}"
            )
    return SelectionGrouping(
        tuple(SelectionGroup(label, as_selection(selection)) for label, selection in selections.items())
    )


def crossed(first: Grouping, second: Grouping) -> CrossedGrouping:
    """Grouping by two factors at once.

    Each factor is applied to all experiments: bin edges do not depend on the other factor. Groups are the combinations
    that have members, ordered by the first factor, then the second.

    Parameters
    ----------
    first, second : Grouping
        Coordinate, region, field or selection groupings, of different axes or fields.

    Returns
    -------
    CrossedGrouping

    Raises
    ------
    RecipeError
        If the two cannot be crossed.
    """
    for factor in (first, second):
        if not isinstance(factor, CoordinateGrouping | RegionGrouping | FieldGrouping | SelectionGrouping):
            raise RecipeError(
                f"{type(factor).__name__} cannot be crossed with another grouping",
                hint="Use two of by_coordinate, by_region, by_field and by_selection.",
            )
    if _factor_name(first) == _factor_name(second):
        raise RecipeError(f"{_factor_name(first)} cannot be crossed with itself", hint="Use two different factors.")
    return CrossedGrouping(first, second)


def grouping_from_json(text: str | Mapping[str, Any]) -> Grouping:
    """The grouping from the result of `Grouping.to_json` or `Grouping.to_dict`.

    Raises
    ------
    RecipeError
        If this is not a valid grouping, or one with unknown or missing parts.
    """
    if isinstance(text, str):
        try:
            value = json_value(text)
        except ValueError as error:
            raise RecipeError(f"the grouping is not valid JSON: {text[:200]!r}") from error
    else:
        # In a recipe it may be any JSON value.
        given: object = text
        value = dict(given) if isinstance(given, Mapping) else None
    if not isinstance(value, dict):
        raise RecipeError(f"the grouping is not a JSON object: {shown(text)}")
    by, parts = value.get("by"), {key: part for key, part in value.items() if key != "by"}
    try:
        return _from_parts(by, parts)
    except (TypeError, KeyError, AttributeError) as error:
        raise RecipeError(
            f"the grouping by {shown(by)} has unknown, missing or wrongly typed parts: {listed(map(shown, parts))}"
        ) from error


def as_grouping(value: Grouping | str | Sequence[str] | None) -> Grouping:
    """The grouping that a value means: itself, an axis or field by name, or two of these crossed.

    Raises
    ------
    RecipeError
        If the value is none of these.
    """
    if value is None:
        return no_grouping()
    if isinstance(value, Grouping):
        return value
    if isinstance(value, str):
        rows: Mapping[str, AxisRow | GroupingFieldRow] = {**AXES, **GROUPING_FIELDS}
        name = choice("group_by", value, rows, error=RecipeError).name
        return by_coordinate(name) if name in AXES else by_field(name)
    factors = several("group_by", value, such_as="'AP' or ['AP', 'line']", error=RecipeError)
    if len(factors) == 2:
        return crossed(as_grouping(factors[0]), as_grouping(factors[1]))
    raise RecipeError(
        f"group_by must be a grouping or a name, got {shown(value)}",
        hint="Use by_coordinate, by_region, by_field, by_selection or crossed, or a name such as 'AP' or 'line'.",
    )


def factors_of(grouping: Grouping) -> tuple[Grouping, ...]:
    """The factors of a crossed grouping, in order; other groupings are their only factor."""
    if isinstance(grouping, CrossedGrouping):
        return factors_of(grouping.first) + factors_of(grouping.second)
    return (grouping,)


def coordinates_of(grouping: Grouping) -> tuple[CoordinateGrouping, ...]:
    """The coordinate factors, in order: none, one, or two if two coordinates are crossed."""
    return tuple(factor for factor in factors_of(grouping) if isinstance(factor, CoordinateGrouping))


def selections_of(grouping: Grouping) -> tuple[SelectionGroup, ...]:
    """The selections of a grouping, in order; none if it does not group by selections."""
    return tuple(
        group for factor in factors_of(grouping) if isinstance(factor, SelectionGrouping) for group in factor.groups
    )


def uses_regions(grouping: Grouping) -> bool:
    """Whether a factor of the grouping is by region."""
    return any(isinstance(factor, RegionGrouping) for factor in factors_of(grouping))


def axes_of(grouping: Grouping) -> tuple[Axis, ...]:
    """The axes of the coordinate factors, in order: none, one, or two if two coordinates are crossed."""
    return tuple(factor.axis for factor in coordinates_of(grouping))


def _from_parts(by: object, parts: dict[str, Any]) -> Grouping:
    if by == "none":
        return no_grouping(**parts)
    if by == "coordinate":
        return by_coordinate(**parts)
    if by == "field":
        return by_field(**parts)
    if by == "region":
        if set(parts) != {"groups"} or any(set(group) != {"label", "regions"} for group in parts["groups"]):
            raise KeyError("groups")
        _refuse_repeated("group label", [group["label"] for group in parts["groups"]])
        return by_region({group["label"]: group["regions"] for group in parts["groups"]})
    if by == "selection":
        if set(parts) != {"groups"} or any(set(group) != {"label", "selection"} for group in parts["groups"]):
            raise KeyError("groups")
        _refuse_repeated("group label", [group["label"] for group in parts["groups"]])
        return by_selection({group["label"]: Selection.from_dict(group["selection"]) for group in parts["groups"]})
    if by == "crossed":
        if set(parts) != {"first", "second"}:
            raise KeyError("first, second")
        return crossed(grouping_from_json(parts["first"]), grouping_from_json(parts["second"]))
    raise RecipeError(
        f"a grouping cannot be by {shown(by)}",
        hint="Valid values are 'none', 'coordinate', 'region', 'field', 'selection' and 'crossed'.",
    )


def _checked_bins(bins: int) -> int:
    try:
        count = operator.index(bins)
    except TypeError as error:
        raise RecipeError(f"bins must be a positive integer, got {shown(bins)}") from error
    if isinstance(bins, bool) or count < 1:
        raise RecipeError(f"bins must be a positive integer, got {shown(bins)}")
    if count > MAX_BINS:
        raise RecipeError(f"bins must be at most {MAX_BINS:,}, got {shown(bins)}")
    return count


def _checked_edges(edges: Sequence[float]) -> tuple[float, ...]:
    try:
        values = tuple(float(edge) for edge in edges)
    except (TypeError, ValueError, OverflowError) as error:
        raise RecipeError(f"edges must be numbers in um, got {shown(edges)}") from error
    if len(values) < 2 or not all(map(math.isfinite, values)):
        raise RecipeError(f"edges must be at least two finite numbers in um, got {list(values)}")
    if any(low >= high for low, high in pairwise(values)):
        raise RecipeError(f"edges must be strictly ascending, got {list(values)}")
    return values


def _acronyms(listed: object) -> tuple[str, ...]:
    values = [listed] if isinstance(listed, str) else listed
    if not isinstance(values, Sequence) or not values or not all(isinstance(value, str) and value for value in values):
        raise RecipeError(f"a group of regions must be an acronym or a list of acronyms, got {shown(listed)}")
    return tuple(values)


def _refuse_repeated(what: str, names: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise RecipeError(
            f"the {what} {shown(repeated[0])} is listed more than once",
            hint=f"Each {what} can be in one group only; listed are {', '.join(names)}.",
        )


def _factor_name(grouping: Grouping) -> str:
    """The axis or field of a factor, "region" or "selection"."""
    if isinstance(grouping, CoordinateGrouping):
        return grouping.axis
    if isinstance(grouping, FieldGrouping):
        return grouping.field
    return "selection" if isinstance(grouping, SelectionGrouping) else "region"
