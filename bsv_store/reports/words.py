"""Words for selections in titles of figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.catalog.selection.criteria import Criteria
from bsv_store.catalog.selection.selection import Combination, selection_or_all
from bsv_store.text import listed, number_of

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import SelectionLike


def selection_title(selection: SelectionLike | None) -> str:
    """A selection in a few words, such as 'VISp, wild-type'; 'all experiments' without criteria."""
    return _words(selection_or_all(selection).node)


def _words(node: Criteria | Combination) -> str:
    if isinstance(node, Combination):
        sign = {"and": " and ", "or": " or ", "minus": " without "}[node.operator]
        return sign.join(_words(part) for part in node.parts)
    criteria = {name: value for name, value in node.to_dict().items() if not name.startswith("include_")}
    parts: list[str] = []
    for name in ("injected_in", "line"):
        if name in criteria:
            parts.append(listed(criteria.pop(name), limit=4))
    if "ids" in criteria:
        ids = criteria.pop("ids")
        parts.append(f"experiment {ids[0]}" if len(ids) == 1 else number_of(len(ids), "experiment"))
    if criteria:
        parts.append(f"{len(criteria)} more criteria" if len(criteria) > 1 else "1 more criterion")
    return ", ".join(parts) if parts else "all experiments"
