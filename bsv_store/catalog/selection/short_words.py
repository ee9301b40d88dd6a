"""A selection in a few words, for titles of figures and labels of groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bsv_store.catalog.selection.criteria import ANY_CRE, CRITERIA, Criteria
from bsv_store.catalog.selection.selection import Combination, Selection
from bsv_store.text import listed, number_of
from bsv_store.vocabulary import AXES

EVERYTHING = "all experiments"

# Criteria that list experiments by id.
_IDS = frozenset({"ids", "exclude_ids"})
_SIGNS = {"and": " and ", "or": " or ", "minus": " without "}
_MAX_PHRASES = 5
_MAX_LISTED = 4
_MAX_LABEL = 80


def short_words(selection: Selection) -> str:
    """A selection in a few words, such as 'VISp, wild-type'; 'all experiments' without criteria."""
    return _node_words(selection.node)


def label_of(selection: Selection) -> str:
    """A selection in a few words, at most 80 characters."""
    return _cut(short_words(selection))


def contrasting_words(a: Selection, b: Selection) -> tuple[str, str] | None:
    """Different words for two selections, each of at most 80 characters; None if only their lists of ids differ.

    Criteria that are the same in both are omitted if both have others: 'VISp' and 'VISl' for wild-type mice injected
    in either.
    """
    if isinstance(a.node, Criteria) and isinstance(b.node, Criteria):
        first, second = _phrases(a.node), _phrases(b.node)
        own = [
            {name: text for name, text in phrases.items() if text != other.get(name)}
            for phrases, other in ((first, second), (second, first))
        ]
        if not (own[0].keys() | own[1].keys()) - _IDS:
            return None
        words = [_joined(each) for each in (own if all(own) else (first, second))]
    else:
        words = [short_words(a), short_words(b)]
    one, other = (_cut(each) for each in words)
    return None if one == other else (one, other)


def _cut(words: str) -> str:
    """At most 80 characters, if possible up to the end of a phrase."""
    if len(words) <= _MAX_LABEL:
        return words
    phrases, _, _ = words[: _MAX_LABEL - 2].rpartition(", ")
    return f"{phrases}, …" if len(phrases) > _MAX_LABEL // 2 else f"{words[: _MAX_LABEL - 1].rstrip()}…"


def _node_words(node: Criteria | Combination) -> str:
    if isinstance(node, Criteria):
        return _joined(_phrases(node))
    parts = [_node_words(part) for part in node.parts]
    is_long = [isinstance(part, Combination) or ", " in text for part, text in zip(node.parts, parts, strict=True)]
    return _SIGNS[node.operator].join(f"({text})" if long else text for text, long in zip(parts, is_long, strict=True))


def _joined(phrases: Mapping[str, str]) -> str:
    texts = list(phrases.values())
    if len(texts) > _MAX_PHRASES:
        rest = len(texts) - _MAX_PHRASES + 1
        texts = [*texts[: _MAX_PHRASES - 1], f"{rest} more criteria"]
    return ", ".join(texts) or EVERYTHING


def _phrases(criteria: Criteria) -> dict[str, str]:
    """A phrase for each criterion by name; injected structures and lines come first."""
    given = criteria.to_dict()
    ordered = ["injected_in", "line", *(name for name in CRITERIA if name not in ("injected_in", "line"))]
    return {name: _phrase(name, criteria) for name in ordered if name in given and not _is_omitted(name)}


def _phrase(name: str, criteria: Criteria) -> str:
    value = getattr(criteria, name)
    if name == "injected_in":
        secondary = "" if criteria.injection == "primary" else f" ({criteria.injection} injection)"
        return f"{_values(name, value)}{secondary}"
    if name == "line":
        return _values(name, tuple("any Cre" if each == ANY_CRE else each for each in value))
    if name == "with_volume":
        return f"with {_values(name, value)} at {criteria.with_volume_spacing_um} um"
    if name == "box":
        pairs = zip(AXES, value, strict=True)
        return ", ".join(f"{axis} {part[0]:,.10g} to {part[1]:,.10g} um" for axis, part in pairs if part is not None)
    if name == "near":
        point = ", ".join(f"{axis} {each:,.10g}" for axis, each in zip(AXES, value, strict=True))
        return f"within {criteria.radius_um:,.10g} um of {point}"
    if name == "ids":
        return f"experiment {value[0]}" if len(value) == 1 else number_of(len(value), "experiment")
    if name == "exclude_ids":
        return f"without {number_of(len(value), 'experiment')}"
    criterion = CRITERIA[name]
    phrase = criterion.short_if_false if value is False else criterion.short
    return f"{name.replace('_', ' ')} {_values(name, value)}" if phrase is None else phrase.format(_values(name, value))


def _values(name: str, value: Any) -> str:
    return listed(CRITERIA[name].texts(value), limit=_MAX_LISTED)


def _is_omitted(name: str) -> bool:
    """Whether a criterion is not needed in a title, or is part of the phrase of another one."""
    criterion = CRITERIA[name]
    return criterion.short == "" or (criterion.short is None and criterion.belongs_to is not None)
