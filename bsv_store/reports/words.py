"""Words for selections in titles of figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.catalog.selection.selection import selection_or_all
from bsv_store.catalog.selection.short_words import short_words

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import SelectionLike


def selection_title(selection: SelectionLike | None) -> str:
    """A selection in a few words, such as 'VISp, wild-type'; 'all experiments' without criteria."""
    return short_words(selection_or_all(selection))
