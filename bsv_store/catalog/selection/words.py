"""A selection in words, for the methods text of a citation and for reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bsv_store.catalog.selection.canonical import Point
from bsv_store.catalog.selection.criteria import ANY_CRE, CRITERIA, WILD_TYPE, Criteria
from bsv_store.catalog.selection.selection import Combination, Selection
from bsv_store.text import joined, number_of
from bsv_store.vocabulary import (
    AXES,
    INJECTION_SCOPES,
    MEASURED_HEMISPHERES,
    MEASURES,
    VOLUME_KINDS,
    InjectionScope,
)

# Longer lists of ids are only counted.
_MAX_IDS = 5
# Said with the criterion that they belong to.
_QUALIFIERS = frozenset(name for name, criterion in CRITERIA.items() if criterion.belongs_to is not None)


def selection_words(selection: Selection) -> str:
    """A selection as a noun phrase, such as "experiments injected in VISp ... in wild-type mice"."""
    return _node_words(selection.node)


def _node_words(node: Criteria | Combination) -> str:
    if isinstance(node, Criteria):
        return _criteria_words(node)
    parts = [_node_words(part) for part in node.parts]
    nested = [
        f"({text})" if isinstance(part, Combination) else text for text, part in zip(parts, node.parts, strict=True)
    ]
    if node.operator == "minus":
        return f"{nested[0]}, except {joined(nested[1:], 'and')}"
    if node.operator == "or":
        return f"the union of {joined([f'[{text}]' for text in nested], 'and')}"
    return f"the intersection of {joined([f'[{text}]' for text in nested], 'and')}"


def _criteria_words(criteria: Criteria) -> str:
    given = criteria.to_dict()
    phrases = [_phrase(name, criteria) for name in given if name not in _QUALIFIERS]
    if not phrases:
        return "all experiments that are neither withdrawn nor on the exclusion list"
    return f"experiments {joined(phrases, 'and')}"


def _phrase(name: str, criteria: Criteria) -> str:
    value = getattr(criteria, name)
    if name == "injected_in":
        return _injected(value, criteria.injection, criteria.min_injection_overlap)
    if name == "line":
        return _lines(value)
    if name == "with_volume":
        phrase = CRITERIA[name].phrase
        assert phrase is not None
        return phrase.format(VOLUME_KINDS[value].words, criteria.with_volume_spacing_um)
    if name == "box":
        ranges = [
            f"{axis} {low:,.10g} to {high:,.10g} um"
            for axis, (low, high) in ((axis, part) for axis, part in zip(AXES, value, strict=True) if part is not None)
        ]
        return f"with the injection coordinate at {joined(ranges, 'and')}"
    if name == "near":
        return f"with the injection coordinate within {criteria.radius_um:,.10g} um of {_point(value)}"
    if name == "projecting_to":
        return _projecting(criteria)
    if name == "ids":
        return f"chosen by id ({_ids(value)})"
    if name == "exclude_ids":
        return f"without {number_of(len(value), 'experiment')} excluded by id ({_ids(value)})"
    return _simple(name, value)


def _simple(name: str, value: Any) -> str:
    """The phrase of the criterion."""
    criterion = CRITERIA[name]
    phrase = criterion.phrase_if_false if value is False else criterion.phrase
    assert phrase is not None, name
    return phrase.format(joined(criterion.texts(value), "or"))


def _injected(structures: Sequence[object], scope: InjectionScope, overlap: float | None) -> str:
    one_of = joined([str(each) for each in structures], "or")
    inside = "" if overlap is None else f"; at least {overlap:.10g} of the injection volume inside"
    return f"injected in {one_of} ({INJECTION_SCOPES[scope].words}; descendants included{inside})"


def _lines(names: Sequence[str]) -> str:
    texts = [name for name in names if name not in (WILD_TYPE, ANY_CRE)]
    phrases = ["wild-type mice"] if WILD_TYPE in names else []
    phrases += ["mice of any transgenic line"] if ANY_CRE in names else []
    phrases += [f"mice of the line {joined(texts, 'or')}"] if texts else []
    return f"in {joined(phrases, 'or')}"


def _point(point: Point) -> str:
    return ", ".join(f"{axis} {value:,.10g}" for axis, value in zip(AXES, point, strict=True)) + " um"


def _projecting(criteria: Criteria) -> str:
    assert criteria.projecting_to is not None
    targets = joined([str(each) for each in criteria.projecting_to], "or")
    unit = MEASURES[criteria.target_measure].unit.replace("mm3", "mm³")
    limit = f"{criteria.target_threshold:,.10g}{f' {unit}' if unit else ''}"
    where = MEASURED_HEMISPHERES[criteria.target_hemisphere].words
    measure = criteria.target_measure.replace("_", " ")
    return f"with a {measure} of more than {limit} outside the injection site in {targets} ({where})"


def _ids(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids)) if len(ids) <= _MAX_IDS else f"{len(ids):,} ids"
