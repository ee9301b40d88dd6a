"""The experiments that a selection cannot judge, as a user learns of them."""

from __future__ import annotations

import warnings

from bsv_store import Selection, Store
from bsv_store.errors import MissingUnionizesWarning


def unmeasured(store: Store, selection: Selection) -> tuple[int, ...]:
    """The experiments that may match, according to the warning about unionize tables that are not in the store."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store.select(selection)
    found = [each.message for each in caught if isinstance(each.message, MissingUnionizesWarning)]
    assert len(found) <= 1
    return found[0].experiment_ids if found else ()
