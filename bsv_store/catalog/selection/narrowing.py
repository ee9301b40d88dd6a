"""Selections that are narrowed by further criteria, as by the options of a command.

Each part of a combination leaves out withdrawn experiments and those on the exclusion list for itself, so that
``a & b`` is the intersection of both. Criteria that only narrow a selection must not undo what it includes on purpose.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import replace

from bsv_store.catalog.selection.criteria import Criteria
from bsv_store.catalog.selection.selection import Node, Selection

_COMBINE = {"and": operator.and_, "or": operator.or_, "minus": operator.sub}
_POLICIES = {"include_withdrawn", "include_excluded"}


def including(selection: Selection, *, withdrawn: bool = False, excluded: bool = False) -> Selection:
    """The selection with withdrawn experiments, or those on the exclusion list, included in every part."""
    return _including(selection.node, withdrawn=withdrawn, excluded=excluded)


def _including(node: Node, *, withdrawn: bool, excluded: bool) -> Selection:
    if isinstance(node, Criteria):
        # Experiments that are named by id are selected, withdrawn or not.
        with_withdrawn = (node.include_withdrawn or withdrawn) and node.ids is None
        with_excluded = node.include_excluded or excluded
        return Selection.of(replace(node, include_withdrawn=with_withdrawn, include_excluded=with_excluded))
    parts = (_including(part, withdrawn=withdrawn, excluded=excluded) for part in node.parts)
    return functools.reduce(_COMBINE[node.operator], parts)


def narrowed(selection: Selection, criteria: Criteria) -> Selection:
    """The experiments of a selection that meet further criteria.

    Parameters
    ----------
    selection : Selection
        Withdrawn and excluded experiments that it includes, by its flags or by id, stay included.
    criteria : Criteria
        Its ``include_withdrawn`` and ``include_excluded`` apply to every part of the selection too.

    Raises
    ------
    SelectionError
        If the result has too many parts.
    """
    base = including(selection, withdrawn=criteria.include_withdrawn, excluded=criteria.include_excluded)
    if criteria.to_dict().keys() <= _POLICIES:
        return base
    withdrawn = any(leaf.include_withdrawn or leaf.ids is not None for leaf in base.leaves())
    excluded = any(leaf.include_excluded for leaf in base.leaves())
    return base & including(Selection.of(criteria), withdrawn=withdrawn, excluded=excluded)
