"""A lab-wide shared store for the Allen Mouse Brain Connectivity Atlas.

>>> from bsv_store import open_store, Selection, by_coordinate
>>> store = open_store()                                                         # doctest: +SKIP
>>> visual = Selection(injected_in=["VISp", "VISl"], line="wild-type")           # doctest: +SKIP
>>> version = store.aggregate(visual, group_by=by_coordinate("AP", bins=5), name="visual-by-AP")   # doctest: +SKIP

Names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bsv_store._version import __version__

if TYPE_CHECKING:
    from bsv_store.averaging.grouping.grouping import (
        by_coordinate,
        by_field,
        by_region,
        by_selection,
        crossed,
        no_grouping,
    )
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.progress import NO_PROGRESS
    from bsv_store.store.opening import create_store, open_store
    from bsv_store.store.store import Store
    from bsv_store.volumes.grid import to_brainglobe

_HOMES = {
    "NO_PROGRESS": "bsv_store.progress",
    "DatasetVersion": "bsv_store.datasets.version",
    "Selection": "bsv_store.catalog.selection.selection",
    "Store": "bsv_store.store.store",
    "by_coordinate": "bsv_store.averaging.grouping",
    "by_field": "bsv_store.averaging.grouping",
    "by_region": "bsv_store.averaging.grouping",
    "by_selection": "bsv_store.averaging.grouping",
    "create_store": "bsv_store.store.opening",
    "crossed": "bsv_store.averaging.grouping",
    "no_grouping": "bsv_store.averaging.grouping",
    "open_store": "bsv_store.store.opening",
    "to_brainglobe": "bsv_store.volumes.grid",
}

__all__ = [
    "NO_PROGRESS",
    "DatasetVersion",
    "Selection",
    "Store",
    "__version__",
    "by_coordinate",
    "by_field",
    "by_region",
    "by_selection",
    "create_store",
    "crossed",
    "no_grouping",
    "open_store",
    "to_brainglobe",
]


# Silent unless the program that uses the library configures logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
